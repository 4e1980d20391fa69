"""The commands around a keystore: unlocked for a while, locked, backed up, restored.

Owns what is typed and shown. What keeps an unlocked key is `unlocking`'s business, what a restored backup must not do
`backup`'s.
"""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from .. import config, duration
from ..clock import local_time
from ..errors import TesseraError
from ..issuer.store import KEYSTORE, KIND
from ..keys import passphrase, unlocking
from ..keys.keystore import Keystore, missing
from ..keys.keystore_database import KeystoreDatabase
from ..member import backup as backups
from ..member import pacing, state
from ..member.relay_sessions import RelaySessions
from ..member.state import MemberState
from ..text import count
from .options import Home, Json, NewPassphrase, PassphraseFile
from .output import show


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (unlock, lock, backup, restore):
        app.command()(command)


def unlock(
    home: Home,
    for_time: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="TIME", help="For how long: 30m, 8h, 2d. By default what config.toml says, or 8h."
        ),
    ] = None,
    issuer_directory: Annotated[
        Path | None, typer.Option("--issuer", metavar="DIR", help="The issuer's keystore in DIR instead of your own.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Type the passphrase once for some hours.

    No command asks for it until you lock, log out, or the time is over. The key stays in the memory of a small process
    of your own. Only programs that run as you can ask for it.
    """
    seconds = duration.seconds(for_time) if for_time else config.load().unlock_seconds
    path, kind = home / state.KEYSTORE_NAME, state.KIND
    if issuer_directory is not None:
        path, kind = issuer_directory / KEYSTORE, KIND
    if not path.exists():
        raise missing(path, kind)
    phrase = passphrase.obtain(passphrase_file, confirm=False)
    opened = Keystore.open if issuer_directory is None else KeystoreDatabase.open
    with opened(path, phrase, kind) as store:
        derived = store.derived_key
    unlocking.keep(path, derived, seconds)
    until = time.time() + seconds
    text = f"Unlocked until {local_time(until)} ({duration.text(seconds)}). Lock it again with: tessera lock"
    show({"keystore": str(path), "seconds": seconds, "until": int(until)}, text, as_json)


def lock(as_json: Json = False) -> None:
    """Forget every key that was unlocked."""
    locked = unlocking.forget()
    show({"locked": locked}, "Locked." if locked else "Nothing was unlocked.", as_json)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, best on another computer or stick.")],
    home: Home,
    new_passphrase: NewPassphrase = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Write your identity, contacts, messages and tokens into one encrypted file.

    Anyone who has the file and its passphrase can read what was and will be written to you, until your contacts make
    new keys with you. Make a new backup from time to time: contacts that you meet later are not in this one.
    """
    with MemberState.open(home, passphrase.secret_for(home / state.KEYSTORE_NAME, passphrase_file)) as own:
        backups.write(own, file, passphrase.ask_anew() if new_passphrase else None)
        contacts = len(own.contacts.book)
    text = f"{file} written, with {count(contacts, 'contact')}. It opens with {_whose(new_passphrase)}."
    show({"path": str(file), "contacts": contacts}, text, as_json)


def _whose(new_passphrase: bool) -> str:
    return "the passphrase you just chose" if new_passphrase else "the passphrase you have now; remember it"


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'tessera backup' wrote.")],
    home: Home,
    new_passphrase: NewPassphrase = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Restore a backup on this computer. Do not use the old computer any more: one identity is on one device.

    You can read at once. Nothing is sent before the next epoch (usually the next day), because the lost computer may
    have used the keys of the current one.
    """
    backups.check_places(file, home)
    phrase = passphrase.obtain(passphrase_file, confirm=False)
    chosen = passphrase.ask_anew() if new_passphrase else phrase
    found = backups.restore(file, phrase, home, chosen)
    with MemberState.open(home, chosen) as own:
        reached = _reach_relay(own)
        earliest = max(pacing.earliest(own), own.accountant.budget(own.now()).next_at or 0)
        ends = earliest if reached else None
        contacts = len(own.contacts.book)
    result = {"name": found.name, "made": found.made, "contacts": contacts, "send_from": ends}
    lines = [f"{found.name} is restored from {local_time(found.made)}, with {count(contacts, 'contact')}."]
    lines += [_when_to_send(ends, earliest), "You can read what came since: tessera inbox"]
    if found.meetings_dropped:
        lines.append(f"{count(found.meetings_dropped, 'meeting')} under way were dropped: begin anew.")
    lines.append(
        "If you met contacts or made new keys after that moment, do it again: tessera "
        "contact add, tessera contact rekey."
    )
    lines.append("Your contacts see that your device was restored. Make sure that the old one is not used any more.")
    show(result | {"token_epochs": found.token_epochs}, "\n".join(lines), as_json)


def _reach_relay(own: MemberState) -> bool:
    """A relay confirms the clock; from then on it is known when sending is safe."""
    try:
        asyncio.run(RelaySessions(own).status())
    except TesseraError:
        return False
    return True


def _when_to_send(ends: int | None, earliest: int) -> str:
    if ends is not None:
        return f"You can send again from {local_time(ends)}."
    return (
        f"Your relay cannot be reached now. You can send again from {local_time(earliest)} if it is "
        "reached before then (tessera status); otherwise a day after it is reached."
    )
