// The board's USB console (CDC): bytes from the host wait here until the guest asks for them, and the guest's go out.

import { USBCDC } from 'rp2040js';

const FIFO_FILL = 500; // of the 512 that rp2040js has; it drops what does not fit

export class Console {
  /** `onOutput(buffer)` gets what the guest writes, `onConnected()` is called when it has found its host. */
  constructor(mcu, onOutput, onConnected = () => {}) {
    this.controller = mcu.usbCtrl;
    this.device = new USBCDC(mcu.usbCtrl);
    this.device.onSerialData = (bytes) => onOutput(Buffer.from(bytes));
    this.device.onDeviceConnected = onConnected;
    this.input = [];
    this.position = 0;
    this.waitingRead = null;
    this.holdReads();
  }

  /** Bytes from the host. */
  feed(buffer) {
    if (buffer.length) this.input.push(buffer);
  }

  get queued() {
    return this.input.reduce((sum, buffer) => sum + buffer.length, -this.position);
  }

  /** The guest's read of an empty FIFO is answered when there is data; answered at once it would ask again for ever. */
  holdReads() {
    const read = this.controller.onEndpointRead;
    this.answer = read;
    this.controller.onEndpointRead = (endpoint, size) => {
      if (endpoint === this.device.outEndpoint && this.device.txFIFO.empty) this.waitingRead = [endpoint, size];
      else read(endpoint, size);
    };
  }

  /** Moves what waits to the guest. */
  pump() {
    const fifo = this.device.txFIFO;
    while (this.input.length && fifo.itemCount < FIFO_FILL) {
      this.device.sendSerialByte(this.input[0][this.position++]);
      if (this.position < this.input[0].length) continue;
      this.input.shift();
      this.position = 0;
    }
    if (this.waitingRead && !fifo.empty) {
      const [endpoint, size] = this.waitingRead;
      this.waitingRead = null;
      this.answer(endpoint, size);
    }
  }
}
