// Registers that no RP2040 has, for measurements and tests on the guest: exact counters at 0x40070000.
//
//   +0   cycles since reset, low word        +4   high word
//   +8   instructions                        +12  write: a mark, kept with the cycle it was made at
//   +16  flash operations so far             +20  lowest stack pointer seen; a write starts the search anew

import { BasePeripheral } from 'rp2040js';

export const PROBE_PAGE = 0x40070;

export class Probe extends BasePeripheral {
  constructor(mcu, machine) {
    super(mcu, 'PROBE');
    this.machine = machine;
    this.marks = [];
  }

  readUint32(offset) {
    const { cycles, instructions, flash, lowestStack } = this.machine;
    return ([cycles, cycles / 2 ** 32, instructions, 0, flash.operations, lowestStack][offset >> 2] ?? 0) >>> 0;
  }

  writeUint32(offset, value) {
    if (offset === 12) this.marks.push([value >>> 0, Math.round(this.machine.cycles)]);
    if (offset === 20) this.machine.lowestStack = this.machine.core.SP;
  }
}

/** The ring oscillator: running and stable, and a random bit that comes from the seed. */
export class RingOscillator extends BasePeripheral {
  constructor(mcu, random) {
    super(mcu, 'ROSC');
    this.random = random;
  }

  readUint32(offset) {
    return offset === 0x1c ? this.random.bit() : 0xffffffff;
  }

  writeUint32() {}
}
