// WebAssembly's binary format, as much of it as translation.mjs needs: opcodes, numbers, modules.
//
// Code is arrays of bytes that are put together; an expression leaves one word on the stack.
//
// Format: WebAssembly Core Specification 1.0, chapter 5.

export const op = {
  BLOCK: 0x02, LOOP: 0x03, IF: 0x04, ELSE: 0x05, END: 0x0b,
  BR: 0x0c, BR_IF: 0x0d, BR_TABLE: 0x0e, RETURN: 0x0f, CALL: 0x10, CALL_INDIRECT: 0x11, SELECT: 0x1b,
  GET: 0x20, SET: 0x21, TEE: 0x22,
  EQZ: 0x45, EQ: 0x46, NE: 0x47,
  LT_S: 0x48, LT_U: 0x49, GT_S: 0x4a, GT_U: 0x4b, LE_S: 0x4c, LE_U: 0x4d, GE_S: 0x4e, GE_U: 0x4f,
  ADD: 0x6a, SUB: 0x6b, MUL: 0x6c, AND: 0x71, OR: 0x72, XOR: 0x73, SHL: 0x74, SHR_S: 0x75, SHR_U: 0x76, ROTR: 0x78,
  EXTEND8: 0xc0, EXTEND16: 0xc1,
};
export const VOID = 0x40; // the result of a block
const I32 = 0x7f;
const MAGIC = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

const LOADS = { 1: [0x2d, 0], 2: [0x2f, 1], 4: [0x28, 2] }; // opcode, alignment; bytes and halfwords without sign
const STORES = { 1: [0x3a, 0], 2: [0x3b, 1], 4: [0x36, 2] };

/** An unsigned number. */
export function number(value) {
  const bytes = [];
  while (value > 0x7f) {
    bytes.push((value & 0x7f) | 0x80);
    value >>>= 7;
  }
  bytes.push(value);
  return bytes;
}

/** The word as an expression. */
export function constant(value) {
  const bytes = [0x41];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && !(low & 0x40)) || (rest === -1 && low & 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

/** Of the address on the stack plus an offset. */
export const load = (bytes, offset) => [...LOADS[bytes], ...number(offset)];
export const store = (bytes, offset) => [...STORES[bytes], ...number(offset)];

const vector = (items) => [...number(items.length), ...items.flat()];
const section = (id, content) => [id, ...number(content.length), ...content];
const name = (text) => vector([...Buffer.from(text)].map((byte) => [byte]));

/** A function's code with so many words as variables besides its parameters. */
export function body(variables, code) {
  const content = [1, ...number(variables), I32, ...code, op.END];
  return [...number(content.length), ...content];
}

const TYPES = [[0x60, 0, 1, I32], [0x60, 1, I32, 1, I32], [0x60, 2, I32, I32, 0]];
export const PROGRAM = 0; // () -> word
export const REGION = 1; // word -> word
const WRITE = 2; // two words -> nothing

// What is imported from `env`: the memory, the table, and two functions, which are these.
export const READ_WORD = 0; // read(address), a word
export const WRITE_WORD = 1; // write(address, value)
const OWN = 2; // the first of a module's own

/**
 * A module of functions of one type. They stand in the table from `first` on, if that is given; else the first is
 * exported as "run".
 */
export function module(type, functions, first) {
  const imports = [
    [...name('env'), ...name('memory'), 2, 0, 1],
    [...name('env'), ...name('table'), 1, 0x70, 0, 1],
    [...name('env'), ...name('read'), 0, REGION],
    [...name('env'), ...name('write'), 0, WRITE],
  ];
  const parts = [
    section(1, vector(TYPES)),
    section(2, vector(imports)),
    section(3, vector(functions.map(() => [type]))),
  ];
  if (first === undefined) {
    parts.push(section(7, vector([[...name('run'), 0, OWN]])));
  } else {
    const elements = vector(functions.map((_, i) => number(OWN + i)));
    parts.push(section(9, vector([[0, ...constant(first), op.END, ...elements]])));
  }
  const code = Buffer.concat([Buffer.from(number(functions.length)), ...functions.map((each) => Buffer.from(each))]);
  return Buffer.concat([...[MAGIC, ...parts, [10, ...number(code.length)]].map((each) => Buffer.from(each)), code]);
}
