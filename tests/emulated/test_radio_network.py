"""The network behind the radio's access point, from the host's side: packets instead of PPP, and everything that a
board finds or is asked there."""

import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device import sntp
from tests.emulated.radio_packets import framed, udp
from tools.emulator import mdns
from tools.emulator.clock import Clock
from tools.emulator.network import Network
from tools.emulator.packets import Packets

ROUTER, BOARD = socket.inet_aton("10.77.0.1"), socket.inet_aton("10.77.0.2")
GROUP = socket.inet_aton("224.0.0.251")
NAME = b"\x0crelay-berlin\x05local\0"
UNIX_SECONDS = 1_800_000_000


def test_stream_comes_apart_into_packets_however_it_is_cut() -> None:
    for cut in (1, 2, 3, 7, 1000):
        seen: list[bytes] = []
        packets = Packets(send=seen.append, deliver=seen.append, up=lambda seen=seen: seen.append(b"up"))
        stream = framed(b"") + framed(b"one") + framed(b"") + framed(bytes(300))
        for at in range(0, len(stream), cut):
            packets.feed(stream[at : at + cut])
        assert seen == [b"up", b"one", b"up", bytes(300)]
        packets.send_ip(b"out")
        assert seen[4:] == [b"\0\x03out"]


def test_name_is_asked_for_as_rfc_1035_has_it() -> None:
    assert mdns.question("relay-berlin.local") == bytes.fromhex("000000000001000000000000") + NAME + b"\0\x01\0\x01"


def test_answer_names_addresses_with_names_that_stand_elsewhere() -> None:
    """A pointer (RFC 1035 §4.1.4) leads to the question's name; the class has the bit that flushes (RFC 6762 §10.2)."""
    head = bytes.fromhex("000084000001000200000000") + NAME + b"\0\x01\0\x01"
    text = b"\xc0\x0c\0\x10\x80\x01\0\0\0\x78\0\x02\x01x"
    address = b"\xc0\x0c\0\x01\x80\x01\0\0\0\x78\0\x04" + BOARD
    assert mdns.addresses(head + text + address) == {"relay-berlin.local": "10.77.0.2"}


@pytest.mark.parametrize("message", [b"", bytes(11), bytes.fromhex("000084000000000100000000c00c"), b"\xff" * 60])
def test_what_is_no_answer_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="no DNS message"):
        mdns.addresses(message)


class FakeAir:
    """The emulator's end of the stream, in a test's hands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._stream = b""

    def accept(self) -> None:
        self._peer, _ = self._server.accept()

    def send(self, packet: bytes) -> None:
        self._peer.sendall(framed(packet))

    def receive(self, wanted: Callable[[bytes], bool]) -> bytes:
        """The next packet that is wanted; the kernel sends others, too."""
        while True:
            while len(self._stream) < 2 or len(self._stream) < 2 + int.from_bytes(self._stream[:2], "big"):
                select.select([self._peer], [], [])
                self._stream += self._peer.recv(65536)
            end = 2 + int.from_bytes(self._stream[:2], "big")
            packet, self._stream = self._stream[2:end], self._stream[end:]
            if wanted(packet):
                return packet

    def close(self) -> None:
        self._peer.close()
        self._server.close()


@pytest.fixture
def air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAir]:
    monkeypatch.chdir(tmp_path)
    air = FakeAir(Path("air"))  # a socket's path is short
    yield air
    air.close()


@pytest.fixture
def network(board_network: None, air: FakeAir, tmp_path: Path) -> Iterator[Network]:
    network = Network(air.path, 8100, 0, Clock(tmp_path / "clock", UNIX_SECONDS * 10**9), realtime=False, radio=True)
    air.accept()
    yield network
    network.close()


def port(packet: bytes, at: int) -> int:
    """Its source (20) or destination (22), behind a header of IPv4 without options."""
    return int(struct.unpack_from(">H", packet, at)[0])


def test_board_is_there_when_the_access_point_says_so(air: FakeAir, network: Network) -> None:
    with pytest.raises(TimeoutError, match=r"in 0\.1 s"):
        network.wait_for_link(0.1)
    air.send(b"")
    network.wait_for_link()


def test_board_reads_the_time_at_the_router(air: FakeAir, network: Network) -> None:
    nonce = os.urandom(8)
    air.send(udp((BOARD, 4321), (ROUTER, 123), bytes((0x23,)) + bytes(39) + nonce))
    packet = air.receive(lambda packet: port(packet, 22) == 4321)
    assert (packet[12:16], packet[16:20], port(packet, 20)) == (ROUTER, BOARD, 123)
    unix_ms = sntp.read(packet[28:], nonce)
    assert unix_ms is not None and 0 <= unix_ms - 1000 * UNIX_SECONDS < 3_600_000


def test_board_is_asked_for_its_name(air: FakeAir, network: Network) -> None:
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.append(network.resolve("relay-berlin.local", 600)))
    asking.start()
    packet = air.receive(lambda packet: packet[16:20] == GROUP and port(packet, 22) == 5353)
    assert (packet[8], packet[12:16], packet[28:]) == (255, ROUTER, mdns.question("relay-berlin.local"))
    answer = bytes.fromhex("000084000000000100000000") + NAME + b"\0\x01\0\x01\0\0\0\x78\0\x04" + BOARD
    air.send(udp((BOARD, 5353), (ROUTER, port(packet, 20)), answer))
    asking.join()
    assert found == ["10.77.0.2"]
