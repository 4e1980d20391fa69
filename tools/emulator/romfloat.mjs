// The float functions of the RP2040's boot ROM, computed by JavaScript. Owns their semantics (RP2040 datasheet,
// §2.8.3.2): denormals, in and out, are zero of the same sign; conversions saturate. bootrom.mjs places them in the
// ROM's tables.
//
// An entry is [name, cycles, function of the core]; the order is that of the ROM's tables. Cycles are the datasheet's.

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const u64 = new BigUint64Array(f64.buffer);

const EXPONENT = 0x7f800000;
const SIGN = 0x80000000;

function float(bits) {
  u32[0] = bits & EXPONENT ? bits : bits & SIGN;
  return f32[0];
}

function bits(value) {
  f32[0] = value;
  return u32[0] & EXPONENT ? u32[0] : (u32[0] & SIGN) >>> 0;
}

function double(low, high) {
  u64[0] = wide(low, high);
  return f64[0];
}

function setDouble(r, value) {
  f64[0] = value;
  setWide(r, u64[0]);
}

function wide(low, high) {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function setWide(r, value) {
  const word = BigInt.asUintN(64, value);
  r[0] = Number(word & 0xffffffffn);
  r[1] = Number(word >> 32n);
}

function clamp(value, low, high) {
  return Number.isNaN(value) ? 0 : Math.max(low, Math.min(high, Math.floor(value)));
}

const toInt = (value) => clamp(value, -(2 ** 31), 2 ** 31 - 1) | 0;
const toUint = (value) => clamp(value, 0, 2 ** 32 - 1) >>> 0;

// A double cannot hold 2^63 - 1: what saturates must do so as an integer.
function toWide(value, low, high) {
  if (Number.isNaN(value)) return 0n;
  if (value >= Number(high)) return high - 1n;
  return value <= Number(low) ? low : BigInt(Math.floor(value));
}

const toInt64 = (value) => toWide(value, -(2n ** 63n), 2n ** 63n);
const toUint64 = (value) => toWide(value, 0n, 2n ** 64n);
const compare = (a, b) => (a === b ? 0 : a < b ? -1 : 1);

const unary = (name, cycles, f) => [name, cycles, ({ registers: r }) => (r[0] = bits(f(float(r[0]))))];
const binary = (name, cycles, f) => [name, cycles, ({ registers: r }) => (r[0] = bits(f(float(r[0]), float(r[1]))))];
const from = (name, cycles, f) => [name, cycles, ({ registers: r }) => (r[0] = bits(f(r)))];
const to = (name, cycles, f) => [name, cycles, ({ registers: r }) => (r[0] = f(float(r[0]), r[1] | 0))];
const to64 = (name, f) => [name, 60, ({ registers: r }) => setWide(r, f(float(r[0])))];
const pair = (name, cycles, f) => {
  const run = ({ registers: r }) => setDouble(r, f(double(r[0], r[1]), double(r[2], r[3])));
  return [name, cycles, run];
};

function missing(name) {
  return [name, 0, () => { throw new Error(`boot ROM function ${name} is not made`); }];
}

function compareIntoResult({ registers: r }) {
  r[0] = compare(float(r[0]), float(r[1]));
}

function compareIntoFlags(core) {
  const order = compare(float(core.registers[0]), float(core.registers[1]));
  core.Z = order === 0;
  core.N = order < 0;
  core.C = order >= 0;
  core.V = false;
}

function sineAndCosine({ registers: r }) {
  const angle = float(r[0]);
  r[0] = bits(Math.cos(angle));
  r[1] = bits(Math.sin(angle));
}

export const SINGLE = [
  binary('fadd', 71, (a, b) => a + b),
  binary('fsub', 74, (a, b) => a - b),
  binary('fmul', 69, (a, b) => a * b),
  binary('fdiv', 71, (a, b) => a / b),
  ['fcmp_fast', 35, compareIntoResult],
  ['fcmp_fast_flags', 35, compareIntoFlags],
  unary('fsqrt', 63, Math.sqrt),
  to('float2int', 25, (x) => toInt(x)),
  to('float2fix', 25, (x, places) => toInt(x * 2 ** places)),
  to('float2uint', 25, (x) => toUint(x)),
  to('float2ufix', 25, (x, places) => toUint(x * 2 ** places)),
  from('int2float', 25, (r) => r[0] | 0),
  from('fix2float', 25, (r) => (r[0] | 0) / 2 ** (r[1] | 0)),
  from('uint2float', 25, (r) => r[0]),
  from('ufix2float', 25, (r) => r[0] / 2 ** (r[1] | 0)),
  unary('fcos', 600, Math.cos),
  unary('fsin', 600, Math.sin),
  unary('ftan', 700, Math.tan),
  ['fsincos', 700, sineAndCosine],
  unary('fexp', 400, Math.exp),
  unary('fln', 400, Math.log),
  ['fcmp', 40, compareIntoResult],
  binary('fatan2', 500, Math.atan2),
  from('int642float', 60, (r) => Number(BigInt.asIntN(64, wide(r[0], r[1])))),
  missing('fix642float'),
  from('uint642float', 60, (r) => Number(wide(r[0], r[1]))),
  missing('ufix642float'),
  to64('float2int64', toInt64),
  missing('float2fix64'),
  to64('float2uint64', toUint64),
  missing('float2ufix64'),
  ['float2double', 60, ({ registers: r }) => setDouble(r, float(r[0]))],
];

// MicroPython on the RP2040 computes with single floats; the few doubles that the C library needs are these.
export const DOUBLE = [
  pair('dadd', 91, (a, b) => a + b),
  pair('dsub', 95, (a, b) => a - b),
  pair('dmul', 155, (a, b) => a * b),
  pair('ddiv', 183, (a, b) => a / b),
  ...Array(28).fill(missing('of the double table')),
];
