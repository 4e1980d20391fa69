"""Forty days of an office like the one that `make soak-years` lets live for three years; what its book must notice."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tessera_host.issuer import renewal
from tessera_host.member.inbox import Inbox
from tessera_host.member.outbox import Outbox
from tessera_host.member.renewal import Renewal
from tessera_host.member.views import Views
from tessera_host.protocol import schedule
from tests.soak.years.book import Book
from tests.soak.years.dates import EPOCH_ROUNDS
from tests.soak.years.play import MEMBERS, Length, Played, growth, play

_SMALL = Length(days=16, members=9, grown=10, epochs=31)
_THEFT, _LATER = 50, 50 + 2 * EPOCH_ROUNDS


@pytest.mark.parametrize("members", [8, *(pytest.param(count, marks=pytest.mark.long) for count in (13, MEMBERS))])
def test_forty_days_of_an_office_have_nothing_wrong(members: int) -> None:
    """As many people as `make soak-years` begins with are for the long part; the same happens to a third of them
    daily."""
    played = play("a seed for the share", Length(days=40, members=members, grown=members + 3, epochs=31))
    counts = played.book.counts
    assert played.book.wrong == []
    assert counts["read"] > 200 and counts["stolen relays replaced"] == 3 and counts["people who left"] >= 2
    assert counts["computers restored from a backup"] >= 3 and counts["leavers turned away"] and counts["relay off"]
    assert counts["warnings of it"] and counts["looks at the schedule's end"] > counts["warnings of it"]


# -- sabotages of the product: each is found


def _does_nothing(*_: Any, **__: Any) -> None:
    pass


def _keeps_keys(data: Any, change: renewal.Change, *rest: Any, **named: Any) -> None:
    """A leaver costs nobody a key, and ends nobody's tokens."""
    return _sign_next(data, replace(change, generation=False, rotate=False), *rest, **named)


_sign_next = renewal.sign_next


def _forgets_a_round(real: Callable[..., int]) -> Callable[..., int]:
    def read(self: Any, round_: int, batch: Any) -> int:
        return real(self, round_, [] if round_ % 7 == 3 else batch)

    return read


def _never(*_: Any) -> bool:
    return False


_no_excuse = {"_fits": _never, "_is_another_unknown": _never}

# Whose methods (or a module's functions) are replaced by what, and what the book says then.
SABOTAGES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a reader skips rounds": (Inbox, {"read": _forgets_a_round(Inbox.read)}, "cannot read what"),
    "who left keeps access": (renewal, {"sign_next": _keeps_keys}, "has left, and"),
    "programs do not renew": (Renewal, {"due_at": lambda self: None}, "cannot read what is kept"),
    "a warning never comes": (schedule, {"warning": _does_nothing}, "does not say that the schedule ends"),
    "whoever is behind is an alarm": (Views, _no_excuse, "alarm of a split view"),
    "nothing is posted": (Outbox, {"waiting": lambda *_: iter(())}, "waits to write"),
}


@pytest.mark.long
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_sabotage_of_the_product_is_found(sabotage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, changes, said = SABOTAGES[sabotage]
    for name, broken in changes.items():
        monkeypatch.setattr(owner, name, broken)
    assert any(said in wrong for wrong in play("a seed for sabotages", _SMALL).book.wrong)


# -- the book by itself


def _letter(round_: int | None = 10) -> Book:
    """One letter, acknowledged in this round."""
    book = Book()
    book.wrote("ann", "bob", "berlin", "hello", 1)
    book.acknowledged("ann", "hello", [round_])
    return book


def test_a_letter_that_came_is_right() -> None:
    book = _letter()
    book.came("bob", "ann", "hello")
    book.read("bob", "berlin", 11, expired=0)
    assert book.wrong == []


def test_a_letter_that_is_kept_and_did_not_come_is_noticed_once_its_round_is_over() -> None:
    book = _letter()
    book.read("bob", "berlin", 10, expired=0)
    assert book.wrong == []
    book.read("bob", "berlin", 11, expired=0)
    assert "cannot read what ann wrote" in book.wrong[0]


def test_a_letter_that_expired_has_to_be_told() -> None:
    for expired in (0, 24):
        book = _letter()
        book.read("bob", "berlin", 4 * EPOCH_ROUNDS, expired)
        assert len(book.wrong) == (not expired)


def test_what_was_not_written_so_or_comes_twice_is_noticed() -> None:
    book = _letter()
    book.came("bob", "eve", "hello")
    book.came("bob", "ann", "hello!")
    assert len(book.wrong) == 2
    for _ in range(2):
        book.came("bob", "ann", "hello")
    assert len(book.wrong) == 3 and "twice" in book.wrong[2]


def _stolen() -> Book:
    """The letter was on a relay that was stolen and replaced, and its sender came back in time."""
    book = _letter(_THEFT)
    book.stolen("berlin", _THEFT)
    book.read("bob", "berlin", _THEFT + 2, expired=0)
    book.replaced("berlin", _THEFT + 3)
    book.reached("ann", 0, _THEFT + 4)  # who may not have heard of it yet
    book.reached("ann", 0, _LATER)
    assert book.wrong == []
    return book


def test_what_a_stolen_relay_had_is_sent_again_and_has_to_come() -> None:
    book = _stolen()
    book.read("bob", "berlin", _LATER + 1, expired=0)
    assert book.counts["letters sent again"] == 1 and "cannot read" in book.wrong[0]
    book = _stolen()
    book.came("bob", "ann", "hello")
    book.read("bob", "berlin", _LATER + 1, expired=0)
    assert book.wrong == []


def test_what_nobody_sends_again_is_noticed_at_the_end() -> None:
    book = _letter(_THEFT)
    book.stolen("berlin", _THEFT)
    book.close(_THEFT + 20 * EPOCH_ROUNDS)
    assert "has not sent again" in book.wrong[0]


def test_who_waits_to_write_has_a_reason_and_is_told_until_when() -> None:
    book = Book()
    book.must_leave("ann", True, "", 5, "")
    book.must_leave("ann", False, "", 5, "the relay is off")
    assert book.wrong == []
    book.must_leave("ann", False, "no tokens until 2026-01-15 03:00", 5, "")
    assert len(book.wrong) == 1
    book.restored("ann", 5)
    book.must_leave("ann", False, "not before 2026-01-15 03:00", 6, "")
    assert len(book.wrong) == 1
    book.must_leave("ann", False, "later", 6, "")
    assert len(book.wrong) == 2


def test_who_left_reads_and_posts_nothing_after_the_last_epoch() -> None:
    book = Book()
    book.left("ann", 2 * EPOCH_ROUNDS)
    for told in (None, 3, 2 * EPOCH_ROUNDS):  # who is told late goes by it from the next epoch on
        book.leaver("ann", "reads", [2 * EPOCH_ROUNDS - 1], told)
    book.leaver("ann", "reads", [3 * EPOCH_ROUNDS - 1], 2 * EPOCH_ROUNDS)
    assert book.wrong == []
    book.leaver("ann", "reads", [2 * EPOCH_ROUNDS], 3)
    book.leaver("ann", "posts", [3 * EPOCH_ROUNDS], 2 * EPOCH_ROUNDS)
    assert len(book.wrong) == 2


def test_a_tag_that_is_used_twice_is_noticed() -> None:
    book = Book()
    book.posted(b"one", 1)
    book.posted(b"two", 1)
    assert book.wrong == []
    book.posted(b"one", 2)
    assert "used twice" in book.wrong[0]


def test_a_warning_comes_thirty_days_before_and_not_earlier() -> None:
    book = Book()
    book.warned("issuer show", True, 30 * 86400, 1)
    book.warned("issuer show", False, 30 * 86400 + 1, 1)
    assert book.wrong == []
    book.warned("issuer show", False, 30 * 86400, 1)
    book.warned("issuer show", True, 31 * 86400, 1)
    assert len(book.wrong) == 2


def test_state_that_grows_by_more_than_a_half_is_noticed() -> None:
    sizes = {600: {"member": 100, "issuer": 100}, 1000: {"member": 151, "issuer": 150}}
    assert growth(Played(Book(), 1095, sizes=sizes)) == ["member: 100 bytes, then 151"]
