"""PPP without input or output: frames (RFC 1662, FCS-16, ACCM), LCP and IPCP (RFC 1661, RFC 1332); IPv4, no
authentication, no compression.

Passive: it answers the peer's Configure-Request and sends its own right after, so that the peer, which is a board that
may restart at any time, can negotiate again whenever it likes.
"""

import binascii
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

IP, IPCP, LCP = 0x0021, 0x8021, 0xC021
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATE_ACK, _, PROTOCOL_REJECT, ECHO, ECHO_REPLY = range(1, 11)
ACCM, MAGIC = 2, 5  # options of LCP; of the others these two (MRU, compressed fields) are accepted as they are
LCP_ACCEPTED = (1, ACCM, MAGIC, 7, 8)
ADDRESS = 3  # the option of IPCP
FLAG, ESCAPE = b"\x7e", b"\x7d"
LONGEST_FRAME = 4096
RETRY_SECONDS = 1.0
ALL_CONTROL_CHARACTERS = 0xFFFFFFFF

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def fcs16(data: bytes) -> int:
    """The frame check sequence: a reflected CRC, from the non-reflected one that the standard library has in C."""
    crc = binascii.crc_hqx(data.translate(_REVERSED), 0xFFFF)
    return (_REVERSED[crc & 255] << 8 | _REVERSED[crc >> 8]) ^ 0xFFFF


def escaped(data: bytes, accm: int) -> bytes:
    """`accm`: the control characters (one a bit) that the peer wants escaped."""
    data = data.replace(ESCAPE, b"\x7d\x5d").replace(FLAG, b"\x7d\x5e")
    if not accm:
        return data
    return re.sub(rb"[\x00-\x1f]", lambda m: bytes([0x7D, m[0][0] ^ 0x20]) if accm >> m[0][0] & 1 else m[0], data)


def unescaped(data: bytes) -> bytes:
    first, *rest = data.split(ESCAPE)
    return first + b"".join(bytes([part[0] ^ 0x20]) + part[1:] for part in rest if part)


def options(body: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each option of a Configure packet."""
    while len(body) >= 2 and 2 <= body[1] <= len(body):
        yield body[0], body[2 : body[1]]
        body = body[body[1] :]


def option(kind: int, value: bytes) -> bytes:
    return bytes([kind, len(value) + 2]) + value


@dataclass
class Negotiation:
    """One protocol's way to being open (LCP's or IPCP's)."""

    acked: bool = False  # the peer accepted our request
    accepted: bool = False  # we accepted the peer's
    requested: int | None = None  # identifier of our last request
    retry_at: float | None = None
    rejected: set[int] = field(default_factory=set)  # our options that the peer does not want

    @property
    def open(self) -> bool:
        return self.acked and self.accepted


class Ppp:
    """One end of a link. send(bytes) writes to the line, deliver(packet) gets the peer's IP packets, up() is called
    each time the link has come up."""

    def __init__(
        self,
        local: str,
        remote: str,
        *,
        send: Callable[[bytes], None],
        deliver: Callable[[bytes], None],
        up: Callable[[], None],
    ) -> None:
        self._local, self._remote = socket.inet_aton(local), socket.inet_aton(remote)
        self._send_bytes, self._deliver, self._up = send, deliver, up
        self._identifier = 0
        self._unread = b""
        self.reset()

    def reset(self) -> None:
        """Forgets the link, as after the peer's restart."""
        self._accm = ALL_CONTROL_CHARACTERS
        self._magic = os.urandom(4)
        self._negotiations = {LCP: Negotiation(), IPCP: Negotiation()}

    def feed(self, data: bytes) -> None:
        """Takes what the line delivers."""
        *frames, self._unread = (self._unread[-LONGEST_FRAME:] + data).split(FLAG)
        for frame in map(unescaped, filter(None, frames)):
            if len(frame) >= 4 and fcs16(frame[:-2]) == frame[-2] | frame[-1] << 8:
                self._receive(*self._protocol(frame[:-2]))

    def send_ip(self, packet: bytes) -> None:
        """Sends an IP packet; drops it while the link is down."""
        if self._negotiations[IPCP].open:
            self._send(IP, packet)

    def tick(self) -> None:
        """Repeats requests without an answer; to be called a few times a second."""
        for protocol, negotiation in self._negotiations.items():
            due = negotiation.retry_at
            if due is not None and not negotiation.acked and time.monotonic() > due:
                self._request(protocol)

    def _protocol(self, frame: bytes) -> tuple[int, bytes]:
        """Address and control field, and the protocol's first byte, may have been left out."""
        if frame[:2] == b"\xff\x03":
            frame = frame[2:]
        return (frame[0], frame[1:]) if frame[0] & 1 else (frame[0] << 8 | frame[1], frame[2:])

    def _send(self, protocol: int, payload: bytes) -> None:
        frame = b"\xff\x03" + struct.pack(">H", protocol) + payload
        frame += struct.pack("<H", fcs16(frame))
        accm = ALL_CONTROL_CHARACTERS if protocol == LCP else self._accm
        self._send_bytes(FLAG + escaped(frame, accm) + FLAG)

    def _control(self, protocol: int, code: int, identifier: int, body: bytes = b"") -> None:
        self._send(protocol, struct.pack(">BBH", code, identifier, len(body) + 4) + body)

    def _next_identifier(self) -> int:
        self._identifier = self._identifier + 1 & 255
        return self._identifier

    def _receive(self, protocol: int, body: bytes) -> None:
        if protocol == IP:
            if self._negotiations[IPCP].open:
                self._deliver(body)
        elif protocol in (LCP, IPCP) and len(body) >= 4:
            code, identifier, length = struct.unpack(">BBH", body[:4])
            self._negotiate(protocol, code, identifier, body[4:length])
        elif self._negotiations[LCP].open:  # IPV6CP, CCP, …
            rejected = struct.pack(">H", protocol) + body
            self._control(LCP, PROTOCOL_REJECT, self._next_identifier(), rejected)

    def _negotiate(self, protocol: int, code: int, identifier: int, body: bytes) -> None:
        negotiation = self._negotiations[protocol]
        ours = identifier == negotiation.requested
        if code == REQUEST:
            self._answer_request(protocol, identifier, body)
        elif code == ACK and ours:
            negotiation.acked, negotiation.retry_at = True, None
        elif code in (NAK, REJECT) and ours:
            if code == REJECT:
                negotiation.rejected |= {kind for kind, _ in options(body)}
            self._request(protocol)
        elif code == TERMINATE:
            self._control(protocol, TERMINATE_ACK, identifier)
            self.reset()
        elif code == ECHO and protocol == LCP:
            self._control(LCP, ECHO_REPLY, identifier, self._magic + body[4:])
        if protocol == IPCP and code in (REQUEST, ACK) and self._negotiations[IPCP].open:
            self._up()

    def _request(self, protocol: int) -> None:
        wanted = {LCP: [(ACCM, bytes(4)), (MAGIC, self._magic)], IPCP: [(ADDRESS, self._local)]}[protocol]
        negotiation = self._negotiations[protocol]
        body = b"".join(option(kind, value) for kind, value in wanted if kind not in negotiation.rejected)
        negotiation.requested = self._next_identifier()
        negotiation.retry_at = time.monotonic() + RETRY_SECONDS
        self._control(protocol, REQUEST, negotiation.requested, body)

    def _answer_request(self, protocol: int, identifier: int, body: bytes) -> None:
        if protocol == LCP and (self._negotiations[LCP].accepted or self._negotiations[LCP].requested is None):
            self.reset()  # a new link
            self._request(LCP)
        elif protocol == IPCP and not self._negotiations[LCP].open:
            return
        elif protocol == IPCP and self._negotiations[IPCP].requested is None:
            self._request(IPCP)
        code, answer = self._judge(protocol, body)
        self._control(protocol, code, identifier, answer)
        if code == ACK:
            self._negotiations[protocol].accepted = True
            if protocol == LCP:
                self._accm = next((int.from_bytes(v, "big") for kind, v in options(body) if kind == ACCM), self._accm)

    def _judge(self, protocol: int, body: bytes) -> tuple[int, bytes]:
        """The answer to a request: refuse what is unknown, correct the address, or accept."""
        known = LCP_ACCEPTED if protocol == LCP else (ADDRESS,)
        rejected = b"".join(option(kind, value) for kind, value in options(body) if kind not in known)
        if rejected:
            return REJECT, rejected
        if protocol == IPCP and any(value != self._remote for _, value in options(body)):
            return NAK, option(ADDRESS, self._remote)
        return ACK, body
