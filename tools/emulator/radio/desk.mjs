// The radio alone on a desk, for tests: its bus in the hands of another program, no board around it, and time that
// passes when it is told to. A line of JSON asks, a line answers.
//
//   {"new": {…}, "seed": 1}           a radio with this around it (the fields of Radio in wifi.py); switched off
//   {"reset": true}                   another board around it, as after a reset: time begins anew, what is around stays
//   {"power": true}                   its supply
//   {"transfer": hex, "read": 4}      {"bytes": hex}: what is read after this was sent
//   {"pass": 1.5}                     seconds
//   {"change": {…}}                   of what is around it
//   {"host": hex}                     of the stream of packets
//   {"ask": "status"}, "happenings"   {"status": …}, {"happenings": …}
//
// Every answer has "line", the level of HOST_WAKE, "led", whether it is lit, and "host", the stream for the host since.

import readline from 'node:readline';
import { Simulator } from 'rp2040js';
import { Air } from './air.mjs';

class Desk {
  constructor(settings, seed) {
    this.air = new Air(settings, seed);
    this.air.toHost = (bytes) => this.host.push(bytes);
    this.host = [];
    this.led = false;
    this.reset();
  }

  reset() {
    this.clock = new Simulator().clock;
    this.chip = this.air.board(this.clock, () => {}, (lit) => { this.led = lit; });
  }

  act({ reset, power, transfer, read = 0, pass, change, host, ask }) {
    if (reset) this.reset();
    if (power !== undefined) this.chip.power(power);
    if (pass !== undefined) this.clock.tick(1e9 * pass);
    if (change) this.air.change(change);
    if (host) this.air.feed(Buffer.from(host, 'hex'));
    if (ask === 'status') return { status: this.air.status() };
    if (ask === 'happenings') return { happenings: this.air.happenings.splice(0) };
    return transfer ? { bytes: this.chip.transfer(Buffer.from(transfer, 'hex'), read).toString('hex') } : {};
  }

  answer(request) {
    const found = this.act(request);
    const host = Buffer.concat(this.host.splice(0)).toString('hex');
    return { ...found, line: this.chip.line, led: this.led, host };
  }
}

let desk = null;
for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.new) desk = new Desk(request.new, request.seed);
  process.stdout.write(JSON.stringify(desk.answer(request)) + '\n');
}
