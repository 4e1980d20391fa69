"""A share of the attack suite, at small size; and for each statistical game a relay or a member with a leak, which the
same adversary must find. All of it is `make test-attacks`.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessera.cover import EpochCover
from tessera_host.fleet.keys import TokenKey
from tessera_host.relay.machine import ServerMachine
from tests.attacks import (
    constant,
    counting,
    days,
    engine,
    exhaustion,
    issuing,
    moments,
    noise,
    order,
    probing,
    removal,
    reposting,
    timeforging,
    tokens,
    views,
    wires,
)
from tests.attacks.branch import Branch
from tests.results import Row

SMALL: dict[str, Callable[[], list[Row]]] = {
    "reposting": lambda: reposting.run(0.05),
    "constant": lambda: constant.run(0.05),
    "views": lambda: views.run(0.1),
    "order": lambda: order.run(0.1),
    "probing": lambda: probing.run(0.1),
    "issuing": lambda: issuing.run(0.08),
    "timeforging": lambda: timeforging.run(0.05),
    "removal": lambda: removal.run(0.05),
    "engine": lambda: engine.run(0.012),
    "wires": lambda: wires.run(0.05),
    "tokens": lambda: tokens.rows(*tokens.play(200, "small")),
    "counting": lambda: counting.rows(counting.play(5 * counting.BUCKETS, "small")),
    "days": lambda: days.rows(days.play(2 * counting.BUCKETS, "small")),
    "noise": lambda: noise.rows(*noise.play(0, 30_000)),
}

ON_A_SERVER: dict[str, Callable[[], list[Row]]] = {
    "views": lambda: views.run(0.02),
    "order": lambda: order.run(0.05),
    "probing": lambda: probing.run(0.05),
    "wires": lambda: wires.run(0.03),
}


@pytest.mark.parametrize("attack", SMALL)
def test_bounds_hold_against(attack: str) -> None:
    assert [row for row in SMALL[attack]() if not row.good] == []


@pytest.mark.parametrize("attack", ON_A_SERVER)
def test_bounds_hold_on_a_server_against(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Branch, "machine", ServerMachine)
    assert [row for row in ON_A_SERVER[attack]() if not row.good] == []


def test_moments_of_a_server_hold() -> None:
    assert [row for row in moments.run(0.05) if not row.good] == []


def test_bounds_hold_against_exhaustion(micropython_frozen: Path) -> None:
    assert [row for row in exhaustion.run(0.05) if not row.good] == []


def test_a_relay_that_knows_its_own_records_is_found_by_reposting() -> None:
    game, _ = reposting.play(200, "leak", reposting.remember_records)
    assert game.interval()[0] > 0.5


def test_cover_that_does_not_outlive_an_event_is_found_by_two_views() -> None:
    assert all(different > 0 for _, different in views.play(24, "leak", views.draw_cover_anew).values())


def test_a_removed_member_reads_on_where_old_reading_keys_are_taken() -> None:
    found = sum((removal.play(40, f"leak {seed}", removal.any_reading_key) for seed in range(3)), Counter[str]())
    assert found["cells read after"] > 0 and found["posts after"] == 0


def test_records_in_the_order_of_their_coming_are_found() -> None:
    game, p = order.play(40, "leak", order.as_inserted)
    assert game.interval()[0] > 0.5 and p < 1e-6


def test_counts_without_noise_give_every_delivery_away() -> None:
    games = counting.play(4 * counting.BUCKETS, "leak", noisy=False)
    assert not all(row.good for row in counting.rows(games))
    assert max(game.interval()[0] for game in games.values()) > 0.9


def test_a_day_without_noise_gives_itself_away() -> None:
    games = days.play(counting.BUCKETS, "leak", noisy=False)
    assert not all(row.good for row in days.rows(games))
    assert max(game.interval()[0] for game in games.values()) > days.exact()["advantage"]


def test_tokens_without_blinding_are_linked() -> None:
    _, fitting, pairs = tokens.play(100, "leak", blinding=False)
    assert pairs / 2 <= fitting < 0.6 * pairs


def test_an_engine_that_holds_the_log_key_sees_all_but_whose_token_it_is() -> None:
    games = engine.play(300, "leak", engine.with_log_key)
    assert min(games[kind].interval()[0] for kind in (engine.POST, engine.PLACE, engine.BUCKET)) > 0
    low, high = games[engine.TOKEN_WITH_KEY].interval()
    assert low <= 0 <= high


def test_frames_of_different_sizes_tell_the_engine_who_posts() -> None:
    games = engine.play(300, "leak", engine.frames_without_padding)
    assert games[engine.POST].interval()[0] > 0


def test_marks_that_stay_the_same_link_two_posts_for_who_has_the_log_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokenKey, "mark", lambda self, token, _: self.place(token))
    games = engine.play(300, "leak")
    assert games[engine.TOKEN_WITH_KEY].interval()[0] > 0
    low, high = games[engine.TOKEN].interval()
    assert low <= 0 <= high


def test_busy_offices_are_told_from_idle_ones_by_a_relay_whose_quota_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    from tessera.admission import Admission

    def shared(self: Any, token: Any) -> int:
        used = sum(other.used for other in self._tokens.values())
        return max(0, 56 - used)

    monkeypatch.setattr(Admission, "posts_left", shared)
    _, different = probing.compare(1)
    assert different > 0


def test_noise_of_a_biased_sampler_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = EpochCover.noise

    def biased(self: EpochCover, bucket: int, round_: int, real: int = 0) -> int:
        found: int = honest(self, bucket, round_, real)
        return found + (bucket % 2)

    monkeypatch.setattr(EpochCover, "noise", biased)
    assert [row.good for row in noise.rows(*noise.play(0, 60_000))] == [False, False]
