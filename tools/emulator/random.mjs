// The emulator's only source of chance: a seeded generator (xorshift32, Marsaglia 2003), so that runs repeat exactly.

export class Random {
  constructor(seed) {
    this.state = seed >>> 0 || 1; // zero is the generator's fixed point
  }

  /** 32 bits. */
  word() {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (this.state = x >>> 0);
  }

  /** 8 bits, from the better end of the word. */
  byte() {
    return this.word() >>> 24;
  }

  bit() {
    return this.word() >>> 31;
  }
}
