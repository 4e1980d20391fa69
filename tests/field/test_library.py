# The library's own test program and its exhaustive tests, on this machine, over the field in portable C: what the
# library knows of its group, its scalars and its protocols, asked of the field we gave it. Half a minute of processor
# time; tools/build/field_programs.py runs more of it, and the same under QEMU with other fields.
#
# A run is a function of the C sources, the compiler and the seed: one that passed is kept in the cache by their
# digest, and not made again until one of them changes.

import sys
from pathlib import Path

import pytest

from tools.build.field_programs import LIBRARY_TESTS, MACHINES, SEED, compile_tests, library_options

HOST = MACHINES["host"]
PASSED = Path(sys.prefix).parent / "passed"


@pytest.mark.parametrize("exhaustive", [False, True], ids=["tests", "exhaustive"])
def test_library_passes_its_own_tests_over_the_portable_field(exhaustive: bool, tmp_path: Path) -> None:
    passed = PASSED / HOST.content(LIBRARY_TESTS, *library_options(exhaustive))
    if passed.exists():
        return
    program = tmp_path / "tests"
    compile_tests(HOST, program, exhaustive)
    done = HOST.run(program, "1", SEED, capture=True)
    assert done.returncode == 0, done.stdout
    assert f"random seed = {SEED}" in done.stdout
    assert done.stdout.endswith("no problems found\n")
    passed.parent.mkdir(exist_ok=True)
    passed.touch()


BROKEN = """
#include "field_portable.h"
#define tessera_fe_neg(r, a) ((void)(a), (r)[0] = 1)
"""


def test_library_fails_its_own_tests_over_a_wrong_field(tmp_path: Path) -> None:
    broken = tmp_path / "broken.h"
    broken.write_text(BROKEN)
    program = tmp_path / "tests"
    compile_tests(HOST, program, exhaustive=True, options=["-include", str(broken), "-Wno-uninitialized"])
    done = HOST.run(program, "1", SEED, capture=True)
    assert done.returncode != 0
    assert "no problems found" not in done.stdout


def test_a_run_that_passed_counts_for_the_same_sources_only(tmp_path: Path) -> None:
    header = tmp_path / "included.h"
    options = [*library_options(exhaustive=True), "-include", str(header)]
    header.write_text("")
    before = HOST.content(LIBRARY_TESTS, *options)
    assert HOST.content(LIBRARY_TESTS, *options) == before
    header.write_text("/* another */")
    assert HOST.content(LIBRARY_TESTS, *options) != before
    assert HOST.content(LIBRARY_TESTS, *options, "-DMORE") != HOST.content(LIBRARY_TESTS, *options)
