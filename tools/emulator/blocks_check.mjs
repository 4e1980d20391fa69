// Random programs through blocks.mjs and through rp2040js alone, in step: registers, flags, cycles, RAM, lowest stack.
//
//   node blocks_check.mjs PROGRAMS SEED
//
// Prints the first difference and ends with 1, or how many instructions the blocks took, and how many they left.

import { Simulator } from 'rp2040js';
import { Blocks } from './blocks.mjs';
import { Random } from './random.mjs';

const [programs, seed] = process.argv.slice(2).map(Number);
const say = console.log;
console.log = console.warn = console.error = () => {}; // rp2040js says of each address that there is nothing

const FLASH = 0x10000000;
const RAM = 0x20000000;
const CODE = 0x1000; // offset of the program, in flash or RAM
const HALFWORDS = 400;
const DATA = RAM + 0x8000;
const AROUND = 0x4000; // what is compared of the RAM
const random = new Random(seed);
const word = () => random.word();
const below = (limit) => (word() >>> 8) % limit;

function machine() {
  const { rp2040 } = new Simulator();
  rp2040.logger = { debug() {}, info() {}, warn() {}, error() {} };
  return rp2040;
}

/** Any opcode, but mostly such as compilers write: jumps stay near, loads and stores by registers that point to memory. */
function opcode() {
  if (below(64) === 0) return [0xb672, 0xbf00][below(2)]; // CPSID, NOP
  switch (below(8)) {
    case 0: return 0xd000 | (below(14) << 8) | below(12); // B conditional, forward
    case 1: return [0xb400, 0xbc00, 0xc000, 0xc800][below(4)] | (below(4) === 0 ? below(0x800) : below(0x100));
    case 2: return 0x5000 | below(0x1000); // loads and stores by two registers
    case 3: return 0x6000 | below(0x4000); // by an offset
    case 4: return 0x4000 | below(0x400); // data processing
    case 5: return 0x4400 | below(0x300); // of all registers
    case 6: return below(0x4000); // shifts, sums, comparisons
    default: return [0xa000, 0xb000, 0xb200, 0xba00, 0x4800, 0x4700, 0xe7f0, word() & 0xffff][below(8)] | below(0x80);
  }
}

const machines = [machine(), machine()];

function prepare(mcu, code, data, registers, flags, inFlash) {
  (inFlash ? mcu.flash : mcu.sram).set(code, CODE);
  mcu.sram.fill(0, DATA - RAM - AROUND, DATA - RAM + AROUND);
  mcu.sram.set(data, DATA - RAM);
  mcu.core.registers.set(registers);
  [mcu.core.N, mcu.core.Z, mcu.core.C, mcu.core.V, mcu.core.PM] = [...flags, false];
}

const state = ({ core, sram }, withRam) =>
  `${[...core.registers].map((each) => each.toString(16))} ${core.N} ${core.Z} ${core.C} ${core.V} ${core.PM}` +
  (withRam ? Buffer.from(sram.subarray(DATA - RAM - AROUND, DATA - RAM + AROUND)).toString('base64') : '');

const codeOf = (mcu, inFlash) => (inFlash ? mcu.flash : mcu.sram).subarray(CODE, CODE + 2 * HALFWORDS);

const [fast, plain] = machines;
const blocks = new Blocks(fast, 1 << 16, { hot: 1 });
let taken = 0;
let left = 0;
for (let program = 0; program < programs; program++) {
  const inFlash = program % 2 === 0;
  const start = (inFlash ? FLASH : RAM) + CODE;
  const code = Buffer.alloc(2 * HALFWORDS);
  for (let i = 0; i < HALFWORDS; i++) code.writeUInt16LE(opcode(), 2 * i);
  const data = Buffer.from(Array.from({ length: 4096 }, () => random.byte()));
  const registers = Array.from({ length: 13 }, () => [DATA + 4 * below(1000), below(64), word(), FLASH + 4 * below(999)][below(4)]);
  registers.push(DATA + 2048, (start + 2 * below(HALFWORDS)) | 1, start + 2 * below(20));
  const flags = Array.from({ length: 4 }, () => below(2) === 1);
  for (const mcu of machines) prepare(mcu, code, data, registers, flags, inFlash);
  blocks.forget();
  blocks.lowestStack = DATA + 2048;
  let lowest = DATA + 2048;
  let apart = false;
  for (let round = 0; round < 30; round++) {
    const pc = fast.core.PC;
    blocks.translate();
    const done = blocks.run(1 + below(200), 1 + below(400));
    let cycles = 0;
    const text = Buffer.from(codeOf(plain, inFlash));
    for (let i = 0; i < done; i++) {
      cycles += plain.core.executeInstruction();
      if (plain.core.SP < lowest) lowest = plain.core.SP;
    }
    taken += done;
    if (!text.equals(codeOf(plain, inFlash))) { // it wrote over itself: a processor has fetched some of that before
      apart = true;
      break;
    }
    const same = state(fast) === state(plain) && cycles === (done ? blocks.cycles : 0) && blocks.lowestStack === lowest;
    if (!same) {
      say(`program ${program}, from 0x${pc.toString(16)}, ${done} instructions, ${blocks.cycles} for ${cycles} cycles`);
      say(`${state(fast)}\n${state(plain)}\n${blocks.lowestStack} ${lowest}`);
      for (let i = 0; i < 24; i++) say((pc + 2 * i).toString(16), plain.readUint16(pc + 2 * i).toString(16));
      process.exit(1);
    }
    const opcodeNow = plain.readUint16(plain.core.PC & ~1);
    if (opcodeNow >> 8 === 0xbe || opcodeNow >> 8 === 0xbf || opcodeNow >> 8 === 0xdf) break; // breakpoints, waiting, calls
    if (fast.core.PC < RAM ? fast.core.PC - FLASH > 0x4000 : fast.core.PC - RAM > 0x4000) break; // it left the program
    left++;
    const before = Buffer.from(codeOf(plain, true));
    for (const mcu of [fast, plain]) mcu.core.executeInstruction();
    if (!before.equals(codeOf(plain, true))) blocks.changed(CODE, 2 * HALFWORDS); // rp2040js lets it write to the flash
    if (plain.core.SP < lowest) blocks.lowestStack = lowest = Math.min(lowest, plain.core.SP);
    if (plain.core.SP >>> 28 !== 2) break;
  }
  if (!apart && state(fast, true) !== state(plain, true)) {
    say(`program ${program}: the RAM differs`);
    process.exit(1);
  }
}
say(`${taken} instructions in blocks, ${left} left`);
