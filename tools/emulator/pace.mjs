// How fast the guest's idle time passes. Busy time lasts as long as the emulator takes for it.

const LEAD_MS = 2;
const LEAST_MS = 1; // less is not worth a look at the clock: the guest waits until it may pass so much
const LAG_MS = 10;
const DEBT_MS = 8000;
const MADE_UP = 0.5;

/** Nanoseconds that may pass at such a lead. */
function passing(lead) {
  const ms = LEAD_MS - Math.max(lead, -LAG_MS);
  return ms < LEAST_MS ? 0 : ms * 1e6;
}

// Keeps guest time at host time when a program on the host is the guest's peer. The guest may lead by 2 ms, so that its
// time-outs never fire early. Where it lags (busy code runs slower than on the chip, or the host has other work) 10 ms
// are made up at once and up to 8 s little by little, idle time running faster by half: a clock that went wrong under
// load is right again soon, and no time-out fires much too early. What is beyond that is forgiven; 8 s is less than the
// shortest round of a test with members, so a clock that was set amid such a debt is not a round ahead later.

export class Pace {
  constructor(machine, hostMs = () => Number(process.hrtime.bigint()) / 1e6) {
    this.machine = machine;
    this.hostMs = hostMs;
    this.start = this.seen = hostMs();
    this.forgiven = 0;
    this.debt = 0;
  }

  /** Nanoseconds of idle time that the guest may skip now. */
  allowance() {
    const now = this.hostMs();
    const madeUp = Math.min(this.debt, MADE_UP * (now - this.seen));
    this.seen = now;
    this.debt -= madeUp;
    this.forgiven -= madeUp;
    const lead = this.machine.nanos / 1e6 + this.forgiven - (now - this.start);
    if (lead < -LAG_MS) this.forgive(-LAG_MS - lead);
    return passing(lead);
  }

  forgive(lag) {
    this.forgiven += lag;
    this.debt = Math.min(this.debt + lag, DEBT_MS);
  }
}

/**
 * For peers that take the time from the guest (clock.mjs): a lag is nobody's loss. Idle time passes as on the host, so
 * that no peer is hurried; up to the time that all of them wait for it passes at once.
 */
export class OwnPace {
  /** `awaited()` says how many nanoseconds that is from now. */
  constructor(machine, awaited, hostMs = () => Number(process.hrtime.bigint()) / 1e6) {
    this.machine = machine;
    this.awaited = awaited;
    this.hostMs = hostMs;
    this.begin();
  }

  begin() {
    this.start = this.hostMs() - this.machine.nanos / 1e6;
    this.waiting = false;
  }

  allowance() {
    const awaited = this.awaited();
    if (awaited > 0) {
      this.waiting = true;
      return awaited;
    }
    if (this.waiting) this.begin();
    const lead = this.machine.nanos / 1e6 - (this.hostMs() - this.start);
    if (lead < -LAG_MS) this.start += -LAG_MS - lead;
    return passing(lead);
  }
}

/** Without a peer idle time costs nothing: the run depends on no clock but the guest's. */
export class NoPace {
  allowance() {
    return Infinity;
  }
}
