"""Tables for a day within (2, 2e-5), as `shaping.day_table` makes them: `python -m tests.support.day_tables` looks for
them anew, which takes seconds each, and writes the file.

They are the same on every machine: the suite compares one daily, all of them in its long part.
"""

import json
import sys
from fractions import Fraction
from pathlib import Path

from tessera_host.privacy import shaping

EPSILON, DELTA = Fraction(2), Fraction("2e-5")
FILE = Path(__file__).with_name("day_tables.json")


def load() -> dict[int, tuple[int, ...]]:
    """Thresholds by deliveries a day."""
    return {int(name): tuple(int(each, 16) for each in table) for name, table in json.loads(FILE.read_text()).items()}


def write(*deliveries: int) -> None:
    made = {count: shaping.day_table(count, EPSILON, DELTA).thresholds for count in deliveries}
    text = {str(count): [f"{threshold:016x}" for threshold in table] for count, table in made.items()}
    FILE.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    write(*(int(each) for each in sys.argv[1:] or ["8", "16", "21", "32", "64", "128", "200"]))
