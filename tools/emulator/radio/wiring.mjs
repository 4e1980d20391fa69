// How a Pico W has the chip on its RP2040: pins, and a state machine of the PIO with two DMA channels for its bus.
//
// The state machine is not stepped bit by bit. A program for this bus is given, in X and Y, how many bits (less one) it
// sends and then receives, and DMA has its data; so the whole of it is taken at once, and handed to the chip when it
// would have passed over the wire: two cycles of the state machine a bit. On such a board the PIO does nothing else.
//
// Sources: the Pico W's data sheet (pins); the RP2040's (§2.5 DMA, §3 PIO: a state machine that finds its FIFO empty
// says so in FDEBUG.TXSTALL); Raspberry Pi's bus program, spi_gap01_sample0 in the SDK's pico_cyw43_driver.

import { GPIOPinState } from 'rp2040js';

const PIN = { ON: 23, DATA: 24, SELECT: 25 }; // DATA is HOST_WAKE while the bus is idle
const CONTROL = 0x000; // of the PIO
const TX_STALL = 24; // bit of FDEBUG, for state machine 0
const CYCLES_PER_BIT = 2;
const BYTES = 4; // of a word

/** Puts the chip of `air` on a machine's pins. */
export function plugIn(machine, air) {
  const wiring = new Wiring(machine.mcu);
  wiring.chip = air.board(machine.clock, () => wiring.showLine(), (lit) => machine.show(lit));
}

class Wiring {
  constructor(mcu) {
    this.mcu = mcu;
    this.chip = null;
    this.idle = true; // whether chip select is high
    const onChange = (pin, act) => mcu.gpio[pin].addListener((state) => {
      if (state === GPIOPinState.High || state === GPIOPinState.Low) act(state === GPIOPinState.High);
    });
    onChange(PIN.ON, (high) => this.chip.power(high));
    onChange(PIN.SELECT, (high) => {
      this.idle = high;
      this.showLine();
    });
    for (const pio of mcu.pio) this.takeOver(pio);
  }

  showLine() {
    if (this.idle) this.mcu.gpio[PIN.DATA].setInputValue(this.chip.line);
  }

  takeOver(pio) {
    pio.run = () => {};
    for (const machine of pio.machines) this.takeFifos(machine);
    const write = pio.writeUint32.bind(pio);
    pio.writeUint32 = (offset, value) => {
      const enabled = pio.machines.map((machine) => machine.enabled);
      write(offset, value);
      if (offset !== CONTROL) return;
      pio.machines.forEach((machine, i) => {
        if (machine.enabled && !enabled[i]) this.begin(pio, machine);
        if (!machine.enabled) machine.alarm?.cancel();
      });
    };
  }

  /** While a machine runs, DMA waits for us, who move its words. */
  takeFifos(machine) {
    const { dma } = this.mcu;
    for (const request of [machine.dreqTx, machine.dreqRx]) dma.clearDREQ(request);
    machine.updateDMATx = () => {};
    machine.updateDMARx = () => {};
    const [write, read] = [machine.writeFIFO.bind(machine), machine.readFIFO.bind(machine)];
    machine.writeFIFO = (value) => (machine.sent ? machine.sent.push(value >>> 0) : write(value));
    machine.readFIFO = () => (machine.received?.length ? machine.received.shift() : read());
    machine.alarm = this.mcu.clock.createAlarm(() => this.end(machine));
  }

  begin(pio, machine) {
    pio.txStall &= ~this.stalled(machine);
    machine.received = [];
    const bits = machine.x + machine.y + 2;
    const cycles = CYCLES_PER_BIT * bits * (machine.clockDivInt + machine.clockDivFrac / 256);
    machine.alarm.schedule((1e9 * cycles) / this.mcu.clkSys);
  }

  end(machine) {
    const { pio } = machine;
    machine.sent = [];
    this.move(machine.dreqTx);
    const sent = Buffer.alloc(Math.min(machine.sent.length * BYTES, (machine.x + 1) >>> 3));
    for (let at = 0; at < sent.length; at += BYTES) sent.writeUInt32BE(machine.sent[at / BYTES], at);
    machine.sent = null;
    const received = sent.length ? this.chip.transfer(sent, BYTES * ((machine.y + 1) >>> 5)) : Buffer.alloc(0);
    for (let at = 0; at < received.length; at += BYTES) machine.received.push(received.readUInt32BE(at));
    this.move(machine.dreqRx);
    pio.txStall |= this.stalled(machine);
    pio.fdebug |= this.stalled(machine);
  }

  /** All that the DMA channel for a request has to move. */
  move(request) {
    for (const channel of this.mcu.dma.channels) {
      while (channel.treq === request && channel.active && channel.transCount) channel.transfer();
    }
  }

  stalled(machine) {
    return 1 << (TX_STALL + machine.index);
  }
}
