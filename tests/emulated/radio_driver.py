"""A small driver for the radio's model, and the desk that it lies on: from the published facts, without a look at how
the model does it, so that one can be held against the other. Only what tests need.

The facts are those of Infineon's data sheet of the CYW43439 (gSPI: command word, registers), Linux' brcmfmac (SDPCM,
CDC, BDC, commands, events) and the RFCs that are named where they are used.
"""

import json
import struct
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from tools.emulator.program import node
from tools.emulator.wifi import Radio

BUS, BACKPLANE, WLAN = range(3)  # functions of the bus
CONTROL, EVENTS, DATA = range(3)  # channels of SDPCM
WORD_LENGTH_32, HIGH_SPEED, INTERRUPT_HIGH = 0x01, 0x10, 0x20
PACKET_AVAILABLE = 0x20  # an interrupt
F2_READY, PACKET_WAITS, PACKET_LENGTH_SHIFT = 0x20, 0x100, 9  # of the status
DELAY = 16
WINDOW, CLOCKS, SLEEP = 0x1000A, 0x1000E, 0x1001F
ARM, MEMORY, RESET = 0x18103000, 0x18104000, 0x800
RAM_BYTES = 512 << 10
BLOCK = 64
# A Cortex-M's vectors: its stack pointer, and an odd address where it begins.
FIRMWARE = struct.pack("<II", 0, 0x109) + b"a firmware, Version: 1.2.3 \0"
BOOT_SECONDS = 0.029  # from the core's reset to the fast clock
FRAME_SECONDS = 0.001  # more than the firmware takes for a frame

UP, SET_INFRA, SET_AUTH, GET_BSSID, GET_SSID, SET_SSID, DISASSOC = 2, 20, 22, 23, 25, 26, 52
GET_RSSI, SET_WSEC, SET_WPA_AUTH, GET_VAR, SET_VAR, SET_WSEC_PMK = 127, 134, 165, 262, 263, 268
AES, WPA2_PSK, SAE = 4, 0x80, 0x40000
SET_SSID_EVENT, AUTH, DEAUTH_IND, DISASSOC_EVENT, LINK, PSK_SUP = 0, 3, 6, 11, 16, 46


class Desk:
    """The emulator's radio with nothing around it but a test; see radio/desk.mjs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            node("radio/desk.mjs"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._told: list[str] = []  # and not sent yet
        self._host = b""  # what came for the host, not taken yet

    def close(self) -> None:
        self._process.communicate()

    def lay(self, radio: Radio, seed: int = 1) -> None:
        """Another radio on the desk."""
        self.ask(new=asdict(radio), seed=seed)
        self._host = b""

    def tell(self, **request: Any) -> None:
        """What has no answer that anybody waits for; it goes with the next question."""
        self._told.append(json.dumps(request) + "\n")

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self.tell(**request)
        self._process.stdin.write("".join(self._told))
        self._process.stdin.flush()
        for _ in self._told:
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            self._host += bytes.fromhex(answer["host"])
        self._told.clear()
        return answer

    @property
    def line(self) -> bool:
        return bool(self.ask()["line"])

    @property
    def led(self) -> bool:
        return bool(self.ask()["led"])

    def power(self, on: bool) -> None:
        self.tell(power=on)

    def send(self, data: bytes) -> None:
        self.tell(transfer=data.hex())

    def transfer(self, sent: bytes, read: int) -> bytes:
        return bytes.fromhex(self.ask(transfer=sent.hex(), read=read)["bytes"])

    def wait(self, seconds: float) -> None:
        self.tell(**{"pass": seconds})

    def change(self, **changes: Any) -> None:
        self.tell(change=changes)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.ask(ask="status")["status"]
        return status

    def happened(self) -> list[list[Any]]:
        happenings: list[list[Any]] = self.ask(ask="happenings")["happenings"]
        return happenings

    def packets(self) -> list[bytes]:
        """Of the stream for the host, taken; an empty one says that the board is there."""
        self.ask()
        found = []
        while self._host:
            end = 2 + int.from_bytes(self._host[:2], "big")
            found.append(self._host[2:end])
            self._host = self._host[end:]
        return found

    def from_host(self, stream: bytes) -> None:
        self.tell(host=stream.hex())


@dataclass(frozen=True)
class Frame:
    """Of SDPCM, for the host."""

    sequence: int
    channel: int
    credit: int
    content: bytes


@dataclass(frozen=True)
class Event:
    kind: int
    status: int = 0
    reason: int = 0
    flags: int = 0


@dataclass(frozen=True)
class Answer:
    """Of a command: its id, a status (0, or a negative number), whether it says that there was an error, its data."""

    id: int
    status: int
    error: bool
    data: bytes


class Driver:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.sequence = 0
        self.id = 0
        self.window: int | None = None
        self.frames: list[Frame] = []  # that came and were not asked for

    # -- the bus

    @staticmethod
    def command(write: bool, function: int, address: int, size: int) -> bytes:
        return struct.pack("<I", write << 31 | 1 << 30 | function << 28 | address << 11 | size % 2048)

    def write(self, function: int, address: int, data: bytes) -> None:
        """As words of 32 bits, filled up with zeros."""
        self.desk.send(self.command(True, function, address, len(data)) + data + bytes(-len(data) % 4))

    def read(self, function: int, address: int, size: int) -> bytes:
        delay = DELAY if function == BACKPLANE else 0
        answer = self.desk.transfer(self.command(False, function, address, size), delay + size + -size % 4)
        return answer[delay : delay + size]

    def number(self, function: int, address: int, size: int) -> int:
        return int.from_bytes(self.read(function, address, size), "little")

    def configure(self) -> None:
        """Words of 32 bits, interrupts for frames, the delay of function 1. The first word goes in swapped halves."""
        self.desk.power(True)
        control = bytes((WORD_LENGTH_32 | HIGH_SPEED | INTERRUPT_HIGH, 0, 0, 0))
        self.desk.send(swapped(self.command(True, BUS, 0, 4) + control))
        self.write(BUS, 0x1D, bytes((DELAY,)))
        self.write(BUS, 0x06, struct.pack("<H", PACKET_AVAILABLE))

    # -- the backplane

    def at(self, address: int) -> int:
        """Moves the window there; the address in it."""
        window = address & ~0x7FFF
        if window != self.window:
            for part in range(3):
                self.write(BACKPLANE, WINDOW + part, bytes((window >> 8 * (part + 1) & 255,)))
            self.window = window
        return address & 0x7FFF | 0x8000  # accesses of 32 bits

    def poke(self, address: int, data: bytes) -> None:
        for i in range(0, len(data), BLOCK):
            self.write(BACKPLANE, self.at(address + i), data[i : i + BLOCK])

    def peek(self, address: int, size: int) -> bytes:
        return self.read(BACKPLANE, self.at(address), size)

    def load(self, firmware: bytes, nvram: bytes = b"boardtype=1\0") -> None:
        """Into the chip's memory, which gets its clock first."""
        self.poke(MEMORY + RESET, bytes(4))
        self.poke(0, firmware)
        self.poke(RAM_BYTES - 4 - len(nvram), nvram)
        words = len(nvram) // 4
        self.poke(RAM_BYTES - 4, struct.pack("<I", (~words & 0xFFFF) << 16 | words))

    def start(self) -> None:
        self.poke(ARM + RESET, bytes(4))
        self.desk.wait(BOOT_SECONDS)

    def begin(self) -> None:
        """From power on to a firmware that is up and says everything that it can say."""
        self.configure()
        self.load(FIRMWARE)
        self.start()
        self.set_variable("bsscfg:event_msgs", bytes(4) + b"\xff" * 16)
        self.ioctl(UP, set=True)

    # -- frames

    @property
    def status(self) -> int:
        return self.number(BUS, 0x08, 4)

    def send(self, channel: int, content: bytes, header: int = 12) -> None:
        size = header + len(content)
        head = struct.pack("<HHBBBBBB2x", size, ~size & 0xFFFF, self.sequence, channel, 0, header, 0, 0)
        self.write(WLAN, 0, head.ljust(header, b"\0") + content)
        self.sequence = self.sequence + 1 & 255

    def receive(self) -> Frame | None:
        """The next frame, None if there is none."""
        status = self.status
        if not status & PACKET_WAITS:
            return None
        data = self.read(WLAN, 0, status >> PACKET_LENGTH_SHIFT & 0x7FF)
        size, complement, sequence, channel, _, start, _, credit = struct.unpack_from("<HHBBBBBB", data)
        assert (size, complement) == (len(data), ~len(data) & 0xFFFF)
        return Frame(sequence, channel, credit, data[start:])

    def drain(self) -> None:
        while frame := self.receive():
            self.frames.append(frame)

    # -- commands

    def request(self, command: int, data: bytes = b"", set: bool = False) -> None:
        """Sends it, and does not wait."""
        self.id += 1
        self.send(CONTROL, struct.pack("<IIII", command, len(data), self.id << 16 | set << 1, 0) + data)

    def ioctl(self, command: int, data: bytes = b"", set: bool = False) -> Answer | None:
        """None if no answer comes."""
        self.request(command, data, set)
        self.desk.wait(FRAME_SECONDS)
        self.drain()
        for frame in self.frames:
            if frame.channel == CONTROL:
                self.frames.remove(frame)
                said, length, flags, status = struct.unpack_from("<IIIi", frame.content)
                assert (said, length) == (command, len(frame.content) - 16)
                return Answer(flags >> 16, status, bool(flags & 1), frame.content[16:])
        return None

    def number_ioctl(self, command: int, value: int) -> Answer | None:
        return self.ioctl(command, struct.pack("<I", value), set=True)

    def set_variable(self, name: str, value: bytes) -> Answer | None:
        return self.ioctl(SET_VAR, name.encode() + b"\0" + value, set=True)

    def variable(self, name: str, size: int) -> bytes:
        answer = self.ioctl(GET_VAR, (name.encode() + b"\0").ljust(size, b"\0"))
        assert answer
        return answer.data[:size]

    def join(self, radio: Radio, password: str | None = None, *, auth: int | None = None) -> None:
        """Asks to join its network: with its password or another, by its security or by `auth` (of SET_WPA_AUTH)."""
        key = (radio.password if password is None else password).encode()
        if auth is None:
            auth = {"open": 0, "wpa2": WPA2_PSK, "wpa3": SAE, "wpa2-wpa3": SAE}[radio.security]
        self.number_ioctl(SET_WSEC, AES if auth else 0)
        if auth & WPA2_PSK or (auth and radio.security == "wpa2-wpa3"):
            self.ioctl(SET_WSEC_PMK, struct.pack("<HH64s", len(key), 1, key), set=True)
        if auth & SAE:
            self.set_variable("sae_password", struct.pack("<H128s", len(key), key))
        self.number_ioctl(SET_INFRA, 1)
        self.number_ioctl(SET_AUTH, 3 if auth & SAE else 0)
        self.number_ioctl(SET_WPA_AUTH, auth)
        ssid = radio.ssid.encode()
        self.ioctl(SET_SSID, struct.pack("<I32s", len(ssid), ssid), set=True)

    def joined(self, radio: Radio) -> None:
        """Joins, and forgets what was said of it."""
        self.join(radio)
        self.desk.wait(radio.join_seconds)
        self.events()

    # -- what comes by itself

    def events(self) -> list[Event]:
        """Those that have come, taken."""
        return [parse_event(content) for content in self._take(EVENTS)]

    def ethernet(self) -> list[bytes]:
        """Ethernet frames that have come, taken."""
        return [content[4 + 4 * content[3] :] for content in self._take(DATA) if content]

    def _take(self, channel: int) -> list[bytes]:
        self.drain()
        taken = [frame.content for frame in self.frames if frame.channel == channel]
        self.frames = [frame for frame in self.frames if frame.channel != channel]
        return taken

    def send_ethernet(self, frame: bytes) -> None:
        self.send(DATA, bytes((0x20, 0, 0, 0)) + frame, header=14)
        self.desk.wait(FRAME_SECONDS)


def swapped(data: bytes) -> bytes:
    """The bytes of each pair the other way round."""
    return b"".join(data[i + 1 : i + 2] + data[i : i + 1] for i in range(0, len(data), 2))


def parse_event(content: bytes) -> Event:
    """An event is an Ethernet frame of a type of its own, behind BDC."""
    frame = content[4 + 4 * content[3] :]
    assert frame[12:14] == b"\x88\x6c" and frame[19:22] == b"\x00\x10\x18"
    version, flags, kind, status, reason = struct.unpack_from(">HHIII", frame, 24)
    assert version == 2
    return Event(kind, status, reason, flags)
