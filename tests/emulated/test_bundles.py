"""Bundles on the emulated board: they run in place of what is frozen, once on trial, and what is broken goes away."""

from pathlib import Path

import pytest

from tessera.release import version_number
from tessera_host.provisioning.prompt import LEAVE_BUNDLE
from tests.support import bundles
from tests.support.kept_runs import execute
from tools.emulator.execution import DONE, RESET, Execution

NEW = "0.9.9"
TELL = """
import slots, tessera, tessera_build, sys
from device import service
from tessera import relay
print(tessera.VERSION, slots.current.version == tessera_build.VERSION, relay.__file__, service.__file__)
print(slots.current.report()["code"], slots.current.on_trial, slots.current.report()["failed"], slots.problem)
"""


FIND = """
try:
    from device import provision
    print(provision.__file__)
except ImportError:
    print("none")
"""


class Pico:
    """A board that is switched on again and again, a program at its prompt each time."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self.flash = image, folder / "flash.bin"
        self._program = folder / "program.py"

    def start(self, program: str = TELL) -> Execution:
        self._program.write_text(program)
        return execute(self._image, self.flash, self._program, guest_seconds=60)

    def says(self) -> list[str]:
        done = self.start()
        assert done.status == DONE, done.output + done.errors
        return done.output.split()


@pytest.fixture
def pico(board_image: Path, tmp_path: Path) -> Pico:
    return Pico(board_image, tmp_path)


@pytest.fixture(scope="module")
def frozen(board_image: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a board without a bundle says."""
    return Pico(board_image, tmp_path_factory.mktemp("frozen")).says()


def test_a_confirmed_bundle_runs_at_every_start(pico: Pico) -> None:
    bundles.write_board(pico.flash, bundles.make(NEW), NEW, "confirmed")
    for _ in range(2):
        assert pico.says() == [
            *(NEW, "True", "/bundle/tessera/relay.mpy", "/bundle/device/service.mpy"),
            *("bundle_a", "False", "None", "None"),
        ]


def test_at_the_prompt_a_relay_with_a_bundle_can_be_told_what_it_is_to_be(pico: Pico) -> None:
    bundles.write_board(pico.flash, bundles.make(NEW), NEW, "confirmed")
    done = pico.start(FIND + LEAVE_BUNDLE + FIND)
    assert done.status == DONE, done.output + done.errors
    assert done.output.split() == ["none", "device/provision.py"]


def test_a_trial_runs_once(pico: Pico, frozen: list[str]) -> None:
    bundles.write_board(pico.flash, bundles.make(NEW), NEW, "trial")
    assert pico.says()[4:6] == ["bundle_a", "True"]
    after = pico.says()
    assert after[:4] == frozen[:4] and after[4:] == ["frozen", "False", str(version_number(NEW)), "None"]


@pytest.mark.parametrize("kind", ["raises at import", "hangs at import"])
def test_a_broken_bundle_resets_the_board_and_is_gone(pico: Pico, frozen: list[str], kind: str) -> None:
    bundles.write_board(pico.flash, bundles.make(NEW, kind), NEW, "trial", seconds=2)
    # What a board does after boot.py, which the emulator's way to the prompt interrupts.
    assert pico.start("import main").status == RESET
    assert pico.says()[:4] == frozen[:4]


def test_a_damaged_bundle_is_not_run(pico: Pico, frozen: list[str]) -> None:
    bundles.write_board(pico.flash, bundles.make(NEW), NEW, "confirmed")
    content = bytearray(pico.flash.read_bytes())
    offset = bundles.boards.read_board(bundles.BOARD).partitions["bundle_a"].offset
    content[offset + 30_000] ^= 1
    pico.flash.write_bytes(content)
    assert pico.says()[:5] == frozen[:5]


def test_an_older_bundle_loses_to_the_image(pico: Pico, frozen: list[str]) -> None:
    bundles.write_board(pico.flash, bundles.make("0.0.9"), "0.0.9", "confirmed")
    assert pico.says() == frozen


def test_a_board_whose_power_fails_in_a_trial_starts_with_the_code_before(pico: Pico, frozen: list[str]) -> None:
    bundles.write_board(pico.flash, bundles.make(NEW), NEW, "trial")
    assert pico.says()[4:6] == ["bundle_a", "True"]  # and off, without a word
    assert pico.says()[:4] == frozen[:4]
