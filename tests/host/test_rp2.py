"""Writing an image to a Pico's boot volume: what is checked before, what can go wrong on the way."""

import errno
import os
import struct

import pytest

from tessera_host.errors import BoardSilent, FlashFailed, ImageRejected, PortDenied, WrongBoard
from tessera_host.provisioning import rp2
from tessera_host.provisioning.finder import Finder, Volume

BLOCKS = 300  # more than one piece of copying
RP2040, RP2350 = 0xE48BFF56, 0xE48BFF59


def uf2(family=RP2040, blocks=BLOCKS):
    made = []
    for number in range(blocks):
        place = (0x10000000 + 256 * number, 256, number, blocks, family)
        head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, *place)
        made.append(head + os.urandom(476) + struct.pack("<I", 0x0AB16F30))
    return b"".join(made)


@pytest.fixture
def volume(tmp_path):
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text("Board-ID: RPI-RP2\n")
    return Volume(folder, "RPI-RP2")


class OneProgram(Finder):
    """picotool is at a path, or nowhere."""

    def __init__(self, program=None):
        self.program = program

    def picotool(self):
        return self.program


def test_an_image_of_the_right_chip_is_taken():
    rp2.check_image(uf2(), "rp2040")
    rp2.check_image(uf2(RP2350), "rp2350")


def test_an_image_of_another_chip_is_refused_with_its_name():
    with pytest.raises(WrongBoard, match="is for rp2350"):
        rp2.check_image(uf2(RP2350), "rp2040")
    with pytest.raises(WrongBoard, match="another chip"):
        rp2.check_image(uf2(0x12345678), "rp2040")


@pytest.mark.parametrize("at", [0, 4, 16 + 4, 512 - 1, 5 * 512 + 20])
def test_a_damaged_block_is_refused(at):
    content = bytearray(uf2())
    content[at] ^= 0xFF
    with pytest.raises(ImageRejected):
        rp2.check_image(bytes(content), "rp2040")


@pytest.mark.parametrize("length", [0, 511, 513, 5 * 512])
def test_an_image_that_was_cut_short_is_refused(length):
    with pytest.raises(ImageRejected):
        rp2.check_image(uf2()[:length], "rp2040")


def test_a_copy_reports_how_far_it_is_and_is_whole(volume):
    content, seen = uf2(), []
    rp2.copy(volume.path, content, lambda done, total: seen.append((done, total)))
    assert (volume.path / "firmware.uf2").read_bytes() == content
    assert seen[-1] == (len(content), len(content)) and len(seen) > 2


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, FlashFailed, "is full"),
        (errno.EROFS, PortDenied, "read-only"),
        (errno.EACCES, PortDenied, "may not write"),
        (errno.EIO, FlashFailed, "failed after 65536 of"),
    ],
)
def test_what_fails_while_copying_is_told_apart(volume, monkeypatch, number, error, words):
    def failing(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(rp2.os, "fsync", failing)
    with pytest.raises(error, match=words):
        rp2.copy(volume.path, uf2(), lambda done, total: None)


def test_a_board_pulled_while_it_is_copied_to_is_safe_to_unplug(volume, monkeypatch):
    def pulled(_):
        (volume.path / "INFO_UF2.TXT").unlink(missing_ok=True)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(rp2.os, "fsync", pulled)
    with pytest.raises(FlashFailed, match="went away after 65536 of") as failed:
        rp2.copy(volume.path, uf2(), lambda done, total: None)
    assert "safe to unplug" in failed.value.hint


def test_a_board_that_restarts_before_the_file_is_closed_has_taken_the_image(volume, monkeypatch):
    content = uf2(blocks=4)

    def restarts(_):
        (volume.path / "INFO_UF2.TXT").unlink()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(rp2.os, "fsync", restarts)
    rp2.copy(volume.path, content, lambda done, total: None)


def test_a_volume_that_can_be_read_for_a_while_after_the_last_block_is_no_failure(volume, monkeypatch):
    """Of what the system has read of it, that is; the board has restarted."""
    content, looked = uf2(blocks=4), []

    def restarts(_):
        raise OSError(errno.EIO, "Input/output error")

    def read(folder):
        looked.append(folder)
        return volume if len(looked) < 4 else None

    monkeypatch.setattr(rp2.os, "fsync", restarts)
    monkeypatch.setattr(rp2, "read_volume", read)
    monkeypatch.setattr(rp2.time, "sleep", lambda seconds: None)
    rp2.copy(volume.path, content, lambda done, total: None)
    assert len(looked) == 4


def test_a_board_that_does_not_restart_after_the_copy_is_said_to_be_silent(volume, monkeypatch):
    monkeypatch.setattr(rp2, "_GONE_SECONDS", 0.2)
    with pytest.raises(BoardSilent, match="did not restart"):
        rp2.flash(OneProgram(), volume, uf2(blocks=4), lambda done, total: None)


def program(tmp_path, text):
    path = tmp_path / "picotool"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_picotool_is_used_where_it_is_installed(volume, tmp_path):
    picotool = program(tmp_path, f'echo "$@" > {tmp_path}/called; cp "$4" {tmp_path}/written\n')
    how = rp2.flash(OneProgram(picotool), volume, content := uf2(), lambda done, total: None)
    assert how == "picotool, read back" and (tmp_path / "written").read_bytes() == content
    assert (tmp_path / "called").read_text().startswith("load --verify --execute ")


def test_the_volume_is_copied_to_where_picotool_is_not_let_at_the_board(volume, tmp_path, monkeypatch):
    monkeypatch.setattr(rp2, "_wait_until_gone", lambda folder: None)
    how = rp2.flash(OneProgram(program(tmp_path, "exit 1\n")), volume, uf2(), lambda done, total: None)
    assert how == "copied to the volume" and (volume.path / "firmware.uf2").exists()


def test_picotool_that_stops_in_the_middle_is_a_failure(volume, tmp_path):
    picotool = program(tmp_path, f"rm {volume.path}/INFO_UF2.TXT; exit 1\n")
    with pytest.raises(FlashFailed, match="picotool stopped"):
        rp2.flash(OneProgram(picotool), volume, uf2(), lambda done, total: None)
