"""Members and a Pico W over its radio: what they write arrives, over frames that are lost, a reset and an update."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.radio.conftest import HOSTNAME, NAME, SwitchOn
from tests.support import correspondence
from tests.support.board_console import ask, status, until
from tests.support.office_on_disk import admitted, read_all
from tests.support.ready_board import ReadyRelay
from tests.system.test_board import PATIENCE_SECONDS, post, read_when_sealed, until_it_knows_the_time
from tests.system.test_update import NEW, approve, update
from tools.emulator.board import Board
from tools.emulator.bridge import GUEST
from tools.emulator.provision import NOT_PROVISIONED, reset, wait_until_serving
from tools.emulator.wifi import Radio

LOST = 0.05  # of all frames; TCP bears it


def on_the_air(board: Board) -> None:
    wait_until_serving(board)
    board.wait_for_link(PATIENCE_SECONDS)


def test_members_talk_over_the_air_and_a_reset_loses_nothing(
    relay: ReadyRelay, switch_on: SwitchOn, measured: Callable[..., None]
) -> None:
    alice, bob = relay.office.two_who_met("alice", "bob")

    async def talk() -> None:
        await until_it_knows_the_time(alice)
        lines = ["Thursday at ten?", "a longer text " * 25, "ünïcode ✓"]
        for line in lines:
            await correspondence.send(alice, "bob", line)
        await correspondence.send(bob, "alice", "Thursday at ten.")
        assert await read_when_sealed(bob, len(lines)) == lines
        assert await read_when_sealed(alice, 1) == ["Thursday at ten."]
        async with admitted(alice) as connection:
            acknowledged = await post(connection, 10)
        before = await read_all(alice)
        reset(board)
        on_the_air(board)
        await until_it_knows_the_time(alice)
        last = max(acknowledged.values())
        while alice.round() <= last:
            await asyncio.sleep(alice.seconds_to_next_round() + 0.5)
        after = await read_all(alice, last + 1)
        assert {round_: after[round_] for round_ in before} == before
        for record, round_ in acknowledged.items():
            assert [each for each, records in after.items() if record in records] == [round_]
        await correspondence.send(bob, "alice", "and after the reset")
        assert await read_when_sealed(alice, 1) == ["and after the reset"]

    with switch_on(Radio()) as board:
        begun = board.clock.seconds()
        wait_until_serving(board)
        measured("power to serving", f"{board.clock.seconds() - begun:.1f} s")
        board.wait_for_link(PATIENCE_SECONDS)
        measured("power to an address, WPA2 and DHCP", f"{board.clock.seconds() - begun:.1f} s")
        seen = board.wifi.status()
        assert (seen.ssid, seen.security, seen.hostname, seen.attempts) == (Radio().ssid, "wpa2", HOSTNAME, 1)
        board.clock.run(talk())
        until(board, state="serving", network=None)
        assert board.resolve(f"{HOSTNAME}.local") == GUEST
        seen = board.wifi.status()
        assert (seen.joins, seen.refused, seen.unanswered, seen.stalled) == (2, 0, 0, 0)


def test_frames_that_are_lost_cost_time_and_no_message(relay: ReadyRelay, switch_on: SwitchOn) -> None:
    carol, dave = relay.office.two_who_met("carol", "dave")

    async def talk() -> None:
        await until_it_knows_the_time(carol)
        for line in ("one", "two"):
            await correspondence.send(carol, "dave", line)
        assert await read_when_sealed(dave, 2) == ["one", "two"]

    with switch_on(Radio()) as board:
        on_the_air(board)
        board.wifi.change(lose_share=LOST)
        board.clock.run(talk())
        assert board.wifi.status().lost > 0


@pytest.mark.long
def test_new_code_over_the_air_is_tried_and_kept(relay: ReadyRelay, switch_on: SwitchOn, tmp_path: Path) -> None:
    office = relay.office
    member = office.supply("erin")
    release, bundle = approve(office.issuer, tmp_path / "new", NEW, name=NAME)

    async def take_it() -> None:
        await until_it_knows_the_time(member)
        await update(office.issuer, release, bundle)
        await asyncio.to_thread(on_the_air, board)
        await until_it_knows_the_time(member)
        async with admitted(member):
            pass  # it believes its clock only now (PROTOCOL §3)

    with switch_on(Radio()) as board:
        on_the_air(board)
        assert status(board)["code"] == "frozen"
        board.clock.run(take_it())
        kept = until(board, on_trial=False, code="bundle_a", failed=None)
        assert (kept["version"], kept["board"]) == (NEW, NAME)
        ask(board, "restart")
        on_the_air(board)
        assert until(board, state="serving")["code"] == "bundle_a"


def test_the_button_held_after_the_start_erases_the_relay_and_its_password(switch_on: SwitchOn) -> None:
    with switch_on(Radio()) as board:
        wait_until_serving(board)
        ask(board, "restart")
        wait_until_serving(board)
        board.press(True)
        board.repl.until(NOT_PROVISIONED, PATIENCE_SECONDS)
        board.repl.enter()
        assert board.repl.exec("import os; print(os.listdir('/'))").strip() == "[]"
        assert not board.wifi.status().joined
        board.stop()
        assert Radio().password.encode() not in board.flash.read_bytes()
