"""How a card comes in, as text, file or from standard input, and goes out, printed or into a new file.

Owns that nothing is overwritten, and that what is made only once is not lost. What is on a card is protocol's business.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from .. import files
from ..errors import InvalidInput, UsageError
from .output import show

CARD_PREFIX = "tessera:"
STDIN = "-"


def card_text(card: str) -> str:
    """The text of a card that was named by its file, by '-', or by itself."""
    if card.startswith(CARD_PREFIX):
        return card
    return _piped() if card == STDIN else files.read_text(Path(card))


def _piped() -> str:
    try:
        return sys.stdin.read(files.MAX_BYTES)
    except UnicodeDecodeError:
        raise InvalidInput("what came from standard input is not text", "pipe a card in, or name its file") from None


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
