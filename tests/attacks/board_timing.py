"""The timing attack, in cycles of the emulated Pico. A member fetches cells that all have the same published count, but
different real ones, alone and while another member posts and pings; two members post into a round that fills, and ping.
It notes when each frame is handed to the socket. The game: a least-squares fit of every time on the real count, with
the round, which is public, beside it. Bound: the 99 % interval of the slope holds zero and is narrower than said.

Every experiment is made twice: with the product's delays, and without any, where frames leave as soon as the work for
them is done; the latter says more than a network can. Cells have a uniform number of dummies instead of a Laplace
distributed one, as the fit sees the more the more the real counts differ; what the relay does for them is the same.

All of it at each clock that the board's relay.json may ask for: delays are in milliseconds, so at 200 MHz work that
shows has another share of a tick than at 125.

The control is a relay that makes dummies only where one is wanted: the same fit must find it.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import office
from tessera import params
from tessera.clock import Clock
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.relay import Identity, Relay
from tessera_host.planning.boards import BOARDS
from tests.results import Row, publish
from tools.build.boards import read_board
from tools.emulator.execution import DONE, Execution, execute
from tools.emulator.littlefs_image import SECTOR_BYTES
from tools.emulator.relay_flash import RINGS, write_relay
from tools.emulator.testvolume import CORE_TESTS

ROOT = Path(__file__).resolve().parent.parent.parent


BOARD = "RPI_PICO"
IMAGE = ROOT / "build" / BOARD / "firmware.uf2"
EPOCH_ROUNDS = 400
MOST_DUMMIES = 40
PUBLISHED = 44  # records of each cell, real ones and cover
CONFIDENCE = 0.99  # that no interval of so many misses its slope
FITS = 60
# What an interval must lie within, a record: what the experiment can tell apart. A tick takes 500,000 cycles, a dummy
# 45,000. Another member's requests move frames by whole ticks and leave the heap another, which is to be averaged away.
DELAYED_CYCLES = 40_000
OTHERS_CYCLES = 80_000
RING_CYCLES = 100
START_CYCLES = 1_000
WORK_CYCLES = 1_000
BESIDE_WORK_CYCLES = 4_000
OTHERS_WORK_CYCLES = 12_000
UNDELAYED = "undelayed "
FEW = 4  # real records of a round at most, in a relay that has few
BURST, SHARE = 8, 0.2  # records another posts at once, and how often
PINGS = {"post": "POST to ACK", "void": "VOID", "info": "INFO"}
PARTS: dict[str, Path | bytes] = {"board_program": Path(__file__).with_name("board_program.py")} | {
    name: CORE_TESTS / f"{name}.py" for name in ("office", "check", "ramdevice", "flashvectors")
}


Observation = dict[str, Any]
# What is fitted of the cycles from a FETCH to each of its frames.
SHOWN: dict[str, Callable[[list[int]], float]] = {
    "first frame": lambda times: times[0],
    "frame after frame": lambda times: (times[-2] - times[0]) / (len(times) - 2),
    "longest gap": lambda times: max(later - sooner for sooner, later in pairwise(times)),
    "last frame": lambda times: times[-1],
}


@dataclass(frozen=True)
class Slope:
    """Cycles for one real record more, and half the width of its interval."""

    cycles: float
    margin: float
    spread: float  # standard deviation of what was fitted, the fit taken away
    observations: int

    @property
    def holds_zero(self) -> bool:
        return abs(self.cycles) <= self.margin

    def within(self, resolution: float) -> bool:
        return abs(self.cycles) + self.margin <= resolution

    def __str__(self) -> str:
        return (
            f"{self.cycles:+.0f} ± {self.margin:.0f} cycles a record in {self.observations} observations "
            f"(standard deviation {self.spread:,.0f})"
        )


def fit(real: Sequence[int], observed: Sequence[float], *public: Sequence[float]) -> Slope:
    """Ordinary least squares of observed on the real count and on what is public."""
    design = np.column_stack([np.ones(len(real)), real, *public])
    found, _, rank, _ = np.linalg.lstsq(design, np.asarray(observed, float), rcond=None)
    left = np.asarray(observed) - design @ found
    freedom = len(real) - rank
    variance = float(left @ left) / freedom
    error = (variance * np.linalg.inv(design.T @ design)[1, 1]) ** 0.5
    margin = float(scipy.stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / FITS, freedom) * error)
    return Slope(float(found[1]), margin, float(variance**0.5), len(real))


def tabled() -> dict[str, Any]:
    thresholds = b"".join(((k + 1 << 64) // (MOST_DUMMIES + 1)).to_bytes(8, "big") for k in range(MOST_DUMMIES))
    return {"thresholds": thresholds, "members": 1, "posts_per_token": 256}


def constant() -> dict[str, Any]:
    batch = {"cover": params.CONSTANT, "constant": PUBLISHED, "thresholds": b"", "epsilon": 0, "delta": 0}
    return batch | {"members": PUBLISHED, "tokens_per_epoch": 1, "posts_per_token": 36}


def make_relay(folder: Path, rounds: int, seed: int, cover: dict[str, Any], most: int) -> tuple[dict[int, int], int]:
    """A relay of so many rounds with PUBLISHED records: (their real counts, its time in ms). most: of real records in a
    round of a constant batch."""
    dice = random.Random(seed)
    shape: dict[str, Any] = {"epoch_rounds": EPOCH_ROUNDS, "retention_epochs": 1, "buckets": 1}
    (folder / "parameters").write_bytes(office.parameters(**shape, **cover))
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
    statement = office.time_statement(start_ms // 1000)
    assert relay.push(office.Cable(), len(statement), 0, len(statement), statement)
    real: dict[int, int] = {}
    while len(real) < rounds:
        if relay.turn():
            relay.maintain()
        round_ = relay.open_round
        real[round_] = PUBLISHED - relay.batch(0, round_).count or dice.randrange(most + 1)
        for _ in range(real[round_]):
            relay._log.append(round_, 0, dice.randbytes(240), relay._epochs.ciphers[relay.epoch])
        now[0] += 1000 * office.ROUND_SECONDS
    relay.turn()
    ring.close()
    keys.close()
    return real, start_ms + now[0]


@dataclass(frozen=True)
class Experiment:
    """What is tried on a board: cells to fetch, how many of them beside another member's requests, how often a member
    pings while another posts; with delays (kind "") and without."""

    rounds: int
    beside: int = 0
    pings: int = 0
    seed: int = 1
    leak: bool = False
    kinds: tuple[str, ...] = ("", UNDELAYED)
    constant: bool = False  # batches
    most: int = PUBLISHED  # real records in such a batch
    mhz: int = BOARDS[BOARD].mhz[0]

    def run(self, image: Path, run: Callable[..., Execution] = execute) -> tuple[dict[int, int], list[Observation]]:
        """(real counts by round, what the members on the board saw)"""
        with tempfile.TemporaryDirectory(prefix="tessera-timing-") as name:
            folder = Path(name)
            (folder / "relay").mkdir()
            real, now_ms = make_relay(
                folder / "relay", self.rounds, self.seed, constant() if self.constant else tabled(), self.most
            )
            config: dict[str, Any] = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
            config |= {"now_ms": now_ms, "rounds": list(real), "beside": self.beside}
            config |= {"bursts": self.bursts(), "leak": self.leak, "kinds": self.kinds}
            partitions = {name: (each.offset, each.length) for name, each in read_board(BOARD).partitions.items()}
            parts = PARTS | {"attack.json": json.dumps(config).encode()}
            write_relay(folder / "flash.bin", folder / "relay", partitions, parts)
            program = folder / "program.py"
            clock = f"import machine\nmachine.freq({self.mhz}_000_000)\n"
            program.write_text(
                clock + "import device\ndevice.keep_room()\nimport board_program\nboard_program.main()\n"
            )
            execution = run(image, folder / "flash.bin", program, seed=self.seed)
        if execution.status != DONE:
            raise AssertionError(f"board_program.py failed on the board:\n{execution.output}{execution.errors}")
        return real, [json.loads(line) for line in execution.output.splitlines()]

    def bursts(self) -> list[int]:
        """How many records the other posts before each ping: by chance, so that the sum does not go with the step."""
        dice = random.Random(self.seed)
        return [BURST if dice.random() < SHARE else 0 for _ in range(self.pings)]


def fetch_slopes(kind: str, real: dict[int, int], seen: list[Observation]) -> dict[str, Slope]:
    """Slopes of what the FETCHes of a kind show, on the real count of their cells."""
    cells = [each for each in seen if each["kind"] == kind]
    assert {each["count"] for each in cells} == {PUBLISHED}
    counts = [real[each["round"]] for each in cells]
    public = [[each["round"] for each in cells]]
    if kind.endswith("beside"):
        public.append([each["posts"] for each in cells])
    shown = {name: [of(each["times"]) for each in cells] for name, of in SHOWN.items()}
    if kind.endswith("beside"):
        shown["answer to the other"] = [each["other"][0] for each in cells]
    return {name: fit(counts, times, *public) for name, times in shown.items()}


def ping_slopes(kind: str, seen: list[Observation]) -> dict[str, Slope]:
    """Slopes of a member's answers on the number of records in the open round that are another's."""

    def slope(name: str, of: Callable[[list[int]], float]) -> Slope:
        answers = [each for each in seen if each["kind"] == kind + name]
        steps = [each["step"] for each in answers]
        return fit([each["others"] for each in answers], [of(each["times"]) for each in answers], steps)

    slopes = {title: slope(name, SHOWN["first frame"]) for name, title in PINGS.items()}
    return slopes | {f"FETCH, {name}": slope("same fetch", of) for name, of in SHOWN.items()}


def ring_slopes(relays: list[tuple[dict[int, int], list[Observation]]]) -> dict[str, Slope]:
    """Slopes of answers on the number of records in the ring, from several relays."""
    slopes = {}
    for name, title in PINGS.items():
        stored, steps, times = [], [], []
        for real, seen in relays:
            for each in seen:
                if each["kind"] == name:
                    stored.append(sum(real.values()))
                    steps.append(each["step"])
                    times.append(each["times"][0])
        slopes[title] = fit(stored, times, steps)
    return slopes


def start_slope(relays: list[tuple[dict[int, int], list[Observation]]]) -> float:
    """Cycles of a start for one record more, between the relays with the fewest and the most."""
    starts = sorted((sum(real.values()), each["times"][0]) for real, seen in relays for each in seen[:1])
    (fewest, least), *_, (most, cycles) = starts
    return (cycles - least) / (most - fewest)


def judged(title: str, slopes: dict[str, Slope], resolution: int) -> list[Row]:
    bound = f"holds 0, within ± {resolution:,}"
    return [
        Row(f"{title}: {name}", str(slope), bound, slope.holds_zero and slope.within(resolution))
        for name, slope in slopes.items()
    ]


def rows(image: Path) -> list[Row]:
    with ThreadPoolExecutor() as pool:
        return [row for found in pool.map(partial(rows_at, image), BOARDS[BOARD].mhz) for row in found]


def rows_at(image: Path, mhz: int) -> list[Row]:
    at = partial(Experiment, mhz=mhz)
    product = at(rounds=110, beside=90, pings=60).run(image)
    control = at(rounds=24, seed=2, leak=True).run(image)
    batches = at(rounds=110, pings=90, seed=4, constant=True).run(image)
    # All but the records is the same in both. What a start reads of the key ring grows with rounds, which are public,
    # and where the allocator finds room depends on all that is there: it makes more of a difference than any record.
    few = at(rounds=110, pings=90, seed=4, constant=True, most=FEW).run(image)
    found = judged("FETCH", fetch_slopes("fetch", *product), DELAYED_CYCLES)
    found += judged("FETCH beside POST and VOID", fetch_slopes("beside", *product), OTHERS_CYCLES)
    found += judged("open round fills", ping_slopes("", product[1]), OTHERS_CYCLES)
    found += judged("ring fills", ring_slopes([batches, few]), RING_CYCLES)
    found += judged("FETCH, work", fetch_slopes(UNDELAYED + "fetch", *product), WORK_CYCLES)
    found += judged(
        "FETCH beside POST and VOID, work", fetch_slopes(UNDELAYED + "beside", *product), BESIDE_WORK_CYCLES
    )
    found += judged("open round fills, work", ping_slopes(UNDELAYED, product[1]), OTHERS_WORK_CYCLES)
    leaked = fetch_slopes(UNDELAYED + "fetch", *control)["last frame"]
    found.append(Row("control, work: last frame", str(leaked), "does not hold 0", not leaked.holds_zero))
    leaked = fetch_slopes("fetch", *control)["last frame"]
    found.append(Row("control: last frame", str(leaked), "told"))
    found += judged("constant batches, FETCH", fetch_slopes("fetch", *batches), DELAYED_CYCLES)
    found += judged("constant batches, FETCH, work", fetch_slopes(UNDELAYED + "fetch", *batches), WORK_CYCLES)
    found += judged("constant batches, open round fills", ping_slopes("", batches[1]), OTHERS_CYCLES)
    found += judged("constant batches, open round fills, work", ping_slopes(UNDELAYED, batches[1]), OTHERS_WORK_CYCLES)
    cycles = start_slope([batches, few])
    good = abs(cycles) <= START_CYCLES
    found.append(Row("restart", f"{cycles:+.0f} cycles a record in the ring", f"within ± {START_CYCLES:,}", good))
    return [replace(row, what=f"{mhz} MHz, {row.what}") for row in found]


def least_rows(image: Path) -> list[Row]:
    """The control alone, where few rounds are enough."""
    slope = fetch_slopes(UNDELAYED + "fetch", *Experiment(rounds=8, seed=2, leak=True, kinds=(UNDELAYED,)).run(image))
    leaked = slope["last frame"]
    return [Row("control, work: last frame", str(leaked), "does not hold 0", not leaked.holds_zero)]


def main() -> int:
    parser = argparse.ArgumentParser(description="The timing attack on the emulated Pico.")
    parser.add_argument("--least", action="store_true", help="only the control, in few rounds")
    least = parser.parse_args().least
    start = time.monotonic()
    found = least_rows(IMAGE) if least else rows(IMAGE)
    return 0 if publish("attacks-board", "make test-attacks", found, time.monotonic() - start, whole=not least) else 1


if __name__ == "__main__":
    sys.exit(main())
