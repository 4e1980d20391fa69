"""The image of a board, built twice in different places: the same bytes, and image.json tells the truth about them."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.build import boards

ROOT = Path(__file__).resolve().parents[2]
BOARD = "RPI_PICO"


def build(output: Path, *options: str | Path) -> dict:
    command = [sys.executable, "-m", "tools.build.image", BOARD, "--output", output, *options]
    subprocess.run(command, check=True, env=os.environ | {"TZ": "Pacific/Auckland", "LC_ALL": "C"})
    return json.loads((output / "image.json").read_text())


@pytest.fixture(scope="module")
def image() -> tuple[Path, dict]:
    """The image that `make image` makes, built only if it is not there yet."""
    output = ROOT / "build" / BOARD
    return output, build(output)


@pytest.mark.long
def test_a_second_build_elsewhere_is_byte_identical(image: tuple[Path, dict], tmp_path: Path) -> None:
    output, first = image
    second = build(tmp_path / "output", "--again", "--work", tmp_path / "a" / "rather-longer-path")
    for name in ("firmware.uf2", "bundle.bin"):
        assert (tmp_path / "output" / name).read_bytes() == (output / name).read_bytes()
    assert second == first


def test_image_json_is_true_of_the_files(image: tuple[Path, dict]) -> None:
    output, described = image
    for name, file in described["image"].items():
        content = (output / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    binary = described["image"]["firmware.bin"]["bytes"]
    flash = described["flash"]
    assert flash["code_free_bytes"] == flash["code_bytes"] - binary > 0
    assert 0 <= binary - sum(described["parts"].values()) < 4096, "parts that were not counted"
    assert {"micropython", "mbedtls", "lwip", "libsecp256k1", "pico-sdk-source", "tinyusb-source", "gcc"} <= set(
        described["versions"]
    )


def test_the_room_that_is_reckoned_without_a_build_is_what_the_image_has(image: tuple[Path, dict]) -> None:
    """For boards whose images nobody built, `make check-boards` is all there is."""
    _, described = image
    frozen = sum(module["bytes"] for module in described["frozen"].values())
    reckoned = boards.check_room(boards.read_board(BOARD), frozen)
    assert 0 <= described["flash"]["code_free_bytes"] - reckoned <= 4096


def test_every_frozen_module_has_its_digest(image: tuple[Path, dict]) -> None:
    _, described = image
    core = {f"tessera/{path.name}" for path in (ROOT / "firmware" / "tessera").glob("*.py")}
    only_computers = ("curve_coincurve", "filedevice", "ownership", "runtime_cpython")
    core -= {f"tessera/{name}.py" for name in only_computers}
    assert core | {"main.py", "boot.py", "_boot.py", "slots.py", "board.py", "device/ppp.py"} <= set(
        described["frozen"]
    )
    assert all(len(module["sha256"]) == 64 for module in described["frozen"].values())


def test_the_image_holds_no_path_of_the_machine_that_built_it(image: tuple[Path, dict]) -> None:
    output, _ = image
    content = (output / "firmware.bin").read_bytes()
    for path in (str(ROOT), str(Path(sys.prefix).parent.parent), str(Path.home())):
        assert path.encode() not in content
