"""Bundles: what is in one, that it is the same whenever it is made, and what it names as its base."""

import shutil
from pathlib import Path

import pytest

from tools.build import boards, bundle

ROOT = Path(__file__).resolve().parent.parent.parent


RP2 = [name for name in boards.names() if boards.read_board(name).bundles]


@pytest.fixture
def staged(tmp_path):
    """staged(board name): the board and the modules its manifest freezes, in a copy that may be changed."""

    def stage(name):
        board = boards.read_board(name)
        manifest = boards.stage(board, tmp_path / name)
        return board, boards.frozen_modules(board, manifest, boards.programs()[0])

    return stage


@pytest.mark.parametrize("name", RP2)
def test_a_bundle_has_the_relay_and_nothing_that_starts_it(name, staged):
    _, modules = staged(name)
    names = {name for name, _, _ in bundle.bundled(modules)}
    core = {name for name, _, _ in modules if name.startswith("tessera/")}
    left_out = {f"tessera/{name}" for name in bundle.LEFT_OUT}
    assert names & core == core - left_out
    assert {"board.py", "tessera_build.py", "device/service.py", "device/flash.py"} <= names
    assert not names & set(boards.UNDER_A_BUNDLE)
    assert {name for name, _, _ in modules if name.startswith("asyncio/")}.isdisjoint(names)


def test_a_bundle_is_the_same_whenever_it_is_made(staged):
    board, modules = staged("RPI_PICO")
    first = bundle.make(board, modules, boards.programs()[1])
    assert bundle.make(board, list(reversed(modules)), boards.programs()[1]) == first
    assert first[:3] == b"\xd2\xcd\x31"  # a ROMFS, vfs_rom.c
    assert str(ROOT).encode() not in first


def test_a_bundle_that_does_not_fit_is_refused(staged, tmp_path):
    board, modules = staged("RPI_PICO")
    (tmp_path / "large.py").write_text(f"TEXT = {'x' * 30_000!r}\n")
    with pytest.raises(boards.BoardError, match="its partition has"):
        bundle.make(board, [*modules, ("device/large.py", tmp_path / "large.py", 0)], boards.programs()[1])


def test_the_base_is_that_of_what_a_bundle_cannot_bring(tmp_path):
    board = boards.read_board("RPI_PICO")
    firmware = tmp_path / "firmware"
    shutil.copytree(ROOT / "firmware", firmware, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    before = boards.base(board, firmware)
    assert len(before) == 8 and boards.base(boards.read_board("RPI_PICO2_W"), firmware) != before
    (firmware / "tessera" / "relay.py").write_text("# another relay\n")
    (firmware / "device" / "service.py").write_text("# another service\n")
    assert boards.base(board, firmware) == before
    for name in ("slots.py", "boot.py", "main.py", "_boot.py", "modules/mbedcrypto/modmbedcrypto.c"):
        old = boards.base(board, firmware)
        (firmware / name).write_text((firmware / name).read_text() + "\n")
        assert boards.base(board, firmware) != old, name


def test_the_firmware_knows_its_version_and_base(tmp_path):
    board = boards.read_board("RPI_PICO")
    boards.stage(board, tmp_path / "stage")
    core = tmp_path / "stage" / "firmware" / "tessera"
    (core / "__init__.py").write_text('VERSION = "1.2.3"\n')
    told = {}
    exec(boards.build_module(board, core), told)
    assert (told["VERSION"], told["BASE"]) == (0x10203, boards.base(board, core.parent))
    (core / "__init__.py").write_text("")
    with pytest.raises(boards.BoardError, match="no VERSION"):
        boards.build_module(board, core)
