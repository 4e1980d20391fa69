"""What is asked of gateways that run: how all of them do, what is to be looked at, who leaves, and from where a fleet
goes on whose log is broken."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import office
from office import records
from tessera_host.errors import InvalidInput, NotPermitted, Unreachable, UsageError
from tessera_host.fleet import engines, metrics, operated, repair, storage
from tessera_host.fleet.control import Control
from tessera_host.fleet.log import EngineNode, EngineStatus, Entry, LogBroken
from tessera_host.fleet.operated import Door, GatewayStatus, Looking, Operated
from tessera_host.fleet.state import State
from tessera_host.relay.sqlite_device import Database
from tessera_host.relay.storage import DATABASE

from .gateways import Fleet
from .running import MemoryLog, Play, played
from .test_gateway import admitted, cells, refused

ROOT = Path(__file__).resolve().parents[2]
WELL = EngineStatus("n1", tuple(EngineNode(name, "2.12.3", True) for name in ("n1", "n2", "n3")))
ANOTHER = "nats://127.0.0.1/another"


class Listeners:
    """What a door opens."""

    def __init__(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


async def listen(*_: Any) -> Listeners:
    return Listeners()


class Desk:
    """A gateway of a play, as its operator has it."""

    def __init__(self, play: Play, number: int) -> None:
        gateway = play.gateways[number]
        self.operated = Operated(gateway, play.log, gateway._exchange, Door(listen))
        self.looking = Looking(self.operated, lambda: gateway.relay.clock.uptime_ms() / 1000)
        gateway.answers.more[operated.STATUS] = self.looking.answer
        self._control = Control(self.operated, self.looking, play.directory(number))

    async def ask(self, what: str, **fields: Any) -> dict[str, Any]:
        """As over the socket."""
        return await self._control._answer({"do": what, **fields})

    def figures(self) -> dict[str, float]:
        registry = CollectorRegistry()
        registry.register(metrics.FleetFigures(self.operated, self.looking))
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {f"{each.name}{each.labels or ''}": each.value for family in families for each in family.samples}


def desks(play: Play) -> dict[int, Desk]:
    return {number: Desk(play, number) for number in play.gateways}


def codes(answer: dict[str, Any]) -> set[str]:
    return {remark["code"] for remark in answer["remarks"]}


def test_every_gateway_says_how_all_do_and_equal_positions_have_equal_states(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        by = desks(play)
        await play.until(lambda: all(desk.operated.has_token_key for desk in by.values()))
        member = await admitted(play, 1)
        await member.send(records(1)[0])
        await play.until(lambda: len({gateway.state.position for gateway in play.gateways.values()}) == 1)
        for desk in by.values():
            said = await desk.ask("status")
            assert codes(said) == set() and sorted(said["gateways"]) == [1, 2, 3]
            assert len({each["state"] for each in said["gateways"].values()}) == 1
            assert said["engine"]["leader"] == "memory" and said["quorum"] == 2
        await play.stop(3)
        said = await by[1].ask("status")
        assert codes(said) == {"unreachable"} and said["gateways"][3] is None

    played(story, tmp_path)


def test_an_engine_that_is_away_is_noticed_in_status_figures_and_health(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(1)
        (desk,) = desks(play).values()
        await desk.looking.look()
        assert desk.figures()["tessera_fleet_quorum"] == 1
        assert metrics.complaints(desk.operated, desk.looking) == []
        told: list[str] = []
        play.gateways[1].relay.notice = lambda event, **_: told.append(event)
        play.log.down = True
        assert "no-quorum" in codes(await desk.ask("status"))
        assert desk.figures()["tessera_fleet_quorum"] == 0
        assert metrics.complaints(desk.operated, desk.looking) == ["the engine takes no entries"]
        await play.until(lambda: "log" in told)
        play.log.down = False
        there = len(play.log.entries)
        await play.until(lambda: len(play.log.entries) > there)
        assert told.count("log") == 1

    played(story, tmp_path)


def test_an_engine_that_is_not_written_to_for_how_it_is_set_up_is_noticed(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(1)
        (desk,) = desks(play).values()
        desk.looking.engine = WELL
        assert desk.looking.has_quorum
        desk.looking.engine = WELL._replace(refusal="node n2 lacks a line; write it")
        assert not desk.looking.has_quorum
        assert metrics.complaints(desk.operated, desk.looking) == ["the engine takes no entries"]

    played(story, tmp_path)


def test_alerts_ask_for_figures_that_there_are(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(1)
        (desk,) = desks(play).values()
        await desk.looking.look()
        there = {name.partition("{")[0] for name in desk.figures()}
        rules = (ROOT / "tools" / "server" / "fleet-alerts.yml").read_text()
        page = (ROOT / "docs" / "fleet-operation.md").read_text()
        asked = set(re.findall(r"\btessera_fleet_\w+", rules + page))
        assert len(asked) > 5
        assert asked <= there
        assert {f"tessera_fleet{each}" for each in re.findall(r"`…(_\w+)`", page)} <= there

    played(story, tmp_path)


def test_a_drained_gateway_takes_nobody_and_those_that_are_there_finish(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(1)
        (desk,) = desks(play).values()
        await play.next_round()
        await desk.operated.door()
        opened = desk.operated.door._open
        member = await admitted(play, 1)
        assert opened.is_open
        await desk.looking.look()
        assert (await desk.ask("drain"))["sessions"] == 1
        assert not opened.is_open
        assert await member.send(records(1)[0])
        assert metrics.complaints(desk.operated, desk.looking) == ["it takes no more members: it was drained"]
        play.gateways[1].relay.leave(member.session)
        await play.until(lambda: not desk.operated.waiting)
        assert await desk.ask("drain") == {"sessions": 0, "waiting": 0}

    played(story, tmp_path)


def test_a_gateway_is_removed_by_another_one_and_says_so_of_itself(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        by = desks(play)
        assert "does not remove itself" in (await by[1].ask("remove", gateway=1))["error"]
        assert "no gateway 7" in (await by[1].ask("remove", gateway=7))["error"]
        assert await by[1].ask("remove", gateway=3) == {"removed": 3, "gateways": [1, 2]}
        await play.until(lambda: 3 in play.errors)
        assert "was removed from the fleet" in str(play.errors.pop(3))
        await play.until(lambda: by[1].operated.has_token_key and by[2].operated.has_token_key)
        assert codes(await by[2].ask("status")) == {"few"}
        assert "cannot read" in (await by[1].ask("remove", gateway="one"))["error"]
        assert "does not know" in (await by[1].ask("dance"))["error"]

    played(story, tmp_path)


def test_a_code_is_made_by_a_gateway_that_serves(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(1)
        (desk,) = desks(play).values()
        said = await desk.ask("invite")
        assert len(said["code"].replace("-", "")) == 32 and said["good_seconds"] == 3600
        desk.operated.fault = "the engine lost something"
        assert "stopped serving" in (await desk.ask("invite"))["error"]

    played(story, tmp_path)


# -- what gateways say of themselves


def status(**changes: Any) -> GatewayStatus:
    state = three().state
    well = GatewayStatus(
        program="1.0",
        reads=1,
        position=state.position,
        chain=state.chains[-1],
        state=operated.state_hash(state),
        last=state.position,
        lag_seconds=0.0,
        waiting=0,
        open_round=state.open_round,
        published=state.published,
        sessions=0,
        token_key=True,
        clock=True,
        draining=False,
        fault="",
    )
    return replace(well, **changes)


def three() -> Any:
    """The first of three gateways that have replayed the same."""
    fleet = Fleet(3)
    fleet.settle()
    return fleet[1]


def test_what_a_gateway_says_is_read_as_it_was_written() -> None:
    assert GatewayStatus.read(status().pack()) == status()


@given(st.binary(max_size=200))
def test_what_is_no_status_is_refused(content: bytes) -> None:
    for said in (content, status().pack() + content, status().pack()[: len(content)]):
        if said != status().pack():
            with pytest.raises(InvalidInput, match="cannot be read"):
                GatewayStatus.read(said)


@pytest.mark.parametrize(
    ("code", "found", "engine"),
    [
        ("unreachable", None, WELL),
        ("fault", status(fault="the engine lost something"), WELL),
        ("behind", status(position=0, chain=three().state.chains[0], last=9, lag_seconds=11.0), WELL),
        ("no-token-key", status(token_key=False), WELL),
        ("versions", status(program="2.0"), WELL),
        ("differs", status(chain=bytes(32)), WELL),
        ("differs", status(state=bytes(32)), WELL),
        ("engine-away", status(), None),
        ("no-quorum", status(), WELL._replace(leader="")),
        ("engine-refused", status(), WELL._replace(refusal="node n2 lacks a line; write it")),
        ("engine-node", status(), WELL._replace(nodes=(EngineNode("n3", "", False), *WELL.nodes[:2]))),
    ],
)
def test_what_is_to_be_looked_at_has_a_code_and_says_what_to_do(
    code: str, found: GatewayStatus | None, engine: EngineStatus | None
) -> None:
    state: State = three().state
    remarks = operated.remarks(state, {1: status(), 2: found, 3: status()}, engine)
    assert [remark.code for remark in remarks] == [code]
    assert ": " in remarks[0].text
    assert operated.remarks(state, {number: status() for number in (1, 2, 3)}, WELL) == []


def test_gateways_that_cannot_be_asked_while_the_engine_is_away_are_not_said_to_be_off() -> None:
    found: dict[int, GatewayStatus | None] = {1: status(), 2: None, 3: None}
    assert [remark.code for remark in operated.remarks(three().state, found, None)] == ["engine-away"]
    assert [remark.code for remark in operated.remarks(three().state, found, WELL)] == ["unreachable"] * 2


def test_a_gateway_that_was_removed_is_told_so_and_nothing_of_the_others() -> None:
    state: State = three().state
    del state.nodes[3]
    found: dict[int, GatewayStatus | None] = {1: None, 2: None, 3: status(fault="it was removed", lag_seconds=99.0)}
    removed, few = operated.remarks(state, found, WELL)
    assert removed.code == "fault" and "gateway 3 was removed" in removed.text and "repair" not in removed.text
    assert few.code == "few"


def test_a_node_that_is_lost_is_the_reason_for_gateways_that_do_not_answer() -> None:
    found: dict[int, GatewayStatus | None] = {1: status(), 2: None, 3: status()}
    (gone,) = operated.remarks(three().state, found, WELL)
    assert "remove DIR 2" in gone.text
    without_one = WELL._replace(nodes=(EngineNode("n3", "", False), *WELL.nodes[:2]))
    node, gone = operated.remarks(three().state, found, without_one)
    assert (node.code, gone.code) == ("engine-node", "unreachable")
    assert "look again" in gone.text and "remove" not in gone.text
    # without a leader nobody is known to be current: a node that answers is not said to be away
    alone = EngineStatus("", (EngineNode("n1", "2.12.3", False), EngineNode("n2", "", False)))
    assert [remark.code for remark in operated.remarks(three().state, found, alone)] == [
        "no-quorum",
        "engine-node",
        "unreachable",
    ]


def test_rounds_that_stand_still_for_want_of_a_clock_are_explained() -> None:
    found: dict[int, GatewayStatus | None] = {number: status(clock=False) for number in (1, 2, 3)}
    (remark,) = operated.remarks(three().state, found, WELL)
    assert remark.code == "clock" and "tessera relay time" in remark.text
    found[2] = status()
    assert operated.remarks(three().state, found, WELL) == []


# -- repair


class Faulty:
    """What repair looks at."""

    number = 1

    def __init__(self, fault: str = "the engine lost something") -> None:
        self.state: State = three().state
        self.fault = fault


@pytest.mark.parametrize(
    ("kind", "words", "change"),
    [
        (Unreachable, "--without 2", lambda found: found | {2: None}),
        (UsageError, "gateway 2 serves", lambda found: found | {2: status()}),
        (UsageError, "on that one's host", lambda found: found | {2: status(fault="x", position=9)}),
        (NotPermitted, "not this one", lambda found: found | {2: status(fault="x", chain=bytes(32))}),
    ],
)
def test_a_repair_begins_from_the_gateway_that_is_furthest_and_only_there(
    kind: type[Exception], words: str, change: Callable[[Any], Any]
) -> None:
    gateway: Any = Faulty()
    at_fault: dict[int, GatewayStatus | None] = {number: status(fault="x") for number in (1, 2, 3)}
    repair.check(gateway, at_fault, frozenset())
    with pytest.raises(kind) as error:
        repair.check(gateway, change(at_fault), frozenset())
    assert words in str(error.value)
    repair.check(gateway, change(at_fault), frozenset({2}))
    with pytest.raises(UsageError, match="nothing to repair"):
        repair.check(gateway_that_serves(), at_fault, frozenset())


def test_a_gateway_that_was_removed_repairs_nothing() -> None:
    gateway: Any = Faulty("it was removed")
    del gateway.state.nodes[1]
    with pytest.raises(UsageError, match=r"was removed.*with a new directory"):
        repair.check(gateway, {1: status(fault="x"), 2: None, 3: None}, frozenset({2, 3}))


def gateway_that_serves() -> Any:
    return Faulty(fault="")


def test_a_log_is_the_same_one_whichever_node_is_named_first() -> None:
    assert engines.is_same("nats://a,b,c/berlin", "nats://c:4222,a/berlin")
    assert not engines.is_same("nats://a,b,c/berlin", "nats://a,b,c/berlin-2")
    assert not engines.is_same("nats://a,b,c/berlin", "sqlite:///a/berlin.db")


def test_a_gateway_that_alone_is_at_fault_is_to_be_removed_and_a_log_that_is_broken_for_all_repaired() -> None:
    broken = status(fault="the engine lost something")
    (alone,) = operated.remarks(three().state, {1: status(), 2: broken, 3: status()}, WELL)
    assert "fleet remove DIR 2, on another one's host" in alone.text and "repair" not in alone.text
    for remark in operated.remarks(three().state, {1: broken, 2: broken, 3: broken}, WELL):
        assert "fleet repair DIR" in remark.text


def test_a_gateway_that_was_repaired_is_to_be_started_and_not_repaired_again() -> None:
    found: dict[int, GatewayStatus | None] = {1: status(), 2: status(), 3: status(fault=operated.REPAIRED)}
    (remark,) = operated.remarks(three().state, found, WELL)
    assert remark.code == "fault" and "to be started again" in remark.text and "fleet repair" not in remark.text


def test_a_fleet_goes_on_in_another_log_with_all_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opened(*_: Any) -> MemoryLog:
        return play_log[0]

    play_log: list[MemoryLog] = []
    monkeypatch.setattr(engines, "open_log", opened)

    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        first, second = await admitted(play, 1, 0), await admitted(play, 2, 1)
        rounds = [await first.send(records(1)[0]), await second.send(records(2)[1])]
        there = play.log.entries
        await play.until(lambda: all(gateway.state.position == len(there) for gateway in play.gateways.values()))
        play.log.down = True  # shows nothing more, so all of it has to have been shown before
        end = len(there)
        play.log.entries.append(Entry(end + 1, bytes(16), b"of nobody"))
        play.log.down = False
        await play.until(lambda: not play.gateways)
        assert {type(error) for error in play.errors.values()} == {LogBroken}
        play.errors.clear()
        database = Database(play.directory(2) / DATABASE, office.RELAY_KEY)
        state, keys = storage.kept(database)
        play_log.append(play.log)
        with pytest.raises(UsageError, match="has entries already"):
            await repair.begin_again(play.directory(2), database, state, keys, ANOTHER)
        play.log = play_log[0] = MemoryLog()
        with pytest.raises(UsageError, match="that is broken"):
            await repair.begin_again(
                play.directory(2), database, state, keys, storage.FleetFile.read(play.directory(2)).storage
            )
        await repair.begin_again(play.directory(2), database, state, keys, ANOTHER)
        database.close()
        assert storage.FleetFile.read(play.directory(2)).storage == ANOTHER
        await play.start(2)
        await play.next_round()
        assert sorted(play.gateways[2].state.nodes) == [2]
        for record, round_ in zip(records(2), rounds, strict=True):
            assert record in cells(play, round_)[2][0]
        again = await admitted(play, 2, 2)
        await play.next_round()
        assert await again.send(records(3)[2]) or await refused(again.void())

    played(story, tmp_path)


def test_two_that_join_at_once_at_different_gateways_have_different_numbers(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(2)
        await play.until(lambda: len(play.states) == 1)
        play.log.down = True  # neither gateway hears what the other one gives
        numbers = [play.gateways[at].answers._new_number() for at in (1, 2, 1, 2, 1)]
        assert numbers == [3, 4, 5, 6, 7]
        play.log.down = False

    played(story, tmp_path)
