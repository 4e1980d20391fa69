"""A share of `make test-fleet`, and what its book must notice."""

import re
from collections.abc import Callable

import pytest

pytest.importorskip("nats", reason="no client of NATS here: pip install nats-py")

from tests.fleet.book import ACKNOWLEDGED, Book
from tests.fleet.office import Setting
from tests.fleet.play import Length, play

SHARE = Length(
    seconds=12, kill_seconds=5, down=(0.5, 1), cut_seconds=5, cut=(1, 3), writers=4, who_break_rules=1, people=2,
    stop_all=False, least_kills=2, least_acknowledged=3,
)  # fmt: skip


@pytest.mark.long
def test_nothing_acknowledged_is_lost_when_processes_are_killed_and_cut_off() -> None:
    """How much is acknowledged, and how soon, is the long play's. Daily: test_gateway.py, gateways that are killed at
    every point, and test_nats_partitions.py."""
    book = play(Setting(members=8, epoch_rounds=60, posts_per_token=16), SHARE, "a seed for the share")
    counts = book.counts
    assert not book.wrong, book.told
    assert counts["nodes killed"] + counts["gateways killed"] >= 2 and book.acknowledged >= 3, book.told
    assert counts["letters read"] == counts["letters written"], book.told
    assert counts["batches compared"] > 6, book.told


# -- the book

TOKEN, RECORD, OTHER = b"token", b"record" * 40, b"other." * 40
BOTH = {1, 2}


def _book(*published: tuple[int, int, list[bytes]], round_: int = 7, answer: str = ACKNOWLEDGED) -> Book:
    """A record that was posted for round 7, and what both gateways publish: (round, bucket, records)."""
    book = Book(epoch_rounds=10, quota=2)
    post = book.post(TOKEN, 0, RECORD, offered=True)
    post.round, post.answer = round_, answer
    for gateway in BOTH:
        for where in published:
            book.published(gateway, *where)
    return book


def test_book_is_content_with_what_is_right() -> None:
    book = _book((7, 0, [OTHER, RECORD]), (8, 0, [OTHER[::-1]]))
    book.published(1, 9, 0, [])  # one of them was read further, before all of them were left
    book.close(BOTH, 9)
    assert book.wrong == [] and book.counts["offered, acknowledged"] == 1
    assert "1 offered, acknowledged" in book.told


def test_post_that_was_refused_may_be_in_its_batch_or_not() -> None:
    for batch in ([OTHER], [OTHER, RECORD]):
        book = _book((7, 0, batch), round_=-1, answer="BUSY")
        book.close(BOTH, 9)
        assert book.wrong == []


def _another_batch(book: Book) -> None:
    book.published(2, 7, 0, [OTHER])


def _second_of_a_round(book: Book) -> None:
    book.post(TOKEN, 0, OTHER, offered=True).answer = "BUSY"


def _more_than_the_quota(book: Book) -> None:
    for round_ in (5, 6):
        record = bytes((round_,)) * 240
        book.post(TOKEN, 0, record, offered=True).answer = "no answer"
        for gateway in BOTH:
            book.published(gateway, round_, 0, [record])


def _one_gateway_was_not_read(book: Book) -> None:
    book.published(1, 8, 0, [])


@pytest.mark.parametrize(
    ("published", "change", "said"),
    [
        ([(7, 0, [OTHER])], None, "is lost"),
        ([(8, 0, [RECORD])], None, r"was acknowledged for \(7, 0\) and stands in \[\(8, 0\)\]"),
        ([(7, 1, [RECORD])], None, r"stands in \[\(7, 1\)\]"),
        ([(7, 0, [RECORD]), (8, 0, [RECORD])], None, "stands in 2 batches"),
        ([(7, 0, [OTHER, RECORD])], _another_batch, "do not publish one batch of round 7"),
        ([(7, 0, [OTHER, RECORD])], _second_of_a_round, "two records in one round"),
        ([(7, 0, [OTHER, RECORD])], _more_than_the_quota, "has 3 records in epoch 0"),
        ([(7, 0, [OTHER, RECORD])], _one_gateway_was_not_read, r"only gateways \[1\] were read"),
    ],
)
def test_book_notices(
    published: list[tuple[int, int, list[bytes]]], change: Callable[[Book], None] | None, said: str
) -> None:
    book = _book(*published)
    if change is not None:
        change(book)
    book.close(BOTH, 9)
    assert any(re.search(said, wrong) for wrong in book.wrong), book.wrong
