"""A board on paper: a pseudo-terminal behind which the device's own provisioning (device.provision) and console
commands (device.commands) run on CPython, with a real relay core. What the hardware and MicroPython add is in
tests/system.

Its cable can be pulled at any command, before it takes effect or after, and its line can be made to carry garbage.
"""

import ast
import base64
import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import threading
import tty
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from device import commands, provision
from device.explain import code, explain
from device.log import Log
from device.provision import Provisioning
from ramdevice import RamDevice
from tessera import VERSION
from tessera.errors import Error
from tessera.files import Directory
from tessera.relay import Identity, Relay
from tessera.release import Release, version_text
from tessera_host.provisioning.finder import Finder, Port, Volume, read_volume

RING_SECTORS, KEYRING_SECTORS = 208, 8
CALL = re.compile(r"from device\.provision import (\w+)\n\1\((.*)\)", re.DOTALL)
BANNER = b"raw REPL; CTRL-B to exit\r\n>"
FRIENDLY = b'\r\nMicroPython v1.25.0; Type "help()" for more information.\r\n>>> '
INFO = "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"


class Unplugged(Exception):
    """The cable was pulled in the middle of something."""


@dataclass
class Pull:
    """The cable is pulled at the n-th command from now, before or after it takes effect."""

    at: int
    after_effect: bool


class FakeBoard:
    """`board` is what its image says it is, None for another MicroPython; blank: it starts in BOOTSEL."""

    def __init__(self, folder: Path, board: str | None = "RPI_PICO", *, blank: bool = False, chip: bytes = b"chip-one"):
        folder.mkdir(parents=True, exist_ok=True)
        self.link, self.volume = folder / "ttyACM0", folder / "volumes" / "RPI-RP2"
        self.board, self.blank, self.chip = board, blank, chip
        self.image_for = board
        self.machine = "Raspberry Pi Pico with RP2040"
        self.digest = bytes(32)
        self.version = VERSION
        self.pull: Pull | None = None
        self.commands: list[str] = []
        self.chatter = b""  # before every answer
        self.damage = 0  # answers that lose a byte
        self.new_code_serves = True
        self.lies: dict[str, object] = {}  # fields of `status`
        self.wrong_cover = False
        self.takes_ctrl_c = False  # whether it gives its prompt while the relay serves
        self.error: Exception | None = None
        self.files = folder / "files"
        self.files.mkdir(exist_ok=True)
        self._ring, self._keyring = RamDevice(RING_SECTORS), RamDevice(KEYRING_SECTORS)
        self._relay: Relay | None = None
        self._config: dict = {}
        self._thread: threading.Thread | None = None
        self._descriptors: list[int] = []

    @property
    def build(self) -> SimpleNamespace:
        partitions = {
            "littlefs": (0, 4096),
            "keyring": (4096, KEYRING_SECTORS * 4096),
            "ring": (0, RING_SECTORS * 4096),
        }
        return SimpleNamespace(BOARD=self.board, FIRMWARE_DIGEST=self.digest, PARTITIONS=partitions)

    # -- cable

    def plug_in(self) -> None:
        if self.blank:
            self.volume.mkdir(parents=True)
            (self.volume / "INFO_UF2.TXT").write_text(INFO)
        else:
            self._open()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Also after the cable was pulled by a Pull."""
        self._stop()
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join()

    def _stop(self) -> None:
        self._unplugged.set()
        self.link.unlink(missing_ok=True)
        shutil.rmtree(self.volume, ignore_errors=True)

    def _open(self) -> None:
        self._board_side, user_side = os.openpty()
        tty.setraw(user_side)
        self._descriptors = [self._board_side, user_side]
        self._received = b""
        self._raw = False
        self._boot()
        self.link.symlink_to(os.ttyname(user_side))

    def _boot(self) -> None:
        self._relay = None
        text = Directory(str(self.files)).read("relay.json")
        if text is None or self.board is None:
            return
        self._config = json.loads(text)
        static, ledger = (bytes.fromhex(self._config[name]) for name in ("static_secret", "ledger_secret"))
        relay = Relay(
            self._ring,
            self._keyring,
            Directory(str(self.files)),
            Identity(static, ledger, self.chip, self.digest),
            os.urandom,
        )
        relay.start()
        self._relay = relay

    _unplugged = threading.Event()

    def _run(self) -> None:
        self._unplugged = threading.Event()
        try:
            while not self._unplugged.is_set():
                if not self._descriptors:
                    with contextlib.suppress(FileNotFoundError):  # it is pulled at this moment
                        self._look_at_volume()
                    self._unplugged.wait(0.01)
                elif select.select([self._board_side], [], [], 0.02)[0]:
                    self._received += os.read(self._board_side, 4096)
                    self._work()
        except Unplugged:
            self._stop()
        except Exception as error:  # a bug of the device's code or of this file: the test is told
            self.error = error
            self._stop()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def _look_at_volume(self) -> None:
        for path in self.volume.glob("*.uf2"):
            content = path.read_bytes()
            if len(content) >= 512 and len(content) == 512 * int.from_bytes(content[24:28], "little"):
                shutil.rmtree(self.volume)
                self.blank, self.board = False, self.image_for
                self._open()

    def _say(self, data: bytes) -> None:
        if self.damage:
            self.damage -= 1
            data = data[: len(data) // 2] + data[len(data) // 2 + 1 :]
        data = self.chatter + data
        while data:
            data = data[os.write(self._board_side, data) :]

    def _event(self, what: str, effect: object) -> object:
        """Do something that a command asked for; the cable may be pulled on the way."""
        self.commands.append(what)
        pulled = False
        if self.pull:
            self.pull.at -= 1
            pulled = self.pull.at == 0
        if pulled and not self.pull.after_effect:
            raise Unplugged
        result = effect()
        if pulled:
            raise Unplugged
        return result

    # -- what it does

    def _work(self) -> None:
        if self._relay and self.takes_ctrl_c and self._config["repl"] == "open" and b"\x03\x03" in self._received:
            self._relay = None
        if self._relay:
            self._console()
        else:
            self._prompt()

    def _prompt(self) -> None:
        while self._received:
            if self._raw and self._received.startswith(b"\x05A\x01"):
                self._received = self._received[3:]
                os.write(self._board_side, b"R\x00")
            elif self._raw and b"\x04" in self._received:
                source, _, self._received = self._received.partition(b"\x04")
                self._execute(source.decode())
            elif self._received[:1] == b"\x01":
                self._raw, self._received = True, self._received[1:]
                os.write(self._board_side, BANNER)
            elif self._received[:1] == b"\x02":
                self._raw, self._received = False, self._received[1:]
                os.write(self._board_side, FRIENDLY)
            elif self._received[:1] in (b"\x03", b"\r", b"\n"):
                self._received = self._received[1:]
                if not self._raw:
                    os.write(self._board_side, b"\r\n>>> ")
            elif self._raw:
                return
            else:
                line, end, self._received = self._received.partition(b"\n")
                os.write(self._board_side, line + end)

    def _execute(self, source: str) -> None:
        output, error = b"", b""
        if "machine.reset" in source:
            self._event("reset", lambda: None)
            self._raw = False
            os.write(self._board_side, b"OK")
            self._boot()
            return
        if "machine.bootloader" in source:
            self._event("bootloader", lambda: None)
            self.blank = True
            self.link.unlink()
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors = []
            self.volume.mkdir(parents=True)
            (self.volume / "INFO_UF2.TXT").write_text(INFO)
            self._received = b""
            return
        if call := CALL.fullmatch(source):
            if self.board is None:
                error = b"Traceback (most recent call last):\r\nImportError: no module named 'device'\r\n"
            else:
                output = self._provision(call[1], ast.literal_eval(f"({call[2]},)" if call[2] else "()"))
        elif "_machine" in source:
            output = self.machine.encode() + b"\r\n"
        os.write(self._board_side, b"OK")
        self._say(output)
        os.write(self._board_side, b"\x04" + error + b"\x04>")

    def _provision(self, name: str, arguments: tuple) -> bytes:
        provisioning = Provisioning(Directory(str(self.files)), self.build, self.chip, os.urandom)

        def effect() -> dict:
            try:
                return getattr(provisioning, name)(*arguments)
            except Error as error:
                return {"error": str(error)}

        return provision.line(self._event(name, effect)).encode() + b"\r\n"

    def _console(self) -> None:
        *lines, self._received = re.split(rb"[\r\n]", self._received)
        for line in lines:
            if words := line.strip(b"\x03").split():
                self._command(words[0].decode(errors="replace"), words[1:])

    def _command(self, name: str, arguments: list[bytes]) -> None:
        if name in ("update", "put", "activate"):
            self._stage(name, arguments)
            return
        said: list[str] = []
        log = Log(Directory(str(self.files)))
        appliance = SimpleNamespace(relay=self._relay, config=self._config, figures=self._figures, log=log)
        appliance.restart_soon = lambda why: None
        appliance.factory_reset = self._forget
        with mock.patch.object(commands, "say", lambda name, text: said.append(f"-{name} {text}\r\n")):
            handler = commands.handlers(appliance).get(name)
            if handler is None:
                os.write(self._board_side, b"!? UNKNOWN commands: ...\r\n")
                return
            try:
                figures = self._event(name, lambda: self._handled(handler, arguments))
                last = f"={name} {json.dumps(figures)}\r\n"
            except Error as error:
                last = f"!{name} {code(error)} {explain(error)}\r\n"
        if name == "batch" and self.wrong_cover:
            said[0] = "-batch " + "A" * 320 + "\r\n"
        self._say("".join(said).encode() + last.encode())
        if name in ("restart", "factory-reset"):
            self._boot()

    def _stage(self, name: str, arguments: list[bytes]) -> None:
        """New code, as device.update takes it; what becomes of it is in `new_code_serves`."""

        def effect() -> dict:
            if name == "update":
                self._release = Release(bytes.fromhex(arguments[0].decode()))
                self._staged = getattr(self, "_staged", b"")
            elif name == "put" and int(arguments[0]) == len(self._staged):
                self._staged += base64.b64decode(arguments[1])
            whole = len(self._staged) == self._release.bytes
            return {"state": "staged" if whole else "send", "next": len(self._staged), "wait_s": 0}

        self._say(f"={name} {json.dumps(self._event(name, effect))}\r\n".encode())
        if name == "activate":
            assert hashlib.sha256(self._staged).digest() == self._release.sha256
            if self.new_code_serves:
                self.version = version_text(self._release.version)
            self._boot()

    def _handled(self, handler: object, arguments: list[bytes]) -> dict:
        figures = handler(arguments)
        if not isinstance(figures, dict):
            import asyncio

            figures = asyncio.run(figures)
        if self._relay and self._relay.clock.known:
            self._relay.turn()
        return figures

    def _figures(self) -> dict:
        relay = self._relay
        newest = relay.parameters.newest
        return {
            "board": self.board,
            "name": self._config["name"],
            "version": self.version,
            "firmware_digest": self.digest.hex(),
            "state": "serving" if relay.open_round is not None else "no-time",
            "fault": None,
            "address": "10.0.0.7",
            "network": None,
            "repl": self._config["repl"],
            "static_key": relay.static_key.hex(),
            "ledger_key": relay.ledger_key.hex(),
            "serial": newest.serial,
            "parameter_digest": newest.digest.hex(),
            "open_round": relay.open_round,
            "epoch": relay.epoch,
            "uptime_s": 1,
            "boots": relay.boots,
            "clock": "known" if relay.clock.known else "unknown",
            "unreadable_pages": 0,
        } | self.lies

    def _forget(self) -> None:
        shutil.rmtree(self.files)
        self.files.mkdir()
        self._ring, self._keyring = RamDevice(RING_SECTORS), RamDevice(KEYRING_SECTORS)


class FakeFinder(Finder):
    """Sees fake boards."""

    def __init__(self, *boards: FakeBoard) -> None:
        self.boards = boards
        self.picotool_path: str | None = None

    def ports(self) -> list[Port]:
        return [Port(str(board.link), "fake board") for board in self.boards if board.link.exists()]

    def volumes(self) -> list[Volume]:
        return [volume for board in self.boards if (volume := read_volume(board.volume))]

    def unmounted(self) -> list[Path]:
        return []

    def picotool(self) -> str | None:
        return self.picotool_path
