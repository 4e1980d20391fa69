"""What a command shows: plain text for people, or with --json exactly one JSON object, on standard output."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from ..errors import NotPermitted, TesseraError, UsageError
from ..prompting import interruptible

# Of a message that this program cannot read.
NEWER = "(sent with a newer tessera than yours: update yours, then ask for it again)"


class ReaderGone(Exception):
    """Whoever read the output has ended: that is no failure of the command."""


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result of a command: `result` as JSON (bytes as hex), or `text`. It is out when this returns. Raises
    UsageError if it cannot be written; ReaderGone."""
    try:
        typer.echo(json.dumps(result, default=_hex) if as_json else text)
        sys.stdout.flush()
    except BrokenPipeError:  # which typer would make an exit code of its own of
        raise ReaderGone from None
    except OSError as error:
        raise UsageError(
            f"the output cannot be written: {error.strerror}", "make room, or write it elsewhere"
        ) from None


def end_with(warning: TesseraError) -> NoReturn:
    """End a command that did what it was asked for, and showed it, with a warning and its exit code."""
    say_wrong(warning.message, warning.hint, "warning")
    raise typer.Exit(warning.exit_code)


def say_wrong(message: str, hint: str, kind: str = "error") -> None:
    """On standard error: what is wrong, and on a line of its own what to do."""
    typer.echo(f"{kind}: {message}" + (f"\nhint: {hint}" if hint else ""), err=True)


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def check_sure(question: str, yes: bool, as_json: bool) -> None:
    """Before something is gone for good a person is asked; a script means what it says. Raises NotPermitted."""
    if yes or as_json or not has_terminal():
        return
    if not confirmed(question):
        raise NotPermitted("nothing was changed", "to do it without a question: --yes")


def confirmed(question: str) -> bool:
    """What the person at the terminal says."""
    with interruptible():
        return typer.confirm(question, err=True)


def confirmation(yes: bool, as_json: bool) -> Callable[[str], bool]:
    """Make a function that asks a person; it answers no where nobody can be asked."""

    def confirm(question: str) -> bool:
        if yes:
            return True
        return not as_json and sys.stdin.isatty() and confirmed(question)

    return confirm


def terminal_columns() -> int | None:
    """None if standard output is no terminal, and nobody breaks its lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_every_character() -> None:
    """On a console of few characters (cp1252) or of another encoding, the others are shown by their codes."""
    for stream in (sys.stdout, sys.stderr, sys.stdin):  # of what is typed, too: it is then no name that there is
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _hex(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
