// The CYW43439: power, and how its parts are put together. It is off until its supply is switched on (WL_REG_ON), and
// forgets everything when that goes away.

import { Backplane } from './backplane.mjs';
import { Bus, PACKET_AVAILABLE } from './bus.mjs';
import { Firmware } from './firmware.mjs';
import { Exchange } from './sdpcm.mjs';

const FRAME_NANOS = 200e3; // what the firmware needs for a frame of the host: 1250 bytes on the air at 50 Mbit/s
const BOOT_NANOS = 29e6; // from the core's reset until the fast clock is there, as drivers for the Pico W have measured

export class Chip {
  /**
   * `later(nanos, call)` is the board's time, `air` what there is around (radio.mjs). `changed()` is called when the
   * interrupt line may have changed, `led(lit)` when the pin of the LED has.
   */
  constructor({ later, air, changed, led }) {
    Object.assign(this, { air, changed, led });
    this.later = (nanos, call) => {
      const { boot } = this;
      later(nanos, () => {
        if (boot === this.boot && !this.hung && !this.air.settings.dead) call();
      });
    };
    this.boot = 0;
    this.powered = false;
    this.backplane = new Backplane((version) => this.start(version));
    this.bus = new Bus(this.backplane, this);
    this.forget();
  }

  forget() {
    this.boot++;
    if (this.firmware?.lit) this.led(false);
    this.firmware?.drop();
    this.firmware = null;
    this.hung = false;
    this.exchange = new Exchange();
    this.inbox = []; // frames of the host that the firmware has not handled yet
    this.backplane.reset();
    this.bus.reset();
  }

  /** The supply is switched on, or off. */
  power(on) {
    if (on === this.powered) return;
    this.powered = on;
    this.forget();
    this.air.powered(on);
    this.changed();
  }

  /** What the host reads after it sent this: bytes on the wire. A chip that is off, or dead, leaves the wire low. */
  transfer(sent, wanted) {
    if (!this.powered || this.air.settings.dead) return Buffer.alloc(wanted);
    return this.bus.transfer(sent, wanted);
  }

  /** The level of HOST_WAKE while the bus is idle. */
  get line() {
    return this.powered && !this.air.settings.dead && this.bus.line;
  }

  start(version) {
    this.later(BOOT_NANOS, () => {
      this.backplane.running = true;
      const send = (channel, content) => {
        this.exchange.send(channel, content);
        this.announce();
      };
      const { air, later, led } = this;
      this.firmware = new Firmware({ version, later, send, air, led });
    });
  }

  /** An Ethernet frame from the network; false if nobody takes it. */
  receive(frame) {
    if (!this.firmware?.network || this.hung || this.air.settings.dead) return false;
    return this.firmware.receive(frame);
  }

  // -- function 2 of the bus

  get ready() {
    return this.firmware !== null;
  }

  get waiting() {
    return this.exchange.queue[0]?.length ?? 0;
  }

  take() {
    return this.exchange.queue.shift();
  }

  put(frame) {
    if (!this.ready || this.hung) return;
    const received = this.exchange.receive(frame);
    if (!received) return;
    this.inbox.push(received);
    this.later(FRAME_NANOS, () => this.handle(this.inbox.shift()));
  }

  handle(received) {
    const tell = this.exchange.done(received);
    this.firmware.take(received);
    if (!tell) return;
    this.exchange.sendCredit();
    this.announce();
  }

  /** To the host: a frame waits. */
  announce() {
    this.bus.raise(PACKET_AVAILABLE);
    this.changed();
  }
}
