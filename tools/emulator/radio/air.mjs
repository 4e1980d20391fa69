// What is in the air around a board: an access point, the network behind it, and what goes wrong with either and with
// the chip, at once or at a time (settings and schedule are wifi.py's, by the names that they have there). It outlives
// the board's resets. All of it happens in the board's time.
//
// The access point is a router at 10.77.0.1: it answers DHCP and ARP, carries IPv4 packets to the host and back, and
// drops everything else. To the host they go as a stream: length (2 bytes, big endian), packet; length 0 says that the
// board has its address and can be reached.

import { Random } from '../random.mjs';
import { Chip } from './chip.mjs';
import { CLIENT_PORT, DhcpServer, SERVER_PORT } from './dhcp.mjs';
import {
  ARP, IPV4, arpReply, destination, frame, ip, ipText, macText, packetIn, parse, parseArp, parseUdp, udpPacket,
} from './ethernet.mjs';

const ROUTER = '10.77.0.1';
const BOARD = '10.77.0.2';
const LOSS_SEED = 0x5bd1e995; // losses must not depend on what the guest drew
const KEPT_HAPPENINGS = 10000;
const NOBODY = Buffer.alloc(4);
const COUNTS = ['powered_on', 'attempts', 'joins', 'refused', 'unanswered', 'sent', 'received', 'lost'];

export class Air {
  constructor({ schedule = [], ...settings }, seed) {
    this.settings = settings;
    this.schedule = [...schedule].sort(([one], [other]) => one - other);
    this.toHost = () => {}; // gets the stream of packets
    this.random = new Random(seed ^ LOSS_SEED);
    this.address = Buffer.from('28cdc1000001', 'hex'); // one of Raspberry Pi's, as the chip has it from its factory
    this.accessPoint = Buffer.from('02aabbccdd01', 'hex'); // locally administered
    this.router = ip(ROUTER);
    this.dhcp = new DhcpServer(ROUTER, BOARD);
    this.counts = Object.fromEntries(COUNTS.map((name) => [name, 0]));
    this.carried = 0; // frames, for lose_each
    this.happenings = [];
    this.unread = Buffer.alloc(0); // of the host's stream
    this.earlier = { nanos: 0, transfers: 0, ioctls: 0, stalled: 0 }; // of the board before its resets
    this.clock = null;
    this.chip = null;
    this.boardAddress = null; // that it has shown itself with since it joined
  }

  /** The chip of a board that was switched on or reset; `changed` and `led` as in chip.mjs. */
  board(clock, changed, led) {
    if (this.clock) {
      this.earlier = { nanos: this.nanos, ...this.chipCounts() };
      this.chip.forget();
    }
    this.clock = clock;
    const later = (nanos, call) => this.later(nanos, call);
    this.chip = new Chip({ later, air: this, changed, led });
    for (const [seconds, changes] of this.schedule) {
      if (1e9 * seconds >= this.nanos) later(1e9 * seconds - this.nanos, () => this.change(changes));
    }
    return this.chip;
  }

  /** Since the board was switched on. */
  get nanos() {
    return this.earlier.nanos + (this.clock?.nanos ?? 0);
  }

  later(nanos, call) {
    this.clock.createAlarm(call).schedule(nanos);
  }

  note(what, ...details) {
    if (this.happenings.length < KEPT_HAPPENINGS) this.happenings.push([this.nanos / 1e9, what, ...details]);
  }

  // -- what is said of it from outside

  change(changes) {
    const before = this.settings;
    this.settings = { ...before, ...changes };
    this.note('changed', changes);
    const { in_reach: inReach, dead, hung, parting } = this.settings;
    if (before.in_reach && !inReach) this.chip.firmware?.lose(parting);
    if (dead && !before.dead) this.chip.forget();
    this.chip.hung = hung;
    this.chip.changed();
  }

  status() {
    const { chip, network } = this;
    return {
      powered: chip.powered,
      firmware: chip.firmware?.version ?? null,
      joined: network !== null,
      ssid: network?.ssid ?? null,
      security: network?.security ?? null,
      mac: macText(chip.firmware?.address ?? this.address),
      address: this.boardAddress ? ipText(this.boardAddress) : null,
      hostname: this.dhcp.hostname,
      ...this.counts,
      ...this.chipCounts(),
    };
  }

  chipCounts() {
    const { bus, firmware, exchange } = this.chip;
    const { transfers, ioctls, stalled } = this.earlier;
    return {
      transfers: transfers + bus.transfers,
      ioctls: ioctls + (firmware?.ioctls ?? 0),
      stalled: stalled + exchange.stalled,
    };
  }

  // -- what the chip says

  powered(on) {
    this.note(on ? 'powered on' : 'powered off');
    if (!on) return;
    this.counts.powered_on++;
    this.settings.hung = false;
  }

  attempted({ ssid }) {
    this.counts.attempts++;
    this.note('attempted', ssid);
  }

  /** What becomes of a request to join: {verdict: none, refused or joined; security}. */
  judge({ ssid, open, wpa2, wpa3 }) {
    const { settings } = this;
    const has = settings.security.split('-');
    const found = settings.in_reach && ssid === settings.ssid;
    let result = { verdict: 'none' };
    if (found && open && has.includes('open')) result = { verdict: 'joined', security: 'open' };
    else if (found && wpa3 !== undefined && has.includes('wpa3')) result = this.compare(wpa3, 'wpa3');
    else if (found && wpa2 !== undefined && has.includes('wpa2')) result = this.compare(wpa2, 'wpa2');
    this.counts[{ none: 'unanswered', refused: 'refused', joined: 'joins' }[result.verdict]]++;
    this.note(result.verdict, ssid, ...(result.security ? [result.security] : []));
    return result;
  }

  compare(password, security) {
    return { verdict: password === this.settings.password ? 'joined' : 'refused', security };
  }

  left({ ssid }) {
    this.note('left', ssid);
    this.boardAddress = null;
  }

  /** {ssid, security} of the network that the station is on. */
  get network() {
    return this.chip.firmware?.network ?? null;
  }

  // -- frames

  /** Whether a frame gets through. */
  carries() {
    const { in_reach: inReach, lose_each: each, lose_share: share } = this.settings;
    this.carried++;
    const byChance = share > 0 && this.random.word() < share * 2 ** 32;
    const lost = !inReach || (each > 0 && this.carried % each === 0) || byChance;
    if (lost) this.counts.lost++;
    return !lost;
  }

  /** A frame of the board. */
  send(bytes) {
    this.counts.sent++;
    const arrived = parse(bytes);
    if (!arrived || !this.carries()) return;
    if (arrived.type === ARP) this.arp(arrived);
    else if (arrived.type === IPV4) this.packet(arrived);
  }

  arp({ from, content }) {
    const message = parseArp(content);
    if (!message) return;
    this.seen(message.sender);
    if (!message.target?.equals(this.router)) return;
    this.deliver(frame(from, this.accessPoint, ARP, arpReply(content, this.accessPoint, this.router)));
  }

  packet({ content }) {
    const packet = packetIn(content);
    if (!packet) return;
    this.seen(packet.subarray(12, 16));
    const udp = parseUdp(packet);
    if (udp?.to === SERVER_PORT) this.askedForAddress(udp.content);
    else this.toHost(framed(packet));
  }

  askedForAddress(question) {
    const { dhcp_seconds: seconds } = this.settings;
    this.note('asked for an address');
    if (seconds === null) return;
    const answer = this.dhcp.answer(question);
    if (!answer) return;
    const [own, offered] = [this.dhcp.own, this.dhcp.offered];
    const packet = udpPacket({ address: own, port: SERVER_PORT }, { address: offered, port: CLIENT_PORT }, answer);
    this.later(1e9 * seconds, () => this.deliver(frame(this.station, this.accessPoint, IPV4, packet)));
  }

  get station() {
    return this.chip.firmware?.address ?? this.address;
  }

  /** The board sent with this address. */
  seen(address) {
    if (this.boardAddress?.equals(address) || address.equals(NOBODY)) return;
    this.boardAddress = Buffer.from(address);
    this.note('has the address', ipText(address));
    this.toHost(framed(Buffer.alloc(0)));
  }

  deliver(bytes) {
    if (this.carries() && this.chip.receive(bytes)) this.counts.received++;
  }

  // -- the host

  /** Of the host's stream. */
  feed(bytes) {
    let rest = Buffer.concat([this.unread, bytes]);
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0);
      this.fromHost(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
    this.unread = Buffer.from(rest);
  }

  fromHost(packet) {
    if (!this.network || !packet.length) return;
    this.deliver(frame(destination(packet, this.station), this.accessPoint, IPV4, packet));
  }

  /** Bytes that the board has not taken yet. */
  get queued() {
    return this.chip.exchange.waitingBytes;
  }
}

function framed(packet) {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(packet.length);
  return Buffer.concat([head, packet]);
}
