"""Three short days of the soak; thirty whole ones are `make soak`."""

from pathlib import Path

from soak import play

DAYS, EPOCH_ROUNDS = 3, 72  # of 300 s, 5000 times as fast: 13 s


def test_short_days_with_cuts_and_a_wrong_clock_lose_nothing(micropython_frozen: Path) -> None:
    _, soak = play(DAYS, "a seed for the share", EPOCH_ROUNDS)
    counts = soak.counts
    assert soak.wrong == []
    assert counts["lost"] == counts["FAULT"] == counts["rounds not read in time"] == 0
    assert counts["checked"] > 500 and counts["rounds"] > 150 and counts["power cuts"] >= 2
