"""The planner: which kind of cover an office gets, with which rounds, and that the choice keeps to the wish."""

from fractions import Fraction

import pytest

from tessera_host.errors import UsageError
from tessera_host.planning import choosing, figures, plan
from tessera_host.planning.boards import BOARDS
from tessera_host.planning.choosing import Wish, choose
from tessera_host.privacy import composition, shaping


def of(found, cover):
    (kind,) = [kind for kind in found.kinds if kind.cover == cover]
    return kind


def refusal(**wishes):
    with pytest.raises(UsageError) as caught:
        choose(Wish(**wishes))
    return caught.value


def test_an_office_of_24_on_a_pico_w_gets_constant_batches_of_two_minutes():
    """The figures of the issue: 32 messages with a retention of three days, 5.3 MB, ten years of flash."""
    found = choose(Wish(members=24))
    choice = found.plan.choice
    assert (choice.cover, found.plan.constant, choice.round_seconds, choice.epoch_rounds) == ("constant", 24, 120, 720)
    assert (choice.retention_epochs, figures.messages_a_day(found.plan)) == (3, 32)
    assert figures.download_a_day(found.plan) <= 5_300_000
    assert figures.flash_years(found.plan) >= 10
    assert figures.figures(found.plan)["latency_seconds"] == 250
    assert "\n" not in found.why and found.why.startswith("Constant batches") and "no daily limit" in found.why


def test_more_messages_are_kept_less_long():
    found = choose(Wish(members=24, messages=64)).plan
    assert (found.choice.cover, found.choice.retention_epochs, found.choice.posts_per_token) == ("constant", 1, 64)
    assert figures.messages_a_day(found) == 64 and figures.flash_years(found) >= 10
    assert choose(Wish(members=26)).plan.choice.posts_per_token == 28  # with two places to spare
    error = refusal(members=24, messages=100)
    assert "10400" in error.message.replace(",", "") or "records" in error.message


def test_what_was_refused_stands_beside_what_was_chosen():
    found = choose(Wish(members=24, buckets=1))
    assert [kind.cover for kind in found.kinds] == ["constant", "day", "delivery"]
    assert all(kind.plan for kind in found.kinds)
    assert of(found, "constant").shorter == "90 s: 7 MB a day"
    two = choose(Wish(members=40, buckets=2, board="GATEWAY"))
    assert "one bucket" in of(two, "constant").refusal.message and two.plan.choice.cover == "day"


def test_a_large_office_gets_a_table_for_its_day():
    found = choose(Wish(members=100, board="GATEWAY"))
    choice = found.plan.choice
    assert choice.cover == "day" and choice.deliveries == 32 == figures.messages_a_day(found.plan)
    assert found.plan.cover_mean < 48 < 100
    day = composition.delta_of(found.plan.parts(32), choice.day_epsilon)
    assert day <= choice.day_delta
    assert "table for a day" in found.why and "constant batches 100" in found.why and "\n" not in found.why


def test_both_promises_hold_together():
    one = Fraction("0.2"), Fraction("1e-6")
    wish = Wish(members=24, cover="day", messages=16, epsilon=one[0], delta=one[1])
    both = choose(wish).plan
    assert composition.delta_of(both.parts(1), one[0]) <= one[1]
    assert composition.delta_of(both.parts(16), both.choice.day_epsilon) <= both.choice.day_delta
    day = choose(Wish(members=24, cover="day", messages=16)).plan
    assert both.cover_mean > day.cover_mean and both.delivery[0] == one[0] < day.delivery[0]
    assert choose(Wish(members=24, epsilon=one[0], delta=one[1])).plan.choice.cover == "constant"  # promises more


def test_a_plan_alone_is_the_one_that_is_chosen_and_nothing_else_is_looked_at(monkeypatch):
    assert choosing.plan_for(Wish(members=24)) == choose(Wish(members=24)).plan
    asked = Wish(members=24, cover=plan.DELIVERY)
    chosen = choose(asked).plan
    monkeypatch.setattr(shaping, "day_table", None)
    assert choosing.plan_for(asked) == chosen
    with pytest.raises(UsageError, match="there is no cover"):
        choosing.plan_for(Wish(members=24, cover="none"))


def test_a_kind_that_is_asked_for_is_taken_and_a_cheaper_one_named():
    found = choose(Wish(members=24, cover="delivery"))
    choice = found.plan.choice
    assert (choice.cover, choice.epsilon, choice.delta) == ("delivery", Fraction("0.1"), Fraction("1e-6"))
    assert figures.messages_a_day(found.plan) == 21
    assert "as you asked" in found.why and "constant batches 24" in found.why
    assert choose(Wish(members=24, cover="constant")).why == "Constant batches, as you asked."


def test_rounds_are_the_shortest_that_flash_and_download_allow():
    for wish in (Wish(members=24, megabytes=Fraction(20)), Wish(members=24, megabytes=Fraction(3)), Wish(members=60)):
        for kind in choose(wish).kinds:
            made, rounds = kind.plan, choosing.ROUNDS
            if made is None:
                continue
            assert figures.flash_years(made) >= 10
            assert figures.download_a_day(made) <= (wish.megabytes or 6) * 1_000_000
            before = rounds[rounds.index(made.choice.round_seconds) - 1]
            assert kind.shorter is not None and kind.shorter.startswith(f"{before} s: ")
            assert made.choice.epoch_seconds == 86400
    assert of(choose(Wish(members=24, megabytes=Fraction(20))), "constant").shorter == "60 s: flash lasts 9 years"


@pytest.mark.parametrize(("members", "deliveries"), [(24, 32), (30, 24), (60, 12)])
def test_no_table_is_searched_for_where_another_limit_decides(members, deliveries, monkeypatch):
    """A search takes half a second; flash life, and what a smaller table has cost already, are known without one."""
    searched = set()
    search = shaping.day_table

    def searching(*wanted):
        searched.add(wanted[0])
        return search(*wanted)

    monkeypatch.setattr(shaping, "day_table", searching)
    found = choose(Wish(members=members))
    assert searched == {deliveries} == {of(found, "day").plan.choice.deliveries}


def test_rounds_that_are_given_are_taken_whatever_they_cost_unless_a_limit_is_given_too():
    short = choose(Wish(members=24, round_seconds=20)).plan
    assert (short.choice.cover, short.choice.epoch_rounds) == ("constant", 4320)
    error = refusal(members=24, round_seconds=20, megabytes=Fraction(6), cover="constant")
    assert "31.5 MB a day" in error.message and "--megabytes 31.5" in error.hint


@pytest.mark.parametrize("board", sorted(BOARDS))
def test_every_board_bears_an_office_of_24(board):
    found = choose(Wish(members=24, board=board)).plan
    assert found.choice.cover == "constant" and found.choice.round_seconds == 120
    assert figures.messages_a_day(found) >= 28 and found.choice.retention_epochs == 3
    assert figures.flash_years(found) >= 10


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"members": 19}, "--allow-small"),
        ({"members": 24, "cover": "some"}, "constant, day, delivery"),
        ({"members": 24, "epsilon": Fraction(1)}, "give both"),
        ({"members": 24, "messages": 0}, "--messages 32"),
        ({"members": 24, "megabytes": Fraction(0)}, "--megabytes 6"),
        ({"members": 24, "megabytes": Fraction("0.1")}, "--megabytes"),
        ({"members": 24, "cover": "constant", "epsilon": Fraction(1), "delta": Fraction("1e-6")}, "out"),
        ({"members": 24, "board": "TOASTER"}, "RPI_PICO_W"),
        ({"members": 24, "round_seconds": 0}, "--round-seconds 1"),
        ({"members": 24, "day_epsilon": Fraction(0)}, "--day-epsilon 2"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(wishes, words):
    error = refusal(**wishes)
    assert words in error.hint and "\n" not in str(error)


def test_no_kind_promises_more_messages_than_it_keeps():
    """Of a table for one delivery as little as the day allows."""
    for kind in choose(Wish(members=24, messages=32)).kinds:
        assert kind.plan and figures.messages_a_day(kind.plan) == (21 if kind.cover == plan.DELIVERY else 32)


# -- several relays


def test_copies_make_rounds_longer_where_the_download_bounds_them():
    one, two = choose(Wish(members=24)), choose(Wish(members=24, copies=2, topology="mesh"))
    assert (two.plan.choice.relays, two.plan.choice.copies, two.plan.choice.topology) == (2, 2, "mesh")
    assert two.plan.choice.cover == "constant" and two.plan.choice.round_seconds == 240
    assert figures.download_a_day(one.plan) > 5_000_000 and figures.download_a_day(two.plan) <= 6_000_000
    assert figures.messages_a_day(two.plan) == 32, "constant batches have no budget"


def test_a_table_of_a_day_is_made_for_every_copy():
    found = of(choose(Wish(members=24, cover="day", messages=8, copies=2, relays=3)), "day").plan
    assert (found.choice.deliveries, figures.messages_a_day(found)) == (16, 8)
    assert composition.delta_of(found.parts(16), found.choice.day_epsilon) <= found.choice.day_delta


@pytest.mark.parametrize(
    ("wishes", "wrong"),
    [
        ({"copies": 3, "relays": 2}, "need as many relays"),
        ({"copies": 0, "relays": 1}, "copies is 0"),
        ({"relays": 65}, "relays is 65"),
        ({"topology": "star"}, "no topology 'star'"),
        ({"copies": 2, "messages": 2049}, "not in 1 to 2048"),
    ],
)
def test_copies_that_cannot_be_are_refused(wishes, wrong):
    assert wrong in refusal(members=24, **wishes).message


def test_a_command_with_few_options_is_told_of_those_that_it_has() -> None:
    wish = Wish(members=3_000_000, posts_per_token=64, board="GATEWAY")
    with pytest.raises(UsageError) as refused:
        choose(wish)
    assert refused.value.hint == "use --posts-per-token 20, or --members 1048575"
    with pytest.raises(UsageError) as refused:
        choosing.plan_for(wish, ("members", "round_seconds"))
    assert refused.value.hint == "use --members 1048575"
    with pytest.raises(UsageError) as refused:
        choosing.plan_for(Wish(members=3), ("round_seconds",))
    assert refused.value.hint == "choose other numbers"
