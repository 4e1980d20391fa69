"""What goes wrong with a radio and with the Wi-Fi around it, on the real image: what the relay says of it, what it
costs, and that it comes back by itself.

Times are the board's and bounds far above what was measured; counts (requests to join, starts, lines of the log) are
exact.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.radio.conftest import SwitchOn
from tests.radio.test_conversation import on_the_air
from tests.support import correspondence
from tests.support.board_console import ask, status, until
from tests.support.office_on_disk import admitted, read_all
from tests.support.ready_board import FLASH, ReadyRelay
from tests.system.test_board import PATIENCE_SECONDS, post, until_it_knows_the_time
from tools.emulator.board import Board
from tools.emulator.provision import reset, wait_until_serving
from tools.emulator.wifi import DEAUTHENTICATED, DISASSOCIATED, LINK_DOWN, SILENCE, Radio

NO_ANSWER = "the radio does not answer"
START_SECONDS = 6  # more than a start with a radio that answers
SILENCE_SECONDS = 1200
REJOIN_SECONDS = 90  # the longest wait between two requests to join is a minute
FIRST_RESTART_SECONDS = 15  # firmware/device/starts.py


def lines_with(board: Board, text: str) -> list[str]:
    return [line for line in ask(board, "log")[0] if text in line]


# -- a radio that does not answer


def test_a_radio_that_is_dead_from_the_start_costs_nothing_but_the_radio(
    switch_on: SwitchOn, measured: Callable[..., None]
) -> None:
    seconds = []
    for radio in (Radio(), Radio(dead=True)):
        with switch_on(radio) as board:
            begun = board.clock.seconds()
            wait_until_serving(board)
            seconds.append(board.clock.seconds() - begun)
            if radio.dead:
                stays_in_service_without(board)
    measured("power to serving, the radio dead", f"{seconds[1]:.1f} s", f"≤ {START_SECONDS} s more than with one")
    assert seconds[1] <= seconds[0] + START_SECONDS


def stays_in_service_without(board: Board) -> None:
    figures = status(board)
    assert (figures["state"], figures["network"], figures["address"]) == ("radio", NO_ANSWER, None)
    assert not board.lit()
    # Nobody is kept waiting for the radio: the console answers at once.
    for _ in range(10):
        asked = board.clock.seconds()
        status(board)
        assert board.clock.seconds() - asked < 1
        board.sleep(0.5)
    assert len(lines_with(board, NO_ANSWER)) == 1
    # It restarts to revive it, later each time.
    boots = figures["boots"]
    begun = board.clock.seconds()
    wait_until_serving(board)
    assert board.clock.seconds() - begun < FIRST_RESTART_SECONDS + 20
    assert (status(board)["boots"], status(board)["state"]) == (boots + 1, "radio")
    assert len(lines_with(board, f"restart: {NO_ANSWER}")) == 1
    board.wifi.change(dead=False)
    wait_until_serving(board)
    board.wait_for_link(PATIENCE_SECONDS)
    assert until(board, network=None, state="serving")["boots"] == boots + 2


def test_a_radio_that_hangs_in_service_is_revived_by_a_restart_and_nothing_is_lost(
    relay: ReadyRelay, switch_on: SwitchOn, measured: Callable[..., None]
) -> None:
    member = relay.office.supply("henry")

    async def use_it() -> None:
        await until_it_knows_the_time(member)
        async with admitted(member) as connection:
            acknowledged = await post(connection, 5)
        hung = board.clock.seconds()
        board.wifi.change(hung=True)
        until(board, state="radio", network=NO_ANSWER, address=None)
        measured("a radio that hangs is noticed after", f"{board.clock.seconds() - hung:.1f} s")
        on_the_air(board)  # by itself
        measured("it serves over the air again after", f"{board.clock.seconds() - hung:.1f} s")
        assert len(lines_with(board, f"restart: {NO_ANSWER}")) == 1
        await until_it_knows_the_time(member)
        last = max(acknowledged.values())
        while member.round() <= last:
            await asyncio.sleep(member.seconds_to_next_round() + 0.5)
        rounds = await read_all(member, last + 1)
        for record, round_ in acknowledged.items():
            assert [each for each, records in rounds.items() if record in records] == [round_]

    with switch_on(Radio()) as board:
        on_the_air(board)
        boots = status(board)["boots"]
        board.clock.run(use_it())
        assert status(board)["boots"] == boots + 1


# -- networks that do not let it in


@pytest.mark.parametrize(
    ("wrong", "mended", "words"),
    [
        pytest.param({"in_reach": False}, {"in_reach": True}, "no such network", id="no network"),
        pytest.param({"ssid": "Guests"}, {"ssid": Radio().ssid}, "no such network", id="another network"),
        pytest.param({"password": "not ours"}, {"password": Radio().password}, "wrong password", id="password"),
    ],
)
def test_why_it_cannot_join_is_named_and_it_joins_when_it_can(
    switch_on: SwitchOn, wrong: dict[str, Any], mended: dict[str, Any], words: str
) -> None:
    with switch_on(Radio(**wrong)) as board:
        wait_until_serving(board)
        figures = until(board, network=words)
        assert (figures["state"], figures["address"]) == ("no-network", None)
        board.sleep(30)
        assert len(lines_with(board, f"no network: {words}")) == 1
        board.wifi.change(**mended)
        board.wait_for_link(REJOIN_SECONDS)
        until(board, network=None, state="serving")
        assert lines_with(board, "link up")


@pytest.mark.parametrize("security", ["wpa3", "wpa2-wpa3"])
def test_wpa3_is_joined_where_relay_json_says_so(
    relay: ReadyRelay, tmp_path: Path, board_network: None, security: str
) -> None:
    radio = Radio(security=security)
    with configured(relay, tmp_path, radio, wifi=radio.name()) as board:
        on_the_air(board)
        assert board.wifi.status().security == "wpa3"


def test_an_open_network_has_no_password(relay: ReadyRelay, tmp_path: Path, board_network: None) -> None:
    radio = Radio(security="open")
    with configured(relay, tmp_path, radio, wifi=radio.name()) as board:
        on_the_air(board)
        assert board.wifi.status().security == "open"


@contextmanager
def configured(relay: ReadyRelay, tmp_path: Path, radio: Radio, **network: Any) -> Iterator[Board]:
    """A board that starts with another relay.json: what it says of its network."""
    port = relay.office.port
    found = json.loads((relay.office.relay.directory / "relay.json").read_text()) | network
    with relay.board(tmp_path / FLASH, guest_port=port, port=port, radio=radio) as board:
        board.repl.enter()
        board.repl.exec(f"with open('/relay.json', 'wb') as file: file.write({json.dumps(found).encode()!r})")
        reset(board)
        yield board


# -- an access point that goes away


@pytest.mark.parametrize("parting", [DISASSOCIATED, DEAUTHENTICATED, LINK_DOWN])
def test_an_access_point_that_went_away_and_came_back_is_joined_again(
    relay: ReadyRelay, switch_on: SwitchOn, measured: Callable[..., None], parting: str
) -> None:
    member = relay.office.supply(f"kim-{parting}")
    with switch_on(Radio()) as board:
        on_the_air(board)
        board.clock.run(until_it_knows_the_time(member))
        board.wifi.change(in_reach=False, parting=parting)
        until(board, state="no-network", address=None)
        assert lines_with(board, "link down")
        board.sleep(20)
        back = board.clock.seconds()
        board.wifi.change(in_reach=True)
        board.wait_for_link(REJOIN_SECONDS)
        until(board, state="serving", network=None)
        measured(f"away for 20 s, {parting}: serves again after", f"{board.clock.seconds() - back:.1f} s", "≤ 90 s")
        board.clock.run(until_it_knows_the_time(member))


@pytest.mark.long
def test_an_access_point_that_went_away_without_a_word_is_noticed(
    relay: ReadyRelay, switch_on: SwitchOn, measured: Callable[..., None]
) -> None:
    """The radio says that it is on a network, of which nothing comes any more; rounds go on being sealed meanwhile."""
    member = relay.office.supply("lee")
    with switch_on(Radio()) as board:
        on_the_air(board)
        board.clock.run(until_it_knows_the_time(member))
        until(board, state="serving")
        gone = board.clock.seconds()
        board.wifi.change(in_reach=False, parting=SILENCE)
        while not lines_with(board, "nobody answers: joining the network anew"):
            assert board.clock.seconds() - gone < SILENCE_SECONDS, "it does not notice"
            board.sleep(10)
        until(board, state="no-network", network="no such network")
        minutes = (board.clock.seconds() - gone) / 60
        measured("away without a word: noticed after", f"{minutes:.0f} minutes", f"≤ {SILENCE_SECONDS // 60} minutes")
        board.wifi.change(in_reach=True)
        board.wait_for_link(REJOIN_SECONDS)
        until(board, state="serving", network=None)
        board.clock.run(until_it_knows_the_time(member))


# -- addresses


@pytest.mark.parametrize("seconds", [5, 25])
def test_a_join_that_waits_for_dhcp_is_left_alone(
    switch_on: SwitchOn, measured: Callable[..., None], seconds: int
) -> None:
    with switch_on(Radio(dhcp_seconds=seconds)) as board:
        wait_until_serving(board)
        begun = board.clock.seconds()
        board.wait_for_link(PATIENCE_SECONDS)
        measured(f"DHCP answers after {seconds} s: an address after", f"{board.clock.seconds() - begun:.1f} s")
        assert (board.wifi.status().attempts, board.wifi.status().joins) == (1, 1)


@pytest.mark.long
def test_without_dhcp_it_says_so_joins_again_and_has_an_address_when_there_is_one(switch_on: SwitchOn) -> None:
    with switch_on(Radio(dhcp_seconds=None)) as board:
        wait_until_serving(board)
        figures = until(board, network="no address by DHCP")
        assert (figures["state"], figures["address"]) == ("no-network", None)
        end = board.clock.seconds() + 600
        while board.wifi.status().joins == 1:
            assert board.clock.seconds() < end, "it waits for DHCP without end"
            board.sleep(5)
        board.wifi.change(dhcp_seconds=0.02)
        board.wait_for_link(300)
        until(board, state="serving", network=None)
        assert len(lines_with(board, "no network: no address by DHCP")) == 1


def test_a_fixed_address_needs_no_dhcp(relay: ReadyRelay, tmp_path: Path, board_network: None) -> None:
    address = {"ip": "10.77.0.2", "netmask": "255.255.255.0", "gateway": "10.77.0.1", "dns": "10.77.0.1"}
    with configured(relay, tmp_path, Radio(dhcp_seconds=None), address=address) as board:
        on_the_air(board)
        assert until(board, state="serving")["address"] == address["ip"]


# -- messages while it comes and goes


@pytest.mark.long
def test_what_was_sent_while_the_network_came_and_went_arrives_once(relay: ReadyRelay, switch_on: SwitchOn) -> None:
    mia, ned = relay.office.two_who_met("mia", "ned")

    async def talk() -> None:
        await until_it_knows_the_time(mia)
        for number in range(3):
            await correspondence.send(mia, "ned", f"line {number}")
            board.wifi.change(in_reach=False)
            until(board, address=None)
            board.wifi.change(in_reach=True)
            board.wait_for_link(REJOIN_SECONDS)
            await until_it_knows_the_time(mia)
        texts: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(texts) < 3:
                await asyncio.sleep(ned.seconds_to_next_round() + 0.5)
                texts += [message.text for message in (await correspondence.fetch(ned)).messages]
        assert texts == ["line 0", "line 1", "line 2"]

    with switch_on(Radio()) as board:
        on_the_air(board)
        board.clock.run(talk())
