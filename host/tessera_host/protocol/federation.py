"""What a member knows about its federation: the signed parameter sets, and what its card says beside them.

Owns which sets are accepted, which of them governs an epoch, and what two sets of one issuer cannot say. Reads a
relay's answers never by itself: the bytes come from `relay_sessions`, which asked for them.

A set is accepted by its signature, and its digest names it. IT's program signs one chain: each set has the serial after
that of the set before and names its digest. Two that are not of one chain prove that somebody was told other things.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from tessera.errors import InvalidObject
from tessera.params import Parameters, reading_hash

from ..errors import IntegrityError, InvalidInput, UsageError
from . import cards
from .topology import Topology, order

# What the rounds and the trust rest on; a new set that changes one of these is another federation's.
FIXED = ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs")

# How far a relay's open round may be off this computer's clock (PROTOCOL §3).
CLOCK_ROUNDS = 1

# A relay that is given a set in the epoch that begins with it goes by it from the next one on, and whoever gives it
# that set may come an epoch late.
SETTLING_EPOCHS = 2

MOST_WAITING = 32  # sets whose first epoch is to come, of which the next ones have taken the places

# How long messages are kept at members unless the office says otherwise.
DEFAULT_RETENTION_DAYS = 90

RelayKey = Annotated[bytes, 33]
Digest = Annotated[bytes, 32]


@dataclass(frozen=True)
class Relay:
    """Where a relay is, its number in all sets, and the static key (33 bytes) that it must prove to hold."""

    name: str
    id: int
    key: RelayKey
    host: str
    port: int


@dataclass(frozen=True)
class IssuerService:
    """Where the issuer's service is (PROTOCOL §15) and the static key (33 bytes) that it must prove to hold."""

    host: str
    port: int
    key: RelayKey


class Signed(Protocol):
    """What places a set in its issuer's chain."""

    @property
    def serial(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def previous(self) -> bytes: ...


@dataclass(frozen=True)
class Link:
    """A set's place in the chain; kept of every set that was ever accepted."""

    serial: int
    digest: Digest
    previous: Digest


@dataclass
class KnownSet:
    """A set, whole or as one relay has it; `since` is the first epoch that it governs, as far as is known here."""

    blob: bytes
    since: int


@dataclass
class FederationState:
    """What a member keeps of its federation.

    `newest` is the digest of the set of the newest card; `sets` are the newest and those that governed an epoch still
    kept, by digest; `said` is what cards say beside them, and `reading_keys`, by their hash, of which a set says one
    each; `chain` has the places of all sets ever accepted; `home` is the home relay's number, which stays what contacts
    were told when IT has taken that out of service.
    """

    newest: Digest
    home: int
    said: dict[Digest, bytes]
    sets: dict[Digest, KnownSet]
    chain: list[Link]
    reading_keys: dict[Digest, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for what no card says."""
        if self.newest not in self.sets:
            raise ValueError("it has no newest parameters")


class Federation:
    """A view of a member's `FederationState`; `mailbox` (16 bytes) is given, if it has one. Raises InvalidObject for
    parameters that are not valid, or a card that is not theirs."""

    def __init__(self, state: FederationState, mailbox: bytes = b"") -> None:
        self._state = state
        self._mailbox = mailbox
        self._sets = {digest: Parameters(known.blob) for digest, known in state.sets.items()}
        if any(known.digest != digest for digest, known in self._sets.items()):
            raise InvalidObject("parameters are kept under another name")
        self._cards: dict[bytes, dict[str, Any]] = {}
        self._read_cards()

    def _read_cards(self) -> None:
        """What is said of every set whose card was seen, by its digest."""
        said = {digest: self._state.said.get(known.card_hash) for digest, known in self._sets.items()}
        if said[self._state.newest] is None:
            raise InvalidObject("there is no card of the newest parameters")
        try:
            seen = {digest: each for digest, each in said.items() if each is not None}
            self._cards = {digest: _said_of(self._sets[digest], each) for digest, each in seen.items()}
        except (InvalidInput, IntegrityError) as error:
            raise InvalidObject(error.message) from None

    @property
    def _said(self) -> dict[str, Any]:
        return self._cards[self._state.newest]

    # -- what the card says

    @property
    def name(self) -> str:
        """The office's name."""
        return str(self._said["name"])

    @property
    def relays(self) -> list[Relay]:
        """The relays that are in service, with their present keys."""
        return _relays(self.newest, self._said)

    @property
    def budget(self) -> dict[str, str]:
        """`{"epsilon", "delta"}` as exact decimals: what all deliveries of one member within a day may add up to. The
        office's setting."""
        return dict(self._said["budget"])

    @property
    def issuer(self) -> IssuerService | None:
        """The issuer's service; None if the office's issuer is reached by files only."""
        return IssuerService(**self._said["issuer"]) if self._said["issuer"] else None

    @property
    def retention_days(self) -> int:
        """For how many days the office wants messages kept at members."""
        return int(self._said["retention_days"])

    # -- sets

    @property
    def id(self) -> bytes:
        """The federation's id (16 bytes)."""
        return self.newest.federation_id

    @property
    def digest(self) -> bytes:
        """The digest (32 bytes) of the newest set: contacts must agree on it."""
        return self.newest.digest

    @property
    def newest(self) -> Parameters:
        """The newest set that came whole, with its card, also while an earlier one still governs."""
        return self._sets[self._state.newest]

    @property
    def heard_of(self) -> Parameters:
        """The newest set that was seen signed, even as a relay's copy: if it is not `newest`, there is a newer card."""
        return max(self._sets.values(), key=lambda known: known.serial)

    @property
    def sets(self) -> list[Parameters]:
        """All sets that are kept, oldest first."""
        return sorted(self._sets.values(), key=lambda known: known.serial)

    def with_digest(self, digest: bytes) -> Parameters | None:
        """Find the set with this digest; None if it is not known."""
        return self._sets.get(digest)

    def governing(self, epoch: int) -> Parameters:
        """Find the set that governs an epoch, as far as is known here. A relay that got it late names an earlier one in
        INFO, and what it names holds there."""
        state = self._state.sets
        started = [known for digest, known in self._sets.items() if state[digest].since <= epoch]
        if started:
            return max(started, key=lambda known: known.serial)
        return min(self._sets.values(), key=lambda known: known.serial)

    def expected(self, epoch: int) -> Parameters:
        """Find the set that every relay has had an epoch's time to take when this epoch is open. Nothing is posted to a
        relay that names an older one (PROTOCOL §2)."""
        return self.governing(epoch - 1)

    def reading_key(self, parameters: Parameters) -> bytes | None:
        """Find the key (32 bytes) to fetch with where this set is in force; None if it is not known."""
        return self._state.reading_keys.get(parameters.reading_hash)

    def seen_in_force(self, digest: bytes, epoch: int) -> None:
        """Note that a relay names this set, which is known, for this epoch."""
        known = self._state.sets[digest]
        known.since = min(known.since, epoch)

    # -- rounds

    def round_at(self, unix_seconds: int) -> int:
        """Compute the round of this moment (unix seconds); 0 before the first one."""
        return max(0, self.newest.round_at(unix_seconds))

    def epoch_of(self, round_: int) -> int:
        """Compute the epoch of a round."""
        return self.newest.epoch_of(round_)

    def round_start(self, round_: int) -> int:
        """Compute the unix time at which a round begins."""
        return self.newest.genesis + round_ * self.newest.round_seconds

    def first_round(self, epoch: int) -> int:
        """Compute the first round of an epoch."""
        return epoch * self.newest.epoch_rounds

    def first_kept(self, open_round: int) -> int:
        """Compute the first round that a relay keeps while this one is open: it depends on the round alone (PROTOCOL
        §3)."""
        kept_from = self.epoch_of(open_round) - self.newest.retention_epochs
        return self.first_round(max(0, kept_from))

    def records_per_epoch(self, epoch: int) -> int:
        """Compute how many records one member can post in an epoch at most, at one relay: the indices of a chain
        (PROTOCOL §7)."""
        return max(
            self._copies(known) * known.tokens_per_epoch * known.posts_per_token for known in self._in_use(epoch)
        )

    # -- relays of a mailbox (PROTOCOL §12)

    @property
    def topology(self) -> Topology:
        """The topology of the newest card."""
        return Topology.of(self._said["topology"])

    def copies(self, epoch: int) -> int:
        """Compute on how many relays a record of this epoch is."""
        return self._copies(self.governing(epoch))

    def relays_of(self, mailbox: bytes, home: int, epoch: int) -> list[int]:
        """List the numbers of the relays that have a mailbox (16 bytes) in this epoch, each with a copy, in its order;
        `home` is the number of its home relay. Relays that IT has taken out of service since are among them."""
        return self._relays_under(self.governing(epoch), mailbox, home)

    def relays_read(self, mailbox: bytes, home: int, epoch: int) -> list[int]:
        """List the same relays, and those on which members who still use the set before, or already use the set after,
        post."""
        found = (self._relays_under(known, mailbox, home) for known in self._in_use(epoch))
        return list(dict.fromkeys(id_ for ids in found for id_ in ids))

    def _in_use(self, epoch: int) -> list[Parameters]:
        """The sets that a member who posts in this epoch may use, the one that governs it first. A member who joined
        in this epoch uses the newest of that time, which may have come too late to govern it elsewhere."""
        governing, expected = self.governing(epoch), self.expected(epoch)
        begun = (known for known in self.sets if known.first_epoch <= epoch and known.serial > governing.serial)
        return list(dict.fromkeys([governing, expected, *begun]))

    def _relays_under(self, known: Parameters, mailbox: bytes, home: int) -> list[int]:
        """Of a mailbox on a relay that a later set added the first one that lists it counts already: nothing of it is
        anywhere else."""
        later = (each for each in self.sets if each.serial >= known.serial)
        known = next((each for each in later if home in _ids(each)), known)
        ids = _ids(known)
        return order(mailbox, home, ids, self.topology_of(known))[: self._copies(known)]

    def _copies(self, known: Parameters) -> int:
        return min(self.topology_of(known).copies, int(known.relay_count))

    def topology_of(self, known: Parameters) -> Topology:
        """Find the topology of a set; if only a relay's copy of the set came, that of the newest card."""
        return Topology.of(self._cards.get(known.digest, self._said)["topology"])

    # -- relays

    @property
    def home(self) -> Relay:
        """The relay of this member's mailbox; if IT has taken it out of service, the next one in the mailbox's
        order."""
        ids = [relay.id for relay in self.relays]
        return self.relay_with_id(order(self._mailbox, self._state.home, ids, self.topology)[0])

    @property
    def home_id(self) -> int:
        """The number that this member's contacts are told, even if IT has taken the relay out of service: the order of
        the other relays follows from it."""
        return self._state.home

    def relay_known(self, id_: int) -> Relay | None:
        """Find the relay of this number in the newest card that lists it, even one that was taken out of service, as
        long as an epoch is kept in which it was in service."""
        newest_first = sorted(self._cards, key=lambda digest: -self._sets[digest].serial)
        listed = (relay for digest in newest_first for relay in _relays(self._sets[digest], self._cards[digest]))
        return next((relay for relay in listed if relay.id == id_), None)

    def choose_home(self, name: str) -> None:
        """Choose the home relay. Raises UsageError if no relay has this name."""
        self._state.home = self.relay_named(name).id

    def relay_named(self, name: str) -> Relay:
        """Find the relay of this name. Raises UsageError."""
        names = ", ".join(relay.name for relay in self.relays)
        error = UsageError(f"there is no relay '{name}'", f"the relays are: {names}")
        return self._relay(lambda relay: relay.name == name, error)

    def relay_with_id(self, id_: int) -> Relay:
        """Find the relay of this number. Raises InvalidInput."""
        return self._relay(lambda relay: relay.id == id_, _unlisted())

    def relay_name(self, id_: int) -> str:
        """Name a relay for people, even one that IT has taken out of service."""
        return next((known.name for known in self.relays if known.id == id_), "(a relay that was removed)")

    def _relay(self, fits: Callable[[Relay], bool], error: Exception) -> Relay:
        for relay in self.relays:
            if fits(relay):
                return relay
        raise error

    # -- what is new

    def refresh(self, text: str, epoch: int) -> bool:
        """Take over a newer federation card of the same federation while `epoch` is open: its set, relays, addresses,
        budget. Whether anything is different now. An older card changes nothing but that its set is known.

        Raises InvalidInput or IntegrityError for one that is not this federation's; then nothing changes.
        """
        parameters, said = _card(text)
        self._check(parameters)
        if parameters.serial < self.newest.serial:
            return False
        before = deepcopy(self._state)
        self._keep(parameters, epoch)
        self._state.newest = parameters.digest
        self._state.said[parameters.card_hash] = said
        self._read_cards()
        return self._state != before

    def governs_since(self, digest: bytes, since: int) -> None:
        """Take the office's word that a known set governs from this epoch on, where it came in time."""
        if digest in self._sets:
            self.seen_in_force(digest, max(since, self._sets[digest].first_epoch))

    def adopt(self, blob: bytes, epoch: int) -> Parameters:
        """Accept a set that a relay answered or the service sent, older or newer than the newest, while `epoch` is
        open. Raises IntegrityError and changes nothing if it is not one of ours, or contradicts one that is known."""
        candidate = parsed(blob)
        self._check(candidate)
        self._keep(candidate, epoch)
        self._read_cards()  # one that is known may be this set's, too
        return candidate

    def take_reading_keys(self, keys: Iterable[bytes]) -> None:
        """Keep keys (32 bytes each) that are the issuer's word, or whose hash is in a set that is known."""
        self._state.reading_keys |= {reading_hash(key): key for key in keys}

    def forget_before(self, epoch: int) -> None:
        """Forget the sets that govern no epoch from this one on, not even at a relay that is late or began with a set
        whose place another took at the others; with the reading keys that no other names."""
        settled = epoch - SETTLING_EPOCHS
        kept = {self._state.newest, self.heard_of.digest, self.governing(settled).digest}
        later = [known.digest for known in self.sets if self._state.sets[known.digest].since > settled]
        kept |= set(later[-MOST_WAITING:])
        self._sets = {digest: known for digest, known in self._sets.items() if digest in kept}
        self._state.sets = {digest: known for digest, known in self._state.sets.items() if digest in kept}
        hashes_ = {known.reading_hash for known in self._sets.values()}
        self._state.reading_keys = {hash_: key for hash_, key in self._state.reading_keys.items() if hash_ in hashes_}
        cards_ = {known.card_hash for known in self._sets.values()}
        self._state.said = {hash_: said for hash_, said in self._state.said.items() if hash_ in cards_}
        self._cards = {digest: said for digest, said in self._cards.items() if digest in self._sets}

    def _check(self, candidate: Parameters) -> None:
        if any(getattr(candidate, name) != getattr(self.newest, name) for name in FIXED):
            raise IntegrityError("these settings are from another federation", "do not use this relay or card; tell IT")
        if any(contradict(link, candidate) for link in self._state.chain):
            raise IntegrityError(
                "the office signed two sets of settings that contradict each other: others were "
                "given different settings from yours",
                "do not use this relay or card; show this to your colleagues and to IT",
            )

    def _keep(self, parameters: Parameters, epoch: int) -> None:
        """Of a set that is known whole and as a relay's copy the whole one stays."""
        state, digest = self._state, parameters.digest
        known = state.sets.get(digest)
        if known is None:
            state.sets[digest] = KnownSet(parameters.blob, max(parameters.first_epoch, epoch + 1))
            self._sets[digest] = parameters
        elif len(parameters.blob) > len(known.blob):
            known.blob = parameters.blob
            self._sets[digest] = parameters
        if all(link.digest != digest for link in state.chain):
            state.chain.append(Link(parameters.serial, digest, parameters.previous))


def _ids(parameters: Parameters) -> list[int]:
    return [int(relay.id) for relay in parameters.relays]


def contradict(one: Signed, other: Signed) -> bool:
    """Tell whether no honest issuer can have signed both: it signs one set of a serial, and one after each."""
    if one.digest == other.digest:
        return False
    earlier, later = (one, other) if one.serial <= other.serial else (other, one)
    if earlier.serial == later.serial or earlier.previous == later.previous:
        return True
    return (later.previous == earlier.digest) != (later.serial == earlier.serial + 1)


def is_whole(parameters: Parameters) -> bool:
    """Tell whether a set has the epoch keys of all relays, not of one only."""
    return len(parameters.blob) == parameters.size(parameters.relay_count)


def read_card(text: str) -> FederationState:
    """Read what a new member keeps of a federation card. Raises InvalidInput or IntegrityError."""
    parameters, said = _card(text)
    digest, home = parameters.digest, _relays(parameters, _said_of(parameters, said))[0].id
    known = {digest: KnownSet(parameters.blob, parameters.first_epoch)}
    link = Link(parameters.serial, digest, parameters.previous)
    return FederationState(digest, home, {parameters.card_hash: said}, known, [link])


def _card(text: str) -> tuple[Parameters, bytes]:
    """A card's set, whole, and what it says beside it. Raises InvalidInput or IntegrityError."""
    fields = cards.decode(text, "federation").fields
    parameters = parsed(fields["params"])
    if not is_whole(parameters):
        raise InvalidInput("this federation card is for one relay only", "ask IT for the office's card")
    _relays(parameters, _said_of(parameters, fields["said"]))
    return parameters, fields["said"]


def _said_of(parameters: Parameters, said: bytes) -> dict[str, Any]:
    """What a card says beside its set, of which the set has the hash. Raises InvalidInput or IntegrityError."""
    if cards.said_hash(said) != parameters.card_hash:
        raise IntegrityError("the federation card does not match the settings in it", "do not use it; tell IT")
    return cards.decode_said(said)


def _relays(parameters: Parameters, said: dict[str, Any]) -> list[Relay]:
    """The relays of a card with their keys. Raises InvalidInput if it lists no relay, or others than the set."""
    keys = {relay.id: relay.static_key for relay in parameters.relays}
    if not keys or {relay["id"] for relay in said["relays"]} != keys.keys():
        raise InvalidInput("the federation card and the settings in it list different relays", "ask IT for a new card")
    return [Relay(each["name"], each["id"], keys[each["id"]], each["host"], each["port"]) for each in said["relays"]]


def _unlisted() -> InvalidInput:
    return InvalidInput("this relay is not in the federation card", "ask IT for the newest federation card")


def parsed(blob: bytes, hint: str = "tell IT") -> Parameters:
    """Read a parameter set and verify its signature. Raises IntegrityError with the hint."""
    try:
        parameters = Parameters(blob)
        parameters.verify()
    except InvalidObject as error:
        raise IntegrityError(f"these settings cannot be accepted: {error}", hint) from None
    return parameters
