"""The emulated board as an appliance: LED, watchdog, button, fault page, closed prompt. Real image, real resets."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.board_console import PATIENCE_SECONDS, ask, status, until_state
from tests.support.office_on_disk import OfficeOnDisk
from tests.support.ready_board import FLASH, ReadyRelay, make_ready
from tools.emulator.board import Board
from tools.emulator.bridge import LOCAL
from tools.emulator.clock import Clock
from tools.emulator.provision import NOT_PROVISIONED, SERVING, reset, wait_until_serving

CHOICE = {"round_seconds": 4, "posts_per_token": 64, "board": "RPI_PICO"}
WATCHDOG_SECONDS = 8
REAL_SECONDS = 600  # of this computer, for a page that comes at once

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


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, board_image: Path) -> Iterator[ReadyRelay]:
    folder = tmp_path_factory.mktemp("ready")
    clock = Clock(folder / "clock")
    with OfficeOnDisk(folder, time_server=LOCAL, clock=clock, **CHOICE) as office:
        yield make_ready(board_image, office)


@pytest.fixture
def board(ready: ReadyRelay, tmp_path: Path) -> Iterator[Board]:
    """Serving, without a network."""
    with ready.board(tmp_path / FLASH) as board:
        wait_until_serving(board)
        yield board


@pytest.fixture
def prompt(ready: ReadyRelay, tmp_path: Path) -> Iterator[Board]:
    """At MicroPython's prompt: the start of its relay was interrupted."""
    with ready.board(tmp_path / FLASH) as board:
        board.repl.enter()
        yield board


def seconds_lit(board: Board, seconds: float) -> list[float]:
    """How long the LED was lit each time in so many seconds of the board, the last time left out."""
    board.light_changes()
    board.sleep(seconds)
    return [end - begin for (lit, begin), (_, end) in pairwise(board.light_changes()) if lit]


@pytest.mark.long
def test_the_led_flashes_once_without_a_network_and_a_fault_has_long_flashes(board: Board) -> None:
    """Daily core/test_device_appliance.py has the rhythm of every state on all runtimes, and the button's test below
    sees this board's LED lit."""
    until_state(board, "no-network")
    flashes = seconds_lit(board, 6)
    assert 2 <= len(flashes) <= 5 and max(flashes) < 0.6
    board.repl.enter()
    board.repl.exec("import os; os.remove('/parameters')")
    reset(board)
    board.repl.until(b"out of service", PATIENCE_SECONDS)
    flashes = seconds_lit(board, 8)
    assert 2 <= len(flashes) <= 4 and min(flashes) > 0.6


# The loop's hang daily: what feeds the watchdog, and when, is core/test_device_appliance.py's on all runtimes.
@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[] if part == "loop" else pytest.mark.long) for part in HANGS]
)
def test_a_hang_of_the_seal_the_server_or_the_loop_restarts_the_board(prompt: Board, part: str) -> None:
    board = prompt
    boots = board.counters().boots
    board.repl.start(SERVE.format(HANGS[part]))
    board.repl.until(SERVING, PATIENCE_SECONDS)
    board.repl.until(SERVING, PATIENCE_SECONDS)  # again, by itself
    assert board.counters().boots == boots + 1
    lines, _ = ask(board, "log")
    assert "watchdog" in "".join(lines)


@pytest.mark.long  # daily: every other test of an emulated board that serves for longer than the watchdog waits
def test_neither_a_relay_that_serves_nor_the_prompt_is_restarted(board: Board) -> None:
    boots = board.counters().boots
    board.sleep(2 * WATCHDOG_SECONDS)
    board.repl.enter()
    board.repl.exec("import gc; gc.collect()")
    board.sleep(2 * WATCHDOG_SECONDS)
    board.repl.soft_reset()
    wait_until_serving(board)
    assert board.counters().boots == boots


def test_the_button_held_for_ten_seconds_after_the_start_erases_the_relay(board: Board) -> None:
    boots = status(board)["boots"]
    board.press(True)
    board.sleep(2)
    assert board.lit()
    board.press(False)
    board.sleep(11)
    board.press(True)  # too late
    board.sleep(11)
    board.press(False)
    assert status(board)["boots"] == boots, "released in time, and begun too late"
    ask(board, "restart")
    wait_until_serving(board)
    board.press(True)
    board.repl.until(NOT_PROVISIONED, PATIENCE_SECONDS)


def test_a_fault_is_shown_to_a_browser_and_mended_without_a_restart_loop(
    ready: ReadyRelay, tmp_path: Path, board_network: None
) -> None:
    office = ready.office
    parameters = (office.relay.directory / "parameters").read_bytes()
    with ready.board(tmp_path / FLASH, guest_port=80) as board:
        board.repl.enter()
        wrong = parameters[:-1] + bytes((parameters[-1] ^ 1,))
        board.repl.exec(f"with open('/parameters', 'wb') as file: file.write({wrong!r})")
        reset(board)
        board.repl.until(b"out of service", PATIENCE_SECONDS)
        boots = board.counters().boots
        board.wait_for_link(PATIENCE_SECONDS)
        while status(board)["address"] is None:
            board.sleep(0.3)
        url = "http://{}:{}/".format(*board.address)
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(url, timeout=REAL_SECONDS)
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


@pytest.mark.long  # daily: core/test_device_appliance.py
def test_storage_that_fails_in_service_is_a_fault_that_ends_in_a_restart(prompt: Board) -> None:
    board = prompt
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


def test_a_relay_runs_at_the_clock_that_relay_json_asks_for_and_at_none_that_the_board_has_not(prompt: Board) -> None:
    edit = "import json\nwith open('/relay.json') as file: config = json.load(file)\nconfig['mhz'] = %d\n"
    edit += "with open('/relay.json', 'w') as file: json.dump(config, file)"
    assert prompt.counters().clock_hz == 200e6
    prompt.repl.exec(edit % 125)
    reset(prompt)
    wait_until_serving(prompt)
    counters = prompt.counters()
    assert (counters.clock_hz, counters.flash_hz) == (125e6, 62.5e6)
    prompt.repl.enter()
    prompt.repl.exec(edit % 133)
    reset(prompt)
    prompt.repl.until(b"out of service", PATIENCE_SECONDS)
    assert "133 MHz, which this board cannot do" in status(prompt)["fault"]


@pytest.mark.long  # daily: core/test_device_console.py
def test_a_closed_prompt_gives_nothing_but_the_console(ready: ReadyRelay, tmp_path: Path) -> None:
    path = ready.office.relay.directory / "relay.json"
    closed = json.dumps(json.loads(path.read_text()) | {"repl": "closed"}).encode()
    with ready.board(tmp_path / FLASH) as board:
        board.repl.enter()
        board.repl.exec(f"with open('/relay.json', 'wb') as file: file.write({closed!r})")
        reset(board)
        wait_until_serving(board)
        boots = status(board)["boots"]
        with pytest.raises(TimeoutError):
            board.repl.enter(timeout=8)
        assert status(board)["repl"] == "closed"
        ask(board, "restart")
        with pytest.raises(TimeoutError):
            board.repl.enter(timeout=8)
        assert status(board)["boots"] == boots + 1
