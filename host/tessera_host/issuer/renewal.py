"""The next parameter set: from which epoch on it governs, and which keys are new in it (PROTOCOL §2, §15).

Owns that arithmetic and the order within one change: sessions under keys that go are aborted before a set is shown.
Leaves to others: which request needs which kind of set (issuer.py), the bytes (signer.py), where sets are kept
(sets.py).

A set of the same generation begins with the open epoch: its keys are the same keys, and more of them. A new generation
of keys begins later, so that everybody has fetched tokens when it does; but where another waits to begin, in its place
and then: whoever that one takes out is out when IT was told, however many follow.

A relay that is new, in its own place or in another's, has keys of its own, which nobody was given tokens for yet: they
begin with the open epoch, so that members can write there at once. Where a generation waits it is listed in a set of
the one that is running, too, which comes before the one that waits and is what that relay begins with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tessera.params import Head, Parameters

from .relay_list import RelayList
from .sets import Kept, KeyOf, Sets
from .signer import Content, ParameterSigner, rules_of, schedule
from .store import IssuerStore, said

LEFT_PART = 3  # a schedule is renewed by itself when a third of it is left


@dataclass(frozen=True)
class Change:
    """What is new in a set beside its schedule.

    generation: its epoch keys are others, so tokens that were issued are worth nothing from its first epoch on. rotate:
    access key and reading key are others. relay: one is new. at_once: a new generation begins with the next epoch,
    whoever has fetched tokens by then or not. rules: those of a new plan. epochs: the schedule's length from now on.
    """

    generation: bool = False
    rotate: bool = False
    relay: bool = False
    at_once: bool = False
    rules: Mapping[str, Any] | None = None
    epochs: int | None = None


def sign_first(data: Kept, rules: Mapping[str, Any], epoch: int, now: int) -> None:
    """Sign the first set of a new federation, whose keystore holds `data`, while `epoch` is open. now: unix seconds.
    Raises UsageError."""
    data["generation"] = {"number": 1, "first_epoch": epoch}
    _rotate(data, rules["federation_id"], now)
    _sign(data, rules, (0, bytes(32)), _Keys(1, epoch), epoch, now)


def sign_next(store: IssuerStore, change: Change, epoch: int, now: int, after: tuple[int, bytes] | None = None) -> None:
    """Sign the next set from what the keystore holds, while `epoch` is open; call it within a change of the store.
    after: (serial, digest) of the set before, if that is not the newest here; now: unix seconds. Raises UsageError."""
    data, sets = store.data, store.sets
    present = sets.newest.parameters
    if change.epochs is not None:
        data["epochs"] = change.epochs
    if change.rotate:
        _rotate(data, present.federation_id, now)
    if change.generation:
        first = epoch + 1 if change.at_once else first_epoch_of_a_generation(present, now)
        if (waiting := data["generation"]["first_epoch"]) > epoch:  # it takes the place of one that has not begun
            first = min(first, waiting)
        data["generation"] = {"number": data["generation"]["number"] + 1, "first_epoch": first}
        store.issuance.new_generation(kept=sets.in_force(epoch).parameters.generation)
    place = after or (present.serial, present.digest)
    newest = _Keys(data["generation"]["number"], max(epoch, data["generation"]["first_epoch"]))
    running = sets.running(epoch).parameters
    if change.relay and newest.first_epoch > epoch >= running.first_epoch:
        place = _sign(data, rules_of(running), place, _Keys(running.generation, epoch), epoch, now)
    _sign(data, rules_of(present) | dict(change.rules or {}), place, newest, epoch, now)


@dataclass(frozen=True)
class _Keys:
    """A generation of epoch keys, and the first epoch that a set has them for."""

    generation: int
    first_epoch: int


def _sign(
    data: Kept, rules: Mapping[str, Any], before: tuple[int, bytes], keys: _Keys, epoch: int, now: int
) -> tuple[int, bytes]:
    """before: serial and digest of the set before, zeros if there is none. Those of this one."""
    sets, signer = Sets(data), ParameterSigner(data["root_secret"], data["master"])
    relays = RelayList(data["relays"]).keys()
    content = Content(
        serial=before[0] + 1,
        previous=before[1],
        generation=keys.generation,
        first_epoch=keys.first_epoch,
        epochs=schedule(rules, data["epochs"], len(relays)),
        access_key=sets.access_key,
        reading_key=data["reading_key"],
        said=said(data),
        relays=relays,
    )
    nobody_has_another = before[0] == 0 or not sets.newest.parameters.relay_count
    since = keys.first_epoch if nobody_has_another else max(keys.first_epoch, epoch + 1)
    blob = signer.signed(rules, content)
    sets.add(blob, data["reading_key"], since, epoch, now)
    return content.serial, Head(blob).digest


def _rotate(data: Kept, federation_id: bytes, now: int) -> None:
    """New access and reading keys."""
    sets = Sets(data)
    sets.replace_access_key(access_key_of(data, federation_id), now)
    signer = ParameterSigner(data["root_secret"], data["master"])
    data["reading_key"] = signer.reading_key(federation_id, sets.rotations)


def access_key_of(data: Kept, federation_id: bytes) -> KeyOf:
    """A function that gives the access key (32 bytes) of a number."""
    return partial(ParameterSigner(data["root_secret"], data["master"]).access_key, federation_id)


def first_epoch_of_a_generation(present: Parameters, now: int) -> int:
    """The first epoch that begins at least half an epoch from now."""
    seconds = present.epoch_rounds * present.round_seconds
    return max(0, -((present.genesis - now - (seconds + 1) // 2) // seconds))


def is_due(present: Parameters, epoch: int) -> bool:
    """Whether a third of the schedule is left, or less."""
    return (present.end_epoch - epoch) * LEFT_PART <= present.epochs
