"""Two members and a relay on the emulated Raspberry Pi Pico: the shipped image, real TCP over PPP, real resets.

The board's time comes by SNTP over the same line, so after a reset it serves again without anybody at its console.
"""

import asyncio
import secrets

from tessera.wire import RECORD_BYTES
from tessera_host.errors import TesseraError
from tessera_host.member.state import MemberState
from tessera_host.protocol.relay_connection import RelayConnection
from tests.support import correspondence
from tests.support.board_console import status
from tests.support.office_on_disk import OfficeOnDisk, admitted, read_all
from tests.support.ready_board import ReadyRelay, in_board_time
from tools.emulator.board import Board
from tools.emulator.provision import reset, wait_until_serving

PATIENCE_SECONDS = 120  # of the board


async def until_it_knows_the_time(member: MemberState) -> None:
    """Members are told NOT_READY until then; an emulated board is slow enough for that to be seen."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await correspondence.status(member)
                return
            except TesseraError:
                await asyncio.sleep(0.5)


async def read_when_sealed(reader: MemberState, count: int) -> list[str]:
    """The texts of the next `count` messages."""
    texts: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(texts) < count:
            await asyncio.sleep(reader.seconds_to_next_round() + 0.5)
            texts += [message.text for message in (await correspondence.fetch(reader)).messages]
    return texts


async def post(connection: RelayConnection, count: int) -> dict[bytes, int]:
    """Random records, each with the round it was acknowledged for."""
    acknowledged: dict[bytes, int] = {}
    for _ in range(count):
        record = secrets.token_bytes(RECORD_BYTES)
        acknowledged[record] = await connection.post(0, record)
    return acknowledged


@in_board_time
async def test_members_talk_through_the_board_and_a_reset_loses_nothing(
    office: OfficeOnDisk, ready: ReadyRelay, board: Board
) -> None:
    assert "libsecp256k1" in ready.said and "RPI_PICO" in ready.said
    alice, bob = office.two_who_met()
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
    wait_until_serving(board)
    assert board.counters().boots > 1 and status(board)["fault"] is None
    board.wait_for_link(PATIENCE_SECONDS)
    await until_it_knows_the_time(alice)
    last = max(acknowledged.values())
    while alice.round() <= last:
        await asyncio.sleep(alice.seconds_to_next_round() + 0.5)
    after = await read_all(alice, last + 1)
    assert {round_: after[round_] for round_ in before} == before
    for record, round_ in acknowledged.items():
        assert [each for each, records in after.items() if record in records] == [round_]
        assert after[round_].count(record) == 1
    await correspondence.send(bob, "alice", "and after the reset")
    assert await read_when_sealed(alice, 1) == ["and after the reset"]
