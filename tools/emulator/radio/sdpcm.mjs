// The frames between host and firmware (SDPCM), what is in them, and the credits by which the firmware says how many
// more it has room for.
//
//   SDPCM   length, ~length (16 bits each), sequence, channel, length of the next / 16, where the content begins, flow
//           control, credit, 2 bytes. Channels: 0 control (CDC), 1 events, 2 data (both BDC)
//   CDC     command, length of its data, flags (id << 16 | interface << 12 | error << 0 | set << 1), status; data
//   BDC     flags (version 2 << 4), priority, flags, words up to the content
//   event   an Ethernet frame of type 0x886c: subtype, length, version, OUI 00:10:18, type 1; then version 2, flags
//           (link up 1), event, status, reason, authentication, length, address, interface: big endian
//
// Sources: Linux, brcmfmac (sdio.c: SDPCM; bcdc.c: CDC, BDC; fweh.h: events). How many bytes of padding the firmware
// has before what it sends is its own business: here so many that an event's part begins at byte 46, as on the chip.

export const CHANNEL = { CONTROL: 0, EVENT: 1, DATA: 2 };
export const EVENT = { SET_SSID: 0, AUTH: 3, DEAUTH_IND: 6, DISASSOC: 11, LINK: 16, PSK_SUP: 46 };
export const LINK_UP = 1;

const HEADER = 12;
const PADDING = 2; // before BDC
const CDC_HEADER = 16;
const CDC_SET = 2;
const CDC_ERROR = 1;
const BDC = Buffer.from([0x20, 0, 0, 1, 0, 0, 0, 0]); // a word of nothing
const BDC_HEADER = 4;
const EVENT_TYPE = 0x886c;
const EVENT_HEADER = 24; // Ethernet, and what says that it is an event
const EVENT_BYTES = EVENT_HEADER + 48;
const INTERFACE = 'wl0';

/** The content of a frame of the host: {sequence, channel, content}; null if its lengths contradict each other. */
export function parse(frame) {
  if (frame.length < HEADER) return null;
  const [size, start] = [frame.readUInt16LE(0), frame[7]];
  if (frame.readUInt16LE(2) !== (~size & 0xffff) || size < start || size > frame.length || start < HEADER) return null;
  return { sequence: frame[4], channel: frame[5] & 15, content: frame.subarray(start, size) };
}

export function parseControl(content) {
  if (content.length < CDC_HEADER) return null;
  const [command, length, flags] = [0, 4, 8].map((at) => content.readUInt32LE(at));
  const data = Buffer.from(content.subarray(CDC_HEADER, CDC_HEADER + (length & 0xffff)));
  return { command, flags, set: (flags & CDC_SET) !== 0, data };
}

/** The answer has the request's id; `status` is 0 or a negative number of Broadcom's. */
export function control({ command, flags }, status, data) {
  const head = Buffer.alloc(CDC_HEADER);
  head.writeUInt32LE(command, 0);
  head.writeUInt32LE(data.length, 4);
  head.writeUInt32LE(((flags & 0xffff0000) | (status ? CDC_ERROR : 0)) >>> 0, 8);
  head.writeInt32LE(status, 12);
  return Buffer.concat([head, data]);
}

/** The Ethernet frame in what the host sends as data. */
export function parseData(content) {
  return content.length < BDC_HEADER ? Buffer.alloc(0) : content.subarray(BDC_HEADER + 4 * content[3]);
}

export function data(frame) {
  return Buffer.concat([BDC, frame]);
}

/** An event of the access point with this address, for the station with that. */
export function event({ station, accessPoint }, kind, { status = 0, reason = 0, flags = 0 }) {
  const frame = Buffer.alloc(EVENT_BYTES);
  station.copy(frame, 0);
  accessPoint.copy(frame, 6);
  frame.writeUInt16BE(EVENT_TYPE, 12);
  frame.writeUInt16BE(0x8001, 14);
  frame.writeUInt16BE(EVENT_BYTES - 18, 16);
  frame.writeUIntBE(0x001018, 19, 3);
  frame.writeUInt16BE(1, 22);
  frame.writeUInt16BE(2, 24);
  frame.writeUInt16BE(flags, 26);
  [kind, status, reason].forEach((word, i) => frame.writeUInt32BE(word, 28 + 4 * i));
  accessPoint.copy(frame, 48);
  frame.write(INTERFACE, 54, 'latin1');
  return data(frame);
}

const BUFFERS = 10; // frames of the host that the firmware has room for
const SAID_AFTER = 5; // frames: without anything to send it then says how many more may come

/** The firmware's side of the frames: those for the host in order, and the credits for the host's. */
export class Exchange {
  constructor() {
    this.queue = [];
    this.sequence = 0; // of the next frame for the host
    this.limit = 1; // a driver may send a frame before it was told anything
    this.handled = 0; // the number after that of the host's last frame that was handled
    this.unsaid = 0; // frames of which the host does not know that they were
    this.stalled = 0; // frames that came without a credit
  }

  send(channel, content) {
    const start = HEADER + (channel === CHANNEL.CONTROL ? 0 : PADDING);
    const frame = Buffer.alloc(start + content.length);
    frame.writeUInt16LE(frame.length, 0);
    frame.writeUInt16LE(~frame.length & 0xffff, 2);
    frame[4] = this.sequence;
    frame[5] = channel;
    frame[7] = start;
    frame[9] = this.grant();
    content.copy(frame, start);
    this.push(frame);
  }

  /** A frame with nothing in it but the credit. */
  sendCredit() {
    const frame = Buffer.alloc(HEADER);
    frame.writeUInt16LE(HEADER, 0);
    frame.writeUInt16LE(~HEADER & 0xffff, 2);
    frame[4] = this.sequence;
    frame[5] = CHANNEL.DATA;
    frame[7] = HEADER;
    frame[9] = this.grant();
    this.push(frame);
  }

  grant() {
    this.unsaid = 0;
    this.limit = (this.handled + BUFFERS) & 0xff;
    return this.limit;
  }

  push(frame) {
    this.sequence = (this.sequence + 1) & 0xff;
    this.queue.push(frame);
  }

  /** A frame of the host, {sequence, channel, content}; null if there is no credit for it, or it is none. */
  receive(frame) {
    const parsed = parse(frame);
    if (!parsed) return null;
    if (parsed.sequence === this.limit) {
      this.stalled++;
      return null;
    }
    return parsed;
  }

  /** There is room for another in the place of this one. Whether the host has to be told of its credits. */
  done({ sequence }) {
    this.handled = (sequence + 1) & 0xff;
    this.unsaid++;
    return this.unsaid >= SAID_AFTER;
  }

  get waitingBytes() {
    return this.queue.reduce((sum, frame) => sum + frame.length, 0);
  }
}
