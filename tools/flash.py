#!/usr/bin/env python3
"""Turn a board on a USB cable into a relay in service: `tools/flash.py --relay berlin`. The same as `tessera flash`.

Works from a fresh clone after `make setup`: it runs itself with the virtual environment's Python. Everything it does is
in host/tessera_host/provisioning.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_SET_UP = 2


def environment_python() -> Path:
    """The Python that `make setup` made for this tree."""
    told = subprocess.run(
        [ROOT / "tools" / "build" / "setup.sh", "--where"], capture_output=True, text=True, check=True
    )
    return Path(told.stdout.strip(), "venv", "bin", "python")


def main() -> int:
    python = environment_python()
    if not python.exists():
        print(f"error: this copy of the project is not set up\nhint: make -C {ROOT} setup", file=sys.stderr)
        return NOT_SET_UP
    if Path(sys.prefix) != python.parent.parent:
        os.execv(python, [python, __file__, *sys.argv[1:]])
    from tessera_host.cli import run

    return run(["flash", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
