// A DHCP server (RFC 2131, options of RFC 2132) with one address to give, always the same.

import { ip } from './ethernet.mjs';

export const SERVER_PORT = 67;
export const CLIENT_PORT = 68;
const OPTIONS = 240; // where they begin, behind the cookie
const COOKIE = 0x63825363;
const OPTION = { MASK: 1, ROUTER: 3, DNS: 6, HOST_NAME: 12, ADDRESS: 50, LEASE: 51, MESSAGE: 53, SERVER: 54, END: 255 };
const MESSAGE = { DISCOVER: 1, OFFER: 2, REQUEST: 3, ACK: 5, NAK: 6 };
const REPLY = 2; // of the message's first byte
const MASK = '255.255.255.0';
const LEASE_SECONDS = 3600;

export class DhcpServer {
  /** `own` and `offered` are IPv4 addresses. */
  constructor(own, offered) {
    this.own = ip(own);
    this.offered = ip(offered);
    this.hostname = null; // that the client last said
  }

  /** The answer to a client's message, null if there is none to give. */
  answer(question) {
    if (question.length < OPTIONS || question[0] !== 1 || question.readUInt32BE(236) !== COOKIE) return null;
    const options = parseOptions(question.subarray(OPTIONS));
    const kind = options.get(OPTION.MESSAGE)?.[0];
    if (options.has(OPTION.HOST_NAME)) this.hostname = options.get(OPTION.HOST_NAME).toString();
    if (kind === MESSAGE.DISCOVER) return this.reply(question, MESSAGE.OFFER);
    if (kind !== MESSAGE.REQUEST) return null;
    const server = options.get(OPTION.SERVER);
    if (server && !server.equals(this.own)) return null;
    const wanted = options.get(OPTION.ADDRESS) ?? question.subarray(12, 16);
    return this.reply(question, wanted.equals(this.offered) ? MESSAGE.ACK : MESSAGE.NAK);
  }

  reply(question, kind) {
    const head = Buffer.alloc(OPTIONS);
    question.copy(head, 0, 0, OPTIONS);
    head[0] = REPLY;
    head.fill(0, 12, 24).fill(0, 44, 236);
    const options = [option(OPTION.MESSAGE, Buffer.from([kind])), option(OPTION.SERVER, this.own)];
    if (kind !== MESSAGE.NAK) {
      this.offered.copy(head, 16);
      const lease = Buffer.alloc(4);
      lease.writeUInt32BE(LEASE_SECONDS);
      options.push(option(OPTION.LEASE, lease), option(OPTION.MASK, ip(MASK)));
      options.push(option(OPTION.ROUTER, this.own), option(OPTION.DNS, this.own));
    }
    return Buffer.concat([head, ...options, Buffer.from([OPTION.END])]);
  }
}

function option(kind, value) {
  return Buffer.concat([Buffer.from([kind, value.length]), value]);
}

function parseOptions(bytes) {
  const found = new Map();
  for (let at = 0; at < bytes.length && bytes[at] !== OPTION.END;) {
    if (bytes[at] === 0) {
      at++;
      continue;
    }
    found.set(bytes[at], bytes.subarray(at + 2, at + 2 + bytes[at + 1]));
    at += 2 + bytes[at + 1];
  }
  return found;
}
