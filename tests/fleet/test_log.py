"""What a follower notices, whichever engine shows it entries; what an engine's own tests cannot wait for."""

import pytest

from tessera_host.errors import IntegrityError, Unreachable, UsageError
from tessera_host.fleet import log
from tessera_host.fleet.log import LogBroken, LogRefused, LogUnavailable, Order
from tests.fleet.logs import id_of


def shown(count: int, first: int = 1) -> Order:
    """So many entries, whose ids are their positions."""
    order = Order(first)
    for position in range(first, first + count):
        order.take(position, id_of(position))
    return order


@pytest.mark.parametrize("position", [0, 1, 2, 3, 5, 100])
def test_only_the_next_position_is_taken(position: int) -> None:
    order = shown(3)
    with pytest.raises(LogBroken, match=f"shows {position} where 4 comes next"):
        order.take(position, id_of(99))
    order.take(4, id_of(4))


def test_follower_may_begin_before_the_first_position() -> None:
    for position in (-1, 0, 1):
        assert Order(position).next == 1


def test_id_stands_at_one_position() -> None:
    order = shown(5)
    for known in range(1, 6):
        with pytest.raises(LogBroken, match=f"the entry at {known} stands at 6 again"):
            order.take(6, id_of(known))


def test_ids_are_known_for_long_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_REMEMBERED", 3)
    order = shown(10)
    for known in (8, 9, 10):
        with pytest.raises(LogBroken):
            order.take(11, id_of(known))
    order.take(11, id_of(7))


@pytest.mark.parametrize("id", [b"", bytes(15), bytes(17)])
def test_entry_of_nobody_is_noticed(id: bytes) -> None:
    with pytest.raises(LogBroken, match="appended by no gateway"):
        shown(1).take(2, id)


# -- what was acknowledged


def test_what_was_acknowledged_has_to_be_shown_there() -> None:
    order = shown(1)
    order.promise(3, id_of(3))
    order.promise(3, id_of(3))  # another try
    order.take(2, id_of(2))
    with pytest.raises(LogBroken, match="the entry at 3 differs"):
        order.take(3, id_of(4))
    order = shown(1)
    order.promise(2, id_of(2))
    order.take(2, id_of(2))


def test_two_entries_are_not_acknowledged_at_one_position() -> None:
    order = shown(1)
    order.promise(3, id_of(3))
    with pytest.raises(LogBroken, match="acknowledged two entries at 3"):
        order.promise(3, id_of(4))


def test_acknowledgement_that_comes_after_its_entry_is_compared_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_REMEMBERED", 3)
    order = shown(10, first=5)  # 5 to 14; the last three are known
    order.promise(14, id_of(14))
    order.promise(12, id_of(12))
    for position in (12, 14):
        with pytest.raises(LogBroken, match=f"the entry at {position} differs"):
            order.promise(position, id_of(99))
    with pytest.raises(LogBroken, match="the entry at 13 differs"):
        order.promise(13, id_of(14))
    order.promise(11, id_of(99))  # nobody knows any more
    order.promise(3, id_of(99))  # it began behind that


# -- where a log begins and ends


def test_what_was_trimmed_is_passed_over_at_the_beginning_only() -> None:
    order = Order(2)
    order.promise(3, id_of(3))
    order.promise(7, id_of(7))
    order.pass_over(2)
    assert order.next == 2
    order.pass_over(7)
    assert order.next == 7
    with pytest.raises(LogBroken, match="the entry at 7 differs"):
        order.take(7, id_of(3))
    order = shown(3)
    order.pass_over(4)
    with pytest.raises(LogBroken, match="begins at 5, and 4 was not read yet"):
        order.pass_over(5)


def test_log_does_not_end_before_what_was_read() -> None:
    order = shown(3)
    order.require_end(3)
    order.require_end(9)
    with pytest.raises(LogBroken, match="ends at 2, and 3 was in it"):
        order.require_end(2)
    Order(1).require_end(0)


def test_errors_are_what_a_script_knows_already() -> None:
    assert LogUnavailable("").exit_code == Unreachable.exit_code
    assert LogBroken("").exit_code == IntegrityError.exit_code
    assert LogRefused("").exit_code == UsageError.exit_code
