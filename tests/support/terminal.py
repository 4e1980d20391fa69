"""A person at a terminal: types at real prompts, reads what a screen of 100 by 40 shows.

Owns the terminal (pexpect) and its screen (pyte). What is typed and what should be there is the test's business.
"""

import os
import re
import signal
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pexpect
import pyte
from pexpect.fdpexpect import fdspawn

from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import NURSERY

COLUMNS, LINES = 100, 40
_UNTIL_IT_LISTENS_SECONDS = 0.05  # as pexpect's own: from a prompt to what is typed


class _Command(fdspawn):
    """`tessera WORDS…` at a terminal, from a process that has the package imported (nursery.py); as pexpect's spawn."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str], **options: Any) -> None:
        ours, its = os.openpty()
        termios.tcsetwinsize(its, (LINES, COLUMNS))
        try:
            self._started = NURSERY.start(words, folder, environment, [its] * 3)
        finally:
            os.close(its)
        super().__init__(ours, **options)

    def send(self, text: str) -> int:
        time.sleep(_UNTIL_IT_LISTENS_SECONDS)
        return int(super().send(text))

    def sendcontrol(self, letter: str) -> int:
        return self.send(chr(ord(letter.upper()) - ord("A") + 1))

    def close(self, force: bool = False) -> None:
        """Its exit status is known then."""
        if self.closed:
            return
        if force:
            with suppress(ProcessLookupError):
                os.kill(self._started.pid, signal.SIGKILL)
        super().close()
        self.exitstatus = self._started.end()


_READING: dict[str, Any] = {"encoding": "utf-8", "codec_errors": "replace", "timeout": PATIENCE_SECONDS}


class Terminal:
    """One window: one command after another, everything that was ever shown is in `shown`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TESSERA_PASS", "XDG_"))}
        self._environment = kept | {"HOME": str(folder), "TERM": "xterm-256color"} | environment
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.Stream(self._screen)
        self._child: pexpect.spawn[str] | _Command | None = None
        self.shown = ""

    def run(self, *words: object) -> None:
        """Start `tessera …`."""
        self._show(_Command([str(word) for word in words], self._folder, self._environment, **_READING))

    def run_program(self, *command: object) -> None:
        program, *words = map(str, command)
        size = (LINES, COLUMNS)
        folder = str(self._folder)
        self._show(pexpect.spawn(program, words, cwd=folder, env=self._environment, dimensions=size, **_READING))

    def _show(self, child: "pexpect.spawn[str] | _Command") -> None:
        self._screen.reset()
        self._child = child
        child.logfile_read = self  # type: ignore[assignment]

    def write(self, text: str) -> None:
        """What the program printed, from pexpect."""
        self.shown += text
        self._stream.feed(text)

    def flush(self) -> None:
        """pexpect wants a file."""

    def read(self, wanted: str) -> None:
        """Wait until this text was printed."""
        try:
            self._running.expect_exact(wanted)
        except (pexpect.TIMEOUT, pexpect.EOF):
            raise AssertionError(f"{wanted!r} did not appear; the screen:\n{self.screen()}") from None

    def find(self, pattern: str) -> str:
        """Wait until the pattern was printed; its group."""
        try:
            self._running.expect(pattern)
        except (pexpect.TIMEOUT, pexpect.EOF):
            raise AssertionError(f"{pattern!r} did not appear; the screen:\n{self.screen()}") from None
        assert isinstance(self._running.match, re.Match)
        return str(self._running.match.group(1))

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        self._running.sendline(line)

    def press(self, letter: str) -> None:
        """Press Ctrl and a letter."""
        self._running.sendcontrol(letter)

    def done(self, code: int = 0) -> None:
        """Wait for the end of the command, with this exit status and no traceback."""
        self._running.expect(pexpect.EOF)
        self._running.close()
        assert self._running.exitstatus == code, (self._running.exitstatus, self.screen())
        assert "Traceback" not in self.shown

    def screen(self) -> str:
        """What stands on the screen, without the blanks at the ends of lines."""
        return "\n".join(line.rstrip() for line in self._screen.display).strip()

    def close(self) -> None:
        """End what still runs."""
        if self._child is not None:
            self._child.close(force=True)

    @property
    def _running(self) -> "pexpect.spawn[str] | _Command":
        assert self._child is not None
        return self._child
