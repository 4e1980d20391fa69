"""`make bench`, accounting's part: what a count of a member's day costs on first use, and what a table for a day costs.

Owns the measurement. First use means that nothing is kept from before: a fresh table, an empty cache. Of the times the
best counts, as other work of the computer only adds to it.
"""

import importlib
import time
from fractions import Fraction
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

from tessera_host.privacy import composition, noise, shaping
from tests.support import day_tables

LIMIT_MS = 50  # of a count, for up to 256 records a day
TRIES = 5
TABLE_SECONDS = 5  # of the search for a table, once a plan


def figures() -> dict[str, Any]:
    tables = day_tables.load()
    laplace = noise.table(Fraction("0.1"), Fraction("1e-6")).thresholds
    counted = {f"a table for {records} records a day": _counted(table) for records, table in tables.items()}
    counted["a table for one delivery (0.1, 1e-6)"] = _counted(laplace)
    start = time.process_time()
    shaping.day_table(21, day_tables.EPSILON, day_tables.DELTA)
    return {"counted": counted, "limit_ms": LIMIT_MS, "table_seconds": round(time.process_time() - start, 2)}


def _counted(thresholds: tuple[int, ...]) -> dict[str, Any]:
    """Records a day within the bounds, and milliseconds of the processor that the count took."""
    times = []
    for _ in range(TRIES):
        fresh: ModuleType = importlib.reload(composition)
        noise.exp_lower.cache_clear()
        start = time.process_time()
        found = fresh.deliveries_within(thresholds, day_tables.EPSILON, day_tables.DELTA)
        times.append(1000 * (time.process_time() - start))
    return {"records": found, "ms": round(min(times), 1)}


def show(found: dict[str, Any]) -> None:
    table = Table(title=f"A count of a member's day within (2, 2e-5), on first use: at most {LIMIT_MS} ms")
    for column in ("under", "records a day", "ms"):
        table.add_column(column)
    for under, each in found["counted"].items():
        table.add_row(under, str(each["records"]), f"{each['ms']:g}")
    Console().print(table)
    Console().print(f"A table for 21 records a day: {found['table_seconds']:g} s, at most {TABLE_SECONDS} s.")
    late = [under for under, each in found["counted"].items() if each["ms"] > LIMIT_MS]
    if late or found["table_seconds"] > TABLE_SECONDS:
        Console().print(f"above the limit: {', '.join(late) or 'the search for a table'}")


if __name__ == "__main__":
    show(figures())
