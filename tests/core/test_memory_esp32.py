# heap: 184k frozen
# What an ESP32 reckons of its memory is kept: a relay with a full ring gives the largest cell to as many members at
# once as chip_esp32 says that the rest of this heap bears.

import gc

from check import heap_only
from device import chip_esp32
from test_memory import FullRelay


def _sessions():
    """As on a board, of three quarters of what is left: many objects are twice as large here."""
    gc.collect()
    return chip_esp32.borne(gc.mem_free() * 3 // 4, 4)


async def test_as_many_sessions_as_are_reckoned_are_served_from_what_is_left():
    heap_only()
    async with FullRelay("large", _sessions) as full:
        assert full.sessions == 2, "this heap does not bear fewer than a board has"
        await full.visitors("two")
        print("heap: at most %d bytes with two readers of the largest cell" % full.watch.peak_bytes)
