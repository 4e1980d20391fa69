// The instructions that a program spends its time on, executed faster than rp2040js does: it tests an opcode against
// one pattern after the other, here the high byte leads to it at once, and RAM and flash are read where they lie.
// Whatever is not here (and anything outside RAM and flash) is left to rp2040js, whose registers and flags these are.
// Every instruction has the effects and cycles that rp2040js gives it; a test runs both and compares.
//
// Encodings: ARMv6-M Architecture Reference Manual, A5.2. The labels are literals: only those become a jump table.

const FLASH = 0x10000000;
const RAM = 0x20000000;
const PC = 15;
const LR = 14;
const SP = 13;

/** Where a BL at pc leads. */
export function linked(pc, opcode, second) {
  const sign = (opcode >> 10) & 1;
  const i1 = 1 - (sign ^ ((second >> 13) & 1));
  const i2 = 1 - (sign ^ ((second >> 11) & 1));
  return pc + 4 + ((-sign << 24) | (i1 << 23) | (i2 << 22) | ((opcode & 0x3ff) << 12) | ((second & 0x7ff) << 1));
}

/** Returns step(): executes one instruction of the machine's core and returns its cycles. */
export function quickCore(mcu) {
  const { core } = mcu;
  // Signed words throughout: JavaScript computes with them without leaving the integers.
  const as = (Words, bytes) => new Words(bytes.buffer, bytes.byteOffset, bytes.byteLength / Words.BYTES_PER_ELEMENT);
  const r = as(Int32Array, core.registers);
  const flash16 = as(Uint16Array, mcu.flash);
  const flash32 = as(Int32Array, mcu.flash);
  const ram8 = mcu.sram;
  const ram16 = as(Uint16Array, mcu.sram);
  const ram32 = as(Int32Array, mcu.sram);
  const rom16 = as(Uint16Array, mcu.bootrom);
  const ramSize = mcu.sram.length;
  const flashSize = mcu.flash.length;

  // Offsets in RAM and flash; what is not below the size is elsewhere.
  const ramOffset = (address) => (address - RAM) >>> 0;
  const flashOffset = (address) => (address - FLASH) >>> 0;

  // Cycles of an access: RAM and flash take one beyond the first, of the rest rp2040js knows.
  function accessCycles(address, write) {
    if (ramOffset(address) < ramSize || flashOffset(address) < flashSize) return 2;
    return 1 + core.cyclesIO(address >>> 0, write);
  }

  function readWord(address) {
    const inRam = ramOffset(address);
    if (inRam < ramSize && !(address & 3)) return ram32[inRam >>> 2];
    const inFlash = flashOffset(address);
    if (inFlash < flashSize && !(address & 3)) return flash32[inFlash >>> 2];
    return mcu.readUint32(address >>> 0);
  }

  function writeWord(address, value) {
    const inRam = ramOffset(address);
    if (inRam < ramSize && !(address & 3)) ram32[inRam >>> 2] = value;
    else mcu.writeUint32(address >>> 0, value >>> 0);
  }

  function load(target, address) {
    r[target] = readWord(address);
    return accessCycles(address, false);
  }

  function loadHalf(target, address) {
    const inRam = ramOffset(address);
    r[target] = inRam < ramSize && !(address & 1) ? ram16[inRam >>> 1] : mcu.readUint16(address >>> 0);
    return accessCycles(address, false);
  }

  function loadByte(target, address) {
    const inRam = ramOffset(address);
    r[target] = inRam < ramSize ? ram8[inRam] : mcu.readUint8(address >>> 0);
    return accessCycles(address, false);
  }

  function store(address, value) {
    writeWord(address, value);
    return accessCycles(address, true);
  }

  function storeHalf(address, value) {
    const inRam = ramOffset(address);
    if (inRam < ramSize && !(address & 1)) ram16[inRam >>> 1] = value;
    else mcu.writeUint16(address >>> 0, value >>> 0);
    return accessCycles(address, true);
  }

  function storeByte(address, value) {
    const inRam = ramOffset(address);
    if (inRam < ramSize) ram8[inRam] = value;
    else mcu.writeUint8(address >>> 0, value >>> 0);
    return accessCycles(address, true);
  }

  function push(opcode) {
    let cycles = 1;
    let address = r[SP];
    for (let bits = opcode & 0x1ff; bits; bits &= bits - 1) address -= 4;
    const bottom = address;
    for (let i = 0; i < 8; i++) {
      if (!(opcode & (1 << i))) continue;
      writeWord(address, r[i]);
      address += 4;
      cycles++;
    }
    if (opcode & 0x100) writeWord(address, r[LR]);
    r[SP] = bottom & ~3;
    return cycles;
  }

  function pop(opcode) {
    let cycles = 1;
    let address = r[SP];
    for (let i = 0; i < 8; i++) {
      if (!(opcode & (1 << i))) continue;
      r[i] = readWord(address);
      address += 4;
      cycles++;
    }
    if (!(opcode & 0x100)) {
      r[SP] = address & ~3;
      return cycles;
    }
    r[SP] = (address + 4) & ~3;
    core.BXWritePC(readWord(address) >>> 0);
    return cycles + 2;
  }

  function loadMany(opcode) {
    const base = (opcode >> 8) & 7;
    let cycles = 1;
    let address = r[base];
    for (let i = 0; i < 8; i++) {
      if (!(opcode & (1 << i))) continue;
      r[i] = readWord(address);
      address += 4;
      cycles++;
    }
    if (!(opcode & (1 << base))) r[base] = address;
    return cycles;
  }

  function storeMany(opcode) {
    const base = (opcode >> 8) & 7;
    let cycles = 1;
    let address = r[base];
    for (let i = 0; i < 8; i++) {
      if (!(opcode & (1 << i))) continue;
      writeWord(address, r[i]);
      address += 4;
      cycles++;
    }
    if (!(opcode & (1 << base))) r[base] = address;
    return cycles;
  }

  function signAndZero(result) {
    core.N = result < 0;
    core.Z = result === 0;
  }

  function add(a, b) {
    const result = (a + b) | 0;
    signAndZero(result);
    core.C = result >>> 0 < a >>> 0;
    core.V = ((a ^ result) & (b ^ result)) < 0;
    return result;
  }

  // Overflow as rp2040js has it: the carry belongs to the second operand.
  function addWithCarry(a, b) {
    const carry = core.C ? 1 : 0;
    const result = (a + b + carry) | 0;
    signAndZero(result);
    core.C = (a >>> 0) + (b >>> 0) + carry > 0xffffffff;
    core.V = result !== a + ((b + carry) | 0);
    return result;
  }

  function subtract(a, b) {
    const result = (a - b) | 0;
    signAndZero(result);
    core.C = a >>> 0 >= b >>> 0;
    core.V = ((a ^ b) & (a ^ result)) < 0;
    return result;
  }

  /** Data processing on two registers; 0 cycles: left to rp2040js. */
  function process(opcode) {
    const low = opcode & 7;
    const other = r[(opcode >> 3) & 7];
    switch ((opcode >> 6) & 15) {
      case 0: // and
        signAndZero((r[low] &= other));
        return 1;
      case 1: // exclusive or
        signAndZero((r[low] ^= other));
        return 1;
      case 5: // add with carry
        r[low] = addWithCarry(other, r[low]);
        return 1;
      case 8: // test
        signAndZero(other & r[low]);
        return 1;
      case 10: // compare
        subtract(r[low], other);
        return 1;
      case 12: // or
        signAndZero((r[low] |= other));
        return 1;
      case 13: // multiply
        signAndZero((r[low] = Math.imul(other, r[low])));
        return 1;
      case 14: // clear
        signAndZero((r[low] &= ~other));
        return 1;
      default:
        return 0;
    }
  }

  function extend(opcode) {
    const value = r[(opcode >> 3) & 7];
    switch ((opcode >> 6) & 3) {
      case 0:
        r[opcode & 7] = (value << 16) >> 16;
        return 1;
      case 1:
        r[opcode & 7] = (value << 24) >> 24;
        return 1;
      case 2:
        r[opcode & 7] = value & 0xffff;
        return 1;
      default:
        r[opcode & 7] = value & 0xff;
        return 1;
    }
  }

  function exchange(pc, opcode) {
    const target = r[(opcode >> 3) & 15];
    if (opcode & 0x80) {
      r[LR] = (pc + 2) | 1;
      r[PC] = target & ~1;
    } else {
      core.BXWritePC(target >>> 0);
    }
    return 2;
  }

  function holds(condition) {
    switch (condition) {
      case 0: return core.Z;
      case 1: return !core.Z;
      case 2: return core.C;
      case 3: return !core.C;
      case 4: return core.N;
      case 5: return !core.N;
      case 6: return core.V;
      case 7: return !core.V;
      case 8: return core.C && !core.Z;
      case 9: return !core.C || core.Z;
      case 10: return core.N === core.V;
      case 11: return core.N !== core.V;
      case 12: return core.N === core.V && !core.Z;
      default: return core.N !== core.V || core.Z;
    }
  }

  function branchLink(pc, opcode, second) {
    r[LR] = (pc + 4) | 1;
    r[PC] = linked(pc, opcode, second);
    return 3;
  }

  /** MSR to the mask of interrupts. */
  function setMask(pc, value) {
    core.PM = (value & 1) !== 0;
    core.interruptsUpdated = true;
    r[PC] = pc + 4;
    return 3;
  }

  /** The halfword at an even address in flash, RAM or ROM; -1 elsewhere. */
  function fetch(pc) {
    const inFlash = flashOffset(pc);
    if (inFlash < flashSize) return flash16[inFlash >>> 1];
    const inRam = ramOffset(pc);
    if (inRam < ramSize) return ram16[inRam >>> 1];
    return pc >>> 1 < rom16.length ? rom16[pc >>> 1] : -1;
  }

  return function step() {
    if (core.interruptsUpdated) return core.executeInstruction();
    const pc = r[PC] & ~1;
    const opcode = fetch(pc);
    const low = opcode & 7; // the fields that most encodings have
    const middle = (opcode >> 3) & 7;
    const high = (opcode >> 6) & 7;
    const upper = (opcode >> 8) & 7;
    const five = (opcode >> 6) & 0x1f;
    const eight = opcode & 0xff;
    let cycles = 0;
    r[PC] = pc + 2;
    switch (opcode >> 8) {
      case 0x00: case 0x01: case 0x02: case 0x03: case 0x04: case 0x05: case 0x06: case 0x07: { // LSLS immediate
        const value = r[middle];
        r[low] = value << five;
        signAndZero(r[low]);
        if (five) core.C = (value & (1 << (32 - five))) !== 0;
        return 1;
      }
      case 0x08: case 0x09: case 0x0a: case 0x0b: case 0x0c: case 0x0d: case 0x0e: case 0x0f: { // LSRS immediate
        const value = r[middle];
        r[low] = five ? value >>> five : 0;
        signAndZero(r[low]);
        core.C = ((value >>> (five ? five - 1 : 31)) & 1) !== 0;
        return 1;
      }
      case 0x10: case 0x11: case 0x12: case 0x13: case 0x14: case 0x15: case 0x16: case 0x17: { // ASRS immediate
        const value = r[middle];
        const places = five || 32;
        r[low] = value >> Math.min(places, 31);
        signAndZero(r[low]);
        core.C = (value & (1 << (places - 1))) !== 0;
        return 1;
      }
      case 0x18: case 0x19: // ADDS register
        r[low] = add(r[middle], r[high]);
        return 1;
      case 0x1a: case 0x1b: // SUBS register
        r[low] = subtract(r[middle], r[high]);
        return 1;
      case 0x1c: case 0x1d: // ADDS, 3 bits
        r[low] = add(r[middle], high);
        return 1;
      case 0x1e: case 0x1f: // SUBS, 3 bits
        r[low] = subtract(r[middle], high);
        return 1;
      case 0x20: case 0x21: case 0x22: case 0x23: case 0x24: case 0x25: case 0x26: case 0x27: // MOVS immediate
        r[upper] = eight;
        core.N = false;
        core.Z = eight === 0;
        return 1;
      case 0x28: case 0x29: case 0x2a: case 0x2b: case 0x2c: case 0x2d: case 0x2e: case 0x2f: // CMP immediate
        subtract(r[upper], eight);
        return 1;
      case 0x30: case 0x31: case 0x32: case 0x33: case 0x34: case 0x35: case 0x36: case 0x37: // ADDS, 8 bits
        r[upper] = add(r[upper], eight);
        return 1;
      case 0x38: case 0x39: case 0x3a: case 0x3b: case 0x3c: case 0x3d: case 0x3e: case 0x3f: // SUBS, 8 bits
        r[upper] = subtract(r[upper], eight);
        return 1;
      case 0x46: { // MOV
        const target = low | ((opcode >> 4) & 8);
        const source = (opcode >> 3) & 15;
        const value = source === PC ? pc + 4 : r[source];
        r[target] = target === PC ? value & ~1 : target === SP ? value & ~3 : value;
        return target === PC ? 2 : 1;
      }
      case 0x48: case 0x49: case 0x4a: case 0x4b: case 0x4c: case 0x4d: case 0x4e: case 0x4f: // LDR literal
        return load(upper, ((pc + 4) & ~3) + 4 * eight);
      case 0x50: case 0x51: // STR register
        return store(r[high] + r[middle], r[low]);
      case 0x58: case 0x59: // LDR register
        return load(low, r[high] + r[middle]);
      case 0x56: case 0x57: // LDRSB
        cycles = loadByte(low, r[high] + r[middle]);
        r[low] = (r[low] << 24) >> 24;
        return cycles;
      case 0x5c: case 0x5d: // LDRB register
        return loadByte(low, r[high] + r[middle]);
      case 0x60: case 0x61: case 0x62: case 0x63: case 0x64: case 0x65: case 0x66: case 0x67: // STR immediate
        return store(r[middle] + 4 * five, r[low]);
      case 0x68: case 0x69: case 0x6a: case 0x6b: case 0x6c: case 0x6d: case 0x6e: case 0x6f: // LDR immediate
        return load(low, r[middle] + 4 * five);
      case 0x70: case 0x71: case 0x72: case 0x73: case 0x74: case 0x75: case 0x76: case 0x77: // STRB immediate
        return storeByte(r[middle] + five, r[low]);
      case 0x78: case 0x79: case 0x7a: case 0x7b: case 0x7c: case 0x7d: case 0x7e: case 0x7f: // LDRB immediate
        return loadByte(low, r[middle] + five);
      case 0x80: case 0x81: case 0x82: case 0x83: case 0x84: case 0x85: case 0x86: case 0x87: // STRH immediate
        return storeHalf(r[middle] + 2 * five, r[low]);
      case 0x88: case 0x89: case 0x8a: case 0x8b: case 0x8c: case 0x8d: case 0x8e: case 0x8f: // LDRH immediate
        return loadHalf(low, r[middle] + 2 * five);
      case 0x90: case 0x91: case 0x92: case 0x93: case 0x94: case 0x95: case 0x96: case 0x97: // STR from SP
        return store(r[SP] + 4 * eight, r[upper]);
      case 0x98: case 0x99: case 0x9a: case 0x9b: case 0x9c: case 0x9d: case 0x9e: case 0x9f: // LDR from SP
        return load(upper, r[SP] + 4 * eight);
      case 0xa8: case 0xa9: case 0xaa: case 0xab: case 0xac: case 0xad: case 0xae: case 0xaf: // ADD Rd, SP
        r[upper] = r[SP] + 4 * eight;
        return 1;
      case 0xb4: case 0xb5: // PUSH
        return push(opcode);
      case 0xbc: case 0xbd: // POP
        return pop(opcode);
      case 0xc0: case 0xc1: case 0xc2: case 0xc3: case 0xc4: case 0xc5: case 0xc6: case 0xc7: // STM
        return storeMany(opcode);
      case 0xc8: case 0xc9: case 0xca: case 0xcb: case 0xcc: case 0xcd: case 0xce: case 0xcf: // LDM
        return loadMany(opcode);
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: case 0xd4: case 0xd5: case 0xd6: case 0xd7:
      case 0xd8: case 0xd9: case 0xda: case 0xdb: case 0xdc: case 0xdd: // B conditional
        if (!holds((opcode >> 8) & 15)) return 1;
        r[PC] = pc + 4 + ((eight << 24) >> 23);
        return 2;
      case 0xe0: case 0xe1: case 0xe2: case 0xe3: case 0xe4: case 0xe5: case 0xe6: case 0xe7: // B
        r[PC] = pc + 4 + (((opcode & 0x7ff) << 21) >> 20);
        return 2;
      case 0xf0: case 0xf1: case 0xf2: case 0xf3: case 0xf4: case 0xf5: case 0xf6: case 0xf7: { // BL
        const second = fetch(pc + 2);
        if ((second & 0xd000) === 0xd000) return branchLink(pc, opcode, second);
        if (opcode >> 4 === 0xf38 && second === 0x8810) return setMask(pc, r[opcode & 15]);
        break; // other MSR, MRS, barriers
      }
      case 0x40: case 0x41: case 0x42: case 0x43: // data processing
        cycles = process(opcode);
        break;
      case 0x47: // BX, BLX
        return exchange(pc, opcode);
      case 0xb0: // ADD SP, SUB SP
        r[SP] += opcode & 0x80 ? -4 * (opcode & 0x7f) : 4 * (opcode & 0x7f);
        return 1;
      case 0xb2: // SXTH, SXTB, UXTH, UXTB
        return extend(opcode);
      case 0xbe: // BKPT
        core.breakRewind = 2;
        mcu.onBreak(eight);
        return 1;
    }
    if (cycles) return cycles;
    r[PC] = pc;
    return core.executeInstruction();
  };
}
