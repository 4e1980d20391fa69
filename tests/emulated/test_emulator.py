"""The emulated board as a tool: what tests and measurements on it rest on."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import check
import flashvectors
from device import sntp
from tests.support import kept_runs
from tools.emulator import timeserver
from tools.emulator.board import Board
from tools.emulator.execution import CRASH, DONE, EXCEPTION, POWER_CUT, Execution, execute
from tools.emulator.ppp import fcs16
from tools.emulator.program import VARIABLE, Cut, EmulatorError, command, node
from tools.emulator.testvolume import VECTORS, vector_files

SECTOR, PAGE = 4096, 256
FLASH_BYTES = 2 << 20
ERASE, PROGRAM = 1, 2  # the first two operations of writeblocks()
OLD, NEW = 0x5A, 0xC3
CLOCK_HZ, SLOWER_HZ = 200_000_000, 125_000_000  # that the image begins with; that relay.json may ask for
SLOWER_HZ = 125_000_000
REAL_SECONDS = 1200  # of this computer, which may be busy, for what ends by itself

# Fills the last sector of the flash with OLD, says how many operations there were, and writes NEW over it.
REWRITE = f"""
import machine
from _rp2 import Flash
flash = Flash()
last = flash.ioctl(4, 0) - 1
flash.writeblocks(last, bytes([{OLD}]) * {SECTOR})
print(machine.mem32[0x40070010])
flash.writeblocks(last, bytes([{NEW}]) * {SECTOR})
"""

VARIED = """
import gc, hashlib, json, struct
numbers, x = {}, 1
for i in range(600):
    x = (x * 1103515245 + 12345 - (x >> 7)) & 0x3FFFFFFF
    numbers[x & 255] = (x // (i + 1), x % 7, -x >> 3, ~x ^ i, x * 0.37, bytes(x & 15))
p = (1 << 255) - 19
for i in range(16):
    x = x * x % p + pow(i + 2, 77, p) - (p >> i)
text = json.dumps({str(k): list(v[:4]) for k, v in numbers.items()})
digest = hashlib.sha256(text).digest()
for i in range(20):
    digest = hashlib.sha256(digest + struct.pack("<hHiIqd", -i, i, -x % 9999, i * i, -i, i / 3)).digest()
with open("/varied", "wb") as file:
    file.write(digest)
gc.collect()
print("done")
"""

ECHO = """
import asyncio, machine, network, time
link = network.PPP(machine.UART(0, 3_000_000, txbuf=16384, rxbuf=8192))
link.connect()
while not link.isconnected():
    time.sleep_ms(20)

async def echo(reader, writer):
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()

async def main():
    await asyncio.start_server(echo, "0.0.0.0", 7)
    print("serving")
    await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass
class Bench:
    """An image, a flash file and room for programs."""

    image: Path
    folder: Path

    @property
    def flash(self) -> Path:
        return self.folder / "flash.bin"

    def run(self, source: str, cut: Cut | None = None) -> Execution:
        """Now, or before (kept_runs.py)."""
        return self._run(kept_runs.execute, source, cut)

    def run_now(self, source: str) -> Execution:
        return self._run(execute, source)

    def _run(self, execute: Callable[..., Execution], source: str, cut: Cut | None = None) -> Execution:
        program = self.folder / "program.py"
        program.write_text(source)
        return execute(self.image, self.flash, program, cut=cut, guest_seconds=60)

    def rewrite(self, before: int, operation: int, size: int | None, rest: str | None) -> bytes:
        """The last sector after the power failed in this operation of the second writeblocks(), which had so many
        before it."""
        torn = self.run(REWRITE, Cut(before + operation, size, rest))
        assert (torn.status, torn.flash_operations) == (POWER_CUT, before + operation)
        return self.flash.read_bytes()[-SECTOR:]


@pytest.fixture
def bench(board_image: Path, tmp_path: Path) -> Bench:
    return Bench(board_image, tmp_path)


@pytest.fixture(scope="module")
def before(board_image: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The flash operations of REWRITE on a new flash before its second writeblocks()."""
    whole = Bench(board_image, tmp_path_factory.mktemp("whole")).run(REWRITE)
    before = int(whole.output.split()[-1])
    assert whole.flash_operations == before + 1 + SECTOR // PAGE
    return before


def test_two_runs_are_equal_in_cycles_and_flash(bench: Bench) -> None:
    source = "import os\nwith open('/x', 'w') as f: f.write(str(os.urandom(9)))\nprint(open('/x').read())"
    first = bench.run_now(source)
    content = bench.flash.read_bytes()
    bench.flash.unlink()
    second = bench.run_now(source)
    assert (first.status, first.errors) == (DONE, "")
    assert first == second
    assert bench.flash.read_bytes() == content
    assert first.cycles > first.instructions > 0


def test_quick_core_takes_the_steps_of_rp2040js(bench: Bench) -> None:
    """Same cycles, instructions, stack and flash, for arithmetic of all kinds, dictionaries, files, the collector; with
    translated blocks, too."""
    program = bench.folder / "program.py"
    program.write_text(VARIED)

    def came_to(*options: str) -> bytes:
        bench.flash.unlink(missing_ok=True)
        process = subprocess.run(
            command(bench.image, "--flash", bench.flash, "--exec", program, "--stats", *options),
            capture_output=True,
            timeout=REAL_SECONDS,
        )
        return repr((process.returncode, process.stdout, process.stderr)).encode() + bench.flash.read_bytes()

    inputs = ["steps", kept_runs.emulator(), bench.image.read_bytes(), VARIED]
    quick = kept_runs.kept(inputs, came_to)
    plain = kept_runs.kept([*inputs, "--plain"], lambda: came_to("--plain"))
    assert quick == plain
    assert quick.startswith(repr((DONE, b"done\r\n"))[:-1].encode())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_translated_blocks_take_the_steps_of_rp2040js(seed: int) -> None:
    """Random instructions, in flash and in RAM, begun anywhere and given up anywhere."""

    def check() -> bytes:
        program = node("blocks_check.mjs", "200", str(seed))
        run = subprocess.run(program, capture_output=True, timeout=REAL_SECONDS)
        assert run.returncode == 0, run.stdout
        return run.stdout

    said = kept_runs.kept(["blocks", kept_runs.emulator(), str(seed)], check)
    taken, left = map(int, re.findall(rb"\d+", said))
    assert taken > 10_000 and left > 1_000


def test_translations_of_an_earlier_run_change_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(os.environ[VARIABLE]).parent
    own = bench.folder / "own"
    own.mkdir()
    (own / "source").symlink_to(source.resolve())
    (own / "node_modules").symlink_to(source.parent / "node_modules")
    monkeypatch.setenv(VARIABLE, str(own / "source" / "emulator.mjs"))
    program = "print(sum(x * x % 7 for x in range(5000)))"
    first = bench.run_now(program)
    (kept,) = (own / "translated").iterdir()
    content, flash = kept.read_bytes(), bench.flash.read_bytes()
    bench.flash.unlink()
    assert bench.run_now(program) == first
    assert bench.flash.read_bytes() == flash
    assert kept.read_bytes() == content  # hardly anything was new


def test_program_finds_what_an_earlier_one_wrote(bench: Bench) -> None:
    bench.run("with open('/x', 'w') as f: f.write('kept')")
    assert bench.run("print(open('/x').read())").output == "kept\n"


def test_exception_on_the_board_is_a_status_and_a_traceback(bench: Bench) -> None:
    execution = bench.run("print('before')\nraise ValueError('why')")
    assert execution.status == EXCEPTION
    assert execution.output == "before\n"
    assert "ValueError: why" in execution.errors


@pytest.mark.parametrize("clock_hz", [CLOCK_HZ, SLOWER_HZ])
def test_guest_time_is_counted_in_cycles_of_the_clock_that_the_guest_sets(bench: Bench, clock_hz: int) -> None:
    bench.run("")  # the first start makes the file system
    sleep = f"import machine, time\nmachine.freq({clock_hz})\ntime.sleep_ms"
    shorter, longer = (bench.run(f"{sleep}({ms})").cycles for ms in (100, 300))
    assert 0.2 * clock_hz <= longer - shorter < 0.2 * clock_hz + 160_000


def test_the_image_raises_the_voltage_with_the_clock_and_gives_the_flash_half_of_it(bench: Bench) -> None:
    with Board(bench.image, bench.flash) as board:
        board.repl.enter()
        counters = board.counters()
        assert (counters.clock_hz, counters.core_volts, counters.flash_hz) == (CLOCK_HZ, 1.15, CLOCK_HZ / 2)
        board.repl.exec(f"import machine\nmachine.freq({SLOWER_HZ})")
        counters = board.counters()
        assert (counters.clock_hz, counters.core_volts, counters.flash_hz) == (SLOWER_HZ, 1.15, SLOWER_HZ / 2)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("machine.mem32[0x40064000] = 0xB1", "the processor runs at 200 MHz with 1.10 V"),
        ("machine.freq(250_000_000)", "the processor runs at 250 MHz with 1.15 V"),
    ],
)
def test_clocks_beyond_their_ratings_stop_the_guest_with_the_reason(bench: Bench, statement: str, words: str) -> None:
    execution = bench.run(f"import machine\n{statement}\nprint('goes on')")
    assert execution.status == CRASH and words in execution.errors and "goes on" not in execution.output


@pytest.mark.parametrize("size", [0, 1, 16, 128, 255, 256])
def test_torn_program_has_its_first_bytes(bench: Bench, before: int, size: int) -> None:
    sector = bench.rewrite(before, PROGRAM, size, None)
    assert sector == bytes([NEW]) * size + b"\xff" * (SECTOR - size)


def test_torn_program_of_bits_cleared_some_of_its_own(bench: Bench, before: int) -> None:
    sector = bench.rewrite(before, PROGRAM, 16, "bits")
    assert sector[:16] == bytes([NEW]) * 16
    assert all(byte & NEW == NEW for byte in sector[16:PAGE])
    assert len(set(sector[16:PAGE])) > 2
    assert sector[PAGE:] == b"\xff" * (SECTOR - PAGE)


@pytest.mark.parametrize("rest", ["old", "blank", "bits", "random"])
def test_torn_erase_is_clean_at_first_and_then_what_was_asked(bench: Bench, before: int, rest: str) -> None:
    sector = bench.rewrite(before, ERASE, 100, rest)
    tail = sector[100:]
    assert sector[:100] == b"\xff" * 100
    if rest in ("old", "blank"):
        assert set(tail) == {OLD if rest == "old" else 0xFF}
    else:
        assert len(set(tail)) > 2
        assert (rest == "bits") == all(byte & OLD == OLD for byte in tail)


def test_board_that_resets_itself_starts_again_on_the_same_console(bench: Bench) -> None:
    with Board(bench.image, bench.flash) as board:
        board.repl.enter()
        board.repl.start("import machine\nmachine.reset()")
        while board.counters().boots == 1:
            pass
        board.repl.enter()
        assert board.repl.exec("import machine\nprint(machine.reset_cause() == machine.WDT_RESET)") == "True\n"
        board.reset()
        board.repl.enter()
        assert board.counters().boots == 3


def test_marks_carry_the_cycles_they_were_made_at(bench: Bench) -> None:
    with Board(bench.image, bench.flash) as board:
        board.repl.enter()
        board.repl.exec("import machine, time\nfor i in (5, 6):\n machine.mem32[0x4007000C] = i\n time.sleep_ms(50)")
        (first, begin), (second, end) = board.marks()
        assert (first, second) == (5, 6)
        # sleep_ms() counts in steps of the millisecond clock: it may end a step early.
        assert 0.049 * CLOCK_HZ <= end - begin <= board.cycles()
        assert board.marks() == []


def test_killed_board_keeps_every_flash_operation(bench: Bench) -> None:
    with Board(bench.image, bench.flash) as board:
        board.repl.enter()
        board.repl.exec(REWRITE)
        board.kill()
        assert bench.flash.read_bytes()[-SECTOR:] == bytes([NEW]) * SECTOR


def test_power_fails_in_the_operation_that_was_asked_for(bench: Bench) -> None:
    with Board(bench.image, bench.flash) as board:
        board.repl.enter()
        board.repl.exec(REWRITE)
        board.cut_power(Cut(PROGRAM, 7))
        board.repl.start("flash.writeblocks(last, bytes(4096))")
        assert board.wait(60) == POWER_CUT
        assert bench.flash.read_bytes()[-SECTOR:] == bytes(7) + b"\xff" * (SECTOR - 7)
        board.start()
        board.repl.enter()


def test_flash_has_one_board_at_a_time(bench: Bench) -> None:
    second = Board(bench.image, bench.flash)
    with Board(bench.image, bench.flash), pytest.raises(EmulatorError, match="is on"):
        second.start()
    with second:
        assert second.counters().boots == 1


def test_wrong_image_is_one_line_that_says_so(bench: Bench) -> None:
    wrong = bench.folder / "wrong.uf2"
    wrong.write_bytes(bytes(512))
    with pytest.raises(EmulatorError, match="not a UF2 image"):
        Board(wrong, bench.flash).start()


def test_mpremote_works_on_the_terminal(bench: Bench) -> None:
    with Board(bench.image, bench.flash) as board:
        board.repl.enter()  # whatever the image runs is stopped
        terminal = board.terminal(bench.folder / "terminal")
        try:
            for words in (["exec", "print(6 * 7)"], ["fs", "ls", ":"], ["soft-reset", "exec", "print(6 * 7)"]):
                mpremote = subprocess.run(
                    [sys.executable, "-m", "mpremote", "connect", bench.folder / "terminal", *words],
                    capture_output=True,
                    text=True,
                    timeout=REAL_SECONDS,
                )
                assert mpremote.returncode == 0, mpremote.stderr
                assert words[0] == "fs" or mpremote.stdout.split() == ["42"]
        finally:
            terminal.close()


def test_two_boards_answer_over_tcp_side_by_side_and_after_a_reset(bench: Bench, board_network: None) -> None:
    if bench.run("import network\nnetwork.PPP").status != DONE:
        pytest.skip("this image has no PPP")
    other = Bench(bench.image, bench.folder / "other")
    other.folder.mkdir()
    with Board(bench.image, bench.flash, guest_port=7) as one, Board(other.image, other.flash, guest_port=7) as two:
        for board in (one, two):
            serve_echo(board)
        texts = [os.urandom(5000), os.urandom(5000)]
        assert [echoed(board, text) for board, text in zip((one, two), texts, strict=True)] == texts
        one.reset()
        serve_echo(one)
        assert echoed(one, b"again") == b"again"
        assert echoed(two, b"still") == b"still"


def serve_echo(board: Board) -> None:
    board.repl.enter()
    board.repl.start(ECHO)
    board.repl.until(b"serving")
    board.wait_for_link()


def echoed(board: Board, text: bytes) -> bytes:
    with socket.create_connection(board.address, timeout=REAL_SECONDS) as connection:
        sender = threading.Thread(target=lambda: (connection.sendall(text), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        with connection.makefile("rb") as answers:
            answer = answers.read()
        sender.join()
        return answer


def test_fcs_is_that_of_rfc_1662() -> None:
    """The check value of CRC-16/X.25, and the RFC's own: a frame with its FCS leaves 0xF0B8 (here complemented)."""
    assert fcs16(b"123456789") == 0x906E
    assert fcs16(b"123456789" + bytes([0x6E, 0x90])) == 0xF0B8 ^ 0xFFFF


@pytest.mark.parametrize("unix_ms", [1_700_000_000_123, 2_085_978_495_999, 2_085_978_497_000, 4_000_000_000_001])
def test_network_clock_says_what_the_board_reads(unix_ms: int) -> None:
    """Around the end of the era in 2036 too, whose first second looks like no time at all."""
    nonce = os.urandom(8)
    question = bytes((0x23,)) + bytes(39) + nonce
    assert sntp.read(timeserver.answer(question, unix_ms * 10**6 + 1000), nonce) == unix_ms
    assert sntp.read(timeserver.answer(question, unix_ms * 10**6), os.urandom(8)) is None


def test_vectors_in_rows_are_the_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, content in vector_files(sorted(VECTORS.glob("*.json"))):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    monkeypatch.setattr(flashvectors, "folder", str(tmp_path / "vectors"))
    monkeypatch.setattr("gc.collect", lambda: 0)  # before each row, for a board's heap: this computer's is large
    for path in VECTORS.glob("*.json"):
        whole, rows = check.vectors(path.stem), flashvectors.vectors(path.stem)
        pairs = [(whole, rows)] if isinstance(whole, list) else [(whole[key], rows[key]) for key in whole]
        assert isinstance(whole, list) or whole.keys() == rows.keys()
        for expected, row in pairs:
            assert (list(row), len(row), row[-1]) == (expected, len(expected), expected[-1])
            for part in (slice(None, None, 3), slice(1, None), slice(2, -1, 2), slice(0, 0)):
                assert (list(row[part]), len(row[part])) == (expected[part], len(expected[part]))
                assert list(row[part][::2] + row) == expected[part][::2] + expected


# A guest of numbers: it idles as far as it may, and now and then has work that takes the host longer than the chip.
GUEST = """
import { Pace } from '%s';
let host = 0;
const machine = { nanos: 0 };
const pace = new Pace(machine, () => host);
const idle = (seconds) => {
  for (const end = host + 1000 * seconds; host < end; host += 1) {
    const allowed = pace.allowance();
    if (allowed > 0) machine.nanos += allowed;
  }
};
const busy = (seconds, slowdown) => { machine.nanos += 1e9 * seconds; host += 1000 * seconds * slowdown; };
const behind = () => host - machine.nanos / 1e6;
const seen = [];
idle(1), seen.push(behind());
for (let round = 0; round < 20; round++) busy(0.5, 3), idle(0.2), seen.push(behind()), idle(9);
seen.push(behind());
busy(20, 2), idle(60), seen.push(behind());
console.log(JSON.stringify(seen));
"""


def test_a_guest_that_lagged_is_back_at_host_time_when_it_was_idle(tmp_path: Path) -> None:
    pace = Path(os.environ["TESSERA_EMULATOR"]).with_name("pace.mjs")
    script = tmp_path / "guest.mjs"
    script.write_text(GUEST % pace.as_uri())
    result = subprocess.run(["node", script], capture_output=True, text=True, check=True)
    idle, *lagging, after, overloaded = json.loads(result.stdout)
    assert -2 <= idle <= 0
    assert all(850 < behind < 1000 for behind in lagging), "a second is not made up at once"
    assert -2 <= after <= 11
    assert 11900 < overloaded < 12100, "of twenty seconds eight are made up"
