"""An ESP32, ESP32-C3 or ESP32-S3 on a cable, of software: the serial loader of its ROM and its flash, on a PTY.

Written from what Espressif publishes: "Serial Protocol" and "Flasher Stub" of the esptool documentation
(docs.espressif.com/projects/esptool, advanced-topics/serial-protocol), and the SPI and eFuse chapters of the chips'
technical reference manuals for the registers.

It runs no code of the chip's. When RAM has been filled and is to be executed, it compares what lies there with the
loader that this esptool has for this chip (the "stub"), and from then on answers as the documentation says that the
stub does; anything else in RAM is a crash, which is silence. What a real ROM adds to its documentation, the analogue
side of a cable and the time that a flash chip takes are not here.

A PTY has no DTR and RTS: `wire_reset_lines` lets what esptool does with them happen to the board.
"""

import fcntl
import hashlib
import os
import pty
import select
import struct
import termios
import threading
import time
import tty
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field

SECTOR = 4096
NOISE = bytes.fromhex("00c0c0db01ff") + b"ets Jul 29 2019 12:21:46" + bytes.fromhex("dbc0") + b"rst:0x10\r\n"

FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
SYNC, WRITE_REG, READ_REG = 0x08, 0x09, 0x0A
SPI_SET_PARAMS, SPI_ATTACH, CHANGE_BAUDRATE = 0x0B, 0x0D, 0x0F
FLASH_DEFL_BEGIN, FLASH_DEFL_DATA, FLASH_DEFL_END = 0x10, 0x11, 0x12
SPI_FLASH_MD5, GET_SECURITY_INFO, READ_FLASH = 0x13, 0x14, 0xD2

_FLASH_COMMAND = 1 << 18  # in an SPI controller's command register: do what the other registers say
_READ_ID, _READ_SFDP = 0x9F, 0x5A


@dataclass(frozen=True)
class Kind:
    """A chip: how esptool finds out what it is, and where its registers are."""

    mcu: str
    number: int | None  # in GET_SECURITY_INFO; the first ESP32 does not know that command
    magic: int  # at 0x40001000
    mac: tuple[int, int]  # eFuse words: address of the low and of the high half
    spi: int
    usr2: int
    w0: int
    address_is_high: bool = False  # a flash address of 24 bits lies in the upper bits of its register
    extended_begin: bool = True  # FLASH_BEGIN carries a fifth word


KINDS = {
    kind.mcu: kind
    for kind in (
        Kind("esp32", None, 0x00F01D83, (0x3FF5A004, 0x3FF5A008), 0x3FF42000, 0x24, 0x80, True, False),
        Kind("esp32c3", 5, 0x1B31506F, (0x60008844, 0x60008848), 0x60002000, 0x20, 0x58),
        Kind("esp32s3", 9, 0x00000009, (0x60007044, 0x60007048), 0x60002000, 0x20, 0x58),
    )
}


@dataclass
class Fault:
    """What goes wrong when a command comes for the nth time: "pull", "pull when answered", "silence", "garbage" (in
    front of the answer), or "crash" of what is started (MEM_END)."""

    command: int
    number: int
    action: str


class Refused(Exception):
    """A command that fails: the ROM's error byte and the stub's."""

    def __init__(self, rom: int, stub: int) -> None:
        self.codes = (rom, stub)


class Pulled(Exception):
    """The cable is not there any more."""


@dataclass
class Writing:
    """A download to the flash that has begun."""

    start: int
    end: int
    block_bytes: int
    inflate: "zlib._Decompress | None" = None
    at: int = field(init=False)

    def __post_init__(self) -> None:
        self.at = self.start


class VirtualBoard:
    """A board; `plug_in` gives it a port named `link`, `pull` takes that away. Its flash outlives both."""

    def __init__(self, mcu, link, flash_bytes=4 << 20):
        self.kind = KINDS[mcu]
        self.link = link
        self.flash = bytearray(b"\xff" * flash_bytes)
        self.registers = {0x40001000: self.kind.magic, self.kind.mac[0]: 0x33445566, self.kind.mac[1]: 0x1122}
        self.security_flags = 0
        self.flash_id = 0xEF | 0x40 << 8 | (flash_bytes.bit_length() - 1) << 16  # maker, kind, log2 of the size
        self.dead_bytes = set()  # of the flash: they stay as they are
        self.noisy = False
        self.fault = None
        self.commands = []  # all that came, in order
        self.bauds = []  # that the host changed to
        self.resets = []  # what the reset lines did: "loader" or "start"
        self.reset("loader")

    # -- the cable

    def plug_in(self, mode="loader"):
        """mode "loader": with the BOOT button held, or nothing on the flash; "application": something runs."""
        self._start(mode)
        self._line, self._far_end = pty.openpty()
        tty.setraw(self._far_end)  # held open, or closing the port would end the line
        self._wake = os.pipe()
        self.link.symlink_to(os.ttyname(self._far_end))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return str(self.link)

    def pull(self):
        os.write(self._wake[1], b"x")
        self._thread.join()

    def reset(self, into):
        """What EN and IO0 do, which a port's DTR and RTS are wired to."""
        self.resets.append(into)
        self._start("loader" if into == "loader" else "application")

    def _start(self, mode):
        self.mode = mode
        self._memory = {}
        self._segment = None
        self._writing = None
        self._pull_when_read = False

    @property
    def is_plugged_in(self):
        return self.link.is_symlink()

    def _serve(self):
        try:
            self._incoming = self._frames()
            for frame in self._incoming:
                self._receive(frame)
        except (Pulled, OSError):
            pass
        finally:
            self.link.unlink()
            for descriptor in (self._line, self._far_end, *self._wake):
                os.close(descriptor)

    # -- frames

    def _frames(self):
        pending = b""
        while True:
            ready, _, _ = select.select([self._line, self._wake[0]], [], [])
            if self._wake[0] in ready:
                raise Pulled
            pending += os.read(self._line, 65536)
            if self.noisy:
                self._send(NOISE)
            *frames, pending = pending.split(b"\xc0")
            for frame in frames:
                if frame:
                    yield frame.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")

    def _send(self, content):
        while content:
            content = content[os.write(self._line, content) :]

    def _send_frame(self, content):
        self._send(b"\xc0" + content.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0")

    def _receive(self, frame):
        if self.mode not in ("loader", "stub") or len(frame) < 8 or frame[0] != 0:
            return
        command, size, checksum = struct.unpack("<BHI", frame[1:8])
        self.commands.append(command)
        if self._is_faulty(command):
            return
        if len(frame) != 8 + size:
            return self._answer(command, status=(1, 0xC0 if self._is_stub else 0x05))
        try:
            self._handle(command, frame[8:], checksum)
        except Refused as refused:
            self._answer(command, status=(refused.codes[1], 0) if self._is_stub else (1, refused.codes[0]))
        if self._pull_when_read:
            while struct.unpack("i", fcntl.ioctl(self._far_end, termios.FIONREAD, bytes(4)))[0]:
                time.sleep(0.001)
            raise Pulled

    def _is_faulty(self, command):
        """Whether the command goes unanswered."""
        fault = self.fault
        if fault is None or command != fault.command:
            return False
        fault.number -= 1
        if fault.number:
            return False
        self.fault = None
        if fault.action == "pull":
            raise Pulled
        self._pull_when_read = fault.action == "pull when answered"
        if fault.action == "garbage":
            self._send(NOISE)
        elif fault.action == "crash":
            self._memory = {}
        elif fault.action == "silence":
            self.mode = "silent"
        return self.mode == "silent"

    @property
    def _is_stub(self):
        return self.mode == "stub"

    def _answer(self, command, value=0, content=b"", status=(0, 0)):
        tail = bytes(status) + (b"" if self._is_stub else b"\0\0")
        body = content + tail
        self._send_frame(struct.pack("<BBHI", 1, command, len(body), value) + body)

    # -- commands

    def _handle(self, command, content, checksum):
        if command in (FLASH_DATA, FLASH_DEFL_DATA, MEM_DATA):
            content = self._checked(content, checksum)
        handler = {
            SYNC: self._sync,
            READ_REG: self._read_register,
            WRITE_REG: self._write_register,
            GET_SECURITY_INFO: self._security_info,
            MEM_BEGIN: self._begin_memory,
            MEM_DATA: self._write_memory,
            MEM_END: self._execute,
            FLASH_BEGIN: self._begin_flash,
            FLASH_DATA: self._write_block,
            FLASH_DEFL_BEGIN: self._begin_flash,
            FLASH_DEFL_DATA: self._write_compressed,
            SPI_FLASH_MD5: self._digest,
            READ_FLASH: self._read_flash,
        }.get(command)
        if handler:
            handler(command, content)
        elif command == CHANGE_BAUDRATE:
            self.bauds.append(struct.unpack("<II", content)[0])
            self._answer(command)
        elif command in (SPI_ATTACH, SPI_SET_PARAMS, FLASH_END, FLASH_DEFL_END):
            self._answer(command)
        else:
            raise Refused(0x05, 0xFF)

    def _checked(self, content, checksum):
        """The block of a data command without its four words: length, sequence number, 0, 0."""
        length, number = struct.unpack("<II", content[:8])
        block = content[16:]
        expected = 0xEF
        for byte in block:
            expected ^= byte
        if length != len(block) or checksum & 0xFF != expected:
            raise Refused(0x07, 0xC1)
        self._number = number
        return block

    def _sync(self, command, content):
        assert content == b"\x07\x07\x12\x20" + b"\x55" * 32
        for _ in range(8):
            self._answer(command, value=0 if self._is_stub else 0x20120707)

    def _security_info(self, command, content):
        if self.kind.number is None:
            raise Refused(0x05, 0xFF)
        self._answer(command, content=struct.pack("<IB7sII", self.security_flags, 0, bytes(7), self.kind.number, 0))

    def _read_register(self, command, content):
        self._answer(command, value=self.registers.get(struct.unpack("<I", content)[0], 0))

    def _write_register(self, command, content):
        address, value, mask, _delay_us = struct.unpack("<IIII", content[:16])
        self.registers[address] = self.registers.get(address, 0) & ~mask | value & mask
        if address == self.kind.spi and value & _FLASH_COMMAND:
            self.registers[self.kind.spi + self.kind.w0] = self._flash_command()
            self.registers[address] = 0
        self._answer(command)

    def _flash_command(self):
        """What the flash chip answers to the command byte in the controller's registers."""
        sent = self.registers[self.kind.spi + self.kind.usr2] & 0xFF
        if sent == _READ_ID:
            return self.flash_id
        if sent == _READ_SFDP:
            address = self.registers.get(self.kind.spi + 4, 0) >> (8 if self.kind.address_is_high else 0)
            return int.from_bytes(b"SFDP", "little") if address == 0 else 0
        return 0

    def _begin_memory(self, command, content):
        _size, _blocks, block_bytes, address = struct.unpack("<IIII", content)
        self._segment = (address, block_bytes)
        self._memory[address] = b""
        self._answer(command)

    def _write_memory(self, command, block):
        address, block_bytes = self._segment
        assert len(self._memory[address]) == self._number * block_bytes
        self._memory[address] += block
        self._answer(command)

    def _execute(self, command, content):
        _stay, entry = struct.unpack("<II", content)
        self._answer(command)
        if self._memory == stub_of(self.kind.mcu, entry):
            self.mode = "stub"
            self._send_frame(b"OHAI")
        else:
            self.mode = "crashed"

    def _begin_flash(self, command, content):
        words = struct.unpack(f"<{len(content) // 4}I", content)
        if len(words) != 4 + (self._is_stub or self.kind.extended_begin):
            raise Refused(0x05, 0xC0)
        erase_bytes, _blocks, block_bytes, start = words[:4]
        end = start + erase_bytes
        if end > len(self.flash):
            raise Refused(0x06, 0xC4)
        for sector in range(start // SECTOR * SECTOR, end, SECTOR):
            self._change(sector, b"\xff" * SECTOR)
        inflate = zlib.decompressobj() if command == FLASH_DEFL_BEGIN else None
        self._writing = Writing(start, end, block_bytes, inflate)
        self._answer(command)

    def _write_block(self, command, block):
        if self._writing is None:
            raise Refused(0x06, 0xC6)
        self._program(self._writing.start + self._number * self._writing.block_bytes, block)
        self._answer(command)

    def _write_compressed(self, command, block):
        if self._writing is None or self._writing.inflate is None:
            raise Refused(0x06, 0xC6)
        try:
            content = self._writing.inflate.decompress(block)
        except zlib.error:
            raise Refused(0x0B, 0xC7) from None
        if self._writing.at + len(content) > self._writing.end:
            raise Refused(0x0B, 0xC9)
        self._program(self._writing.at, content)
        self._writing.at += len(content)
        self._answer(command)

    def _program(self, at, content):
        """A flash programs ones to zeros and never back."""
        old = int.from_bytes(self.flash[at : at + len(content)], "little")
        self._change(at, (old & int.from_bytes(content, "little")).to_bytes(len(content), "little"))

    def _change(self, at, content):
        kept = {address: self.flash[address] for address in self.dead_bytes if at <= address < at + len(content)}
        self.flash[at : at + len(content)] = content
        for address, byte in kept.items():
            self.flash[address] = byte

    def _digest(self, command, content):
        at, length, _, _ = struct.unpack("<IIII", content)
        digest = hashlib.md5(self.flash[at : at + length])
        self._answer(command, content=digest.digest() if self._is_stub else digest.hexdigest().encode())

    def _read_flash(self, command, content):
        """The stub's: raw frames, each acknowledged with the number of bytes so far, then their MD5."""
        if not self._is_stub:
            raise Refused(0x05, 0xFF)
        at, length, block_bytes, _in_flight = struct.unpack("<IIII", content)
        self._answer(command)
        for start in range(at, at + length, block_bytes):
            end = min(start + block_bytes, at + length)
            self._send_frame(bytes(self.flash[start:end]))
            answer = next(self._incoming)
            if answer != struct.pack("<I", end - at):
                return self._receive(answer)  # the host has given up, and asks for something else
        self._send_frame(hashlib.md5(self.flash[at : at + length]).digest())


def stub_of(mcu, entry):
    """The loader that esptool has for a chip, as it lies in RAM: {address: bytes}; none if it is not started there."""
    from esptool.loader import StubFlasher
    from esptool.targets import CHIP_DEFS

    chip = object.__new__(CHIP_DEFS[mcu])  # no port: only its name is asked for
    stub = StubFlasher(chip)
    return {stub.text_start: bytes(stub.text), stub.data_start: bytes(stub.data)} if entry == stub.entry else None


def wire_reset_lines(monkeypatch, board):
    """What esptool would do with DTR and RTS of a real port happens to the board."""

    def lines(into):
        return lambda *arguments, **named: lambda: board.reset(into)

    for name, into in (("UnixTightReset", "loader"), ("ClassicReset", "loader"), ("HardReset", "start")):
        monkeypatch.setattr(f"esptool.loader.{name}", lines(into))


@contextmanager
def plugged_in(monkeypatch, new):
    """A function like new, which makes something with a `device`: it plugs that in. At the end all are pulled."""
    # esptool writes out every frame for a trace that is off: half of what these tests take.
    monkeypatch.setattr("esptool.loader.HexFormatter.__str__", lambda _: "")
    made = []

    def make(*arguments, **options):
        one = new(*arguments, **options)
        wire_reset_lines(monkeypatch, one.device)
        one.device.plug_in("application")
        made.append(one)
        return one

    yield make
    for one in made:
        if one.device.is_plugged_in:
            one.device.pull()
