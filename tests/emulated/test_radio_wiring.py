"""The radio on the pins of an emulated RP2040: a program on the shipped image drives the bus as a Pico W's driver does,
with a state machine of the PIO and two channels of DMA. What the chip answers then is test_radio.py's business."""

import json
from pathlib import Path

import pytest

from tests.support.kept_runs import execute
from tools.emulator.board import Board
from tools.emulator.execution import DONE
from tools.emulator.program import EmulatorError
from tools.emulator.wifi import Radio

DIVIDER = 2
LOOK_CYCLES = 10_000  # at most, between two looks of a program at a register

# Registers and instructions are those of the RP2040's data sheet: §2.5.7 (DMA), §3.4 and §3.7 (PIO); the pins are the
# Pico W's (power 23, data and interrupt 24, chip select 25).
BUS = f"""
from machine import Pin, mem32
from uctypes import addressof
PIO, DMA, CYCLES = 0x50200000, 0x50000000, 0x40070000
FIFO_OUT, FIFO_IN, STALLED, BUSY = PIO + 0x10, PIO + 0x20, 1 << 24, 1 << 24
WORDS = 1 | 2 << 2 | 1 << 22  # a channel: enabled, 32 bits, bytes swapped
power, wake, select = Pin(23, Pin.OUT, value=0), Pin(24, Pin.IN), Pin(25, Pin.OUT, value=1)

def transfer(sent, wanted=0):
    received = bytearray(wanted)
    select(0)
    mem32[PIO] = 1 << 4  # stop, and begin anew
    mem32[PIO + 0xD0] = 3 << 16  # pull and push by itself, most significant bit first
    mem32[PIO + 0xC8] = {DIVIDER} << 16
    for bits, instruction in ((8 * len(sent), 0x6020), (8 * wanted or 1, 0x6040)):  # out x, 32; out y, 32
        mem32[FIFO_OUT] = bits - 1
        mem32[PIO + 0xD8] = instruction
    channels = [(0x00, addressof(sent), FIFO_OUT, len(sent) // 4, 1 << 4)]  # reads on
    if wanted:
        channels.append((0x40, FIFO_IN, addressof(received), wanted // 4, 1 << 5 | 1 << 11 | 4 << 15))  # writes on
    for channel, source, target, words, control in channels:
        for at, value in ((0, source), (4, target), (8, words), (12, WORDS | control)):
            mem32[DMA + channel + at] = value
    begun = mem32[CYCLES]
    mem32[PIO] = 1
    for channel, *_ in channels:
        while mem32[DMA + channel + 12] & BUSY:
            pass
    took = mem32[CYCLES] - begun
    if not wanted:
        mem32[PIO + 8] = STALLED
        while not mem32[PIO + 8] & STALLED:
            pass
    mem32[PIO] = 0
    select(1)
    return bytes(received), took

def command(write, function, address, size):
    return bytearray((write << 31 | 1 << 30 | function << 28 | address << 11 | size % 2048).to_bytes(4, "little"))

def read(function, address, size):
    return transfer(command(0, function, address, size), size)[0]

def write(function, address, data):
    return transfer(command(1, function, address, len(data)) + data)[1]

said = [transfer(bytearray(b"\\xa0\\x04\\x40\\x00"), 4)[0]]
power(1)
said.append(transfer(bytearray(b"\\xa0\\x04\\x40\\x00"), 4)[0])
transfer(bytearray(b"\\x00\\x04\\xc0\\x00\\x00\\x31\\x00\\x00"))
"""

TALK = """
said.append(read(0, 0x14, 4))
write(1, 0x1000c, b"\\0\\0\\0\\0"), write(1, 0x1000b, b"\\0\\0\\0\\0")
block = bytes(range(64))
write(1, 0x8000, block)
said.append(read(1, 0x8000, 68)[4:])
write(0, 0x06, b"\\1\\0\\0\\0")
levels = [wake()]
read(2, 0, 4)
levels.append(wake())
write(0, 0x04, b"\\1\\0\\0\\0")
levels.append(wake())
times = [write(2, 0, bytes(size)) for size in (4, 2048)]
power(0)
said.append(read(0, 0x14, 4))
import json
print(json.dumps([[each.hex() for each in said], times, levels]))
"""


def run(image: Path, folder: Path, source: str, radio: Radio) -> str:
    program = folder / "program.py"
    program.write_text(source)
    execution = execute(image, folder / "flash.bin", program, radio=radio, guest_seconds=60)
    assert (execution.status, execution.errors) == (DONE, ""), execution.errors
    return execution.output


def test_a_state_machine_and_dma_carry_transfers_to_the_chip_and_back(board_image: Path, tmp_path: Path) -> None:
    output = run(board_image, tmp_path, BUS + TALK, Radio())
    said, (short, long), levels = json.loads(output)
    assert said == ["00000000", "beadfeed", "adbeedfe", bytes(range(64)).hex(), "00000000"]
    assert levels == [0, 1, 0]
    assert abs(long - short - (2048 - 4) * 8 * 2 * DIVIDER) < LOOK_CYCLES  # two cycles of the divided clock a bit


def test_dead_chip_keeps_the_wire_low(board_image: Path, tmp_path: Path) -> None:
    output = run(board_image, tmp_path, BUS + "print(said)", Radio(dead=True))
    assert output == f"{[bytes(4), bytes(4)]}\n"


def test_board_on_a_host_says_how_its_radio_does(board_image: Path, tmp_path: Path) -> None:
    """Switched on by the program; a reset takes the power from it."""
    with Board(board_image, tmp_path / "flash.bin", radio=Radio()) as board:
        board.repl.enter()
        board.repl.exec(BUS)
        board.wifi.change(rssi=-80)
        assert board.wifi.status().powered
        assert [happening.what for happening in board.wifi.happenings()] == ["powered on", "changed"]
        board.reset()
        status = board.wifi.status()
        assert (status.powered, status.powered_on, status.transfers) == (False, 1, 2)
        assert not board.lit()
        board.repl.enter()
        board.repl.exec(BUS)
        assert board.wifi.status().powered_on == 2


def test_board_without_a_radio_has_none(board_image: Path, tmp_path: Path) -> None:
    board = Board(board_image, tmp_path / "flash.bin")
    with board, pytest.raises(EmulatorError, match="no radio"):
        board.wifi.status()
