"""A board at MicroPython's prompt: calls to the functions of firmware/device/provision.py, one line each.

Owns what is typed there. The raw prompt itself is mpremote's (SerialTransport).
"""

import contextlib
import io
import json
import struct
import time
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from ..errors import BoardSilent, ProvisioningFailed
from . import serial_line
from .serial_line import SAFE, BoardGone

ENTER_SECONDS = 10
ENTER_ATTEMPTS = 6
CALL_SECONDS = 60
ATTEMPTS = 3
MODULE = "device.provision"
# A bundle runs in place of what is frozen, and has no such module: firmware/slots.py, undone.
LEAVE_BUNDLE = """import sys
if "/bundle" in sys.path:
    sys.path.remove("/bundle")
    for name in list(sys.modules):
        if name.split(".")[0] in ("board", "device", "tessera", "tessera_build"):
            del sys.modules[name]
"""


class NotOurs(Exception):
    """MicroPython without the relay's firmware answered; the text is its name for the hardware."""


class Prompt:
    """The raw prompt of a board; a context manager that leaves the board at its friendly prompt."""

    def __init__(self, device: str) -> None:
        """Interrupts what runs. Raises BoardNotFound, PortDenied, BoardSilent."""
        serial_line.open_port(device).close()  # for its errors
        self.device = device
        with self._quiet():
            self._transport = SerialTransport(device, baudrate=serial_line.BAUD_RATE, timeout=1)
            self._transport.serial.write_timeout = serial_line.WRITE_SECONDS
        try:
            self._enter()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """The port is free again, whatever became of the board."""
        with contextlib.suppress(OSError, TypeError, ValueError, TransportError):
            if self._transport.in_raw_repl:
                self._transport.exit_raw_repl()
        with contextlib.suppress(OSError, TypeError, ValueError):
            self._transport.close()
        with contextlib.suppress(OSError, TypeError, ValueError):
            self._transport.serial.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: str, *arguments: str | int) -> dict[str, Any]:
        """Call a function of provision.py; its answer. All of them may be called again, so a damaged answer is asked
        for again. Raises ProvisioningFailed with the board's words, BoardSilent, NotOurs.
        """
        for attempt in range(ATTEMPTS):
            answer = self._called(function, arguments)
            if answer is not None:
                if "error" in answer:
                    raise ProvisioningFailed(
                        f"the board refused {function}: {answer['error']}", "repeat the command, or use another board"
                    )
                return answer
            if attempt + 1 < ATTEMPTS:
                self._enter()
        raise BoardSilent(f"the answers of the board at {self.device} are damaged", "try another cable; " + SAFE)

    def _called(self, function: str, arguments: tuple[str | int, ...]) -> dict[str, Any] | None:
        """None if what came back makes no sense."""
        source = f"from {MODULE} import {function}\n{function}({', '.join(ascii(each) for each in arguments)})"
        try:
            with self._quiet():
                printed = self._transport.exec_raw(source, timeout=CALL_SECONDS)
            output, error = printed
        except BoardGone:
            raise
        except BoardSilent:
            return None
        if error.strip().rpartition(b"\n")[2].startswith(b"ImportError"):  # the class of an exception ends a traceback
            raise NotOurs(self.machine())
        return last_object(output)

    def leave_bundle(self) -> None:
        """Have calls find the frozen code, where a relay that was interrupted runs a bundle."""
        with self._quiet():
            self._transport.exec_raw(LEAVE_BUNDLE, timeout=CALL_SECONDS)

    def machine(self) -> str:
        """What MicroPython calls the hardware, like "Raspberry Pi Pico W with RP2040"."""
        with self._quiet():
            output, _ = self._transport.exec_raw(
                "import sys\nprint(getattr(sys.implementation, '_machine', sys.platform))", timeout=CALL_SECONDS
            )
        text: str = output.decode(errors="replace")
        return text.strip()

    def start(self, source: str) -> None:
        """Run what does not come back: a restart, which may take the port away before it is acknowledged."""
        with contextlib.suppress(BoardSilent), self._quiet():
            self._transport.exec_raw_no_follow(source)
        self._transport.in_raw_repl = False

    def restart(self) -> None:
        self.start("import machine\nmachine.reset()")

    def enter_boot_loader(self) -> None:
        """RP2: as if BOOTSEL had been held."""
        self.start("import machine\nmachine.bootloader()")

    def _enter(self) -> None:
        for attempt in range(ENTER_ATTEMPTS):
            try:
                with self._quiet():
                    self._transport.serial.write(b"\x03\x03")  # whatever runs, and whatever catches the first one
                    time.sleep(0.1)
                    self._transport.enter_raw_repl(soft_reset=False, timeout_overall=ENTER_SECONDS // 5)
                    return
            except BoardGone:
                raise
            except BoardSilent:
                if attempt + 1 == ENTER_ATTEMPTS:
                    raise

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """mpremote prints what it does not understand, and fails in several ways."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except (TransportError, TransportExecError, struct.error, IndexError):
            raise BoardSilent(f"the board at {self.device} does not answer", SAFE) from None
        except (OSError, TypeError, ValueError):
            raise BoardGone(self.device) from None


def last_object(output: bytes) -> dict[str, Any] | None:
    """The JSON object in the last line that ends in its CRC-32; None if there is none."""
    for line in reversed(output.splitlines()):
        text, _, checksum = line.strip().rpartition(b" ")
        start = text.find(b"{")
        if start >= 0 and f"{zlib.crc32(text[start:]):08x}".encode() == checksum:
            found = json.loads(text[start:])
            return found if isinstance(found, dict) else None
    return None
