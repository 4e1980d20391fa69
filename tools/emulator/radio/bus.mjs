// The chip's end of its bus, gSPI: command words, the order of bytes, the registers of function 0, the interrupt line.
// What functions 1 and 2 lead to is backplane.mjs's and chip.mjs's.
//
// A transfer is what happens while chip select is low: the host sends a command word and what it writes, or then reads.
//
//   31 write   30 address increments   29:28 function   27:11 address   10:0 bytes (0 means 2048)
//
// Bytes are those on the wire, in order. Until the host has set word length 32 in the control register, each pair of
// them is swapped.
//
// Sources: Infineon's data sheet of the CYW43439 (gSPI: command structure, registers, "64 bytes max" of function 1);
// the registers by name also in embassy, cyw43/src/consts.rs.

const FUNCTION = { BUS: 0, BACKPLANE: 1, RADIO: 2 };
const REGISTER_BYTES = 32;
const CONTROL = 0x00;
const INTERRUPT = 0x04; // 16 bits, like the next
const INTERRUPT_ENABLE = 0x06;
const STATUS = 0x08; // 32 bits
const FUNCTION_1 = 0x0c; // 16 bits: enabled, ready, longest transfer
const FUNCTION_2 = 0x0e;
const TEST = 0x14; // 32 bits
const RESPONSE_DELAY_1 = 0x1d; // bytes that the host has to read in vain before what it reads of function 1

const WORD_LENGTH_32 = 1 << 0; // of the control register
const HIGH_SPEED = 1 << 4;
const INTERRUPT_HIGH = 1 << 5;

export const DATA_UNAVAILABLE = 1 << 0; // interrupts
export const UNDERFLOW = 1 << 1;
export const PACKET_AVAILABLE = 1 << 5;
export const OVERFLOW_1 = 1 << 7;

const STATUS_READY = 1 << 5; // function 2 takes frames
const STATUS_PACKET = 1 << 8;
const STATUS_LENGTH = 9; // shift

const TEST_PATTERN = 0xfeedbead;
const FIRST_DELAY = 4;
const LONGEST_1 = 64;
const LONGEST_2 = 2048;
const READY = 0b11;
const LENGTH_SHIFT = 2;

export class Bus {
  /**
   * `backplane` has read(address, size) and write(address, data). `radio` has ready, waiting (bytes of the next frame,
   * 0 if there is none), take() of that frame and put(frame).
   */
  constructor(backplane, radio) {
    this.backplane = backplane;
    this.radio = radio;
    this.transfers = 0;
    this.reset();
  }

  reset() {
    this.registers = Buffer.alloc(REGISTER_BYTES);
    this.registers[CONTROL] = HIGH_SPEED | INTERRUPT_HIGH;
    this.registers.writeUInt32LE(TEST_PATTERN, TEST);
    this.registers[RESPONSE_DELAY_1] = FIRST_DELAY;
    this.registers.writeUInt16LE(READY | (LONGEST_1 << LENGTH_SHIFT), FUNCTION_1);
  }

  /** What the host reads (so many bytes) after it sent this. */
  transfer(sent, wanted) {
    this.transfers++;
    const { swapped } = this;
    const inOrder = swapped ? Buffer.from(sent).swap16() : sent;
    const command = inOrder.readUInt32LE(0);
    const where = { fn: (command >>> 28) & 3, address: (command >>> 11) & 0x1ffff, size: command & 0x7ff || LONGEST_2 };
    if (command >>> 31) {
      this.write(where, inOrder.subarray(4, 4 + where.size));
      return Buffer.alloc(wanted);
    }
    const answer = Buffer.alloc(wanted);
    this.read(where).copy(answer, where.fn === FUNCTION.BACKPLANE ? this.registers[RESPONSE_DELAY_1] : 0);
    return swapped ? answer.swap16() : answer;
  }

  get swapped() {
    return !(this.registers[CONTROL] & WORD_LENGTH_32);
  }

  raise(interrupt) {
    this.registers.writeUInt16LE(this.registers.readUInt16LE(INTERRUPT) | interrupt, INTERRUPT);
  }

  /** The level of the interrupt line, while the bus is idle. */
  get line() {
    const { registers } = this;
    const active = (registers.readUInt16LE(INTERRUPT) & registers.readUInt16LE(INTERRUPT_ENABLE)) !== 0;
    return active === ((registers[CONTROL] & INTERRUPT_HIGH) !== 0);
  }

  write({ fn, address, size }, data) {
    if (fn === FUNCTION.BUS) this.writeRegisters(address, data);
    else if (fn === FUNCTION.RADIO) this.radio.put(Buffer.from(data));
    else if (size > LONGEST_1) this.raise(OVERFLOW_1);
    else if (fn === FUNCTION.BACKPLANE) this.backplane.write(address, data);
  }

  writeRegisters(address, data) {
    data.forEach((value, i) => {
      const at = address + i;
      if (at === INTERRUPT || at === INTERRUPT + 1) this.registers[at] &= ~value; // what is written as 1 is cleared
      else if (at < REGISTER_BYTES && !(at >= STATUS && at < TEST + 4)) this.registers[at] = value;
    });
  }

  read({ fn, address, size }) {
    if (fn === FUNCTION.BUS) return this.readRegisters().subarray(address, address + size);
    if (fn === FUNCTION.BACKPLANE) return this.backplane.read(address, Math.min(size, LONGEST_1));
    if (fn === FUNCTION.RADIO && this.radio.waiting) return this.radio.take().subarray(0, size);
    this.raise(DATA_UNAVAILABLE | UNDERFLOW);
    return Buffer.alloc(0);
  }

  readRegisters() {
    const { registers, radio } = this;
    const packet = radio.waiting ? STATUS_PACKET | (radio.waiting << STATUS_LENGTH) : 0;
    registers.writeUInt32LE((radio.ready ? STATUS_READY : 0) | packet, STATUS);
    registers.writeUInt16LE((radio.ready ? READY : READY & 1) | ((LONGEST_2 - 1) << LENGTH_SHIFT), FUNCTION_2);
    return registers;
  }
}
