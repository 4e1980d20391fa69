"""The memory of ESP32 boards as it is planned: what the heap leaves to the network, and sockets for everybody there is.

No ESP32 runs here. The rule by which MicroPython's heap grows is the one of py/gc.c of 1.25; figures of the chip are
those of its users, named where they stand.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from device import chip_esp32
from tessera.machine import Machine
from tools.build import boards

ROOT = Path(__file__).resolve().parents[2]
SPLITHEAP = ROOT / "firmware" / "modules" / "splitheap" / "splitheap.c"
ESP32 = [name for name in boards.names() if boards.read_board(name).port == "esp32"]
NETWORK_BYTES = 40 * 1024

# The relay on a board with nobody there, measured on the RP2040 (docs/measurements.md).
RELAY_BYTES = 91_216

HEADER = """
#define MALLOC_CAP_DEFAULT 4096
size_t heap_caps_get_free_size(unsigned capabilities);
"""
PORT = """
#include <stdlib.h>
size_t largest, all;
size_t gc_get_max_new_split(void) { return largest; }
size_t heap_caps_get_free_size(unsigned capabilities) { return capabilities == 4096 ? all : 0; }
"""
CALLER = """
#include <stdio.h>
#include <stdlib.h>
extern size_t largest, all;
size_t gc_get_max_new_split(void);
int main(int count, char **words) {
    (void)count;
    largest = strtoul(words[1], NULL, 10);
    all = strtoul(words[2], NULL, 10);
    printf("%zu", gc_get_max_new_split());
    return 0;
}
"""


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """split(largest, all): how large an area the heap may add, by the linker's flag that micropython.cmake has."""
    folder = tmp_path_factory.mktemp("splitheap")
    flag = re.search(r"-Wl,[^\"]+", (SPLITHEAP.parent / "micropython.cmake").read_text())
    assert flag
    sources = {"esp_heap_caps.h": HEADER, "port.c": PORT, "caller.c": CALLER}
    for name, text in sources.items():
        (folder / name).write_text(text)
    program = folder / "split"
    command = ["gcc", "-Wall", "-Werror", f"-I{folder}", SPLITHEAP, folder / "port.c", folder / "caller.c", flag[0]]
    subprocess.run([*command, "-o", program], check=True)

    def ask(largest: int, free: int) -> int:
        return int(subprocess.run([program, str(largest), str(free)], capture_output=True, check=True).stdout)

    return ask


@pytest.mark.parametrize(
    ("largest", "free", "added"),
    [
        (50_000, 200_000, 50_000),
        (50_000, NETWORK_BYTES + 50_000, 50_000),
        (50_000, NETWORK_BYTES + 49_999, 49_999),
        (50_000, NETWORK_BYTES + 1, 1),
        (30_000, NETWORK_BYTES, 0),
        (30_000, NETWORK_BYTES - 1, 0),
        (8_000_000, 8_200_000, 8_000_000),  # external RAM
    ],
)
def test_the_heap_leaves_the_network_its_share(split, largest, free, added):
    assert split(largest, free) == added


@dataclass
class Chip:
    """Memory as ESP-IDF has it: the heap's bytes, and blocks that are free, one a region."""

    heap: int
    blocks: list[int]

    def most(self, share: int) -> int:
        """The heap when it has grown as far as it can: py/gc.c adds as much again as there is, or the largest block."""
        while True:
            largest = max(self.blocks)
            added = min(largest, max(0, sum(self.blocks) - share), self.heap)
            if added < 4096:  # gc_try_add_heap() wants 2 KB beside what was asked for
                return self.heap
            self.blocks[self.blocks.index(largest)] -= added
            self.heap += added


# An ESP32 of MicroPython 1.27 after the heap has grown once to 2 × 56 KB, as published in micropython issue 18859:
# 94,256 bytes are free, 53,248 of them in one block. Its image has Bluetooth, which ours leaves out: 56,156 bytes are
# reserved for its controller (ESP-IDF's CONFIG_BT_RESERVE_DRAM), of which 23,936 go back to the heap as regions.
PUBLISHED_HEAP, PUBLISHED_BLOCK, PUBLISHED_FREE = 112_000, 53_248, 94_256
BLUETOOTH_BYTES = 56_156 - 23_936

# Of the radio: 28 KB when it is made, 2.5 when it is switched on, 7 to join (micropython issue 8940), with 10 buffers
# of 1.6 KB to receive (ESP-IDF's CONFIG_ESP_WIFI_STATIC_RX_BUFFER_NUM), where sdkconfig.relay has 6.
RADIO_BYTES = 38_400 - 4 * 1_600


def esp32() -> Chip:
    """With its radio on, before storage is opened."""
    return Chip(PUBLISHED_HEAP, [PUBLISHED_BLOCK, PUBLISHED_FREE - PUBLISHED_BLOCK + BLUETOOTH_BYTES - RADIO_BYTES])


def test_an_esp32_bears_four_sessions_by_figures_that_were_published():
    chip = esp32()
    heap = chip.most(NETWORK_BYTES)
    assert sum(chip.blocks) >= NETWORK_BYTES
    assert chip_esp32.borne(heap * 125 // 128 - RELAY_BYTES, 4) == 4  # the rest are the heap's own tables


def test_without_a_share_the_heap_would_take_what_the_network_needs():
    chip = esp32()
    chip.most(0)
    assert sum(chip.blocks) < NETWORK_BYTES // 4


def settings() -> dict[str, int]:
    """The numbers of sdkconfig.relay."""
    text = (ROOT / "boards" / "sdkconfig.relay").read_text()
    return {name: int(number) for name, number in re.findall(r"^CONFIG_(\w+)=(\d+)$", text, re.MULTILINE)}


def test_there_are_sockets_for_everybody():
    listening, operator, arriving, time_server = 1, 1, 1, 1
    sockets = listening + Machine.sessions + operator + Machine.strangers + arriving + time_server
    assert sockets == 12 <= settings()["LWIP_MAX_SOCKETS"] <= 16  # ESP-IDF's most


def test_the_networks_share_is_what_sessions_and_their_buffers_take():
    network = settings()
    assert f"#define NETWORK_BYTES ({NETWORK_BYTES // 1024} * 1024)" in SPLITHEAP.read_text()
    assert Machine.sessions * 2 * network["LWIP_TCP_SND_BUF_DEFAULT"] <= NETWORK_BYTES
    assert (
        network["LWIP_TCP_SND_BUF_DEFAULT"] >= 2 * 1440 and network["LWIP_TCP_WND_DEFAULT"] >= 2440
    )  # ESP-IDF's least
    assert network["ESP_WIFI_DYNAMIC_RX_BUFFER_NUM"] >= network["ESP_WIFI_STATIC_RX_BUFFER_NUM"] >= 6  # the window's


@pytest.mark.parametrize("name", ESP32)
def test_every_esp32_board_has_the_settings_and_says_what_its_chip_asks_for(name):
    folder = boards.read_board(name).folder
    assert "${MICROPY_BOARD_DIR}/../sdkconfig.relay" in (folder / "mpconfigboard.cmake").read_text()
    text = (folder / "board.py").read_text()
    assert re.search(r"^(def prepare\(\)|prepare = )", text, re.MULTILINE)
    assert "\nsessions = chip_esp32.sessions\n" in text and "\nrandom = chip_esp32.drawn" in text


@pytest.mark.parametrize("name", ESP32)
def test_no_pin_is_asked_to_pull_that_cannot(name):
    """GPIO34 to 39 of an ESP32 have no resistors: whatever is at them is pulled up on the board."""
    board = boards.read_board(name)
    button = re.search(r"^BUTTON = Pin\((\d+), Pin.IN(, Pin.PULL_UP)?\)", (board.folder / "board.py").read_text(), re.M)
    assert button
    assert bool(button[2]) == (board.mcu != "esp32" or int(button[1]) < 34)
