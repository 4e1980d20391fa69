"""What the office says and this member takes over, wherever it comes from: the issuer's service, a file, a relay.

Owns that nothing of it is accepted before it was weighed against what was accepted before, and that proof is kept where
the two exclude each other. What is accepted, and which set governs what, is said in `protocol.federation`; who asks
whom, in `issuer_visit`, `joining_files` and `relay_sessions`.
"""

from tessera.errors import InvalidObject
from tessera.params import Parameters, TimeStatement

from .. import duration
from ..errors import ClockOff, IntegrityError
from ..protocol import cards, sealed_reading_key
from ..protocol.federation import CLOCK_ROUNDS, Federation
from ..protocol.sets_beside import SetsBeside
from ..protocol.welcome import Welcome
from .state import MemberState


def take_sets(member: MemberState, sets: SetsBeside) -> None:
    """Take the sets that relays may use besides the newest one, which was taken before. Raises as `take_set`."""
    federation = member.federation
    for each in sets.others:
        federation.governs_since(take_set(member, each.blob).digest, each.since)
    federation.governs_since(sets.digest, sets.since)


def take_set(member: MemberState, blob: bytes) -> Parameters:
    """Take a parameter set, whole or a relay's copy. Raises IntegrityError; then nothing changes except the proof that
    is kept."""
    _weigh(member, blob)
    found = member.federation.adopt(blob, member.epoch())
    member.evidence.accepted([found])
    return found


def take_card(member: MemberState, text: str) -> bool:
    """Take a federation card, and tell whether anything is different now. Raises InvalidInput, or IntegrityError as
    `take_set`."""
    _weigh(member, cards.decode(text, "federation").fields["params"])
    before = {relay.id: relay.key for relay in member.federation.relays}
    news = member.federation.refresh(text, member.epoch())
    member.evidence.accepted(member.federation.sets)
    same = {relay.id for relay in member.federation.relays if before.get(relay.id) == relay.key}
    member.wallet.forget_relays(before.keys() - same)
    if member.federation.newest.first_epoch < member.epoch():
        _is_in_force(member)  # relays have had the time to take it
    return news


def take_reading_card(member: MemberState, text: str) -> None:
    """Take reading keys that were sealed to this member. Raises InvalidInput."""
    hashes = [known.reading_hash for known in member.federation.sets]
    member.federation.take_reading_keys(
        sealed_reading_key.opened(text, member.identity, member.federation.id, list(dict.fromkeys(hashes)))
    )


def take_welcome(member: MemberState, welcome: Welcome) -> bool:
    """Take everything that the issuer's service says to a member, and tell whether the card was new. Raises as
    `take_card`."""
    news = take_card(member, welcome.card)
    take_sets(member, welcome.sets)
    member.federation.take_reading_keys(welcome.reading)
    take_time(member, welcome.time)
    return news


def take_time(member: MemberState, blob: bytes) -> None:
    """Take a time statement (92 bytes), to hand it to relays that do not know the time. Raises IntegrityError."""
    try:
        statement = TimeStatement(blob)
        statement.verify(member.federation.newest.root_key)
    except InvalidObject as error:
        raise IntegrityError(f"the office's time statement cannot be accepted: {error}", "tell IT") from None
    if statement.federation_id != member.federation.id:
        raise IntegrityError("the time statement is from another federation", "tell IT")
    member.data.renewal.statement = blob


def clock_apart(member: MemberState, asked: int) -> ClockOff | None:
    """Make the warning if this computer's clock differs from the office's, None if it does not. The office's time was
    asked for at `asked` (unix seconds of this clock) and taken just now: it was stated at some moment between, however
    long the answer took."""
    blob = member.data.renewal.statement
    assert blob is not None
    said = TimeStatement(blob).unix_seconds
    seconds = max(0, asked - said) + min(0, member.now() - said)
    if abs(seconds) <= CLOCK_ROUNDS * member.federation.newest.round_seconds:
        return None
    side = "ahead of" if seconds > 0 else "behind"
    return ClockOff(
        f"this computer's clock is {duration.about(abs(seconds))} {side} your office's",
        "set this computer's clock; if it is right, tell IT",
    )


def fresh_time(member: MemberState) -> bytes | None:
    """Return the time statement that is kept (92 bytes); None if it is more than an epoch older, or later, than now."""
    blob = member.data.renewal.statement
    if blob is None:
        return None
    return blob if abs(TimeStatement(blob).unix_seconds - member.now()) <= epoch_seconds(member.federation) else None


def epoch_seconds(federation: Federation) -> int:
    """Compute the length of an epoch in seconds."""
    return int(federation.newest.epoch_rounds * federation.newest.round_seconds)


def _is_in_force(member: MemberState) -> None:
    """The newest set is, as far as the office knows; what a relay names in INFO holds there."""
    member.federation.seen_in_force(member.federation.digest, member.epoch())


def _weigh(member: MemberState, blob: bytes) -> None:
    if member.evidence.weigh(blob):
        member.save()
        raise IntegrityError(
            "the office signed two sets of settings that contradict each other: others were given "
            "different settings from yours",
            "both are kept as proof: type tessera status --json, and show what it prints to your colleagues and to IT",
        )
