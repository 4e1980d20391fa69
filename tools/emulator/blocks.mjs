// Code that the guest comes to again and again, translated into WebAssembly (translation.mjs), and the loop that goes
// from one translated region to the next. What the guest sees does not depend on what was translated when.
//
// One memory holds all that such code works on: the state, a map of the code, the RAM and the flash.

import { FLASH, GOES_ON, LEFT, RAM, SECTOR_BITS, SPENT, STALE, Translation, state } from './translation.mjs';
import { PROGRAM, REGION, VOID, body, constant, load, module, number, op } from './wasm.mjs';

const PC = 15;
const HOT = 60; // arrivals, after which code is worth translating
const NEVER = 0xffff; // of the arrivals: it is not for translation
const MOST_WAITING = 16; // regions of a module
const PAGE = 1 << 16; // of the memory
const TABLE_STEP = 512;
const PLACES = 8; // bits of the map's words: the block in the region, below the region's place in the table

const STATE = 0;
const FLASH_MAP = PAGE; // a word for each halfword of code: where it is translated, 0 if it is not
const pages = (bytes) => Math.ceil(bytes / PAGE) * PAGE;

export class Blocks {
  /**
   * Of code in the first so many bytes of the flash, and in RAM. The machine's memory and registers move to ours.
   * `kept` (kept.mjs) are translations of before.
   */
  constructor(mcu, codeSize, { hot = HOT, kept = null } = {}) {
    this.codeSize = codeSize;
    this.kept = kept;
    this.hot = hot;
    this.core = mcu.core;
    this.flashSize = mcu.flash.length;
    this.ramSize = mcu.sram.length;
    this.ramMap = FLASH_MAP + pages(2 * codeSize);
    this.ram = this.ramMap + pages(2 * this.ramSize);
    this.flash = this.ram + pages(this.ramSize);
    const size = (this.flash + this.flashSize) / PAGE;
    this.memory = new WebAssembly.Memory({ initial: size, maximum: size });
    this.table = new WebAssembly.Table({ initial: TABLE_STEP, element: 'anyfunc' });
    this.move(mcu);
    this.env = {
      memory: this.memory,
      table: this.table,
      read: (address) => mcu.readUint32(address >>> 0),
      write: (address, value) => mcu.writeUint32(address >>> 0, value >>> 0),
    };
    this.state = new Int32Array(this.memory.buffer, STATE, 32);
    this.flashMap = new Uint32Array(this.memory.buffer, FLASH_MAP, codeSize >> 1);
    this.ramWords = new Uint32Array(this.memory.buffer, this.ramMap, this.ramSize >> 1);
    this.ramArrivals = new Uint16Array(this.ramSize >> 1);
    this.forget();
    this.program = this.instance(new WebAssembly.Module(module(PROGRAM, [this.dispatcher()]))).exports.run;
    if (kept?.fits(mcu.flash)) this.take(kept);
    this.cycles = 0; // of the last run()
    this.left = false; // whether the last run() left off before an instruction that is quickcore's
  }

  move(mcu) {
    const { buffer } = this.memory;
    const sram = new Uint8Array(buffer, this.ram, this.ramSize);
    const flash = new Uint8Array(buffer, this.flash, this.flashSize);
    const registers = new Uint32Array(buffer, STATE + state.REGISTERS, 16);
    sram.set(mcu.sram);
    flash.set(mcu.flash);
    registers.set(mcu.core.registers);
    Object.assign(mcu, { sram, flash });
    mcu.sramView = new DataView(buffer, this.ram, this.ramSize);
    mcu.flashView = new DataView(buffer, this.flash, this.flashSize);
    mcu.flash16 = this.flash16 = new Uint16Array(buffer, this.flash, this.flashSize >> 1);
    this.ram16 = new Uint16Array(buffer, this.ram, this.ramSize >> 1);
    mcu.core.registers = registers;
  }

  instance(compiled) {
    return new WebAssembly.Instance(compiled, { env: this.env });
  }

  take(kept) {
    const compiled = kept.compiled();
    if (!compiled) return;
    for (const region of kept.regions) this.map(region, this.regions++);
    this.instantiate(compiled);
  }

  /** Puts a module's functions into the table. */
  instantiate(compiled) {
    while (this.table.length < this.regions) this.table.grow(TABLE_STEP);
    this.instance(compiled);
  }

  /** What was translated of the flash, and how often the guest came where. */
  forget() {
    this.flashMap.fill(0);
    this.ramWords.fill(0);
    this.flashArrivals = new Uint16Array(this.codeSize >> 1);
    this.ramArrivals.fill(0);
    this.translated = new Uint8Array((this.codeSize >> SECTOR_BITS) + 1); // by sector, whether a region has code there
    this.waiting = []; // translations of which no module was made yet
    this.regions = 1; // places of the table that are taken: none is 0
  }

  /** The flash has another content there. */
  changed(offset, length) {
    for (let sector = offset >> SECTOR_BITS; sector <= (offset + length - 1) >> SECTOR_BITS; sector++) {
      if (this.translated[sector]) return this.forget();
    }
  }

  get lowestStack() {
    return this.state[state.LOWEST >> 2] >>> 0;
  }

  set lowestStack(address) {
    this.state[state.LOWEST >> 2] = address;
  }

  /** Goes from region to region until one of them, or what is none, ends it; says why. */
  dispatcher() {
    const [pc, at, region] = [0, 1, 2];
    const inside = (base, size, map) => [
      op.GET, pc, ...constant(base), op.SUB, op.TEE, at, ...constant(size), op.LT_U, op.IF, VOID,
      op.GET, at, ...constant(1), op.SHL, ...load(4, map), op.SET, region, op.ELSE,
    ];
    return body(3, [
      op.LOOP, VOID,
      ...constant(state.REGISTERS + 4 * PC), ...load(4, 0), ...constant(-2), op.AND, op.SET, pc,
      ...constant(0), op.SET, region,
      ...inside(FLASH, this.codeSize, FLASH_MAP), ...inside(RAM, this.ramSize, this.ramMap), op.END, op.END,
      op.GET, region, op.EQZ, op.IF, VOID, ...constant(GOES_ON), op.RETURN, op.END,
      op.GET, region, ...constant((1 << PLACES) - 1), op.AND,
      op.GET, region, ...constant(PLACES), op.SHR_U, op.CALL_INDIRECT, ...number(REGION), 0, op.TEE, at,
      op.EQZ, op.BR_IF, 0,
      op.GET, at, op.RETURN,
      op.END,
      ...constant(GOES_ON),
    ]);
  }

  /** Runs regions, at most so many instructions and cycles; returns the instructions. `cycles`, `left`: more. */
  run(instructions, cycles) {
    const { core, state: words, program } = this;
    words[state.SIGN >> 2] = core.N ? -1 : 0;
    words[state.ZERO >> 2] = core.Z ? 0 : 1;
    words[state.CARRY >> 2] = core.C ? 1 : 0;
    words[state.OVERFLOW >> 2] = core.V ? -1 : 0;
    words[state.MASKED >> 2] = core.PM ? 1 : 0;
    words[state.INSTRUCTIONS >> 2] = 0;
    this.left = false;
    let spent = 0;
    for (;;) {
      // No instruction takes less than a cycle.
      const free = Math.min(Math.floor(cycles) - spent, instructions - words[state.INSTRUCTIONS >> 2]);
      words[state.CYCLES >> 2] = free;
      const why = program();
      const now = free - words[state.CYCLES >> 2];
      spent += now;
      if (why === SPENT && now > 0) continue; // it may have been the instructions that were few
      if (why === LEFT) this.left = true;
      else if (why === GOES_ON) this.arrive(words[PC] & ~1);
      else if (why === STALE) this.ramWords[((words[PC] & ~1) - RAM) >>> 1] = 0;
      break;
    }
    core.N = words[state.SIGN >> 2] < 0;
    core.Z = words[state.ZERO >> 2] === 0;
    core.C = words[state.CARRY >> 2] !== 0;
    core.V = words[state.OVERFLOW >> 2] < 0;
    core.PM = words[state.MASKED >> 2] !== 0;
    this.cycles = spent;
    return words[state.INSTRUCTIONS >> 2];
  }

  /** Whether a region is entered there. */
  mapped(pc) {
    const inFlash = (pc - FLASH) >>> 0;
    if (inFlash < this.codeSize) return this.flashMap[inFlash >>> 1] !== 0;
    const inRam = (pc - RAM) >>> 0;
    return inRam < this.ramSize && this.ramWords[inRam >>> 1] !== 0;
  }

  /** The guest came to where nothing is translated. */
  arrive(pc) {
    const inFlash = (pc - FLASH) >>> 0;
    const inRam = (pc - RAM) >>> 0;
    const arrivals = inFlash < this.codeSize ? this.flashArrivals : this.ramArrivals;
    const place = (inFlash < this.codeSize ? inFlash : inRam) >>> 1;
    if (!(place < arrivals.length) || arrivals[place] === NEVER || ++arrivals[place] < this.hot) return;
    arrivals[place] = 0;
    this.waiting.push(pc);
    if (this.waiting.length >= MOST_WAITING) this.translate();
  }

  halfword(pc) {
    const inFlash = (pc - FLASH) >>> 0;
    if (inFlash < this.codeSize) return this.flash16[inFlash >>> 1];
    const inRam = (pc - RAM) >>> 0;
    return inRam < this.ramSize ? this.ram16[inRam >>> 1] : -1;
  }

  /** Makes a module of what waits for it. */
  translate() {
    const { waiting } = this;
    if (!waiting.length) return;
    this.waiting = [];
    const first = this.regions;
    const functions = [];
    for (const pc of waiting) {
      if (this.mapped(pc)) continue;
      const region = new Translation(pc, this).translate();
      if (region !== null) {
        functions.push(region.code);
        this.map(region, this.regions++);
        this.kept?.add(region);
      }
      if (!this.mapped(pc)) this.setNever(pc);
    }
    if (!functions.length) return;
    this.instantiate(new WebAssembly.Module(module(REGION, functions, first)));
  }

  map({ entries, sectors }, region) {
    for (let i = 0; i < entries.length; i += 2) {
      const [pc, where] = [entries[i], (region << PLACES) | entries[i + 1]];
      if (pc >= RAM) this.ramWords[(pc - RAM) >>> 1] = where;
      else this.flashMap[(pc - FLASH) >>> 1] = where;
    }
    for (const sector of sectors) this.translated[sector] = 1;
  }

  setNever(pc) {
    if (pc >= RAM) this.ramArrivals[(pc - RAM) >>> 1] = NEVER;
    else this.flashArrivals[(pc - FLASH) >>> 1] = NEVER;
  }
}
