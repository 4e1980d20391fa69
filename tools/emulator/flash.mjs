// The board's flash: what NOR cells do when they are erased and programmed, the file that keeps them, the power cut.
// Every operation is written to the file at once, so the file is the flash at any moment, also after a kill.
//
// An operation is one 256-byte page program or one 4096-byte sector erase; they are counted from 1.

import fs from 'node:fs';
import { tearErase, tearProgram } from './tear.mjs';

export const FLASH_SIZE = 2 << 20;
const SECTOR = 4096;
const PAGE = 256;

/** Thrown in the middle of the operation that the power did not last for. */
export class PowerCut extends Error {}

export class Flash {
  constructor(path, random) {
    this.cells = new Uint8Array(FLASH_SIZE).fill(0xff);
    this.random = random;
    this.operations = 0;
    this.cut = null;
    this.file = path ? this.open(path) : null;
  }

  open(path) {
    const file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
    fs.readSync(file, this.cells, 0, FLASH_SIZE, 0);
    return file;
  }

  /** Writes part of the cells through to the file; all of them after an image was laid over them. */
  save(offset = 0, length = FLASH_SIZE) {
    if (this.file !== null) fs.writeSync(this.file, this.cells, offset, length, offset);
  }

  /** The power fails in operation number `at`; `how` is what tear.mjs takes. */
  cutAt(at, how) {
    this.cut = { at, how };
  }

  erase(offset, length) {
    for (let at = offset; at < offset + length; at += SECTOR) {
      const sector = this.cells.subarray(at, at + SECTOR);
      if (this.next()) this.tear('erase', at, SECTOR, () => tearErase(sector, this.cut.how, this.random));
      sector.fill(0xff);
      this.save(at, SECTOR);
    }
  }

  program(offset, data) {
    for (let from = 0; from < data.length; from += PAGE) {
      const part = data.subarray(from, from + PAGE);
      const page = this.cells.subarray(offset + from, offset + from + part.length);
      const torn = () => tearProgram(page, part, this.cut.how, this.random);
      if (this.next()) this.tear('program', offset + from, part.length, torn);
      for (let i = 0; i < part.length; i++) page[i] &= part[i]; // programming only clears bits
      this.save(offset + from, part.length);
    }
  }

  next() {
    this.operations++;
    return this.cut?.at === this.operations;
  }

  tear(what, offset, length, change) {
    change();
    this.save(offset, length);
    throw new PowerCut(`operation ${this.operations}, ${what} at 0x${offset.toString(16)}`);
  }
}
