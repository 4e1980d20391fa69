"""Writes the generated pages and pictures of docs/, or says which are not current.

python -m tools.docs                writes them
python -m tools.docs --check        writes nothing; exit status 1 if one differs from what would be written
python -m tools.docs --take FILE    takes build/bench.json, bench-device or bench-fleet into docs/measurements first
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tools.docs import ROOT, commands, exchange, measurements, pictures

PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": commands.page,
    "docs/it/exit-codes.md": commands.exit_codes_page,
    "docs/it/plan.md": commands.plan_page,
    "docs/protocol-exchange.md": exchange.page,
    "docs/measurements.md": measurements.page,
} | {f"docs/{name}.svg": draw for name, draw in pictures.PICTURES.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description="Generated pages and pictures of docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is not current")
    parser.add_argument("--take", type=Path, action="append", default=[], help="JSON that a benchmark wrote")
    options = parser.parse_args()
    for file in options.take:
        measurements.take(file)
    stale = 0
    for name, make in PAGES.items():
        path, content = ROOT / name, make()
        if path.exists() and path.read_text() == content:
            continue
        stale += 1
        print(f"{name} {'is not current: run python -m tools.docs' if options.check else 'written'}")
        if not options.check:
            path.write_text(content)
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
