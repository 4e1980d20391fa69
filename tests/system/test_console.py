"""The console of a relay on the emulated board: what an installer asks over the cable while it serves."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera import cover
from tests.support.board_console import PATIENCE_SECONDS, ask
from tests.support.office_on_disk import OfficeOnDisk
from tests.support.ready_board import FLASH, ReadyRelay, make_ready
from tools.emulator.board import Board
from tools.emulator.clock import Clock
from tools.emulator.provision import NOT_PROVISIONED, reset, wait_until_serving

EPOCH_ROUNDS = 600
CHOICE = {"round_seconds": 4, "posts_per_token": 64, "board": "RPI_PICO"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, board_image: Path) -> Iterator[ReadyRelay]:
    """Of an organisation whose first epoch is over."""
    folder = tmp_path_factory.mktemp("ready")
    clock = Clock(folder / "clock")
    genesis = clock.unix() - CHOICE["round_seconds"] * EPOCH_ROUNDS - 8
    with OfficeOnDisk(folder, genesis=genesis, clock=clock, **CHOICE) as office:
        yield make_ready(board_image, office)


@pytest.fixture
def board(ready: ReadyRelay, tmp_path: Path) -> Iterator[Board]:
    """Serving, without a network."""
    with ready.board(tmp_path / FLASH) as board:
        wait_until_serving(board)
        yield board


def test_an_installer_sees_state_and_cover_over_the_cable_and_can_reset_the_board(
    ready: ReadyRelay, board: Board
) -> None:
    office = ready.office
    relay = office.issuer.relays[0]
    parameters = office.issuer.parameters
    _, status = ask(board, "status")
    assert (status["state"], status["clock"], status["board"]) == ("no-network", "unknown", "RPI_PICO")
    assert status["static_key"] == relay["key"].hex() and status["parameter_digest"] == parameters.digest.hex()

    ask(board, f"clock {board.clock.nanos() // 1_000_000}")
    while ask(board, "status")[1]["open_round"] is None:
        board.sleep(0.5)
    _, told = ask(board, "commission")
    assert (told["epoch"], told["first_round"], told["end_round"]) == (0, 0, EPOCH_ROUNDS)
    expected = cover.EpochCover(bytes.fromhex(told["cover_key"]), bytes(parameters.thresholds))
    for bucket, round_ in ((0, 0), (parameters.buckets - 1, EPOCH_ROUNDS - 1)):
        records, figures = ask(board, f"batch {bucket} {round_}")
        assert figures["count"] == len(records) == expected.noise(bucket, round_)
        dummies = expected.dummies(bucket, round_)
        assert sorted(made(dummies, number) for number in range(len(records))) == [
            base64.b64decode(record) for record in records
        ]
    assert "link up" not in "".join(ask(board, "log")[0])

    boots = ask(board, "status")[1]["boots"]
    ask(board, "restart")
    wait_until_serving(board)
    assert ask(board, "status")[1]["boots"] == boots + 1

    ask(board, "factory-reset relay")
    board.repl.until(NOT_PROVISIONED, PATIENCE_SECONDS)
    board.repl.enter()
    assert board.repl.exec("import os; print(os.listdir('/'))").strip() == "[]"
    secret = json.loads((office.relay.directory / "relay.json").read_text())["static_secret"]
    flash = board.flash.read_bytes()
    assert secret.encode() not in flash and bytes.fromhex(secret) not in flash


def made(dummies: cover.Dummies, number: int) -> bytes:
    record = bytearray(240)
    dummies.make(number, record)
    return bytes(record)


@pytest.mark.long  # daily: test_board.py, whose members talk on after it
def test_a_board_that_is_reset_at_the_prompt_serves_again(board: Board) -> None:
    reset(board)
    wait_until_serving(board)
    assert ask(board, "status")[1]["fault"] is None
