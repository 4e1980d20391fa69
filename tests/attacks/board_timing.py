"""The timing attack, in cycles of the emulated Pico. A member fetches cells that all have the same published count, but
different real ones, posts into a round that fills, and pings; it notes when each frame comes. The game: a least-squares
fit of every time on the real count. Bound: the 99 % interval of the slope holds zero, for the moments at which frames
leave and for the work behind them.

The control is a relay that works on pages with records once more: the same fit must find it.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy import stats

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("tests/core", "tools", "firmware")
sys.path[:0] = [str(ROOT / folder) for folder in FOLDERS]

import office  # noqa: E402
from boards import read_board  # noqa: E402
from check import unhex, vectors  # noqa: E402
from emulator.execution import DONE, execute  # noqa: E402
from emulator.littlefs_image import SECTOR_BYTES  # noqa: E402
from emulator.relay_flash import RINGS, write_relay  # noqa: E402
from emulator.testvolume import CORE_TESTS  # noqa: E402
from results import Row, publish  # noqa: E402
from tessera.clock import Clock  # noqa: E402
from tessera.filedevice import FileDevice  # noqa: E402
from tessera.files import Directory  # noqa: E402
from tessera.relay import Identity, Relay  # noqa: E402

BOARD = "RPI_PICO"
IMAGE = ROOT / "build" / BOARD / "firmware.uf2"
EPOCH_ROUNDS = 400
TABLE = 4  # of noise_table.json: ε = 0.25, δ = 10^-6
PUBLISHED = 64  # records of each cell that is looked at, real ones and cover
CONFIDENCE = 0.99
PARTS: dict[str, Path | bytes] = {"board_program": Path(__file__).with_name("board_program.py")} | {
    name: CORE_TESTS / f"{name}.py" for name in ("office", "check", "ramdevice", "flashvectors")
}


@dataclass(frozen=True)
class Slope:
    """Cycles for one real record more, and half the width of its interval."""

    cycles: float
    margin: float
    spread: float  # standard deviation of what was fitted
    observations: int

    @property
    def holds_zero(self) -> bool:
        return abs(self.cycles) <= self.margin

    def __str__(self) -> str:
        return (
            f"{self.cycles:+.1f} ± {self.margin:.1f} cycles a record in {self.observations} observations "
            f"(standard deviation {self.spread:,.0f})"
        )


def fit(real: list[int], observed: list[float]) -> Slope:
    """Ordinary least squares of observed on the real count."""
    found = stats.linregress(real, observed)
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(real) - 2) * found.stderr)
    return Slope(float(found.slope), margin, statistics.stdev(observed), len(real))


def make_relay(folder: Path, rounds: int, seed: int) -> tuple[dict[int, int], int]:
    """A relay of so many rounds with PUBLISHED records: (their real counts, its time in ms)."""
    dice = random.Random(seed)
    thresholds = unhex("".join(vectors("noise_table")[TABLE]["thresholds"]))
    shape: dict[str, Any] = {"epoch_rounds": EPOCH_ROUNDS, "retention_epochs": 1, "buckets": 1, "members": 1}
    (folder / "parameters").write_bytes(office.parameters(thresholds=thresholds, epsilon=250_000, **shape))
    (folder / "seed").write_bytes(dice.randbytes(32))
    partitions = read_board(BOARD).partitions
    sectors = {name: partitions[name].length // SECTOR_BYTES for name in RINGS}
    ring, keys = (FileDevice(str(folder / file), sectors[name]) for name, file in RINGS.items())
    now = [0]
    clock = Clock(lambda: now[0], lambda later, earlier: later - earlier)
    identity = Identity(office.STATIC, office.LEDGER, b"board", bytes(32))
    relay = Relay(ring, keys, Directory(str(folder)), identity, dice.randbytes, clock)
    relay.start()
    start_ms = 1000 * office.GENESIS + 500
    clock.set(start_ms)
    real: dict[int, int] = {}
    while len(real) < rounds:
        if relay.turn():
            relay.maintain()
        round_ = relay.open_round
        count = PUBLISHED - relay.batch(0, round_).count
        if count >= 0:
            real[round_] = count
        for _ in range(max(0, count)):
            relay._log.append(round_, 0, dice.randbytes(240), relay._ciphers[relay.epoch])
        now[0] += 1000 * office.ROUND_SECONDS
    relay.turn()
    ring.close()
    keys.close()
    return real, start_ms + now[0]


def observe(image: Path, rounds: int, seed: int, leak: bool) -> tuple[dict[int, int], list[dict[str, Any]]]:
    """(real counts by round, what the member on the board saw)"""
    with tempfile.TemporaryDirectory(prefix="tessera-timing-") as name:
        folder = Path(name)
        (folder / "relay").mkdir()
        real, now_ms = make_relay(folder / "relay", rounds, seed)
        config: dict[str, Any] = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
        config |= {"now_ms": now_ms, "rounds": list(real), "leak": leak}
        partitions = {name: (each.offset, each.length) for name, each in read_board(BOARD).partitions.items()}
        write_relay(
            folder / "flash.bin", folder / "relay", partitions, PARTS | {"attack.json": json.dumps(config).encode()}
        )
        program = folder / "program.py"
        program.write_text("import device\ndevice.keep_room()\nimport board_program\nboard_program.main()\n")
        execution = execute(image, folder / "flash.bin", program, seed=seed)
    if execution.status != DONE:
        raise AssertionError(f"board_program.py failed on the board:\n{execution.output}{execution.errors}")
    return real, [json.loads(line) for line in execution.output.splitlines()]


def fetch_slopes(real: dict[int, int], seen: list[dict[str, Any]]) -> dict[str, Slope]:
    """Slopes of what a FETCH shows, and of the work behind it."""
    cells = [each for each in seen if "fetch" in each]
    counts = [real[each["fetch"]] for each in cells]
    assert {each["count"] for each in cells} == {PUBLISHED}
    shown = {
        "FETCH, first frame leaves": [each["times"][0] for each in cells],
        "FETCH, last frame leaves": [each["times"][-1] for each in cells],
        "FETCH, longest time between frames": [max(_gaps(each["times"])) for each in cells],
        "FETCH, work for the first frame": [each["work"][0] for each in cells],
        "FETCH, work for all frames": [sum(each["work"]) for each in cells],
    }
    return {name: fit(counts, times) for name, times in shown.items()}


def _gaps(times: list[int]) -> list[int]:
    return [later - sooner for sooner, later in pairwise(times)]


def ping_slopes(seen: list[dict[str, Any]]) -> dict[str, Slope]:
    """Slopes of answers on the number of records in the open round."""
    slopes = {}
    for name, title in (("post", "POST to ACK"), ("void", "VOID"), ("info", "INFO")):
        answers = [each for each in seen if name in each]
        slopes[title] = fit([each[name] for each in answers], [each["times"][0] for each in answers])
    return slopes


def rows(image: Path, rounds: int, control_rounds: int) -> list[Row]:
    real, seen = observe(image, rounds, 1, leak=False)
    slopes = fetch_slopes(real, seen) | ping_slopes(seen)
    found = [Row(name, str(slope), "interval holds 0", slope.holds_zero) for name, slope in slopes.items()]
    leaked = fetch_slopes(*observe(image, control_rounds, 2, leak=True))["FETCH, work for all frames"]
    control = Row("control: more work for real records", str(leaked), "interval above 0", leaked.cycles > leaked.margin)
    return [*found, control]


def main() -> int:
    start = time.monotonic()
    found = rows(IMAGE, 120, 30)
    return 0 if publish("attacks-board", "make test-attacks", found, time.monotonic() - start) else 1


if __name__ == "__main__":
    sys.exit(main())
