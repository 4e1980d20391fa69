"""What the members' commands share: their options, how a keystore is opened, how a card comes in and goes out."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import config, files
from ..errors import InvalidInput, UsageError
from ..keys import passphrase
from ..keys.keystore import Secret
from ..member.state import KEYSTORE_NAME, MemberState
from .output import show

CARD_PREFIX = "tessera:"
STDIN = "-"

Home = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="TESSERA_HOME",
        help="Directory of the member's keystore.",
        default_factory=lambda: config.home(),
    ),
]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File whose first line is the keystore's passphrase.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="New file for the card; without it, it is printed.")
]
CardIn = Annotated[str, typer.Argument(help="The card: its file, '-' for standard input, or its text.", metavar="CARD")]
RelayName = Annotated[str | None, typer.Option("--relay", help="Name of the relay; the home relay if not given.")]
ContactName = Annotated[str, typer.Argument(metavar="CONTACT", help="Name of the contact.")]


def open_member(home: Path, passphrase_file: Path | None) -> MemberState:
    return MemberState.open(home, passphrase.secret_for(home / KEYSTORE_NAME, passphrase_file))


def member_opener(home: Path, passphrase_file: Path | None) -> Callable[[], MemberState]:
    """For commands that open the keystore several times: the passphrase is obtained once, at the first."""
    known: list[Secret] = []

    def opened() -> MemberState:
        if not known:
            known.append(passphrase.secret_for(home / KEYSTORE_NAME, passphrase_file))
        return MemberState.open(home, known[0])

    return opened


def card_text(card: str) -> str:
    if card.startswith(CARD_PREFIX):
        return card
    return _piped() if card == STDIN else files.read_text(Path(card))


def _piped() -> str:
    try:
        return sys.stdin.read(files.MAX_BYTES)
    except UnicodeDecodeError:
        raise InvalidInput("what came from standard input is not text", "pipe a card in, or name its file") from None


def check_new_file(output: Path | None) -> None:
    """Before anything changes. Raises UsageError."""
    if output is not None and output.exists():
        raise UsageError(f"{output} exists already and is not overwritten", "choose another file with -o")


def deliver(output: Path | None, as_json: bool, make: Callable[[], tuple[str, dict[str, Any], str]]) -> None:
    """Make a card and write or print it. `make` gives the card, what else to report, and a line on what to do next."""
    check_new_file(output)
    card, result, next_step = make()
    if output is not None:
        files.write(output, (card + "\n").encode())
    place = str(output) if output else None
    show({**result, "card": card, "path": place}, f"{place} written.\n{next_step}" if place else card, as_json)
    if place is None and not as_json:
        typer.echo(next_step, err=True)


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
