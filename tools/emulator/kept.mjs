// Translations of an image's code, kept from run to run: a start translates nothing that an earlier one has. They lie
// in the set-up's cache, beside the module folder, named by the image's content and by what made them; without such a
// folder they are kept for the resets of one run. What the guest sees does not depend on them.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import v8 from 'node:v8';
import { SECTOR_BITS } from './translation.mjs';
import { REGION, module } from './wasm.mjs';

const MAKERS = ['translation.mjs', 'blocks.mjs', 'wasm.mjs', 'kept.mjs'];
const IMAGES = 8; // of which translations are kept
const WORTH = 1 / 16; // what is new, of what is there, to be written down

// Of the many functions few run: V8 shall look at one when it is called first.
for (const each of ['compilation', 'validation']) v8.setFlagsFromString(`--wasm-lazy-${each}`);
v8.setFlagsFromString('--wasm-tiering-budget=10000000'); // and make it quicker where a run of seconds spends its time

/** The image's regions (translation.mjs); the module that is compiled of them has them in a table from place 1 on. */
export class Kept {
  /** `program` is the emulator's path; the image's code is what lies in the first so many bytes of the flash. */
  constructor(program, cells, length) {
    this.image = Buffer.from(cells.subarray(0, length));
    this.file = place(program, this.image);
    this.regions = this.read();
    this.seen = this.regions.length;
    this.module = null;
  }

  read() {
    try {
      return v8.deserialize(fs.readFileSync(this.file));
    } catch { // there is none yet
      return [];
    }
  }

  /** Whether a flash with this content has the image. */
  fits(cells) {
    return this.image.equals(cells.subarray(0, this.image.length));
  }

  /** If it is the image's; one in RAM looks by itself whether there is what it was made of. */
  add(region) {
    if (region.sectors.some((sector) => (sector + 1) << SECTOR_BITS > this.image.length)) return;
    this.regions.push(region);
    this.module = null;
  }

  /** Of all regions; null if there is none. */
  compiled() {
    if (!this.regions.length) return null;
    return (this.module ??= new WebAssembly.Module(module(REGION, this.regions.map(({ code }) => code), 1)));
  }

  save() {
    if (!this.file || this.regions.length - this.seen <= WORTH * this.seen) return;
    try {
      const whole = `${this.file}.${process.pid}`;
      fs.mkdirSync(path.dirname(this.file), { recursive: true });
      fs.writeFileSync(whole, v8.serialize(this.regions));
      fs.renameSync(whole, this.file);
      clear(path.dirname(this.file));
    } catch { // a disk that is full, a cache that is another user's: the next start translates again
    }
  }
}

/** Leaves the newest. */
function clear(folder) {
  const files = fs.readdirSync(folder).map((name) => path.join(folder, name));
  const age = new Map(files.map((file) => [file, -(fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0)]));
  for (const file of files.sort((a, b) => age.get(a) - age.get(b)).slice(IMAGES)) fs.rmSync(file, { force: true });
}

function place(program, image) {
  const here = path.dirname(path.resolve(program));
  if (!fs.existsSync(path.join(here, '..', 'node_modules'))) return null;
  const hash = createHash('sha256').update(process.version).update(image);
  for (const maker of MAKERS) hash.update(fs.readFileSync(path.join(here, maker)));
  return path.join(here, '..', 'translated', hash.digest('hex').slice(0, 32));
}
