// Where host programs reach the board's lines: each line listens on TCP ports of 127.0.0.1 or on Unix sockets. Every
// client gets all output, and the input of all is one stream. Output nobody was there for waits for the first client.

import fs from 'node:fs';
import net from 'node:net';

const KEPT_BYTES = 65536;
const PAUSE_ABOVE = 65536; // bytes that wait for the guest
const RESUME_BELOW = 16384;

export class Line {
  /** `toGuest(buffer)` takes input, `queued()` says how many bytes of it the guest has not taken yet. */
  constructor(toGuest, queued) {
    this.toGuest = toGuest;
    this.queued = queued;
    this.clients = new Set();
    this.kept = [];
    this.keptBytes = 0;
  }

  send(buffer) {
    for (const client of this.clients) client.write(buffer);
    if (this.clients.size || this.keptBytes + buffer.length > KEPT_BYTES) return;
    this.kept.push(buffer);
    this.keptBytes += buffer.length;
  }

  /** Resolves when clients can connect. */
  listen(address) {
    const tcp = /^\d+$/.test(address);
    if (!tcp) removeSocket(address);
    const server = net.createServer((client) => this.welcome(client));
    return new Promise((resolve, reject) => {
      server.on('error', reject);
      server.listen(tcp ? { port: Number(address), host: '127.0.0.1' } : { path: address }, resolve);
    });
  }

  welcome(client) {
    this.clients.add(client);
    client.setNoDelay(true);
    for (const buffer of this.kept) client.write(buffer);
    this.kept = [];
    this.keptBytes = 0;
    client.on('data', (buffer) => this.take(client, buffer));
    client.on('close', () => this.clients.delete(client));
    client.on('error', () => {}); // 'close' follows
  }

  take(client, buffer) {
    this.toGuest(buffer);
    if (this.queued() <= PAUSE_ABOVE) return;
    client.pause();
    const timer = setInterval(() => {
      if (this.queued() >= RESUME_BELOW) return;
      clearInterval(timer);
      client.resume();
    }, 1);
  }
}

// What an emulator that was killed left behind.
function removeSocket(path) {
  if (fs.statSync(path, { throwIfNoEntry: false })?.isSocket()) fs.unlinkSync(path);
}
