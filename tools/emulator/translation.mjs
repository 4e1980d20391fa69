// A region of the guest's code as a function of WebAssembly: what can be reached from an address by jumps and calls that
// come back, up to a limit. Registers, flags and counters are its variables; it is entered at any block of it, and when
// it is left they are in the memory (`state` below).
//
// A block begins where a jump leads or a call returns to and follows the code through conditional branches that are not
// taken. Flags are worked out where somebody can see them. Effects, cycles and order are those of quickcore.mjs,
// instruction for instruction, which is why the region is left before whatever touches more than registers, RAM, flash
// and the processor's own divider (peripherals, system registers, returns from exceptions): the next instruction is then
// quickcore's. Nothing in a region can raise an interrupt or look at the clock, and a block runs only if there are cycles
// for all of it.
//
// Encodings: ARMv6-M Architecture Reference Manual, A5.2.

import { linked } from './quickcore.mjs';
import { READ_WORD, VOID, WRITE_WORD, body, constant, load, number, op, store } from './wasm.mjs';

export const FLASH = 0x10000000;
export const RAM = 0x20000000;
export const SECTOR_BITS = 12; // what an operation of the flash changes
const SP = 13;
const LR = 14;
const PC = 15;
const PROCESSOR = 0xd0000060; // the divider, interpolators and spinlocks, which concern nothing else
const PROCESSOR_BYTES = 0x120;
const REGION_LENGTH = 256; // instructions
const RAM_LENGTH = 48; // of a region in RAM, which is compared at each entry
const BLOCK_LENGTH = 32;

// The memory: the state, by byte offsets; then what Blocks puts there.
export const state = {
  REGISTERS: 0, // sixteen words
  SIGN: 64, // N is its sign
  ZERO: 68, // Z: it is zero
  CARRY: 72, // C: it is 1, else 0
  OVERFLOW: 76, // V is its sign
  LOWEST: 80, // the lowest stack pointer
  CYCLES: 84, // that are left
  INSTRUCTIONS: 88, // that were executed
  MASKED: 92, // whether interrupts are
};

/** Why a region is left. */
export const GOES_ON = 0; // at an address that may be a region's
export const LEFT = 1; // before an instruction that is quickcore's
export const SPENT = 2; // there are not cycles enough for the next block
export const STALE = 3; // the RAM holds other code by now

// Variables of the function: the parameter is the block to go to.
const NEXT = 0;
const REGISTER = 1; // r0 to lr
const [SIGN, ZERO, CARRY, OVERFLOW, LOWEST, CYCLES, INSTRUCTIONS] = [16, 17, 18, 19, 20, 21, 22];
const [Z, FA, FB, CF, VF, X, O, T, TARGET, STATUS] = [23, 24, 25, 26, 27, 28, 29, 30, 31, 32];
const VARIABLES = 32; // without the parameter
const KEPT = [
  [SIGN, state.SIGN], [ZERO, state.ZERO], [CARRY, state.CARRY], [OVERFLOW, state.OVERFLOW], [LOWEST, state.LOWEST],
  [CYCLES, state.CYCLES], [INSTRUCTIONS, state.INSTRUCTIONS],
];

const get = (variable) => [op.GET, variable];
const put = (variable, ...expression) => [...expression.flat(), op.SET, variable];
const calculate = (a, operation, b) => [...a, ...b, operation];
const word = (value) => constant(value);
const when = (condition, ...code) => [...condition, op.IF, VOID, ...code.flat(), op.END];

const isWide = (opcode) => opcode >> 11 === 0x1e;

export class Translation {
  /** Of the region that begins there; `memory` says what it is made of: halfword(pc), mapped(pc), flash, ram. */
  constructor(start, memory) {
    this.memory = memory;
    this.inRam = start >= RAM;
    this.empty = new Set(); // blocks that begin with what is quickcore's
    this.used = new Set(); // registers
    this.changed = new Set();
    this.find(start);
  }

  /** The code, and where its blocks begin. */
  find(start) {
    this.code = new Map(); // pc: opcode
    const limit = this.inRam ? RAM_LENGTH : REGION_LENGTH;
    const leaders = new Set([start]);
    for (const leader of leaders) { // grows meanwhile
      let pc = leader;
      for (let length = 0; ; length++) {
        if (this.code.has(pc)) {
          if (pc !== leader) leaders.add(pc);
          break;
        }
        const opcode = this.memory.halfword(pc);
        if (opcode < 0 || this.code.size >= limit || (pc !== start && this.memory.mapped(pc))) break;
        if (length === BLOCK_LENGTH) {
          leaders.add(pc);
          break;
        }
        this.code.set(pc, opcode);
        const [next, ...others] = this.ways(pc, opcode);
        for (const other of others) leaders.add(other);
        if (next === undefined) break;
        pc = next;
      }
    }
    this.leaders = [...leaders].filter((pc) => this.code.has(pc)).sort((a, b) => a - b);
    this.places = new Map(this.leaders.map((pc, i) => [pc, i]));
  }

  /** Where it goes on after an instruction: the next of the block, undefined if there is none, and other blocks. */
  ways(pc, opcode) {
    const further = (opcode << 21) >> 20;
    if (opcode >> 12 === 13) return ((opcode >> 8) & 15) < 14 ? [pc + 2, pc + 4 + ((opcode << 24) >> 23)] : [undefined];
    if (opcode >> 11 === 0x1c) return [undefined, pc + 4 + further];
    if (isWide(opcode)) return [undefined, pc + 4]; // BL, and what is quickcore's
    const high = opcode >> 8;
    if (opcode >> 7 === 0x8f || high === 0xb6 || high === 0xbf) return [undefined, pc + 2]; // BLX, CPS, hints
    if (opcode >> 7 === 0x8e || high === 0xbd || high === 0xbe) return [undefined]; // BX, POP with pc, BKPT
    if (opcode >> 10 === 0x11 && (opcode & 0x87) === 0x87 && ((opcode >> 8) & 3) !== 1) return [undefined]; // to pc
    return [pc + 2];
  }

  /** Of the halfwords that it was made of. */
  get addresses() {
    return [...this.code].flatMap(([pc, opcode]) => (isWide(opcode) ? [pc, pc + 2] : [pc]));
  }

  /**
   * {code, entries, sectors}: the function's body; where it is entered, a pc and a block by turns; and which sectors of
   * the flash it was made of. null if there is nothing for it.
   */
  translate() {
    const blocks = this.leaders.map((pc, i) => this.block(pc, i));
    const entries = [...this.places].filter(([pc]) => !this.empty.has(pc)).flat();
    if (!entries.length) return null;
    const sectors = this.inRam ? [] : new Set(this.addresses.map((pc) => (pc - FLASH) >> SECTOR_BITS));
    const count = blocks.length;
    const inner = [];
    for (let i = 0; i < count; i++) inner.push(op.BLOCK, VOID);
    inner.push(...get(NEXT), op.BR_TABLE, ...number(count - 1));
    for (let i = 0; i < count; i++) inner.push(...number(i));
    for (const block of blocks) {
      inner.push(op.END);
      for (const byte of block) inner.push(byte);
    }
    const code = body(VARIABLES, [
      ...(this.inRam ? this.check() : []),
      ...this.enter(),
      op.BLOCK, VOID, op.LOOP, VOID, ...inner, op.END, op.END,
      ...this.leave(),
      ...get(STATUS),
    ]);
    return { code: Buffer.from(code), entries: Uint32Array.from(entries), sectors: Uint16Array.from(sectors) };
  }

  /** Leaves at once if the RAM holds other code; it looks at two halfwords at a time. */
  check() {
    const { ram } = this.memory;
    const rest = new Set(this.addresses.sort((x, y) => x - y));
    return [...rest].flatMap((pc) => {
      if (!rest.has(pc)) return []; // it was looked at with the one before
      const both = rest.delete(pc + 2);
      const content = this.memory.halfword(pc) | (both ? this.memory.halfword(pc + 2) << 16 : 0);
      const now = [...word(ram + pc - RAM), ...load(both ? 4 : 2, 0)];
      return when(calculate(now, op.NE, word(content)), word(STALE), [op.RETURN]);
    });
  }

  enter() {
    const registers = [...this.used].flatMap((k) => put(REGISTER + k, word(4 * k), load(4, 0)));
    return [...registers, ...KEPT.flatMap(([variable, at]) => put(variable, word(at), load(4, 0)))];
  }

  leave() {
    const registers = [...this.changed].flatMap((k) => [...word(4 * k), ...get(REGISTER + k), ...store(4, 0)]);
    const kept = KEPT.flatMap(([variable, at]) => [...word(at), ...get(variable), ...store(4, 0)]);
    return [...registers, ...kept, ...word(4 * PC), ...get(TARGET), ...store(4, 0)];
  }

  block(start, place) {
    this.place = place;
    this.depth = 0; // of blocks within the block's own
    this.text = [];
    this.length = 0;
    this.cycles = 0;
    this.sign = this.carry = this.overflow = null; // where they follow from, if not from the variables
    this.plainCompare = false; // Z is FA - FB
    let pc = start;
    for (;;) {
      const opcode = this.code.get(pc);
      if (opcode === undefined || (this.places.has(pc) && pc !== start)) {
        this.emit(this.go(pc));
        break;
      }
      const next = this.instruction(pc, opcode);
      if (next === null) {
        if (pc === start) this.empty.add(pc);
        this.emit(this.exit(pc, LEFT));
        break;
      }
      if (next === undefined) break; // it jumped away
      pc = next;
    }
    this.depth = 1;
    const short = calculate(get(CYCLES), op.LT_S, word(this.cycles + 1));
    return [...short, op.IF, VOID, ...this.out(word(start), SPENT), op.END, ...this.text];
  }

  emit(code) {
    for (const byte of code) this.text.push(byte);
  }

  /** Emits what is made with the depth of a block of its own. */
  nested(make, by = 1) {
    this.depth += by;
    const code = make();
    this.depth -= by;
    return code;
  }

  reg(k) {
    this.used.add(k);
    return get(REGISTER + k);
  }

  set(k, ...expression) {
    this.used.add(k); // a way out before this leaves it as it was
    this.changed.add(k);
    return put(REGISTER + k, ...expression);
  }

  // -- ways out

  out(target, status) {
    return [
      ...put(TARGET, target), ...put(STATUS, word(status)),
      op.BR, ...number(this.depth + this.leaders.length - this.place),
    ];
  }

  /** Counts what was executed of the block so far, and so many cycles. */
  counted(cycles) {
    if (!this.length) return [];
    return [
      ...put(CYCLES, calculate(get(CYCLES), op.SUB, word(cycles))),
      ...put(INSTRUCTIONS, calculate(get(INSTRUCTIONS), op.ADD, word(this.length))),
    ];
  }

  exit(target, status, cycles = this.cycles) {
    const expression = typeof target === 'number' ? word(target) : target;
    return [...this.flags(), ...this.counted(cycles), ...this.out(expression, status)];
  }

  /** To an address, in the region or elsewhere. */
  go(target, cycles = this.cycles) {
    const place = this.places.get(target);
    if (place === undefined) return this.exit(target, GOES_ON, cycles);
    const before = [...this.flags(), ...this.counted(cycles)];
    if (place > this.place) return [...before, op.BR, ...number(this.depth + place - this.place - 1)];
    return [...before, ...put(NEXT, word(place)), op.BR, ...number(this.depth + this.leaders.length - this.place - 1)];
  }

  // -- flags

  flags() {
    return [
      ...(this.sign ? [...put(SIGN, get(Z)), ...put(ZERO, get(Z))] : []),
      ...(this.carry ? put(CARRY, this.carryNow()) : []),
      ...(this.overflow ? put(OVERFLOW, this.overflowNow()) : []),
    ];
  }

  carryNow() {
    const [a, b] = [get(FA), get(FB)];
    switch (this.carry) {
      case 'add': return calculate(calculate(a, op.ADD, b), op.LT_U, a);
      case 'sub': return calculate(a, op.GE_U, b);
      case 'known': return get(CF);
      default: return get(CARRY);
    }
  }

  /** A word with its sign. */
  overflowNow() {
    const [a, b] = [get(FA), get(FB)];
    const differs = (x, y) => calculate(x, op.XOR, y);
    switch (this.overflow) {
      case 'add': {
        const sum = calculate(a, op.ADD, b);
        return calculate(differs(a, sum), op.AND, differs(b, sum));
      }
      case 'sub': return calculate(differs(a, b), op.AND, differs(a, calculate(a, op.SUB, b)));
      case 'known': return get(VF);
      default: return get(OVERFLOW);
    }
  }

  condition(code) {
    const compared = [op.EQ, op.NE, op.GE_U, op.LT_U, 0, 0, 0, 0, op.GT_U, op.LE_U, op.GE_S, op.LT_S, op.GT_S, op.LE_S];
    if (this.plainCompare && this.carry === 'sub' && this.overflow === 'sub' && compared[code]) {
      return calculate(get(FA), compared[code], get(FB));
    }
    const negative = () => get(this.sign ? Z : SIGN);
    const zero = () => [...get(this.sign ? Z : ZERO), op.EQZ];
    const unequal = () => calculate(negative(), op.XOR, this.overflowNow()); // N and V, in the sign
    const not = (expression) => [...expression, op.EQZ];
    const below = (expression) => calculate(expression, op.LT_S, word(0));
    const positive = () => {
      switch (code >> 1) {
        case 0: return zero();
        case 1: return this.carryNow();
        case 2: return below(negative());
        case 3: return below(this.overflowNow());
        case 4: return calculate(this.carryNow(), op.AND, not(zero()));
        case 5: return not(below(unequal()));
        default: return calculate(not(below(unequal())), op.AND, not(zero()));
      }
    };
    return code & 1 ? not(positive()) : positive();
  }

  result(...expression) {
    this.sign = 'result';
    this.plainCompare = false;
    return put(Z, ...expression);
  }

  arithmetic(kind, a, b) {
    const operands = [...put(FA, a), ...put(FB, b)];
    const code = this.result(calculate(get(FA), kind === 'add' ? op.ADD : op.SUB, get(FB)));
    this.carry = this.overflow = kind;
    this.plainCompare = kind === 'sub';
    return [...operands, ...code];
  }

  // -- instructions

  count(cycles) {
    this.length++;
    this.cycles += cycles;
  }

  /** Emits an instruction of so many cycles, one usually; where the next is. */
  one(pc, code, cycles = 1) {
    this.emit(code);
    this.count(cycles);
    return pc + 2;
  }

  /** Whether X, of so many bytes, is in RAM (or the flash): its offset comes to O. Misplaced ones are too far. */
  within(base, size, shift) {
    const offset = [...calculate(get(X), op.SUB, word(base)), op.TEE, O];
    return calculate(shift ? calculate(offset, op.ROTR, word(shift)) : offset, op.LT_U, word(size >>> shift));
  }

  load(pc, address, target, bytes, extend = []) {
    const { flash, ram, flashSize, ramSize } = this.memory;
    const shift = bytes >> 1;
    const take = (place) => this.set(target, get(O), load(bytes, place), extend);
    const read = () => this.set(target, get(X), [op.CALL, READ_WORD]);
    this.emit([
      ...put(X, address),
      ...this.within(RAM, ramSize, shift), op.IF, VOID, ...take(ram), op.ELSE,
      ...this.within(FLASH, flashSize, shift), op.IF, VOID, ...take(flash), op.ELSE,
      ...this.nested(() => this.elsewhere(pc, bytes, read), 2), op.END, op.END,
    ]);
    this.count(2);
    return pc + 2;
  }

  store(pc, address, source, bytes) {
    const { ram, ramSize } = this.memory;
    this.emit([
      ...put(X, address),
      ...this.within(RAM, ramSize, bytes >> 1), op.IF, VOID,
      ...get(O), ...this.reg(source), ...store(bytes, ram), op.ELSE,
      ...this.nested(() => this.elsewhere(pc, bytes, () => [...get(X), ...this.reg(source), op.CALL, WRITE_WORD])), op.END,
    ]);
    this.count(2);
    return pc + 2;
  }

  /** An access to X outside the memory: in one cycle if it is of a word of the processor's, else it is quickcore's. */
  elsewhere(pc, bytes, access) {
    if (bytes !== 4) return this.exit(pc, LEFT);
    const quick = [...access(), ...put(CYCLES, calculate(get(CYCLES), op.ADD, word(1)))];
    const leave = this.nested(() => this.exit(pc, LEFT));
    return [...this.within(PROCESSOR, PROCESSOR_BYTES, 2), op.IF, VOID, ...quick, op.ELSE, ...leave, op.END];
  }

  /** A word at an address that the code says. */
  literal(pc, address, target) {
    const { flash, ram, flashSize, ramSize } = this.memory;
    const [inFlash, inRam] = [(address - FLASH) >>> 0, (address - RAM) >>> 0];
    if (inFlash >= flashSize && inRam >= ramSize) return null;
    const place = inFlash < flashSize ? flash + inFlash : ram + inRam;
    return this.one(pc, this.set(target, word(place), load(4, 0)), 2);
  }

  /** O becomes the offset in RAM of so many words at X, or the instruction is quickcore's. */
  words(pc, address, count) {
    const last = this.memory.ramSize - 4 * count;
    const offset = [...calculate(get(X), op.SUB, word(RAM)), op.TEE, O];
    const outside = calculate(calculate(offset, op.ROTR, word(2)), op.GT_U, word(last >>> 2));
    return [...put(X, address), ...when(outside, this.nested(() => this.exit(pc, LEFT)))];
  }

  /** O becomes the place in the memory of so many words at X, which may be in flash, or the instruction is quickcore's. */
  wordsAnywhere(pc, address, count) {
    const { flash, ram, flashSize, ramSize } = this.memory;
    const inside = (base, size) => {
      const offset = [...calculate(get(X), op.SUB, word(base)), op.TEE, O];
      return calculate(calculate(offset, op.ROTR, word(2)), op.LE_U, word((size - 4 * count) >>> 2));
    };
    const moved = (place) => put(O, calculate(get(O), op.ADD, word(place)));
    return [
      ...put(X, address),
      ...inside(RAM, ramSize), op.IF, VOID, ...moved(ram), op.ELSE,
      ...inside(FLASH, flashSize), op.IF, VOID, ...moved(flash), op.ELSE,
      ...this.nested(() => this.exit(pc, LEFT), 2), op.END, op.END,
    ];
  }

  stack() {
    const lower = calculate(this.reg(SP), op.LT_U, get(LOWEST));
    return put(LOWEST, this.reg(SP), get(LOWEST), lower, [op.SELECT]);
  }

  plus(k, offset) {
    return offset ? calculate(this.reg(k), op.ADD, word(offset)) : this.reg(k);
  }

  /** Emits one; returns where the next is, undefined after a jump, null if it is none for a region. */
  instruction(pc, opcode) {
    const low = opcode & 7;
    const middle = (opcode >> 3) & 7;
    const high = (opcode >> 6) & 7;
    const upper = (opcode >> 8) & 7;
    const five = (opcode >> 6) & 0x1f;
    const eight = opcode & 0xff;
    const plain = (...code) => this.one(pc, code.flat());
    switch (opcode >> 11) {
      case 0x00: { // LSLS immediate
        if (!five) return plain(this.result(this.reg(middle)), this.set(low, get(Z)));
        const carry = calculate(calculate(this.reg(middle), op.SHR_U, word(32 - five)), op.AND, word(1));
        return this.shift(pc, low, carry, calculate(this.reg(middle), op.SHL, word(five)));
      }
      case 0x01: { // LSRS immediate
        const carry = calculate(calculate(this.reg(middle), op.SHR_U, word(five ? five - 1 : 31)), op.AND, word(1));
        return this.shift(pc, low, carry, five ? calculate(this.reg(middle), op.SHR_U, word(five)) : word(0));
      }
      case 0x02: { // ASRS immediate
        const places = five || 32;
        const carry = calculate(calculate(this.reg(middle), op.SHR_U, word(places - 1)), op.AND, word(1));
        return this.shift(pc, low, carry, calculate(this.reg(middle), op.SHR_S, word(Math.min(places, 31))));
      }
      case 0x03: { // ADDS, SUBS: register, 3 bits
        const kind = opcode & 0x200 ? 'sub' : 'add';
        const second = opcode & 0x400 ? word(high) : this.reg(high);
        return plain(this.arithmetic(kind, this.reg(middle), second), this.set(low, get(Z)));
      }
      case 0x04: // MOVS immediate
        return plain(this.result(word(eight)), this.set(upper, get(Z)));
      case 0x05: // CMP immediate
        return plain(this.arithmetic('sub', this.reg(upper), word(eight)));
      case 0x06: // ADDS, 8 bits
        return plain(this.arithmetic('add', this.reg(upper), word(eight)), this.set(upper, get(Z)));
      case 0x07: // SUBS, 8 bits
        return plain(this.arithmetic('sub', this.reg(upper), word(eight)), this.set(upper, get(Z)));
      case 0x08:
        return opcode & 0x400 ? this.highRegisters(pc, opcode) : this.process(pc, opcode);
      case 0x09: // LDR literal
        return this.literal(pc, ((pc + 4) & ~3) + 4 * eight, upper);
      case 0x0a: case 0x0b: { // by register
        const address = calculate(this.reg(high), op.ADD, this.reg(middle));
        switch ((opcode >> 9) & 7) {
          case 0: return this.store(pc, address, low, 4);
          case 1: return this.store(pc, address, low, 2);
          case 2: return this.store(pc, address, low, 1);
          case 3: return this.load(pc, address, low, 1, [op.EXTEND8]);
          case 4: return this.load(pc, address, low, 4);
          case 5: return this.load(pc, address, low, 2);
          case 6: return this.load(pc, address, low, 1);
          default: return this.load(pc, address, low, 2, [op.EXTEND16]);
        }
      }
      case 0x0c: return this.store(pc, this.plus(middle, 4 * five), low, 4);
      case 0x0d: return this.load(pc, this.plus(middle, 4 * five), low, 4);
      case 0x0e: return this.store(pc, this.plus(middle, five), low, 1);
      case 0x0f: return this.load(pc, this.plus(middle, five), low, 1);
      case 0x10: return this.store(pc, this.plus(middle, 2 * five), low, 2);
      case 0x11: return this.load(pc, this.plus(middle, 2 * five), low, 2);
      case 0x12: return this.store(pc, this.plus(SP, 4 * eight), upper, 4);
      case 0x13: return this.load(pc, this.plus(SP, 4 * eight), upper, 4);
      case 0x14: return plain(this.set(upper, word((pc & ~3) + 4 + 4 * eight))); // ADR
      case 0x15: return plain(this.set(upper, this.plus(SP, 4 * eight)));
      case 0x16: case 0x17: return this.miscellaneous(pc, opcode);
      case 0x18: return this.many(pc, opcode, false);
      case 0x19: return this.many(pc, opcode, true);
      case 0x1a: case 0x1b: return this.branch(pc, opcode);
      case 0x1c: // B
        this.count(2);
        this.emit(this.go(pc + 4 + ((opcode << 21) >> 20)));
        return undefined;
      case 0x1e: return this.call(pc, opcode, this.memory.halfword(pc + 2));
      default: return null;
    }
  }

  shift(pc, target, carry, result) {
    const code = [...put(CF, carry), ...this.result(result), ...this.set(target, get(Z))];
    this.carry = 'known';
    return this.one(pc, code);
  }

  /** Data processing on two registers. */
  process(pc, opcode) {
    const target = opcode & 7;
    const a = this.reg(target);
    const b = this.reg((opcode >> 3) & 7);
    const logic = (...expression) => [...this.result(...expression), ...this.set(target, get(Z))];
    const byte = put(X, calculate(b, op.AND, word(255)));
    const [t, x, o] = [get(T), get(X), get(O)];
    const small = calculate(x, op.LT_U, word(32));
    const ready = (code, carry) => {
      this.carry = 'known';
      if (carry === 'both') this.overflow = 'known';
      return this.one(pc, code);
    };
    switch ((opcode >> 6) & 15) {
      case 0: return this.one(pc, logic(calculate(a, op.AND, b)));
      case 1: return this.one(pc, logic(calculate(a, op.XOR, b)));
      case 2: { // LSLS
        const last = calculate(calculate(t, op.SHR_U, calculate(word(32), op.SUB, x)), op.AND, word(1));
        const carry = put(CF, last, this.carryNow(), x, [op.SELECT]);
        const value = [...calculate(t, op.SHL, x), ...word(0), ...small, op.SELECT];
        return ready([...put(T, a), ...byte, ...carry, ...logic(value)]);
      }
      case 3: { // LSRS
        const last = calculate(calculate(t, op.SHR_U, calculate(x, op.SUB, word(1))), op.AND, word(1));
        const carry = put(CF, last, word(0), calculate(x, op.LE_U, word(32)), [op.SELECT]);
        const value = [...calculate(t, op.SHR_U, x), ...word(0), ...small, op.SELECT];
        return ready([...put(T, a), ...byte, ...carry, ...logic(value)]);
      }
      case 4: { // ASRS
        const most = put(X, x, word(32), small, [op.SELECT]);
        const carry = put(CF, calculate(calculate(t, op.SHR_U, calculate(x, op.SUB, word(1))), op.AND, word(1)));
        const value = [...calculate(t, op.SHR_S, x), ...calculate(t, op.SHR_S, word(31)), ...small, op.SELECT];
        return ready([...put(T, a), ...byte, ...most, ...carry, ...logic(value)]);
      }
      case 5: { // ADCS, with rp2040js's overflow: the carry belongs to the second operand
        const code = [...put(T, this.carryNow()), ...put(X, b), ...put(O, a), ...put(FA, calculate(x, op.ADD, o))];
        const carried = calculate(get(FA), op.LT_U, x);
        const sum = logic(calculate(get(FA), op.ADD, t));
        const carry = put(CF, calculate(carried, op.OR, calculate(get(Z), op.LT_U, get(FA))));
        const second = put(O, calculate(o, op.ADD, t));
        const over = calculate(calculate(x, op.XOR, get(Z)), op.AND, calculate(o, op.XOR, get(Z)));
        return ready([...code, ...sum, ...carry, ...second, ...put(VF, over)], 'both');
      }
      case 6: { // SBCS
        const borrow = put(O, this.carryNow(), [op.EQZ]);
        const code = [...borrow, ...put(T, calculate(b, op.ADD, o)), ...put(X, a)];
        const wrapped = calculate(o, op.AND, [...t, op.EQZ]); // 2 ** 32 is more than any
        const carry = put(CF, calculate(calculate(x, op.GE_U, t), op.AND, [...wrapped, op.EQZ]));
        const difference = logic(calculate(x, op.SUB, t));
        const over = calculate(calculate(x, op.XOR, t), op.AND, calculate(x, op.XOR, get(Z)));
        return ready([...code, ...carry, ...difference, ...put(VF, over)], 'both');
      }
      case 7: { // RORS
        const code = logic(calculate(a, op.ROTR, calculate(b, op.AND, word(31))));
        return ready([...code, ...put(CF, calculate(get(Z), op.SHR_U, word(31)))]);
      }
      case 8: return this.one(pc, this.result(calculate(a, op.AND, b)));
      case 9: return this.one(pc, [...this.arithmetic('sub', word(0), b), ...this.set(target, get(Z))]);
      case 10: return this.one(pc, this.arithmetic('sub', a, b));
      case 11: return this.one(pc, this.arithmetic('add', a, b));
      case 12: return this.one(pc, logic(calculate(a, op.OR, b)));
      case 13: return this.one(pc, logic(calculate(b, op.MUL, a)));
      case 14: return this.one(pc, logic(calculate(a, op.AND, calculate(b, op.XOR, word(-1)))));
      default: return this.one(pc, logic(calculate(b, op.XOR, word(-1))));
    }
  }

  highRegisters(pc, opcode) {
    const source = (opcode >> 3) & 15;
    const target = (opcode & 7) | ((opcode >> 4) & 8);
    const operation = (opcode >> 8) & 3;
    if (operation === 3) return this.exchange(pc, opcode, source);
    if (target === PC || (operation === 1 && source === PC)) return null;
    const value = source === PC ? word(pc + 4) : this.reg(source);
    if (operation === 1) return this.one(pc, this.arithmetic('sub', this.reg(target), value));
    const sum = operation === 0 ? calculate(this.reg(target), op.ADD, value) : value;
    if (target !== SP) return this.one(pc, this.set(target, sum));
    return this.one(pc, [...this.set(SP, calculate(sum, op.AND, word(-4))), ...this.stack()]);
  }

  /** BX, BLX. A return from an exception is quickcore's. */
  exchange(pc, opcode, source) {
    if (source === PC || opcode & 7) return null;
    const to = put(T, this.reg(source));
    const even = calculate(get(T), op.AND, word(-2));
    if (opcode & 0x80) {
      this.count(2);
      this.emit([...to, ...this.set(LR, word((pc + 2) | 1)), ...this.exit(even, GOES_ON)]);
      return undefined;
    }
    this.emit([...to, ...this.returns(pc)]);
    this.count(2);
    this.emit(this.exit(even, GOES_ON));
    return undefined;
  }

  /** Leaves if T is where an exception returns to. */
  returns(pc) {
    const exception = calculate(calculate(get(T), op.SHR_U, word(28)), op.EQ, word(15));
    return when(exception, this.nested(() => this.exit(pc, LEFT)));
  }

  miscellaneous(pc, opcode) {
    const source = (opcode >> 3) & 7;
    const target = opcode & 7;
    switch (opcode >> 8) {
      case 0xb0: {
        const offset = opcode & 0x80 ? -4 * (opcode & 0x7f) : 4 * (opcode & 0x7f);
        return this.one(pc, [...this.set(SP, this.plus(SP, offset)), ...this.stack()]);
      }
      case 0xb2: {
        const [of, ...how] = [
          this.reg(source), [op.EXTEND16], [op.EXTEND8], [...word(65535), op.AND], [...word(255), op.AND],
        ];
        return this.one(pc, this.set(target, of, how[(opcode >> 6) & 3]));
      }
      case 0xb4: case 0xb5: return this.push(pc, opcode);
      case 0xba: { // REV, but not the others
        if ((opcode >> 6) & 3) return null;
        const outer = calculate(calculate(this.reg(source), op.ROTR, word(8)), op.AND, word(0xff00ff00));
        const inner = calculate(calculate(this.reg(source), op.ROTR, word(24)), op.AND, word(0x00ff00ff));
        return this.one(pc, this.set(target, calculate(outer, op.OR, inner)));
      }
      case 0xbc: case 0xbd: return this.pop(pc, opcode);
      case 0xb6: // CPSID; after CPSIE interrupts may come
        if (opcode !== 0xb672) return null;
        return this.one(pc, [...word(state.MASKED), ...word(1), ...store(4, 0)]);
      case 0xbf: return opcode === 0xbf00 ? this.one(pc, []) : null; // NOP
      default: return null;
    }
  }

  /** The registers of a list, from the lowest on. */
  listed(opcode) {
    return [0, 1, 2, 3, 4, 5, 6, 7].filter((k) => opcode & (1 << k));
  }

  fromMemory(i) {
    return [...get(O), ...load(4, this.memory.ram + 4 * i)];
  }

  toMemory(list) {
    return list.flatMap((k, i) => [...get(O), ...this.reg(k), ...store(4, this.memory.ram + 4 * i)]);
  }

  push(pc, opcode) {
    const list = this.listed(opcode);
    const cycles = 1 + list.length;
    if (opcode & 0x100) list.push(LR);
    if (!list.length) return null;
    const where = this.words(pc, this.plus(SP, -4 * list.length), list.length);
    return this.one(pc, [...where, ...this.toMemory(list), ...this.set(SP, get(X)), ...this.stack()], cycles);
  }

  pop(pc, opcode) {
    const list = this.listed(opcode);
    const leaves = (opcode & 0x100) !== 0;
    const count = list.length + (leaves ? 1 : 0);
    if (!count) return null;
    this.emit(this.words(pc, this.reg(SP), count));
    if (leaves) this.emit([...put(T, this.fromMemory(list.length)), ...this.returns(pc)]);
    list.forEach((k, i) => this.emit(this.set(k, this.fromMemory(i))));
    this.emit(this.set(SP, calculate(get(X), op.ADD, word(4 * count))));
    this.count(1 + list.length + (leaves ? 2 : 0));
    if (!leaves) return pc + 2;
    this.emit(this.exit(calculate(get(T), op.AND, word(-2)), GOES_ON));
    return undefined;
  }

  /** LDM, STM. */
  many(pc, opcode, loads) {
    const base = (opcode >> 8) & 7;
    const list = this.listed(opcode);
    if (!list.length) return null;
    if (loads) {
      this.emit(this.wordsAnywhere(pc, this.reg(base), list.length));
      list.forEach((k, i) => this.emit(this.set(k, get(O), load(4, 4 * i))));
    } else {
      this.emit([...this.words(pc, this.reg(base), list.length), ...this.toMemory(list)]);
    }
    const after = calculate(get(X), op.ADD, word(4 * list.length));
    return this.one(pc, list.includes(base) ? [] : this.set(base, after), 1 + list.length);
  }

  /** Barriers, and MRS of the mask of interrupts. */
  system(pc, opcode, second) {
    const target = (second >> 8) & 15;
    const barrier = opcode === 0xf3bf && [0x8f40, 0x8f50, 0x8f60].includes(second & 0xfff0);
    const mask = opcode === 0xf3ef && (second & 0xf0ff) === 0x8010 && target < SP;
    if (!barrier && !mask) return null;
    return this.one(pc, mask ? this.set(target, word(state.MASKED), load(4, 0)) : [], 3) + 2;
  }

  branch(pc, opcode) {
    const code = (opcode >> 8) & 15;
    if (code > 13) return null;
    this.count(1);
    const taken = this.nested(() => this.go(pc + 4 + ((opcode << 24) >> 23), this.cycles + 1));
    this.emit(when(this.condition(code), taken));
    return pc + 2;
  }

  call(pc, opcode, second) {
    if ((second & 0xd000) !== 0xd000) return this.system(pc, opcode, second);
    this.count(3);
    this.emit([...this.set(LR, word((pc + 4) | 1)), ...this.go(linked(pc, opcode, second))]);
    return undefined;
  }
}
