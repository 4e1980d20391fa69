"""The soak's relay as its driver sees it: a process that can be started and cut, time that runs fast, the flash's wear
and the heap's levels. Its program is soak_relay.py; what members do with it is not known here.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import office
from check import unhex, vectors
from tessera import cover
from tessera.errors import Fault
from tessera.filedevice import FileDevice
from tessera.keyring import KeyRing
from tessera_host.cli.demo import free_port
from tests.soak.office_time import MOST_A_STEP_SECONDS, OfficeTime
from tests.soak.sets import OfficeSets

SPEED = 5000
MEMBERS, TOKENS, POSTS = 50, 2, 16
ROUND_MS = 300_000
RING_SECTORS, KEYRING_SECTORS = 208, 8  # of a Pico W
TABLE = 4  # of noise_table.json: ε = 0.25, δ = 10^-6

_PROGRAM = Path(__file__).with_name("soak_relay.py")
_START_SECONDS = 300  # an overall limit, no measure
# A look of soak_relay.py and the three lines of micropython.mem_info() after it. A power cut may have torn the last.
_LOOK = re.compile(
    r"^look (\d+) (\d+) (\d+) (\d+)\n(?:mem: .*\n)?stack: .*\nGC: total: \d+, used: (\d+), free: \d+.*\n"
    r" No\. of 1-blocks: .* max free sz: (\d+)$",
    re.MULTILINE,
)
_FREE_BLOCK_BYTES = 32  # of the collector on a 64-bit processor
_EXPECTED = ("look ", "mem: ", "stack: ", "GC: ", " No. of ", "serving")


@dataclass(frozen=True)
class Look:
    """The heap at one moment, after a collection."""

    milliseconds: int  # since this start
    epoch: int
    tokens: int
    connections: int
    used_bytes: int
    largest_free_bytes: int


@dataclass(frozen=True)
class Wear:
    """What was done to each sector of a ring."""

    erases: list[int]
    programs: list[int]

    def since(self, earlier: "Wear") -> "Wear":
        return Wear(
            [now - then for now, then in zip(self.erases, earlier.erases, strict=True)],
            [now - then for now, then in zip(self.programs, earlier.programs, strict=True)],
        )


class FastRelay:
    def __init__(self, folder: Path, epoch_rounds: int) -> None:
        self.folder, self.port, self.epoch_rounds = folder, free_port(), epoch_rounds
        self.day_seconds = ROUND_MS * epoch_rounds / SPEED / 1000  # of ours
        self.time = OfficeTime(folder)
        self.start_ms = 1000 * office.GENESIS
        self.thresholds = unhex("".join(vectors("noise_table")[TABLE]["thresholds"]))
        self.starts = 0
        self.serving = False
        shape: dict[str, Any] = {
            "members": MEMBERS,
            "retention_epochs": 1,
            "posts_per_token": POSTS,
            "log2_buckets": 0,
            "thresholds": self.thresholds,
            "epsilon": 250_000,
            "round_seconds": ROUND_MS // 1000,
            "epoch_rounds": epoch_rounds,
        }
        self.sets = OfficeSets(shape)
        (folder / "parameters").write_bytes(self.sets.newest.parameters.blob)
        (folder / "seed").write_bytes(os.urandom(32))
        secrets = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
        sectors = {"ring_sectors": RING_SECTORS, "keyring_sectors": KEYRING_SECTORS}
        (folder / "relay.json").write_text(json.dumps({**secrets, **sectors}))

    # -- time

    def day(self) -> float:
        """Days (epochs) since the first one began, by the office's clock."""
        return self.time.milliseconds() * SPEED / (ROUND_MS * self.epoch_rounds)

    def round(self) -> int:
        return int(self.day() * self.epoch_rounds)

    async def until(self, day: float) -> None:
        while (left := day - self.day()) > 0:
            await asyncio.sleep(min(left * self.day_seconds, MOST_A_STEP_SECONDS))

    async def pass_days(self, days: float) -> None:
        await self.until(self.day() + days)

    def is_there(self) -> bool:
        return self.serving and self.process.poll() is None

    def misread(self, milliseconds: int) -> None:
        """The network clock is wrong by so much from now on."""
        (self.folder / "clock_error").write_text(str(milliseconds))

    # -- the process

    def begin(self) -> None:
        """Switch it on and do not wait."""
        binary = os.environ["TESSERA_MICROPYTHON_FROZEN"]
        arguments = map(str, (self.folder, self.port, SPEED, self.start_ms))
        self._said_before = self._said_bytes()
        with (self.folder / "said").open("ab") as said:
            said.write(b"\n")  # a power cut may have torn a line
            said.flush()
            command = [binary, "-X", "heapsize=192k", str(_PROGRAM), *arguments]
            self.process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        self.starts += 1

    async def start(self) -> None:
        """Switch it on and wait until it serves."""
        self.begin()
        for _ in range(100 * _START_SECONDS):
            said = (self.folder / "said").read_bytes()[self._said_before :]
            if b"serving\n" in said:
                self.serving = True
                return
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.01)
        raise AssertionError(f"the relay did not start: {said.decode(errors='replace')}")

    def cut(self) -> None:
        """The power fails."""
        self.serving = False
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def _said_bytes(self) -> int:
        path = self.folder / "said"
        return path.stat().st_size if path.exists() else 0

    # -- what is known of it from its folder

    def looks(self) -> list[Look]:
        said = (self.folder / "said").read_text(errors="replace")
        looks = [list(map(int, found.groups())) for found in _LOOK.finditer(said)]
        return [Look(*[*numbers, _FREE_BLOCK_BYTES * blocks]) for *numbers, blocks in looks]

    def complaints(self) -> list[str]:
        """What it printed that it should not have; a power cut may have torn a line."""
        lines = (self.folder / "said").read_text(errors="replace").splitlines()
        torn = tuple(line for line in lines if any(expected.startswith(line) for expected in _EXPECTED))
        return [line for line in lines if not line.startswith(_EXPECTED) and line not in torn]

    def wear(self, ring: str) -> Wear:
        """Of "ring" or "keys"."""
        counts = list(array("I", (self.folder / f"wear.{ring}").read_bytes()))
        return Wear(counts[: len(counts) // 2], counts[len(counts) // 2 :])

    def cover_keys(self) -> dict[int, bytes]:
        """cover_e of the epochs that are in its key ring; perhaps none of them while it writes there."""
        device = FileDevice(str(self.folder / "keys.flash"), KEYRING_SECTORS)
        ring = KeyRing(device)
        try:
            ring.load()
        except Fault:
            return {}
        finally:
            device.close()
        return {epoch: cover.cover_key(state) for epoch, (_, state) in ring.epochs.items()}
