"""Flashing an ESP32 over its serial line, with esptool as a library.

Owns the visit to the chip's loader: opening the port, finding out which chip answers, refusing before anything is
written, writing, verifying, restarting, and turning whatever fails on the way into one of this package's errors.
Leaves to esp32_image what of an image goes where, to esptool the protocol.

The chip's loader is in its mask ROM: no write, however it ends, takes it away, so a board can be unplugged and flashed
again at any time. Through it esptool loads its own (the "stub") into the chip's RAM and writes with that. It is what
every esptool uses unless told not to, so the way that most boards in the world were flashed by; the ROM's own commands
for writing are slower, and differ from chip to chip.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import serial
from esptool.cmds import attach_flash, detect_chip, detect_flash_size, reset_chip, run_stub, write_flash
from esptool.loader import DEFAULT_TIMEOUT, ESPLoader
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError, flash_size_bytes

from ..errors import BoardSilent, FlashFailed, ImageRejected, TesseraError, WrongBoard
from ..planning.boards import BOARDS, Board
from .esp32_image import BLANK, KEPT, TABLE_BYTES, TABLE_OFFSET, Partition, Plan, Segment, plan, read_table
from .serial_line import BAUD_RATE, open_port

WRITING_BAUD = 460800

# What the line, its driver and esptool raise. termios has an error of its own, which is no OSError.
FAILURES: tuple[type[Exception], ...] = (FatalError, OSError)
if sys.platform != "win32":
    import termios

    FAILURES += (termios.error,)

# What to tell of a board that stops answering, before, while and after it is written to.
_UNTOUCHED = "nothing was written, and it is safe to unplug the board"
_WRITING = (
    "it is safe to unplug the board: its loader cannot be overwritten, and its keys and records were not touched; "
    "plug it in and repeat the command, as the relay may not start before"
)
_WRITTEN = "the image was written and verified; it is safe to unplug the board: plug it in again to start it"

Progress = Callable[[int, int], None]  # bytes done, bytes in all
Logger = Callable[[str], None]  # a line that esptool prints


def _no_progress(done: int, total: int) -> None:
    pass


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class Chip:
    """What answers on a port: the chip as board.json calls it, its name in print, bytes of flash (0: unknown).

    Its MAC address is not asked for: nothing needs it.
    """

    mcu: str
    name: str
    flash_bytes: int


def detect(port: str, logger: Logger = _silent) -> Chip:
    """Which chip is on this port. Whatever ran on it is stopped and started again: ask a relay in service first.

    BoardNotFound, PortDenied: the port. BoardSilent: no ESP32 answers on it. WrongBoard: one that nobody knows.
    """
    with _Visit(port, logger) as visit:
        attach_flash(visit.esp)
        return visit.chip()


def flash(
    port: str,
    image: Path | bytes,
    board: Board,
    progress: Progress = _no_progress,
    logger: Logger = _silent,
) -> None:
    """Write a combined image (firmware.bin) of this board to the board on this port, verify it, and start it.

    Whoever has checked that the image is the issuer's gives its bytes, as a file could have changed since. What the
    flash holds already is not written again. What a relay keeps (littlefs, keyring, ring, nvs) stays.
    BoardNotFound, PortDenied, ImageRejected, WrongBoard: nothing was written. BoardSilent: its hint says what was.
    FlashFailed: the flash does not hold what was written.
    """
    planned = plan(image if isinstance(image, bytes) else _read(image), board)
    with _Visit(port, logger) as visit:
        _check_chip(visit, board, planned)
        visit.use_stub()
        attach_flash(visit.esp)
        _check_flash(visit, board)
        _check_kept(visit, planned, board)
        _write(visit, planned, progress)


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise ImageRejected(f"the image {image} cannot be read: {error.strerror}", "nothing was written") from error


# --- Before writing --------------------------------------------------------------------------------------------------


def _check_chip(visit: "_Visit", board: Board, planned: Plan) -> None:
    """WrongBoard unless the chip is the board's, takes plain images, and is of a revision that starts this one."""
    if visit.mcu != board.mcu:
        fitting = [name for name, other in BOARDS.items() if other.mcu == visit.mcu]
        raise WrongBoard(
            f"the board on {visit.port} has the chip {visit.name}, but {board.name} has {board.mcu}",
            f"nothing was written; plug in the other board, or give --board {' or '.join(fitting)}"
            if fitting
            else "nothing was written; plug in another board: tessera has no image for this chip",
        )
    if visit.is_locked():
        raise WrongBoard(
            f"the board on {visit.port} is locked: it has secure boot or flash encryption with somebody else's keys",
            "nothing was written; such a board can never become a relay: use another",
        )
    revision = int(visit.esp.get_chip_revision())
    if not planned.oldest_chip <= revision <= planned.newest_chip:
        raise WrongBoard(
            f"the {visit.name} on {visit.port} has revision {revision // 100}.{revision % 100}, on which this image "
            "does not start",
            "nothing was written; use another board, or an image that was built for this revision",
        )


def _check_flash(visit: "_Visit", board: Board) -> None:
    found = visit.chip().flash_bytes
    if found < board.flash_bytes:
        here = f"{found // 1024 // 1024} MB" if found else "no"
        raise WrongBoard(
            f"the board on {visit.port} has {here} flash, {board.name} needs {board.flash_bytes // 1024 // 1024} MB",
            "nothing was written; use another board, or name this one with --board",
        )


def _check_kept(visit: "_Visit", planned: Plan, board: Board) -> None:
    """ImageRejected if a relay on the board has its keys where this image's table does not look for them."""
    try:
        here = {partition.name: partition for partition in read_table(visit.esp.read_flash(TABLE_OFFSET, TABLE_BYTES))}
    except ValueError:
        return  # blank, or something else was on it
    if any(name not in here for name in KEPT) or all(here[name] == planned.partitions[name] for name in KEPT):
        return
    if _is_blank(visit, here["keyring"]):
        return
    raise ImageRejected(
        f"the relay on {visit.port} has its keys at another place in flash than this image of {board.name} expects",
        "nothing was written; keep the relay's own version, or erase its keys first with `tessera flash factory-reset`",
    )


def _is_blank(visit: "_Visit", partition: Partition) -> bool:
    digest: str = visit.esp.flash_md5sum(partition.offset, partition.length)
    return digest == hashlib.md5(BLANK * partition.length).hexdigest()


# --- Writing ---------------------------------------------------------------------------------------------------------


def _write(visit: "_Visit", planned: Plan, progress: Progress) -> None:
    """Segment by segment; write_flash compares the MD5 of each with the one the chip computes over its flash."""
    total = sum(len(segment.content) for segment in planned.segments)
    done = 0
    visit.state = _WRITING
    for segment in planned.segments:
        progress(done, total)
        with _parts_to(_share(progress, done, len(segment.content), total)):
            _write_segment(visit, segment)
        done += len(segment.content)
    progress(total, total)
    visit.state = _WRITTEN


def _write_segment(visit: "_Visit", segment: Segment) -> None:
    """A second time if need be, at the rate of the first contact: a poor cable may bear that one only."""
    try:
        write_flash(visit.esp, [(segment.offset, segment.content)], skip_flashed=True)
    except FatalError:
        if not visit.answers():
            raise
        visit.esp.change_baud(BAUD_RATE)
        write_flash(visit.esp, [(segment.offset, segment.content)], skip_flashed=True)


def _share(progress: Progress, start: int, length: int, total: int) -> Progress:
    """esptool's bar counts compressed bytes: what it shows is a share of the segment."""
    return lambda part, of: progress(start + length * part // max(of, 1), total)


# --- The visit -------------------------------------------------------------------------------------------------------


class _Visit:
    """A chip's loader, from opening the port to starting what is in the flash, with errors in our terms.

    esp: esptool's object for the chip. state: what to tell of the board if it stops answering now.
    """

    def __init__(self, port: str, logger: Logger) -> None:
        self.port = port
        self.state = _UNTOUCHED
        self.esp: Any = None
        self._logger = logger
        self._gone = False

    def __enter__(self) -> "_Visit":
        _OUTPUT.line = self._logger
        # Opened here and not by esptool: it is closed for certain, and errors of opening say which they are. With a
        # timeout: esptool reads without one where it waits for its stub to start, and would wait for ever.
        self._line = open_port(self.port)
        self._line.timeout = DEFAULT_TIMEOUT
        try:
            self._take(detect_chip(self._line, BAUD_RATE))
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        told = self._explained(error) if isinstance(error, FAILURES) else None
        try:
            if not self._gone:
                self._restart()
        except FAILURES as failure:
            if error is None:
                error, told = failure, self._explained(failure)
        finally:
            _OUTPUT.line = _silent
            with suppress(*FAILURES):  # the cable was pulled
                self._line.close()
        if told:
            raise told from error

    @property
    def name(self) -> str:
        return str(self.esp.CHIP_NAME)

    @property
    def mcu(self) -> str:
        """As board.json writes it: esp32s3 for ESP32-S3."""
        return self.name.lower().replace("-", "")

    def is_locked(self) -> bool:
        """Whether eFuses let the chip run only what somebody else signed, or encrypted."""
        esp = self.esp
        return bool(esp.secure_download_mode or esp.get_flash_encryption_enabled() or esp.get_secure_boot_enabled())

    def chip(self) -> Chip:
        """The chip and its flash, which has to be attached."""
        size = None if self.esp.secure_download_mode else flash_size_bytes(detect_flash_size(self.esp))
        return Chip(self.mcu, self.name, size or 0)

    def use_stub(self) -> None:
        self._take(run_stub(self.esp))
        self.esp.change_baud(WRITING_BAUD)

    def _take(self, esp: Any) -> None:
        self.esp = esp
        # A cable that was pulled is reported. esptool would wait, and go on with whatever board is plugged in then.
        esp.WRITE_FLASH_ATTEMPTS = 1

    def _restart(self) -> None:
        """Leave the loader. Where nothing was written, what ran before runs again."""
        if self.esp is not None and self._line.is_open:
            reset_chip(self.esp, "hard-reset")

    def _explained(self, error: Exception) -> TesseraError:
        silent = BoardSilent(f"the board on {self.port} stopped answering", self.state)
        if isinstance(error, serial.SerialTimeoutException):
            return silent
        if not isinstance(error, FatalError):
            return self._gone_away()
        if not self._line.is_open:  # esptool closes it when nothing answers at all
            return BoardSilent(
                f"no ESP32 answers on {self.port}",
                f"{_UNTOUCHED}; hold its BOOT button while you plug it in, and repeat the command; if that does not "
                "help, try another cable: some only charge",
            )
        try:
            if not self.answers():
                return silent
        except FAILURES:
            return self._gone_away()
        if self.esp is None:
            return WrongBoard(f"the chip on {self.port} is not supported: {_words(error)}", _UNTOUCHED)
        return FlashFailed(
            f"the board on {self.port} does not take the image: {_words(error)}",
            f"{self.state}; if that fails with a short cable too, the board is broken",
        )

    def _gone_away(self) -> BoardSilent:
        self._gone = True
        return BoardSilent(f"the board on {self.port} went away", self.state)

    def answers(self) -> bool:
        """Whether there is still a loader behind an error of esptool's, whose words do not tell."""
        loader = self.esp or ESPLoader(self._line, BAUD_RATE)
        for _ in range(3):
            try:
                loader.flush_input()
                loader.sync()
                return True
            except FatalError:
                pass
        return False


def _words(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


# --- What esptool prints ---------------------------------------------------------------------------------------------


class _Output(TemplateLogger):  # type: ignore[misc]  # esptool carries no types
    """esptool's logger while it works for us: whole lines go to `line`, the figures of its bar to `part`."""

    def __init__(self) -> None:
        self.line: Logger = _silent
        self.part: Progress = _no_progress
        self._begun = ""

    def print(self, *args: Any, **kwargs: Any) -> None:
        self._begun += " ".join(str(argument) for argument in args) + str(kwargs.get("end", "\n"))
        *lines, self._begun = self._begun.split("\n")
        for line in lines:
            if line.strip():
                self.line(line.strip())

    def note(self, message: str) -> None:
        self.print(f"Note: {message}")

    def warning(self, message: str) -> None:
        self.print(f"Warning: {message}")

    def error(self, message: str) -> None:
        self.print(f"Error: {message}")

    def stage(self, finish: bool = False) -> None:
        """Nothing is collapsed: whoever asks for these lines wants them all."""

    def set_verbosity(self, verbosity: str) -> None:
        """What is shown is decided by whoever gave `line`."""

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        self.part(cur_iter, total_iters)


@contextmanager
def _parts_to(part: Progress) -> Iterator[None]:
    _OUTPUT.part = part
    try:
        yield
    finally:
        _OUTPUT.part = _no_progress


_OUTPUT = _Output()
log.set_logger(_OUTPUT)  # once: what takes its place could not be replaced again
