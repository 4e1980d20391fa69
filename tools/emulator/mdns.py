"""Asks the board for its address by its name in the local network, NAME.local: multicast DNS (RFC 6762), as who has no
responder of its own asks (§5.1): one question from any port, whose answer comes back to it."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

GROUP, PORT = "224.0.0.251", 5353
ADDRESS, INTERNET = 1, 1  # type A, class IN
FLUSH = 0x8000  # of the class: other answers are older (§10.2)
TIME_TO_LIVE = 255  # §11
POINTER = 0xC0  # what begins with these bits stands elsewhere in the message (RFC 1035 §4.1.4)


def question(name: str) -> bytes:
    """The message that asks for the address of a name (RFC 1035 §4)."""
    labels = [label.encode() for label in name.rstrip(".").split(".")]
    encoded = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return struct.pack(">6H", 0, 0, 1, 0, 0, 0) + encoded + struct.pack(">HH", ADDRESS, INTERNET)


def addresses(message: bytes) -> dict[str, str]:
    """What an answer says: names and their IPv4 addresses. ValueError if it is none."""
    try:
        _, _, questions, answers, *_ = struct.unpack_from(">6H", message)
        at, found = 12, {}
        for _ in range(questions):
            _, at = _name(message, at)
            at += 4
        for _ in range(answers):
            name, at = _name(message, at)
            kind, class_, _, length = struct.unpack_from(">HHIH", message, at)
            at += 10
            if (kind, class_ & ~FLUSH, length) == (ADDRESS, INTERNET, 4):
                found[name] = socket.inet_ntoa(message[at : at + 4])
            at += length
    except (struct.error, IndexError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise ValueError(f"no DNS message: {error}") from None
    return found


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name that stands there, and where the rest begins."""
    labels: list[str] = []
    while length := message[at]:
        if length & POINTER == POINTER:
            rest, _ = _name(message, (length & ~POINTER) << 8 | message[at + 1])
            return ".".join([*labels, rest]), at + 2
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1


class Resolver(asyncio.DatagramProtocol):
    """Asks in the board's namespace."""

    def __init__(self, found: Callable[[str, str], None]) -> None:
        """found(name, address) is called for each answer."""
        self._found = found

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            for each in addresses(data).items():
                self._found(*each)
        except ValueError:
            pass  # what else comes to the port

    def ask(self, name: str) -> None:
        self._transport.sendto(question(name), (GROUP, PORT))


async def resolver(local: str, found: Callable[[str, str], None]) -> Resolver:
    """One that asks from this address."""
    speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
    speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, TIME_TO_LIVE)
    speaker.bind((local, 0))
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(lambda: Resolver(found), sock=speaker)
    return protocol
