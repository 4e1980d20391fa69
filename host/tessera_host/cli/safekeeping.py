"""IT's commands for the day on which the issuer's computer is gone: `tessera issuer backup` and `restore`.

Owns what is typed and shown. What is in a backup is `issuer.backup`'s, what a restored issuer does before it says
anything `issuer`'s, and how that is shown `cli.renewing`'s.
"""

from pathlib import Path
from typing import Annotated

import typer

from ..issuer import backup
from ..issuer.issuer import Issuer
from ..keys import passphrase
from ..text import count
from . import renewing
from .opening import open_issuer
from .options import IssuerArgument, Json, PassphraseFile
from .output import show


def register(issuer_app: typer.Typer) -> None:
    """Add the commands of this module to `tessera issuer`."""
    issuer_app.command("backup")(issuer_backup)
    issuer_app.command("restore")(issuer_restore)


def issuer_backup(
    directory: IssuerArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, best on another computer or a USB stick.")],
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write the issuer into one encrypted file: keys, relays, roster, sets. The service may run meanwhile.

    It opens with the passphrase that the issuer has now. Make a backup after every change of relays or members, and
    keep it away from the issuer's computer.
    """
    with open_issuer(directory, passphrase_file) as issuer:
        issuer.back_up(file)
        members, relays = issuer.members_count, len(issuer.relays)
        serial = issuer.parameters.serial
    text = (
        f"{file} written, with {count(members, 'member')} and {count(relays, 'relay')}. It opens with the passphrase "
        f"that the issuer has now; remember it. If this computer is lost: tessera issuer restore {file.name} DIR"
    )
    show({"path": str(file), "members": members, "relays": relays, "serial": serial}, text, as_json)


def issuer_restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'tessera issuer backup' wrote.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="New directory for the issuer.")],
    sets: renewing.NewerSets = None,
    offline: renewing.Offline = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make the issuer anew from a backup, with new keys. Make sure that the old issuer is never used again.

    What the lost issuer did after the backup is not known. So no tokens are issued under the present keys, open
    invitations are void, and all keys are replaced within an epoch and a half (36 hours by default).
    """
    phrase = passphrase.obtain(passphrase_file, confirm=False)
    backup.restore(file, phrase, directory)
    with Issuer.open(directory, phrase) as issuer:
        renewing.go_on_after_a_restore(issuer, directory, sets, offline, as_json)
