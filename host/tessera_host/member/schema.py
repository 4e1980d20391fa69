"""What a member's keystore holds: state that lives for years, as dataclasses, with a version.

Owns the layout of the map, its version, the way from an earlier version to this one (`migrate`) and the check of what
comes from a disk (with `typed`). What the values mean is said here in a line each; what is done with them is the
business of the views of this state: `contacts`, `wallet`, `outbox`, `posted`, `inbox`, `views`, `history`, `hold`,
`accountant`, `ledger`, `evidence`.

Every change of a dataclass here is a new VERSION, a step in `migrate` and a file of the version before among the tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from tessera.errors import InvalidObject
from tessera.params import FIRST_BYTES, TIME_BYTES, Head, TimeStatement
from tessera.wire import RECORD_BYTES

from .. import typed
from ..errors import KeystoreError
from ..protocol.federation import FederationState, RelayKey
from ..protocol.limits import NAME_MAX, mended_name, name_fault
from ..protocol.records import MAX_PARTS, VIEW_BYTES, Closing, Part, ReceivingChain, SendingChain

VERSION = 7
_SCHEMA = "schema"  # the key of the version; version 1 had none

T = TypeVar("T")

Bytes16 = Annotated[bytes, 16]
Bytes32 = Annotated[bytes, 32]


# -- contacts


@dataclass
class Incoming:
    """A message some of whose parts have arrived: payloads by part number, and what the last part said of all. None of
    it counts before the signature in that was checked. `relays` are the numbers of those that had parts of it, `round`
    is the last one that had one. `since`: it is whole since that round by this computer's clock, None if that has to be
    seen anew."""

    parts: int
    kind: int
    got: dict[int, bytes] = field(default_factory=dict)
    closing: Closing | None = None
    relays: list[int] = field(default_factory=list)
    round: int = 0
    since: int | None = None


@dataclass
class Missing:
    """Messages from `first` to before `end` that were not there when a later one was shown, in `round`: while a relay
    may still bring them they are not lost. `counts`: they are, if none does."""

    first: int
    end: int
    round: int
    counts: bool


@dataclass
class Received:
    """How far a contact's messages were put together. `next` is the first that is not; `text` what messages before it
    began; `lost` how many never came since the last that was stored. `resync`: a gap before the next one is no loss.
    `restored`: the contact's device was restored from a backup since the last that was stored. `seen` is, by a relay's
    number, the newest message that it had; `missing` are those that were not waited for any longer, by number,
    `skipped` how many there came since the last that was stored."""

    next: int = 0
    parts: dict[int, Incoming] = field(default_factory=dict)
    text: bytes = b""
    lost: int = 0
    resync: bool = False
    restored: bool = False
    seen: dict[int, int] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    skipped: int = 0


@dataclass
class KnownSet:
    """A parameter set that this member holds or held; `ahead` is for how many epochs it lets members have tokens."""

    digest: Bytes32
    serial: int
    first_epoch: int
    ahead: int


@dataclass(repr=False)
class OpenView:
    """What a contact's record of `epoch` says of its settings, which are none of this member's so far. It was read in
    epoch `read`; `reached` is the first one after that in which a relay was reached."""

    epoch: int
    seed: Bytes32
    view: Annotated[bytes, VIEW_BYTES]
    read: int
    reached: int | None


@dataclass
class SplitView:
    """A contact was given other settings than this member, by its record of `epoch`. Whether that was `told`."""

    epoch: int
    told: bool


@dataclass(repr=False)
class Contact:
    """Someone this member has met. `words` are the six to compare, `verified` that they were; the records of one who is
    `blocked` are passed over. `next_message` is the number of the next message to it; `views` are what it said of its
    settings that is not explained yet, `split` is what could not be. `relay` is the number of the one that its mailbox
    is on, whichever key that has."""

    key: Bytes32
    mailbox: Bytes16
    relay: int
    words: list[str]
    verified: bool
    blocked: bool
    send: SendingChain
    next_message: int
    receive: ReceivingChain
    received: Received
    views: list[OpenView] = field(default_factory=list)
    split: SplitView | None = None


@dataclass(repr=False)
class InviteMeeting:
    """A meeting that this side began: `payload` of its invite card, and what the card commits to. With `rekey` it is
    with a contact of that name."""

    name: str
    payload: bytes
    x: Bytes32
    nonce: Bytes32
    rekey: bool


@dataclass(repr=False)
class AnswerMeeting:
    """A meeting that this side answered: `payload` of its answer card, of the `invite`, and the round it was in."""

    name: str
    payload: bytes
    x: Bytes32
    invite: bytes
    round: int
    rekey: bool


@dataclass
class FinishedMeeting:
    """The last meeting with a contact: the hash of the invite, and the confirm card if this side made it."""

    name: str
    invite: Bytes32
    confirm: str | None


@dataclass
class Contacts:
    """Contacts by name, open meetings by the hash of the own card, meetings that made a contact by the hash of the
    answer."""

    book: dict[str, Contact] = field(default_factory=dict)
    invites: dict[Bytes32, InviteMeeting] = field(default_factory=dict)
    answers: dict[Bytes32, AnswerMeeting] = field(default_factory=dict)
    finished: dict[Bytes32, FinishedMeeting] = field(default_factory=dict)


# -- tokens


@dataclass(repr=False)
class Token:
    """A token under the key that a generation has for an epoch and a relay (its number), fetched in epoch `fetched`.
    `left` are its posts, None before its first session; `resume` is the resumption secret of its last session, if there
    may be one to resume."""

    generation: int
    epoch: int
    relay: int
    fetched: int
    secret: Bytes32
    key: Bytes32
    signature: Annotated[bytes, 64]
    left: int | None = None
    resume: Bytes32 | None = None

    def __repr__(self) -> str:
        return f"Token(epoch={self.epoch}, left={self.left})"

    @property
    def early(self) -> bool:
        """Whether it was fetched in the epoch that it is for: until that ends, anyone who compares the times of the
        visit and of the first use can guess whose it is."""
        return self.fetched >= self.epoch

    def admitted(self, resume: bytes, left: int) -> None:
        """Note the answer to AUTH."""
        self.resume, self.left = resume, left

    def resumed(self, following: bytes | None) -> None:
        """Note that its resumption secret was used up; `following` is the next one, None if there is no session to
        resume."""
        self.resume = following

    def posted(self) -> None:
        """Count one post."""
        self.left = max(0, (self.left or 0) - 1)

    def spent(self) -> None:
        """Note that it has no posts left."""
        self.left = 0


@dataclass
class TokenRequest:
    """A request card, of an epoch and under a generation, that the issuer's offer is missing for."""

    generation: int
    epoch: int
    card: str


@dataclass(repr=False)
class PendingToken:
    """A token between challenge and answer: its epoch, its relay's number, its secret, and `blind.Blinded` packed."""

    epoch: int
    relay: int
    secret: Bytes32
    blinded: Annotated[bytes, 322]


@dataclass(repr=False)
class TokenSession:
    """A challenge card that the issuer's answer is missing for, and the tokens in the making. `solicited`: it follows a
    request of this member, not an offer that IT made by itself."""

    generation: int
    card: str
    solicited: bool
    pending: list[PendingToken]


@dataclass
class Tokens:
    """Tokens, requests by the hash of their card, sessions by the issuer's number."""

    tokens: list[Token] = field(default_factory=list)
    requests: dict[Bytes32, TokenRequest] = field(default_factory=dict)
    sessions: dict[Bytes16, TokenSession] = field(default_factory=dict)


# -- messages


@dataclass(repr=False)
class Seal:
    """One attempt at a part: where in the chain its record's keys were, and the record."""

    epoch: int
    index: int
    record: Annotated[bytes, RECORD_BYTES]


@dataclass
class Place:
    """Where a copy of a part is: the number of the relay that acknowledged it, the static key it had then, the round.
    It is gone once another has taken that relay's place, or none."""

    relay: int
    key: RelayKey
    round: int


@dataclass(repr=False)
class Outgoing:
    """A part for a contact, and the hash of all parts of its message; `sealed` if it was on its way and no answer came;
    `places` are those that have it."""

    contact: str
    part: Part
    contents: Bytes32
    sealed: Seal | None = None
    places: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        part = self.part
        if not (part.part < part.parts <= MAX_PARTS and len(part.payload) <= part.room):
            raise ValueError("it is no part of a message")


@dataclass(repr=False)
class Stored:
    """A message that arrived (`inbox.Message`), and whether it was never given out."""

    contact: str
    message: int
    text: str
    round: int
    lost: int
    file: str | None
    content: bytes
    restored: bool
    newer: bool
    unread: bool
    late: bool = False
    missing: int = 0


@dataclass
class Pointer:
    """How far the bucket was read at a relay: `next_round` is the first round not read yet, `key` the static key of
    the relay that was read, `rules` the digest of the set that it named for an epoch, `answered` the last round (by
    this computer's clock) in which it served any."""

    next_round: int
    key: RelayKey
    rules: dict[int, Bytes32] = field(default_factory=dict)
    answered: int = 0


@dataclass
class InboxState:
    """`first_round` is the first that can have anything for this member; messages oldest first. `pointers` are by the
    number of each relay that is read."""

    first_round: int
    messages: list[Stored] = field(default_factory=list)
    pointers: dict[int, Pointer] = field(default_factory=dict)


@dataclass(repr=False)
class SentEntry:
    """A text or file that was written (`history.Sent`): the number of its first message, and the round that each part
    was posted in. `cancelled`: what had not left by then was taken back. `given_up`: so many parts were never on all
    relays that were to have them, and wait no longer."""

    contact: str
    first: int
    rounds: list[int | None]
    queued: int
    text: str
    file: str | None
    bytes: int
    cancelled: bool = False
    given_up: int = 0


@dataclass
class Cell:
    """Of a bucket of a relay (its number): the last round that may have a record of this member's."""

    relay: int
    bucket: int
    last: int


@dataclass
class Departure:
    """A record that may have left: when (unix seconds), to which cell of which relay (its number), and the digest of
    the parameter set that the relay named for it."""

    time: int
    relay: int
    bucket: int
    round: int
    digest: Bytes32


# -- the member


@dataclass
class HoldState:
    """A backup was restored at `restored` (unix seconds): nothing is sealed before `epoch`, None while no relay has
    confirmed the clock."""

    restored: int
    epoch: int | None = None


@dataclass(repr=False)
class JoiningState:
    """The number of the invitation that this member began with, and all of it until the issuer has admitted it."""

    invitation: Bytes16
    card: str | None


@dataclass
class RenewalState:
    """When the issuer is visited next (unix seconds, None before this was drawn), when it answered last, how many
    visits failed since; `statement` is the newest time statement it gave. `heard`: the serial of the newest set that
    came without its card and that a visit was drawn for."""

    due: int | None = None
    visited: int | None = None
    failures: int = 0
    statement: Annotated[bytes, TIME_BYTES] | None = None
    heard: int = 0

    def __post_init__(self) -> None:
        if self.statement is not None:
            _checked(TimeStatement, self.statement)


@dataclass
class Contradiction:
    """The signed heads of two parameter sets of which an honest issuer signs one only."""

    one: Annotated[bytes, FIRST_BYTES]
    other: Annotated[bytes, FIRST_BYTES]


@dataclass
class EvidenceState:
    """The signed heads of all parameter sets that were accepted, by digest, and what was seen that contradicts them."""

    heads: dict[Bytes32, Annotated[bytes, FIRST_BYTES]] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(_checked(Head, head).digest != digest for digest, head in self.heads.items()):
            raise ValueError("a set's head is kept under another name")


@dataclass(repr=False)
class MemberData:
    """All of it. `sets` are those that were held and may matter still, oldest first. `newest_round` is the newest open
    round that a relay named and that fitted the clock; `departures` are the records that left within the last day,
    oldest first, `cells` say where the newest may be; `outbox` are the parts that have to leave still, for one relay
    at least, `posted` those that all have that are to, and may still have, oldest first."""

    name: str
    secret: Bytes32
    mailbox: Bytes16
    federation: FederationState
    inbox: InboxState
    sets: list[KnownSet] = field(default_factory=list)
    newest_round: int = 0
    contacts: Contacts = field(default_factory=Contacts)
    tokens: Tokens = field(default_factory=Tokens)
    outbox: list[Outgoing] = field(default_factory=list)
    sent: list[SentEntry] = field(default_factory=list)
    hold: HoldState | None = None
    departures: list[Departure] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    posted: list[Outgoing] = field(default_factory=list)
    joining: JoiningState | None = None
    renewal: RenewalState = field(default_factory=RenewalState)
    evidence: EvidenceState = field(default_factory=EvidenceState)

    def __post_init__(self) -> None:
        items = [*self.outbox, *self.posted]
        if strangers := {item.contact for item in items} - self.contacts.book.keys():
            raise ValueError(f"parts wait for {', '.join(sorted(strangers))}, which are not contacts")


def _checked(kind: Callable[[bytes], T], blob: bytes) -> T:
    """What the core reads of it. Raises ValueError."""
    try:
        return kind(blob)
    except InvalidObject as error:
        raise ValueError(str(error)) from None


def read(data: dict[str, Any], path: Path) -> MemberData:
    """What the map of a keystore, or of a backup, says. Raises KeystoreError for one of a version that this program
    cannot read, or one that no version wrote."""
    try:
        found = typed.load(MemberData, migrate(data, path))
        _mend_names(found)
        return found
    except typed.Mismatch as wrong:
        message = f"{path} holds what no version of tessera wrote: {wrong}"
        raise KeystoreError(message, "restore it from a backup") from None


def _mend_names(data: MemberData) -> None:
    """Names were taken from cards that today's rule refuses (`limits.name_fault`). Whoever has such a contact keeps it,
    under a name that does no harm."""
    contacts = data.contacts
    meetings: list[InviteMeeting | AnswerMeeting | FinishedMeeting]
    meetings = [*contacts.invites.values(), *contacts.answers.values(), *contacts.finished.values()]
    named: list[Any] = [*data.outbox, *data.posted, *data.sent, *data.inbox.messages]
    used = {*contacts.book, *(each.name for each in meetings), *(each.contact for each in named)}
    if new := {old: "" for old in sorted(used) if name_fault(old)}:
        for old in new:
            new[old] = _unused(mended_name(old), used)
            used.add(new[old])
        contacts.book = {new.get(name, name): contact for name, contact in contacts.book.items()}
        for meeting in meetings:
            meeting.name = new.get(meeting.name, meeting.name)
        for each in named:
            each.contact = new.get(each.contact, each.contact)
    data.name = mended_name(data.name) if name_fault(data.name) else data.name


def _unused(name: str, used: set[str]) -> str:
    numbered = (f"{name[: NAME_MAX - 5]} {number}" for number in range(2, 10_000))
    return next(one for one in (name, *numbered) if one not in used)


def write(data: MemberData) -> dict[str, Any]:
    """The map that `read` reads."""
    return {_SCHEMA: VERSION, **typed.dump(data)}


def migrate(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The map as this version lays it out, without its version. Raises KeystoreError."""
    version = data.get(_SCHEMA, 1) if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
        raise typed.Mismatch(f"its version is {version!r}")
    if version > VERSION:
        raise KeystoreError(
            f"{path} was written by a newer version of tessera (state {version}, this program reads {VERSION})",
            "update tessera",
        )
    if version < VERSION:
        raise KeystoreError(
            f"{path} was written by a tessera from before the first release, which this program cannot read",
            "ask IT for a new invitation, then join with a new directory: tessera join INVITATION --home DIRECTORY",
        )
    return {name: value for name, value in data.items() if name != _SCHEMA}
