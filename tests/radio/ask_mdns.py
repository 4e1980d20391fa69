"""Asks the network of an emulated board for a name by multicast DNS and prints the address that is answered.

Usage: python -m tests.radio.ask_mdns OUR_ADDRESS NAME     in the board's network (Network.inside)

One question from a port of its own (RFC 6762 §5.1), asked again until somebody answers to that port (§6.7).
"""

import secrets
import socket
import struct
import sys

GROUP = ("224.0.0.251", 5353)
A, INTERNET = 1, 1
AGAIN_SECONDS = 2.0


def question(identifier: int, name: str) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">6H", identifier, 0, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, A, INTERNET)


def address(answer: bytes, asked: bytes) -> str | None:
    """The address in an answer whose first record is that of the question, which it repeats (§6.7)."""
    identifier, flags, _, answers = struct.unpack_from(">4H", answer)
    if identifier != int.from_bytes(asked[:2], "big") or not flags & 0x8000 or not answers:
        return None
    at = len(asked)
    while answer[at] and answer[at] < 0xC0:  # a name: labels, or a pointer to one
        at += 1 + answer[at]
    at += 2 if answer[at] else 1
    kind, _, _, length = struct.unpack_from(">2HIH", answer, at)
    return socket.inet_ntoa(answer[at + 10 : at + 14]) if (kind, length) == (A, 4) else None


def ask(ours: str, name: str) -> str:
    """Asks without end: who started this gives up."""
    asked = question(secrets.randbits(16), name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ours))
        line.bind((ours, 0))
        line.settimeout(AGAIN_SECONDS)
        while True:
            line.sendto(asked, GROUP)
            try:
                if found := address(line.recv(1500), asked):
                    return found
            except TimeoutError:
                continue


if __name__ == "__main__":
    print(ask(*sys.argv[1:]))
