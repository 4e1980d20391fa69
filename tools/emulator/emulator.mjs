#!/usr/bin/env node
// The emulated board as a command: reads the options, connects the lines, runs the machine, says how it ended.
//
//   node emulator.mjs firmware.uf2 [options]
//     --flash FILE         the 2 MiB of flash; made if it is not there. The image is laid over it at the start
//     --console ADDRESS    the USB console listens here: a TCP port of 127.0.0.1 or a Unix socket's path; repeatable
//     --uart N:ADDRESS     UART N (0 or 1) likewise
//     --radio JSON         the board has a Pico W's radio, with this around it: the fields of Radio in wifi.py
//     --air ADDRESS        the network behind its access point is the host's: IPv4 packets, see radio/air.mjs
//     --control PATH       a Unix socket for control.mjs
//     --realtime           guest time follows host time, for peers on the host that have its time
//     --clock FILE         guest time is told in a file, for peers on the host that take theirs from it: clock.mjs
//     --exec FILE          deterministic: run a Python program through the raw REPL, print its output, end
//     --cut-at N           the power fails in the N-th flash operation (a 256-byte program or a 4096-byte erase)
//     --cut-bytes K        how many bytes of that operation take effect (half)
//     --cut-rest HOW       what the others hold: old, blank, bits, random (tear.mjs); programs: old, erases: bits
//     --seed S             of the random bits of the oscillator and of torn cells (1)
//     --max-seconds T      give up after T guest seconds
//     --stats              print the counters at the end, as JSON on stderr
//     --plain              every instruction by rp2040js itself, none by quickcore.mjs or translated: slower
//     --lifeline           end when standard input does: with whoever started us
//
// Status: 0 done or stopped, 1 exception (--exec), 2 usage, 3 crash, 75 machine.reset() in deterministic mode (in the
// other the board starts again), 76 power cut, 77 guest time is over, 78 the guest asked for BOOTSEL.

import fs from 'node:fs';
import { parseArgs } from 'node:util';
import { Clock } from './clock.mjs';
import { counters, listenForControl } from './control.mjs';
import { Flash, PowerCut } from './flash.mjs';
import { Kept } from './kept.mjs';
import { Bootsel, Halt, Machine, Reset } from './machine.mjs';
import { NoPace, OwnPace, Pace } from './pace.mjs';
import { Random } from './random.mjs';
import { Script } from './script.mjs';
import { Line } from './sockets.mjs';
import { RESTS } from './tear.mjs';
import { layUf2 } from './uf2.mjs';

const STATUS = { done: 0, usage: 2, crash: 3, reset: 75, powerCut: 76, timeOver: 77, bootsel: 78 };
const STEPS = 100000; // instructions between two looks at the host
const TEAR_SEED = 0x9e3779b9; // torn cells have a sequence of their own: they must not depend on what the guest drew

const text = { type: 'string' };
const texts = { type: 'string', multiple: true, default: [] };
const flag = { type: 'boolean', default: false };
const OPTIONS = {
  flash: text,
  console: texts,
  uart: texts,
  radio: text,
  air: text,
  control: text,
  realtime: flag,
  clock: text,
  exec: text,
  'cut-at': text,
  'cut-bytes': text,
  'cut-rest': text,
  seed: { type: 'string', default: '1' },
  'max-seconds': { type: 'string', default: 'Infinity' },
  stats: flag,
  plain: flag,
  lifeline: flag,
};

function stopUsage(message) {
  process.stderr.write(`emulator: ${message}\nusage: emulator.mjs firmware.uf2 [options], see the head of the file\n`);
  process.exit(STATUS.usage);
}

function readOptions() {
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
    if (positionals.length !== 1) throw new Error('one image is needed');
    const { 'cut-rest': rest } = values;
    if (rest !== undefined && !RESTS.includes(rest)) throw new Error(`--cut-rest is one of ${RESTS.join(', ')}`);
    for (const uart of values.uart) if (!/^[01]:./.test(uart)) throw new Error('--uart takes 0:ADDRESS or 1:ADDRESS');
    for (const name of ['cut-at', 'cut-bytes', 'seed', 'max-seconds']) {
      if (values[name] !== undefined && !(Number(values[name]) >= 0)) throw new Error(`--${name} takes a number`);
    }
    return { ...values, image: positionals[0] };
  } catch (error) {
    return stopUsage(error.message);
  }
}

class Board {
  /** `radio` is {air, plugIn} (radio/), null if the board has none. */
  constructor(options, radio) {
    const seed = Number(options.seed);
    this.options = options;
    this.random = new Random(seed);
    this.flash = new Flash(options.flash, new Random(seed ^ TEAR_SEED));
    this.boots = 0;
    this.air = radio?.air ?? null;
    this.plugIn = radio && ((machine) => radio.plugIn(machine, this.air));
    this.clock = options.clock ? new Clock(options.clock) : null;
    this.wake = () => {};
    const laid = layUf2(this.flash.cells, fs.readFileSync(options.image));
    this.kept = options.plain ? null : new Kept(process.argv[1], this.flash.cells, laid);
    this.flash.save();
    if (options['cut-at']) this.flash.cutAt(Number(options['cut-at']), cutOptions(options));
    this.script = options.exec ? new Script(options.exec, (status) => this.leave(status)) : null;
    this.consoleLine = this.line((machine) => machine.console);
    this.uartLines = [0, 1].map((index) => this.line((machine) => machine.uarts[index]));
    this.airLine = this.line(() => this.air);
    if (this.air) this.air.toHost = (buffer) => this.airLine.send(buffer);
    this.switchOn();
  }

  /** A line whose guest end is found anew for each byte: after a reset it is another machine's. */
  line(end) {
    const toGuest = (buffer) => {
      end(this.machine).feed(buffer);
      this.wake();
    };
    return new Line(toGuest, () => end(this.machine).queued);
  }

  switchOn(watchdog = null) {
    this.boots++;
    const outputs = {
      console: (buffer) => (this.script ? this.script.read(buffer) : this.consoleLine.send(buffer)),
      connected: () => this.script?.begin(this.machine.console),
      uart: (index, buffer) => this.uartLines[index].send(buffer),
    };
    const { kept, plugIn, options: { plain } } = this;
    this.clock?.restart(this.machine?.nanos ?? 0);
    this.machine = new Machine({ flash: this.flash, random: this.random, outputs, watchdog, plain, kept, plugIn });
    this.pace = this.choosePace();
  }

  choosePace() {
    if (this.options.realtime) return new Pace(this.machine);
    return this.clock ? new OwnPace(this.machine, () => this.until - this.machine.nanos) : new NoPace();
  }

  async listen() {
    const { console: consoles, uart, air, control } = this.options;
    for (const address of consoles) await this.consoleLine.listen(address);
    for (const line of uart) await this.uartLines[Number(line[0])].listen(line.slice(2));
    if (air) await this.airLine.listen(air);
    if (control) await listenForControl(control, this);
  }

  reset() {
    if (this.script) this.leave(STATUS.reset, 'the guest reset itself');
    this.switchOn(this.machine.watchdog);
  }

  off() {
    setImmediate(() => this.leave(STATUS.done)); // the answer goes out first
  }

  /** A slice of guest time, then the host's turn, again and again. */
  run() {
    if (this.clock) this.until = this.machine.nanos + this.clock.awaited();
    const ahead = this.slice();
    this.clock?.publish(this.machine.nanos);
    const seconds = this.machine.nanos / 1e9;
    if (seconds > Number(this.options['max-seconds'])) this.leave(STATUS.timeOver, 'guest time is over');
    if (ahead) this.sleep();
    else setImmediate(() => this.run());
  }

  slice() {
    try {
      return this.machine.run(STEPS, () => this.pace.allowance());
    } catch (error) {
      return this.afterStop(error);
    }
  }

  afterStop(error) {
    if (error instanceof Reset) this.reset();
    else if (error instanceof PowerCut) this.leave(STATUS.powerCut, `power cut: ${error.message}`);
    else if (error instanceof Bootsel) this.leave(STATUS.bootsel, 'the guest asked for BOOTSEL');
    else if (error instanceof Halt) this.leave(STATUS.crash, error.message);
    else throw error;
    return false;
  }

  /** Until the host's clock has caught up, or input comes. */
  sleep() {
    const go = () => {
      clearTimeout(timer);
      this.wake = () => {};
      this.run();
    };
    const timer = setTimeout(go, 1);
    this.wake = go;
  }

  leave(status, reason) {
    if (reason) process.stderr.write(`emulator: ${reason}\n`);
    if (this.options.stats) process.stderr.write(JSON.stringify({ status, ...counters(this) }) + '\n');
    this.clock?.end(this.machine.nanos);
    this.kept?.save();
    process.exit(status);
  }
}

function cutOptions(options) {
  const bytes = options['cut-bytes'];
  return { bytes: bytes === undefined ? undefined : Number(bytes), rest: options['cut-rest'] };
}

/** The radio's part of the emulator costs nothing where there is none. */
async function makeRadio({ radio, seed }) {
  if (!radio) return null;
  const [{ Air }, { plugIn }] = await Promise.all([import('./radio/air.mjs'), import('./radio/wiring.mjs')]);
  return { air: new Air(JSON.parse(radio), Number(seed)), plugIn };
}

const options = readOptions();
const board = new Board(options, await makeRadio(options));
process.on('SIGTERM', () => board.leave(STATUS.done));
process.on('SIGINT', () => board.leave(STATUS.done));
if (board.options.lifeline) process.stdin.on('end', () => board.leave(STATUS.done)).resume();
await board.listen();
board.run();
