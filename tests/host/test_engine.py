"""The steady engine in a world where only sleeping takes time: what leaves does not depend on what there is to say."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scipy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tessera.admission import Admission
from tessera_host.agent.engine import CaughtUp, Connected, Engine, Event, Split, Trouble
from tessera_host.agent.interface import State
from tessera_host.agent.schedule import FETCH, POST, EpochSchedule, moments
from tessera_host.errors import KeystoreError, NotPermitted, Unreachable
from tessera_host.member import composing
from tessera_host.member.inbox import Message
from tessera_host.member.schema import SplitView
from tessera_host.member.sending import Posted
from tessera_host.member.sharing import SharedMember
from tessera_host.member.state import MemberState
from tessera_host.member.wallet import NoTokens
from tessera_host.protocol.federation import Federation, Relay
from tessera_host.protocol.relay_connection import RelayConnection
from tests.support import correspondence
from tests.support.fake_federation import AHEAD, EPOCH_ROUNDS, EPOCH_SECONDS, GENESIS, PASSPHRASE, ROUND_SECONDS
from tests.support.talking import LARGE, Office, Time, Wire


class World:
    """An office whose members are driven by engines, and its time."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        self.office = office
        self.time = Time(self.office.clock)
        self.wire = Wire(monkeypatch, self.time)
        self.events: list[Event] = []

    def engine(self, name: str = "Ann", seed: int = 1, **options: Any) -> Engine:
        member = self.office.members[name]
        engine = Engine(
            SharedMember(member),
            correspondence.sender(member),
            correspondence.fetcher(member),
            rng=random.Random(seed),
            now=self.time,
            monotonic=self.time,
            sleep=self.time.sleep,
            deadline=self.time.within,
            **options,
        )
        engine.listeners.add(self.events.append)
        return engine

    def run(self, engine: Engine, rounds: int) -> None:
        """Until the end of that many more rounds."""
        end = self.time.now + rounds * ROUND_SECONDS

        async def until_then() -> None:
            running = asyncio.create_task(engine.run())
            while self.time.now < end and not running.done():
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            if running.done() and not running.cancelled() and (error := running.exception()):
                raise error

        asyncio.run(until_then())

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(Office(tmp_path, monkeypatch), monkeypatch)


def queue(world: World, *texts: str) -> None:
    for text in texts:
        composing.queue(world.office.ann, "Bob", text)


def test_parts_go_one_a_round_and_arrive(world: World) -> None:
    queue(world, "x" * 450, "after")
    world.run(world.engine(at_once=True), 6)
    rounds = [event.round for event in world.of(Posted)]
    assert rounds == sorted(set(rounds)) and len(rounds) == 4
    assert [message.text for message in world.office.fetch("Bob").messages] == ["x" * 450, "after"]


def test_a_relay_whose_clock_is_behind_gets_one_record_a_round_of_its_own(world: World) -> None:
    """The slots of two rounds by this computer's clock may be in one of the relay's."""
    relay, clock = world.office.relay, world.office.clock
    relay._now = lambda: clock() - ROUND_SECONDS * 0.4
    queue(world, *(str(number) for number in range(12)))
    world.run(world.engine(at_once=True), 24)
    cells = [(round_, bucket) for round_, bucket, _ in relay.posted]
    assert len(cells) == len(set(cells)) == 12


@pytest.fixture
def one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A member has one token for each relay and epoch, as by default."""
    return World(Office(tmp_path, monkeypatch, tokens_per_epoch=1), monkeypatch)


def test_a_round_has_one_small_frame_after_the_greeting_and_one_fetch(one_token: World) -> None:
    world = one_token
    world.run(world.engine(at_once=True), 4)
    world.wire.take()
    world.run(world.engine("Bob", at_once=True), 4)
    world.wire.take()
    engine = world.engine("Bob", at_once=True)
    for _ in range(2):
        world.run(engine, 1)
        kinds = sorted(kind for _, kind in world.wire.take())
        # INFO on both connections, and the frame of the one that posts
        assert kinds == ["fetch", "full handshake", "resumption", "small", "small", "small"]


def at_round(world: World, rounds: int) -> None:
    """So many rounds later, in which no engine ran."""
    world.office.clock.next_round(rounds)
    world.time.now = float(world.office.clock.now)


def connections(seen: list[tuple[float, str]]) -> list[list[tuple[float, str]]]:
    """What left, connection by connection."""
    found: list[list[tuple[float, str]]] = []
    for moment, kind in seen:
        if kind in ("resumption", "full handshake"):
            found.append([])
        found[-1].append((moment, kind))
    return found


def test_every_slots_frame_leaves_a_settle_time_after_the_answer_before_it(one_token: World) -> None:
    """In a world where only sleeping takes time: the greeting at one moment, then the frame half a second later, a
    twentieth of a round; and so long after a fetch the next one's greeting. Bob is an epoch behind, so one slot has two
    fetches."""
    world = one_token
    at_round(world, EPOCH_ROUNDS + 2)
    world.run(world.engine("Bob", at_once=True), 4)
    seen = connections(world.wire.take())
    assert {kind for connection in seen for _, kind in connection} == {"resumption", "full handshake", "small", "fetch"}
    settle = pytest.approx(ROUND_SECONDS / 20, rel=0, abs=1e-3)
    for connection in seen:
        moments = [moment for moment, _ in connection]
        assert set(moments[:-1]) == {moments[0]} and moments[-1] - moments[0] == settle
    first, second = [connection for connection in seen if connection[-1][1] == "fetch"][:2]
    assert second[0][0] - first[-1][0] == settle


def test_a_round_has_its_fetch_also_when_nothing_is_new(world: World) -> None:
    world.office.fetch("Bob")  # all that is sealed
    world.time.now = float(world.office.clock.now)
    engine = world.engine("Bob", at_once=True)
    world.wire.take()
    world.run(engine, 1)
    assert [kind for _, kind in world.wire.take()].count("fetch") == 1
    assert not world.of(Trouble)  # the relay served it: it asked for a round


def seen_of_ann(
    folder: Path, texts: list[str], seed: int, budget: dict[str, str] = LARGE
) -> tuple[list[tuple[float, str]], int]:
    """What leaves in an epoch and a half, from the same state each time, if these texts are queued, and how many
    records were posted."""
    with pytest.MonkeyPatch.context() as patch:
        office = Office(folder, patch, budget)
        world = World(office, patch)
        for text in texts:
            composing.queue(office.ann, "Bob", text)
        world.run(world.engine(seed=seed), EPOCH_ROUNDS + EPOCH_ROUNDS // 2)
        office.close()
        return world.wire.take(), len(world.of(Posted))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 900), max_size=8),
    seed=st.integers(0, 2**32),
    budget=st.sampled_from([LARGE, {"epsilon": "3", "delta": "1e-3"}]),
)
def test_what_leaves_does_not_depend_on_what_there_is_to_say(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, budget: dict[str, str]
) -> None:
    """Two runs from one state with the same dice: the same kinds of frames at the same times."""
    folder = tmp_path_factory.mktemp("trace")
    silent, none = seen_of_ann(folder / "silent", [], seed, budget)
    talking, posted = seen_of_ann(folder / "talking", ["t" * length for length in lengths], seed, budget)
    assert none == 0
    assert (posted > 0) == bool(lengths)
    assert talking == silent
    assert len(silent) > 3 * EPOCH_ROUNDS


def test_a_token_that_is_used_up_changes_nothing_in_what_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch has fewer rounds than a token has posts here, so the relay gives it one."""
    silent, _ = seen_of_ann(tmp_path / "silent", [], 3)
    monkeypatch.setattr(Admission, "posts_left", lambda admission, token: max(0, 1 - token.used))
    talking, posted = seen_of_ann(tmp_path / "talking", ["x" * (136 + 11 * 208)], 3)
    assert talking == silent
    assert 0 < posted < 12


def test_moments_are_spread_over_their_part_of_the_round() -> None:
    """Against the uniform distribution, at a level at which one of 10^6 true samples fails."""
    relay = Relay("relay", 1, bytes(33), "relay.example", 8100)
    dice = random.Random(5)
    found = [moments(100.0, 110.0, [(FETCH, relay), (POST, relay)], dice, 10.0) for _ in range(500)]
    for kind, (begin, length) in {FETCH: (100.0, 6.25), POST: (106.25, 2.5)}.items():
        at = [slot.at for slots in found for slot in slots if slot.kind == kind]
        assert scipy.stats.kstest(at, "uniform", args=(begin, length)).pvalue > 1e-6
    assert all(one.at <= other.at for one, other in found)


@pytest.mark.parametrize(("now", "posts"), [(107.0, (107.0, 108.75)), (109.9, (109.9, 109.9))])
def test_moments_late_in_a_round_are_not_in_the_past(now: float, posts: tuple[float, float]) -> None:
    """Several are at once then, at whichever relays."""
    relays = [Relay(f"relay {number}", number, bytes(33), "", 0) for number in (3, 1, 2)]
    kinds = [(kind, relay) for kind in (FETCH, POST) for relay in relays]
    slots = moments(now, 110.0, kinds, random.Random(1), 10.0)
    assert [(slot.at, slot.kind) for slot in slots[:3]] == [(now, FETCH)] * 3
    assert all(slot.kind == POST and posts[0] <= slot.at <= posts[1] for slot in slots[3:]) and len(slots) == 6


# -- tokens of an epoch


def test_tokens_come_into_use_at_random_rounds_of_the_first_part_of_an_epoch_and_never_two_at_once(
    world: World,
) -> None:
    federation = Federation(world.office.ann.data.federation)
    counts, firsts = {1: 5, 2: 1}, set()
    for epoch in range(40):
        schedule = EpochSchedule.of(bytes([epoch]) * 32, federation, epoch, counts)
        one, other = schedule.first_use[1], schedule.first_use[2]
        assert one != other
        assert {one, other} <= set(range(4))
        firsts.add((one, other))
        assert schedule == EpochSchedule.of(bytes([epoch]) * 32, federation, epoch, counts)
    assert len(firsts) > 5


def test_an_epochs_schedule_follows_from_the_members_secret_and_the_epoch(world: World) -> None:
    federation = Federation(world.office.ann.data.federation)
    counts = {1: 5, 2: 5}
    by_epoch = [EpochSchedule.of(bytes(32), federation, epoch, counts) for epoch in range(20)]
    by_member = [EpochSchedule.of(bytes([member]) * 32, federation, 0, counts) for member in range(20)]
    for schedules in (by_epoch, by_member):
        assert len({tuple(schedule.first_use.values()) for schedule in schedules}) > 3


def fresh_sessions(world: World, engine: Engine, rounds: int) -> list[int]:
    """How many tokens come into use in each of so many rounds: a connection that reads has none."""
    found = []
    for _ in range(rounds):
        world.wire.take()
        world.run(engine, 1)
        kinds = [kind for _, kind in world.wire.take()]
        found.append(kinds.count("full handshake") - kinds.count("fetch"))
    return found


def test_a_token_comes_into_use_once_an_epoch(one_token: World) -> None:
    at_round(one_token, 1)
    engine = one_token.engine(at_once=True)
    assert fresh_sessions(one_token, engine, EPOCH_ROUNDS - 1) == [1] + [0] * (EPOCH_ROUNDS - 2)


def test_no_two_tokens_come_into_use_in_one_round(world: World) -> None:
    ann, engine = world.office.ann, world.engine(at_once=True)
    ann.reacquire()
    home = ann.federation.home
    assert engine._chooser(ann, home, 0) is not None
    assert engine._chooser(ann, home, 0) is None
    assert engine._chooser(ann, home, 1) is not None
    ann.release()


def test_after_an_epochs_change_tokens_wait_for_their_round(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    home = world.office.ann.federation.home.id
    monkeypatch.setattr(EpochSchedule, "of", lambda *_: EpochSchedule({home: 4}, {}))
    at_round(world, 1)
    found = fresh_sessions(world, world.engine(), 2 * EPOCH_ROUNDS - 1)
    assert found == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_tokens_of_the_epoch_they_were_fetched_in_are_not_used_by_who_waits(world: World) -> None:
    queue(world, "hello")
    world.run(world.engine(at_once=True, early=False), EPOCH_ROUNDS + 2)
    assert [event.round // EPOCH_ROUNDS for event in world.of(Posted)] == [1]
    assert [event for event in world.of(Connected) if event.round < EPOCH_ROUNDS]  # reading does not wait


def test_a_relay_in_another_epoch_gets_no_token(world: World) -> None:
    ann, engine = world.office.ann, world.engine(at_once=True)
    ann.reacquire()
    home = ann.federation.home
    choose = engine._chooser(ann, home, 0)
    key = ann.wallet.key(0, home.id)
    assert choose is not None and choose(key).epoch == 0
    with pytest.raises(NotPermitted, match="different epochs"):
        choose(key._replace(epoch=1))
    ann.release()


def test_no_slot_begins_at_the_end_of_a_round(world: World) -> None:
    engine = world.engine()
    for _ in range(50):
        _, end, slots = asyncio.run(engine._plan())
        assert len(slots) == 2 and max(slot.at for slot in slots) <= end - ROUND_SECONDS / 8


def test_every_posting_token_has_its_turn(world: World) -> None:
    federation = Federation(world.office.ann.data.federation)
    schedule = EpochSchedule.of(bytes(32), federation, 0, {1: 3})
    turns = [schedule.turn(1, round_) for round_ in range(EPOCH_ROUNDS)]
    assert turns == sorted(turns) and set(turns) == {0, 1, 2}


def test_at_an_epoch_s_change_new_tokens_are_used_and_nothing_is_lost(world: World) -> None:
    queue(world, "x" * (136 + 7 * 208))
    world.run(world.engine(at_once=True), 2 * EPOCH_ROUNDS - 2)
    assert {event.round // EPOCH_ROUNDS for event in world.of(Posted)} == {0, 1}
    assert len(world.of(Posted)) == 8
    assert [len(message.text) for message in world.office.fetch("Bob").messages] == [136 + 7 * 208]


def test_that_a_contact_has_other_settings_is_told_once(world: World) -> None:
    world.office.ann.contacts.get("Bob").split = SplitView(0, False)
    world.office.ann.save()
    world.run(world.engine(at_once=True), 3)
    assert world.of(Split) == [Split("Bob")]


# -- trouble


def test_a_lost_relay_is_told_and_the_next_round_goes_on(world: World) -> None:
    queue(world, "hello")
    world.office.relay.fail_before_store = 2
    world.run(world.engine(at_once=True), 5)
    assert [str(event.error).split(" ;")[0] for event in world.of(Trouble)] == ["cut before the record arrived"] * 2
    assert len(world.of(Posted)) == 1
    assert [message.text for message in world.office.fetch("Bob").messages] == ["hello"]


@pytest.mark.parametrize("what", ["info", "void", "fetch"])
def test_a_relay_that_never_finishes_an_answer_costs_its_slot_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    real, stalls = getattr(RelayConnection, what), 0

    async def stall(connection: RelayConnection, *arguments: Any) -> Any:
        nonlocal stalls
        stalls += 1
        if stalls == 1:
            world.time.expire()
            await asyncio.Event().wait()
        return await real(connection, *arguments)

    monkeypatch.setattr(RelayConnection, what, stall)
    world.run(world.engine(at_once=True), 5)
    (trouble,) = world.of(Trouble)
    assert "the relay relay-0 did not finish within" in str(trouble.error)
    assert len(world.of(Connected)) >= 7  # of the ten, less the first round, in which one token comes into use
    assert set(world.time.deadline_seconds) == {30.0, 60.0}
    with MemberState.open(world.office.home("Ann"), PASSPHRASE, world.office.clock):
        pass  # its keystore is free between slots, as ever


def test_a_fetch_that_was_cut_asks_for_fewer_rounds_until_it_gets_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that gives no more than two rounds within the time of a slot."""
    real, asked = RelayConnection.fetch, []

    async def slow(connection: RelayConnection, bucket: int, start: int, end: int, reading_key: bytes) -> Any:
        asked.append(end - start)
        if end - start > 2:
            world.time.expire()
            await asyncio.Event().wait()
        return await real(connection, bucket, start, end, reading_key)

    monkeypatch.setattr(RelayConnection, "fetch", slow)
    world.office.clock.next_round(EPOCH_ROUNDS - 1)
    world.time.now = float(world.office.clock.now)
    world.run(world.engine("Bob", at_once=True), 6)
    assert asked[:4] == [5, 6, 4, 2]
    assert world.office.bob.inbox.next_round > 2


def test_a_computer_that_slept_for_hours_catches_up(world: World) -> None:
    engine = world.engine("Bob", at_once=True)
    world.run(engine, 2)
    asyncio.run(_send(world, "while you slept"))
    world.time.suspend_at, world.time.suspend_seconds = world.time.now + 5, 8.0 * ROUND_SECONDS
    world.run(engine, 11)
    assert [message.text for message in world.of(Message)] == ["while you slept"]
    assert world.of(CaughtUp)[-1].behind <= 1


async def _send(world: World, text: str) -> None:
    await correspondence.send(world.office.ann, "Bob", text)


def test_without_tokens_it_says_so_every_round_and_does_not_end(world: World) -> None:
    world.time.now = GENESIS + (AHEAD + 1.0) * EPOCH_SECONDS
    world.office.clock.now = int(world.time.now)
    world.run(world.engine(at_once=True), 3)
    assert [type(event.error) for event in world.of(Trouble)] == [NoTokens] * 3
    assert len(world.of(Connected)) == 3  # reading needs none


def test_messages_that_the_engine_fetched_are_still_new_to_a_person(world: World) -> None:
    asyncio.run(_send(world, "hello"))
    world.run(world.engine("Bob", at_once=True), 3)
    assert [message.text for message in world.of(Message)] == ["hello"]
    bob = world.office.bob
    bob.reacquire()
    assert [message.text for message in bob.inbox.take_unread()] == ["hello"]


def test_the_day_s_budget_holds_and_what_is_left_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(tmp_path, monkeypatch, {"epsilon": "3", "delta": "1e-3"})  # three deliveries of ε = 1
    world = World(office, monkeypatch)
    queue(world, *"abcde")
    world.run(world.engine(at_once=True), 10)
    assert len(world.of(Posted)) == 3
    ann = world.office.ann
    ann.reacquire()
    assert len(ann.outbox) == 2
    assert ann.accountant.budget(ann.now()).left == 0


# -- other commands


def test_between_slots_other_commands_use_the_keystore(world: World) -> None:
    engine, taken = world.engine(at_once=True), 0

    def by_hand() -> None:
        nonlocal taken
        if not world.office.ann.store.is_held and taken < 3:
            with MemberState.open(world.office.home("Ann"), PASSPHRASE, world.office.clock) as other:
                composing.queue(other, "Bob", f"by hand {taken}")
            taken += 1

    world.time.while_asleep = by_hand
    world.run(engine, 6)
    assert taken == 3
    assert len(world.of(Posted)) == 3


def test_a_keystore_that_is_in_use_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter([KeystoreError("in use by another process"), KeystoreError("in use by another process")])
    real = MemberState.reacquire

    def reacquire(member: MemberState) -> None:
        for refusal in refusals:
            raise refusal
        real(member)

    engine = world.engine(at_once=True)
    monkeypatch.setattr(MemberState, "reacquire", reacquire)
    world.run(engine, 3)
    assert [type(event.error) for event in world.of(Trouble)] == [KeystoreError] * 2
    assert world.of(Connected)


# -- renewal


class PaperRenewal:
    def __init__(self, due: float, failures: int = 0) -> None:
        self.due: float | None = due
        self.failures = failures
        self.hastened = 0
        self.ran_at: list[float] = []
        self.now: Callable[[], float] = lambda: 0

    def due_at(self) -> float | None:
        return self.due

    def hasten(self) -> None:
        self.hastened += 1

    async def run(self) -> None:
        self.ran_at.append(self.now())
        if self.failures:
            self.failures -= 1
            raise Unreachable("the issuer cannot be reached", "later")
        self.due = None


def test_tokens_are_renewed_when_due_and_again_if_that_failed(world: World) -> None:
    renewal = PaperRenewal(GENESIS + 2.4 * ROUND_SECONDS, failures=1)
    renewal.now = world.time
    world.run(world.engine(renewal=renewal, at_once=True), 6)
    first, second = renewal.ran_at
    assert first >= GENESIS + 2.4 * ROUND_SECONDS
    assert second > first
    assert [str(event.error) for event in world.of(Trouble)] == ["the issuer cannot be reached; later"]


def test_what_is_overdue_is_fetched_before_the_slots_that_may_need_it(world: World) -> None:
    renewal = PaperRenewal(GENESIS - 1.0)
    renewal.now = world.time
    world.run(world.engine(renewal=renewal, at_once=True), 1)
    assert renewal.ran_at == [GENESIS]


def test_a_relay_that_needs_what_this_member_lacks_hastens_the_visit(world: World) -> None:
    renewal = PaperRenewal(GENESIS + 1e9)
    world.time.now = GENESIS + (AHEAD + 1.0) * EPOCH_SECONDS
    world.office.clock.now = int(world.time.now)
    world.run(world.engine(renewal=renewal, at_once=True), 2)
    assert renewal.hastened == 2


def test_rounds_that_expired_unread_are_told_once(world: World) -> None:
    world.run(world.engine("Bob", at_once=True), 1)
    at_round(world, 4 * EPOCH_ROUNDS)
    world.run(world.engine("Bob", at_once=True), 2)
    told = [event.expired for event in world.of(CaughtUp) if event.expired]
    assert len(told) == 1 and told[0] > EPOCH_ROUNDS
    state = State(GENESIS, ROUND_SECONDS)
    for event in world.events:
        state.note(event)
    assert state.expired == told[0]
