// What the makers rate the chip and its flash for, and the core's regulator, whose voltage belongs to it. A guest that sets
// the clocks beyond that stops here, where a real one would work on some days: nothing else depends on the voltage.
//
// RP2040: 133 MHz at the 1.10 V of a reset (datasheet, 5.5.2), 200 MHz from 1.15 V on (Pico SDK 2.1.1, hardware/clocks.h).
// The flash of a Pico and a Pico W: W25Q16JV, 133 MHz (datasheet, 9.6); it gets clk_sys / BAUDR.

import { BasePeripheral } from 'rp2040js';

const REGULATOR_PAGE = 0x40064; // VREG_AND_CHIP_RESET
const FLASH_PAGE = 0x18000; // SSI
const MHZ = 1e6;
const RATED_HZ = 133 * MHZ;
const FAST = { hz: 200 * MHZ, volts: 1.15 };
const FLASH_HZ = 133 * MHZ;

const VREG = 0x00;
const BOD = 0x04;
const CHIP_RESET = 0x08;
const AFTER_RESET = { [VREG]: 0xb1, [BOD]: 0x91, [CHIP_RESET]: 0x100 };
const REGULATED = 1 << 12; // read-only: the voltage is what was asked for
const VSEL_AT = 4;
const LOWEST = { vsel: 5, volts: 0.8 }; // and all below; from there on in steps
const STEP = 0.05;

class Regulator extends BasePeripheral {
  constructor(mcu, changed) {
    super(mcu, 'VREG');
    this.changed = changed;
    this.words = { ...AFTER_RESET };
  }

  get volts() {
    const steps = Math.max(0, ((this.words[VREG] >> VSEL_AT) & 15) - LOWEST.vsel);
    return Math.round(100 * (LOWEST.volts + STEP * steps)) / 100;
  }

  readUint32(offset) {
    return (this.words[offset] ?? 0) | (offset === VREG ? REGULATED : 0);
  }

  writeUint32(offset, value) {
    this.words[offset] = offset === VREG ? value & ~REGULATED : value;
    this.changed();
  }
}

export class Ratings {
  /** `stop(reason)` is called when the guest goes beyond them. */
  constructor(mcu, stop) {
    this.mcu = mcu;
    this.stop = stop;
    this.regulator = mcu.peripherals[REGULATOR_PAGE] = new Regulator(mcu, () => this.check());
    this.flash = mcu.peripherals[FLASH_PAGE];
    const write = this.flash.writeUint32.bind(this.flash);
    this.flash.writeUint32 = (offset, value) => {
      write(offset, value);
      this.check();
    };
  }

  /** 0 before the second stage of the boot has set it up. */
  get flashHz() {
    return this.flash.baudr ? this.mcu.clkSys / this.flash.baudr : 0;
  }

  check() {
    const { flashHz, mcu: { clkSys }, regulator: { volts } } = this;
    const mhz = (hz) => `${Math.round(hz / MHZ)} MHz`;
    if (clkSys > FAST.hz || (clkSys > RATED_HZ && volts < FAST.volts)) {
      this.stop(`the processor runs at ${mhz(clkSys)} with ${volts.toFixed(2)} V`);
    }
    if (flashHz > FLASH_HZ) this.stop(`the flash is clocked with ${mhz(flashHz)}`);
  }

  state() {
    return { clock_hz: this.mcu.clkSys, core_volts: this.regulator.volts, flash_hz: this.flashHz };
  }
}
