"""From the box to service over Wi-Fi: `tessera flash --ssid` on an emulated Pico W, its password typed or in a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.radio.conftest import HOSTNAME, NAME
from tests.support.board_console import status, until
from tests.support.command_line import one_object
from tests.support.terminal import Terminal
from tests.system.test_flash import BOARD_SECONDS, Desk
from tools.emulator.bridge import GUEST
from tools.emulator.wifi import Radio

PASSWORD = "the office's own words"
NETWORK = ["--ssid", Radio().ssid, "--country", "DE", "--hostname", HOSTNAME]


@pytest.fixture
def desk(tmp_path: Path, radio_image: Path, board_network: None) -> Iterator[Desk]:
    desk = Desk(tmp_path, radio_image, NAME, radio=Radio(password=PASSWORD))
    with desk.pico:
        yield desk


def test_one_command_takes_a_blank_pico_w_to_a_members_first_message(desk: Desk) -> None:
    (desk.folder / "wifi").write_text(f"{PASSWORD}\n")
    network = [*NETWORK, "--wifi-password-file", "wifi"]
    desk.pico.plug_in(bootsel=True)
    said = one_object(desk.flash("--relay", "berlin", *network, "--json"))
    assert said["changed"] and said["commissioned"]["records"] > 0 and said["network"] is None
    assert [(entry["name"], entry["board"]) for entry in desk.inventory()] == [("berlin", NAME)]

    desk.pico.board.wait_for_link(BOARD_SECONDS)
    radio = desk.pico.board.wifi.status()
    assert (radio.ssid, radio.security, radio.hostname, radio.refused) == (Radio().ssid, "wpa2", HOSTNAME, 0)
    alice, bob = desk.join("alice"), desk.join("bob")
    desk.meet(alice, bob)
    desk.until_reached_by(alice)
    desk.command.json("send", "bob", "Thursday at ten?", "--home", alice)
    assert desk.first_message(bob) == "Thursday at ten?"

    # The same command again looks at the relay, asks for no password and changes nothing.
    assert not one_object(desk.flash("--relay", "berlin", *NETWORK, "--json"))["changed"]
    assert "link up" in desk.service("export-log").out
    assert PASSWORD.encode() not in desk.command.everything_said()


@pytest.mark.long
def test_a_password_that_was_typed_wrong_is_named_and_typed_again(desk: Desk) -> None:
    terminal = Terminal(desk.folder, **desk.command.environment)

    def types(password: str, *words: object) -> None:
        terminal.run_program(*desk.words(*words))
        terminal.read(f"Password of the Wi-Fi network '{Radio().ssid}': ")
        terminal.type(password)
        terminal.done()

    try:
        desk.pico.plug_in(bootsel=True)
        types("what the guests have", "--relay", "berlin", *NETWORK, *desk.options)
        assert "not on its Wi-Fi network yet: wrong password" in terminal.shown
        assert "tessera flash network --relay berlin" in terminal.shown
        assert "no-network (wrong password)" in desk.service("verify").out
        key = status(desk.pico.board)["static_key"]
        types(PASSWORD, "network", "--relay", "berlin", "--issuer", desk.issuer, *NETWORK)
        assert f"'berlin' is on its new network, at {GUEST}" in terminal.shown
        assert (until(desk.pico.board, network=None)["static_key"], desk.pico.board.wifi.status().joined) == (key, True)
        assert PASSWORD not in terminal.shown
    finally:
        terminal.close()
