# A relay on the image of a Pico W, with MicroPython's driver and the radio's own firmware in it, in the emulator over
# the model of the radio (tools/emulator/wifi.py says what that is). One relay has its first start for all tests of a
# worker; each test has boards with copies of its flash, in surroundings of its own.
#
# `make test-radio MICROPY_DIR=…` runs all of it, `make test MICROPY_DIR=…` what does not take minutes. Times are the
# board's.

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.results import Row, publish
from tests.support.office_on_disk import OfficeOnDisk
from tests.support.ready_board import FLASH, ReadyRelay, make_ready
from tools.emulator.board import Board
from tools.emulator.bridge import LOCAL
from tools.emulator.clock import Clock
from tools.emulator.wifi import Radio

ROOT = Path(__file__).resolve().parents[2]
NAME = "RPI_PICO_W"
HOSTNAME = "relay-berlin"
CHOICE = {"members": 16, "round_seconds": 12, "posts_per_token": 32, "board": NAME}  # a member each test
COMMAND = "make test-radio MICROPY_DIR=…"

SwitchOn = Callable[..., Board]


@pytest.fixture(scope="session")
def radio_image() -> Path:
    path = ROOT / "build" / NAME / "firmware.uf2"
    if not path.is_file():
        pytest.fail(f"no image at {path}. Run `{COMMAND}`: a checkout of MicroPython, as docs/it/install.md says.")
    return path


@pytest.fixture(scope="session")
def relay(radio_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadyRelay]:
    """Configured for the network of a Radio() as it is without options."""
    folder = tmp_path_factory.mktemp("relay")
    with OfficeOnDisk(folder, time_server=LOCAL, clock=Clock(folder / "clock"), **CHOICE) as office:
        path = office.relay.directory / "relay.json"
        network = {"wifi": Radio().name() | {"country": "DE"}, "hostname": HOSTNAME}
        path.write_text(json.dumps(json.loads(path.read_text()) | network))
        yield make_ready(radio_image, office, radio=Radio())


@pytest.fixture
def switch_on(relay: ReadyRelay, tmp_path: Path, board_network: None) -> SwitchOn:
    """A board of the relay with this radio and what is around it: `with` switches it on. Members reach it there."""

    def make(radio: Radio) -> Board:
        port = relay.office.port
        return relay.board(tmp_path / FLASH, guest_port=port, port=port, radio=radio)

    return make


# -- what was measured, for tests/RESULTS.md


@pytest.fixture
def measured(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """measured(what, value, bound): a row of the table; assertions are the test's business."""
    return lambda what, value, bound="": record_property(ROW, (what, value, bound))


ROW = "row"


class Results:
    """Publishes the rows of a run of all tests of this folder in which none failed."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._rows: list[tuple[str, Row]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._rows += [(report.nodeid, Row(*row)) for name, row in report.user_properties if name == ROW]

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        option = session.config.option
        everything = not (option.markexpr or option.keyword or option.collectonly or exitstatus)
        if (
            self._rows
            and everything
            and [Path(each).resolve() for each in option.file_or_dir] == [ROOT / "tests/radio"]
        ):
            rows = [row for _, row in sorted(self._rows, key=lambda row: row[0])]
            publish("radio", COMMAND, rows, time.monotonic() - self._start)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results())
