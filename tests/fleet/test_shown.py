"""What a fleet promises about its engine, on gateways that run: whoever notices that it lies stops, and nobody served
another batch than the others.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from office import EPOCH_ROUNDS, records
from tessera.errors import Refusal, Refused
from tessera_host.fleet.log import Log, LogBroken
from tests.fleet import tampering_log
from tests.fleet.running import ROUND, Play, played
from tests.fleet.tampering_log import Forked, Swapped, Tamper, TamperingLog

LIED_TO = 3
_BUCKETS = 2

LIES: dict[str, Callable[[], Tamper]] = {
    "lost": lambda: tampering_log.lost,
    "doubled": lambda: tampering_log.doubled,
    "changed": lambda: tampering_log.changed,
    "of another gateway": lambda: tampering_log.of_another_gateway,
    "swapped": Swapped,
    "forked": lambda: Forked(LIED_TO),
}


class Watched(Play):
    """What each gateway served is remembered. Gateway LIED_TO is shown what `lies` makes of the log, once it begins."""

    def __init__(self, *arguments: Any, lies: Tamper | None = None, **changes: Any) -> None:
        super().__init__(*arguments, **changes)
        self.front = TamperingLog(self.log, lies or (lambda entry: (entry.entry,)), begins=1 << 62)
        self.lies = lies is not None
        self.served: dict[tuple[int, int], dict[int, tuple[bytes, ...]]] = {}  # by round and bucket, and gateway

    def log_of(self, number: int) -> Log:
        return self.front if number == LIED_TO else self.log

    async def live(self, rounds: int) -> None:
        """Somebody posts at each gateway; everything new that a gateway serves is read."""
        for at in range(rounds):
            for number in list(self.gateways):
                member = self.member(number, token=number)
                try:
                    await member.admit()
                    await member.send(records(1, bytes((at, number)))[0], at % _BUCKETS)
                except (Refusal, Refused):
                    assert self.lies
            await asyncio.sleep(ROUND)
            self.look()
            if self.errors:
                break

    def look(self) -> None:
        for number, gateway in self.gateways.items():
            for round_ in range(gateway.state.published - 2, gateway.state.published):
                for bucket in range(_BUCKETS):
                    batch = tuple(map(bytes, self.member(number).cell(round_, bucket)))
                    found = self.served.setdefault((round_, bucket), {})
                    assert found.setdefault(number, batch) == batch


@pytest.mark.parametrize("what", LIES)
def test_gateway_to_which_the_engine_lies_stops_and_never_served_another_batch(what: str, tmp_path: Path) -> None:
    served: dict[tuple[int, int], dict[int, tuple[bytes, ...]]] = {}

    async def story(play: Watched) -> None:
        await play.begin(3)
        await play.next_round()
        await play.live(2)
        play.front.begins = len(play.log.entries) + 1
        await play.live(EPOCH_ROUNDS + 2)
        await asyncio.sleep(ROUND)
        play.look()
        served.update(play.served)
        stopped = play.errors.copy()
        play.errors.clear()
        assert all(isinstance(error, LogBroken) for error in stopped.values()), stopped
        # Who is shown nothing of the others' notices nothing; they do, by what it writes. With other lies either it or
        # the others notice first, by who writes first; then nobody is left to write what the rest would notice by.
        others = set(stopped) == {1, 2}
        assert others if what == "forked" else LIED_TO in stopped or others

    played(story, tmp_path, lambda *given, **changes: Watched(*given, lies=LIES[what](), **changes))
    assert sum(len(each) for each in served.values()) > 4 * _BUCKETS
    for cell, found in served.items():
        assert len(set(found.values())) == 1, f"gateways {sorted(found)} served different batches of {cell}"


def test_gateways_to_which_the_engine_does_not_lie_go_on(tmp_path: Path) -> None:
    async def story(play: Watched) -> None:
        await play.begin(3)
        await play.next_round()
        await play.live(EPOCH_ROUNDS + 2)
        assert len(play.gateways) == 3, play.errors
        assert all(len(set(found.values())) == 1 for found in play.served.values())
        assert sum(len(found) == 3 for found in play.served.values()) > EPOCH_ROUNDS * _BUCKETS

    played(story, tmp_path, Watched)
