"""What a fleet's log means, rule by rule (docs/fleet.md §5), and what an engine cannot do unnoticed."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import office
from dice import Dice
from tessera.admission import LEASE_POSTS
from tessera.keyring import ADMITTED, NEVER
from tessera_host.errors import IntegrityError, InvalidInput
from tessera_host.fleet import frames, replay, state
from tessera_host.fleet.entry import VERSION, Clear, Contents, entry_id, seal, unseal
from tessera_host.fleet.frames import Malformed
from tessera_host.fleet.keys import EpochKeys, LogKeys, NodeSecrets, TokenKey, Welcome
from tessera_host.fleet.log import Entry, LogBroken
from tessera_host.fleet.replay import (
    CheckpointTaken,
    EpochOpened,
    FleetIsNewer,
    KeyMissing,
    NodeChanged,
    ParametersTaken,
    Passed,
    Placed,
    Reason,
    Recorded,
    Refused,
    Repeated,
    Replay,
    Voted,
)
from tessera_host.fleet.state import SPAN, State

from .gateways import FIRST, POSTS, ROUNDS, STATIC, Fleet, Gateway, constant_set, token_id
from .test_frames import FRAMES

ALICE, BOB, CAROL, DAVE = (token_id(number, 2) for number in range(4))


def rec(number: int) -> bytes:
    return number.to_bytes(240, "big")


def ready(gateways: int = 3, parameters: bytes | None = None) -> Fleet:
    """A fleet in whose open round, the second of its epoch, members can post."""
    fleet = Fleet(gateways, parameters)
    fleet.share_token_key(fleet[1])
    fleet.next_round()
    return fleet


def outcome(gateway: Gateway, id: bytes | Reason) -> object:
    """What became of a POST: the round, or why not."""
    if isinstance(id, Reason):
        return id
    effect = gateway.answers[id]
    return effect.round if isinstance(effect, Recorded) else effect.why if isinstance(effect, Refused) else effect


def same(fleet: Fleet) -> bool:
    return len({gateway.state.encoded() for gateway in fleet}) == 1


# -- posts


def test_of_two_posts_of_a_token_at_two_gateways_one_counts() -> None:
    fleet = ready()
    ids = [fleet[1].post(ALICE, rec(1)), fleet[2].post(ALICE, rec(2), bucket=1)]
    fleet.settle()
    found = [outcome(fleet[1], ids[0]), outcome(fleet[2], ids[1])]
    assert sorted(map(str, found)) == sorted(map(str, (FIRST + 1, Reason.TAKEN)))
    assert fleet[3].ring == fleet[1].ring == fleet[2].ring
    assert same(fleet)


def test_token_gets_exactly_its_quota_whichever_gateways_it_posts_at() -> None:
    fleet = ready()
    accepted = []
    for number in range(ROUNDS - 1):
        gateway = fleet[1 + number % 3]
        id = gateway.post(ALICE, rec(number))
        fleet.settle()
        accepted.append(outcome(gateway, id))
        fleet.next_round()
    assert accepted == [FIRST + 1 + number for number in range(POSTS)] + [Reason.FULL]


def test_quota_begins_anew_with_an_epoch_and_its_token_key() -> None:
    fleet = ready()
    fleet.share_token_key(fleet[2], next_epoch=True)
    id = fleet[1].post(ALICE, rec(1))
    fleet.settle()
    fleet.next_round(ROUNDS)
    key = fleet[3].token_key
    assert key is not None and fleet[3].state.epoch == 3
    assert key.posts_left(token_id(0, 3), fleet[3].state) == POSTS
    again = fleet[3].post(token_id(0, 3), rec(2))
    fleet.settle()
    assert (outcome(fleet[1], id), outcome(fleet[3], again)) == (FIRST + 1, FIRST + ROUNDS)


def test_record_behind_the_seal_of_its_round_is_in_no_round() -> None:
    fleet = ready()
    id = fleet[1].post(ALICE, rec(1))
    fleet[1].tick()
    late = fleet.engine.flying.pop()
    fleet.next_round()
    fleet.engine.flying.append(late)
    fleet.settle()
    assert outcome(fleet[1], id) is Reason.LATE
    assert [gateway.ring for gateway in fleet] == [{}, {}, {}]


def test_record_that_came_with_the_seal_is_before_it() -> None:
    fleet = ready(1)
    fleet[1].vote()
    id = fleet[1].post(ALICE, rec(1))
    fleet.settle()
    assert outcome(fleet[1], id) == FIRST + 1 and fleet[1].state.open_round == FIRST + 2


def test_record_in_another_bucket_than_there_are_is_refused() -> None:
    fleet = ready()
    id = fleet[1].post(ALICE, rec(1), bucket=2)
    fleet.settle()
    assert outcome(fleet[1], id) is Reason.BUCKET


def test_no_round_has_more_than_c_records_whatever_gateways_write() -> None:
    fleet = ready()
    ids = [fleet[1 + number % 3].post(token, rec(number)) for number, token in enumerate((ALICE, BOB, CAROL, DAVE))]
    fleet.settle()
    found = [outcome(fleet[1 + number % 3], id) for number, id in enumerate(ids)]
    assert found.count(FIRST + 1) == 3 and found.count(Reason.FULL) == 1
    assert sum(map(len, fleet[2].ring.values())) == 3


def test_only_c_tokens_have_a_place_in_an_epoch() -> None:
    fleet = ready()
    ids = [(1 + number % 3, token) for number, token in enumerate((ALICE, BOB, ALICE, CAROL, DAVE, ALICE))]
    answers = []
    for number, token in ids:
        id = fleet[number].place(token)
        fleet.settle()
        answers.append(fleet[number].answers[id])
    assert [isinstance(each, Placed) for each in answers] == [True, True, True, True, False, True]
    assert isinstance(answers[4], Refused) and answers[4].why is Reason.FULL
    fleet.next_round(ROUNDS)
    assert fleet[1].state.places == set()


def test_with_a_table_of_noise_places_are_for_all() -> None:
    fleet = ready(1, office.parameters(posts_per_token=LEASE_POSTS))
    ids = [fleet[1].place(token_id(number, 2)) for number in range(9)]
    fleet.settle()
    assert all(isinstance(fleet[1].answers[id], Placed) for id in ids) and not fleet[1].state.places


# -- token keys


def test_after_a_token_key_nothing_is_posted_until_the_next_round_and_nothing_under_the_old_one() -> None:
    fleet = ready()
    old = fleet[1].token_key
    fleet.share_token_key(fleet[2])
    assert fleet[2].state.posting_from == FIRST + 2
    id = fleet[2].post(ALICE, rec(1))
    fleet[1].token_key = old
    refused = fleet[1].post(BOB, rec(2))
    fleet.settle()
    assert (outcome(fleet[2], id), refused) == (Reason.WAIT, Reason.KEY)
    fleet.next_round()
    again = fleet[2].post(ALICE, rec(3))
    assert old is not None
    mark = old.mark(BOB, FIRST + 2)
    fleet[1].pending.append(frames.Record(b"under an old one", FIRST + 2, 0, rec(4), old.name, mark))
    fleet.settle()
    assert outcome(fleet[2], again) == FIRST + 2
    assert fleet[1].answers[b"under an old one"] == Refused(b"under an old one", Reason.KEY)


@pytest.mark.parametrize(("begins", "posts"), [(1, 4), (2, 3), (3, 2), (4, 2), (5, 1), (6, 0)])
def test_token_key_that_begins_late_gives_a_share_of_the_posts(begins: int, posts: int) -> None:
    """4 posts in 6 rounds: 4 · rounds left / 6, rounded up."""
    fleet = ready()
    while fleet[1].state.open_round < FIRST + begins - 1:
        fleet.next_round()
    key = TokenKey(bytes(32))
    fleet[1].pending.append(frames.TokenKeyNamed(2, key.hash))
    if begins == 1:
        fleet = Fleet(1)
        fleet[1].pending.append(frames.TokenKeyNamed(2, key.hash))
    fleet.settle()
    assert fleet[1].state.posting_from == FIRST + begins
    assert fleet[1].state.posts_per_token == key.posts_left(ALICE, fleet[1].state) == posts


def test_all_token_keys_of_an_epoch_together_give_no_more_records_than_the_ring_is_planned_for() -> None:
    """One member with 4 posts: 3 under the first key, and the second, with two rounds left, gives 2 more."""
    fleet = Fleet(1, constant_set(1))
    fleet.share_token_key(fleet[1])
    found = []
    for number in range(1, ROUNDS):
        fleet.next_round()
        id = fleet[1].post(ALICE, rec(number))
        fleet.settle()
        found.append(outcome(fleet[1], id))
        if number == 3:
            fleet.share_token_key(fleet[1])
    assert fleet[1].state.posts_per_token == 2 and fleet[1].state.rule.ceiling == POSTS
    assert found == [FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4, Reason.FULL]
    assert isinstance(id, bytes) and fleet[1].state.posted == POSTS


def test_first_token_key_named_for_the_next_epoch_is_its() -> None:
    fleet = ready()
    first, second = TokenKey(bytes(32)), TokenKey(bytes([1]) * 32)
    for key in (first, second):
        fleet[1].pending.append(frames.TokenKeyNamed(3, key.hash))
        fleet.settle()
    fleet.next_round(ROUNDS)
    assert fleet[1].state.token_hash == first.hash and fleet[1].state.posting_from == FIRST + ROUNDS


# -- rounds


def test_one_clock_of_three_seals_nothing_and_two_open_the_round_of_the_slower() -> None:
    fleet = ready()
    fleet[1].vote(3)
    fleet.settle()
    assert fleet[2].state.open_round == FIRST + 1
    fleet[2].vote(1)
    fleet.settle()
    assert fleet[3].state.open_round == FIRST + 2 and same(fleet)


@pytest.mark.parametrize("gateways", [1, 2])
def test_one_or_two_gateways_seal_alone(gateways: int) -> None:
    fleet = ready(gateways)
    fleet[1].vote()
    fleet.settle()
    assert fleet[1].state.open_round == FIRST + 2 == fleet[1].served


def test_seal_of_a_round_that_is_not_open_means_nothing() -> None:
    fleet = ready(1)
    for closes, opens in ((FIRST, FIRST + 2), (FIRST + 2, FIRST + 3), (FIRST + 1, FIRST + 1), (FIRST + 1, FIRST)):
        fleet[1].pending.append(frames.Seal(closes, opens, 1))
    fleet[1].pending.append(frames.Seal(FIRST + 1, FIRST + 2 * ROUNDS, 1))  # two epochs on
    fleet.settle()
    assert fleet[1].state.open_round == FIRST + 1 and not fleet[1].state.votes


def test_sealed_round_is_served_when_a_majority_has_read_the_seal() -> None:
    fleet = ready()
    for number in (1, 2):
        fleet[number].vote()
        fleet[number].tick()
    while fleet.engine.flying:
        fleet.engine.land()
    for gateway in fleet:
        gateway.follow()
    assert fleet[3].state.open_round == FIRST + 2 and fleet[3].served == FIRST + 1
    for number, served in ((1, FIRST + 1), (2, FIRST + 2)):
        fleet[number].tick()
        fleet.engine.land()
        fleet[3].follow()
        assert fleet[3].served == served


def test_rounds_go_on_without_one_of_three() -> None:
    fleet = ready()
    del fleet.gateways[2]
    fleet.next_round()
    assert fleet[1].served == FIRST + 2


def test_rounds_that_were_not_sealed_in_time_do_not_count_as_sealed() -> None:
    fleet = ready(1)
    assert fleet[1].state.sealed_count == 1
    fleet[1].pending.append(frames.Seal(FIRST + 1, FIRST + 4, 0))
    fleet.settle()
    assert (fleet[1].state.sealed_count, fleet[1].state.open_round) == (1, FIRST + 4)


# -- epochs


def test_next_epoch_opens_only_with_its_keys() -> None:
    fleet = ready()
    for gateway in fleet:
        gateway.vote(ROUNDS)
    fleet.settle()
    assert fleet[1].state.epoch == 2 and fleet[1].state.open_round == FIRST + 1
    fleet.next_round(ROUNDS)
    assert [gateway.state.epoch for gateway in fleet] == [3, 3, 3]
    assert len({gateway.log_keys.keys[3] for gateway in fleet}) == len({gateway.covers[3] for gateway in fleet}) == 1
    assert EpochOpened(3) in fleet[2].effects


def test_keys_that_are_not_sealed_to_exactly_those_in_force_open_no_epoch() -> None:
    fleet = ready()
    fleet[1].give_epoch()
    fleet[2].renew()
    fleet.settle()
    assert fleet[3].state.next_epoch is not None
    for gateway in fleet:
        gateway.vote(ROUNDS)
    fleet.settle()
    assert fleet[3].state.epoch == 2
    fleet.next_round(ROUNDS)
    assert fleet[3].state.epoch == 3 and same(fleet)
    assert len(fleet[2].secrets.secrets) == 1 and fleet[2].secrets.secrets != fleet.secrets[2].secrets[:1]


def test_of_two_keys_for_an_epoch_the_first_counts() -> None:
    fleet = ready()
    fleet[1].give_epoch()
    fleet[2].give_epoch()
    fleet.settle()
    given = [effect.keys for effect in fleet[3].effects if isinstance(effect, replay.EpochGiven)]
    assert len(given) == 1


def test_removed_gateway_is_given_no_keys_and_what_it_writes_means_nothing() -> None:
    fleet = ready()
    fleet[1].give_epoch()
    fleet.settle()
    fleet[1].pending.append(frames.Node(3, 0, frames.REMOVED))
    fleet[1].tick()
    fleet.engine.land()
    id = fleet[3].post(ALICE, rec(1))
    fleet.settle()
    assert NodeChanged(3, None) in fleet[1].effects
    assert isinstance(fleet[3].answers[id], Passed) and fleet[1].ring == {}
    gone = fleet.gateways.pop(3)
    fleet.next_round(ROUNDS)
    assert fleet[1].state.epoch == 3
    given = [effect.keys for effect in fleet[1].effects if isinstance(effect, replay.EpochGiven)]
    assert [set(keys.names) for keys in given] == [{1, 2, 3}, {1, 2}]
    assert gone.log_keys.keys[3] != fleet[1].log_keys.keys[3]  # the first ones, which nobody uses


def test_last_gateway_cannot_be_removed_and_a_key_that_is_no_point_is_none() -> None:
    fleet = ready(1)
    fleet[1].pending += [frames.Node(1, 0, frames.REMOVED), frames.Node(9, 1, b"\2" + bytes(32))]
    fleet.settle()
    assert list(fleet[1].state.nodes) == [1]


def test_with_all_disks_in_hand_no_entry_of_an_ended_epoch_opens() -> None:
    """Every log key, node secret and cover state that is on a disk, and whatever can be opened with those."""
    fleet = ready()
    fleet.share_token_key(fleet[1], next_epoch=True)
    for number in range(3):
        fleet[1 + number].post(token_id(number, 2), rec(number))
        fleet[1 + number].renew()
    fleet.settle()
    assert opened_by_disks(fleet) == len(fleet.engine.log)
    fleet.next_round(ROUNDS)
    over = [entry for entry in fleet.engine.log if Clear.of(entry.entry).epoch == 2]
    assert len(over) > 12
    fleet[1].post(token_id(0, 3), rec(7))
    fleet.settle()
    assert opened_by_disks(fleet) == len(fleet.engine.log) - len(over)


def test_entry_that_comes_when_its_epoch_is_over_means_nothing_and_needs_no_key() -> None:
    fleet = ready()
    id = fleet[1].post(ALICE, rec(1))
    fleet[1].tick()
    late = fleet.engine.flying.pop()
    fleet.next_round(ROUNDS)
    assert fleet[2].log_keys.get(2) is None
    fleet.engine.flying.append(late)
    fleet.settle()
    assert isinstance(fleet[1].answers[id], Passed) and fleet[1].ring == {} and same(fleet)


def opened_by_disks(fleet: Fleet) -> int:
    """How many entries of the log open; keys that are found in them are used, too."""
    keys = {key for gateway in fleet for key in gateway.log_keys.keys.values()}
    secrets = {(gateway.number, secret) for gateway in fleet for secret in gateway.secrets.secrets}
    states = {each for gateway in fleet for each in gateway.covers.values()}
    opened: set[int] = set()
    while True:
        before = len(opened), len(keys)
        for entry in fleet.engine.log:
            for key in list(keys):
                try:
                    contents = unseal(key, entry.entry)
                except Malformed:
                    continue
                opened.add(entry.position)
                pieces = [frames.read(each) for each in contents.frames]
                for _, content in frames.whole(each for each in pieces if isinstance(each, frames.Piece)):
                    keys |= unwrapped(EpochKeys.read(content), secrets, states)
        if before == (len(opened), len(keys)):
            return len(opened)


def unwrapped(keys: EpochKeys, secrets: set[tuple[int, bytes]], states: set[bytes]) -> set[bytes]:
    found = set()
    for number, secret in secrets:
        for cover_state in states:
            try:
                found.add(keys.open(number, secret, cover_state)[1])
            except replay.TesseraError:
                continue
    return found


# -- an engine that is not honest


def lived() -> Fleet:
    """Two rounds of three gateways; the last entry of the log is by one that has read all before it."""
    fleet = ready()
    for number in range(3):
        fleet[1 + number].post(token_id(number, 2), rec(number))
        fleet[1 + number].void()
    fleet.settle()
    fleet.next_round()
    fleet[2].tick()
    fleet.engine.land()
    return fleet


def fresh(fleet: Fleet) -> Gateway:
    return fleet._gateway(3)


def shown(fleet: Fleet, entries: list[bytes]) -> list[Entry]:
    return [Entry(position, entry_id(sealed), sealed) for position, sealed in enumerate(entries, 1)]


LIVED = lived()
READY = ready().gateways[1].state.encoded()
SEALED = [entry.entry for entry in LIVED.engine.log]


def test_untouched_log_is_read_to_its_end() -> None:
    gateway = fresh(LIVED)
    read(gateway, shown(LIVED, SEALED))
    assert gateway.state.encoded() == LIVED[1].restarted().state.encoded()


@pytest.mark.parametrize("place", range(len(SEALED) - 1))
@pytest.mark.parametrize("what", ["lost", "doubled", "swapped", "changed", "forged"])
def test_entry_that_was_lost_doubled_swapped_or_changed_is_noticed(what: str, place: int) -> None:
    entries = list(SEALED)
    if what == "lost":
        del entries[place]
    elif what == "doubled":
        entries.insert(place + 1, entries[place])
    elif what == "swapped":
        entries[place : place + 2] = reversed(entries[place : place + 2])
    elif what == "changed":
        entries[place] = entries[place][:-1] + bytes((entries[place][-1] ^ 1,))
    else:
        entries[place] = bytes(len(entries[place]))  # of an epoch that is over: it means nothing
    with pytest.raises(LogBroken):
        read(fresh(LIVED), shown(LIVED, entries))


def test_entry_that_is_doubled_at_the_end_of_the_log_is_noticed_at_once() -> None:
    with pytest.raises(LogBroken, match="doubled"):
        read(fresh(LIVED), shown(LIVED, [*SEALED, SEALED[-1]]))


def read(gateway: Gateway, entries: list[Entry]) -> None:
    for entry in entries:
        gateway.take(entry)


def test_position_that_is_left_out_or_comes_again_is_noticed() -> None:
    entries = shown(LIVED, SEALED)
    for first, second in ((0, 1), (1, 0), (1, 2)):
        gateway = fresh(LIVED)
        read(gateway, entries[:first])
        with pytest.raises(LogBroken, match="comes next"):
            gateway.take(entries[second])


def test_entry_under_an_id_that_is_not_its_own_is_noticed() -> None:
    with pytest.raises(LogBroken, match="another's id"):
        fresh(LIVED).take(Entry(1, bytes(16), SEALED[0]))


def test_what_is_refused_changes_nothing() -> None:
    gateway = fresh(LIVED)
    gateway.take(shown(LIVED, SEALED)[0])
    before = gateway.state.encoded()
    for wrong in (SEALED[0], SEALED[-1], SEALED[1][:-1] + b"?", SEALED[1][:-1], b""):
        with pytest.raises(LogBroken):
            gateway.take(Entry(2, entry_id(wrong), wrong))
    assert gateway.state.encoded() == before


def test_engine_in_front_of_one_gateway_never_has_it_serve_another_batch() -> None:
    """It hides a record that was on its way with the seals of two others, which know nothing of it: what the gateway is
    shown is a right log as far as it goes."""
    fleet = ready()
    fleet[1].post(ALICE, rec(1))
    fleet[1].tick()
    for number in (2, 3):
        fleet[number].vote()
        fleet[number].tick()
    while fleet.engine.flying:
        fleet.engine.land()
    log = fleet.engine.log
    cheated = fleet[3]
    hidden = log[-3]
    seals = [Entry(each.position - 1, each.id, each.entry) for each in log[-2:]]
    for entry in (*log[cheated.state.position : -3], *seals):
        cheated.take(entry)
    assert cheated.state.open_round == FIRST + 2 and cheated.ring == {}
    cheated.tick()
    served_alone = Entry(cheated.state.position + 1, entry_id(fleet.engine.flying[0]), fleet.engine.flying.pop())
    cheated.take(served_alone)
    assert cheated.served == FIRST + 1  # its own word is not enough
    for number in (1, 2):
        fleet[number].follow()
        fleet[number].tick()
    with pytest.raises(LogBroken, match="another log up to"):
        cheated.take(Entry(cheated.state.position + 1, entry_id(fleet.engine.flying[0]), fleet.engine.flying[0]))
    assert cheated.served == FIRST + 1 and fleet[1].ring == {(FIRST + 1, 0): [rec(1)]} and hidden in log


def test_gateway_that_starts_anew_takes_no_other_log_than_it_told_others_of() -> None:
    """Killed, with a state from before a seal that it had confirmed: its second word must not be another."""
    state, keys = LIVED[1].state, LIVED[1].log_keys
    for promised, broken in (((9, LIVED[1].state.chain_at(9)), False), ((9, bytes(32)), True)):
        again = Replay(State.decoded(fresh(LIVED).state.encoded()), keys, STATIC, office.LEDGER_KEY, promised)
        for entry in LIVED.engine.log[:8]:
            again.take(entry)
        if broken:
            with pytest.raises(LogBroken, match="not the log that this gateway had"):
                again.take(LIVED.engine.log[8])
        else:
            again.take(LIVED.engine.log[8])
            assert again.state.chains[-1] == state.chain_at(9)


def test_entry_older_than_anybody_remembers_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (replay, state):
        monkeypatch.setattr(module, "WINDOW", 4)
    fleet = ready()
    id = fleet[1].post(ALICE, rec(1))
    fleet[1].tick()
    late = fleet.engine.flying.pop()
    for _ in range(4):
        fleet[2].tick()
        fleet.engine.land()
    fleet.engine.flying.append(late)
    fleet.engine.land()
    for gateway in fleet:
        gateway.follow()
    assert isinstance(fleet[1].answers[id], Passed) and same(fleet)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3 * SPAN), max_size=40))
@example([0, SPAN - 1, 0])
def test_counters_are_remembered_as_far_as_gateways_have_entries_on_their_way(counters: list[int]) -> None:
    known = State.decoded(fresh(LIVED).state.encoded())
    seen: set[int] = set()
    for counter in counters:
        highest = max(seen, default=-1)
        assert known.is_old(1, counter) == (counter <= highest - SPAN)
        assert known.has_counter(1, counter) == (counter in seen and counter > highest - SPAN)
        if counter > highest - SPAN:
            known.count(1, counter)
            seen.add(counter)


def test_no_life_of_a_gateway_has_a_counter_of_another() -> None:
    """Killed twice with an entry on its way each time: what comes late means nothing, or counts once."""
    fleet = ready(1)
    for number in range(2):
        id = fleet[1].post(token_id(number, 2), rec(number))
        fleet[1].tick()
        again = fleet[1].restarted()
        again.token_key = fleet[1].token_key
        fleet.gateways[1] = again
    fleet[1].tick()
    fleet.engine.land(1)
    fleet.engine.land(1)
    fleet.engine.land(0)
    fleet[1].follow()
    assert fleet[1].ring == {(FIRST + 1, 0): [rec(1)]} and id not in fleet[1].answers
    assert [type(effect) for effect in fleet[1].effects if not isinstance(effect, replay.Published)] == [
        Recorded,
        Passed,
    ]


def test_gateway_with_a_storage_from_a_backup_does_not_begin() -> None:
    fleet = ready(1)
    fleet[1].tick()
    fleet.engine.land()
    fleet[1].follow()
    assert fleet[1].state.first_counter(1, 2, 1) == 2 << 32 and fleet[1].state.first_counter(9, 1, 0) == 1 << 32
    for starts, lives in ((1, 0), (1, 1), (2, 0), (5, 0)):  # however often it was started in vain
        with pytest.raises(IntegrityError, match="older than what the gateway wrote"):
            fleet[1].state.first_counter(1, starts, lives)


@settings(max_examples=40)
@given(st.lists(FRAMES, max_size=6), st.booleans())
def test_whatever_a_gateway_writes_means_the_same_on_all(found: list[frames.Frame], whole: bool) -> None:
    """Frames with any fields, and objects with any content, from a gateway in force."""
    reader, other = (Replay(State.decoded(READY), LogKeys({2: bytes(32)}), STATIC, office.LEDGER_KEY) for _ in range(2))
    written = [frame.pack() for frame in found]
    for frame in found:
        if whole and isinstance(frame, frames.Piece):
            written += [piece.pack() for piece in frames.pieces(frame.kind, frame.data)]
    contents = Contents(reader.state.position, reader.state.chains[-1], written)
    sealed = seal(bytes(32), Clear(VERSION, 2, 1, 1 << 40), contents, Dice(b"any").bytes)
    entry = Entry(reader.state.position + 1, entry_id(sealed), sealed)
    assert reader.take(entry) == other.take(entry)
    assert reader.state.encoded() == other.state.encoded() != READY
    assert State.decoded(reader.state.encoded()) == reader.state


# -- starting


def test_new_gateway_starts_from_a_snapshot_and_the_rest_of_the_log() -> None:
    fleet = ready()
    secret = NodeSecrets()
    key = secret.renew(fleet.dice.bytes)
    fleet[1].pending.append(frames.Node(4, VERSION, key))
    fleet.settle()
    snapshot = fleet[1].state.encoded()
    welcome = Welcome(fleet[1].log_keys.keys, fleet[1].covers)
    assert snapshot.count(fleet[1].log_keys.keys[2]) == 0
    fleet[2].post(ALICE, rec(1))
    fleet.settle()
    opened = Welcome.open(welcome.seal(key, fleet.dice.bytes), secret.secrets[0])
    fleet.gateways[4] = Gateway(4, fleet.engine, State.decoded(snapshot), opened, secret)
    fleet.settle()
    assert fleet[4].ring == {(FIRST + 1, 0): [rec(1)]} and same(fleet)
    fleet.next_round(ROUNDS)
    assert fleet[4].state.epoch == 3 and same(fleet)


def test_gateway_without_the_open_epochs_key_says_so_and_goes_on_when_it_has_it() -> None:
    gateway = fresh(LIVED)
    key = gateway.log_keys.keys.pop(2)
    with pytest.raises(KeyMissing, match="keys of epoch 2"):
        gateway.take(shown(LIVED, SEALED)[0])
    gateway.log_keys.keep(2, key)
    gateway.take(shown(LIVED, SEALED)[0])


def test_entry_of_a_newer_program_stops_an_older_one_before_it_changes_anything() -> None:
    fleet = ready()
    before = fleet[1].state.encoded()
    clear = Clear(VERSION + 1, 2, 2, 99)
    contents = Contents(fleet[2].state.position, fleet[2].state.chains[-1], ())
    fleet.engine.flying.append(seal(fleet[2].log_keys.keys[2], clear, contents, fleet.dice.bytes))
    fleet.engine.land()
    with pytest.raises(FleetIsNewer, match="newer program"):
        fleet[1].follow()
    assert fleet[1].state.encoded() == before


def test_entries_are_of_a_version_that_all_gateways_in_force_can_read() -> None:
    fleet = ready(2)
    assert fleet[1].state.version == VERSION
    fleet[1].pending.append(frames.Node(2, VERSION + 1, fleet[2].state.nodes[2].key))
    fleet.settle()
    assert fleet[1].state.version == VERSION
    fleet[1].pending.append(frames.Node(2, 0, fleet[2].state.nodes[2].key))
    fleet[1].tick()
    fleet.engine.land()
    fleet[1].follow()
    assert fleet[1].state.version == 0


def test_repaired_fleet_goes_on_in_another_log_and_takes_no_record_twice() -> None:
    fleet = ready()
    id = fleet[1].post(ALICE, rec(1))
    posted = fleet[1].pending[-1]
    fleet.settle()
    again = fleet[2].state.restarted()
    assert again.position == 0 and again.encoded() == fleet[3].state.restarted().encoded()
    fleet.engine.log.clear()
    for gateway in fleet:
        gateway.replay = Replay(
            again if gateway.number == 2 else State.decoded(again.encoded()),
            gateway.log_keys,
            STATIC,
            office.LEDGER_KEY,
        )
    fleet[3].pending.append(posted)
    fleet.settle()
    assert fleet[3].answers[id] == Repeated(id, FIRST + 1) if isinstance(id, bytes) else False
    assert fleet[1].ring == {(FIRST + 1, 0): [rec(1)]}
    fleet.next_round()
    assert fleet[1].served == FIRST + 2 and same(fleet)


def test_snapshot_is_the_state_and_anything_else_is_none() -> None:
    known = LIVED[1].state
    assert State.decoded(known.encoded()) == known
    for wrong in (b"", known.encoded()[:-1], known.encoded() + b"\0", b"\xa0", b"\xa1\x67version\x01"):
        with pytest.raises(InvalidInput, match="no snapshot"):
            State.decoded(wrong)


# -- what the relay keeps besides


def test_first_valid_set_counts_from_the_next_epoch_on() -> None:
    fleet = ready()
    sets = [
        constant_set(5, serial=3, genesis=office.GENESIS + 1),
        constant_set(5, serial=1),
        constant_set(5, serial=2)[:-1] + b"\0",
        constant_set(4, serial=2),
        constant_set(5, serial=2),
    ]
    for blob in sets:
        fleet[1].pending += frames.pieces(frames.PARAMS, blob)
        fleet.settle()
    taken = [effect for effect in fleet[2].effects if isinstance(effect, ParametersTaken)]
    assert taken == [ParametersTaken(sets[3], 3)]
    assert fleet[2].state.rule.constant == 3
    fleet.next_round(ROUNDS)
    assert fleet[2].state.rule.constant == 4 and len(fleet[2].state.rules) == 1


def test_set_of_another_relay_or_with_another_root_is_not_taken() -> None:
    fleet = ready()
    other = constant_set(3, serial=2, relay_key=office.curve.public(bytes(31) + b"\x21"))
    unsigned = office.signed(office.fields(serial=2), root=bytes(31) + b"\x22")
    for blob in (other, unsigned, b"TPR2", b""):
        fleet[1].pending += frames.pieces(frames.PARAMS, blob)
    fleet.settle()
    assert not [effect for effect in fleet[2].effects if isinstance(effect, ParametersTaken)]


def test_one_checkpoint_of_an_epoch_counts_if_it_says_what_is_so() -> None:
    fleet = ready()
    fleet.next_round(ROUNDS)
    closed = fleet[1].state.closed[2]
    assert closed.sealed_count == 2
    fleet[1].state.closed[2] = replay.Closed(3, closed.digest, closed.commitment)
    fleet[1].sign(2)
    fleet[1].state.closed[2] = closed
    fleet.settle()
    assert fleet[2].state.closed == {2: closed}
    for number in (1, 3):
        fleet[number].sign(2)
    fleet.settle()
    taken = [effect for effect in fleet[2].effects if isinstance(effect, CheckpointTaken)]
    assert len(taken) == 1 and fleet[2].state.closed == {} and fleet[2].state.checkpoint_epoch == 2
    fleet.next_round(ROUNDS)
    fleet[2].sign(3)
    fleet.settle()
    assert fleet[1].state.checkpoint_epoch == 3 and same(fleet)


def test_epoch_in_which_the_fleet_was_off_has_no_checkpoint() -> None:
    fleet = Fleet(1)
    fleet[1].give_epoch()
    fleet.settle()
    fleet[1].pending.append(frames.Seal(FIRST, FIRST + ROUNDS, 0))
    fleet.settle()
    assert fleet[1].state.epoch == 3 and fleet[1].state.closed == {}


def test_after_the_first_member_no_cover_key_is_disclosed_and_before_it_only_of_kept_epochs() -> None:
    fleet = ready()
    said = []
    for what, epoch in ((frames.DISCLOSED, 3), (frames.DISCLOSED, 1), (frames.ADMITTED, 0), (frames.DISCLOSED, 2)):
        fleet[1].pending.append(frames.Flags(what, epoch))
        fleet.settle()
        said.append((fleet[2].state.flags, fleet[2].state.commissioned))
    assert said == [(0, NEVER), (0, 1), (ADMITTED, NEVER), (ADMITTED, NEVER)]


def test_each_seal_tells_whose_clock_it_is() -> None:
    fleet = ready()
    fleet[3].vote()
    fleet[3].tick()
    fleet.engine.land()
    fleet[1].follow()
    assert fleet[1].effects[-1] == Voted(3, FIRST + 1)
