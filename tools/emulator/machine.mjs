// One power-on of the board: an RP2040 of rp2040js with our boot ROM, flash, UARTs, console and probe, and the loop
// that runs it and counts cycles. What the outside world does with it is emulator.mjs's.
//
// Cycles are those of an ideal Cortex-M0+: no flash wait states, no XIP cache, one core. Waiting (WFE, WFI) counts. How
// long one lasts follows the PLLs and clk_sys as the guest sets them (rp2040js has their registers); ratings.mjs stops
// what the chip is not rated for.

import { ConsoleLogger, GPIOPinState, LogLevel, Simulator } from 'rp2040js';
import { Blocks } from './blocks.mjs';
import { installBootrom } from './bootrom.mjs';
import { Console } from './console.mjs';
import { PROBE_PAGE, Probe, RingOscillator } from './probe.mjs';
import { quickCore } from './quickcore.mjs';
import { Ratings } from './ratings.mjs';
import { Uart } from './uart.mjs';

const NANOS_STEP = 2 ** -12; // of a cycle's length: sums of it are exact, in whatever order they are made
const CHIP_SELECT = 1; // among the pins of the flash
const CHIP_SELECT_PAD = 0x5a; // after a reset: an input with a pull-up
const LED = 25;
const ROSC_PAGE = 0x40060;
const WATCHDOG_PAGE = 0x40058;
const STACK_POINTER = 13;
const PROGRAM_COUNTER = 15;
const LONGEST_RUN = 1e6; // cycles of blocks
const STACK_TOP = 0x20041f00;
const BOOT2 = 0x10000000; // the image's own second stage runs first
const NO_ALARM_STEP = 1e6;
const IDLE_STEPS = 100; // after which the host gets a turn

/** Thrown when the guest resets itself; the watchdog's scratch registers outlive it. */
export class Reset extends Error {}

/** Thrown when the guest stops for good: a breakpoint of its own, clocks beyond their ratings. */
export class Halt extends Error {}

/** Thrown when the guest asks for the boot ROM's USB disk, which is not emulated here (but see pico.py). */
export class Bootsel extends Error {}

export class Machine {
  /**
   * `outputs` are console(buffer), connected() and uart(index, buffer). `watchdog` is an earlier machine's. `plain`
   * leaves every instruction to rp2040js. `kept` are translations of the image (kept.mjs). `plugIn(machine)` connects
   * what else the board has: a radio, which then has the LED, too.
   */
  constructor({ flash, random, outputs, watchdog = null, plain = false, kept = null, plugIn = null }) {
    const simulator = new Simulator();
    this.mcu = simulator.rp2040;
    this.mcu.logger = new ConsoleLogger(LogLevel.Error);
    this.clock = simulator.clock;
    this.cyclesBefore = this.nanosBefore = 0; // the clock's last change
    this.keepTime();
    this.mcu.addClockListener(() => this.changeClock());
    this.core = this.mcu.core;
    this.flash = flash;
    this.instructions = 0;
    this.charge = installBootrom(this.mcu, this.romActions());
    this.mcu.flash.set(flash.cells);
    this.blocks = new Blocks(this.mcu, flash.cells.length, { kept });
    this.plain = plain;
    this.step = plain ? () => this.core.executeInstruction() : quickCore(this.mcu);
    this.connect(random, outputs, plugIn);
    this.watchdog = this.mcu.peripherals[WATCHDOG_PAGE];
    this.watchdog.onWatchdogTrigger = () => { throw new Reset(); };
    if (watchdog) this.keepWatchdog(watchdog);
    this.core.SP = this.lowestStack = STACK_TOP;
    this.core.LR = 0;
    this.core.PC = BOOT2;
  }

  connect(random, outputs, plugIn) {
    this.printedCycles = this.printedNanos = 0; // when the guest last wrote something
    const print = (buffer) => {
      this.printedCycles = this.cycles;
      this.printedNanos = this.nanos;
      outputs.console(buffer);
    };
    this.console = new Console(this.mcu, print, outputs.connected);
    this.uarts = [0, 1].map((index) => new Uart(this.mcu, index, (buffer) => outputs.uart(index, buffer)));
    this.probe = new Probe(this.mcu, this);
    this.mcu.peripherals[PROBE_PAGE] = this.probe;
    this.mcu.peripherals[ROSC_PAGE] = new RingOscillator(this.mcu, random);
    this.ratings = new Ratings(this.mcu, (reason) => { throw new Halt(reason); });
    for (const pin of this.mcu.gpio) pin.addListener((state) => readBack(pin, state));
    this.lit = false; // whether the board's LED is
    this.lights = []; // [lit, nanos] of each change of it
    if (plugIn) plugIn(this);
    else this.mcu.gpio[LED].addListener((state) => this.show(state === GPIOPinState.High));
    this.mcu.qspi[CHIP_SELECT].padValue = CHIP_SELECT_PAD;
    this.press(false);
  }

  /** The BOOTSEL button: pressed, it pulls the flash's chip select low. (Its effect on a reset is not modelled.) */
  press(pressed) {
    this.mcu.qspi[CHIP_SELECT].setInputValue(!pressed);
  }

  show(lit) {
    this.lit = lit;
    this.lights.push([lit, this.nanos]);
  }

  keepWatchdog({ reason, scratchData }) {
    this.watchdog.reason = reason;
    this.watchdog.scratchData.set(scratchData);
  }

  // rp2040js reads instructions from cells of its own: each operation is copied there.
  romActions() {
    const show = (offset, length) => {
      this.mcu.flash.set(this.flash.cells.subarray(offset, offset + length), offset);
      this.blocks.changed(offset, length);
    };
    return {
      erase: (offset, length) => {
        this.flash.erase(offset, length);
        show(offset, length);
      },
      program: (offset, data) => {
        this.flash.program(offset, data);
        show(offset, data.length);
      },
      usbBoot: () => { throw new Bootsel(); },
      unknownBreakpoint: (number, pc) => { throw new Halt(`breakpoint ${number} at 0x${pc.toString(16)}`); },
    };
  }

  get lowestStack() {
    return this.blocks.lowestStack;
  }

  set lowestStack(address) {
    this.blocks.lowestStack = address;
  }

  /** How long a cycle lasts from now on. */
  keepTime() {
    this.nanosPerCycle = Math.round(1e9 / this.mcu.clkSys / NANOS_STEP) * NANOS_STEP;
  }

  changeClock() {
    this.cyclesBefore = this.cycles;
    this.nanosBefore = this.clock.nanosCounter = Math.round(this.clock.nanosCounter);
    this.keepTime();
    this.ratings.check();
  }

  get cycles() {
    return this.cyclesBefore + Math.round((this.clock.nanos - this.nanosBefore) / this.nanosPerCycle);
  }

  get nanos() {
    return this.clock.nanos;
  }

  /**
   * Runs up to `steps` instructions. `allowance()` says how many nanoseconds of idle time may be skipped now; where
   * that is none the run ends early. Returns whether the guest has to wait for the host's clock.
   */
  run(steps, allowance) {
    const { core, charge, clock, step, blocks, plain } = this;
    const { registers } = core;
    this.console.pump();
    blocks.translate();
    let arrived = !plain; // by a jump, or behind what is for no block: where one may begin
    for (let i = 0, idle = 0; i < steps;) {
      if (core.waiting) {
        if (!this.skip(allowance())) {
          this.flush();
          return true;
        }
        if (++idle > IDLE_STEPS) break;
        i++;
        continue;
      }
      if ((arrived || (!plain && blocks.mapped(registers[PROGRAM_COUNTER]))) && !core.interruptsUpdated) {
        const { nextAlarm } = clock;
        const free = nextAlarm === null ? LONGEST_RUN : (nextAlarm.nanos - clock.nanosCounter - 1) / this.nanosPerCycle;
        const done = blocks.run(steps - i, free);
        if (done) {
          i += done;
          this.instructions += done;
          clock.nanosCounter += blocks.cycles * this.nanosPerCycle;
          if (i >= steps) break;
        }
      }
      const before = registers[PROGRAM_COUNTER];
      const cycles = step() + charge.cycles;
      charge.cycles = 0;
      i++;
      this.instructions++;
      const further = registers[PROGRAM_COUNTER] - before;
      arrived = !plain && ((further !== 2 && further !== 4) || blocks.left);
      if (registers[STACK_POINTER] < this.lowestStack) this.lowestStack = registers[STACK_POINTER];
      const nanos = cycles * this.nanosPerCycle;
      // clock.tick() would do as well; most instructions end before the next alarm, and this is as often as it gets.
      const target = clock.nanosCounter + nanos;
      if (clock.nextAlarm !== null && clock.nextAlarm.nanos <= target) clock.tick(nanos);
      else clock.nanosCounter = target;
    }
    this.flush();
    return false;
  }

  flush() {
    for (const uart of this.uarts) uart.flush();
  }

  /** Passes idle time up to the next alarm. False if none may pass. */
  skip(allowed) {
    this.console.pump();
    if (allowed <= 0) return false;
    const next = this.clock.nextAlarm ? this.clock.nanosToNextAlarm : NO_ALARM_STEP;
    const nanos = Math.min(next, allowed);
    this.clock.tick(nanos);
    return true;
  }
}

// An output pin reads as what it is set to.
function readBack(pin, state) {
  if (state === 0 || state === 1) pin.setInputValue(state === 1);
}
