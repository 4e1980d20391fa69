"""Agents in an office of several relays, some of which burn: what leaves for each does not depend on it, nor on what
there is to say, and what was safe arrives once."""

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tessera_host.agent.engine import Safe, Trouble
from tessera_host.agent.interface import State, change_of
from tessera_host.member import composing, renewal, token_exchange
from tessera_host.member.inbox import Message
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.renewal import Renewal
from tessera_host.member.sending import Posted
from tessera_host.member.state import MemberState
from tessera_host.protocol.federation import Federation, IssuerService
from tests.support.cluster import Cluster, Running
from tests.support.fake_federation import EPOCH_ROUNDS, EPOCH_SECONDS, GENESIS, ROUND_SECONDS


def queue(at: Cluster, *texts: str, sender: str = "Ann", contact: str = "Bob") -> None:
    member = at.members[sender]
    member.reacquire()
    for text in texts:
        composing.queue(member, contact, text)
    member.release()


def seen(
    folder: Path, texts: list[str], rounds: int, down: int | None = None, copies: int = 2
) -> Counter[tuple[int, str]]:
    """How many frames of each kind left for each relay."""
    with pytest.MonkeyPatch.context() as patch:
        at = Cluster(folder, patch, 3, copies, tokens_per_epoch=1)
        running = Running(at)
        queue(at, *texts)
        if down:
            at.burn(down)

        async def script() -> None:
            await running.rounds(rounds)

        running.run(script)
        running.close()
        at.close()
        return Counter(at.frames)


def test_frames_are_the_same_with_and_without_messages_and_with_a_relay_down(tmp_path: Path) -> None:
    rounds = 5
    silent = seen(tmp_path / "silent", [], rounds)
    assert silent[1, "fetch"] == silent[2, "fetch"] == 2 * (rounds - 1)  # in the first there is nothing to ask for
    assert silent[1, "frame"] + silent[2, "frame"] == 2 * (2 * rounds - 1)  # no two tokens come into use in a round
    assert silent[3, "connect"] == 0
    assert seen(tmp_path / "talking", ["x" * 450, "hello"], rounds) == silent
    for down, up in ((1, 2), (2, 1)):
        found = seen(tmp_path / f"without {down}", ["x" * 450, "hello"], rounds, down)
        assert {kind: found[up, kind] for kind in ("connect", "fetch", "frame")} == {
            kind: silent[up, kind] for kind in ("connect", "fetch", "frame")
        }


def test_a_relay_that_never_answers_costs_its_own_slots_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections hang for as long as a slot may take, and longer."""
    at = Cluster(tmp_path, monkeypatch, round_seconds=120)
    running = Running(at)
    queue(at, "hello")
    at.silent.add(1)

    async def script() -> None:
        await running.rounds(8)

    running.run(script)
    up = [kind for id_, kind in at.frames if id_ == 2]
    assert up.count("fetch") == 2 * 7 and up.count("frame") >= 2 * 6
    assert [message.text for message in running.of("Bob", Message)] == ["hello"]
    assert {event.relay for event in running.of("Bob", Trouble)} == {"relay-0"}
    running.close()
    at.close()


def test_an_agent_goes_for_the_card_of_a_set_that_a_relay_has_before_it_governs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IT makes three copies of two. Nobody types anything, and the next visits were far away."""
    at = Cluster(tmp_path, monkeypatch)

    async def visit(member: MemberState) -> VisitReport:
        return VisitReport(token_exchange.fetch(member, at.issuer))

    monkeypatch.setattr(Federation, "issuer", IssuerService("issuer.example", 8101, bytes(33)))
    monkeypatch.setattr(renewal, "visit", visit)
    for member in at.members.values():
        member.data.renewal.due = at.clock() + 100 * EPOCH_SECONDS
        member.save()
    running = Running(at, visiting=Renewal)

    async def script() -> None:
        await running.rounds(1)
        at._said["topology"] = {"kind": "ring", "copies": 3}
        at.relays[1].install(at._renew(at._keys))
        await running.rounds(EPOCH_ROUNDS - 1)

    running.run(script)
    for member in at.members.values():
        assert member.federation.copies(1) == 3 and not renewal.lacks_a_card(member)
        assert member.data.renewal.due and member.data.renewal.due < at.clock() + 2 * EPOCH_SECONDS
    running.close()
    at.close()


def test_posted_and_safe_are_told_and_what_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = Cluster(tmp_path, monkeypatch)
    running = Running(at)
    queue(at, "hello")
    at.down.add(2)
    state = State(GENESIS, ROUND_SECONDS, copies=2)

    async def script() -> None:
        await running.rounds(4)
        assert len(running.of("Ann", Posted)) == 1 and not running.of("Ann", Safe)
        for event in running.events["Ann"]:
            state.note(event)
        assert (state.connected, state.trouble, list(state.away)) == (True, "", ["relay-1"])
        running.events["Ann"].clear()
        at.down.discard(2)
        await running.rounds(4)

    running.run(script)
    (safe,) = running.of("Ann", Safe)
    assert not running.of("Ann", Posted)
    assert change_of(safe).kind == "safe" and change_of(safe).fields["contact"] == "Bob"
    for event in running.events["Ann"]:
        state.note(event)
    assert state.away == {} and state.connected
    assert [message.text for message in running.of("Bob", Message)] == ["hello"]
    running.close()
    at.close()


class Life:
    """Agents, traffic, and relays that burn, some at a time, and come back replaced or as they were."""

    def __init__(self, at: Cluster, running: Running, dice: random.Random, most_down: int) -> None:
        self.at, self.running, self.dice, self.most_down = at, running, dice, most_down
        self.written: list[str] = []

    def write(self) -> None:
        self.written.append(f"{len(self.written)} " + "x" * self.dice.choice([0, 0, 0, 250]))
        queue(self.at, self.written[-1])

    async def go_on(self, rounds: int) -> None:
        at, dice = self.at, self.dice
        burned: set[int] = set()
        for _ in range(rounds):
            if dice.random() < 0.7:
                self.write()
            await self.running.rounds(dice.uniform(0.1, 0.9))
            what = dice.random()
            if what < 0.35 and len(at.down) < self.most_down:
                id_ = dice.choice([id_ for id_ in at.relays if id_ not in at.down])
                at.burn(id_)
                if dice.random() < 0.6:
                    burned.add(id_)
            elif what < 0.7 and at.down:
                id_ = dice.choice(sorted(at.down))
                if id_ in burned:
                    at.replace(id_)
                    at.renew()
                    burned.discard(id_)
                    await self.running.rounds(3)  # what is safe again may burn again
                else:
                    at.down.discard(id_)
            await self.running.rounds(0.5)
        for id_ in sorted(at.down):
            if id_ in burned:
                at.replace(id_)
            at.down.discard(id_)
        at.renew()
        await self.running.rounds(8 + 4 * len(self.written))


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    relays=st.sampled_from([3, 5]),
    copies=st.sampled_from([2, 3]),
    kind=st.sampled_from(["ring", "mesh"]),
)
def test_whatever_burns_all_is_shown_once_in_order_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, seed: int, relays: int, copies: int, kind: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        at = Cluster(tmp_path_factory.mktemp("life"), patch, relays, copies, kind, epoch_rounds=96, posts_per_token=64)
        running = Running(at, seed)
        life = Life(at, running, random.Random(seed), copies - 1)
        running.run(lambda: life.go_on(8))
        at.bob.reacquire()
        got = at.bob.inbox.messages()
        assert [message.text for message in got if not message.late] == life.written
        assert all(message.lost == message.missing == 0 for message in got)
        assert sorted(message.text for message in got) == sorted(life.written)
        at.ann.reacquire()
        assert len(at.ann.outbox) == 0
        running.close()
        at.close()
