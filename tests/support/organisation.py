"""The small organisation of every test: an issuer, the relays it lists, members in a folder, and their clock.

Owns how one is set up, from an empty folder to members who have met and hold tokens. What differs is passed in: the
issuer (the product's on disk, by `new_issuer`, or fake_federation's without rules), its plan, the relays, the clock.
Leaves to others: relays that run (memory_relay.py, and the processes of tests/system).
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Self

from tessera_host.clock import unix_now
from tessera_host.issuer.issuer import Issuer
from tessera_host.member import meeting, token_exchange
from tessera_host.member.state import MemberState
from tessera_host.planning import plan

from .fake_member import FakeMember

PASSPHRASE = "correct horse"
_SMALL: dict[str, Any] = {
    "cover": plan.DELIVERY,
    "epsilon": Fraction(1),
    "delta": Fraction("1e-6"),
    "members": 4,
    "round_seconds": 300,
    "epoch_rounds": 288,
    "allow_small": True,
}


@cache
def planned(**changes: Any) -> plan.Plan:
    """A plan for four members, with these changes."""
    return plan.make(plan.Choice(**_SMALL | changes))


@dataclass(frozen=True)
class Listed:
    """A relay in the parameters and the federation card; its directory has its name."""

    name: str = "first"
    host: str = "relay.example"
    port: int = 8100
    time_server: str | None = None


def new_issuer(
    folder: Path,
    made: plan.Plan | None = None,
    *relays: Listed,
    clock: Callable[[], int] = unix_now,
    passphrase: str = PASSPHRASE,
    name: str = "Office",
    service_port: int | None = None,
    **options: Any,
) -> Issuer:
    """The product's issuer in FOLDER/issuer, with the relays' directories beside it; options are of Issuer.create."""
    issuer = Issuer.create(folder / "issuer", passphrase, made or planned(), name, now=clock, **options)
    for relay in relays:
        issuer.add_relay(relay.name, relay.host, relay.port, folder / relay.name, relay.time_server)
    if service_port is not None:
        issuer.set_service("127.0.0.1", service_port)
    return issuer


def keystore_content(path: Path) -> bytes:
    """Of the issuer's keystore as a backup of the file would have it when nobody has it open."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    connection.close()
    return path.read_bytes()


class Organisation:
    """Members' homes have their names, beside the issuer's. A context manager, which closes everybody."""

    def __init__(
        self, folder: Path, issuer: Any, clock: Callable[[], int] = unix_now, passphrase: str = PASSPHRASE
    ) -> None:
        """issuer: an Issuer, or a FakeIssuer."""
        self.folder = folder
        self.issuer = issuer
        self.clock = clock
        self.passphrase = passphrase
        self.members: dict[str, MemberState] = {}

    # -- the issuer

    @property
    def federation_card(self) -> str:
        card: str = self.issuer.federation_card
        return card

    def open_issuer(self) -> Issuer:
        return Issuer.open(self.folder / "issuer", self.passphrase, self.clock)

    def restart_issuer(self) -> None:
        """As after a crash: only what is on the disk counts."""
        self.issuer.close()
        self.issuer = self.open_issuer()

    # -- members

    def home(self, name: str) -> Path:
        return self.folder / name

    def create(self, name: str) -> MemberState:
        """A member with nothing but a keystore."""
        card = self.federation_card
        self.members[name] = MemberState.create(self.home(name), name, card, self.passphrase, self.clock)
        return self.members[name]

    def admit(self, name: str) -> MemberState:
        """A member on the roster."""
        member = self.create(name)
        self.issuer.admit(member.card())
        return member

    def supply(self, name: str) -> MemberState:
        """A member on the roster who has tokens."""
        member = self.admit(name)
        token_exchange.fetch(member, self.issuer)
        return member

    def two_who_met(self, name: str = "alice", other: str = "bob") -> tuple[MemberState, MemberState]:
        """Two members with tokens, contacts of each other."""
        one, two = self.supply(name), self.supply(other)
        introduce(one, two)
        return one, two

    def open(self, name: str) -> MemberState:
        self.members[name] = MemberState.open(self.home(name), self.passphrase, self.clock)
        return self.members[name]

    def reopen(self, name: str) -> MemberState:
        """As after a crash: only what is on the disk counts."""
        self.members[name].close()
        return self.open(name)

    def admit_fake(self, name: str) -> FakeMember:
        """A member on the roster who is nothing but a key and cards."""
        member = FakeMember(name, self.issuer.parameters.federation_id)
        self.issuer.admit(member.card())
        return member

    def close(self) -> None:
        for member in self.members.values():
            member.close()
        self.issuer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def introduce(one: MemberState, other: MemberState) -> None:
    """Make two members contacts of each other, who call each other by their own names."""
    answer = meeting.answer(other, meeting.invite(one, other.identity.name), one.identity.name)
    meeting.accept(other, meeting.confirm(one, answer)[1])
