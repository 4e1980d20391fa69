"""The emulated board as an appliance: LED, watchdog, button, fault page, closed prompt. Real image, real resets."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.board_console import PATIENCE_SECONDS, ask, serving_board, status, until_state
from tests.support.office_on_disk import OfficeOnDisk
from tools.emulator.board import Board
from tools.emulator.bridge import LOCAL
from tools.emulator.provision import NOT_PROVISIONED, SERVING, provision, reset, wait_until_serving

CHOICE = {"round_seconds": 4, "posts_per_token": 64, "board": "RPI_PICO"}
WATCHDOG_SECONDS = 8

# Programs for the prompt: the relay with a part of it that hangs.
HANGS = {
    "seal": "import asyncio\nasync def hang(self): await asyncio.sleep(9999)\nserver.Server._prepare = hang",
    "server": "server.Server._end_idle = lambda self: False",
    "loop": "import time\nserver.Server._prepare = lambda self: time.sleep(9999)",
}
FAILS = """
def fail(self):
    raise OSError(5)
server.Server._prepare = fail
"""
SERVE = "from device import service\nfrom tessera import server\n{}\nservice.main()"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[OfficeOnDisk]:
    with OfficeOnDisk(tmp_path, time_server=LOCAL, **CHOICE) as office:
        yield office


@pytest.fixture
def board(office: OfficeOnDisk, board_image: Path) -> Iterator[Board]:
    with serving_board(board_image, office) as board:
        yield board


def seconds_lit(board: Board, seconds: float) -> list[float]:
    """How long the LED was lit each time in so many seconds from its next change on, the last time left out.

    A board that has just erased much is ahead of this computer's time, and stands still until that has caught up.
    """
    before, patience = board.lit(), time.monotonic() + PATIENCE_SECONDS
    while board.lit() == before:
        assert time.monotonic() < patience, "the LED does not change"
        time.sleep(0.01)
    changes = [(time.monotonic(), not before)]
    end = changes[0][0] + seconds
    while (now := time.monotonic()) < end:
        if (lit := board.lit()) != changes[-1][1]:
            changes.append((now, lit))
        time.sleep(0.01)
    spans = [(after[0] - before[0], before[1]) for before, after in pairwise(changes)]
    return [span for span, lit in spans if lit]


def test_the_led_flashes_once_without_a_network_and_a_fault_has_long_flashes(board: Board) -> None:
    until_state(board, "no-network")
    flashes = seconds_lit(board, 6)
    assert 2 <= len(flashes) <= 5 and max(flashes) < 0.6
    board.repl.enter()
    board.repl.exec("import os; os.remove('/parameters')")
    reset(board)
    board.repl.until(b"out of service", PATIENCE_SECONDS)
    flashes = seconds_lit(board, 8)
    assert 2 <= len(flashes) <= 4 and min(flashes) > 0.6


@pytest.mark.parametrize("part", HANGS)
def test_a_hang_of_the_seal_the_server_or_the_loop_restarts_the_board(board: Board, part: str) -> None:
    board.repl.enter()
    boots = board.counters().boots
    board.repl.start(SERVE.format(HANGS[part]))
    board.repl.until(SERVING, PATIENCE_SECONDS)
    board.repl.until(SERVING, PATIENCE_SECONDS)  # again, by itself
    assert board.counters().boots == boots + 1
    lines, _ = ask(board, "log")
    assert "watchdog" in "".join(lines)


def test_neither_a_relay_that_serves_nor_the_prompt_is_restarted(board: Board) -> None:
    boots = board.counters().boots
    time.sleep(2 * WATCHDOG_SECONDS)
    board.repl.enter()
    board.repl.exec("import gc; gc.collect()")
    time.sleep(2 * WATCHDOG_SECONDS)
    board.repl.soft_reset()
    wait_until_serving(board)
    assert board.counters().boots == boots


def test_the_button_held_for_ten_seconds_after_the_start_erases_the_relay(board: Board) -> None:
    ask(board, "restart")
    wait_until_serving(board)
    board.press(True)
    time.sleep(2)
    assert board.lit()
    board.press(False)
    time.sleep(11)
    board.press(True)  # too late
    time.sleep(11)
    board.press(False)
    assert status(board)["boots"] == 2, "released in time, and begun too late"
    ask(board, "restart")
    wait_until_serving(board)
    board.press(True)
    board.repl.until(NOT_PROVISIONED, PATIENCE_SECONDS)


def test_a_fault_is_shown_to_a_browser_and_mended_without_a_restart_loop(
    office: OfficeOnDisk, board_image: Path, board_network: None
) -> None:
    with Board(board_image, office.folder / "flash.bin", guest_port=80) as board:
        parameters = (office.relay.directory / "parameters").read_bytes()
        (office.relay.directory / "parameters").write_bytes(parameters[:-1] + bytes((parameters[-1] ^ 1,)))
        provision(board, office.relay.directory)
        board.repl.until(b"out of service", PATIENCE_SECONDS)
        boots = board.counters().boots
        board.wait_for_link(PATIENCE_SECONDS)
        while status(board)["address"] is None:
            time.sleep(0.3)
        url = "http://{}:{}/".format(*board.address)
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(url, timeout=PATIENCE_SECONDS)
        assert answer.value.code == 503
        text = answer.value.read().decode()
        seen = status(board)
        assert seen["state"] == "fault" and seen["fault"] in text
        secrets = json.loads((office.relay.directory / "relay.json").read_text())
        for word in (
            secrets["name"] + "<",
            secrets["static_secret"],
            seen["address"],
            office.issuer.relays[0]["key"].hex(),
        ):
            assert word not in text
        assert board.counters().boots == boots
        board.repl.enter()
        board.repl.exec(f"with open('/parameters', 'wb') as file: file.write({parameters!r})")
        reset(board)
        wait_until_serving(board)


def test_storage_that_fails_in_service_is_a_fault_that_ends_in_a_restart(board: Board) -> None:
    board.repl.enter()
    boots = board.counters().boots
    board.repl.start(SERVE.format(FAILS))
    board.repl.until(SERVING, PATIENCE_SECONDS)
    board.repl.until(b"out of service", PATIENCE_SECONDS)
    seen = status(board)
    assert (seen["state"], "storage" in seen["fault"], board.counters().boots) == ("fault", True, boots)
    board.repl.until(SERVING, PATIENCE_SECONDS)  # by itself
    assert board.counters().boots == boots + 1
    lines, _ = ask(board, "log")
    assert any("fault: the storage" in line for line in lines)


def test_a_closed_prompt_gives_nothing_but_the_console(office: OfficeOnDisk, board_image: Path) -> None:
    path = office.relay.directory / "relay.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repl": "closed"}))
    with Board(board_image, office.folder / "flash.bin") as board:
        provision(board, office.relay.directory)
        wait_until_serving(board)
        with pytest.raises(TimeoutError):
            board.repl.enter(timeout=8)
        assert status(board)["repl"] == "closed"
        ask(board, "restart")
        with pytest.raises(TimeoutError):
            board.repl.enter(timeout=8)
        assert status(board)["boots"] == 2
