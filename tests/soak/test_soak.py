"""Short days of the soak; thirty whole ones are `make soak`. And what its book must notice."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from check import unhex, vectors
from covering import cover_records
from tessera.cover import EpochCover
from tests.soak.book import Book
from tests.soak.soak import LEAST, play

DAYS, CALM_DAYS, EPOCH_ROUNDS = LEAST  # of 300 s, 5000 times as fast: 12 s
KEY = bytes(32)
ROUND = 7


def test_short_days_with_cuts_and_a_wrong_clock_lose_nothing(micropython_frozen: Path) -> None:
    rows, soak = play("a seed for the share", DAYS, CALM_DAYS, EPOCH_ROUNDS)
    assert soak.course.book.wrong == [] and all(row.good for row in rows)
    counts = soak.course.counts
    assert soak.course.book.looked_for > 500 and counts["rounds read"] > 150 and counts["power cuts"] >= DAYS
    assert counts["sets taken"]


def _one_round(change: Callable[[list[bytes]], object] = lambda batch: None) -> list[str]:
    """What is wrong with a round of three acknowledged records, after a change of its batch."""
    thresholds = unhex("".join(vectors("noise_table")[4]["thresholds"]))
    book = Book(thresholds, EPOCH_ROUNDS)
    posted = [random.Random(number).randbytes(240) for number in range(3)]
    for record in posted:
        book.send(record)
        book.acknowledge(record, ROUND)
    batch = sorted(posted + cover_records(EpochCover(KEY, thresholds), 0, ROUND))
    change(batch)
    book.read(ROUND, batch)
    book.learn({0: KEY})
    while book.check_one():
        pass
    book.close()
    assert book.looked_for == 3
    return book.wrong


def test_a_right_round_has_nothing_wrong() -> None:
    assert _one_round() == []


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_round_that_lacks_a_record_is_noticed_be_it_real_or_cover(place: int) -> None:
    assert _one_round(lambda batch: batch.pop(place))


def test_a_record_that_nobody_posted_or_that_is_there_twice_is_noticed() -> None:
    assert _one_round(lambda batch: (batch.append(bytes(240)), batch.sort()))
    assert _one_round(lambda batch: (batch.append(random.Random(0).randbytes(240)), batch.sort()))


def test_a_batch_out_of_order_is_noticed() -> None:
    assert _one_round(lambda batch: batch.reverse())


def test_a_round_that_changes_is_noticed() -> None:
    book = Book(bytes(8), EPOCH_ROUNDS)
    assert book.read(ROUND, [b"one"]) and not book.read(ROUND, [b"one"]) and not book.wrong
    assert not book.read(ROUND, [b"two"]) and book.wrong


def test_a_promise_that_was_not_kept_is_noticed() -> None:
    book = Book(bytes(8), EPOCH_ROUNDS)
    book.send(b"a record")
    book.acknowledge(b"a record", ROUND)
    book.close()
    assert book.lost == 1 and book.wrong
