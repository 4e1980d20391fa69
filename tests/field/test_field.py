# The primitives of firmware/modules/secp256k1/field_portable.h against Python's integers, and that no branch of theirs
# depends on a number. What the library makes of them: test_library.py.

import ctypes
import random
import re
import subprocess
from itertools import product
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MODULE = HERE.parent.parent / "firmware" / "modules" / "secp256k1"
SOURCE = HERE / "field.c"

R = 2**256
C = 2**32 + 977  # R (mod P)
P = R - C
CASES = 20_000

# Around every bound that a fold has, and what carries and borrows run through.
EDGES = [
    *(near + far for near in (0, C, 2 * C, 3 * C) for far in (0, 1)),
    *(R - near - far for near in (0, C, 2 * C, 3 * C) for far in (1, 2)),
    *(
        2**64 - 1,
        2**64,
        R - 2**64,
        2**128 - 1,
        2**128,
        R - 2**128,
        P // 2,
        P // 2 + 1,
        R // 2 - 1,
        R // 2,
        R // 3,
        R - 977,
    ),
]

COMPILERS = {
    "host": ("gcc",),
    "Cortex-M0+": ("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb"),
    "Cortex-M33": ("arm-none-eabi-gcc", "-mcpu=cortex-m33", "-mthumb"),
}


def compile_primitives(compiler: tuple[str, ...], output: Path, *options: str) -> None:
    strict = ("-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", f"-I{MODULE}")
    subprocess.run([*compiler, *strict, *options, SOURCE, "-o", output], check=True)


@pytest.fixture(scope="module")
def primitives(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("field") / "field.so"
    compile_primitives(COMPILERS["host"], library, "-shared", "-fPIC")
    return ctypes.CDLL(str(library))


def words(number: int, count: int = 8) -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * count).from_buffer_copy(number.to_bytes(4 * count, "little"))


def integer(array: ctypes.Array[ctypes.c_uint32]) -> int:
    return int.from_bytes(bytes(array), "little")


def samples() -> list[tuple[int, int]]:
    """Pairs of numbers: all edges with all, then mixtures of edges, long runs of equal bits and random ones."""
    dice = random.Random("field")

    def any_number() -> int:
        return dice.choice(
            (
                dice.choice(EDGES),
                sum(dice.choice((0, 1, 2**31, 2**32 - 1)) << shift for shift in range(0, 256, 32)),
                dice.getrandbits(256) >> dice.randrange(256),
                dice.getrandbits(256),
            )
        )

    mixed = [(any_number(), any_number()) for _ in range(CASES)]
    return [*product(EDGES, EDGES), *mixed]


def test_products_and_squares(primitives: ctypes.CDLL) -> None:
    result, wide = words(0), words(0, 16)
    for a, b in samples():
        primitives.wide_mul(wide, words(a), words(b))
        assert integer(wide) == a * b, (a, b)
        primitives.wide_sqr(wide, words(a))
        assert integer(wide) == a * a, a
        primitives.mul(result, words(a), words(b))
        assert integer(result) % P == a * b % P, (a, b)
        primitives.sqr(result, words(a))
        assert integer(result) % P == a * a % P, a


def test_sums_and_differences(primitives: ctypes.CDLL) -> None:
    for a, b in samples():
        for name, expected in (("add", a + b), ("sub", a - b), ("sub2", a - 2 * b)):
            result = words(a)
            getattr(primitives, name)(result, words(b))
            assert integer(result) % P == expected % P, (name, a, b)


def test_negation_half_and_triple(primitives: ctypes.CDLL) -> None:
    half = pow(2, -1, P)
    for a, _ in samples():
        result = words(0)
        primitives.neg(result, words(a))
        assert integer(result) % P == -a % P, a
        for name, expected in (("half", a * half), ("mul3", 3 * a)):
            result = words(a)
            getattr(primitives, name)(result)
            assert integer(result) % P == expected % P, (name, a)


def second_fold_carries(wide: int) -> bool:
    """Whether the reduction of a product carries out of 2^256 a second time, after what is above has been folded in."""
    once = wide % R + wide // R * C
    return once % R + once // R * C >= R


def test_reductions_that_carry_a_second_time(primitives: ctypes.CDLL) -> None:
    dice = random.Random("second fold")
    result = words(0)
    carried = 0
    for _ in range(CASES):
        # once = top·2^256 + low, where low + top·C is close to 2^256 on either side; high·C makes the most of once.
        top = dice.choice((1, 2, 2**32, C - 1, dice.randrange(1, C)))
        once = top * R + R - top * C + dice.randrange(-3, 4)
        high = min(once // C, R - 1)
        wide = high * R + once - high * C
        assert wide % R + wide // R * C == once
        primitives.reduce(result, words(wide, 16))
        assert integer(result) % P == wide % P, wide
        carried += second_fold_carries(wide)
    assert CASES // 4 < carried < CASES


def test_result_may_be_an_argument(primitives: ctypes.CDLL) -> None:
    for a, b in samples()[: len(EDGES) ** 2]:
        first, second = words(a), words(b)
        primitives.mul(first, first, second)
        assert integer(first) % P == a * b % P
        first = words(a)
        primitives.mul(second, first, second)
        assert integer(second) % P == a * b % P
        for name, expected in (("sqr", a * a), ("neg", -a), ("add", 2 * a), ("sub", 0), ("sub2", -a)):
            both = words(a)
            getattr(primitives, name)(both, both)
            assert integer(both) % P == expected % P, (name, a)


# Loops over words are unrolled, so there is no branch at all. (A comparison of words must become a carry.)
@pytest.mark.parametrize("processor", COMPILERS)
def test_no_branch_depends_on_a_number(processor: str, tmp_path: Path) -> None:
    assembly = tmp_path / "field.s"
    compile_primitives(COMPILERS[processor], assembly, "-S")
    jumps = r"j(?!mp\b)[a-z]+" if processor == "host" else r"(?:b(?:eq|ne|cs|cc|hi|ls|ge|lt|gt|le|mi|pl|vs|vc)|cbn?z)"
    code = assembly.read_text()
    assert re.search(r"^mul:", code, re.MULTILINE)
    assert re.findall(rf"^\s+({jumps}(?:\.[nw])?)\s", code, re.MULTILINE) == []
