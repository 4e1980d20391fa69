"""The model of docs/growth.md: its parts against what they can be computed from otherwise, and the page itself."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from tessera_host.planning import plan
from tessera_host.privacy import noise
from tools.bench import growth
from tools.bench.growth import Costs, Setting, need

COSTS = Costs(
    idle=0.01, posting=0.002, record=0.0001, reading=0.001, frame=0.00005, made=0.0001, replayed=0.00003,
    written=0.00001, visit=0.01,
)  # fmt: skip


def test_a_cell_in_which_nobody_posted_has_the_planners_frames() -> None:
    choice = plan.Choice(
        cover=plan.DELIVERY, epsilon=Fraction("0.1"), delta=Fraction("1e-6"), members=24, round_seconds=300,
        epoch_rounds=288,
    )  # fmt: skip
    assert growth.frames_a_cell(0.0) == pytest.approx(float(plan.cell_bytes_mean(plan.make(choice))) / 1040)


@pytest.mark.parametrize("records", [0.5, 4.0, 40.0])
def test_records_that_members_post_come_on_top(records: float) -> None:
    """A frame is four records; the last is filled by chance, so the mean is between a quarter of them all and 3/8 more,
    over the whole of both distributions."""
    mean = float(noise.table(Fraction("0.1"), Fraction("1e-6")).mean()) + records
    assert growth.frames_a_cell(records) == pytest.approx(mean / 4 + 3 / 8, abs=0.01)


def test_what_is_said_of_many_records_follows_what_is_said_of_few() -> None:
    assert growth.frames_a_cell(401.0) - growth.frames_a_cell(399.0) == pytest.approx(0.5, abs=0.01)


def test_a_member_costs_as_much_however_many_there_are() -> None:
    """As long as buckets are as full: egress and work grow with members, and a day's download does not."""
    small, large = need(COSTS, Setting(256 * 16)), need(COSTS, Setting(256 * 1024))
    assert large.egress == pytest.approx(64 * small.egress)
    assert large.a_day == pytest.approx(small.a_day)
    assert large.cores - COSTS.idle == pytest.approx(64 * (small.cores - COSTS.idle))


def test_the_work_of_one_member_is_that_of_its_sessions() -> None:
    """By hand, of an office of 3,000 in rounds of 300 s: ten sessions of each kind a second, 8 buckets."""
    frames = growth.frames_a_cell(3000 * 16 / 288 / 8)
    records = 3000 * 16 / 86400
    expected = 0.01 + 10 * 0.002 + records * 0.0001 + 10 * (0.001 + (frames + 1) * 0.00005) + 8 / 300 * frames * 0.0001
    assert need(COSTS, Setting(3000)).cores == pytest.approx(expected)


def test_one_process_is_too_few_from_half_a_core_on_and_a_fleet_has_enough() -> None:
    alone, fleet = need(COSTS, Setting(10**5)), need(COSTS, Setting(10**5, fleet=True))
    assert alone.processes is None and fleet.processes is not None
    assert fleet.cores / fleet.processes <= 0.5 < fleet.cores / (fleet.processes - 1)
    assert fleet.log_frames == pytest.approx(10**5 / 300)
    assert fleet.log_a_day == pytest.approx(86400 * (10**5 / 300 * 300 + min(10**5 / 300, 50 * fleet.processes) * 83))


def test_no_fleet_replays_more_than_a_process_can() -> None:
    """33,000 frames a second at 30 microseconds are a whole core of every process, 11,000 a third of one."""
    costs = replace(COSTS, record=0.0, made=0.0)
    assert need(costs, Setting(10**7, fleet=True)).processes is None
    assert need(costs, Setting(10**7, fleet=True, round_seconds=900)).processes is not None


def test_the_share_of_a_round_that_members_were_there() -> None:
    """They begin in the middle of round 3: it is read in round 4, half of it theirs; round 4 then is all theirs."""
    began = 3.5 * 300
    shares = [growth._share_posted(0, began, second) for second in (0, 149, 150, 449, 450, 1000)]
    assert shares == [0, 0, 0.5, 0.5, 1, 1]


def test_all_fetch_in_the_time_of_the_issuers_process_or_of_its_places() -> None:
    assert growth.fetching_seconds(replace(COSTS, visit=0.02), 10**5) == 2000
    assert growth.fetching_seconds(replace(COSTS, visit=0.0), 10**5) == pytest.approx(10**5 * 0.25 / (4 * 8 / 2))


def test_the_page_is_what_the_model_makes_of_what_was_measured() -> None:
    found = json.loads(growth.KEPT.read_text())
    assert growth.PAGE.read_text() == growth.page(found)


def test_the_model_says_what_ten_thousand_agents_took_within_a_quarter() -> None:
    """Of a run of their server, measured apart from the model's costs."""
    proof = json.loads(growth.KEPT.read_text())["proof"]
    assert proof["members"] >= 10_000 and not proof["failed"]
    for what in ("cores", "egress"):
        said, measured = proof[what]["said"], proof[what]["measured"]
        assert abs(said / measured - 1) <= growth.MOST_ERROR
