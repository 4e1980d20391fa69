"""How far a message got, in words with times in them: when it leaves, from when on it can be read.

Owns these words, for the list of what was sent and for the conversation on the screen. No word says more than is known:
nobody tells whether something was read.
"""

from collections.abc import Iterable

from ..agent.interface import State
from ..clock import short_local_time
from ..member.accountant import Budget
from ..member.history import CANCELLED, POSTED, Sent
from ..text import count

_MUCH = 3  # more than this part of what is left of the day is much

NEVER = "not before your office allows more"


def in_words(sent: Sent, state: State, before: int = 0) -> str:
    """`before`: parts that wait and leave before those of this message."""
    last = sent.last_round
    readable = "" if last is None else short_local_time(state.time_of(last + 1))
    if sent.state == POSTED:
        return f"posted{_safety(sent)}, can be read from {readable} on"
    some = f"{sent.posted} of {count(sent.parts, 'part')} posted" if sent.posted else ""
    if sent.state == CANCELLED:
        return f"{some}, the rest taken back" if some else "taken back; a part of it may have left"
    when = waits_until(state, before, sent.waiting)
    if some:
        return f"{some}, the rest leaves {when}"
    return f"sent, but the relay did not acknowledge it; leaves again {when}" if sent.sealed else f"leaves {when}"


def _safety(sent: Sent) -> str:
    """Nothing where there are no copies: what is posted is as safe there as it gets."""
    if sent.copies == 1:
        return ""
    if sent.given_up:
        return " but never reached all of its relays"
    return " and safe" if sent.is_safe else f" but not safe yet (on {sent.relays} of {sent.copies} relays)"


def mark(sent: Sent) -> str:
    """The same in a character or two."""
    if sent.state != POSTED:
        return "…"
    return "✓✓" if sent.copies > 1 and sent.is_safe else "✓"


def waits_until(state: State, before: int, parts: int) -> str:
    """From when on so many parts leave, one a round after those before them, if nothing holds them up."""
    if state.next_at is None:
        return NEVER
    first = state.next_at + before * state.round_seconds
    last = first + (parts - 1) * state.round_seconds
    until = f", the last part from {short_local_time(last)}" if parts > 1 else ""
    return f"from {short_local_time(first)} on{until}"


def all_until(state: State) -> str:
    """From when on all that waits leaves; the copies of a part do side by side."""
    return waits_until(state, 0, -(-state.waiting // state.copies))


def takes_much(parts: int, today: Budget) -> bool:
    """Whether a message of so many parts is asked about before it is sent. One of a single part never is."""
    return parts > 1 and parts * today.copies * _MUCH > today.left


def waiting_before(entries: Iterable[Sent]) -> list[int]:
    """Of each message, how many parts of those before it wait."""
    found, waiting = [], 0
    for entry in entries:
        found.append(waiting)
        waiting += entry.waiting
    return found
