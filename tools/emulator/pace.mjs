// Keeps guest time at host time when a program on the host is the guest's peer. The guest may lead by 2 ms, so that its
// time-outs never fire early. Where it lags (busy code runs slower than on the chip) at most 10 ms are made up: idle
// time must not race ahead afterwards.

const LEAD_MS = 2;
const LAG_MS = 10;

export class Pace {
  constructor(machine) {
    this.machine = machine;
    this.start = process.hrtime.bigint();
    this.forgiven = 0;
  }

  /** Nanoseconds of idle time that the guest may skip now. */
  allowance() {
    const host = Number(process.hrtime.bigint() - this.start) / 1e6;
    const lead = this.machine.nanos / 1e6 + this.forgiven - host;
    if (lead < -LAG_MS) this.forgiven -= lead + LAG_MS;
    return (LEAD_MS - Math.max(lead, -LAG_MS)) * 1e6;
  }
}

/** Without a peer idle time costs nothing: the run depends on no clock but the guest's. */
export class NoPace {
  allowance() {
    return Infinity;
  }
}
