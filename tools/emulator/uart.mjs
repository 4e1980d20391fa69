// The UART (PL011) with what rp2040js 1.4.1 lacks and MicroPython needs: FIFOs, trigger levels, the receive time-out
// (its interrupt is what makes PPP.poll() run) and the time that a byte takes. Takes the place of mcu.uart[n]'s
// registers.
//
// The line is loss-free: a byte starts only when the receive FIFO has room, as if RTS and CTS were wired.

const DR = 0x00;
const FR = 0x18;
const CR = 0x30;
const IFLS = 0x34;
const IMSC = 0x38;
const RIS = 0x3c;
const MIS = 0x40;
const ICR = 0x44;
const DMACR = 0x48;

const RECEIVE = 1 << 4; // interrupts
const TRANSMIT = 1 << 5;
const RECEIVE_TIMEOUT = 1 << 6;
const TWO_STOP_BITS = 1 << 3; // of the line control register
const PARITY = 1 << 1;

const DEPTH = 32;
const LEVELS = [4, 8, 16, 24, 28, 28, 28, 28];
const TIMEOUT_BITS = 32;

export class Uart {
  /** `onBytes(buffer)` gets what the guest sent, when flush() is called. */
  constructor(mcu, index, onBytes) {
    this.mcu = mcu;
    this.registers = mcu.uart[index];
    this.onBytes = onBytes;
    this.levels = 0x12;
    this.raised = 0;
    this.dmaControl = 0;
    this.received = []; // the FIFOs
    this.toSend = [];
    this.incoming = []; // chunks that still have to come over the line; `head` is the place in the first
    this.head = 0;
    this.queued = 0;
    this.sending = null; // the byte in the shift register
    this.sent = [];
    this.receiving = false;
    this.receiveAlarm = mcu.clock.createAlarm(() => this.byteArrived());
    this.silenceAlarm = mcu.clock.createAlarm(() => this.lineWentSilent());
    this.sendAlarm = mcu.clock.createAlarm(() => this.byteLeft());
    this.takeOverRegisters();
  }

  /** Bytes from the host. A UART that is off loses what is sent to it. */
  feed(chunk) {
    if (!chunk.length || !this.registers.enabled || !this.registers.rxEnabled) return;
    this.incoming.push(chunk);
    this.queued += chunk.length;
    this.startReceiving();
  }

  flush() {
    if (!this.sent.length) return;
    this.onBytes(Buffer.from(this.sent));
    this.sent = [];
  }

  get receiveLevel() {
    return LEVELS[(this.levels >> 3) & 7];
  }

  get sendLevel() {
    return LEVELS[this.levels & 7];
  }

  bitNanos() {
    return (16 * this.registers.baudDivider * 1e9) / this.mcu.clkPeri;
  }

  byteNanos() {
    const control = this.registers.lineCtrlRegister;
    const bits = 2 + this.registers.wordLength + (control & PARITY ? 1 : 0) + (control & TWO_STOP_BITS ? 1 : 0);
    return bits * this.bitNanos();
  }

  startReceiving() {
    const { enabled, baudDivider } = this.registers;
    if (this.receiving || !this.queued || !enabled || !baudDivider || this.received.length >= DEPTH) return;
    this.receiving = true;
    this.receiveAlarm.schedule(this.byteNanos());
  }

  byteArrived() {
    this.receiving = false;
    this.received.push(this.incoming[0][this.head++]);
    this.queued--;
    if (this.head === this.incoming[0].length) {
      this.incoming.shift();
      this.head = 0;
    }
    if (this.received.length === this.receiveLevel) this.raised |= RECEIVE;
    this.silenceAlarm.schedule(TIMEOUT_BITS * this.bitNanos());
    this.signal();
    this.startReceiving();
  }

  lineWentSilent() {
    if (!this.received.length) return;
    this.raised |= RECEIVE_TIMEOUT;
    this.signal();
  }

  startSending() {
    if (this.sending !== null || !this.toSend.length) return;
    this.sending = this.toSend.shift();
    this.sendAlarm.schedule(this.byteNanos());
  }

  byteLeft() {
    this.sent.push(this.sending);
    this.sending = null;
    this.startSending();
    const empty = !this.toSend.length && this.sending === null;
    if (this.toSend.length === this.sendLevel || empty) this.raised |= TRANSMIT;
    this.signal();
  }

  /** Interrupt and DMA requests follow the state. */
  signal() {
    const { dma } = this.mcu;
    const { enabled, dreq, interruptMask, irq } = this.registers;
    this.mcu.setInterrupt(irq, (this.raised & interruptMask) !== 0);
    const request = (channel, on) => (on ? dma.setDREQ(channel) : dma.clearDREQ(channel));
    request(dreq.tx, enabled && this.toSend.length < DEPTH);
    request(dreq.rx, this.dmaControl & 1 && this.received.length > 0);
  }

  takeOverRegisters() {
    const { registers } = this;
    this.readOther = registers.readUint32.bind(registers);
    this.writeOther = registers.writeUint32.bind(registers);
    registers.readUint32 = (offset) => this.read(offset);
    registers.writeUint32 = (offset, value) => this.write(offset, value);
  }

  read(offset) {
    switch (offset) {
      case DR:
        return this.readData();
      case FR:
        return this.flags();
      case IFLS:
        return this.levels;
      case RIS:
        return this.raised;
      case MIS:
        return this.raised & this.registers.interruptMask;
      case DMACR:
        return this.dmaControl;
      case ICR:
        return 0; // write 1 to clear: a read-modify-write alias must not see bits to write back
    }
    return this.readOther(offset);
  }

  readData() {
    const byte = this.received.length ? this.received.shift() : 0;
    if (this.received.length < this.receiveLevel) this.raised &= ~RECEIVE;
    if (!this.received.length) {
      this.raised &= ~RECEIVE_TIMEOUT;
      this.silenceAlarm.cancel();
    }
    this.signal();
    this.startReceiving();
    return byte;
  }

  flags() {
    const { received, toSend } = this;
    const receive = received.length === 0 ? 0x10 : received.length >= DEPTH ? 0x40 : 0;
    const send = toSend.length === 0 ? 0x80 : toSend.length >= DEPTH ? 0x20 : 0;
    return receive | send | (this.sending === null ? 0 : 0x08);
  }

  write(offset, value) {
    switch (offset) {
      case DR:
        return this.writeData(value & 0xff);
      case IFLS:
        this.levels = value & 0x3f;
        return;
      case IMSC:
        this.registers.interruptMask = value & 0x7ff;
        break;
      case ICR:
        this.raised &= ~value;
        break;
      case DMACR:
        this.dmaControl = value;
        break;
      case CR:
        this.writeOther(offset, value);
        this.startReceiving();
        break;
      default:
        return this.writeOther(offset, value);
    }
    this.signal();
  }

  writeData(byte) {
    if (this.toSend.length < DEPTH) this.toSend.push(byte);
    if (this.toSend.length > this.sendLevel) this.raised &= ~TRANSMIT;
    this.startSending();
    this.signal();
  }
}
