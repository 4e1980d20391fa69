"""`make bench-device`: what the image for the Raspberry Pi Pico costs in cycles, on the emulated board.

Usage: python -m tools.bench.device [--curve | --cells | --before FOLDER]

--curve: only the first table, in two minutes; --cells: only what readers cost, with a table for one delivery (µ = 109)
and with the constant batches of 24 places. Both write nothing. --before: beside every figure that of the image in this
folder (another commit's build/RPI_PICO), by the same scenes in the same run.

Owns the measurements, which are figures and not assertions. Cycles are counted for an ideal Cortex-M0+ (no XIP misses,
one core) with the flash chip's typical times, at 125 MHz; starts are also measured at 200 MHz. Prints two tables: curve
work, beside an image with libsecp256k1's own field and mbedTLS's AES and SHA-256, and the relay. Writes
build/bench-device.json. on_board.py runs on the board; this module starts it, watches from outside (boot, heap, the
line) and shows the results.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tessera import params, wire
from tessera.errors import Refused
from tools.bench import ROOT
from tools.bench.full_relay import (
    EPOCH_ROUNDS,
    ROUND_SECONDS,
    FullRelay,
    make_cells,
    make_full_relay,
    make_relay,
    next_set,
)
from tools.bench.runtimes import CONNECTIONS, Client, one_member
from tools.build.boards import read_board
from tools.emulator.board import Board, Counters
from tools.emulator.calls import SCRATCH, Call, call, curve_functions
from tools.emulator.execution import DONE, execute
from tools.emulator.relay_flash import write_relay
from tools.emulator.testvolume import CORE_TESTS

BOARD = "RPI_PICO"
IMAGE = ROOT / "build" / BOARD / "firmware.uf2"
LIBRARY_IMAGE = ROOT / "build" / f"{BOARD}-library-field" / "firmware.uf2"  # image.py --library-field
CYCLES_PER_MS = 125_000
STACK_TOP = 0x20042000
CYCLES_PER_MS_AT_200_MHZ = 200_000
GENESIS = 1_767_225_600  # 2026-01-01
SET_EPOCHS, SET_RELAYS = 90, 5
MEAN_COVER, PLACES, CELL_RECORDS, CELLS = 109, 24, 5, 20  # of --cells: records are those that are real
CONSTANT_BATCH: dict[str, Any] = {
    "cover": params.CONSTANT,
    "constant": PLACES,
    "thresholds": b"",
    "epsilon": 0,
    "delta": 0,
}
CONSTANT_BATCH |= {"epsilon": 0, "delta": 0, "members": PLACES, "tokens_per_epoch": 1}
PARTS = {"on_board": Path(__file__).with_name("on_board.py")} | {
    name: CORE_TESTS / f"{name}.py" for name in ("office", "check", "ramdevice", "flashvectors")
}
# As `device.service` runs it, with an eye on the heap. Ctrl-C ends it.
SERVE = """
import gc
from device import service
peak = [0]
def look():
    if gc.mem_alloc() > peak[0]:  # what nobody holds any more is not in use, so it is collected first
        gc.collect()
        peak[0] = max(peak[0], gc.mem_alloc())
service.main(look)
print("heap", peak[0], gc.mem_alloc() + gc.mem_free())
"""

Figures = dict[str, Any]


# -- flash


def write_board(flash: Path, directory: Path, programs: dict[str, Path | bytes]) -> None:
    """The flash of a board that holds the relay of a directory."""
    partitions = {name: (each.offset, each.length) for name, each in read_board(BOARD).partitions.items()}
    write_relay(flash, directory, partitions, programs)


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        yield Path(folder)


# -- on the board, in deterministic mode


def core_figures(folder: Path, relay: FullRelay, function: str = "main", image: Path = IMAGE) -> Figures:
    """What on_board.py says of a relay, by name; "cells" is the list of those it fetched."""
    config = {
        "now": relay.now,
        "round_seconds": ROUND_SECONDS,
        "rounds_left": EPOCH_ROUNDS - relay.open_round % EPOCH_ROUNDS - 1,
    }
    pushed = next_set(relay.genesis, relay.epoch, SET_EPOCHS, SET_RELAYS)
    programs = PARTS | {"bench.json": json.dumps(config).encode(), "next.set": pushed}
    # A board that finds relay.json serves, and its watchdog's and LED's work would be measured, too.
    with scratch() as copy:
        office = Path(shutil.copytree(relay.directory, copy / "office"))
        (office / "relay.json").rename(office / "office.json")
        write_board(folder / "flash.bin", office, programs)
    return run_on_board(image, folder / "flash.bin", function)


def curve_figures(folder: Path, image: Path) -> Figures:
    """Curve work of an image, by the same names, and the inverse; on a board without a relay."""
    (folder / "no relay").mkdir(exist_ok=True)
    write_board(folder / "curve.bin", folder / "no relay", PARTS)
    return run_on_board(image, folder / "curve.bin", "arithmetic") | inverse_cycles(image)


def inverse_cycles(image: Path) -> dict[str, list[int]]:
    """Of the library's modular inverse, which no function of Python's has; its numbers are 9 times 30 bits."""
    found = curve_functions(image)
    modulus = next(
        found[name]["address"] for name in ("tessera_fe_modulus", "secp256k1_const_modinfo_fe") if name in found
    )
    dice = random.Random(3)
    figures = {}
    for name in ("secp256k1_modinv32", "secp256k1_modinv32_var"):
        numbers = [struct.pack("<9I", *(dice.getrandbits(30) for _ in range(8)), 0) for _ in range(8)]
        calls = [Call(name, (SCRATCH, modulus), ((SCRATCH, number),)) for number in numbers]
        figures[name] = [answer.cycles for answer in call(image, calls)]
    return figures


def run_on_board(image: Path, flash: Path, function: str) -> Figures:
    program = flash.with_suffix(".py")
    program.write_text(
        f"import machine\nmachine.freq({1000 * CYCLES_PER_MS})\nimport on_board\non_board.{function}()\n"
    )
    execution = execute(image, flash, program)
    if execution.status != DONE:
        sys.exit(f"on_board.py failed on the board:\n{execution.output}{execution.errors}")
    figures: Figures = {"cells": []}
    for line in execution.output.splitlines():
        ((name, value),) = json.loads(line).items()
        if name == "cell":
            figures["cells"].append(value)
        else:
            figures[name] = value
    return figures


# -- the board as it is switched on


def boot_counters(image: Path, flash: Path) -> Counters:
    """From power to `serving`."""
    with Board(image, flash) as board:
        board.repl.until(b"\nserving", timeout=600)  # the last that it prints
        return board.counters()


def boots(folder: Path, relay: FullRelay, image: Path = IMAGE) -> dict[str, float]:
    """Cycles of a start at 125 MHz, and seconds at each clock."""
    flash = folder / "boot.bin"
    figures: dict[str, float] = {}
    for mhz in (CYCLES_PER_MS // 1000, CYCLES_PER_MS_AT_200_MHZ // 1000):
        with scratch() as copy:
            directory = Path(shutil.copytree(relay.directory, copy / "relay"))
            config = json.loads((directory / "relay.json").read_text())
            (directory / "relay.json").write_text(json.dumps(config | {"mhz": mhz}))
            write_board(flash, directory, {})
        if not (relay.directory / "ring.flash").exists():
            boot_counters(image, flash)  # the first start ever fills the ring, once in a relay's life
        counters = boot_counters(image, flash)
        figures.setdefault("cycles", counters.printed_cycles)
        figures[f"seconds_at_{mhz}"] = counters.printed_nanos / 1e9
    return figures


async def members(port: int) -> list[dict[str, float]]:
    return list(await asyncio.gather(*(one_member(port, 100 + number) for number in range(CONNECTIONS))))


async def opened(port: int) -> None:
    """Until the relay has looked at its clock and opened a round: a quarter of a second of its own."""
    while True:
        client = await Client(port).open()
        try:
            await client.call(wire.info())
            return
        except Refused as refusal:
            if refusal.name != "NOT_READY":
                raise
            await asyncio.sleep(0.25)
        finally:
            client.writer.close()


def service_figures(folder: Path, relay: FullRelay, image: Path = IMAGE, **network: Any) -> Figures:
    """A full relay with four members at once, over the emulated line or the network that is given (of a Board)."""
    flash = folder / "service.bin"
    write_board(flash, relay.directory, {})
    # The line is timed by this computer.
    with Board(image, flash, guest_port=wire.PORT, realtime=True, **network) as board:
        board.repl.enter()
        board.repl.start(SERVE)
        board.repl.until(b"\nserving", timeout=600)
        board.wait_for_link()
        board.repl.send(b"clock %d\n" % (1000 * relay.now))
        board.repl.until(b"=clock")
        asyncio.run(opened(board.address[1]))
        seen = asyncio.run(members(board.address[1]))
        board.repl.interrupt(b"heap ")
        peak, total = map(int, board.repl.until(b"\r\n").split())
        stack = STACK_TOP - board.counters().lowest_stack
    return {
        "heap_peak_bytes": peak,
        "heap_bytes": total,
        "stack_bytes": stack,
        "line_kb_per_s": CONNECTIONS * statistics.median(each["fetch_kb_per_s"] for each in seen),
    }


# -- the table


def milliseconds(cycles: float) -> str:
    return f"{cycles / CYCLES_PER_MS:.2f}"


def summary(core: Figures, boot: Figures, service: Figures, cells: Figures) -> list[tuple[str, float | None, str]]:
    """(what, cycles, value in words) of each line."""
    rows: list[tuple[str, float | None, str]] = []

    def time_of(label: str, cycles: float) -> None:
        rows.append((label, cycles, f"{cycles / CYCLES_PER_MS:,.2f} ms"))

    def median(label: str, *names: str) -> None:
        time_of(label, sum(statistics.median(core[name]) for name in names))

    def say(label: str, text: str) -> None:
        rows.append((label, None, text))

    for ring, figures in boot.items():
        seconds = f"{figures['seconds_at_125']:.2f} s; {figures['seconds_at_200']:.2f} s if it starts at 200 MHz"
        rows.append((f"power to serving, {ring} ring", figures["cycles"], seconds))
    median("ephemeral, made ahead in idle time", "ephemeral")
    median("stranger refused before curve work", "stranger")
    median("the same, with its share of drawing random bytes", "stranger", "stranger_share_of_draw")
    median("the same, with server and asyncio, without TCP", "stranger_through_server")
    median("asyncio's part of that", "stranger_for_asyncio")
    median("each of 100 strangers, collector and draws included", "stranger_of_many")
    median("the same, with server and asyncio, without TCP", "stranger_of_many_through_server")
    median("asyncio's part of that", "stranger_of_many_for_asyncio")
    median("full handshake", "handshake")
    median("full handshake and AUTH", "handshake", "auth")
    median("resumed handshake", "resumed_handshake")
    median("POST to ACK, without the fixed delay", "post")
    time_of("the same, longest (a lease is written)", max(core["post"]))
    fetch_rows(core, time_of, say)
    firsts = [cell["first_frame"] for cell in cells["cells"]]
    time_of(f"first frame of a constant batch of {PLACES}", statistics.median(firsts))
    time_of("the same, longest", max(firsts))
    collections = [cell["collection"] for cell in cells["cells"]]
    time_of("the collector, which the server runs before it, longest", max(collections))
    median("seal of a round", "seal")
    median("seal of an epoch, keys erased", "seal_of_epoch")
    time_of(f"a set of {SET_EPOCHS} epochs and {SET_RELAYS} relays, taken", sum(core["set"]))
    say("heap of a board", f"{service['heap_bytes']:,} bytes")
    say("heap in use, nobody there", f"{core['heap_of_relay']:,} bytes")
    say(f"heap in use, peak with {CONNECTIONS} connections", f"{service['heap_peak_bytes']:,} bytes")
    say("heap free at that peak", f"{service['heap_bytes'] - service['heap_peak_bytes']:,} bytes")
    say("heap that 100 strangers leave in use", f"{core['left_by_strangers']:,} bytes")
    say("flash operations of 100 strangers", f"{core['flash_operations_of_strangers']:,}")
    say("C stack, deepest", f"{core['stack']:,} bytes")
    say(f"the emulated line, {CONNECTIONS} members fetching", f"{service['line_kb_per_s']:.0f} kB/s")
    return rows


def fetch_rows(core: Figures, time_of: Any, say: Any) -> None:
    """A cell of the oldest epoch: what its records cost, and how much of that is AES."""
    cell = core["cells"][-1]
    frames = [cell["first_frame"], *cell["frames"]]
    total, records = sum(frames), cell["records"]
    aes = {name: min(core[f"aes_{name}"]) for name in ("page", "head", "dummy", "heads", "frame")}
    candidates = core["candidates"]
    heads = records * aes["head"] + candidates / 64 * aes["heads"]
    ciphers = records * (aes["page"] + aes["dummy"]) + len(frames) * aes["frame"] + heads
    rate = records * wire.RECORD_BYTES / (total / CYCLES_PER_MS)
    say("FETCH, relay work", f"{rate:.0f} kB/s")
    say("a cell of it", f"{records} records, {cell['real']} of them real")
    time_of("first frame of a cell (its order)", cell["first_frame"])
    time_of("each frame after it", statistics.median(cell["frames"]))
    say("share of AES", f"{100 * ciphers / total:.0f} %")
    time_of("page decrypted", aes["page"])
    time_of("Python and hashes, a record", (total - ciphers) / records)


def curve_rows(ours: Figures, library: Figures) -> list[tuple[str, float, float]]:
    """(what, cycles with the libraries' field, AES and SHA-256, cycles with ours): medians."""

    def both(*names: str) -> tuple[float, float]:
        library_cycles, our_cycles = (sum(statistics.median(of[name]) for name in names) for of in (library, ours))
        return library_cycles, our_cycles

    before = both("dh", "dh", "verification", "verification")[0]
    after = both("point_parsed", "dh_parsed", "dh_parsed", "token", "verification")[1]
    return [
        ("BIP-340 verification, its key parsed", *both("verification")),
        ("token under the epoch's prepared key", *both("token")),
        ("the epoch's key prepared, once an epoch", *both("key_prepared")),
        ("DH, its point parsed", *both("dh")),
        ("DH with a point parsed before", *both("dh_parsed")),
        ("a point parsed (square root)", *both("point_parsed")),
        ("generator multiplication", *both("public_key")),
        ("signing", *both("sign")),
        ("inverse in the field, constant time", *both("secp256k1_modinv32")),
        ("inverse in the field, of public numbers", *both("secp256k1_modinv32_var")),
        ("AES-256-CBC: a page of 256 bytes decrypted", *both("aes_page")),
        ("AES-256-CBC: a dummy of 240 bytes made", *both("aes_dummy")),
        ("AES-128-CBC: a frame of 1,024 bytes encrypted", *both("aes_frame")),
        ("HMAC-SHA-256 of a frame", *both("hmac_frame")),
        ("handshake and AUTH: 2 DH, 2 verifications; now a point, 2 DH, token, proof", before, after),
    ]


def cost_rows(ours: Figures) -> list[tuple[str, str, str]]:
    """(what, with the library's field, with ours): flash and RAM, from image.json."""
    library, our = (json.loads((image.parent / "image.json").read_text()) for image in (LIBRARY_IMAGE, IMAGE))
    curve, ciphers = "libsecp256k1 and its module", "AES and SHA-256"

    def both(label: str, of: Any) -> tuple[str, str, str]:
        return label, f"{of(library):,} bytes", f"{of(our):,} bytes"

    table = f"{ours['heap_of_prepared_key']:,} bytes"
    return [
        both(f"flash: {curve}, code in RAM included", lambda image: image["parts"][curve]),
        both(f"flash: {ciphers}, code and tables in RAM included", lambda image: image["parts"][ciphers]),
        both("flash: whole image", lambda image: image["image"]["firmware.bin"]["bytes"]),
        both("RAM that is left for the heap", lambda image: image["heap_bytes"]),
        ("heap: the epoch's prepared key", table, table),
    ]


def show_curve(rows: list[tuple[str, float, float]], costs: list[tuple[str, str, str]]) -> None:
    heads = ("", "the libraries', cycles", "ours, cycles", "at 125 MHz", "at 200 MHz, computed")
    table = Table(*heads, title=f"Curve and ciphers on the emulated board, {BOARD}")
    for label, library, ours in rows:
        at_125, at_200 = (f"{ours / each:,.2f} ms" for each in (CYCLES_PER_MS, CYCLES_PER_MS_AT_200_MHZ))
        table.add_row(label, f"{round(library):,}", f"{round(ours):,}", at_125, at_200)
    for cost in costs:
        table.add_row(*cost)
    Console(width=150).print(table)


def show(columns: dict[str, list[tuple[str, float | None, str]]]) -> None:
    """Rows of summary() by the name of the image."""
    heads = [head for name in columns for head in (f"{name}cycles", f"{name}at 125 MHz")]
    table = Table("", *heads, title=f"The image of {BOARD} on the emulated board")
    for rows in zip(*columns.values(), strict=True):
        cells = [cell for _, cycles, text in rows for cell in ("" if cycles is None else f"{round(cycles):,}", text)]
        table.add_row(rows[0][0], *cells)
    Console(width=100 + 50 * len(columns)).print(table)


def only_curve() -> None:
    with scratch() as folder:
        ours, library = (curve_figures(folder, image) for image in (IMAGE, LIBRARY_IMAGE))
    show_curve(curve_rows(ours, library), cost_rows(ours))


def only_cells() -> None:
    """Cells of today's mean size, and constant ones. The former have a table by which each has 109 dummies."""
    always, never = bytes(8), b"\xff" * 8
    tabled = {"thresholds": always * (MEAN_COVER - CELL_RECORDS) + never * (MEAN_COVER + CELL_RECORDS)}
    table = Table("cells", "records", "first frame", "all frames", "at 125 MHz", title=f"Readers of {BOARD}, emulated")
    cycles = []
    for label, changes in (("a table for one delivery", tabled), ("a constant batch", CONSTANT_BATCH)):
        with scratch() as folder:
            (folder / "made").mkdir()
            relay = make_cells(folder / "made", GENESIS, [CELL_RECORDS] * CELLS, **changes)
            found = core_figures(folder, relay, "cells")["cells"]
        firsts = statistics.median(cell["first_frame"] for cell in found)
        wholes = statistics.median(cell["first_frame"] + sum(cell["frames"]) for cell in found)
        records = {cell["records"] for cell in found}
        cycles.append(wholes)
        table.add_row(label, str(*records), f"{firsts:,.0f}", f"{wholes:,.0f}", f"{wholes / CYCLES_PER_MS:.1f} ms")
    Console(width=110).print(table, f"a constant batch is served {cycles[0] / cycles[1]:.1f} times faster")


def relay_figures(folder: Path, relays: dict[str, FullRelay], image: Path) -> Figures:
    """What summary() wants of an image, by its arguments' names."""
    full = {"full": relays["full"], "empty": relays["empty"]}
    return {
        "core": core_figures(folder, relays["full"], image=image) | inverse_cycles(image),
        "boot": {ring: boots(folder, relay, image) for ring, relay in full.items()},
        "service": service_figures(folder, relays["full"], image),
        "cells": core_figures(folder, relays["cells"], "cells", image),
    }


def whole(before: Path | None) -> None:
    images = {"before: ": before / IMAGE.name, "after: ": IMAGE} if before else {"": IMAGE}
    with scratch() as folder:
        for name in ("full", "empty", "cells"):
            (folder / name).mkdir()
        relays = {
            "full": make_full_relay(folder / "full", GENESIS),
            "empty": make_relay(folder / "empty", GENESIS),
            "cells": make_cells(folder / "cells", GENESIS, [CELL_RECORDS] * CELLS, **CONSTANT_BATCH),
        }
        library = curve_figures(folder, LIBRARY_IMAGE)
        raw = {name: relay_figures(folder, relays, image) for name, image in images.items()}
    ours = raw[[*images][-1]]
    curve, costs = curve_rows(ours["core"], library), cost_rows(ours["core"])
    show_curve(curve, costs)
    columns = {name: summary(**figures) for name, figures in raw.items()}
    show(columns)
    output = ROOT / "build" / "bench-device.json"
    output.parent.mkdir(exist_ok=True)
    compared = {label: {"library_cycles": before, "cycles": after} for label, before, after in curve}
    compared |= {label: {"library": before, "ours": after} for label, before, after in costs}
    found: Figures = {"curve": compared, "raw": {"library": library}}
    for name, image in images.items():
        described = json.loads((image.parent / "image.json").read_text())
        measured = {label: {"cycles": cycles, "value": text} for label, cycles, text in columns[name]}
        of_image = {"image": described["image"], "heap_bytes": described["heap_bytes"], "figures": measured}
        found |= {"before": of_image} if name.startswith("before") else of_image
        found["raw"][name.removesuffix(": ") or "after"] = raw[name]
    output.write_text(json.dumps(found, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the image on the emulated board.")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--curve", action="store_true", help="only the curve's work")
    only.add_argument("--cells", action="store_true", help="only what readers cost, by kind of cover")
    only.add_argument("--before", type=Path, metavar="FOLDER", help="the folder of an image to compare with")
    options = parser.parse_args()
    if options.curve:
        only_curve()
    elif options.cells:
        only_cells()
    else:
        whole(options.before)


if __name__ == "__main__":
    main()
