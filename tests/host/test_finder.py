"""What a computer says is plugged in, and what is made of it."""

from types import SimpleNamespace

import pytest

from tessera_host.provisioning import finder
from tessera_host.provisioning.finder import Finder, kind_of, linux_mount_points, read_volume


def test_a_usb_identity_says_what_a_port_is():
    assert "Pico" in kind_of(0x2E8A, 0x0005)
    assert "CP210x" in kind_of(0x10C4, 0xEA60) and "ESP32" in kind_of(0x303A, 0x1001)
    assert kind_of(0x10C4, 0x0001) is None  # another product of that maker
    assert kind_of(0x046D, 0xC31C) is None and kind_of(None, None) is None


def test_ports_of_boards_are_found_and_others_passed_over(monkeypatch):
    def port(device, vid, pid):
        return SimpleNamespace(device=device, vid=vid, pid=pid, serial_number="1234")

    there = [port("/dev/ttyUSB0", 0x1A86, 0x7523), port("/dev/ttyS0", None, None), port("/dev/ttyACM0", 0x2E8A, 5)]
    monkeypatch.setattr(finder.list_ports, "comports", lambda: there)
    found = Finder().ports()
    assert [(each.device, each.may_be_esp32) for each in found] == [("/dev/ttyACM0", False), ("/dev/ttyUSB0", True)]


def test_the_kernels_table_of_mounts_is_read_with_blanks_in_paths(tmp_path):
    table = tmp_path / "mounts"
    table.write_text(
        "sysfs /sys sysfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\n"
        "/dev/sdb1 /media/it/RPI-RP2 vfat rw,nosuid 0 0\n/dev/sdc1 /media/it/MY\\040STICK vfat rw 0 0\n"
    )
    assert [str(path) for path in linux_mount_points(table)] == ["/media/it/RPI-RP2", "/media/it/MY STICK"]


@pytest.mark.parametrize(
    ("text", "board"), [("Board-ID: RPI-RP2\n", "RPI-RP2"), ("Board-ID:RP2350", "RP2350"), ("", None)]
)
def test_a_volume_says_whose_boot_loader_it_is(tmp_path, text, board):
    (tmp_path / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\n" + text)
    found = read_volume(tmp_path)
    assert (found.board_id if found else None) == board


def test_a_usb_stick_is_no_board(tmp_path):
    assert read_volume(tmp_path) is None and read_volume(tmp_path / "missing") is None


def test_volumes_are_looked_for_where_this_system_mounts_them(tmp_path, monkeypatch):
    (tmp_path / "INFO_UF2.TXT").write_text("Board-ID: RPI-RP2\n")
    monkeypatch.setattr(finder, "mount_points", lambda: iter([tmp_path, tmp_path / "other"]))
    assert [volume.path for volume in Finder().volumes()] == [tmp_path]
    assert Finder().unmounted() == []


def test_a_boot_volume_that_nothing_mounted_is_named(tmp_path, monkeypatch):
    (tmp_path / "RPI-RP2").touch()
    monkeypatch.setattr(finder, "mount_points", lambda: iter([]))
    monkeypatch.setattr(finder, "_LINUX_LABELS", tmp_path)
    assert Finder().unmounted() == [tmp_path / "RPI-RP2"]
