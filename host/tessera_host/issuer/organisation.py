"""A whole organisation in one directory, for demonstrations and trials: issuer, relays, the passphrase in a file.

Owns that layout, and that one program at a time makes it. Leaves to others: the issuer and the relays in it, and what
a cluster has besides (cluster/office.py). Whoever means it makes them apart, with `tessera issuer init` on IT's machine
and `tessera relay new`.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Layout:
    """What an organisation's directory contains: `relays`, the names of the relays' directories; `last`, the file that
    is written after all others. `busy` says in an error what the program does that has the directory."""

    relays: Sequence[str]
    last: str
    busy: str = "is making or starting an organisation in"


TRIAL = Layout((RELAY,), f"{RELAY}/{PARAMETERS}")


@contextmanager
def opened(
    directory: Path, planning: Callable[[], Plan], name: str, port: int, host: str = "127.0.0.1"
) -> Iterator[bool]:
    """Open the organisation with one relay in a directory, or make it; True if it was made. host, port: the relay's
    address for members. As `founded`; before the block ends the caller takes the relay's own lock.
    """

    def make(planned: Plan, passphrase: str) -> None:
        with Issuer.create(directory / ISSUER, passphrase, planned, name, epochs=EPOCHS_MAX) as issuer:
            issuer.add_relay("demonstration", host, port, directory / RELAY)

    with founded(directory, TRIAL, planning, make) as made:
        _check_version(directory)
        yield made


@contextmanager
def founded(
    directory: Path, layout: Layout, planning: Callable[[], Plan], make: Callable[[Plan, str], None]
) -> Iterator[bool]:
    """Open the organisation in a directory, or make it with make(plan, passphrase); True if it was made.

    Until the block ends no other program makes or opens it. An organisation is made in a directory that is new, empty,
    or has one whose making was cut short. Raises UsageError if it cannot be made there, Unreachable if another program
    is at it.
    """
    planned = None
    if not (directory / layout.last).exists():
        planned = planning()
        if not (directory / LOCK).exists():  # else what lies there may be another start's, which is at it or done
            _check_new(directory, layout)
    with _locked(directory, layout):
        made = planned is not None and not (directory / layout.last).exists()
        if planned is not None and made:
            _check_new(directory, layout)
            passphrase = _begin(directory, layout)
            make(planned, passphrase)
        (directory / UNFINISHED).unlink(missing_ok=True)
        yield made


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
def _locked(directory: Path, layout: Layout) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = filelock.FileLock(directory / LOCK, timeout=0, mode=0o600)
        lock.acquire()  # it ends with the program, however that ends
    except filelock.Timeout:
        raise Unreachable(
            f"another program {layout.busy} {directory}",
            "use that one, or name another directory",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{directory} cannot be used: {error.strerror}", "name a directory that you may write to"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _begin(directory: Path, layout: Layout) -> str:
    """A new passphrase, in its file."""
    _remove_unfinished(directory, layout)
    directory.chmod(0o700)  # it may have been there
    files.write(directory / UNFINISHED, b"")
    passphrase = secrets.token_urlsafe(16)
    files.write(directory / PASSPHRASE, passphrase.encode() + b"\n")
    return passphrase


def _check_new(directory: Path, layout: Layout) -> None:
    """Raise UsageError if something lies there that is not ours to touch: what a making that was cut short left is
    ours, an issuer that somebody keeps there is not."""
    ours = {LOCK, UNFINISHED}
    if (directory / UNFINISHED).exists():
        ours |= {PASSPHRASE, ISSUER, *layout.relays}
    try:
        strangers = [path.name for path in directory.iterdir() if path.name not in ours and not files.is_rest(path)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{directory} cannot be used: {error.strerror}", "name a new directory") from None
    if strangers:
        raise UsageError(f"{directory} already has other files, such as {min(strangers)}", "name a new directory")


def _remove_unfinished(directory: Path, layout: Layout) -> None:
    """Nobody can have used what has no parameters yet."""
    rests = [path for path in directory.iterdir() if files.is_rest(path)]
    parts = [path for name in (ISSUER, *layout.relays) for path in directory.glob(f"{name}/*")]
    for path in (*parts, directory / PASSPHRASE, *rests):
        path.unlink(missing_ok=True)
