"""A relay whose Wi-Fi password was wrong: what IT is told at its cable, and another network without another relay."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.radio.conftest import NAME
from tests.support.board_console import status, until
from tests.support.command_line import one_object
from tests.system.test_flash import BOARD_SECONDS, Desk
from tools.emulator.wifi import Radio

PASSWORD = "the office's own words"


@pytest.fixture
def desk(tmp_path: Path, radio_image: Path, board_network: None) -> Iterator[Desk]:
    desk = Desk(tmp_path, radio_image, NAME, radio=Radio(password=PASSWORD))
    (tmp_path / "wrong").write_text("what the guests have\n")
    (tmp_path / "right").write_text(f"{PASSWORD}\n")
    with desk.pico:
        yield desk


@pytest.mark.long  # daily: tests/host/test_flash.py with a board on paper
def test_a_relay_with_a_wrong_password_is_told_the_right_one_and_stays_what_it_is(desk: Desk) -> None:
    desk.pico.plug_in(bootsel=True)
    network = ["--ssid", Radio().ssid, "--wifi-password-file"]
    said = one_object(desk.flash("--relay", "berlin", *network, "wrong", "--json"))
    assert said["changed"] and said["network"] == "wrong password"
    assert "State no-network (wrong password)" in desk.service("verify").out
    before = status(desk.pico.board)
    said = one_object(desk.service("network", "--relay", "berlin", *network, "right", "--json"))
    assert said["network"] is None and said["address"]
    desk.pico.board.wait_for_link(BOARD_SECONDS)
    after = until(desk.pico.board, state="serving")
    assert [after[name] for name in ("static_key", "boots")] == [before["static_key"], before["boots"] + 1]
