// Deterministic mode: runs Python programs through the raw REPL. Input and output are clocked by the guest alone, so two
// runs take the same cycles and leave the same flash, bit for bit.
//
// A file holds one program, or several with 0x04 between them; each of these begins with a soft reset: an empty heap, and
// no module but what the image itself starts.
//
// Raw REPL: the program, 0x04; then "OK", its output, 0x04, its traceback, 0x04. No program and 0x04: soft reset.

import fs from 'node:fs';

const ENTER = Buffer.from('\r\x03\x03\r\x01'); // interrupt whatever the image started, then the raw REPL
const BANNER = 'raw REPL; CTRL-B to exit\r\n>';
const END = 0x04;

function split(content) {
  const end = content.indexOf(END);
  return end < 0 ? [content] : [content.subarray(0, end), ...split(content.subarray(end + 1))];
}

export class Script {
  /** `finish(status)` is called at the end: 0, or 1 after an exception in one of the programs. */
  constructor(path, finish) {
    this.programs = split(fs.readFileSync(path));
    this.finish = finish;
    this.text = '';
    this.step = this.awaitBanner;
    this.failed = false;
  }

  begin(console) {
    this.console = console;
    console.feed(ENTER);
  }

  read(buffer) {
    this.text += buffer.toString('latin1');
    let before;
    do {
      before = this.step;
      this.step();
    } while (this.step !== before);
  }

  awaitBanner() {
    if (!this.text.includes(BANNER)) return;
    this.text = '';
    this.console.feed(Buffer.concat([this.programs.shift(), Buffer.from([END])]));
    this.step = this.awaitStart;
  }

  awaitStart() {
    if (!this.text.startsWith('OK')) return;
    this.text = this.text.slice(2);
    this.step = this.copyOutput;
  }

  copyOutput() {
    if (this.copyTo(1)) this.step = this.copyTraceback;
  }

  copyTraceback() {
    if (this.text.length > 0 && this.text.charCodeAt(0) !== END) this.failed = true;
    if (!this.copyTo(2)) return;
    if (this.programs.length > 0) {
      this.console.feed(Buffer.from([END]));
      this.step = this.awaitBanner;
    } else {
      this.finish(this.failed ? 1 : 0);
    }
  }

  /** Writes what came to a file descriptor. True if the end of the part came. */
  copyTo(descriptor) {
    const end = this.text.indexOf('\x04');
    const part = end < 0 ? this.text : this.text.slice(0, end);
    fs.writeSync(descriptor, Buffer.from(part, 'latin1'));
    this.text = end < 0 ? '' : this.text.slice(end + 1);
    return end >= 0;
  }
}
