"""The board's time: one for the board and the host programs that live in it, whatever the computer does."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.emulator.board import Board
from tools.emulator.clock import Clock

ROOT = Path(__file__).resolve().parents[2]

# A guest of numbers: it idles as far as it may, and has work that takes the host longer than the chip. The host waits
# for the guest's time to pass from its seconds 20 to 30.
GUEST = """
import { OwnPace } from '%s';
let host = 0;
const machine = { nanos: 0 };
const awaited = () => (host >= 20e3 && host < 30e3 ? 100e9 - machine.nanos : -1);
const pace = new OwnPace(machine, awaited, () => host);
const idle = (seconds) => {
  for (const end = host + 1000 * seconds; host < end; host += 1) {
    const allowed = pace.allowance();
    if (allowed > 0) machine.nanos += allowed;
  }
};
const seen = [];
const took = (what) => { const before = machine.nanos; what(); seen.push((machine.nanos - before) / 1e6); };
took(() => idle(5));
took(() => { machine.nanos += 1e9; host += 10e3; });
took(() => idle(5));
took(() => idle(10));
took(() => idle(5));
console.log(JSON.stringify(seen));
"""


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")


def test_idle_time_lasts_as_on_the_host_a_lag_is_not_made_up_and_awaited_time_passes_at_once(tmp_path: Path) -> None:
    pace = Path(os.environ["TESSERA_EMULATOR"]).with_name("pace.mjs")
    script = tmp_path / "guest.mjs"
    script.write_text(GUEST % pace.as_uri())
    result = subprocess.run(["node", script], capture_output=True, text=True, check=True)
    first, busy, later, awaited, after = json.loads(result.stdout)
    assert 4990 <= first <= 5010
    assert busy == 1000
    assert 4990 <= later <= 5020
    assert 98_900 < awaited < 99_010, "89 seconds at once, then as on the host"
    assert 4980 <= after <= 5010


def test_what_is_slept_passes_for_the_board_and_for_everybody(board_image: Path, tmp_path: Path, clock: Clock) -> None:
    """Slept by the test, by asyncio and by a program of the host; the board's ticks agree, resets or not."""
    with Board(board_image, tmp_path / "flash.bin", clock=clock) as board:
        board.repl.enter()
        ticks = "import time\nprint(time.ticks_ms())"
        begun, first = clock.seconds(), int(board.repl.exec(ticks))
        board.sleep(20)
        clock.run(asyncio.sleep(20))
        program = tmp_path / "sleeps.py"
        program.write_text("import time\nprint(time.time(), time.sleep(20), time.monotonic(), sep='\\n')")
        command = [sys.executable, "-m", "tools.emulator.hostprogram", clock.path, "sleeps"]
        path = f"{ROOT}:{tmp_path}"
        said = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        before, _, after = said.stdout.split()
        passed, ended = int(board.repl.exec(ticks)) - first, clock.seconds()
        assert begun + 40 <= float(before) <= float(after) - 20 <= ended - 20
        assert 60_000 <= passed <= 1000 * (ended - begun) + 1
        board.reset()
        board.repl.enter()
        assert clock.seconds() > ended


def test_time_goes_on_with_the_computers_while_no_board_is_on(clock: Clock) -> None:
    begun, real = clock.nanos(), time.monotonic_ns()
    clock.sleep(0.01)
    assert 10**7 <= clock.nanos() - begun <= time.monotonic_ns() - real + 10**6


async def _silence() -> None:
    async with asyncio.timeout(5):
        await asyncio.Event().wait()


def test_a_time_limit_counts_the_boards_seconds(board_image: Path, tmp_path: Path, clock: Clock) -> None:
    with Board(board_image, tmp_path / "flash.bin", clock=clock) as board:
        begun = clock.seconds()
        with pytest.raises(TimeoutError):
            clock.run(_silence())
        assert clock.seconds() >= begun + 5
        with pytest.raises(TimeoutError, match="after 5 s"):
            board.repl.until(b"what it does not say", 5)
        assert clock.seconds() >= begun + 10
