"""The library: what a program calls, and what comes of it."""

import asyncio
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scipy
from rich.console import Console

import tessera_host
from tessera.errors import Refused
from tessera_host import config
from tessera_host.agent.client import Client, default_home
from tessera_host.cli import progress
from tessera_host.errors import (
    InvalidInput,
    NotOnRoster,
    NotPermitted,
    TesseraError,
    Unreachable,
    UsageError,
    WrongPassphrase,
)
from tessera_host.keys.keystore import Keystore
from tessera_host.member import composing, pacing, renewal, token_exchange
from tessera_host.member.history import Sent
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.pacing import DAY, EPOCH, ROUND, Wait
from tessera_host.member.renewal import OUTDATED
from tessera_host.member.schema import Departure
from tessera_host.member.sending import Posted
from tessera_host.member.state import KEYSTORE_NAME, KIND, MemberState
from tessera_host.member.wallet import EARLY
from tessera_host.protocol import relay_connection
from tessera_host.protocol.federation import Federation, IssuerService
from tessera_host.protocol.records import Part
from tessera_host.protocol.relay_connection import ErrorFrame, RelayConnection
from tests.patience import PATIENCE_SECONDS
from tests.support.fake_federation import AHEAD, EPOCH_ROUNDS, PASSPHRASE, ROUND_SECONDS
from tests.support.organisation import introduce
from tests.support.talking import Office, Time


class Pair:
    """Ann's and Bob's clients in a world where only sleeping takes time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.office = Office(folder, monkeypatch, **options)
        self.time = Time(self.office.clock)
        self.ann, self.bob = (self.client(self.office.members[name]) for name in ("Ann", "Bob"))

    def client(self, member: MemberState) -> Client:
        """With dice by which no visit to the issuer is due at once, as one in an epoch's seconds is."""
        return Client(member, rng=random.Random(1), now=self.time, sleep=self.time.sleep)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    pair = Pair(tmp_path, monkeypatch)
    yield pair
    pair.office.close()


async def next_of(messages: Any) -> Any:
    return await anext(messages)


async def test_a_message_and_a_file_arrive_as_they_come(pair: Pair) -> None:
    sent = await pair.ann.send("Bob", "hello")
    assert (sent.state, sent.contact) == ("posted", "Bob")
    messages = pair.bob.messages()
    assert (await next_of(messages)).text == "hello"
    await pair.ann.send_file("Bob", "f.bin", b"\x00\xff")
    message = await next_of(messages)
    assert (message.file, message.content) == ("f.bin", b"\x00\xff")
    assert [m.text or m.file for m in await pair.bob.inbox()] == ["hello", "f.bin"]


async def test_parts_leave_in_rounds_of_their_own_and_progress_is_told(pair: Pair) -> None:
    steps: list[Posted | Wait] = []
    sent = await pair.ann.send("Bob", "x" * 500, progress=steps.append)
    assert len(set(sent.rounds)) == 3
    kinds = [type(step) for step in steps]
    assert kinds == [Posted, Wait, Posted, Wait, Posted]
    waits = [step for step in steps if isinstance(step, Wait)]
    assert all(step.reason == ROUND and 0 < (step.seconds or 0) <= 2 * ROUND_SECONDS for step in waits)


def test_the_next_part_leaves_at_any_moment_of_the_next_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the uniform distribution, at a level at which one of 10^6 true samples fails."""
    office, dice = Office(tmp_path, monkeypatch), random.Random(1)
    ann = office.ann
    ann.accountant.spend(Departure(ann.now(), 1, 0, ann.round(), ann.federation.newest.digest))
    waits = [pacing.next_post(ann, ann.federation.home.id, dice).seconds for _ in range(300)]
    assert scipy.stats.kstest(waits, "uniform", args=(ann.seconds_to_next_round(), ROUND_SECONDS)).pvalue > 1e-6
    office.close()


async def test_without_waiting_one_record_leaves_a_round(pair: Pair) -> None:
    sent = await pair.ann.send("Bob", "x" * 500, wait=False)
    assert (sent.posted, sent.state) == (1, "waiting")
    assert await pair.ann.resend(wait=False) == 2
    assert await pair.ann.resend() == 0


async def test_messages_wait_in_order_behind_what_waited_before(pair: Pair) -> None:
    await pair.ann.queue("Bob", "first")
    await pair.ann.send("Bob", "second")
    messages = pair.bob.messages()
    assert [(await next_of(messages)).text for _ in range(2)] == ["first", "second"]


async def test_the_day_s_budget_ends_a_send_and_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(tmp_path, monkeypatch, budget={"epsilon": "3", "delta": "1e-3"})
    steps: list[Posted | Wait] = []
    sent = await pair.ann.send("Bob", "x" * (136 + 4 * 208), progress=steps.append)
    assert (sent.posted, sent.parts) == (3, 5)
    assert isinstance(steps[-1], Wait) and steps[-1].reason == DAY
    assert (await pair.ann.budget()).left == 0
    pair.office.close()


async def test_attempts_that_a_relay_makes_fail_are_one_a_round_and_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no post of any token, of which there are more than the budget has records."""
    pair = Pair(tmp_path, monkeypatch, budget={"epsilon": "3", "delta": "1e-3"})
    rounds: list[int] = []

    async def refused(*_: Any) -> int:
        rounds.append(pair.office.ann.round())
        raise ErrorFrame(Refused(relay_connection.QUOTA, "QUOTA", 0))

    monkeypatch.setattr(RelayConnection, "post", refused)
    sent = await pair.ann.send("Bob", "hello")
    assert sent.posted == 0
    assert len(rounds) == len(set(rounds)) == 3
    pair.office.close()


async def test_a_relay_that_is_away_does_not_end_the_messages(pair: Pair) -> None:
    await pair.ann.send("Bob", "hello")
    pair.office.clock.next_round()
    pair.time.now = float(pair.office.clock.now)
    pair.office.relay.fail_fetch = 1
    told: list[TesseraError] = []
    assert (await next_of(pair.bob.messages(told.append))).text == "hello"
    assert [str(error) for error in told] == ["cut in a fetch"]


async def test_while_the_engine_runs_messages_come_from_it(pair: Pair) -> None:
    await pair.ann.send("Bob", "hello")
    pair.time.last = pair.time.now + 4 * ROUND_SECONDS  # in the epoch that there are tokens for
    changes = pair.bob.changes()
    engine = asyncio.create_task(pair.bob.run(at_once=True))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await pair.bob.inbox():
            await anext(changes)
        assert (await next_of(pair.bob.messages())).text == "hello"
    engine.cancel()
    assert (await pair.bob.state()).connected is True


async def test_catching_up_tells_how_far_it_is(pair: Pair) -> None:
    pair.office.clock.next_round(2 * EPOCH_ROUNDS - 1)
    told: list[tuple[int, int]] = []
    report = await pair.bob.fetch(lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == [EPOCH_ROUNDS, 2 * EPOCH_ROUNDS - 1]
    assert {total for _, total in told} == {2 * EPOCH_ROUNDS - 1} == {len(report.rounds)}


async def test_the_keystore_is_free_between_two_calls(pair: Pair) -> None:
    await pair.ann.send("Bob", "hello")
    with MemberState.open(pair.office.home("Ann"), PASSPHRASE, pair.office.clock) as beside:
        composing.queue(beside, "Bob", "by hand")
    assert [sent.text for sent in await pair.ann.sent()] == ["hello", "by hand"]


async def test_errors_are_the_family_s(pair: Pair) -> None:
    with pytest.raises(UsageError):
        await pair.ann.send("Carl", "hello")
    with pytest.raises(InvalidInput):
        await pair.ann.send_file("Bob", "f", bytes(3255))
    assert [contact.name for contact in await pair.ann.contacts()] == ["Bob"]
    assert (await pair.ann.status()).relay == "relay-0"


async def test_a_client_is_opened_with_a_passphrase(pair: Pair) -> None:
    await pair.ann.close()
    async with await Client.open(pair.office.home("Ann"), PASSPHRASE) as client:
        assert [contact.name for contact in await client.contacts()] == ["Bob"]
    with pytest.raises(WrongPassphrase):
        await Client.open(pair.office.home("Ann"), "another")


async def test_opening_that_is_cancelled_leaves_the_keystore_free(pair: Pair) -> None:
    await pair.ann.close()
    home = pair.office.home("Ann")
    opening = asyncio.create_task(Client.open(home, PASSPHRASE))
    await asyncio.sleep(0)  # its thread begins
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    Keystore.open(home / KEYSTORE_NAME, PASSPHRASE, KIND, 0).close()


def test_the_home_is_the_commands_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TESSERA_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("TESSERA_HOME")
    assert default_home() == config.home()


def test_the_package_is_typed() -> None:
    assert Path(str(tessera_host.__file__)).with_name("py.typed").exists()


# -- the issuer


class Service:
    """The issuer's service, in place of a visit over the network; `away` is what it fails with."""

    def __init__(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        self.visits = 0
        self.away: TesseraError | None = None
        self._issuer = pair.office.issuer
        place = IssuerService("issuer.example", 8101, bytes(33))
        monkeypatch.setattr(Federation, "issuer", place)
        monkeypatch.setattr(renewal, "visit", self._visit)

    async def _visit(self, member: MemberState) -> VisitReport:
        self.visits += 1
        if self.away:
            raise self.away
        return VisitReport(token_exchange.fetch(member, self._issuer))


@pytest.fixture
def service(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(pair, monkeypatch)


def newcomer(pair: Pair) -> Client:
    """Carl, on the roster, who has nothing but the federation card, and has met Bob."""
    carl = pair.office.create("Carl")
    pair.office.bob.reacquire()
    introduce(carl, pair.office.bob)
    pair.office.bob.release()
    return pair.client(carl)


async def test_a_newcomer_writes_in_the_round_of_joining_and_is_told_what_that_means(
    pair: Pair, service: Service
) -> None:
    carl = newcomer(pair)
    sent = await carl.send("Bob", "hello")
    assert (sent.state, sent.rounds, service.visits) == ("posted", [0], 1)
    assert carl.take_remarks() == [EARLY]
    assert carl.take_remarks() == []
    await carl.send("Bob", "again")
    assert (service.visits, carl.take_remarks()) == (1, [])


async def test_who_waits_writes_when_the_next_epoch_begins_and_needs_no_telling(pair: Pair, service: Service) -> None:
    carl = newcomer(pair)
    steps: list[Posted | Wait] = []
    sent = await carl.send("Bob", "hello", early=False, progress=steps.append)
    assert sent.rounds == [EPOCH_ROUNDS]
    assert isinstance(steps[0], Wait) and steps[0].reason == EPOCH
    assert carl.take_remarks() == []


async def test_away_for_weeks_one_call_brings_a_member_back(pair: Pair, service: Service) -> None:
    """Over rotations of the access key, the reading key and the generation."""
    office = pair.office
    for serial in range(2, 7):
        office.clock.to_epoch(serial)
        keys = {"access_key": bytes([serial]) * 32, "reading_key": bytes([serial]) * 32}
        made = office.federation.make_set(serial, first_epoch=serial, generation=serial, **keys)
        office.issuer.parameters = made
        office.relay.install(made)
    office.clock.to_epoch(8)
    pair.time.now = float(office.clock.now)
    assert (await pair.ann.fetch()).rounds
    assert service.visits == 1
    sent = await pair.ann.send("Bob", "I am back")
    assert (sent.state, service.visits) == ("posted", 1)
    assert [message.text for message in (await pair.bob.fetch()).messages] == []
    office.clock.next_round()
    pair.time.now = float(office.clock.now)
    assert [message.text for message in (await pair.bob.fetch()).messages] == ["I am back"]


async def test_who_is_visited_once_is_visited_again_within_an_epoch_or_two_and_not_before(
    pair: Pair, service: Service
) -> None:
    for _ in range(3 * EPOCH_ROUNDS):
        await pair.ann.fetch()
        pair.office.clock.next_round()
    assert 1 <= service.visits <= 1 + 3 * EPOCH_ROUNDS // 2


async def test_a_service_that_is_away_keeps_nobody_from_what_needs_nothing_of_it(pair: Pair, service: Service) -> None:
    service.away = Unreachable("the issuer's service cannot be reached", "try again later")
    async with pair.ann.shared.held() as member:
        member.data.renewal.due = 0
        member.save()
    await pair.ann.send("Bob", "hello")
    remark, _ = pair.ann.take_remarks()
    assert remark.startswith("Your access was not renewed: the issuer's service cannot be reached")
    await pair.ann.fetch()
    assert service.visits == 1  # the next attempt is later


async def test_who_was_removed_is_told_and_reads_on_while_the_keys_are_good(pair: Pair, service: Service) -> None:
    await pair.ann.send("Bob", "hello")
    pair.office.clock.to_epoch(AHEAD + 1)
    pair.time.now = float(pair.office.clock.now)
    service.away = NotOnRoster("IT has taken you off the list of members", "ask IT")
    await pair.bob.fetch()
    assert pair.bob.take_remarks() == ["IT has taken you off the list of members; ask IT"]
    with pytest.raises(NotPermitted, match="no tokens"):
        await pair.bob.send("Ann", "no more")


async def test_what_waits_leaves_with_what_reaches_the_relay_next(pair: Pair) -> None:
    await pair.ann.queue("Bob", "x" * 400)
    await pair.ann.post_what_waits()
    assert len(pair.office.relay.posted) == 1  # one a round
    await pair.ann.post_what_waits()
    assert len(pair.office.relay.posted) == 1
    pair.office.clock.next_round()
    await pair.ann.post_what_waits()
    assert len(pair.office.relay.posted) == 2
    pair.office.relay.away = Unreachable("the relay cannot be reached", "try again")
    pair.office.clock.next_round()
    await pair.ann.post_what_waits()
    assert pair.ann.take_remarks()[-1].startswith("What you wrote still waits: the relay cannot be reached")


async def test_who_gets_files_is_told_that_there_are_newer_settings(pair: Pair) -> None:
    pair.office.relay.install(pair.office.federation.make_set(2))
    for _ in range(2):  # the relay has it; then it is known
        assert OUTDATED not in pair.ann.take_remarks()
        await pair.ann.fetch()
    assert pair.ann.take_remarks() == [OUTDATED]
    assert OUTDATED in (await pair.ann.state()).remark


# -- bars


def screen() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=100, highlight=False), out


def message(parts: int) -> Sent:
    return Sent("Bob", [0], "x", None, 1, 0, [None] * parts, 0)


def test_a_bar_says_which_part_was_posted_and_when_the_next_goes() -> None:
    console, out = screen()
    with progress.of_parts(message(5), console) as told:
        told(Posted("Bob", Part(0, 1, 5, 1, b""), 812))
        told(Wait(240.0, ROUND))
        console.print("")
    assert "part 1 of 5 posted" in out.getvalue()
    assert "next in 4 min" in out.getvalue()


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with progress.of_parts(message(2), Console(file=out)) as told:
        told(Posted("Bob", Part(0, 0, 2, 1, b""), 1))
    with progress.of_rounds(Console(file=out)) as fetched:
        fetched(16, 800)
    progress.slow("berlin", Console(file=out))
    assert out.getvalue() == ""


def test_a_relay_that_is_waited_for_is_named() -> None:
    console, out = screen()
    progress.slow("berlin [2]", console)
    assert "Waiting for the relay berlin [2]" in out.getvalue()


def test_catching_up_is_shown_only_if_it_takes_a_while() -> None:
    console, out = screen()
    with progress.of_rounds(console) as told:
        told(1, 3)
    assert "reading rounds" not in out.getvalue()
    with progress.of_rounds(console) as told:
        told(160, 800)
        console.print("")
    assert "reading rounds" in out.getvalue() and "160/800" in out.getvalue()
