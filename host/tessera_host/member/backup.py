"""Backups of a member's keystore, and what holds after one was restored (PROTOCOL §7).

Owns the backup file, what of an old state must not be used again, and the hold on sending. A backup is old: what the
lost computer used since, nobody knows. So no key of an epoch it may have sent in is used (the hold), message numbers
go on in a range of their own, and whatever was half done is dropped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clock import Clock, local_time
from ..errors import NotPermitted
from ..keys import keystore
from ..keys.keystore import Keystore, Secret
from ..protocol.federation import CLOCK_ROUNDS, Federation
from ..protocol.records import GENERATION_MESSAGES, MAX_MESSAGE
from .accountant import Accountant

KIND = "member-backup"
# Two relays may be a round off this computer's clock each, one back and one ahead.
_APART_ROUNDS = 2 * CLOCK_ROUNDS


@dataclass(frozen=True)
class Restored:
    """What to tell: who it is, when the backup was made (unix seconds), for which epochs it has tokens that can be used
    still, how many meetings under way were dropped."""

    name: str
    made: int
    token_epochs: list[int]
    meetings_dropped: int


def write(store: Keystore, path: Path, passphrase: str | None, now: int) -> None:
    """A new file with all of an open keystore, under another passphrase or, without one, the keystore's own.

    Raises KeystoreError if there is a file of this name.
    """
    secret: Secret = store.derived_key if passphrase is None else passphrase
    keystore.write_apart(path, secret, KIND, {"made": now, "state": store.data})


def restore(path: Path, passphrase: str, target: Path, kind: str, new_passphrase: str | None, clock: Clock) -> Restored:
    """Make the keystore `target` out of a backup. Raises KeystoreError if there is one, or the backup is none."""
    content = keystore.read_apart(path, passphrase, KIND)
    data, made = content["state"], int(content["made"])
    restored = _made_safe(data, made, clock())
    Keystore.create(target, new_passphrase or passphrase, kind, data).close()
    return restored


def _made_safe(data: dict[str, Any], made: int, now: int) -> Restored:
    federation = Federation(data["federation"])
    round_ = max(federation.round_at(now), data["newest_round"])
    epoch = federation.epoch_of(round_)
    data["hold"] = {"restored": now, "epoch": None}
    for contact in data["contacts"]["book"].values():
        contact["next_message"] = max(contact["next_message"], first_message(epoch))
        contact["received"]["resync"] = True  # what the lost computer read and the relay does not have any more
    meetings = sum(len(data["contacts"].get(kind, ())) for kind in ("invites", "answers"))
    data["contacts"] |= {"invites": {}, "answers": {}}
    _forget_sessions(data["wallet"])
    _use_up_the_day(data, federation, now)
    epochs = {state["epoch"] for state in data["wallet"]["tokens"]}
    return Restored(data["name"], made, sorted(known for known in epochs if known >= epoch), meetings)


def first_message(epoch: int) -> int:
    """The first message number after a restore in this epoch: above all that can have been used before, as nothing is
    sent in the epoch of the restore. Raises NotPermitted where the numbers end."""
    number = (epoch + 1) * GENERATION_MESSAGES
    if number > MAX_MESSAGE - GENERATION_MESSAGES:
        raise NotPermitted("this federation is too old for a backup to be restored", "join anew, meet everyone again")
    return number


def _forget_sessions(wallet: dict[str, Any]) -> None:
    """A resumption id serves once, and it may have served; so may an offer. A challenge can be shown again."""
    wallet["requests"] = {}
    for token in wallet["tokens"]:
        token["resume"] = None


def _use_up_the_day(data: dict[str, Any], federation: Federation, now: int) -> None:
    """The lost computer may have sent as much as the office's budget allows."""
    allowed = Accountant([], federation).budget(now).allowed
    data["posts"] = [now] * allowed


class Hold:
    """A view of the keystore's map `{"restored", "epoch"}`, empty for who never restored a backup: before `epoch`
    nothing is sealed. Until a relay has confirmed the clock, nobody knows which epoch that is."""

    def __init__(self, state: dict[str, Any], federation: Federation) -> None:
        self._state = state
        self._federation = federation

    def clock_confirmed(self, open_round: int) -> None:
        """A relay's open round fits this computer's clock: the first time after a restore the hold gets its end."""
        if self._state and self._state["epoch"] is None:
            self._state["epoch"] = self._federation.epoch_of(open_round + _APART_ROUNDS) + 1

    def ends_at(self) -> int | None:
        """Unix seconds; in the past if there is none. None if no relay was reached since the restore."""
        if not self._state:
            return 0
        epoch = self._state["epoch"]
        if epoch is None:
            return None
        return self._federation.round_start(self._federation.first_round(epoch))

    def earliest(self, now: int) -> int:
        """When it ends if a relay is reached right away."""
        following = self._federation.epoch_of(self._federation.round_at(now) + _APART_ROUNDS) + 1
        return self._federation.round_start(self._federation.first_round(following))

    def check(self, epoch: int) -> None:
        """Raises NotPermitted in an epoch in which the lost computer may have sent."""
        end = self._state.get("epoch", 0)
        if end is None or epoch < end:
            since = self.ends_at()
            raise NotPermitted(
                "this keystore was restored from a backup: nothing is sent before "
                + ("a relay was reached" if since is None else local_time(since)),
                "the lost computer may have sent with the keys of this epoch; reading is possible",
            )
