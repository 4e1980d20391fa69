"""`make bench`, the issuer's part: what a request of two tokens costs with a roster of ten and of a hundred thousand.

Owns the measurement. The issuer is the product's, with its keystore on this disk; a request is what the service does
for one, the offer and the answer, each with the keystore taken and given back. Left out are the network and the
member's own work. The keystore has lived: everybody has had tokens and an answer that is kept.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tessera import curve
from tessera_host.issuer.issuer import Issuer
from tessera_host.planning import plan
from tests.support.clock import Clock
from tests.support.fake_member import FakeMember

LIMIT_MS = 10
ROSTERS = (10, 100_000)
REQUESTS = 200
AHEAD = 8
PASSPHRASE = "bench"
HAD = {epoch: {1: 1, 2: 1} for epoch in range(AHEAD)}  # what everybody was given already
# As many members as ask here; those on the roster beside them only fill the keystore.
CHOICE = plan.Choice(
    cover=plan.DELIVERY,
    epsilon=Fraction(1),
    delta=Fraction("1e-6"),
    members=2 * REQUESTS,
    round_seconds=300,
    epoch_rounds=288,
    posts_per_token=4,
    retention_epochs=1,
    board="GATEWAY",
    allow_small=True,
)


@dataclass(frozen=True)
class Cost:
    """Of one request, in milliseconds: on the wall and of the processor."""

    wall: float
    processor: float


def filled(folder: Path, roster: int, clock: Clock) -> Issuer:
    """An issuer with two relays and so many members, of whom each was given what there was but for the last epoch."""
    issuer = Issuer.create(folder / "issuer", PASSPHRASE, plan.make(CHOICE), "Office", now=clock)
    for number in (7, 8):
        point = curve.public(number.to_bytes(32, "big"))
        issuer.add_relay_keys(f"relay {number}", "localhost", 8100, point, point[1:])
    store = issuer._store
    table, counts = store.keystore.table, store.data["roster"]
    with store.change():
        for number in range(roster):
            key = number.to_bytes(32, "big")
            table("roster").put(key, {"name": f"member {number}", "key": key, "number": number + 1})
            table("roster_names").put(f"member {number}".encode(), key)
            table("charged").put(os.urandom(36), HAD, AHEAD, 1)
            table("seen").put(os.urandom(32), True, 3)
            table("answered").put(os.urandom(16), {"challenge": os.urandom(32), "answer": "x" * 300}, AHEAD + 1)
        counts |= {"members": counts["members"] + roster, "ever": counts["ever"] + roster}
    return issuer


def asking(issuer: Issuer) -> Iterator[FakeMember]:
    """Members who lack two tokens, those of the last epoch."""
    store = issuer._store
    for number in range(REQUESTS):
        member = FakeMember(f"asking {number}", issuer.parameters.federation_id)
        with store.change():
            row = {"name": member.name, "key": member.key, "number": 0}  # there is no room for so many on the roster
            store.keystore.table("roster").put(member.key, row)
            store.keystore.table("charged").put((1).to_bytes(4, "big") + member.key, HAD, AHEAD, 1)
        yield member


def measured(roster: int) -> Cost:
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=".") as folder:
        issuer = filled(Path(folder), roster, clock)
        members, newest = list(asking(issuer)), issuer.parameters
        issuer.release()
        costs = [_request(issuer, member, newest, clock()) for member in members]
        issuer.close()
    return Cost(statistics.mean(cost.wall for cost in costs), statistics.mean(cost.processor for cost in costs))


def _request(issuer: Issuer, member: FakeMember, newest: object, now: int) -> Cost:
    cost = []
    card = member.request(1, 0, now)
    for _ in range(2):
        began = time.perf_counter(), time.process_time()
        with issuer.held():
            answer = issuer.issue(card, online=True)
        cost.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        if len(cost) == 1:
            card, pending = member.challenge(answer, newest)  # type: ignore[arg-type]
            assert len(pending) == 2
    return Cost(*(1000 * sum(each) for each in zip(*cost, strict=True)))


def figures() -> dict[str, dict[str, float]]:
    """By the length of the roster."""
    found = {str(roster): measured(roster) for roster in ROSTERS}
    return {
        roster: {"wall_ms": round(cost.wall, 2), "processor_ms": round(cost.processor, 2)}
        for roster, cost in found.items()
    }


def show(found: dict[str, dict[str, float]]) -> None:
    table = Table(title=f"The issuer: a request of two tokens, {REQUESTS} of them", title_justify="left")
    for name in ("members on the roster", "wall, ms", "processor, ms", "at most, ms"):
        table.add_column(name, justify="right")
    for roster, cost in found.items():
        table.add_row(f"{int(roster):,}", f"{cost['wall_ms']:.1f}", f"{cost['processor_ms']:.1f}", str(LIMIT_MS))
    Console().print(table)


if __name__ == "__main__":
    show(figures())
