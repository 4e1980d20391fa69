"""What the curve costs with the library's own field and with this project's, on processors that QEMU emulates.

Usage: python -m tools.bench.field_counts [MACHINE...]    (all that QEMU emulates without arguments)

Prints instructions, not cycles: QEMU executes what a processor would but knows nothing of its pipeline, caches and
flash. The same compiler and options (-O2) for every field. `code` are the bytes of the whole program's code and
constants: what differs is the field's. Needs what field_programs.py needs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.build.field_programs import MACHINES, MODULE, PROGRAMS, Machine

OPERATIONS = ("mul", "sqr", "add", "inverse", "public", "sign", "verify", "dh", "code")
EMULATED = [name for name, machine in MACHINES.items() if machine.emulator]


def counts(machine: Machine, field: str) -> dict[str, int]:
    """Instructions by operation, and the size of the code in bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        program, table = Path(scratch, "counts"), Path(scratch, "generator_table.h")
        with table.open("w") as file:  # as the builds of the module do
            subprocess.run([sys.executable, MODULE / "generator_table.py"], stdout=file, check=True)
        machine.compile(
            PROGRAMS / "field_counts.c", program, f"-DCLOCK_NS={machine.clock_ns}", f"-I{scratch}", field=field
        )
        done = machine.run(program, options=("-icount", "shift=0"), capture=True)
        size = subprocess.run(["size", program], capture_output=True, text=True, check=True).stdout
    if done.returncode:
        sys.exit(f"field_counts: {field}: {done.stdout}")
    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    return {name: int(number) for name, number in found.items()} | {"code": int(size.splitlines()[1].split()[0])}


def main() -> int:
    table = Table("", *OPERATIONS, title="Instructions (QEMU), code in bytes")
    for name in sys.argv[1:] or EMULATED:
        machine = MACHINES[name]
        for field in dict.fromkeys(("library", "portable", machine.field)):
            found = counts(machine, field)
            table.add_row(f"{name}, {field}", *(f"{found[operation]:,}" for operation in OPERATIONS))
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
