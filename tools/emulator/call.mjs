// Calls single functions of an image: the board boots until main(), then runs what standard input asks for, a line of
// JSON a call, and answers each with a line. No interrupts, nothing else runs; memory stays from call to call.
//
//   node call.mjs firmware.uf2 ADDRESS_OF_MAIN < calls > answers
//
//   call    {"function": address, "arguments": [words], "write": [[address, hex]], "read": [[address, bytes]],
//            "trace": true or false}
//   answer  {"result": r0, "cycles": n, "stack": bytes, "changed": [registers], "read": [hex], "code": bytes}
//
// "changed" names those of r4 to r11 and sp that are not what they were; "stack" is how far down sp went; "code", if
// traced, how much flash instructions came from, in lines of the cache.

import fs from 'node:fs';
import { Flash } from './flash.mjs';
import { Machine } from './machine.mjs';
import { Random } from './random.mjs';
import { layUf2 } from './uf2.mjs';

const RAM = 0x20000000;
const RETURN = 0x2003f000; // below the stack; nothing is ever executed there
const STACK_TOP = 0x20042000;
const LONGEST = 1e9; // cycles
const CACHE_LINE = 8; // bytes
const SP = 13;
const PC = 15;
const KEPT = [4, 5, 6, 7, 8, 9, 10, 11];

function boot(image, main) {
  const flash = new Flash(undefined, new Random(1));
  layUf2(flash.cells, fs.readFileSync(image));
  const outputs = { console() {}, connected() {}, uart() {} };
  const machine = new Machine({ flash, random: new Random(1), outputs });
  while (machine.core.registers[PC] !== main) machine.run(1, () => 1e9);
  machine.core.PM = true;
  machine.blocks.setNever(RETURN); // or it would go on there
  return machine;
}

function call(machine, { function: address, arguments: words, write = [], read = [], trace = false }) {
  const { core, charge, step, mcu, blocks } = machine;
  const { registers } = core;
  const at = (pointer) => pointer - RAM;
  for (const [pointer, hex] of write) mcu.sram.set(Buffer.from(hex, 'hex'), at(pointer));
  words.slice(0, 4).forEach((word, i) => { registers[i] = word; });
  const onStack = words.slice(4);
  const top = STACK_TOP - 8 * Math.ceil(onStack.length / 2);
  onStack.forEach((word, i) => mcu.writeUint32(top + 4 * i, word));
  for (const register of KEPT) registers[register] = 0xc0ffee00 + register;
  registers[SP] = top;
  core.LR = RETURN | 1;
  registers[PC] = address & ~1;
  let cycles = 0;
  machine.lowestStack = top;
  const lines = new Set();
  while (registers[PC] !== RETURN) {
    if (trace) {
      if (registers[PC] < RAM) lines.add(Math.floor(registers[PC] / CACHE_LINE));
    } else if (blocks.run(LONGEST, LONGEST)) {
      cycles += blocks.cycles;
      blocks.translate();
      continue;
    }
    cycles += step() + charge.cycles;
    charge.cycles = 0;
    if (registers[SP] < machine.lowestStack) machine.lowestStack = registers[SP];
    if (cycles > LONGEST) throw new Error(`the function at 0x${address.toString(16)} does not return`);
  }
  const changed = KEPT.filter((register) => registers[register] !== 0xc0ffee00 + register);
  if (registers[SP] !== top) changed.push(SP);
  return {
    result: registers[0],
    cycles,
    stack: top - machine.lowestStack,
    changed: changed.map((register) => (register === SP ? 'sp' : `r${register}`)),
    read: read.map(([pointer, bytes]) => Buffer.from(mcu.sram.subarray(at(pointer), at(pointer) + bytes)).toString('hex')),
    code: CACHE_LINE * lines.size,
  };
}

const [image, main] = process.argv.slice(2);
const machine = boot(image, Number(main) & ~1);
const output = [];
for (const line of fs.readFileSync(0, 'utf8').split('\n')) {
  if (line) output.push(JSON.stringify(call(machine, JSON.parse(line))));
}
process.stdout.write(output.join('\n') + '\n');
