"""What a Pico W has left when four members read a full relay at once: heap and C stack."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.bench import device
from tools.bench.full_relay import make_full_relay
from tools.bench.runtimes import CONNECTIONS
from tools.emulator.wifi import Radio

STACK_BYTES = 12_288  # boards/rp2.cmake
FREE_STACK_BYTES = 2_048  # for an interrupt in the deepest call
FREE_HEAP_BYTES = 16_384  # for what a request holds in one piece, wherever the heap has room


@pytest.mark.long
def test_four_members_at_once_leave_heap_and_stack_free(
    radio_image: Path, tmp_path: Path, board_network: None, measured: Callable[..., None]
) -> None:
    relay = make_full_relay(tmp_path, device.GENESIS)
    path = relay.directory / "relay.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wifi": Radio().name()}))
    found = device.service_figures(tmp_path, relay, radio_image, radio=Radio())
    heap, peak, stack = found["heap_bytes"], found["heap_peak_bytes"], found["stack_bytes"]
    measured(
        f"heap, peak with {CONNECTIONS} members at once, ring full; of {heap:,} bytes",
        f"{peak:,} bytes",
        f"≤ {heap - FREE_HEAP_BYTES:,}",
    )
    measured(f"C stack, deepest, of {STACK_BYTES:,}", f"{stack:,} bytes", f"≤ {STACK_BYTES - FREE_STACK_BYTES:,}")
    assert peak <= heap - FREE_HEAP_BYTES
    assert stack <= STACK_BYTES - FREE_STACK_BYTES
