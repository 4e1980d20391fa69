"""How a card comes in, as text, file, from standard input or pasted, and goes out, printed or into a new file.

Owns that nothing is overwritten, and that what is made only once is not lost. What is on a card is protocol's business.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from .. import files
from ..errors import InvalidInput, UsageError
from ..protocol import card_finding
from .output import show

STDIN = "-"


def card_text(given: str, *kinds: str) -> str:
    """The card that was named by its file, by '-', or by itself: whatever a mail program put around it. Of several the
    one of the last of these kinds. Raises InvalidInput."""
    return card_finding.one(given_text(given), *kinds)


def given_text(given: str) -> str:
    """What was named by its file, by '-', or by itself. Raises InvalidInput, and never shows what may be a secret."""
    if card_finding.is_one(given):
        return given
    if given == STDIN:
        return _text(sys.stdin.buffer.read(files.MAX_BYTES), "what came from standard input")
    if card_finding.is_piece(given) and not os.path.exists(given):
        raise InvalidInput(
            "this is neither a whole card nor a file", "copy the whole line, or put it into a file and name the file"
        )
    return _text(files.read(Path(given)), given)


def _text(data: bytes, what: str) -> str:
    """Of a mail in an old encoding no more is wanted than the card in it."""
    try:
        return files.decoded(data)
    except UnicodeDecodeError:
        if b"\0" in data:
            raise InvalidInput(f"{what} is not text", "pipe a card in, or name its file") from None
        return data.decode("latin-1")


def is_card(given: str) -> bool:
    """Whether an argument that may be a name, too, is a card or names one: its file, or '-'."""
    return given == STDIN or card_finding.is_piece(given) or os.path.isfile(given)


def pasted(typed: str, ask: Callable[[str], str]) -> str:
    """What was typed when a card was asked for: a card in a line, or in several as a mail program breaks it, or the
    name of a file, whose text this gives."""
    if not card_finding.is_one(typed):
        return given_text(str(Path(typed.strip("'\"")).expanduser()))
    while not card_finding.is_whole(typed):
        rest = ask("The card is not whole yet. Paste the rest of it, or press Enter to begin again: ")
        if not rest:
            break
        typed += f"\n{rest}"
    return typed


def check_new_file(out: Path | None) -> None:
    """Before anything changes: what is made once must find its place. Raises UsageError."""
    if out is None:
        return
    if out.exists():
        raise UsageError(f"{out} exists already and is not overwritten", "choose another file with -o")
    files.write(out, b"")
    out.unlink()


def deliver(out: Path | None, as_json: bool, make: Callable[[], tuple[str, dict[str, Any], str]]) -> None:
    """Make a card and write or print it. `make` gives the card, what else to report, and a line on what to do next."""
    check_new_file(out)
    card, result, next_step = make()
    if out is not None:
        files.write(out, (card + "\n").encode())
    place = str(out) if out else None
    show({**result, "card": card, "path": place}, f"{place} written.\n{next_step}" if place else card, as_json)
    if place is None and not as_json:
        typer.echo(next_step, err=True)
