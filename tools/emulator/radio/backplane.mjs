// What the host reaches through function 1 of the bus: the bus core's own registers (from 0x10000 on), and behind a
// window of 32 KB the chip's backplane: its memory, into which the host loads the firmware, and the two cores that it
// starts then.
//
// Sources: the registers' names and bits are in Linux, drivers/net/wireless/broadcom/brcm80211 (brcmfmac/sdio.c,
// include/sdio_regs.h as SBSDIO_*, chip.c for the cores' wrappers), and in embassy, cyw43/src/consts.rs.

const OWN_REGISTERS = 0x10000; // above the window
const WINDOW = [0x1000a, 0x1000b, 0x1000c]; // its address: bits 8 to 15, 16 to 23, 24 to 31
const CLOCKS = 0x1000e;
const SLEEP = 0x1001f;
const ALP_REQUEST = 0x08; // of the clocks: the slow one, asked for and there; the fast one, there
const ALP_AVAILABLE = 0x40;
const HT_AVAILABLE = 0x80;
const KEEP_ON = 1; // of the sleep register; a device that shall be kept on is on
const DEVICE_ON = 2;
const IN_WINDOW = 0x7fff;

const RAM_BYTES = 512 << 10;
const NVRAM_LENGTH = RAM_BYTES - 4; // words of NVRAM just below, and their complement in the upper half
const RESET_VECTOR = 4;
const CHIP = 0x18000000;
const CHIP_ID = 43439;
const RESET_CONTROL = 0x800; // of a core's wrapper
const ARM_RESET = 0x18103000 + RESET_CONTROL;
const MEMORY_RESET = 0x18104000 + RESET_CONTROL;
const IN_RESET = 1;

export class Backplane {
  /** `start(version)` is called when the ARM core leaves reset with firmware and NVRAM loaded. */
  constructor(start) {
    this.start = start;
    this.reset();
  }

  reset() {
    this.window = CHIP;
    this.own = new Map();
    this.registers = new Map([[CHIP, CHIP_ID], [ARM_RESET, IN_RESET], [MEMORY_RESET, IN_RESET]]);
    this.ram = Buffer.alloc(RAM_BYTES);
    this.running = false; // whether the firmware does, and with it the fast clock
  }

  read(address, size) {
    if (address >= OWN_REGISTERS) return Buffer.from([this.readOwn(address), 0, 0, 0]).subarray(0, size);
    const at = this.place(address);
    if (at < RAM_BYTES) return this.ram.subarray(at, at + size);
    const value = Buffer.alloc(4);
    value.writeUInt32LE(this.registers.get(at) ?? 0);
    return value.subarray(0, size);
  }

  write(address, data) {
    if (address >= OWN_REGISTERS) {
      this.writeOwn(address, data[0]);
      return;
    }
    const at = this.place(address);
    if (at < RAM_BYTES) {
      data.copy(this.ram, at);
      return;
    }
    this.registers.set(at, data.length < 4 ? data[0] : data.readUInt32LE(0));
    if (at === ARM_RESET && !(data[0] & IN_RESET)) this.leaveReset();
  }

  place(address) {
    return (this.window | (address & IN_WINDOW)) >>> 0;
  }

  readOwn(address) {
    const value = this.own.get(address) ?? 0;
    if (address === SLEEP) return value & KEEP_ON ? KEEP_ON | DEVICE_ON : 0;
    if (address !== CLOCKS) return value;
    return value | (value & ALP_REQUEST ? ALP_AVAILABLE : 0) | (this.running ? HT_AVAILABLE : 0);
  }

  writeOwn(address, value) {
    this.own.set(address, value);
    const part = WINDOW.indexOf(address);
    if (part < 0) return;
    const shift = 8 * (part + 1);
    this.window = ((this.window & ~(0xff << shift)) | (value << shift)) >>> 0;
  }

  /** A core that finds no firmware, no NVRAM, or has no memory under a clock, does nothing. */
  leaveReset() {
    const length = this.ram.readUInt32LE(NVRAM_LENGTH);
    const words = length & 0xffff;
    const nvram = words > 0 && length >>> 16 === (~words & 0xffff);
    const firmware = (this.ram.readUInt32LE(RESET_VECTOR) & 1) !== 0; // a Cortex-M's is an odd address
    if (nvram && firmware && !(this.registers.get(MEMORY_RESET) & IN_RESET)) {
      this.start(this.version());
    }
  }

  /** What the firmware says of itself near its end; "unknown" if it does not. */
  version() {
    const at = this.ram.lastIndexOf('Version: ', NVRAM_LENGTH, 'latin1');
    const text = at < 0 ? '' : this.ram.toString('latin1', at, at + 64);
    return /^Version: (\S+)/.exec(text)?.[1] ?? 'unknown';
  }
}
