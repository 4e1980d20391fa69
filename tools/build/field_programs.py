"""Compiles and runs programs around libsecp256k1 and this project's field for it, on the host and in QEMU.

Usage: python -m tools.build.field_programs MACHINE [--exhaustive] [--count N] [--field FIELD]
       python -m tools.build.field_programs MACHINE --cases N

Runs the library's own test program, or its exhaustive tests of a curve of order 13, and passes on exit status and
output. --cases runs every primitive of the portable field over N cases instead; the digest of the results must be the
same as on the host. MACHINE is `host` or a machine that QEMU emulates. Those need the packages qemu-system-arm; or
qemu-system-misc, gcc-riscv64-unknown-elf and picolibc-riscv64-unknown-elf; or qemu-user, gcc-xtensa-lx106 and
picolibc-xtensa-lx106-elf. setup.sh installs them for `make bench-fields` only, as `make test` does not need them.
field_counts.py counts the instructions of operations.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.build import boards

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "firmware" / "modules" / "secp256k1"
PROGRAMS = Path(__file__).with_name("bare")
LIBRARY_TESTS = PROGRAMS / "library_tests.c"
SEED = "00" * 16  # of the library's tests: the same run every time

# Which field the library computes with, as library.c knows it.
FIELDS = {"library": (), "portable": ("-DTESSERA_FIELD_PORTABLE",), "m0": ("-DTESSERA_FIELD_M0",)}

# What an image has of the library (library.c).
OPTIONS = ("-DENABLE_MODULE_ECDH=1", "-DENABLE_MODULE_EXTRAKEYS=1", "-DENABLE_MODULE_SCHNORRSIG=1")
OPTIONS += ("-DECMULT_WINDOW_SIZE=6", "-DCOMB_BLOCKS=2", "-DCOMB_TEETH=5")


@dataclass
class Machine:
    """A processor with what compiles for it and what runs its programs (nothing: the host does). hosted: as those of an
    operating system, without a machine around them."""

    compiler: tuple[str, ...]
    field: str = "portable"
    linking: tuple[str | Path, ...] = ()
    emulator: tuple[str, ...] = ()
    clock_ns: int = 1
    hosted: bool = False

    def compile(self, source: Path, program: Path, *options: str | Path, field: str | None = None) -> None:
        """One source file, which includes all others, to a program that runs on this machine."""
        field = field or self.field
        # One file has functions of the library that it does not use.
        quiet = ("-Wall", "-Wno-unused-function", "-Wno-unknown-pragmas")
        sources: list[str | Path] = [source]
        if field == "m0":
            sources.append(program.with_suffix(".s"))
            subprocess.run([sys.executable, MODULE / "field_m0.py", sources[-1]], check=True)
        need(self.compiler[0])
        command = [*self._compilation(field), *quiet, *options, *sources, *self.linking]
        subprocess.run([*command, "-o", program], check=True)

    def _compilation(self, field: str) -> list[str]:
        folders = (f"-I{MODULE}", f"-I{library()}", f"-I{library()}/src")
        return [*self.compiler, "-O2", "-fomit-frame-pointer", "-DUSE_FORCE_WIDEMUL_INT64", *FIELDS[field], *folders]

    def content(self, source: Path, *options: str) -> str:
        """SHA-256 over all that a program of this source is made of on this machine: every file that it includes, the
        compiler's version, the command. Not for the field `m0`, which has a source of its own."""
        need(self.compiler[0])
        command = [*self._compilation(self.field), *options]
        version = subprocess.run([self.compiler[0], "--version"], capture_output=True, text=True, check=True).stdout
        listed = subprocess.run([*command, "-M", source], capture_output=True, text=True, check=True).stdout
        content = hashlib.sha256(version.encode())
        for word in command:
            content.update(b"\0" + word.encode())
        for name in listed.replace("\\\n", " ").split()[1:]:
            content.update(hashlib.sha256(Path(name).read_bytes()).digest())
        return content.hexdigest()

    def run(
        self, program: Path, *arguments: str, options: Sequence[str] = (), capture: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end; its arguments have no spaces and no commas, the options are the emulator's."""
        command: list[str | Path] = [program, *arguments]
        if self.hosted:
            need(self.emulator[0])
            command = [*self.emulator, *options, *command]
        elif self.emulator:
            need(self.emulator[0])
            words = ",".join(f"arg={word}" for word in arguments or ("",))
            command = [*self.emulator, *options, "-nographic", "-monitor", "none", "-serial", "none"]
            command += ["-semihosting-config", f"enable=on,target=native,{words}", "-kernel", program]
        # QEMU has one console for what a program writes, and chooses by the processor which of its own it is.
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if capture else {}
        return subprocess.run(command, text=True, **output)


def library() -> Path:
    """The source tree of libsecp256k1 that images are built with."""
    return boards.programs()[0].parent / "secp256k1"


def need(program: str) -> None:
    if not shutil.which(program):
        sys.exit(f"no {program}: see the packages in {Path(__file__).name}")


def cortex_m(
    processor: str, machine: str, code: int, data: int, size: int, clock_ns: int, field: str = "portable"
) -> Machine:
    symbols = {"CODE": code, "DATA": data, "stack_top": data + size}
    linking = ["-nostartfiles", "--specs=rdimon.specs", PROGRAMS / "cortex_m.c", "-T", PROGRAMS / "cortex_m.ld"]
    linking += [f"-Wl,--defsym={name}={address:#x}" for name, address in symbols.items()]
    return Machine(
        ("arm-none-eabi-gcc", f"-mcpu={processor}", "-mthumb"),
        linking=tuple(linking),
        field=field,
        emulator=("qemu-system-arm", "-machine", machine),
        clock_ns=clock_ns,
    )


def riscv(architecture: str) -> Machine:
    memory = {"__flash": 0x80000000, "__flash_size": 4 << 20, "__ram": 0x80400000, "__ram_size": 16 << 20}
    linking = ["--oslib=semihost", "--crt0=semihost"]
    linking += [f"-Wl,--defsym={name}={value:#x}" for name, value in memory.items()]
    return Machine(
        ("riscv64-unknown-elf-gcc", f"-march={architecture}", "-mabi=ilp32", "--specs=picolibc.specs"),
        linking=tuple(linking),
        emulator=("qemu-system-riscv32", "-machine", "virt", "-bios", "none"),
    )


def xtensa_lx106() -> Machine:
    """The only Xtensa that Debian compiles for: without the multiplication that an ESP32 has (bare/xtensa.c)."""
    return Machine(
        ("xtensa-lx106-elf-gcc", "--specs=/usr/lib/xtensa-lx106-elf/picolibc.specs"),
        linking=("-nostartfiles", PROGRAMS / "xtensa.c", "-T", PROGRAMS / "xtensa.ld"),
        emulator=("qemu-xtensa", "-cpu", "lx106"),
        hosted=True,
    )


# QEMU has no board with a Cortex-M0+ and memory for the tests: its Cortex-M3 runs the same Thumb-1 instructions.
MACHINES = {
    "host": Machine(("gcc",)),
    "cortex-m0plus": cortex_m("cortex-m0plus", "mps2-an385", 0, 0x21000000, 16 << 20, clock_ns=40, field="m0"),
    "cortex-m33": cortex_m("cortex-m33", "mps2-an505", 0x10000000, 0x80000000, 16 << 20, clock_ns=50),
    "rv32imc": riscv("rv32imc"),
    "xtensa-lx106": xtensa_lx106(),
}


def compile_tests(
    machine: Machine, program: Path, exhaustive: bool, field: str | None = None, options: Sequence[str] = ()
) -> None:
    """The library's test program for a machine, with its internal checks and whatever else the options say."""
    machine.compile(LIBRARY_TESTS, program, *library_options(exhaustive), *options, field=field)


def library_options(exhaustive: bool) -> list[str]:
    """What makes LIBRARY_TESTS the library's test program, or its exhaustive tests."""
    tests = "src/tests_exhaustive.c" if exhaustive else "src/tests.c"
    configuration = ["-DEXHAUSTIVE_TEST_ORDER=13"] if exhaustive else OPTIONS
    return [f'-DTESTS="{tests}"', "-DVERIFY", *configuration]


def digest_of_cases(machine: Machine, cases: int, scratch: Path) -> str:
    """What the primitives of the portable field give for so many cases, as a line with a digest."""
    program = scratch / "cases"
    machine.compile(PROGRAMS / "field_cases.c", program, field="portable")
    return machine.run(program, str(cases), capture=True).stdout


def compare_with_host(machine: Machine, cases: int, scratch: Path) -> int:
    expected, found = (digest_of_cases(each, cases, scratch) for each in (MACHINES["host"], machine))
    print(found, end="")
    if found == expected:
        return 0
    print(f"but on the host: {expected}", end="")
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("machine", choices=MACHINES)
    parser.add_argument("--exhaustive", action="store_true", help="the exhaustive tests of a curve of order 13")
    parser.add_argument("--count", type=int, default=1, help="how often what is random is tried (the library's is 64)")
    parser.add_argument("--field", choices=[name for name in FIELDS if name != "library"])
    parser.add_argument("--cases", type=int, help="how many cases of every primitive, instead of the library's tests")
    arguments = parser.parse_args()
    machine = MACHINES[arguments.machine]
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.cases:
            return compare_with_host(machine, arguments.cases, Path(scratch))
        program = Path(scratch, "tests")
        compile_tests(machine, program, arguments.exhaustive, arguments.field)
        return machine.run(program, str(arguments.count), SEED).returncode


if __name__ == "__main__":
    sys.exit(main())
