"""A relay that counts what it does, for whoever runs it.

Owns the counting, and what may be counted: nothing here depends on what is stored, on whether a session posts or only
sends VOID, or on which member it is. Refusals are counted up to AUTH only: what a member is refused later (QUOTA, BUSY)
tells of posts. How the figures are shown is others' business, the relay the core's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tessera import wire
from tessera.batch import CellFrame
from tessera.errors import Refusal
from tessera.handshakes import Session
from tessera.relay import Delivery, Relay

Notice = Callable[..., None]  # notice(event, **fields)
STATES = ("greeted", "reader", "admitted", "operator")  # of a session: after the handshake, a FETCH, AUTH
_CODES = {kind: name for _, name, kind in wire.CODES}


@dataclass
class Counters:
    """What a relay has done since its start."""

    connections: int = 0
    handshakes: Counter[str] = field(default_factory=Counter)  # by "full" or "resumed"
    refusals: Counter[str] = field(default_factory=Counter)  # by the name of the code (PROTOCOL §5), up to AUTH
    sealed_rounds: int = 0
    sent_bytes: int = 0  # to everybody, without what TCP adds
    storage_faults: int = 0


class WatchedRelay(Relay):
    """`notice` is told of what a log should have: rounds, epochs, sets, faults."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.figures = Counters()
        self.notice: Notice = lambda event, **fields: None
        self._sessions: set[Session] = set()
        self._readers: set[Session] = set()
        self._serial: int | None = None
        self._epoch: int | None = None

    @property
    def sessions(self) -> dict[str, int]:
        """How many there are now, by what they are."""
        found = Counter(map(self._state, self._sessions))
        return {state: found[state] for state in STATES}

    def _state(self, session: Session) -> str:
        if session.operator:
            return "operator"
        if session.token is not None:
            return "admitted"
        return "reader" if session in self._readers else "greeted"

    # -- what a server asks a relay

    def nonce(self) -> bytes:
        self.figures.connections += 1
        nonce = super().nonce()
        self.figures.sent_bytes += len(nonce)
        return nonce

    def check_hello(self, hello: bytes, nonce: bytes) -> bytes:
        try:
            return super().check_hello(hello, nonce)
        except Refusal as refusal:
            self._refused(refusal)
            raise

    def greet(self, hello: bytes, nonce: bytes, access_key: bytes) -> tuple[Session, bytes]:
        try:
            session, reply = super().greet(hello, nonce, access_key)
        except Refusal as refusal:
            self._refused(refusal)
            raise
        self.figures.handshakes["full" if session.token is None else "resumed"] += 1
        self.figures.sent_bytes += len(reply)
        self._sessions.add(session)
        return session, reply

    def answer(self, session: Session, frame: bytes, out: bytearray) -> None:
        self.figures.sent_bytes += wire.CLIENT_FRAME_BYTES
        try:
            super().answer(session, frame, out)
        except Exception as error:
            self._failed(session, error)
            raise

    def fetch(self, session: Session, frame: bytes) -> Delivery:
        self._readers.add(session)
        try:
            delivery = super().fetch(session, frame)
        except Exception as error:
            self.figures.sent_bytes += wire.CELL_FRAME_BYTES
            self._failed(session, error)
            raise
        return _WatchedDelivery(delivery, self.figures)

    def leave(self, session: Any) -> None:
        self._sessions.discard(session)
        self._readers.discard(session)
        super().leave(session)

    def turn(self) -> bool:
        before = self.open_round
        sealed = super().turn()
        if sealed:
            self.figures.sealed_rounds += 1
            self.notice("sealed", round=self.open_round)
        if self.open_round is not None and (before is None or sealed):
            self._notice_changes()
        return sealed

    # -- what comes of it

    def _notice_changes(self) -> None:
        newest = self.parameters.newest
        if newest.serial != self._serial:
            self._serial = newest.serial
            self.notice("set", serial=newest.serial, digest=newest.digest.hex(), last_epoch=newest.end_epoch)
        if self.epoch != self._epoch:
            self._epoch = self.epoch
            self.notice("epoch", epoch=self.epoch, round=self.open_round)

    def _failed(self, session: Session, error: Exception) -> None:
        if isinstance(error, OSError):
            self._storage_failed()
        elif isinstance(error, Refusal) and session.token is None:
            self._refused(error)

    def _refused(self, refusal: Refusal) -> None:
        self.figures.refusals[_CODES[type(refusal)]] += 1

    def _storage_failed(self) -> None:
        self.figures.storage_faults += 1
        self.notice("storage fails", level="error")


class _WatchedDelivery(Delivery):
    """Every frame of a FETCH is as long as any other."""

    def __init__(self, delivery: Delivery, figures: Counters) -> None:
        self._delivery = delivery
        self._figures = figures

    def next_frame(self, frame: CellFrame) -> bool:
        self._figures.sent_bytes += wire.CELL_FRAME_BYTES
        return self._delivery.next_frame(frame)
