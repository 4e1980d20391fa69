// The guest's time in a file, for host programs that live in it (clock.py): three little-endian words of 64 bits.
//
//   +0   the time now, in nanoseconds since 1970
//   +8   0 while the board is on; else the host's monotonic nanoseconds when it went off: time then goes on as there
//   +16  until when every program that lives in it waits: idle time up to there need not last
//
// A reset does not turn the time back, nor does switching off and on.

import fs from 'node:fs';

const WORD = 8;

export class Clock {
  constructor(path) {
    this.file = fs.openSync(path, 'r+');
    this.words = new BigInt64Array(3);
    fs.readSync(this.file, this.words, 0, 3 * WORD, 0);
    const [now, off] = this.words;
    this.start = off ? now + process.hrtime.bigint() - off : now;
    this.publish(0);
  }

  /** A machine with so many nanoseconds ends here, another begins with none. */
  restart(nanos) {
    this.start += BigInt(Math.round(nanos));
  }

  publish(nanos) {
    this.write(nanos, 0n);
  }

  end(nanos) {
    this.write(nanos, process.hrtime.bigint());
  }

  write(nanos, off) {
    this.words[0] = this.start + BigInt(Math.round(nanos));
    this.words[1] = off;
    fs.writeSync(this.file, this.words, 0, 2 * WORD, 0);
  }

  /** Nanoseconds from what was published last to the time that the programs wait for; below 0 if they do not wait. */
  awaited() {
    fs.readSync(this.file, this.words, 2 * WORD, WORD, 2 * WORD);
    return Number(this.words[2] - this.words[0]);
  }
}
