"""The parameter sets that an issuer signed: the newest, those that may still be in force at a relay, and the places of
all in the chain.

Owns which of them is in force in which epoch as the issuer sees it, how long each is needed, and the keys of each:
reading keys, and the access keys of the last 400 days. Leaves to others: what the next set is (renewal.py), its bytes
(signer.py), the keystore that holds this (store.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from tessera.params import Parameters

from ..duration import DAY_SECONDS
from ..protocol.federation import is_whole
from ..protocol.limits import MOST_SETS_BESIDE

ACCESS_KEY_SECONDS = 400 * DAY_SECONDS  # how long whoever was away still gets to the service
MOST_SINCE_A_BACKUP = 256  # rotations of access keys that an issuer looks for after it was restored
LATE_EPOCHS = 1  # a relay that gets a set only in the set's first epoch has it in force from the next epoch on


KeyOf = Callable[[int], bytes]  # the access key of a number


class Kept(Protocol):
    """What the issuer's keystore holds once, by name."""

    def __getitem__(self, name: str, /) -> Any: ...

    def __setitem__(self, name: str, value: Any, /) -> None: ...


@dataclass(frozen=True)
class SignedSet:
    """A set, the reading key (32 bytes) whose hash is in it, and the first epoch in which it is in force if every relay
    gets it in time."""

    parameters: Parameters
    reading_key: bytes
    since: int


class Sets:
    """A view of what the issuer's keystore holds as `sets`, `{"signed", "access_keys"}`, and as `chain`; saves nothing.

    `signed` has the sets, oldest first, that may be in force at a relay in an epoch that is not over or still kept;
    `access_keys` has `{"number", "key", "replaced"}`,
    newest last, `replaced` in unix seconds, None for the one in use; the chain is the place of every set ever signed,
    which requests do not read.
    """

    def __init__(self, data: Kept) -> None:
        self._data = data
        self._state: dict[str, Any] = data["sets"]

    @staticmethod
    def empty() -> dict[str, Any]:
        return {"signed": [], "access_keys": []}

    # -- sets

    @property
    def newest(self) -> SignedSet:
        return _read(self._state["signed"][-1])

    def in_force(self, epoch: int) -> SignedSet:
        """The set that is in force in an epoch; the first set for epochs before its own."""
        signed = self._state["signed"]
        started = [each for each in signed if each["since"] <= epoch]
        return _read(started[-1] if started else signed[0])

    def running(self, epoch: int) -> SignedSet:
        """The newest set that has keys for this epoch, with which a relay that is new in it starts; the newest set of
        all if none has."""
        begun = [found for found in map(_read, self._state["signed"]) if found.parameters.first_epoch <= epoch]
        return begun[-1] if begun else self.newest

    def beside_newest(self, epoch: int) -> list[SignedSet]:
        """The other sets that may be in force at a relay in this epoch or in one that is kept, oldest first. Only the
        one that is `running` is whole: of the others, of which nobody needs token keys, it is one relay's copy."""
        running = self.running(epoch).parameters.digest
        return [_read(each, whole=_parsed(each["blob"]).digest == running) for each in self._useful(epoch)[:-1]]

    @property
    def chain(self) -> list[dict[str, Any]]:
        """`{serial, digest, previous, generation, first_epoch, signed}` of every set, oldest first; `signed` in unix
        seconds."""
        return [dict(place) for place in self._data["chain"]]

    def files(self) -> dict[str, bytes]:
        """The sets that are here whole, as contents by file name; a name always stands for the same set."""
        sets = (_parsed(each["blob"]) for each in self._state["signed"])
        return {f"{found.serial:05}-{_short(found.digest)}.tpr": found.blob for found in sets if is_whole(found)}

    def add(self, blob: bytes, reading_key: bytes, since: int, epoch: int, now: int) -> None:
        """Add a set that was signed while `epoch` is open, and drop those that are no longer needed. A set that waits
        for its first epoch stays, as relays have it. since: the first epoch in which it is in force; now: unix
        seconds."""
        self._state["signed"].append({"blob": blob, "reading_key": reading_key, "since": since})
        self._state["signed"] = self._useful(epoch)
        made = Parameters(blob)
        place = {name: getattr(made, name) for name in ("serial", "digest", "previous", "generation", "first_epoch")}
        self._data["chain"].append(place | {"signed": now})

    def _useful(self, epoch: int) -> list[dict[str, Any]]:
        """Those that no later one has governed in place of, at relays that are late, too, for all epochs that are kept;
        of many the one in force, and the newest."""
        signed = self._state["signed"]
        kept = _parsed(signed[-1]["blob"]).retention_epochs + LATE_EPOCHS
        over = [any(later["since"] + kept <= epoch for later in signed[place:]) for place in range(1, len(signed))]
        useful = [each for each, is_over in zip(signed, [*over, False], strict=True) if not is_over]
        started = [each for each in useful if each["since"] <= epoch][-1:]
        newest = useful[-MOST_SETS_BESIDE:]
        return [*(each for each in started if each not in newest), *newest]

    # -- access keys

    @property
    def access_key(self) -> bytes:
        """The access key (32 bytes) of new sets."""
        key: bytes = self._state["access_keys"][-1]["key"]
        return key

    def accepted_access_keys(self, now: int) -> list[bytes]:
        """The access keys (32 bytes each) that open a channel to the service, the newest first."""
        return [each["key"] for each in reversed(self._state["access_keys"]) if _accepted(each, now)]

    def replace_access_key(self, key_of: KeyOf, now: int) -> None:
        """Replace the access key by the next one, or make the first. key_of gives the key of a number."""
        known = [each for each in self._state["access_keys"] if _accepted(each, now)]
        if known:
            known[-1] = known[-1] | {"replaced": known[-1]["replaced"] or now}
        number = self.rotations + 1
        known.append({"number": number, "key": key_of(number), "replaced": None})
        self._state["access_keys"] = known

    def accept_access_keys(self, newest: bytes, key_of: KeyOf, now: int) -> None:
        """Accept all access keys up to `newest`, which were given out after the backup that this issuer was restored
        from."""
        if newest in (each["key"] for each in self._state["access_keys"]):
            return
        later = self.later_access_keys(key_of)
        for number, key in enumerate(later[: later.index(newest) + 1], self.rotations + 1):
            self._state["access_keys"].append({"number": number, "key": key, "replaced": now})

    def later_access_keys(self, key_of: KeyOf) -> list[bytes]:
        """The next MOST_SINCE_A_BACKUP access keys after the newest known one, the oldest first."""
        return [key_of(self.rotations + each) for each in range(1, MOST_SINCE_A_BACKUP + 1)]

    def take_found(self, blob: bytes, reading_key: bytes) -> None:
        """Take a set (whole, or a relay's copy) that was signed after the backup that this issuer was restored from, so
        that the next set follows it."""
        found = Parameters(blob)
        if found.serial > self.newest.parameters.serial:
            entry = {"blob": blob, "reading_key": reading_key, "since": int(found.first_epoch)}
            self._state["signed"].append(entry)

    @property
    def rotations(self) -> int:
        """The number of the newest access key."""
        return max((each["number"] for each in self._state["access_keys"]), default=0)


def pattern_of(digest: bytes) -> str:
    """A glob pattern for the file names, as `files` gives them, of sets with this digest (32 bytes)."""
    return f"*-{_short(digest)}.tpr"


def _short(digest: bytes) -> str:
    return digest.hex()[:8]


def _read(entry: dict[str, Any], whole: bool = True) -> SignedSet:
    found = _parsed(entry["blob"]) if whole else _one_relays(entry["blob"])
    return SignedSet(found, entry["reading_key"], entry["since"])


@lru_cache(maxsize=MOST_SETS_BESIDE + 1)
def _parsed(blob: bytes) -> Parameters:
    """A request looks at the newest set a dozen times; nobody changes one."""
    return Parameters(blob)


@lru_cache(maxsize=MOST_SETS_BESIDE + 1)
def _one_relays(blob: bytes) -> Parameters:
    """The set as one relay has it, if it is whole; nobody changes one."""
    found = _parsed(blob)
    return Parameters(found.copy_for(found.relays[0].id)) if is_whole(found) and found.relay_count else found


def _accepted(entry: dict[str, Any], now: int) -> bool:
    return entry["replaced"] is None or now < entry["replaced"] + ACCESS_KEY_SECONDS
