"""`tessera flash` as it is typed, on a virtual ESP32: from an approved image to the flash, and no further, since the
virtual chip runs no MicroPython that would answer afterwards.
"""

import hashlib
import json

import pytest

from tessera_host import cli
from tessera_host.cli import flash as cli_flash
from tessera_host.provisioning import detection, flashing, prompt
from tessera_host.provisioning.finder import Finder, Port
from tests.support import esp32parts, romloader
from tests.support.romloader import Fault
from tools.build import boards as board_folders

PLAN = ["--cover", "delivery", "--epsilon", "1", "--members", "4", "--allow-small", "--board", "ESP32_GENERIC"]
WRONG_BOARD, SILENT, REJECTED = 12, 14, 15
WRITING = {romloader.FLASH_BEGIN, romloader.FLASH_DEFL_BEGIN}


class OnePort(Finder):
    """A computer with one cable."""

    def __init__(self, device):
        self._device = device

    def ports(self):
        return [Port(str(self._device), "USB bridge", may_be_esp32=True)] if self._device.is_symlink() else []

    def volumes(self):
        return []

    def unmounted(self):
        return []


class Desk:
    """An issuer, an approved image for an ESP32_GENERIC, and a board at its port."""

    def __init__(self, folder, mcu, capsys):
        self.folder, self.image, self._capsys = folder, folder / "image", capsys
        self.board = board_folders.read_board("ESP32_GENERIC")
        self.device = romloader.VirtualBoard(mcu, folder / "ttyUSB0")
        self.write_image("version 1")
        assert self.tessera("plan", *PLAN, "--out", "plan.json")[0] == 0
        assert self.tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Office")[0] == 0
        assert self.tessera("issuer", "approve", "issuer", "image")[0] == 0

    def write_image(self, seed):
        self.image.mkdir(exist_ok=True)
        content = esp32parts.combined_image(self.board, seed)
        (self.image / "firmware.bin").write_bytes(content)
        size = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        described = {"board": "ESP32_GENERIC", "version": "1.2.3", "firmware_digest": "ab" * 32, "base": "00" * 8}
        (self.image / "image.json").write_text(json.dumps(described | {"image": {"firmware.bin": size}}))

    def tessera(self, *arguments):
        """(exit code, stdout, stderr)"""
        self._capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        return (code, *self._capsys.readouterr())

    def flash(self, *arguments):
        """(exit code, stderr)"""
        self.device.commands.clear()
        options = ["--relay", "berlin", "--host", "10.0.0.7", "--ssid", "office", "--image", self.image]
        code, _, error = self.tessera("flash", *options, *arguments)
        return code, error

    def was_written(self):
        return bool(WRITING & set(self.device.commands))


@pytest.fixture
def make_desk(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("passphrase", "wifi"):
        (tmp_path / name).write_text("correct horse\n")
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.setenv("TESSERA_WIFI_PASSWORD_FILE", str(tmp_path / "wifi"))
    monkeypatch.setattr(cli_flash, "finder", OnePort(tmp_path / "ttyUSB0"))
    # The virtual board answers at once or never.
    monkeypatch.setattr(detection.identify, "__defaults__", (0.3,))  # seconds of patience
    monkeypatch.setattr(detection, "STATUS_SECONDS", 0.3)
    monkeypatch.setattr(prompt, "ENTER_ATTEMPTS", 1)
    monkeypatch.setattr(prompt, "ENTER_SECONDS", 5)
    monkeypatch.setattr(detection, "BOOT_PATIENCE_SECONDS", 1)
    monkeypatch.setattr(flashing, "BOOT_SECONDS", 0.5)

    def new(mcu="esp32"):
        return Desk(tmp_path, mcu, capsys)

    with romloader.plugged_in(monkeypatch, new) as make:
        yield make


def test_the_approved_image_is_on_the_board_and_one_that_does_not_come_back_is_told(make_desk):
    desk = make_desk()
    code, error = desk.flash()
    assert code == SILENT and "did not come back" in error
    assert esp32parts.slot_that_starts(desk.device.flash, desk.board) == "ota_0"
    assert desk.device.mode == "application"
    assert desk.device.resets[-1] == "start"  # and nobody stopped it again while it was waited for


def test_a_dry_run_says_what_is_there_and_writes_nothing(make_desk):
    desk = make_desk()
    code, out, _ = desk.tessera(
        "flash", "--relay", "berlin", "--host", "10.0.0.7", "--ssid", "office", "--image", desk.image, "--dry-run",
        "--json",
    )  # fmt: skip
    told = json.loads(out)
    assert code == 0 and told["board"] == "ESP32_GENERIC" and "esp32" in told["found"]
    assert not desk.was_written()


def test_an_image_that_was_tampered_with_reaches_no_flash(make_desk):
    desk = make_desk()
    content = bytearray((desk.image / "firmware.bin").read_bytes())
    content[0x10000] ^= 1
    (desk.image / "firmware.bin").write_bytes(content)
    code, error = desk.flash()
    assert code == REJECTED and "not the one that was approved" in error
    assert not desk.was_written() and set(desk.device.flash) == {0xFF}


def test_an_approved_file_that_is_no_image_reaches_no_flash(make_desk):
    desk = make_desk()
    (desk.image / "firmware.bin").write_bytes(b"not an image")
    size = {"bytes": 12, "sha256": hashlib.sha256(b"not an image").hexdigest()}
    described = json.loads((desk.image / "image.json").read_text()) | {"image": {"firmware.bin": size}}
    (desk.image / "image.json").write_text(json.dumps(described))
    assert desk.tessera("issuer", "approve", "issuer", "image")[0] == 0
    code, error = desk.flash("--dry-run")
    assert code == REJECTED and "no partition table" in error
    assert not desk.was_written()


def test_another_chip_is_named(make_desk):
    desk = make_desk("esp32c3")
    code, error = desk.flash("--board", "ESP32_GENERIC")
    assert code == WRONG_BOARD and "esp32c3" in error and "ESP32_GENERIC_C3" in error
    assert not desk.was_written() and desk.device.mode == "application"


def test_the_same_command_goes_on_after_a_pulled_cable(make_desk):
    desk = make_desk()
    desk.device.fault = Fault(romloader.FLASH_DEFL_DATA, 2, "pull")
    code, error = desk.flash()
    assert code == SILENT and "went away" in error and "safe to unplug" in error
    assert esp32parts.slot_that_starts(desk.device.flash, desk.board) is None
    desk.device.plug_in("application")
    desk.flash()
    assert esp32parts.slot_that_starts(desk.device.flash, desk.board) == "ota_0"
