"""A whole organisation in one directory, for demonstrations and trials: issuer, one relay, the passphrase in a file.

Owns that layout. Leaves to others: the issuer and the relay in it. Whoever means it makes them apart, with `tessera
issuer init` on IT's machine and `tessera relay new`.
"""

import secrets
from pathlib import Path

from .. import files
from ..errors import UsageError
from ..planning import plan
from .issuer import Issuer
from .signer import EPOCHS_MAX

PASSPHRASE = "passphrase"
ISSUER = "issuer"
RELAY = "relay"


def exists(directory: Path) -> bool:
    """Whether an organisation was made there, wholly: its relay's parameters are written last."""
    return (directory / RELAY / "parameters").exists()


def make(directory: Path, choice: plan.Choice, name: str, port: int) -> None:
    """Make it in a directory that is new, empty, or has one whose making was cut short. Raises UsageError."""
    planned = plan.make(choice)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_unfinished(directory)
    directory.chmod(0o700)  # it may have been there
    passphrase = secrets.token_urlsafe(16)
    files.write(directory / PASSPHRASE, passphrase.encode() + b"\n")
    with Issuer.create(directory / ISSUER, passphrase, planned, name, epochs=EPOCHS_MAX) as issuer:
        issuer.add_relay("demonstration", "127.0.0.1", port, directory / RELAY)


def _remove_unfinished(directory: Path) -> None:
    """Nobody can have used what has no parameters yet; anything else that lies there is not ours to touch."""
    known = {directory / PASSPHRASE, directory / ISSUER, directory / RELAY}
    strangers = [path.name for path in directory.iterdir() if path not in known]
    if strangers:
        raise UsageError(f"{directory} has something else in it: {strangers[0]}", "name a new directory")
    for path in (*directory.glob(f"{RELAY}/*"), *directory.glob(f"{ISSUER}/*"), directory / PASSPHRASE):
        path.unlink(missing_ok=True)
