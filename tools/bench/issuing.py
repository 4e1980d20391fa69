"""`make bench`, the issuer's part: what a request for two tokens and the work of IT cost, with rosters of a hundred and
of a hundred thousand members.

Owns the measurement. It uses the real issuer with its keystore on this disk. A request is the work of the service for
it: the offer and the answer, each time with the keystore locked and released. The network and the member's own work are
left out. The keystore has been in use: every member has had tokens, answers are kept, and as many people were invited
as ask.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tessera import curve
from tessera_host.issuer.issuer import Issuer
from tessera_host.planning import plan
from tests.support.clock import Clock
from tests.support.fake_member import FakeMember

LIMIT_MS = 10
ROSTERS = (100, 100_000)
REQUESTS = 200
MORE = 1000
AHEAD = 8
PASSPHRASE = "bench"
RELAYS = (7, 8)  # their static secrets
# But for the members, which are those on the roster and as many as ask here or are invited.
CHOICE = plan.Choice(
    cover=plan.DELIVERY,
    epsilon=Fraction(1),
    delta=Fraction("1e-6"),
    members=MORE,
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
    """An issuer with two relays and so many members, who have tokens for all epochs but the last."""
    made = plan.make(replace(CHOICE, members=roster + MORE))
    issuer = Issuer.create(folder / "issuer", PASSPHRASE, made, "Office", epochs=30, now=clock)
    for number in RELAYS:
        point = curve.public(number.to_bytes(32, "big"))
        issuer.add_relay_keys(f"relay {number}", "localhost", 8100, point, point[1:])
    issuer.set_service("localhost", 8101)
    fill(issuer, roster, had())
    return issuer


def had() -> dict[int, Any]:
    """What everybody was given already, as it is kept."""
    tags = [curve.public(number.to_bytes(32, "big"))[1:9] for number in RELAYS]
    return {epoch: dict.fromkeys(tags, 1) for epoch in range(AHEAD)}


def fill(issuer: Issuer, roster: int, had: dict[int, Any]) -> None:
    """Put so many on the roster, with what is kept of their last visit."""
    store = issuer._store
    table, counts = store.keystore.table, store.data["roster"]
    with store.change():
        for number in range(roster):
            key = number.to_bytes(32, "big")
            table("roster").put(key, {"name": f"member {number}", "key": key, "number": number + 1})
            table("roster_names").put(f"member {number}".encode(), key)
            table("charged").put(os.urandom(36), had, AHEAD, 1)
            table("seen").put(os.urandom(32), True, 3)
            table("answered").put(os.urandom(16), {"challenge": os.urandom(32), "answer": "x" * 300}, AHEAD + 1)
        counts |= {"members": counts["members"] + roster, "ever": counts["ever"] + roster}


def asking(issuer: Issuer) -> Iterator[FakeMember]:
    """Members who lack two tokens, those of the last epoch."""
    store = issuer._store
    for number in range(REQUESTS):
        member = FakeMember(f"asking {number}", issuer.parameters.federation_id)
        with store.change():
            row = {"name": member.name, "key": member.key, "number": 0}  # there is no room for so many on the roster
            store.keystore.table("roster").put(member.key, row)
            store.keystore.table("charged").put((1).to_bytes(4, "big") + member.key, had(), AHEAD, 1)
        yield member


def measured(roster: int) -> dict[str, Cost]:
    """By what is done; of what is done often the mean."""
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=".") as name:
        folder = Path(name)
        issuer = filled(folder, roster, clock)
        members, newest = list(asking(issuer)), issuer.parameters
        issuer.release()
        requests = [_request(issuer, member, newest, clock()) for member in members]
        found = {"a request of two tokens": _mean(requests)}
        with issuer.held():
            numbers = range(REQUESTS)
            invited = [_timed(lambda n=n: issuer.invite(f"new {n}", home="relay 7")) for n in numbers]  # type: ignore[misc]
            found["invite somebody"] = _mean(invited)
            found["list all"] = _timed(lambda: issuer.summary())
            found["back up"] = _timed(lambda: issuer.back_up(folder / "backup"))
            clock.now = newest.genesis + newest.epoch_rounds * newest.round_seconds + clock.now % 60
        found["a request after an epoch's turn"] = _request(issuer, members[0], newest, clock(), 1)
        with issuer.held():
            found["remove somebody, new keys"] = _timed(lambda: issuer.remove("member 1"))
        issuer.close()
    return found


def _mean(costs: list[Cost]) -> Cost:
    return Cost(statistics.mean(cost.wall for cost in costs), statistics.mean(cost.processor for cost in costs))


def _timed(act: Callable[[], object]) -> Cost:
    began = time.perf_counter(), time.process_time()
    act()
    return Cost(1000 * (time.perf_counter() - began[0]), 1000 * (time.process_time() - began[1]))


def _request(issuer: Issuer, member: FakeMember, newest: object, now: int, epoch: int = 0) -> Cost:
    cost = []
    card = member.request(1, epoch, now)
    for _ in range(2):
        began = time.perf_counter(), time.process_time()
        with issuer.held():
            answer = issuer.issue(card, online=True)
        cost.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        if len(cost) == 1:
            card, pending = member.challenge(answer, newest)  # type: ignore[arg-type]
            assert len(pending) == 2
    return Cost(*(1000 * sum(each) for each in zip(*cost, strict=True)))


def figures() -> dict[str, dict[str, dict[str, float]]]:
    """By the length of the roster, and what is done."""
    return {
        str(roster): {
            what: {"wall_ms": round(cost.wall, 2), "processor_ms": round(cost.processor, 2)}
            for what, cost in measured(roster).items()
        }
        for roster in ROSTERS
    }


def show(found: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table(title=f"The issuer, milliseconds on the wall (of the processor); {REQUESTS} requests and invitations")
    table.add_column("members on the roster")
    for roster in found:
        table.add_column(f"{int(roster):,}", justify="right")
    for what in next(iter(found.values())):
        costs = [each[what] for each in found.values()]
        table.add_row(what, *(f"{cost['wall_ms']:,.1f} ({cost['processor_ms']:,.1f})" for cost in costs))
    Console(width=110).print(table)
    print(f"A request is to take {LIMIT_MS} ms at most.")


if __name__ == "__main__":
    show(figures())
