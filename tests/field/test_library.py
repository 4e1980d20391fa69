# The library's own test program and its exhaustive tests, on this machine, over the field in portable C: what the
# library knows of its group, its scalars and its protocols, asked of the field we gave it. Half a minute of processor
# time; tools/build/field_programs.py runs more of it, and the same under QEMU with other fields.

from pathlib import Path

import pytest

from tools.build.field_programs import MACHINES, SEED, compile_tests

HOST = MACHINES["host"]


@pytest.mark.parametrize("exhaustive", [False, True], ids=["tests", "exhaustive"])
def test_library_passes_its_own_tests_over_the_portable_field(exhaustive: bool, tmp_path: Path) -> None:
    program = tmp_path / "tests"
    compile_tests(HOST, program, exhaustive)
    done = HOST.run(program, "1", SEED, capture=True)
    assert done.returncode == 0, done.stdout
    assert f"random seed = {SEED}" in done.stdout
    assert done.stdout.endswith("no problems found\n")


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
