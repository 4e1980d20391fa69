"""What `make emulate` makes of an image and of a relay's directory before it switches anything on, and its words for
what the radio did."""

import json
from pathlib import Path

import pytest

from tools.emulator.__main__ import find_radio, in_words
from tools.emulator.program import EmulatorError
from tools.emulator.wifi import SECURITIES, Happening, Radio


def image(folder: Path, board: str) -> Path:
    (folder / "image.json").write_text(json.dumps({"board": board}))
    return folder / "firmware.uf2"


def relay(folder: Path, configuration: dict) -> Path:
    (folder / "relay.json").write_text(json.dumps(configuration))
    return folder


def test_board_without_wifi_has_no_radio(tmp_path: Path) -> None:
    assert find_radio(image(tmp_path, "RPI_PICO"), None) is None
    assert find_radio(tmp_path / "elsewhere" / "firmware.uf2", None) is None  # an image that nothing describes


def test_network_in_reach_is_the_relays_or_one_that_is_made_up(tmp_path: Path) -> None:
    pico_w = image(tmp_path, "RPI_PICO_W")
    assert find_radio(pico_w, None) == find_radio(pico_w, relay(tmp_path, {"name": "berlin"})) == Radio()
    for wifi in (
        {"ssid": "Sigmund", "password": "eight or more", "country": "DE"},
        {"ssid": "Sigmund", "password": "eight or more", "security": "wpa3"},
        {"ssid": "Open house"},
    ):
        found = find_radio(pico_w, relay(tmp_path, {"wifi": wifi}))
        assert found
        assert (found.ssid, found.password) == (wifi["ssid"], wifi.get("password", ""))
        assert found.security == wifi.get("security", "wpa2" if "password" in wifi else "open")


@pytest.mark.parametrize("security", SECURITIES)
def test_network_is_named_as_relay_json_names_it(security: str) -> None:
    radio = Radio("Sigmund", "" if security == "open" else "eight or more", security)
    assert Radio.named(radio.name()) == radio


def test_other_chips_cannot_be_emulated(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="RPI_PICO2_W has an rp2350"):
        find_radio(image(tmp_path, "RPI_PICO2_W"), None)


def test_what_the_radio_did_is_said_in_words() -> None:
    def words(what: str, *details: object) -> str | None:
        return in_words(Happening(1.0, what, details), "relay-berlin")

    assert words("joined", "Office", "wpa2") == "joined Office (wpa2)"
    assert words("has the address", "10.77.0.2") == "has the address 10.77.0.2 and the name relay-berlin"
    assert words("refused", "Office", "wpa2") == "has a wrong password for Office"
    assert words("none", "Office") == "does not find the network Office"
    assert words("left", "Office") == "left Office"
    assert words("powered on") is None
    assert in_words(Happening(1.0, "has the address", ("10.77.0.2",)), None) == "has the address 10.77.0.2"
