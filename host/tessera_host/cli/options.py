"""The options and arguments that commands of several modules share, each with one name and one text; and --out of all.

Owns no behaviour. What only the commands of one module take stands there.
"""

import unicodedata
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import config


def composed(name: str | None) -> str | None:
    """A name in the one spelling that is kept: keyboards and file systems write an accent apart from its letter."""
    return None if name is None else unicodedata.normalize("NFC", name)


# -- for everybody

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="File whose first line is the keystore's passphrase; by default the one that "
        "TESSERA_PASSPHRASE_FILE names, or you are asked.",
    ),
]
CardIn = Annotated[str, typer.Argument(help="The card: its file, '-' for standard input, or its text.", metavar="CARD")]
FederationCard = Annotated[
    str, typer.Option("--federation", help="The federation card from IT: its file, or '-' for standard input.")
]

# -- what is written: always a new file


def _out(text: str) -> Any:
    return typer.Option("--out", "-o", help=text)


CardOut = Annotated[Path | None, _out("New file for the card; without it, it is printed.")]
NextFileOut = Annotated[Path | None, _out("When joining by files: new file for what goes to IT next.")]
RenewalOut = Annotated[Path | None, _out("Without the issuer's service: new file for what goes to IT next.")]
InvitationOut = Annotated[Path | None, _out("New file for the invitation; without it, it is printed.")]
ReplyOut = Annotated[Path | None, _out("New file for the reply; without it, it is printed.")]
PlanOut = Annotated[Path | None, _out("Write the plan here, for issuer init.")]
LogOut = Annotated[Path | None, _out("Write the log here; without it, it is printed.")]

# -- members'

Home = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="TESSERA_HOME",
        help="Directory of your keystore; by default the one that config.toml names, or your user's data folder.",
        default_factory=lambda: config.home(),
        show_default=False,
    ),
]
HomeRelay = Annotated[
    str | None, typer.Option("--relay", help="Name of the relay; by default your home relay.", callback=composed)
]
ContactName = Annotated[str, typer.Argument(metavar="CONTACT", help="Name of the contact.", callback=composed)]
NextEpoch = Annotated[
    bool,
    typer.Option(
        "--wait",
        help="If your access for the current epoch (usually a day) was fetched only now, wait for "
        "the next epoch; before that, your IT could tell from the time which connection is "
        "yours.",
    ),
]
NewPassphrase = Annotated[
    bool, typer.Option("--new-passphrase", help="Choose another passphrase; it is asked for twice.")
]

# -- IT's

IssuerArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The issuer's directory.")]
IssuerDirectory = Annotated[
    Path, typer.Option("--issuer", envvar="TESSERA_ISSUER", help="The issuer's directory, with the inventory.")
]
ReachedHost = Annotated[
    str,
    typer.Option(
        "--host",
        help="Host name or address of the relay for members, or wss://HOST/PATH where only HTTP passes.",
    ),
]
ReachedPort = Annotated[int | None, typer.Option("--port", help="Its port for members, if it is not the usual one.")]
RelayName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the relay.", callback=composed)]
PluggedInRelay = Annotated[
    str | None, typer.Option("--relay", help="Name of the relay that is plugged in.", callback=composed)
]
Place = Annotated[
    str | None, typer.Option("--port", help="The board's serial port or BOOTSEL volume, if several are plugged in.")
]
AtOnce = Annotated[
    bool,
    typer.Option(
        "--now",
        help="Replace keys already with the next epoch: a member whose program has not fetched its own by then cannot "
        "read or post until it has.",
    ),
]
EveryCell = Annotated[
    bool, typer.Option("--every-cell", help="Recompute the cover of every cell, not only of sixteen.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before something is overwritten or removed.")]
