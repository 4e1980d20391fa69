"""A server's event loop wakes when something is due, and not a part of a millisecond later. How late a computer is says
nothing here: what is looked at is by what a wait ended."""

import asyncio
import os
import selectors
import sys
import threading
from collections.abc import Iterator

import pytest

from tessera_host.relay import punctual

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Python's own loop is used elsewhere")


@pytest.fixture
def selector() -> Iterator["punctual._Selector"]:
    made = punctual._Selector()
    yield made
    made.close()


def expired(selector: "punctual._Selector") -> bool:
    """Whether its timer ended since it was set; asked once."""
    try:
        return int.from_bytes(os.read(selector._timer, 8), sys.byteorder) == 1
    except BlockingIOError:
        return False


@pytest.mark.parametrize("seconds", [1e-9, 0.0004, 0.0123])
def test_a_wait_ends_by_the_systems_timer(selector: "punctual._Selector", seconds: float) -> None:
    assert selector.select(seconds) == []
    assert expired(selector)


def test_files_end_a_wait_and_one_without_time_sets_nothing(selector: "punctual._Selector") -> None:
    ours, theirs = os.pipe()
    selector.register(ours, selectors.EVENT_READ)
    os.write(theirs, b"x")
    for timeout in (0, 3600, None):
        assert [key.fd for key, _ in selector.select(timeout)] == [ours]
        assert not expired(selector)
    os.close(ours)
    os.close(theirs)


def test_who_waits_for_ever_is_not_woken_by_a_timer_that_is_over(selector: "punctual._Selector") -> None:
    ours, theirs = os.pipe()
    selector.register(ours, selectors.EVENT_READ)
    selector.select(0.0001)
    writing = threading.Timer(0.05, os.write, (theirs, b"x"))
    writing.start()
    assert [key.fd for key, _ in selector.select(None)] == [ours]
    writing.join()
    os.close(ours)
    os.close(theirs)


def test_what_it_opened_is_closed_with_the_loop() -> None:
    before = set(os.listdir("/proc/self/fd"))
    assert punctual.run(asyncio.sleep(0.001, "done")) == "done"
    assert set(os.listdir("/proc/self/fd")) == before
