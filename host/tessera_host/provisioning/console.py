"""The console of a relay in service (firmware/device/console.py): one command a line, data lines, one answer.

Owns the line protocol's host side. Anything on the line that is not an answer is the relay's chatter.
"""

import json
import time
from types import TracebackType
from typing import Any, NamedTuple, Self

from ..errors import BoardSilent, RelayRefused
from .serial_line import SAFE, SerialLine

ANSWER_SECONDS = 15.0
ATTEMPTS = 3
STATUS_FIELDS = ("board", "name", "version", "firmware_digest", "state", "fault", "repl")
RELAY_FIELDS = ("static_key", "ledger_key", "serial", "parameter_digest", "open_round", "boots", "clock")


class Answer(NamedTuple):
    """The data lines of an answer without their marks, and the object at its end."""

    lines: list[bytes]
    result: dict[str, Any]


class CommandRefused(RelayRefused):
    """A relay's console refused a command. `code` is the word before the explanation (firmware/device/explain.py)."""

    def __init__(self, command: str, code: str, words: str) -> None:
        super().__init__(f"the relay refused '{command}': {words}", "check the relay: tessera flash verify")
        self.code = code


class AtPrompt(BoardSilent):
    """The board on the line is at MicroPython's prompt and does not run the relay."""


class Console:
    """The console of a relay on a serial port; a context manager that closes the port."""

    def __init__(self, device: str) -> None:
        """Raises BoardNotFound, PortDenied."""
        self.line = SerialLine(device)

    def close(self) -> None:
        self.line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(
        self, name: str, *arguments: str | int, seconds: float = ANSWER_SECONDS, attempts: int = ATTEMPTS
    ) -> Answer:
        """Ask a command and wait for its answer. Raises CommandRefused with the relay's words, BoardSilent if it does
        not answer in time.

        The command is sent again if the answer does not come or is damaged, so it must be one that may be repeated.
        """
        for _ in range(attempts):
            self.line.write(b"\r\n" + " ".join((name, *map(str, arguments))).encode() + b"\n")
            answer = self._answer(name, seconds)
            if answer is not None:
                return answer
        raise BoardSilent(f"the relay at {self.line.device} does not answer '{name}'", SAFE)

    def status(self, seconds: float = ANSWER_SECONDS, attempts: int = ATTEMPTS) -> dict[str, Any]:
        """What a relay says of itself. A damaged answer can be JSON without a field: it is asked for again."""
        for _ in range(ATTEMPTS):
            told = self.ask("status", seconds=seconds, attempts=attempts).result
            runs = not told.get("fault") and told.get("state") != "starting"
            if all(field in told for field in (STATUS_FIELDS + RELAY_FIELDS if runs else STATUS_FIELDS)):
                return told
        raise BoardSilent(f"the answers of the relay at {self.line.device} are damaged", "try another cable; " + SAFE)

    def _answer(self, name: str, seconds: float) -> Answer | None:
        """None if none came in time (each line starts it anew), or a damaged one."""
        data, refusal = b"-" + name.encode() + b" ", b"!" + name.encode() + b" "
        result = b"=" + name.encode() + b" "
        lines: list[bytes] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line = self.line.line(end - time.monotonic())
            if line is None:
                return None
            if line.startswith(data):
                lines.append(line[len(data) :])
                end = time.monotonic() + seconds
            elif line.startswith(refusal) or line.startswith(b"!? "):
                _, code, words = (line.decode(errors="replace") + "  ").split(" ", 2)
                raise CommandRefused(name, code, words.rstrip())
            elif line.startswith(b">>> "):
                raise AtPrompt(f"MicroPython's prompt answers at {self.line.device}, not a relay", SAFE)
            elif line.startswith(result):
                return _complete(lines, line[len(result) :])
        return None


def _complete(lines: list[bytes], text: bytes) -> Answer | None:
    try:
        result = json.loads(text)
    except ValueError:
        return None
    return Answer(lines, result) if isinstance(result, dict) else None
