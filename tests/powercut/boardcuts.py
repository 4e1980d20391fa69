"""Power cuts of the emulated Pico: the shipped image, cut in every flash operation of a boot, of posts across a
sector's end, of seals and of a change of epoch; then it boots again and everything must be there.

Owns the host's side: the flash a run begins with, the cut, and the comparison of what was said before with what is
there after. What runs on the board is board_main.py. `make test-powercut` runs all of it.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import office
from tessera.clock import Clock
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.hashes import sha256
from tessera.relay import Identity, Relay
from tests.results import Row, publish
from tools.build.boards import read_board
from tools.emulator.execution import DONE, POWER_CUT, Execution, execute
from tools.emulator.littlefs_image import SECTOR_BYTES
from tools.emulator.program import Cut
from tools.emulator.relay_flash import RINGS, write_relay
from tools.emulator.testvolume import CORE_TESTS

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent


BOARD = "RPI_PICO"
IMAGE = ROOT / "build" / BOARD / "firmware.uf2"
EPOCH_ROUNDS = 3
ROUND_MS = 1000 * office.ROUND_SECONDS
EARLIER = {
    2000 + number: number // 5 for number in range(5 * (EPOCH_ROUNDS + 1))
}  # records posted before, their rounds
POSTS = 19  # board_main.py's
PARTS = {"board_main": FOLDER / "board_main.py"} | {
    name: CORE_TESTS / f"{name}.py" for name in ("office", "check", "ramdevice", "flashvectors")
}
# As power.py has them for a program; an erase of which `bytes` is meant is torn in the middle of its sector.
TEARS = (Cut(0, 0), Cut(0, 1), Cut(0, 16), Cut(0, 128, "bits"), Cut(0, 255), Cut(0, 0, "bits"), Cut(0, 2048, "random"))


@dataclass
class Said:
    """What the lines of one or more runs say."""

    open_round: int = 0
    now_ms: int = 0
    attempted: dict[int, int] = field(default_factory=lambda: dict.fromkeys(EARLIER, 0))  # number -> bucket
    acknowledged: dict[int, int] = field(default_factory=lambda: dict(EARLIER))  # number -> round
    posts: Counter[tuple[int, int]] = field(default_factory=Counter)  # (epoch, token) -> acknowledged posts
    cells: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def hear(self, output: str) -> None:
        for line in output.splitlines():
            what, *words = line.split()
            if handler := getattr(self, f"_{what}", None):
                handler(*words)

    def _open(self, round_: str, now_ms: str) -> None:
        if int(round_) < self.open_round:
            self.wrong.append(f"round {round_} is open, {self.open_round} was before")
        self.open_round, self.now_ms = int(round_), max(self.now_ms, int(now_ms))

    def _left(self, epoch: str, token: str, left: str) -> None:
        if int(left) + self.posts[int(epoch), int(token)] > 16:
            self.wrong.append(f"quota of token {token} came back")

    def _try(self, number: str, bucket: str) -> None:
        self.attempted[int(number)] = int(bucket)

    def _ack(self, number: str, round_: str, epoch: str, token: str) -> None:
        self.acknowledged[int(number)] = int(round_)
        self.posts[int(epoch), int(token)] += 1

    def _cell(self, bucket: str, round_: str, noise: str, *batch: str) -> None:
        cell = int(bucket), int(round_)
        records = list(batch)
        if self.cells.setdefault(cell, records) != records:
            self.wrong.append(f"served round {cell} changed")
        posted = {digest(number): number for number in self.attempted}
        real = [posted[each] for each in records if each in posted]
        if len(records) - len(real) != int(noise):
            self.wrong.append(f"{cell} has {len(records) - len(real)} records of cover, not {noise}")
        if len(set(real)) != len(real):
            self.wrong.append(f"a record twice in {cell}")
        for number, when in self.acknowledged.items():
            if (self.attempted[number], when) == cell and number not in real:
                self.wrong.append(f"acknowledged record {number} is lost")

    def _keys(self, *keys: str) -> None:
        self.keys.update(keys)


def record(number: int) -> bytes:
    """As board_main.py makes it."""
    return b"".join(sha256(b"board", number.to_bytes(2, "big"), bytes((part,))) for part in range(8))[:240]


def digest(number: int) -> str:
    return sha256(record(number))[:6].hex()


def make_flash(flash: Path, files: dict[str, bytes] | None = None) -> tuple[int, set[bytes]]:
    """The flash of a board that has run for two epochs, with these files beside; its time in ms, and keys that are to
    be gone an epoch later."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parameters").write_bytes(office.parameters(epoch_rounds=EPOCH_ROUNDS, retention_epochs=1))
        (folder / "seed").write_bytes(bytes(range(32)))
        now_ms, old_keys = _run_two_epochs(folder)
        config = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
        (folder / "office.json").write_text(json.dumps(config))
        partitions = {name: (each.offset, each.length) for name, each in read_board(BOARD).partitions.items()}
        write_relay(flash, folder, partitions, PARTS | (files or {}))
    return now_ms, old_keys


def _run_two_epochs(folder: Path) -> tuple[int, set[bytes]]:
    ticks = [0]
    clock = Clock(lambda: ticks[0], lambda later, earlier: later - earlier)
    partitions = read_board(BOARD).partitions
    ring, keys = (
        FileDevice(str(folder / file), partitions[name].length // SECTOR_BYTES) for name, file in RINGS.items()
    )
    identity = Identity(office.STATIC, office.LEDGER, b"board", bytes(32))
    relay = Relay(ring, keys, Directory(str(folder)), identity, random.Random("board cuts").randbytes, clock)
    relay.start()
    start = 1000 * office.GENESIS + 500
    clock.set(start)
    statement = office.time_statement(start // 1000)
    assert relay.push(office.Cable(), len(statement), 0, len(statement), statement)
    for round_ in range(EPOCH_ROUNDS + 1):
        if relay.turn():
            relay.maintain()
        for number in [number for number, when in EARLIER.items() if when == round_]:
            relay._log.append(round_, 0, record(number), relay._epochs.ciphers[relay.epoch])
        ticks[0] += ROUND_MS
    relay.turn()
    ring.close()
    keys.close()
    return start + ticks[0], set(relay._keyring.epochs[0])


class Cuts:
    """The runs: one whole, to count its flash operations, and any number that are cut."""

    def __init__(self, image: Path, folder: Path, run: Callable[..., Execution] = execute) -> None:
        self._image, self._folder, self._execute = image, folder, run
        self._start = folder / "start.bin"
        self._now_ms, self._old_keys = make_flash(self._start)
        whole = self._run("whole", f"workload({self._now_ms})")
        assert whole.status == DONE, whole.output + whole.errors
        self.operations = whole.flash_operations
        said = Said()
        said.hear(whole.output)
        assert not said.wrong and len(said.acknowledged) == len(EARLIER) + POSTS, said

    def _run(self, name: str, call: str, cut: Cut | None = None) -> Execution:
        flash, program = self._folder / f"{name}.bin", self._folder / f"{name}.py"
        if not flash.exists():
            shutil.copy(self._start, flash)
        program.write_text(f"import board_main\nboard_main.{call}\n")
        return self._execute(self._image, flash, program, cut=cut, guest_seconds=120)

    def cut(self, operation: int, tear: Cut) -> list[str]:
        """What is wrong after a cut in this operation; nothing should be."""
        name = f"cut{operation}-{tear.bytes}-{tear.rest}"
        said = Said()
        torn = self._run(name, f"workload({self._now_ms})", Cut(operation, tear.bytes, tear.rest))
        if torn.status != POWER_CUT:
            return [f"the power did not fail: {torn.errors}"]
        said.hear(torn.output)
        after = self._run(name, f"inspect({said.now_ms or self._now_ms})")
        flash = self._folder / f"{name}.bin"
        raw = flash.read_bytes()
        flash.unlink()
        if after.status != DONE:
            return [f"it does not come up: {after.output}{after.errors}"]
        said.hear(after.output)
        if 1000 not in said.acknowledged:
            said.wrong.append("it does not serve")
        if any(secret.hex() not in said.keys and secret in raw for secret in self._old_keys):
            said.wrong.append("an erased key is still on the flash")
        return said.wrong


def cut_all(cuts: Cuts, cases: list[tuple[int, Cut]]) -> dict[str, list[str]]:
    """What is wrong, by case."""
    wrong: dict[str, list[str]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (operation, tear), found in zip(cases, pool.map(lambda case: cuts.cut(*case), cases), strict=True):
            if found:
                wrong[f"operation {operation}, {tear.bytes} bytes, {tear.rest}"] = found
    return wrong


def every_operation(cuts: Cuts) -> list[tuple[int, Cut]]:
    """Each operation in one measure, another one from one operation to the next."""
    return [(operation, TEARS[operation % len(TEARS)]) for operation in range(1, cuts.operations + 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut the power of the emulated Pico at every flash operation.")
    parser.add_argument("--least", action="store_true", help="only one cut")
    least = parser.parse_args().least
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tessera-powercut-") as folder:
        cuts = Cuts(IMAGE, Path(folder))
        cases = every_operation(cuts)[: 1 if least else None]
        wrong = cut_all(cuts, cases)
    for case, found in wrong.items():
        print(f"FAIL  {case}: {'; '.join(found)}")
    text = f"{cuts.operations} operations; {len(cases)} cuts, {len(wrong)} with a broken promise"
    rows = [Row("boot, posts across a sector's end, seals, change of epoch", text, "0 broken", not wrong)]
    return 0 if publish("powercut-board", "make test-powercut", rows, time.monotonic() - start, whole=not least) else 1


if __name__ == "__main__":
    sys.exit(main())
