"""What the curve costs with the library's own field and with this project's, on processors that QEMU emulates.

Usage: python -m tools.bench.field_counts [MACHINE...]    (all that QEMU emulates without arguments: make bench-fields)

Prints instructions, not cycles: QEMU executes the same instructions as a processor but does not model its pipeline,
caches and flash. Every field is compiled by the same compiler with the same options (-O2). `code` counts the bytes of
code and constants of the whole program, of which only the field differs. Needs the packages that field_programs.py
needs.

Xtensa: Debian compiles for the LX106 only, which has no instruction for the upper half of a product; its counts are an
upper bound of an ESP32's and an ESP32-S3's (LX6, LX7). In the lines `MULUH reckoned` each product is two instructions,
as it is there, in place of those of the function that the LX106 calls.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.build.field_programs import MACHINES, MODULE, PROGRAMS, Machine

OPERATIONS = ("mul", "sqr", "add", "inverse", "public", "sign", "verify", "dh", "code")
EMULATED = [name for name, machine in MACHINES.items() if machine.emulator]


@dataclass(frozen=True)
class Mark:
    """What count_instructions.c says: instructions until then, those of them in products, and how many products."""

    instructions: int
    in_products: int
    products: int

    def since(self, start: "Mark", wide: bool) -> int:
        """Instructions from start to here; wide: with two for a product."""
        saved = self.in_products - start.in_products - 2 * (self.products - start.products)
        return self.instructions - start.instructions - (saved if wide else 0)


def counts(machine: Machine, field: str, wide: bool = False) -> dict[str, int]:
    """Instructions by operation, and the size of the code in bytes. wide: with products reckoned as an LX6's."""
    with tempfile.TemporaryDirectory() as scratch:
        program, table, plugin = Path(scratch, "counts"), Path(scratch, "generator_table.h"), Path(scratch, "plugin.so")
        with table.open("w") as file:  # as the builds of the module do
            subprocess.run([sys.executable, MODULE / "generator_table.py"], stdout=file, check=True)
        machine.compile(
            PROGRAMS / "field_counts.c", program, f"-DCLOCK_NS={machine.clock_ns}", f"-I{scratch}", field=field
        )
        options = ("-icount", "shift=0")
        if machine.hosted:
            command = ["gcc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", PROGRAMS / "count_instructions.c"]
            subprocess.run([*command, "-o", plugin], check=True)
            options = ("-plugin", str(plugin))
        done = machine.run(program, options=options, capture=True)
        size = subprocess.run(["size", program], capture_output=True, text=True, check=True).stdout
    if done.returncode:
        sys.exit(f"field_counts: {field}: {done.stdout}")
    return read_counts(done.stdout, wide) | {"code": int(size.splitlines()[1].split()[0])}


def read_counts(output: str, wide: bool) -> dict[str, int]:
    """{operation: instructions} of what field_counts.c, and count_instructions.c, wrote."""
    marks: list[Mark] = []
    found = {}
    for line in output.splitlines():
        name, *numbers = line.split()
        if name == "mark":
            marks.append(Mark(*map(int, numbers)))
        else:
            total, times = map(int, numbers)
            found[name] = (marks[-1].since(marks[-2], wide) if marks else total) // times
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("machines", nargs="*", choices=[*EMULATED, []], metavar="MACHINE", help=", ".join(EMULATED))
    table = Table("", *OPERATIONS, title="Instructions (QEMU), code in bytes")
    for name in parser.parse_args().machines or EMULATED:
        machine = MACHINES[name]
        for field in dict.fromkeys(("library", "portable", machine.field)):
            for wide in (False, True) if machine.hosted else (False,):
                found = counts(machine, field, wide)
                label = f"{name}, {field}" + (", MULUH reckoned" if wide else "")
                table.add_row(label, *(f"{found[operation]:,}" for operation in OPERATIONS))
    Console(width=140).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
