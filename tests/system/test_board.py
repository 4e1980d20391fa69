"""Two members and a relay on the emulated Raspberry Pi Pico: the shipped image, real TCP over PPP, real resets.

The board's time comes by SNTP over the same line, so after a reset it serves again without anybody at its console.
"""

from tests.support.board_talk import talk_through_a_reset
from tests.support.office_on_disk import OfficeOnDisk
from tests.support.ready_board import ReadyRelay, in_board_time
from tools.emulator.board import Board


@in_board_time
async def test_members_talk_through_the_board_and_a_reset_loses_nothing(
    office: OfficeOnDisk, ready: ReadyRelay, board: Board
) -> None:
    assert "libsecp256k1" in ready.said and "RPI_PICO" in ready.said
    alice, bob = office.two_who_met()
    await talk_through_a_reset(board, alice, bob)
