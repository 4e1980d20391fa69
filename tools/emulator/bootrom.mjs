// A boot ROM of our own, because the real one is not ours to hand out: only the tables that images look functions up in
// (RP2040 datasheet §2.8), and for each function the two instructions `bkpt #n; bx lr`. The emulator meets the
// breakpoint and does the function's work here, in JavaScript, charging the cycles that the real one would about take.

import { DOUBLE, SINGLE } from './romfloat.mjs';

const HZ_PER_MHZ = 1e6;
const ERASE_US = 45000; // W25Q16JV datasheet, typical: sector erase 45 ms, page program 0.4 ms
const PROGRAM_US = 400;
const SECTOR = 4096;
const PAGE = 256;

const FIRST_STUB = 0x100;
const FIRST_BREAKPOINT = 0x40;
const DEAD_BREAKPOINT = 0x3f; // where an image ends up that takes an exception before it has its own vectors
const TABLE_SIZE = 32;
const STACK_TOP = 0x20041f00;

/**
 * Puts the ROM into the machine. `actions` are erase(offset, length), program(offset, data), usbBoot() and
 * unknownBreakpoint(number, pc). Returns an object whose `cycles` the caller adds to its count and sets to zero.
 */
export function installBootrom(mcu, actions) {
  const rom = new RomWriter();
  const charge = { cycles: 0 };
  writeTables(rom, mcu, actions);
  mcu.loadBootrom(new Uint32Array(rom.bytes.buffer));
  mcu.onBreak = (number) => {
    const stub = rom.stubs[number - FIRST_BREAKPOINT];
    if (!stub) return actions.unknownBreakpoint(number, mcu.core.PC);
    const [, cycles, run] = stub;
    // The length is read first: the function may overwrite the register that holds it.
    charge.cycles += typeof cycles === 'function' ? Math.ceil(cycles(mcu.core.registers)) : cycles;
    run(mcu.core);
  };
  return charge;
}

class RomWriter {
  constructor() {
    this.bytes = new Uint8Array(16384);
    this.view = new DataView(this.bytes.buffer);
    this.stubs = [];
    this.known = new Map();
    this.here = FIRST_STUB;
  }

  half(...values) {
    for (const value of values) {
      this.view.setUint16(this.here, value, true);
      this.here += 2;
    }
  }

  /** A function's stub; returns the address to call (odd: Thumb). Equal entries share one. */
  stub(entry) {
    if (!this.known.has(entry)) {
      const number = FIRST_BREAKPOINT + this.stubs.push(entry) - 1;
      if (number > 0xff) throw new Error('more ROM functions than breakpoint numbers');
      this.known.set(entry, this.here | 1);
      this.half(0xbe00 | number, 0x4770);
    }
    return this.known.get(entry);
  }

  /** A table of 32-bit function addresses; the byte before it says how many there are. */
  addresses(entries) {
    const stubs = entries.map((entry) => this.stub(entry));
    this.here = (this.here + 7) & ~3;
    this.bytes[this.here - 2] = TABLE_SIZE;
    const start = this.here;
    for (const address of stubs) {
      this.view.setUint32(this.here, address, true);
      this.here += 4;
    }
    return start;
  }

  /** A table of (two-letter code, 16-bit address), ended by zeros. */
  codes(entries) {
    const start = this.here;
    for (const [code, address] of entries) this.half(code.charCodeAt(0) | (code.charCodeAt(1) << 8), address);
    this.half(0, 0);
    return start;
  }
}

function writeTables(rom, mcu, actions) {
  const lookup = rom.stub(['rom_table_lookup', 30, (core) => lookUp(mcu, core.registers)]);
  const functions = Object.entries(romFunctions(mcu, actions)).map(([code, entry]) => [code, rom.stub(entry)]);
  const dead = rom.here;
  rom.half(0xbe00 | DEAD_BREAKPOINT, 0xe7fe);
  const single = rom.addresses(SINGLE);
  const double = rom.addresses(DOUBLE);
  const functionTable = rom.codes(functions);
  const dataTable = rom.codes([['SF', single], ['SD', double]]);
  rom.view.setUint32(0, STACK_TOP, true);
  for (let vector = 1; vector < 4; vector++) rom.view.setUint32(4 * vector, dead | 1, true);
  rom.bytes.set([0x4d, 0x75, 1, 3], 0x10); // 'M' 'u' 1, ROM version 3 (chip revision B2)
  rom.here = 0x14;
  rom.half(functionTable, dataTable, lookup);
}

function lookUp(mcu, r) {
  const wanted = r[1] & 0xffff;
  for (let at = r[0]; ; at += 4) {
    const code = mcu.readUint16(at);
    if (code === 0 || code === wanted) {
      r[0] = code && mcu.readUint16(at + 2);
      return;
    }
  }
}

function romFunctions(mcu, actions) {
  const fill = ({ registers: r }) => {
    for (let i = 0; i < r[2]; i++) mcu.writeUint8(r[0] + i, r[1] & 0xff);
  };
  const copy = ({ registers: r }) => {
    for (let i = 0; i < r[2]; i++) mcu.writeUint8(r[0] + i, mcu.readUint8(r[1] + i));
  };
  const program = ({ registers: r }) => {
    const data = Uint8Array.from({ length: r[2] }, (_, i) => mcu.readUint8(r[1] + i));
    actions.program(r[0], data);
  };
  const nothing = () => {};
  const micros = (us) => (us * mcu.clkSys) / HZ_PER_MHZ; // in cycles
  return {
    P3: ['popcount32', 20, ({ registers: r }) => (r[0] = countOnes(r[0]))],
    R3: ['reverse32', 20, ({ registers: r }) => (r[0] = reverse(r[0]))],
    L3: ['clz32', 15, ({ registers: r }) => (r[0] = Math.clz32(r[0]))],
    T3: ['ctz32', 15, ({ registers: r }) => (r[0] = r[0] ? 31 - Math.clz32(r[0] & -r[0]) : 32)],
    MS: ['memset', (r) => 10 + r[2] / 4, fill],
    S4: ['memset4', (r) => 10 + r[2] / 4, fill],
    MC: ['memcpy', (r) => 15 + r[2] / 2, copy],
    C4: ['memcpy44', (r) => 15 + r[2] / 2, copy],
    UB: ['reset_to_usb_boot', 0, () => actions.usbBoot()],
    IF: ['connect_internal_flash', 50, nothing],
    EX: ['flash_exit_xip', 500, nothing],
    FC: ['flash_flush_cache', 50, nothing],
    CX: ['flash_enter_cmd_xip', 50, nothing],
    RE: [
      'flash_range_erase',
      (r) => (r[1] / SECTOR) * micros(ERASE_US),
      ({ registers: r }) => actions.erase(r[0], r[1]),
    ],
    RP: ['flash_range_program', (r) => (r[2] / PAGE) * micros(PROGRAM_US), program],
  };
}

function countOnes(word) {
  let count = 0;
  for (let rest = word >>> 0; rest; rest >>>= 1) count += rest & 1;
  return count;
}

function reverse(word) {
  let reversed = 0;
  for (let i = 0; i < 32; i++) reversed = (reversed << 1) | ((word >>> i) & 1);
  return reversed >>> 0;
}
