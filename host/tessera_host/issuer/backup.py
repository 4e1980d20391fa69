"""Backups of an issuer's keystore, and what becomes of one that is restored (PROTOCOL §12).

Owns the backup file: rows as in the keystore, sealed under the same key, so it opens with the passphrase that the
keystore had. It has what nobody could make again: keys, relays, roster, invitations, the sets that auditors need, the
inventory of boards.
Counts, open sessions and answers are not in it, as they are no use after a restore. Leaves to others: what has to
happen before a restored issuer says anything (issuer.py: restored).
"""

from collections.abc import Iterator
from pathlib import Path

from tessera.errors import InvalidObject
from tessera.params import Head

from .. import files
from ..errors import UsageError
from ..keys.keystore import Secret, make_directory
from ..keys.keystore_database import Content, KeystoreDatabase
from .invitations import Invitations
from .roster import Roster
from .sets import Sets
from .store import INVENTORY, KEYSTORE, PARAMETERS, SETS, TABLES, check_version
from .store import KIND as ISSUER_KIND

KIND = "issuer-backup"
_COPIED = (*Roster.TABLES, *Invitations.TABLES)
_FILES = "files"  # the table of those beside the keystore, by name


def write(keystore: KeystoreDatabase, directory: Path, path: Path, now: int) -> None:
    """Write a new file, mode 0600, with all that is worth keeping of the issuer in `directory`, whose keystore is
    held. now: unix seconds. Raises KeystoreError."""

    def change(copy: KeystoreDatabase) -> None:
        copy.data["made"] = now
        for path in _beside(directory):
            copy.table(_FILES).put(path.name.encode(), [path.name, path.read_bytes()])

    keystore.copy_apart(path, KIND, (*_COPIED, _FILES), Content(_COPIED, change))


def _beside(directory: Path) -> Iterator[Path]:
    yield from sorted((directory / SETS).glob("*.tpr"))
    if (directory / INVENTORY).exists():
        yield directory / INVENTORY


def restore(path: Path, secret: Secret, directory: Path) -> None:
    """Make an issuer's directory from a backup. The issuer signs and issues nothing before `Issuer.restored`. Raises
    KeystoreError, WrongPassphrase; UsageError for a directory that has an issuer, or another federation's files."""
    with KeystoreDatabase.read_apart(path, secret, KIND) as backup:
        check_version(backup, path)
        _check_place(backup, directory)
        made = backup.data["made"]

        def change(copy: KeystoreDatabase) -> None:
            copy.data["restored"] = made

        make_directory(directory)
        for name, content in backup.table(_FILES).values():
            path = directory / INVENTORY if name == INVENTORY else directory / SETS / Path(name).name
            if not path.exists():
                path.parent.mkdir(exist_ok=True, mode=0o700)
                files.write(path, content)
        backup.copy(directory / KEYSTORE, ISSUER_KIND, TABLES, Content(_COPIED, change))


def _check_place(backup: KeystoreDatabase, directory: Path) -> None:
    """What the same issuer published in the directory stays, and is gone on after."""
    if (directory / KEYSTORE).exists():
        raise UsageError(
            f"{directory} already has an issuer",
            "name a new directory; or, if you no longer need that issuer, first move its files issuer.keystore* away",
        )
    try:
        found = Head((directory / PARAMETERS).read_bytes())
    except FileNotFoundError:
        return
    except (OSError, InvalidObject):
        raise UsageError(f"{directory / PARAMETERS} is not a parameter set", "name a new directory") from None
    if found.federation_id != Sets(backup.data).newest.parameters.federation_id:
        raise UsageError(f"{directory} has files of another federation", "name a new directory")
