"""Serial ports: opening them with errors that say what to do, and lines of text with a time limit."""

import contextlib
import errno
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import serial

from ..errors import BoardNotFound, BoardSilent, PortDenied

BAUD_RATE = 115200  # a USB port of a board's own ignores it
READ_SECONDS = 0.1
WRITE_SECONDS = 10.0
LONGEST_LINE = 1 << 16
SAFE = "it is safe to unplug the board; plug it in again and repeat the command"

_DENIED = (errno.EPERM, errno.EACCES)
_IN_USE = (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK)  # the last two: of flock(), the same on most platforms


class BoardGone(BoardSilent):
    """The port fails while it is in use: the cable was pulled, or the board restarts."""

    def __init__(self, device: str) -> None:
        super().__init__(f"the board at {device} went away", SAFE)


class SerialLine:
    """An open port; a context manager. Every failure of the cable is a BoardGone."""

    def __init__(self, device: str) -> None:
        """Raises BoardNotFound, PortDenied."""
        self.device = device
        self._port = open_port(device)
        self._unread = b""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the cable was pulled
            self._port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (OSError, ValueError):
            raise BoardGone(self.device) from None

    def read(self) -> bytes:
        """The bytes that came, after at most 0.1 s; none if nothing came. Raises BoardGone."""
        unread, self._unread = self._unread, b""
        if unread:
            return unread
        try:
            waiting = self._port.in_waiting
            data: bytes = self._port.read(min(4096, max(1, waiting)))
        except (OSError, ValueError, TypeError):  # TypeError: pyserial, when the port is closed meanwhile
            raise BoardGone(self.device) from None
        return data

    def line(self, seconds: float) -> bytes | None:
        """The next line without its line end; None if no line came within `seconds`. Raises BoardGone."""
        end = time.monotonic() + seconds
        collected = b""
        while time.monotonic() < end:
            collected += self.read()
            if b"\n" in collected:
                line, _, self._unread = collected.partition(b"\n")
                return line.rstrip(b"\r")
            collected = collected[-LONGEST_LINE:]
        self._unread = collected
        return None


def open_port(device: str) -> Any:
    """The open serial.Serial. Raises BoardNotFound, PortDenied."""
    try:
        return serial.serial_for_url(
            device, baudrate=BAUD_RATE, timeout=READ_SECONDS, write_timeout=WRITE_SECONDS, exclusive=True
        )
    except (OSError, ValueError) as error:
        raise _why_not_opened(device, error) from None


def _why_not_opened(device: str, error: Exception) -> BoardNotFound | PortDenied:
    number = getattr(error, "errno", None)
    if number in _DENIED or isinstance(error, PermissionError):
        return PortDenied(f"this user may not open {device}", how_to_get_permission(Path(device)))
    if number in _IN_USE:
        return PortDenied(
            f"another program has {device} open", "close terminals and editors (Thonny), then repeat the command"
        )
    return BoardNotFound(f"there is no board at {device}", "plug it in; `tessera flash --dry-run` shows what is there")


def how_to_get_permission(path: Path) -> str:
    """What a user has to do to be let at a device: the group is the one that the device itself has."""
    try:
        import grp
        import stat

        found = path.stat()
        group = grp.getgrgid(found.st_gid).gr_name  # type: ignore[attr-defined, unused-ignore]
        if found.st_mode & stat.S_IRGRP and found.st_mode & stat.S_IWGRP and group != "root":
            user = os.environ.get("USER") or "$USER"
            return f"join its group: sudo usermod -aG {group} {user}, then log out and in again"
    except (ImportError, KeyError, OSError):
        pass
    return "run this as a user who may open the device"
