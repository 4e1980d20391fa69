// Frames as an access point that is also a router has to know them: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), UDP
// (RFC 768), and which Ethernet address a multicast group has (RFC 1112 §6.4).

export const IPV4 = 0x0800;
export const ARP = 0x0806;
export const BROADCAST = Buffer.alloc(6, 0xff);
const HEADER = 14;
const ETHERNET_AND_IPV4 = Buffer.from([0, 1, 0x08, 0x00, 6, 4]); // how an ARP message begins
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const UDP = 17;
const TIME_TO_LIVE = 64;

export const ip = (text) => Buffer.from(text.split('.').map(Number));
export const ipText = (bytes) => [...bytes].join('.');
export const macText = (bytes) => bytes.toString('hex').replace(/(..)(?!$)/g, '$1:');

export function frame(to, from, type, content) {
  const head = Buffer.alloc(HEADER);
  to.copy(head, 0);
  from.copy(head, 6);
  head.writeUInt16BE(type, 12);
  return Buffer.concat([head, content]);
}

export function parse(bytes) {
  if (bytes.length < HEADER) return null;
  const [to, from, content] = [bytes.subarray(0, 6), bytes.subarray(6, 12), bytes.subarray(HEADER)];
  return { to, from, type: bytes.readUInt16BE(12), content };
}

/** The packet without what fills a short frame up; null if it is none of IPv4. */
export function packetIn(content) {
  if (content.length < 20 || content[0] >> 4 !== 4) return null;
  const length = content.readUInt16BE(2);
  return length < 20 || length > content.length ? null : content.subarray(0, length);
}

/** Where a packet goes on Ethernet, in a network of one station. */
export function destination(packet, station) {
  const to = packet.subarray(16, 20);
  if (to.equals(ip('255.255.255.255'))) return BROADCAST;
  if (to[0] >> 4 !== 14) return station;
  return Buffer.from([0x01, 0x00, 0x5e, to[1] & 0x7f, to[2], to[3]]);
}

/** {sender, target} of an ARP message, target null if it does not ask; null if it is none of Ethernet and IPv4. */
export function parseArp(content) {
  if (content.length < 28 || !content.subarray(0, 6).equals(ETHERNET_AND_IPV4)) return null;
  const asks = content.readUInt16BE(6) === ARP_REQUEST;
  return { sender: content.subarray(14, 18), target: asks ? content.subarray(24, 28) : null };
}

/** The answer to an ARP question: `address` is at `mac`. */
export function arpReply(question, mac, address) {
  const reply = Buffer.from(question.subarray(0, 28));
  reply.writeUInt16BE(ARP_REPLY, 6);
  question.copy(reply, 18, 8, 18); // to whom: who asked
  mac.copy(reply, 8);
  address.copy(reply, 14);
  return reply;
}

/** {from, to: ports, content} of a UDP packet, null if it is none. */
export function parseUdp(packet) {
  const at = 4 * (packet[0] & 15);
  if (packet[9] !== UDP || packet.length < at + 8) return null;
  const length = packet.readUInt16BE(at + 4);
  const [from, to] = [packet.readUInt16BE(at), packet.readUInt16BE(at + 2)];
  return { from, to, content: packet.subarray(at + 8, at + length) };
}

/** A UDP packet; each end is {address, port}. Without a checksum of its own, which IPv4 allows. */
export function udpPacket(from, to, content) {
  const packet = Buffer.alloc(28 + content.length);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet[8] = TIME_TO_LIVE;
  packet[9] = UDP;
  from.address.copy(packet, 12);
  to.address.copy(packet, 16);
  packet.writeUInt16BE(checksum(packet.subarray(0, 20)), 10);
  packet.writeUInt16BE(from.port, 20);
  packet.writeUInt16BE(to.port, 22);
  packet.writeUInt16BE(8 + content.length, 24);
  content.copy(packet, 28);
  return packet;
}

/** Of an even number of bytes (RFC 1071). */
export function checksum(bytes) {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
