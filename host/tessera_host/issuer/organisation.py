"""A whole organisation in one directory, for demonstrations and trials: issuer, one relay, the passphrase in a file.

Owns that layout, and that one program at a time makes it. Leaves to others: the issuer and the relay in it. Whoever
means it makes them apart, with `tessera issuer init` on IT's machine and `tessera relay new`.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from tessera.errors import InvalidObject
from tessera.params import Head

from .. import files
from ..errors import Unreachable, UsageError
from ..planning.plan import Plan
from .issuer import Issuer
from .relay_directory import PARAMETERS
from .signer import EPOCHS_MAX

PASSPHRASE = "passphrase"
ISSUER = "issuer"
RELAY = "relay"
LOCK = "lock"
UNFINISHED = "unfinished"  # is there from before the first file of an organisation until after the last


@contextmanager
def opened(
    directory: Path, planning: Callable[[], Plan], name: str, port: int, host: str = "127.0.0.1"
) -> Iterator[bool]:
    """The organisation in a directory, made if there is none; whether it was made. host, port: where its members are
    told that the relay is.

    Until the block ends, in which the caller takes the relay's own lock, no other program makes or opens it. An
    organisation is made in a directory that is new, empty, or has one whose making was cut short. Raises UsageError if
    it cannot be made there, Unreachable if another program is at it.
    """
    planned = None
    if not _exists(directory):
        planned = planning()
        if not (directory / LOCK).exists():  # else what lies there may be another start's, which is at it or done
            _check_new(directory)
    with _locked(directory):
        made = planned is not None and not _exists(directory)
        if planned is not None and made:
            _check_new(directory)
            _make(directory, planned, name, host, port)
        _check_version(directory)
        (directory / UNFINISHED).unlink(missing_ok=True)
        yield made


def _exists(directory: Path) -> bool:
    """Whether an organisation was made there, wholly: its relay's parameters are written last."""
    return (directory / RELAY / PARAMETERS).exists()


def _check_version(directory: Path) -> None:
    """Raise UsageError for what an older version of tessera made."""
    try:
        Head((directory / RELAY / PARAMETERS).read_bytes())
    except (OSError, InvalidObject) as error:
        raise UsageError(
            f"{directory} has no organisation that this version of tessera can start: {error}",
            "if an older version made it, remove it or name another directory: the next start makes a new one",
        ) from None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = filelock.FileLock(directory / LOCK, timeout=0, mode=0o600)
        lock.acquire()  # it ends with the program, however that ends
    except filelock.Timeout:
        raise Unreachable(
            f"another program is making or starting an organisation in {directory}",
            "leave it to that one, or name another directory",
        ) from None
    except OSError as error:
        raise UsageError(f"{directory} cannot be used: {error.strerror}", "name a directory of your own") from None
    try:
        yield
    finally:
        lock.release()


def _make(directory: Path, planned: Plan, name: str, host: str, port: int) -> None:
    _remove_unfinished(directory)
    directory.chmod(0o700)  # it may have been there
    files.write(directory / UNFINISHED, b"")
    passphrase = secrets.token_urlsafe(16)
    files.write(directory / PASSPHRASE, passphrase.encode() + b"\n")
    with Issuer.create(directory / ISSUER, passphrase, planned, name, epochs=EPOCHS_MAX) as issuer:
        issuer.add_relay("demonstration", host, port, directory / RELAY)


def _check_new(directory: Path) -> None:
    """Raise UsageError if something lies there that is not ours to touch: what a making that was cut short left is
    ours, an issuer that somebody keeps there is not."""
    ours = {LOCK, UNFINISHED}
    if (directory / UNFINISHED).exists():
        ours |= {PASSPHRASE, ISSUER, RELAY}
    try:
        strangers = [path.name for path in directory.iterdir() if path.name not in ours and not files.is_rest(path)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{directory} cannot be used: {error.strerror}", "name a new directory") from None
    if strangers:
        raise UsageError(f"{directory} has something else in it: {min(strangers)}", "name a new directory")


def _remove_unfinished(directory: Path) -> None:
    """Nobody can have used what has no parameters yet."""
    rests = [path for path in directory.iterdir() if files.is_rest(path)]
    for path in (*directory.glob(f"{RELAY}/*"), *directory.glob(f"{ISSUER}/*"), directory / PASSPHRASE, *rests):
        path.unlink(missing_ok=True)
