# The programs that `make test` builds, as fixtures (a missing one is a failure: a skipped test proves nothing), and how
# workers share the tests: a file is one worker's, so that what it builds for its tests is built once, and the file that
# took longest the last time begins first, so that at the end no worker waits for another.

import gc
import os
import signal
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

import tests  # noqa: F401 (the folders that it puts on the path)

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says how busy the computer is.
hypothesis.settings.register_profile("any-computer", deadline=None)
hypothesis.settings.load_profile("any-computer")

# Read by esptool when it is imported, by whichever test that is.
os.environ.setdefault("ESPTOOL_CFGFILE", str(ROOT / "tests" / "host" / "esptool.cfg"))

# A shell has its background jobs ignore Ctrl-C, and they have what they start ignore it: the programs that tests
# interrupt would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _program(variable: str) -> Path:
    path = os.environ.get(variable, "")
    if not os.access(path, os.X_OK):
        pytest.fail(f"{variable} must name a program (it is {path!r}). Run the tests with `make`, which sets it.")
    return Path(path)


@pytest.fixture(scope="session")
def micropython() -> Path:
    """MicroPython's unix port with asyncio and nothing of ours."""
    return _program("TESSERA_MICROPYTHON")


@pytest.fixture(scope="session")
def micropython_frozen() -> Path:
    """MicroPython's unix port with the relay core and relay_unix frozen in."""
    return _program("TESSERA_MICROPYTHON_FROZEN")


@pytest.fixture(scope="session")
def mpy_cross() -> Path:
    """The compiler of the same MicroPython."""
    return _program("TESSERA_MPY_CROSS")


@pytest.fixture(scope="session")
def board_image() -> Path:
    """The image for the emulated board: TESSERA_IMAGE, else what `make image` made."""
    path = Path(os.environ.get("TESSERA_IMAGE") or ROOT / "build" / "RPI_PICO" / "firmware.uf2")
    if not path.is_file():
        pytest.fail(f"no image at {path}. Run `make image BOARD=RPI_PICO`, or name one with TESSERA_IMAGE.")
    return path


@pytest.fixture(scope="session")
def board_network() -> None:
    """Skips where a TUN device in a network namespace is not to be had: boards have no network then."""
    from tools.emulator.network import why_impossible

    if reason := why_impossible():
        pytest.skip(reason)


FILE_SECONDS = "tessera/file-seconds"  # in pytest's cache
UNKNOWN = float("inf")  # a new file may be long


class Controller:
    """Of a session with workers: tells them how long each file took, and keeps it for the next session."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
        self._before: dict[str, float] = self._cache.get(FILE_SECONDS, {}) if self._cache else {}
        self._seconds: Counter[str] = Counter()

    def pytest_configure_node(self, node) -> None:
        # Handed on, not read by each worker: all of them must collect the tests in the same order.
        node.workerinput[FILE_SECONDS] = self._before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid.split("::")[0]] += report.duration

    def pytest_sessionfinish(self) -> None:
        if self._cache:
            self._cache.set(FILE_SECONDS, self._before | {file: round(s, 1) for file, s in self._seconds.items()})


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # while tests are collected: all of them stay
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        config.pluginmanager.register(Controller(config))


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests, which the collector need not look at again and again
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seconds = getattr(config, "workerinput", {}).get(FILE_SECONDS, {})
    items.sort(key=lambda item: -seconds.get(item.nodeid.split("::")[0], UNKNOWN))
