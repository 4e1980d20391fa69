"""How much still arrives when nodes are lost: `python -m tests.cluster.shares` writes docs/cluster.svg, and prints the
table that docs/it/cluster.md has.

An office of five relays, in memory, whose members have one message each on its way, all safe: every set of relays is
lost once, and who reads then has what is left. Beside that the chance, computed by hand: a mailbox's k relays are any k
of five, so that of all sets of n lost relays a share of C(n, k) / C(5, k) has all of them.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import pytest

from tessera.params import Parameters
from tessera_host.agent.client import Client
from tessera_host.errors import TesseraError
from tessera_host.issuer.issuer import Issuer
from tessera_host.member import meeting, token_exchange
from tessera_host.member.state import MemberState
from tessera_host.planning import plan
from tessera_host.protocol.topology import MESH, RING, Topology
from tessera_host.report.plots import FIRST, INK, ON_PAPER, SECOND, Inks, Plot
from tests.support import quick_keystores
from tests.support.memory_network import MemoryNetwork
from tests.support.memory_relay import MemoryRelay
from tests.support.virtual_time import VirtualTimeLoop

NODES, MEMBERS = 5, 20
KINDS, COPIES = (MESH, RING), (1, 2, 3)
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "cluster.svg"
_PASSPHRASE = "correct horse"
_GENESIS = 1_798_761_600  # 1 January 2027, 00:00 UTC
_ROUND_SECONDS, _EPOCH_ROUNDS = 300, 288
_MARKS = {MESH: "o", RING: "x"}


@dataclass(frozen=True)
class Shares:
    """Of the messages, by nodes lost: 0 to 4."""

    topology: Topology
    delivered: list[Fraction]


def by_hand(copies: int, lost: int, nodes: int = NODES) -> Fraction:
    """The share of messages of which a copy is left."""
    return 1 - Fraction(comb(lost, copies), comb(nodes, copies))


class _Office:
    """Relays in memory at their addresses, and members who have met in a ring."""

    def __init__(self, folder: Path, topology: Topology, members: int, patch: pytest.MonkeyPatch) -> None:
        quick_keystores.use(patch)
        self.folder, self.topology = folder, topology
        self.loop = VirtualTimeLoop()
        self.network = MemoryNetwork()
        self.network.serve(patch)
        self.relays: dict[str, MemoryRelay] = {}
        self.names = [f"member-{number}" for number in range(members)]
        self._found()

    def now(self) -> float:
        return _GENESIS + self.loop.time()

    def unix(self) -> int:
        return int(self.now())

    def _found(self) -> None:
        choice = plan.Choice(
            members=len(self.names),
            relays=NODES,
            topology=self.topology.kind,
            copies=self.topology.copies,
            round_seconds=_ROUND_SECONDS,
            epoch_rounds=_EPOCH_ROUNDS,
            allow_small=True,
        )
        directory = self.folder / "issuer"
        with Issuer.create(
            directory, _PASSPHRASE, plan.make(choice), "Cluster", genesis=_GENESIS, now=self.unix
        ) as issuer:
            secrets = {}
            for number in range(NODES):
                name = f"node-{number}"
                secrets[name] = issuer.add_relay(name, f"{name}.example", 8100, self.folder / name)
            for name, secret in secrets.items():
                parameters = Parameters(issuer.copy_for(name))
                self.relays[name] = MemoryRelay(parameters, secret.static_secret, self.now, secret.ledger_secret)
                self.switch(name, on=True)
            members = [self._member(number, issuer) for number in range(len(self.names))]
            for number, member in enumerate(members):
                other = members[(number + 1) % len(members)]
                answer = meeting.answer(other, meeting.invite(member, other.identity.name), member.identity.name)
                meeting.accept(other, meeting.confirm(member, answer)[1])
            for member in members:
                member.close()

    def _member(self, number: int, issuer: Issuer) -> MemberState:
        """As many on each home."""
        name = self.names[number]
        member = MemberState.create(self.folder / name, name, issuer.federation_card, _PASSPHRASE, self.unix)
        member.federation.choose_home(f"node-{number % NODES}")
        issuer.admit(member.card())
        token_exchange.fetch(member, issuer)
        member.save()
        return member

    def switch(self, name: str, on: bool) -> None:
        if on:
            self.network.answer_at(f"{name}.example", 8100, self.relays[name].connected)
        else:
            self.network.is_silent_at(f"{name}.example", 8100)

    def _client(self, home: Path) -> Client:
        return Client(MemberState.open(home, _PASSPHRASE, self.unix), now=self.now, sleep=asyncio.sleep)

    async def write(self) -> None:
        """A message each, until it is safe."""
        for number, name in enumerate(self.names):
            async with self._client(self.folder / name) as client:
                sent = await client.send(self.names[(number + 1) % len(self.names)], f"from {name}")
                assert self.topology.copies == 1 or sent.is_safe, f"{name}'s message is not safe"
        await asyncio.sleep(2 * _ROUND_SECONDS)

    async def read_without(self, lost: Sequence[str]) -> int:
        """How many messages are there for who reads when these relays are lost; nobody has read them afterwards."""
        for name in lost:
            self.switch(name, on=False)
        found = 0
        for name in self.names:
            home = self.folder / "copy"
            shutil.copytree(self.folder / name, home)
            async with self._client(home) as client:
                try:
                    found += len((await client.fetch()).messages)
                except TesseraError:  # all of its relays are lost
                    found += len(await client.inbox(new=True))
            shutil.rmtree(home)
        for name in lost:
            self.switch(name, on=True)
        return found


def measured(topology: Topology, most_lost: int = NODES - 1, members: int = MEMBERS) -> Shares:
    with tempfile.TemporaryDirectory(prefix="tessera-shares-") as folder, pytest.MonkeyPatch.context() as patch:
        office = _Office(Path(folder), topology, members, patch)
        try:
            return office.loop.run_until_complete(_measured(office, most_lost))
        finally:
            office.loop.close()


async def _measured(office: _Office, most_lost: int) -> Shares:
    await office.write()
    delivered = []
    for lost in range(most_lost + 1):
        sets = list(combinations(office.relays, lost))
        found = [await office.read_without(names) for names in sets]
        delivered.append(Fraction(sum(found), len(office.names) * len(sets)))
    return Shares(office.topology, delivered)


def table(found: Sequence[Shares]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| relays lost of 5 | " + " | ".join(map(str, range(NODES))) + " |"
    yield "|---" * (NODES + 1) + "|"
    for copies in COPIES:
        for shares in found:
            if shares.topology.copies == copies:
                yield _line(f"{_copies(copies)}, {shares.topology.kind}", shares.delivered)
        yield _line(f"{_copies(copies)}, by hand", [by_hand(copies, lost) for lost in range(NODES)])


def _copies(number: int) -> str:
    return "1 copy" if number == 1 else f"{number} copies"


def _line(what: str, shares: Sequence[Fraction]) -> str:
    return f"| {what} | " + " | ".join(f"{float(100 * share):.0f} %" for share in shares) + " |"


def picture(found: Sequence[Shares]) -> str:
    """An SVG: the same bytes for the same shares."""

    def draw(axes: Any, inks: Inks) -> None:
        lost = range(NODES)
        for copies, ink, style in zip(COPIES, (FIRST, SECOND, INK), ("-", "--", ":"), strict=True):
            hand = [100 * float(by_hand(copies, number)) for number in lost]
            axes.plot(lost, hand, style, color=inks[ink], linewidth=1.2, label=f"{_copies(copies)}, by hand")
            for shares in found:
                if shares.topology.copies == copies:
                    percent = [100 * float(share) for share in shares.delivered]
                    mark, kind = _MARKS[shares.topology.kind], shares.topology.kind
                    axes.plot(
                        lost, percent, mark, color=inks[ink], fillstyle="none", label=f"{_copies(copies)}, {kind}"
                    )
        axes.figure.set_facecolor("white")  # where the page is dark, too
        axes.set_xticks(lost)
        axes.set_ylim(0, 105)
        axes.set_xlabel("relays lost of 5")
        axes.set_ylabel("messages delivered, %")
        axes.legend(loc="lower left", ncols=3, fontsize=7)

    return Plot("cluster", draw).svg(ON_PAPER)


def main() -> int:
    parser = argparse.ArgumentParser(description="How much still arrives when nodes are lost.")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--least", action="store_true", help="one setting, one node lost")
    chosen = parser.parse_args()
    if chosen.least:
        return int(measured(Topology(MESH, 2), 1, members=5).delivered != [1, 1])
    found = [measured(Topology(kind, copies)) for copies in COPIES for kind in KINDS]
    print("\n".join(table(found)))
    chosen.picture.write_text(picture(found))
    hand = {copies: [by_hand(copies, lost) for lost in range(NODES)] for copies in COPIES}
    return int(any(shares.delivered != hand[shares.topology.copies] for shares in found))


if __name__ == "__main__":
    sys.exit(main())
