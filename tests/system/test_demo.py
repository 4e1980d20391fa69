"""`make demo`'s program as a whole: what it prints last, its exit status, and what it makes of odd files."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine, Running, descendants, python_module
from tests.support.office_on_disk import ROOT

KEYS = [
    "sent",
    "delivered",
    "identical",
    "records",
    "cover_records",
    "rounds",
    "runtime",
    "heap_peak_bytes",
    "curve_tier",
]
PART_BYTES, LAST_PART_BYTES = 208, 136
MESSAGE_BYTES = 15 * PART_BYTES + LAST_PART_BYTES
MU = 109  # of ε = 0.1, δ = 1e-6: at most twice as many cover records a round

ODD_LINES = [
    "a",
    "x" * 136,
    "y" * 137,
    "the same line",
    "the same line",
    "the same line",
    "z" * MESSAGE_BYTES,
    "long " * 700,  # 3500 bytes: more than one message of 16 parts
    "e" * 206 + "👋🏽" + "e" * 201 + "東",  # characters of 8 and 3 bytes across the ends of parts
    "  blanks around  ",
    "\t",
    "[bold]no markup[/] [/red] \\[",
    '{"not": "the last line"}',
    "nul \x00 and carriage\rreturn inside",
    "no line feed at the end",
]


@pytest.fixture
def command(tmp_path: Path, micropython_frozen: Path) -> CommandLine:
    return CommandLine(tmp_path, "not used")


def demo(file: Path, *options: str) -> list[str]:
    return [*python_module("tessera_host.cli.demo", "demo", "--input", str(file)), *options]


def tell(command: CommandLine, file: Path, *options: str) -> dict[str, Any]:
    """The object in the last line; its keys, types and what must always hold are checked."""
    said = command.run(*demo(file, *options))
    assert said.error == ""
    outcome: dict[str, Any] = json.loads(said.out.splitlines()[-1])
    assert list(outcome) == KEYS
    assert outcome["identical"] is True
    assert outcome["delivered"] == outcome["sent"]
    assert 0 < outcome["cover_records"] <= 2 * MU * outcome["rounds"]
    assert outcome["runtime"].startswith("micropython 1.25")
    assert 0 < outcome["heap_peak_bytes"] < 192 * 1024
    return outcome


def parts(lines: list[str]) -> int:
    """Records of these lines: one for 136 bytes, one more for each 208 beyond, and 16 of them make a message."""
    messages = [divmod(len(line.encode()), MESSAGE_BYTES) for line in lines]
    rests = [rest for _, rest in messages if rest]
    more = sum(-(-max(0, rest - LAST_PART_BYTES) // PART_BYTES) for rest in rests)
    return sum(16 * whole for whole, _ in messages) + len(rests) + more


def test_the_text_in_the_repository_arrives_whole(command: CommandLine) -> None:
    file = ROOT / "tests" / "demo.txt"
    lines = [line for line in file.read_text().splitlines() if line]
    outcome = tell(command, file)
    assert (outcome["sent"], outcome["records"]) == (len(lines), parts(lines))
    assert outcome["rounds"] > 0


def test_odd_lines_arrive_whole(command: CommandLine) -> None:
    file = command.folder / "odd file.txt"
    ends = ["\r\n", "\n", "\n\n", "\r\n\r\n", "\n\r\n\n"]
    text = "".join(line + ends[number % len(ends)] for number, line in enumerate(ODD_LINES))
    file.write_bytes(b"\n\r\n" + text.rstrip("\r\n").encode())
    outcome = tell(command, file)
    assert (outcome["sent"], outcome["records"]) == (len(ODD_LINES), parts(ODD_LINES))


def test_one_line_is_enough(command: CommandLine) -> None:
    file = command.folder / "short.txt"
    file.write_text("only this")
    outcome = tell(command, file)
    assert (outcome["sent"], outcome["records"]) == (1, 1)


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "cannot be read"), (b"caf\xe9\n", "UTF-8"), (b"", "no line"), (b"\n\r\n\n", "no line")],
    ids=["missing", "not UTF-8", "empty", "blank lines"],
)
def test_files_without_text_are_refused_in_one_line(command: CommandLine, content: bytes | None, word: str) -> None:
    file = command.folder / "input.txt"
    if content is not None:
        file.write_bytes(content)
    said = command.run(*demo(file), code=3)
    assert said.out == ""
    assert said.error.startswith("error: ") and said.error.count("\n") == 2
    assert word in said.error and "input.txt" in said.error


def test_directory_is_not_a_file(command: CommandLine) -> None:
    assert command.run(*demo(command.folder), code=3).error.count("\n") == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_interrupted_demo_leaves_no_process_behind(command: CommandLine, number: int, code: int) -> None:
    file = command.folder / "long.txt"
    file.write_text("a line\n" * 500)
    running = Running(command, demo(file))
    running.wait_for("alice reads")
    processes = descendants(running.process.pid)
    assert len(processes) == 2
    said = running.stop(number)
    assert (said.code, said.error) == (code, "stopped\n")
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_demo_whose_relay_dies_says_so_in_one_line(command: CommandLine) -> None:
    """What was not seen to arrive is no success."""
    file = command.folder / "long.txt"
    file.write_text("a line\n" * 500)
    running = Running(command, demo(file))
    running.wait_for("alice reads")
    (relay,) = descendants(running.process.pid)[1:]
    os.kill(relay, signal.SIGKILL)
    said = running.end()
    assert said.code == 6
    assert said.error.startswith("error: ") and said.error.count("\n") == 2
