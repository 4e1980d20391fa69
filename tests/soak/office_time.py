"""The time of the office: our milliseconds since it opened, in a file that its relay reads (soak_relay.py).

Time passes as fast as this computer's, but in small steps, and never far ahead of anybody who has to keep up with it:
where the computer has no time for the relay, the members or the reader, a day takes longer, and nothing else changes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STEP_SECONDS = 0.002
MOST_A_STEP_SECONDS = 0.015  # a quarter of a round


@dataclass
class Follower:
    """Somebody for whom time waits. `turns()` changes with each of its turns, `there()` is whether it takes any now;
    time passes by at most so many seconds in one turn."""

    turns: Callable[[], object]
    there: Callable[[], bool]
    seconds: float
    _seen: object = field(default=None, init=False)
    _at: float = field(default=0.0, init=False)

    def keeps_up(self, now: float) -> bool:
        turns = self.turns()
        if turns != self._seen or not self.there():
            self._seen, self._at = turns, now
        return now - self._at < self.seconds


class OfficeTime:
    def __init__(self, folder: Path) -> None:
        self._now, self._beat = folder / "time", folder / "beat"
        self._seconds = 0.0
        self._now.write_bytes(bytes(8))
        self._beat.write_bytes(bytes(4))

    def milliseconds(self) -> int:
        return int(1000 * self._seconds)

    def relay_turns(self) -> bytes:
        """Changes whenever the relay looks at its clock."""
        return self._beat.read_bytes()

    async def run(self, followers: Sequence[Follower]) -> None:
        """Let it pass."""
        before = time.monotonic()
        with self._now.open("r+b", buffering=0) as file:
            while True:
                await asyncio.sleep(STEP_SECONDS)
                now = time.monotonic()
                keeping_up = [each.keeps_up(self._seconds) for each in followers]  # each is asked, every time
                if all(keeping_up):
                    self._seconds += min(now - before, MOST_A_STEP_SECONDS)
                    file.seek(0)
                    file.write(self.milliseconds().to_bytes(8, "little"))
                before = now
