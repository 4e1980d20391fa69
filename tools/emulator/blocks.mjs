// Runs of instructions that the guest comes to again and again, translated into functions of JavaScript.
//
// A block begins where a jump led to, follows the code through conditional branches that are not taken and ends at the
// first jump that is. Its function keeps registers in local variables (and writes each through), works out flags only
// where somebody can see them, and counts cycles and instructions. Effects, cycles and order are those of
// quickcore.mjs, instruction for instruction, which is why a block leaves off before whatever touches more than
// registers, RAM and flash (peripherals, system registers, returns from exceptions): the next instruction is then
// quickcore's. Nothing inside a block can raise an interrupt or look at the clock, and a block runs only if the next
// alarm is behind its end; so what the guest sees does not depend on what was translated when.
//
// Encodings: ARMv6-M Architecture Reference Manual, A5.2.

import { linked } from './quickcore.mjs';

const FLASH = 0x10000000;
const RAM = 0x20000000;
const SP = 13;
const LR = 14;
const PC = 15;
const HOT = 1000; // arrivals, after which a block is worth translating
const LONGEST = 64; // instructions of a block
const SECTOR_BITS = 12; // what an operation of the flash changes
const NONE = { run: null, cycles: 0, length: 0, check: null };

// Of what a block's function says besides the guest's registers.
const CYCLES = 0;
const INSTRUCTIONS = 1;
const LOWEST = 2;

export class Blocks {
  /** Of code in the first so many bytes of the flash, and in RAM. */
  constructor(mcu, codeSize, hot = HOT) {
    this.codeSize = codeSize;
    this.hot = hot;
    this.core = mcu.core;
    this.r = new Int32Array(mcu.core.registers.buffer);
    this.flash16 = new Uint16Array(mcu.flash.buffer);
    this.ram16 = new Uint16Array(mcu.sram.buffer);
    this.flashSize = mcu.flash.length;
    this.ramSize = mcu.sram.length;
    this.said = new Int32Array(3);
    const words = (bytes) => new Int32Array(bytes.buffer);
    this.memory = [mcu.sram, this.ram16, words(mcu.sram), mcu.flash, this.flash16, words(mcu.flash)];
    this.ramBlocks = new Array(this.ramSize >> 1).fill(undefined);
    this.ramArrivals = new Uint16Array(this.ramSize >> 1);
    this.forget();
    this.cycles = 0; // of the last run()
    this.left = false; // whether the last run() left off before an instruction that is quickcore's
  }

  /** What was translated of the flash, and how often the guest came where. */
  forget() {
    this.flashBlocks = new Array(this.codeSize >> 1).fill(undefined);
    this.flashArrivals = new Uint16Array(this.codeSize >> 1);
    this.translated = new Uint8Array((this.codeSize >> SECTOR_BITS) + 1); // by sector, whether a block has code there
  }

  /** The flash has another content there. */
  changed(offset, length) {
    for (let sector = offset >> SECTOR_BITS; sector <= (offset + length - 1) >> SECTOR_BITS; sector++) {
      if (this.translated[sector]) return this.forget();
    }
  }

  get lowestStack() {
    return this.said[LOWEST] >>> 0;
  }

  set lowestStack(address) {
    this.said[LOWEST] = address;
  }

  /** Runs blocks, at most so many instructions and cycles; returns the instructions. `cycles` and `left` say the rest. */
  run(instructions, cycles) {
    const { r, said } = this;
    let done = 0;
    let spent = 0;
    this.left = false;
    for (;;) {
      const block = this.at(r[PC] & ~1);
      if (spent + block.cycles > cycles || done + block.length > instructions || block.run === null) break;
      if (block.check !== null && !this.holds(block.check)) {
        this.ramBlocks[((r[PC] & ~1) - RAM) >>> 1] = undefined;
        break;
      }
      const left = block.run(cycles - spent, instructions - done);
      done += said[INSTRUCTIONS];
      spent += said[CYCLES];
      if (left) {
        this.left = true;
        break;
      }
    }
    this.cycles = spent;
    return done;
  }

  at(pc) {
    const inFlash = (pc - FLASH) >>> 0;
    if (inFlash < this.codeSize) {
      const block = this.flashBlocks[inFlash >>> 1];
      if (block !== undefined) return block;
      if (++this.flashArrivals[inFlash >>> 1] < this.hot) return NONE;
      return (this.flashBlocks[inFlash >>> 1] = this.translate(pc));
    }
    const inRam = (pc - RAM) >>> 0;
    if (inRam >= this.ramSize) return NONE;
    const block = this.ramBlocks[inRam >>> 1];
    if (block !== undefined) return block;
    if (++this.ramArrivals[inRam >>> 1] < this.hot) return NONE;
    this.ramArrivals[inRam >>> 1] = 0;
    return (this.ramBlocks[inRam >>> 1] = this.translate(pc));
  }

  /** Whether the RAM still holds the code that a block was made of: [halfword, content, ...]. */
  holds(check) {
    const { ram16 } = this;
    for (let i = 0; i < check.length; i += 2) {
      if (ram16[check[i]] !== check[i + 1]) return false;
    }
    return true;
  }

  halfword(address) {
    const inFlash = (address - FLASH) >>> 0;
    if (inFlash < this.codeSize) return this.flash16[inFlash >>> 1];
    const inRam = (address - RAM) >>> 0;
    return inRam < this.ramSize ? this.ram16[inRam >>> 1] : -1;
  }

  translate(start) {
    const block = new Translation(start, this);
    block.translate();
    if (!block.length) return NONE;
    const parameters = ['core', 'r', 'said', 'ram8', 'ram16', 'ram32', 'flash8', 'flash16', 'flash32'];
    const make = new Function(...parameters, block.text());
    const run = make(this.core, this.r, this.said, ...this.memory);
    const inRam = start >= RAM;
    if (!inRam) for (const address of block.addresses) this.translated[(address - FLASH) >> SECTOR_BITS] = 1;
    const check = inRam ? block.addresses.flatMap((at) => [(at - RAM) >>> 1, this.halfword(at)]) : null;
    return { run, cycles: block.cycles, length: block.length, check };
  }
}

const CONDITIONS = ['Z', '!Z', 'C', '!C', 'N', '!N', 'V', '!V', 'C&&!Z', '!C||Z', 'N===V', 'N!==V', 'N===V&&!Z', 'N!==V||Z'];

// What the flags follow from, if not from the core's own: expressions over the variables of a block's function.
const CARRY = {
  core: 'core.C',
  bool: 'cf',
  add: '(((fa+fb)|0)>>>0<fa>>>0)',
  sub: '(fa>>>0>=fb>>>0)',
};
const OVERFLOW = {
  core: 'core.V',
  bool: 'vf',
  add: '(((fa^(fa+fb))&(fb^(fa+fb)))<0)',
  sub: '(((fa^fb)&(fa^(fa-fb)))<0)',
};

class Translation {
  constructor(start, blocks) {
    this.start = start;
    this.halfword = (address) => blocks.halfword(address);
    this.flashSize = blocks.flashSize;
    this.ramSize = blocks.ramSize;
    this.lines = [];
    this.addresses = []; // of the halfwords that it was made of
    this.used = new Set(); // registers
    this.length = 0;
    this.cycles = 0;
    this.sign = 'core'; // where N and Z are: in the core, or in `z`, a result
    this.carry = 'core';
    this.overflow = 'core';
    this.plainCompare = false; // z is fa - fb
  }

  text() {
    const registers = [...this.used].map((k) => `a${k}=r[${k}]`);
    const variables = ['c=0', 'n=0', 'z=0', 'fa=0', 'fb=0', 'cf=false', 'vf=false', 'x=0', 'o=0', 't=0', ...registers];
    const body = this.lines.join('\n').replaceAll('LEN', this.length).replaceAll('CYC', this.cycles);
    return `'use strict';return function(maxC,maxN){let ${variables.join(',')};for(;;){${body}}}`;
  }

  translate() {
    let pc = this.start;
    const visited = new Set();
    while (this.length < LONGEST && !visited.has(pc)) {
      visited.add(pc);
      const opcode = this.halfword(pc);
      if (opcode < 0) break;
      const wide = opcode >> 11 === 0b11110;
      const before = this.lines.length;
      const next = this.instruction(pc, opcode, wide ? this.halfword(pc + 2) : 0);
      if (next === null) { // not for a block
        this.lines.length = before;
        break;
      }
      this.addresses.push(pc);
      if (wide) this.addresses.push(pc + 2);
      if (next === undefined) return; // it jumped away
      pc = next;
    }
    if (this.length) this.emit(this.exit(pc, 0));
  }

  emit(line) {
    this.lines.push(line);
  }

  reg(k) {
    this.used.add(k);
    return `a${k}`;
  }

  set(k, expression) {
    this.used.add(k);
    return `r[${k}]=a${k}=${expression};`;
  }

  flags() {
    let text = '';
    if (this.sign !== 'core') text += 'core.N=z<0;core.Z=z===0;';
    if (this.carry !== 'core') text += `core.C=${CARRY[this.carry]};`;
    if (this.overflow !== 'core') text += `core.V=${OVERFLOW[this.overflow]};`;
    return text;
  }

  /** Out of the block, to an address or an expression; left: 1 if the instruction there is quickcore's. */
  exit(target, left, cycles = this.cycles) {
    const counted = `said[${CYCLES}]=c+${cycles};said[${INSTRUCTIONS}]=n+${this.length};`;
    return `${this.flags()}r[${PC}]=${typeof target === 'number' ? target | 0 : target};${counted}return ${left};`;
  }

  count(cycles) {
    this.length++;
    this.cycles += cycles;
  }

  /** Emits an instruction of so many cycles, one usually; where the next is. */
  one(pc, text, cycles = 1) {
    this.emit(text);
    this.count(cycles);
    return pc + 2;
  }

  result(expression) {
    this.sign = 'local';
    this.plainCompare = false;
    return `z=${expression};`;
  }

  arithmetic(kind, a, b) {
    const text = `fa=${a};fb=${b};${this.result(`(fa${kind === 'add' ? '+' : '-'}fb)|0`)}`;
    this.carry = this.overflow = kind;
    this.plainCompare = kind === 'sub';
    return text;
  }

  condition(code) {
    if (this.plainCompare && this.carry === 'sub' && this.overflow === 'sub') {
      const quick = ['fa===fb', 'fa!==fb', 'fa>>>0>=fb>>>0', 'fa>>>0<fb>>>0', 'z<0', 'z>=0', null, null];
      quick.push('fa>>>0>fb>>>0', 'fa>>>0<=fb>>>0', 'fa>=fb', 'fa<fb', 'fa>fb', 'fa<=fb');
      if (quick[code]) return quick[code];
    }
    const names = {
      N: this.sign === 'core' ? 'core.N' : '(z<0)',
      Z: this.sign === 'core' ? 'core.Z' : '(z===0)',
      C: CARRY[this.carry],
      V: OVERFLOW[this.overflow],
    };
    return CONDITIONS[code].replace(/[NZCV]/g, (name) => names[name]);
  }

  /** Emits an access to the address in `x`: to RAM, if a load also to flash; to anything else it is quickcore's. */
  access(pc, address, bytes, use, write) {
    const shift = { 1: 0, 2: 1, 4: 2 }[bytes];
    const width = 8 * bytes;
    const aligned = bytes === 1 ? '' : `&&!(x&${bytes - 1})`;
    const place = (memory) => `${memory}${width}[o>>>${shift}]`;
    let text = `x=${address};o=(x-${RAM})>>>0;if(o<${this.ramSize}${aligned}){${use(place('ram'))}}else{`;
    if (!write) text += `o=(x-${FLASH})>>>0;if(o<${this.flashSize}${aligned}){${use(place('flash'))}}else{`;
    text += this.exit(pc, 1) + (write ? '}' : '}}');
    this.emit(text);
    this.count(2);
  }

  load(pc, address, target, bytes, convert = (value) => value) {
    this.access(pc, address, bytes, (place) => this.set(target, convert(place)), false);
    return pc + 2;
  }

  store(pc, address, source, bytes) {
    const value = this.reg(source);
    this.access(pc, address, bytes, (place) => `${place}=${value};`, true);
    return pc + 2;
  }

  /** o becomes the offset in RAM of so many words, or the instruction is quickcore's. */
  words(pc, address, count) {
    return `x=${address};o=(x-${RAM})>>>0;if(o>${this.ramSize - 4 * count}||x&3){${this.exit(pc, 1)}}o>>>=2;`;
  }

  stack() {
    return `if(a${SP}>>>0<said[${LOWEST}]>>>0)said[${LOWEST}]=a${SP};`;
  }

  /** Emits one; returns where the next is, undefined after a jump, null if it is none for a block. */
  instruction(pc, opcode, second) {
    const low = opcode & 7;
    const middle = (opcode >> 3) & 7;
    const high = (opcode >> 6) & 7;
    const upper = (opcode >> 8) & 7;
    const five = (opcode >> 6) & 0x1f;
    const eight = opcode & 0xff;
    const plain = (text) => this.one(pc, text);
    switch (opcode >> 11) {
      case 0x00: { // LSLS immediate
        const value = this.reg(middle);
        let text = `t=${value};` + this.result(`t<<${five}`) + this.set(low, 'z');
        if (five) {
          text += `cf=(t&${(1 << (32 - five)) | 0})!==0;`;
          this.carry = 'bool';
        }
        return plain(text);
      }
      case 0x01: // LSRS immediate
        return plain(this.shift(middle, low, five ? `(t>>>${five})|0` : '0', `((t>>>${five ? five - 1 : 31})&1)!==0`));
      case 0x02: { // ASRS immediate
        const places = five || 32;
        return plain(this.shift(middle, low, `t>>${Math.min(places, 31)}`, `(t&${(1 << (places - 1)) | 0})!==0`));
      }
      case 0x03: { // ADDS, SUBS: register, 3 bits
        const kind = opcode & 0x200 ? 'sub' : 'add';
        const text = this.arithmetic(kind, this.reg(middle), opcode & 0x400 ? high : this.reg(high));
        return plain(text + this.set(low, 'z'));
      }
      case 0x04: // MOVS immediate
        return plain(this.result(eight) + this.set(upper, 'z'));
      case 0x05: // CMP immediate
        return plain(this.arithmetic('sub', this.reg(upper), eight));
      case 0x06: // ADDS, 8 bits
        return plain(this.arithmetic('add', this.reg(upper), eight) + this.set(upper, 'z'));
      case 0x07: // SUBS, 8 bits
        return plain(this.arithmetic('sub', this.reg(upper), eight) + this.set(upper, 'z'));
      case 0x08:
        return opcode & 0x400 ? this.highRegisters(pc, opcode) : this.process(pc, opcode);
      case 0x09: { // LDR literal: what is in flash does not change while the block lives
        const address = ((pc + 4) & ~3) + 4 * eight;
        return this.load(pc, `${address}`, upper, 4);
      }
      case 0x0a: case 0x0b: { // by register
        const address = `(${this.reg(high)}+${this.reg(middle)})|0`;
        switch ((opcode >> 9) & 7) {
          case 0: return this.store(pc, address, low, 4);
          case 1: return this.store(pc, address, low, 2);
          case 2: return this.store(pc, address, low, 1);
          case 3: return this.load(pc, address, low, 1, (value) => `(${value}<<24)>>24`);
          case 4: return this.load(pc, address, low, 4);
          case 5: return this.load(pc, address, low, 2);
          case 6: return this.load(pc, address, low, 1);
          default: return this.load(pc, address, low, 2, (value) => `(${value}<<16)>>16`);
        }
      }
      case 0x0c: return this.store(pc, `(${this.reg(middle)}+${4 * five})|0`, low, 4);
      case 0x0d: return this.load(pc, `(${this.reg(middle)}+${4 * five})|0`, low, 4);
      case 0x0e: return this.store(pc, `(${this.reg(middle)}+${five})|0`, low, 1);
      case 0x0f: return this.load(pc, `(${this.reg(middle)}+${five})|0`, low, 1);
      case 0x10: return this.store(pc, `(${this.reg(middle)}+${2 * five})|0`, low, 2);
      case 0x11: return this.load(pc, `(${this.reg(middle)}+${2 * five})|0`, low, 2);
      case 0x12: return this.store(pc, `(${this.reg(SP)}+${4 * eight})|0`, upper, 4);
      case 0x13: return this.load(pc, `(${this.reg(SP)}+${4 * eight})|0`, upper, 4);
      case 0x14: return plain(this.set(upper, `${(pc & ~3) + 4 + 4 * eight}`)); // ADR
      case 0x15: return plain(this.set(upper, `(${this.reg(SP)}+${4 * eight})|0`));
      case 0x16: case 0x17: return this.miscellaneous(pc, opcode);
      case 0x18: return this.many(pc, opcode, false);
      case 0x19: return this.many(pc, opcode, true);
      case 0x1a: case 0x1b: return this.branch(pc, opcode);
      case 0x1c: { // B
        const target = pc + 4 + (((opcode & 0x7ff) << 21) >> 20);
        this.count(2);
        if (target !== this.start) return target;
        this.emit(this.again(this.cycles) + this.exit(target, 0));
        return undefined;
      }
      case 0x1e: return this.call(pc, opcode, second);
      default: return null;
    }
  }

  /** Once more from the block's start, if there is room for all of it; the flags are the core's there. */
  again(cycles) {
    return `if(c+${cycles}+CYC<=maxC&&n+${this.length}+LEN<=maxN){c+=${cycles};n+=${this.length};${this.flags()}continue;}`;
  }

  shift(source, target, result, carry) {
    const text = `t=${this.reg(source)};${this.result(result)}cf=${carry};`;
    this.carry = 'bool';
    return text + this.set(target, 'z');
  }

  /** Data processing on two registers. */
  process(pc, opcode) {
    const target = opcode & 7;
    const a = this.reg(target);
    const b = this.reg((opcode >> 3) & 7);
    const logic = (expression) => this.result(expression) + this.set(target, 'z');
    const carried = (text) => {
      this.carry = this.overflow = 'bool';
      return text;
    };
    let text;
    switch ((opcode >> 6) & 15) {
      case 0: text = logic(`${a}&${b}`); break;
      case 1: text = logic(`${a}^${b}`); break;
      case 2: // LSLS
        text = `t=${a};x=${b}&255;cf=x?(t&(1<<(32-x)))!==0:${CARRY[this.carry]};`;
        text += logic('x>=32?0:t<<x');
        this.carry = 'bool';
        break;
      case 3: // LSRS
        text = `t=${a};x=${b}&255;cf=x<=32?((t>>>(x-1))&1)!==0:false;` + logic('x<32?(t>>>x)|0:0');
        this.carry = 'bool';
        break;
      case 4: // ASRS
        text = `t=${a};x=Math.min(${b}&255,32);cf=(t&(1<<(x-1)))!==0;` + logic('x<32?t>>x:t>>31');
        this.carry = 'bool';
        break;
      case 5: // ADCS, with rp2040js's overflow: the carry belongs to the second operand
        text = `t=${CARRY[this.carry]}?1:0;x=${b};o=(${a}+t)|0;cf=(x>>>0)+(${a}>>>0)+t>4294967295;`;
        text = carried(text + logic('(x+o)|0') + 'vf=z!==x+o;');
        break;
      case 6: // SBCS
        text = `t=(${b}>>>0)+(${CARRY[this.carry]}?0:1);x=${a};cf=x>>>0>=t;`;
        text = carried(text + logic('(x-t)|0') + 'vf=((x^t)&(x^z))<0;');
        break;
      case 7: // RORS
        text = `t=${a};x=${b}&31;${logic('(t>>>x)|(t<<(32-x))')}cf=z<0;`;
        this.carry = 'bool';
        break;
      case 8: text = this.result(`${a}&${b}`); break;
      case 9: text = this.arithmetic('sub', 0, b) + this.set(target, 'z'); break;
      case 10: text = this.arithmetic('sub', a, b); break;
      case 11: text = this.arithmetic('add', a, b); break;
      case 12: text = logic(`${a}|${b}`); break;
      case 13: text = logic(`Math.imul(${b},${a})`); break;
      case 14: text = logic(`${a}&~${b}`); break;
      default: text = logic(`~${b}`);
    }
    return this.one(pc, text);
  }

  highRegisters(pc, opcode) {
    const source = (opcode >> 3) & 15;
    const target = (opcode & 7) | ((opcode >> 4) & 8);
    const operation = (opcode >> 8) & 3;
    if (operation === 3) return this.exchange(pc, opcode, source);
    if (target === PC || (operation === 1 && source === PC)) return null;
    const value = source === PC ? `${pc + 4}` : this.reg(source);
    if (operation === 1) return this.one(pc, this.arithmetic('sub', this.reg(target), value));
    const sum = operation === 0 ? `${this.reg(target)}+${value}` : value;
    return this.one(pc, target === SP ? this.set(SP, `(${sum})&~3`) + this.stack() : this.set(target, `(${sum})|0`));
  }

  /** BX, BLX. A return from an exception is quickcore's. */
  exchange(pc, opcode, source) {
    if (source === PC || opcode & 7) return null;
    const target = this.reg(source);
    if (opcode & 0x80) {
      this.count(2);
      this.emit(`t=${target}&~1;` + this.set(LR, `${(pc + 2) | 1}`) + this.exit('t', 0));
    } else {
      this.emit(`t=${target};if(t>>>28===15){${this.exit(pc, 1)}}`);
      this.count(2);
      this.emit(this.exit('t&~1', 0));
    }
    return undefined;
  }

  miscellaneous(pc, opcode) {
    const source = this.reg((opcode >> 3) & 7);
    const target = opcode & 7;
    const plain = (text) => this.one(pc, text);
    switch (opcode >> 8) {
      case 0xb0: {
        const offset = opcode & 0x80 ? -4 * (opcode & 0x7f) : 4 * (opcode & 0x7f);
        return plain(this.set(SP, `(${this.reg(SP)}+${offset})|0`) + this.stack());
      }
      case 0xb2:
        return plain(this.set(target, [
          `(${source}<<16)>>16`, `(${source}<<24)>>24`, `${source}&65535`, `${source}&255`,
        ][(opcode >> 6) & 3]));
      case 0xb4: case 0xb5: return this.push(pc, opcode);
      case 0xba:
        if ((opcode >> 6) & 3) return null; // but REV
        return plain(`t=${source};` + this.set(target, '(t<<24)|((t&65280)<<8)|((t>>>8)&65280)|(t>>>24)'));
      case 0xbc: case 0xbd: return this.pop(pc, opcode);
      default: return null;
    }
  }

  /** The registers of a list, from the lowest on. */
  listed(opcode) {
    return [0, 1, 2, 3, 4, 5, 6, 7].filter((k) => opcode & (1 << k));
  }

  push(pc, opcode) {
    const list = this.listed(opcode);
    const cycles = 1 + list.length;
    if (opcode & 0x100) list.push(LR);
    if (!list.length) return null;
    let text = this.words(pc, `(${this.reg(SP)}-${4 * list.length})|0`, list.length);
    list.forEach((k, i) => { text += `ram32[o+${i}]=${this.reg(k)};`; });
    return this.one(pc, text + this.set(SP, 'x') + this.stack(), cycles);
  }

  pop(pc, opcode) {
    const list = this.listed(opcode);
    const leaves = (opcode & 0x100) !== 0;
    const count = list.length + (leaves ? 1 : 0);
    if (!count) return null;
    let text = this.words(pc, this.reg(SP), count);
    if (leaves) text += `t=ram32[o+${list.length}];if(t>>>28===15){${this.exit(pc, 1)}}`;
    list.forEach((k, i) => { text += this.set(k, `ram32[o+${i}]`); });
    this.emit(text + this.set(SP, `(x+${4 * count})|0`));
    this.count(1 + list.length + (leaves ? 2 : 0));
    if (!leaves) return pc + 2;
    this.emit(this.exit('t&~1', 0));
    return undefined;
  }

  /** LDM, STM. */
  many(pc, opcode, load) {
    const base = (opcode >> 8) & 7;
    const list = this.listed(opcode);
    if (!list.length) return null;
    let text = this.words(pc, this.reg(base), list.length);
    list.forEach((k, i) => {
      const word = `ram32[o+${i}]`;
      text += load ? this.set(k, word) : `${word}=${this.reg(k)};`;
    });
    if (!list.includes(base)) text += this.set(base, `(x+${4 * list.length})|0`);
    return this.one(pc, text, 1 + list.length);
  }

  branch(pc, opcode) {
    const code = (opcode >> 8) & 15;
    if (code > 13) return null;
    const target = pc + 4 + (((opcode & 0xff) << 24) >> 23);
    this.count(1);
    const taken = this.cycles + 1;
    const text = (target === this.start ? this.again(taken) : '') + this.exit(target, 0, taken);
    this.emit(`if(${this.condition(code)}){${text}}`);
    return pc + 2;
  }

  call(pc, opcode, second) {
    if ((second & 0xd000) !== 0xd000) return null;
    this.count(3);
    this.emit(this.set(LR, `${(pc + 4) | 1}`) + this.exit(linked(pc, opcode, second), 0));
    return undefined;
  }
}
