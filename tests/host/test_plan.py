"""Planning: which sets pass, what is proposed instead, and the figures against counting by hand."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import keyring
from tessera.admission import LEASE_POSTS
from tessera.keyring import KeyRing
from tessera.machine import Machine
from tessera.nor import PAGES_PER_SECTOR, SECTOR_BYTES
from tessera.params import DELIVERY, Parameters, encode
from tessera_host.errors import InvalidInput, UsageError
from tessera_host.planning import figures, plan
from tessera_host.planning.boards import BOARDS, CELL_RECORDS, CONSTANT_RECORDS, KEYRING_SECTORS
from tessera_host.privacy import composition, noise
from tessera_host.privacy.composition import Part

BRANCH = plan.Choice(
    cover=plan.DELIVERY, epsilon=Fraction("0.1"), delta=Fraction("1e-6"), members=24, round_seconds=300,
    epoch_rounds=288,
)  # fmt: skip
CONSTANT = plan.Choice(members=24, round_seconds=120, epoch_rounds=720)


def refusal(**changes):
    with pytest.raises(UsageError) as caught:
        plan.make(replace(BRANCH, **changes))
    assert "\n" not in str(caught.value)
    return caught.value


def fills(choice):
    """Records too many for the ring, by the rule of PROTOCOL §2; not positive if they fit."""
    posts = choice.members * choice.tokens_per_epoch * choice.posts_per_token * (choice.retention_epochs + 1)
    most = {"GATEWAY": 1 << 27}  # pages; of others it is what they have
    return posts - (most.get(choice.board, BOARDS[choice.board].ring_sectors * 16) - 32)


def proposals(error):
    """The options of a hint, as changes to a choice."""
    changes = []
    for words in error.hint.removeprefix("use ").split(", or "):
        if words.startswith("--"):
            option, value = words.split()
            name = option[2:].replace("-", "_")
            changes.append({name: value if name == "board" else int(value)})
    return changes


def test_the_branch_office_plan_is_valid_and_counts_right():
    made = plan.make(BRANCH)
    found = figures.figures(made)
    assert made.table.mu == 109 and found["cover_records_most"] == 218
    assert Fraction("9.2215e-7") < Fraction(found["exact_delta"]) < Fraction("9.2216e-7")
    assert found["exact_delta_decimal"] == "9.2216e-7"
    assert (found["ring_pages"], found["records_kept"]) == (3328, 3296)
    assert found["records_needed"] == 24 * 1 * 32 * 4 == 3072
    assert found["posts_an_epoch_used"] == 768
    assert found["posts_an_epoch_board"] == 824
    assert found["retention_seconds"] == 3 * 86400
    assert (found["messages_a_member_a_day"], found["messages_limited_by"]) == (21, "the day's ε, δ")


def test_traffic_figures_are_those_of_counting_every_draw():
    found = figures.figures(plan.make(BRANCH))
    table = noise.table(BRANCH.epsilon, BRANCH.delta)
    bounds = [0, *table.thresholds, 2**64]
    frames = [max(1, (k + 3) // 4) for k in range(219)]
    mean = Fraction(sum((bounds[k + 1] - bounds[k]) * 1040 * frames[k] for k in range(219)), 2**64)
    assert found["cell_bytes_mean"] - 1 < mean <= found["cell_bytes_mean"]
    assert found["cell_bytes_max"] == 1040 * 55
    a_day = 288 * (mean + 1040)  # with an END frame
    assert found["download_bytes_per_day"] - 1 < a_day <= found["download_bytes_per_day"]
    # fetched 16 rounds at a time, 18 END frames
    rarely = 288 * mean + 18 * 1040
    named = found["download_bytes_per_day_fetching_16_rounds_at_once"]
    assert named - 1 < rarely <= named


def test_a_constant_batch_is_a_record_of_every_token_and_shows_nothing():
    made = plan.make(CONSTANT)
    found = figures.figures(made)
    assert (made.constant, made.thresholds, made.delivery) == (24, (), (0, 0))
    assert found["cover_records_mean"] == found["cover_records_most"] == 24
    assert found["download_bytes_per_day"] == 720 * 7 * 1040 == found["download_bytes_per_day_quota_used_estimate"]
    assert found["download_bytes_per_day"] <= 5_300_000
    assert found["latency_seconds"] == 2 * 120 + 10
    assert {(row["epsilon"], row["delta"]) for row in found["losses"]} == {(0.0, "0")}
    assert (found["messages_a_member_a_day"], found["messages_limited_by"]) == (32, "record ring")
    assert found["flash_years_estimate"] == 15
    assert plan.make(replace(CONSTANT, posts_per_token=64, retention_epochs=1))
    assert plan.make(replace(CONSTANT, members=26, posts_per_token=28))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": 113, "posts_per_token": 4}, "--members 112, or use --cover day"),
        ({"members": 60, "tokens_per_epoch": 2, "posts_per_token": 4}, "--tokens-per-epoch 1, or --members 56"),
        ({"members": 40, "buckets": 2, "posts_per_token": 4}, "use --buckets 1"),
        ({"epsilon": Fraction(1), "delta": Fraction("1e-6")}, "leave --epsilon and --delta out"),
        ({"cover": plan.DELIVERY}, "give --epsilon and --delta"),
        ({"cover": plan.DELIVERY, "epsilon": Fraction(1)}, "give both"),
        ({"cover": plan.DAY}, "give --messages"),
        ({"deliveries": 3}, "give --messages"),
        ({"cover": "none"}, "constant, day, delivery"),
        ({"day_epsilon": Fraction(100)}, "--day-epsilon 2"),
        ({"day_epsilon": Fraction("0.1234567")}, "--day-epsilon 2"),
        ({"day_delta": Fraction(1)}, "--day-delta 2e-5"),
    ],
)
def test_what_no_kind_of_cover_is_made_of_is_refused(changes, words):
    with pytest.raises(UsageError) as caught:
        plan.make(replace(CONSTANT, **changes))
    assert words in caught.value.hint


def test_losses_are_those_of_the_composition_at_the_day_s_delta():
    made = plan.make(BRANCH)
    rows = {each.of: each for each in figures.loss_rows(made)}
    assert (rows[figures.ONE].epsilon, rows[figures.ONE].delta) == (BRANCH.epsilon, made.table.exact_delta)
    counts = {figures.LONGEST: 16, figures.A_DAY: 21, figures.ANOTHER_DAY: 21, figures.A_MONTH: 630}
    for of, deliveries in counts.items():
        row = rows[of]
        assert row.deliveries == deliveries and row.exchanged == (of == figures.ANOTHER_DAY)
        parts = [Part(made.thresholds, 1, deliveries)]
        assert composition.delta_of(parts, row.epsilon, row.exchanged) <= row.delta
        assert composition.epsilon_of(parts, row.delta, row.exchanged) == row.epsilon
    assert rows[figures.A_DAY].epsilon <= 2 and rows[figures.A_DAY].delta == Fraction("2e-5")
    assert rows[figures.A_MONTH].delta == Fraction("6e-4")


def test_what_no_table_hides_is_said_to_have_no_bound():
    made = plan.make(replace(BRANCH, epsilon=Fraction(5), delta=Fraction("0.1"), day_epsilon=Fraction(99),
                             day_delta=Fraction("0.5")))  # fmt: skip
    month = next(each for each in figures.loss_rows(made) if each.of == figures.A_MONTH)
    assert not month.bounded and (month.epsilon, month.delta) == (figures.NO_BOUND, 1)
    assert month.as_json()["epsilon"] is None


def test_a_plan_of_less_than_a_message_a_day_says_nothing_of_a_day():
    made = plan.make(replace(BRANCH, epoch_rounds=40_000, day_epsilon=Fraction("0.01")))  # nothing fits the day
    assert figures.messages_a_day(made) == 0
    assert [(each.deliveries, each.of) for each in figures.loss_rows(made)] == [
        (1, "one delivery"),
        (16, "longest message"),
    ]


def test_capacity_rule_at_its_edge():
    assert plan.make(replace(BRANCH, members=25)).choice.members == 25  # 25 × 1 × 32 × 4 = 3200 ≤ 3296
    error = refusal(members=26)  # 3328
    assert "3328" in error.message and "3296" in error.message
    assert {"members": 25} in proposals(error)
    assert {"retention_epochs": 2} in proposals(error)


def test_capacity_rule_is_the_cores():
    """What plan accepts at the edge is what Parameters accepts on that board, and no more."""
    for members in (25, 26):
        table = noise.table(Fraction(2), Fraction("1e-6"))
        fields = {
            "serial": 1, "federation_id": bytes(16), "root_key": bytes(32), "previous": bytes(32), "genesis": 0,
            "round_seconds": 300, "epoch_rounds": 288, "retention_epochs": 3, "log2_buckets": 0, "members": members,
            "tokens_per_epoch": 1, "posts_per_token": 32, "ahead": 8, "cover": DELIVERY, "constant": 0,
            "epsilon": 2000000, "delta": 1, "deliveries": 0, "generation": 1, "first_epoch": 0, "epochs": 1,
            "access_key": bytes(32), "reading_hash": bytes(32), "card_hash": bytes(32), "day_epsilon": 0,
            "day_delta": 0, "ephemeral": bytes(33), "guest_access_keys": [], "thresholds": table.pack(), "relays": [],
        }  # fmt: skip
        head, rest, columns = encode(fields)
        parameters = Parameters(head + bytes(64) + rest + columns)
        if members == 25:
            parameters.check_capacity(BOARDS["RPI_PICO_W"].ring_pages)
        else:
            with pytest.raises(Exception, match="3328"):
                parameters.check_capacity(BOARDS["RPI_PICO_W"].ring_pages)


@settings(max_examples=150, deadline=None)
@given(
    members=st.integers(1, 700),
    tokens=st.integers(1, 40),
    posts=st.integers(1, 80).map(lambda leases: 4 * leases),
    retention=st.integers(1, 14),
    board=st.sampled_from(sorted(BOARDS)),
)
def test_every_proposal_cures_the_capacity_it_was_made_for(members, tokens, posts, retention, board):
    choice = replace(
        BRANCH, members=members, tokens_per_epoch=tokens, posts_per_token=posts, retention_epochs=retention,
        board=board, epsilon=Fraction(2), allow_small=True,
    )  # fmt: skip
    if fills(choice) <= 0:
        return
    with pytest.raises(UsageError, match="records") as refused:
        plan.make(choice)
    for change in proposals(refused.value):
        assert fills(replace(choice, **change)) <= 0
        if "board" not in change:  # and it is the nearest: one step more does not fit
            name, value = next(iter(change.items()))
            assert fills(replace(choice, **{name: value + (4 if name == "posts_per_token" else 1)})) > 0


def test_fewer_than_twenty_members_a_bucket_need_a_yes():
    assert "--members 20" in refusal(members=19).hint and "--allow-small" in refusal(members=19).hint
    assert plan.make(replace(BRANCH, members=19, allow_small=True))
    assert plan.make(replace(BRANCH, members=20))
    two_buckets = refusal(members=39, buckets=2, board="GATEWAY")
    assert "39/2" in two_buckets.message or "19.5" in two_buckets.message
    assert {"buckets": 1} in proposals(two_buckets) and {"members": 40} in proposals(two_buckets)
    assert plan.make(replace(BRANCH, members=40, buckets=2, board="GATEWAY"))


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"members": 0}, "--members 1"),
        ({"members": (1 << 24) + 1}, "--members 16777216"),
        ({"round_seconds": 0}, "--round-seconds 1"),
        ({"round_seconds": 65536}, "--round-seconds 65535"),
        ({"epoch_rounds": 1}, "--epoch-rounds 2"),
        ({"retention_epochs": 0}, "--retention-epochs 1"),
        ({"retention_epochs": 15}, "--retention-epochs 14"),
        ({"buckets": 3}, "--buckets 2"),
        ({"buckets": 7}, "--buckets 8"),
        ({"buckets": 512}, "--buckets 256"),
        ({"buckets": 255}, "--buckets 256"),
        ({"tokens_per_epoch": 0}, "--tokens-per-epoch 1"),
        ({"tokens_per_epoch": 256}, "--tokens-per-epoch 255"),
        ({"posts_per_token": 0}, "--posts-per-token 4"),
        ({"posts_per_token": 17}, "--posts-per-token 16"),
        ({"posts_per_token": 30}, "--posts-per-token 32"),
        ({"posts_per_token": 1024}, "--posts-per-token 1020"),
        ({"epsilon": Fraction(0)}, "--epsilon"),
        ({"delta": Fraction(1)}, "--delta"),
        ({"board": "TOASTER"}, "RPI_PICO_W"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_nearest(changes, option):
    assert option in refusal(**changes).hint


def test_the_largest_cell_must_fit_the_heap():
    """One member, or all of them, may post everything into one round and bucket."""
    cover = 2 * noise.table(BRANCH.epsilon, BRANCH.delta).mu
    assert CELL_RECORDS - cover == 902
    assert plan.make(replace(BRANCH, members=28, retention_epochs=1))  # 896 posts
    error = refusal(members=29, retention_epochs=1)  # 928
    assert "all 928 records" in error.message and "218 dummies" in error.message and "1120" in error.message
    assert {"members": 28} in proposals(error) and {"board": "GATEWAY"} in proposals(error)
    for change in proposals(error):
        assert plan.make(replace(BRANCH, **{"members": 29, "retention_epochs": 1} | change))
    one = refusal(members=1, allow_small=True, posts_per_token=904, retention_epochs=1)
    assert {"posts_per_token": 900} in proposals(one)


def test_cover_alone_may_be_too_much_for_the_heap():
    """A small ε has thousands of records of cover in every cell."""
    error = refusal(epsilon=Fraction("0.01"), board="ESP32_GENERIC_S3")
    assert "dummies" in error.message and "a larger epsilon or delta" in error.hint
    assert plan.make(replace(BRANCH, epsilon=Fraction("0.01"), board="GATEWAY"))


def test_readers_of_every_round_must_fit_a_board_s_time():
    """Each has a full handshake and a cell a round: 64 ms, and 5 ms for each frame, of half a round."""
    frames = Fraction(figures.figures(plan.make(BRANCH))["cell_bytes_mean"], 1040)
    assert 27 < frames < 29  # 109 records of cover on average
    each = 64 + 5 * frames
    assert plan.make(replace(BRANCH, round_seconds=10)) and 24 * each < 10000 / 2
    error = refusal(round_seconds=9)
    assert 24 * each > 9000 / 2
    assert "24 members read" in error.message and "half of a round, 4.5 s, is enough for 22" in error.message
    assert f"take RPI_PICO_W about {-(-each // 1)} ms" in error.message
    assert proposals(error) == [{"round_seconds": 10}, {"members": 22}, {"board": "GATEWAY"}]
    for change in proposals(error):
        assert plan.make(replace(BRANCH, **{"round_seconds": 9} | change))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 225), st.integers(1, 40), st.integers(0, 3), st.sampled_from(sorted(BOARDS)))
def test_every_proposal_for_readers_cures_it_and_is_the_nearest(members, round_seconds, log2_buckets, board):
    choice = replace(
        BRANCH, members=members, round_seconds=round_seconds, buckets=1 << log2_buckets, posts_per_token=4,
        retention_epochs=2, board=board, epsilon=Fraction(1, 2), allow_small=True,
    )  # fmt: skip
    handshake, frame = (1, Fraction(1, 10)) if board == "GATEWAY" else (64, 5)
    weights = noise.table(choice.epsilon, choice.delta).weights()
    frames = Fraction(sum(weight * max(1, -(-count // 4)) for count, weight in enumerate(weights)), 2**64)
    time, room = members * (handshake + frame * frames), 500 * round_seconds
    if time <= room:
        made = plan.make(choice)
        assert plan.readers_a_round(made, BOARDS[board]) >= members and plan.gateways(made) == 1
        return
    if board == "GATEWAY":  # several processes are one relay
        made = plan.make(choice)
        assert plan.gateways(made) >= time / room and plan.gateways(made) - 1 < time / (room - time / members)
        return
    with pytest.raises(UsageError, match="handshake") as refused:
        plan.make(choice)
    for change in proposals(refused.value):
        assert plan.make(replace(choice, **change))
        for name, nearer in (("round_seconds", -1), ("members", 1)):
            if name in change:
                with pytest.raises(UsageError, match="handshake"):
                    plan.make(replace(choice, **{name: change[name] + nearer}))


CROWD = replace(BRANCH, members=100_000, board="GATEWAY", buckets=512)


def test_a_hundred_thousand_members_are_planned_for():
    """195 a bucket, 8 cohorts, and 12.8 million records, for which the ring is made twice as large."""
    made = plan.make(CROWD)
    found = figures.figures(made)
    assert (found["members_a_bucket"], found["cohorts"], found["members_a_cohort"]) == ("195.3125", 8, "12500")
    assert found["records_needed"] == 12_800_000 and found["ring_bytes"] // 4096 == -(-2 * 12_800_032 // 16)
    assert made.board.ring_sectors_for(12_800_000) * 16 >= 12_800_032
    assert found["gateways_estimate"] == plan.gateways(made) == 3
    assert 1.8 <= found["ring_numbers_years_estimate"] <= 1.9  # 2^27 sectors of 16, and 200,000 a day
    assert found["members_who_could_overfill_a_cell"] == -(-(65536 - 218) // 32)


def test_a_million_are_planned_for_with_a_key_ring_for_their_leases():
    """40,000 pages of them, of at most 65,535 that a key ring can count; and as many again to append."""
    choice = replace(CROWD, members=1_000_000, buckets=2048)
    made = plan.make(choice)
    pages = plan.snapshot_pages(choice.retention_epochs, choice.tokens)
    assert 40_000 < pages < 65_536 and pages + 4 <= made.board.fill_pages
    sectors = made.board.keyring_sectors_for(pages)
    KeyRing(_Sectors(sectors)).check_capacity(choice.retention_epochs + 2, choice.tokens)
    assert sectors // 2 * 16 // 2 >= 1.6 * pages
    error = refusal(members=1_700_000, posts_per_token=4, buckets=2048, board="GATEWAY")
    assert "leases of 16" in error.message and plan.make(replace(choice, posts_per_token=4, **proposals(error)[0]))


def test_a_small_office_has_a_server_s_ring_one_cohort_and_no_cell_that_is_too_large():
    made = plan.make(replace(BRANCH, board="GATEWAY"))
    found = figures.figures(made)
    assert (found["cohorts"], found["gateways_estimate"], found["members_who_could_overfill_a_cell"]) == (1, 1, None)
    assert found["ring_bytes"] == 1 << 30


@pytest.mark.parametrize(("members", "cohorts"), [(16_384, 1), (16_385, 2), (100_000, 8), (1 << 20, 64), (1 << 24, 64)])
def test_cohorts_follow_from_members(members, cohorts):
    assert figures.cohorts(members) == cohorts


def test_the_ring_s_numbers_do_not_last_longer_than_they_do():
    choice = replace(CROWD, posts_per_token=64)
    years = figures.ring_numbers_years(plan.make(choice))
    a_day = Fraction(100_000 * 64, 16) + Fraction(288, 255) + 1
    assert years * 365 * a_day <= 2**27 < (years + Fraction(1, 10)) * 365 * a_day


def test_as_many_buckets_as_the_index_tells_apart():
    assert plan.make(replace(CROWD, buckets=1 << 16, allow_small=True))
    error = refusal(members=6000, buckets=512, allow_small=True)
    assert "can tell 256 buckets apart, the plan has 512" in error.message
    assert proposals(error) == [{"buckets": 256}, {"board": "GATEWAY"}]


def test_the_bound_of_a_cell_is_the_one_that_the_core_s_test_serves():
    """The core and its tests run on MicroPython and cannot import this package."""
    program = (Path(__file__).resolve().parents[1] / "core" / "fullrelay.py").read_text()
    assert f"\nCELL_RECORDS = {CELL_RECORDS}  #" in program
    service = (Path(__file__).resolve().parents[2] / "firmware" / "device" / "service.py").read_text()
    assert f"\n_CELL_RECORDS = {CELL_RECORDS}  #" in service  # a board refuses a set with a larger one
    bounds = {name: board.cell_records for name, board in BOARDS.items()}
    assert bounds.pop("GATEWAY") is None and set(bounds.values()) == {CELL_RECORDS}


def test_leases_must_fit_the_key_ring(monkeypatch):
    """Many tokens of few posts: the record ring would do, the key ring would not; on a board whose heap holds any
    cell, as that of the others is used up first."""
    monkeypatch.setitem(BOARDS, "ESP32_GENERIC_S3", replace(BOARDS["ESP32_GENERIC_S3"], cell_records=None))
    many = {
        "board": "ESP32_GENERIC_S3",
        "members": 75,
        "tokens_per_epoch": 10,
        "posts_per_token": 8,
        "retention_epochs": 1,
    }
    error = refusal(**many)
    assert "leases" in error.message
    for change in proposals(error):
        assert plan.make(replace(BRANCH, **many | change))


class _Sectors:
    """A block device of which only the size matters."""

    def __init__(self, sectors):
        self._sectors = sectors

    def ioctl(self, operation, argument):
        return self._sectors


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(BOARDS)), st.integers(1, 700), st.integers(1, 40), st.integers(1, 14))
def test_what_plan_accepts_the_cores_key_ring_holds(board, members, tokens, retention):
    choice = replace(BRANCH, board=board, members=members, tokens_per_epoch=tokens, retention_epochs=retention,
                     posts_per_token=4, epsilon=Fraction(2), allow_small=True)  # fmt: skip
    try:
        plan.make(choice)
    except UsageError:
        return
    KeyRing(_Sectors(BOARDS[board].keyring_sectors)).check_capacity(retention + 2, members * tokens)


@pytest.mark.parametrize("text", ["0.1", "1e-6", "1/10", "0.000001", "2", "1E-9", "12.5e+1"])
def test_decimals_are_read_exactly(text):
    assert plan.decimal_option("delta", text) == Fraction(text)


@pytest.mark.parametrize("text", ["", "abc", "-0.1", "nan", "inf", "1/0", "1e999999999", "0,1", "0x1", "1 ", "１"])
def test_what_is_no_decimal_is_refused(text):
    with pytest.raises(UsageError, match="--delta"):
        plan.decimal_option("delta", text)


def test_a_plan_file_is_read_back_as_the_same_plan(tmp_path):
    day = replace(BRANCH, cover=plan.DAY, epsilon=None, delta=None, deliveries=8)
    for choice in (replace(BRANCH, delta=Fraction("1.5e-9")), CONSTANT, day):
        made = plan.make(choice)
        (tmp_path / "plan.json").write_text(json.dumps(made.as_json()))
        assert plan.load(tmp_path / "plan.json") == made


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p["thresholds"].__setitem__(5, "00" * 8), "noise table"),
        (lambda p: p["thresholds"].pop(), "noise table"),
        (lambda p: p["choice"].__setitem__("epsilon", "0.2"), "noise table"),
        (lambda p: p["choice"].__setitem__("members", 5), "5 members"),
        (lambda p: p["choice"].__setitem__("members", "24"), "not a plan"),
        (lambda p: p["choice"].__setitem__("members", True), "not a plan"),
        (lambda p: p["choice"].__setitem__("epsilon", 0.1), "not a plan"),
        (lambda p: p["choice"].__setitem__("board", []), "not a plan"),
        (lambda p: p["choice"].pop("buckets"), "not a plan"),
        (lambda p: p["choice"].__setitem__("epsilon", None), "epsilon and delta of one delivery"),
        (lambda p: p["choice"].__setitem__("cover", 3), "no cover"),
        (lambda p: p.pop("thresholds"), "not a plan"),
        (lambda p: p.__setitem__("version", 1), "version"),
        (lambda p: p["choice"].__setitem__("board", "TOASTER"), "TOASTER"),
    ],
)
def test_a_spoiled_plan_file_is_refused(tmp_path, spoil, message):
    content = plan.make(BRANCH).as_json()
    spoil(content)
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=message):
        plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"null", b'{"choice": 1}', b"[" * 100000])
def test_what_is_no_plan_file_is_refused(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(InvalidInput):
        plan.load(tmp_path / "plan.json")
    with pytest.raises(InvalidInput):
        plan.load(tmp_path / "missing.json")


def test_short_rounds_wear_the_key_ring_out_and_plan_says_so():
    assert figures.flash_years(plan.make(BRANCH)) >= 10
    assert figures.flash_years(plan.make(CONSTANT)) == 15
    assert figures.flash_years(plan.make(replace(BRANCH, round_seconds=20, epoch_rounds=60))) == 0


def test_boards_leave_room_for_code_files_and_key_ring():
    for board in BOARDS.values():
        assert board.keyring_sectors >= KEYRING_SECTORS and board.keyring_sectors % 2 == 0
        rest = (board.flash_sectors - board.ring_sectors - board.keyring_sectors) * SECTOR_BYTES
        if board.name != "GATEWAY":
            assert rest >= (1024 + 128) * 1024
            assert plan.make(replace(BRANCH, board=board.name, posts_per_token=28))
    assert BOARDS["RPI_PICO_W"].ring_sectors == 208


def test_boards_with_two_code_slots_have_room_for_them():
    """Update over the air: two slots of the size MicroPython's own partition tables give."""
    slots = {"ESP32_GENERIC": 1536, "ESP32_GENERIC_C3": 1536, "OLIMEX_ESP32_POE": 1536,
             "ESP32_GENERIC_S3": 2048}  # fmt: skip
    for name, kib in slots.items():
        board = BOARDS[name]
        rest = (board.flash_sectors - board.ring_sectors - board.keyring_sectors) * 4
        assert rest >= 2 * kib + 160


def test_the_flash_of_a_pico_2_w_is_used_to_its_end():
    """One code slot and two bundles, as on other Picos; the rest is the ring."""
    board = BOARDS["RPI_PICO2_W"]
    assert 4 * (board.flash_sectors - board.ring_sectors - board.keyring_sectors) == 1280 + 2 * 96 + 256


def test_a_budget_in_which_nobody_could_send_is_refused():
    """ε = 0.1, δ = 9.22e-7 a message: ten fit δ = 1e-5, and the tokens of this plan allow 32 a day."""

    def within(epsilon, delta):
        made = plan.make(replace(BRANCH, day_epsilon=Fraction(epsilon), day_delta=Fraction(delta)))
        return figures.checked_messages_a_day(made)

    assert within("2", "1e-5") == 10
    assert within("2", "2e-5") == 21
    assert within("4", "1e-4") == 32
    assert within("0.1", "1e-6") == 1
    for budget in (("0.09", "1e-5"), ("2", "9e-7")):
        with pytest.raises(UsageError, match="nobody could send anything"):
            within(*budget)


def test_a_token_s_leases_are_counted_in_a_byte():
    """The core's own: a mark of a token is leases of so many posts, and one byte."""
    assert LEASE_POSTS == 4
    assert plan.make(replace(BRANCH, members=20, posts_per_token=1020, retention_epochs=2, board="GATEWAY"))


def test_the_records_of_a_constant_batch_are_those_that_the_core_takes():
    assert (Machine.window_erases - 1) * PAGES_PER_SECTOR == CONSTANT_RECORDS == BOARDS["RPI_PICO_W"].constant_records
    assert plan.make(replace(CONSTANT, members=1000, board="GATEWAY")).constant == 1000


def test_the_key_ring_s_pages_are_the_core_s():
    assert plan._EPOCHS_A_PAGE == keyring._EPOCHS_A_PAGE
    assert plan._LEASES_A_PAGE == keyring._LEASES_A_PAGE


# -- several relays


def test_copies_are_counted_by_hand():
    one, two = plan.make(BRANCH), plan.make(replace(BRANCH, relays=3, copies=2, topology="mesh"))
    assert figures.messages_a_day(one) == 21 and figures.messages_a_day(two) == 10  # 21 // 2
    assert figures.download_a_day(two) == 2 * figures.download_a_day(one)
    # 24 members × 10 messages × 2 copies over 3 relays, 288 rounds a day
    assert figures.records_a_cell(two) == two.cover_mean + Fraction(24 * 10 * 2, 3 * 288)
    found, before = figures.figures(two), figures.figures(one)
    assert (found["tokens_a_member_an_epoch"], found["relays_read_a_round"]) == (3, 2)
    for same in ("records_needed", "records_kept", "readers_a_round_board_estimate", "flash_years_estimate"):
        assert found[same] == before[same], "every relay bears all"
    rows = {each.of: each.deliveries for each in figures.loss_rows(two)}
    assert rows == {
        figures.ONE: 1,
        figures.COPIES: 2,
        figures.LONGEST: 32,
        figures.A_DAY: 20,
        figures.ANOTHER_DAY: 20,
        figures.A_MONTH: 600,
    }


def test_all_copies_of_a_message_show_as_many_times_a_delivery_at_most():
    made = plan.make(replace(BRANCH, relays=4, copies=4))
    copies = next(each for each in figures.loss_rows(made) if each.of == figures.COPIES)
    assert copies.epsilon <= 4 * made.table.epsilon and copies.delta == 4 * made.table.exact_delta
    nothing = next(each for each in figures.loss_rows(plan.make(replace(CONSTANT, relays=4, copies=4))))
    assert (nothing.epsilon, nothing.delta) == (0, 0)


def test_more_copies_than_relays_are_refused_with_both_ways_out():
    error = refusal(relays=2, copies=3)
    assert proposals(error) == [{"copies": 2}, {"relays": 3}]
    for change in proposals(error):
        plan.check_copies("ring", **{"copies": 3, "relays": 2} | change)


def test_a_plan_file_keeps_copies(tmp_path):
    made = plan.make(replace(CONSTANT, relays=5, copies=3, topology="mesh"))
    (tmp_path / "plan.json").write_text(json.dumps(made.as_json()))
    assert plan.load(tmp_path / "plan.json").choice == made.choice
    content = made.as_json()
    content["choice"]["topology"] = ["mesh"]
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="no topology"):
        plan.load(tmp_path / "plan.json")
