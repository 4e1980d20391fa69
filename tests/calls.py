"""Calls in tests and tools, so that a signature that changed is not found after an hour of what only long suites and
benchmarks run: python -m tests.calls

Owns which of mypy's errors count there: wrong arguments. These programs are not typed strictly.
"""

import sys

from mypy import api

FOLDERS = "tests", "tools"
COUNT = "[call-arg]"


def main() -> int:
    said, errors, _ = api.run(["--no-error-summary", "--cache-dir", ".mypy_cache/calls", *FOLDERS])
    found = [line for line in said.splitlines() if line.endswith(COUNT)]
    print("\n".join(found), errors, sep="\n", end="")
    return 1 if found or errors else 0


if __name__ == "__main__":
    sys.exit(main())
