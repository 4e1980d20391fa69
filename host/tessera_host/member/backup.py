"""Backups of a member's keystore, and what holds after one was restored (PROTOCOL §7).

Owns the backup file and what of an old state must not be used again. A backup is old: what the
lost computer used since, nobody knows. So no key of an epoch it may have sent in is used (the hold), message numbers
go on in a range of their own, and whatever was half done is dropped.
"""

from dataclasses import dataclass
from pathlib import Path

from ..clock import Clock, unix_now
from ..errors import KeystoreError, NotPermitted
from ..keys import keystore
from ..keys.keystore import Keystore, Secret
from ..protocol.federation import Federation
from ..protocol.records import GENERATION_MESSAGES, MAX_MESSAGE
from . import schema
from .accountant import Accountant
from .schema import HoldState, MemberData, Tokens
from .state import KEYSTORE_NAME, MemberState, parsed
from .state import KIND as MEMBER_KIND

KIND = "member-backup"


@dataclass(frozen=True)
class Restored:
    """What to tell after a restore: the member's name, when the backup was made (unix seconds), the epochs for which it
    still has usable tokens, and how many open meetings were dropped."""

    name: str
    made: int
    token_epochs: list[int]
    meetings_dropped: int


def write(state: MemberState, path: Path, passphrase: str | None = None) -> None:
    """Write a new file with everything of a member, under `passphrase` or, without one, the keystore's own.

    Raises KeystoreError if there is a file of this name.
    """
    secret: Secret = state.store.derived_key if passphrase is None else passphrase
    keystore.write_apart(path, secret, KIND, {"made": state.now(), "state": schema.write(state.data)})


def check_places(path: Path, home: Path) -> None:
    """Check, before anything is asked, that there is a backup and no keystore yet. Raises KeystoreError."""
    if not path.is_file():
        raise KeystoreError(f"there is no file {path}", "check its name")
    if (home / KEYSTORE_NAME).exists():
        raise KeystoreError(
            f"{home / KEYSTORE_NAME} exists already and is not overwritten", "restore into another directory: --home"
        )


def restore(
    path: Path, passphrase: str, home: Path, new_passphrase: str | None = None, clock: Clock = unix_now
) -> Restored:
    """Make the directory `home` from a backup. Raises KeystoreError if it has a keystore already, or if the file is not
    a backup."""
    content = keystore.read_apart(path, passphrase, KIND)
    if not (isinstance(content, dict) and isinstance(content.get("state"), dict) and type(content.get("made")) is int):
        raise KeystoreError(f"{path} is not a backup that tessera wrote", "look for another one")
    data, made = schema.read(content["state"], path), content["made"]
    federation, _ = parsed(data, path)
    restored = _made_safe(data, federation, made, clock())
    Keystore.create(home / KEYSTORE_NAME, new_passphrase or passphrase, MEMBER_KIND, schema.write(data)).close()
    return restored


def _made_safe(data: MemberData, federation: Federation, made: int, now: int) -> Restored:
    round_ = max(federation.round_at(now), data.newest_round)
    epoch = federation.epoch_of(round_)
    data.hold = HoldState(now)
    for contact in data.contacts.book.values():
        contact.next_message = max(contact.next_message, first_message(epoch))
        received = contact.received
        received.resync = True  # what the lost computer read and the relay does not have any more
        received.missing, received.seen = [], {}
        for message in received.parts.values():
            message.since = None
        for view in contact.views:  # the sets that would explain it were taken by the lost computer, perhaps
            view.read, view.reached = epoch, None
    meetings = len(data.contacts.invites) + len(data.contacts.answers)
    data.contacts.invites, data.contacts.answers = {}, {}
    _forget_sessions(data.tokens)
    _use_up_the_day(data, federation, now)
    epochs = {token.epoch for token in data.tokens.tokens}
    return Restored(data.name, made, sorted(known for known in epochs if known >= epoch), meetings)


def first_message(epoch: int) -> int:
    """Compute the first message number after a restore in this epoch. It is above all numbers that can have been used,
    because nothing is sent in the epoch of the restore. Raises NotPermitted where the numbers end."""
    number = (epoch + 1) * GENERATION_MESSAGES
    if number > MAX_MESSAGE - GENERATION_MESSAGES:
        raise NotPermitted("this federation is too old for a backup to be restored", "join anew, meet everyone again")
    return number


def _forget_sessions(state: Tokens) -> None:
    """A resumption id serves once, and it may have served; so may an offer. A challenge can be shown again."""
    state.requests = {}
    for token in state.tokens:
        token.resume = None


def _use_up_the_day(data: MemberData, federation: Federation, now: int) -> None:
    """The lost computer may have sent as much as the office's budget allows."""
    data.departures = []
    Accountant(data.departures, federation).use_up(now)
