"""Packets and frames for tests of the radio, made from the RFCs that are named; no part of the emulator is in them."""

import struct

ARP_TYPE, IPV4 = 0x0806, 0x0800
UDP = 17
TIME_TO_LIVE = 64


def ethernet(to: bytes, own: bytes, kind: int, content: bytes) -> bytes:
    return to + own + struct.pack(">H", kind) + content


def checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(source: bytes, destination: bytes, protocol: int, content: bytes) -> bytes:
    """RFC 791 §3.1."""
    size = 20 + len(content)
    head = bytearray(struct.pack(">BxHxxxxBBxx4s4s", 0x45, size, TIME_TO_LIVE, protocol, source, destination))
    struct.pack_into(">H", head, 10, checksum(head))
    return bytes(head) + content


def udp(source: tuple[bytes, int], destination: tuple[bytes, int], content: bytes) -> bytes:
    """RFC 768, without a checksum; the ends are (address, port)."""
    datagram = struct.pack(">HHHxx", source[1], destination[1], 8 + len(content)) + content
    return ipv4(source[0], destination[0], UDP, datagram)


def framed(packet: bytes) -> bytes:
    """As the access point hands it to the host."""
    return len(packet).to_bytes(2, "big") + packet
