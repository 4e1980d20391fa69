"""A process of another program, as the supervisor has it: what it says line by line, its end in order or at once."""

import asyncio
import contextlib
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Self

from ..errors import TesseraError
from .supervisor import IN_ORDER

_LONGEST_LINE_BYTES = 1 << 16
_ENDS_WITH_US = ("--pdeathsig", "INT", "--")  # options of Linux's setpriv: in order, even if we are killed


class Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Not for callers: use `start`."""
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Self:
        """Raises TesseraError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *_ending_with_us(command),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LONGEST_LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for the supervisor, which then stops the others in order
            )
        except OSError as error:
            raise TesseraError(
                f"{command[0]} cannot be started: {error.strerror}", "check that it exists and that you may run it"
            ) from None
        return cls(process)

    async def lines(self) -> AsyncIterator[str]:
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            try:
                line = await stdout.readline()
            except ValueError:  # longer than any that a relay says
                continue
            if not line:
                return
            yield line.decode(errors="replace").rstrip("\n")

    async def ended(self) -> str:
        status = await self._process.wait()
        if status < 0:
            return f"killed ({signal.Signals(-status).name})"
        return IN_ORDER if status == 0 else f"ended with exit code {status}"

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._process.terminate()
            else:
                self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


def _ending_with_us(command: Sequence[str]) -> list[str]:
    """The same process, without the supervisor ended in order: nobody else would, and its port stays taken."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    there = shutil.which(command[0])  # else it is for us to say that it is not
    return [setpriv, *_ENDS_WITH_US, *command] if setpriv and there else [*command]
