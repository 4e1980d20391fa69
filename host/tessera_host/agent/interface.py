"""What a conversation needs, whoever does the work: this process (`client`) or the agent (`link`).

Owns the interface that the commands and the full-screen conversation are written against, the state of a connection,
and the JSON forms that go over the agent's socket.
"""

import base64
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from .. import typed
from ..member.accountant import Budget
from ..member.history import Sent
from ..member.inbox import Arriving, Message, Place
from ..member.sending import Posted
from .engine import CaughtUp, Connected, Event, Safe, Split, Trouble


@dataclass(frozen=True)
class Contact:
    """Someone this member has met. `verified`: the six words were compared. `split`: was given settings different from
    this member's (`views.alarm`). `key` is the identity's key, in hex."""

    name: str
    verified: bool
    relay: str
    words: list[str]
    split: bool
    blocked: bool
    key: str


@dataclass(frozen=True)
class Meeting:
    """A meeting that is under way, and the kind of card that it waits for."""

    name: str
    waiting_for: str


@dataclass
class State:
    """How the engine does. `connected` is None before its first slot; `behind`: rounds that are still to be read;
    `expired`: rounds that had expired before they were read, and nobody was told of;
    `waiting`: records that are to leave; `next_at`: from when on (unix seconds) one of them may, None if never;
    `obstacle`: why they cannot leave in this epoch, if they cannot; `remark`: what to say before something leaves in
    it; `arriving`: messages that are not whole yet. `copies` is on how many relays each message is; then it is
    `connected` as long as a relay answers, and `away` says what is wrong with others, by name; `reached` are those that
    did last. `genesis` and `round_seconds` say when a round is."""

    genesis: int
    round_seconds: int
    relay: str = ""
    connected: bool | None = None
    trouble: str = ""
    behind: int = 0
    expired: int = 0
    waiting: int = 0
    next_at: int | None = 0
    obstacle: str = ""
    remark: str = ""
    arriving: list[Arriving] = field(default_factory=list)
    copies: int = 1
    away: dict[str, str] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)

    def time_of(self, round_: int) -> int:
        """Unix seconds at which a round begins."""
        return self.genesis + round_ * self.round_seconds

    def note(self, event: Event) -> None:
        """Take in what an event of the engine says."""
        if isinstance(event, Connected):
            self.connected, self.relay, self.trouble = True, event.relay, ""
            self.away.pop(event.relay, None)
            self.reached = [*(name for name in self.reached if name != event.relay), event.relay]
        elif isinstance(event, Trouble):
            self._note_trouble(event)
        elif isinstance(event, CaughtUp):
            self.behind = event.behind
            self.expired += event.expired

    def _note_trouble(self, event: Trouble) -> None:
        self.reached = [name for name in self.reached if name != event.relay]
        if event.relay and self.copies > 1:
            self.away[event.relay] = str(event.error)
        if self.copies == 1 or not event.relay or not self.reached:
            self.connected, self.trouble = False, str(event.error)


@dataclass(frozen=True)
class Change:
    """Something that happened: its kind ("message", "posted", "safe", "connected", "trouble", "split", "caught-up" or
    "queued") and its fields."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


class Talk(Protocol):
    """What `Client` and `AgentLink` offer to programs that read and write messages."""

    async def contacts(self) -> list[Contact]: ...

    async def meetings(self) -> list[Meeting]: ...

    async def inbox(self, contact: str | None = None, *, new: bool = False, take: bool = True) -> list[Message]: ...

    async def take_expired(self) -> int: ...

    async def mark_read(self, places: Iterable[Place]) -> None: ...

    async def sent(self, contact: str | None = None) -> list[Sent]: ...

    async def queue(self, contact: str, text: str) -> Sent: ...

    async def queue_file(self, contact: str, name: str, content: bytes) -> Sent: ...

    async def cancel(self, contact: str, first: int) -> Sent: ...

    async def budget(self) -> Budget: ...

    async def state(self) -> State: ...

    def changes(self) -> AsyncIterator[Change]: ...


def change_of(event: Event) -> Change:
    """Make the change that listeners outside this process are told of an event."""
    if isinstance(event, Message):
        return Change("message", {"contact": event.contact})
    if isinstance(event, Posted):
        part = event.part
        fields = {"message": part.message, "part": part.part, "parts": part.parts, "round": event.round}
        return Change("posted", {"contact": event.contact, **fields})
    if isinstance(event, Safe):
        part = event.part
        fields = {"message": part.message, "part": part.part, "parts": part.parts}
        return Change("safe", {"contact": event.contact, **fields})
    if isinstance(event, Connected):
        return Change("connected", asdict(event))
    if isinstance(event, Split):
        return Change("split", asdict(event))
    if isinstance(event, CaughtUp):
        return Change("caught-up", asdict(event))
    return Change("trouble", {"error": event.error.message, "hint": event.error.hint, "relay": event.relay})


def message_fields(message: Message) -> dict[str, Any]:
    """Make the fields of a received message for JSON."""
    return {**asdict(message), "content": base64.b64encode(message.content).decode()}


def sent_fields(sent: Sent) -> dict[str, Any]:
    """Make the fields of a sent message for JSON."""
    return {**asdict(sent), "state": sent.state, "safe": sent.is_safe}


def read_message(fields: dict[str, Any]) -> Message:
    """Make a message from the fields of its JSON. Raises KeyError, TypeError or ValueError if they are not valid."""
    return typed.load(Message, {**fields, "content": base64.b64decode(fields["content"], validate=True)})
