"""The page of measurements, from docs/measurements/*.json, and how figures of a benchmark get there.

Owns the page and the form of these files: title, command, commit, date, machine, about (paragraphs), tables (each with
head, rows, perhaps a note), in the order of `place`. Measuring is the business of tools/bench.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.docs import DOCS, GENERATED, ROOT

FOLDER = DOCS / "measurements"
CYCLES_A_MS = {125: 125_000, 200: 200_000}
Table = dict[str, Any]


def page() -> str:
    found = sorted((json.loads(file.read_text()) for file in FOLDER.glob("*.json")), key=lambda each: each["place"])
    lines = [
        GENERATED,
        "# Measurements\n",
        "Figures, each with the command that made it, the commit, the day and the machine. Nothing here was measured\n"
        "on a real board: boards are emulated, and their times are cycles of the emulated processor\n"
        "([what was run](verification.md)). What the long suites found (power cuts, hostile input, attacks, a month\n"
        "in fast motion) stands in [the results](../tests/RESULTS.md).\n",
    ]
    for each in found:
        lines.append(f"## {each['title']}\n")
        lines.append(f"`{each['command']}` at {each['commit']}, {each['date']}; {each['machine']}.\n")
        lines += [f"{text}\n" for text in each["about"]]
        for table in each["tables"]:
            lines.append(f"| {' | '.join(table['head'])} |")
            lines.append("|" + "---|" * len(table["head"]))
            lines += [f"| {' | '.join(row)} |" for row in table["rows"]]
            lines.append("")
            if table.get("note"):
                lines.append(f"{table['note']}\n")
    return "\n".join(lines)


def take(file: Path) -> None:
    """Puts the figures of a benchmark's JSON into the file of docs/measurements that has them. Ends the program if
    the tree has changes that no commit stands for."""
    commit = _commit()
    if commit.endswith("-dirty"):
        sys.exit(f"{file}: the tree has uncommitted changes. Commit, measure again, then take the figures.")
    found = json.loads(file.read_text())
    kinds = {
        "figures": ("device", device_tables),
        "bare_single": ("fleet", fleet_tables),
        "core": ("core", core_tables),
    }
    name, tables = next((name, made(found)) for key, (name, made) in kinds.items() if key in found)
    path = FOLDER / f"{name}.json"
    kept = json.loads(path.read_text())
    kept |= {"commit": commit, "date": str(datetime.date.today()), "machine": _machine(), "tables": tables}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def device_tables(found: dict[str, Any]) -> list[Table]:
    """Of build/bench-device.json."""
    curve = []
    for label, row in found["curve"].items():
        if "cycles" in row:
            times = [f"{row['cycles'] / a_ms:,.2f} ms" for a_ms in CYCLES_A_MS.values()]
            curve.append([label, f"{row['library_cycles']:,.0f}", f"{row['cycles']:,.0f}", *times])
        else:
            curve.append([label, row["library"], row["ours"], "", ""])
    whole = [
        [label, "" if row["cycles"] is None else f"{row['cycles']:,.0f}", row["value"]]
        for label, row in found["figures"].items()
    ]
    head = ["the curve, cycles", "libsecp256k1's field", "ours", "at 125 MHz", "at 200 MHz, computed"]
    return [{"head": head, "rows": curve}, {"head": ["the relay", "cycles", "at 125 MHz"], "rows": whole}]


def fleet_tables(found: dict[str, Any]) -> list[Table]:
    """Of build/bench-fleet.json."""
    from tools.bench.fleet import rows

    return [{"head": ["", "measured", "held against"], "rows": [list(row) for row in rows(found)]}]


def core_tables(found: dict[str, Any]) -> list[Table]:
    """Of build/bench.json: the core on both runtimes, and a relay over TCP."""
    from tools.bench.runtimes import LABELS

    runtimes, relay = found["core"], found["relay"]
    rows = [[label, *(_shown(each.get(name)) for each in runtimes)] for name, label in LABELS.items()]
    over_tcp = [
        ["peak heap in use, of 196,608 bytes", f"{relay['heap_peak_bytes']:,} bytes"],
        ["POST to ACK, a fixed delay of 20 ms in it", f"{relay['post_ms']:.1f} ms"],
        ["FETCH of 16 rounds, each connection (the tick allows 240 kB/s)", f"{relay['fetch_kb_per_s']:.0f} kB/s"],
    ]
    core = ["the core, without sockets and delays", *(each["runtime"] for each in runtimes)]
    served = ["a relay over TCP: ring of 832 KiB full, 4 connections at once", relay["runtime"]]
    return [{"head": core, "rows": rows}, {"head": served, "rows": over_tcp}]


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value or "")


def _commit() -> str:
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def _machine() -> str:
    """In a few words: processors, their model, memory, system."""
    model, memory = "", 0
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} processors ({model or platform.machine()}), {memory} GiB, {platform.system()}"
