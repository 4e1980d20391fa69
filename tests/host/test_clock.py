"""Moments as people read them: with the zone they are in."""

import time
from collections.abc import Iterator

import pytest

from tessera_host.clock import local_day, local_time, local_time_of_day, short_local_time

MOMENT = 1_800_000_000  # 2027-01-15 08:00 UTC


@pytest.fixture(autouse=True)
def zone_is_put_back() -> Iterator[None]:
    yield
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "2027-01-15 08:00 UTC"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2027-01-15 09:00 CET"),
        ("<+0530>-5:30", "2027-01-15 13:30 UTC+0530"),
    ],
)
def test_a_moment_is_shown_with_its_zone(monkeypatch: pytest.MonkeyPatch, zone: str, shown: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert local_time(MOMENT) == shown
    monkeypatch.undo()


def test_what_happened_lately_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert [short_local_time(MOMENT), local_time_of_day(MOMENT)] == ["15 Jan 08:00", "08:00"]
    assert local_day(MOMENT) == "Fri 15 Jan 2027"
    monkeypatch.undo()
