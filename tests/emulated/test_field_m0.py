"""The assembly of the field as the image has it: every operation against Python's integers, stack and time.

A share of the cases runs here; all of them: `make test-long`, or pytest -m long with this file. The library's own tests
over the same field are in tests/field.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from tests.support.kept_runs import call
from tools.emulator.calls import SCRATCH, Answer, Call, curve_functions

P = 2**256 - 2**32 - 977
FOLD = 2**32 + 977
TOP = 2**256 - 1
SHARE, ALL = 1000, 100_000
ENTRY_BYTES = 16  # what the entry of a product pushes, beside its frame
FRAME_BYTES = 136

# Memory of a call: guard, result (16 words), guard, operands.
GUARD = bytes(range(0xA0, 0xB0))
RESULT = SCRATCH + len(GUARD)
END = RESULT + 64
OPERAND_A, OPERAND_B = SCRATCH + 256, SCRATCH + 320

# Around zero, p and 2^256, and what carries and borrows run through from end to end.
EDGES = [
    *range(3),
    *(P + n for n in range(-2, 3)),
    *(TOP - n for n in range(3)),
    *(FOLD + n for n in (-1, 0, 1)),
    *(TOP - FOLD + n for n in (-1, 0, 1)),
    *(2**n - 1 for n in (16, 32, 64, 128, 192, 255)),
    *(2**n for n in (16, 32, 64, 128, 192, 255)),
    *(2**256 - 2**n for n in (16, 32, 64, 128, 192, 255)),
    int("0000ffff" * 8, 16),
    int("ffff0000" * 8, 16),
    int("80000000" * 8, 16),
    (2**128 - 1) << 64,
    P // 2,
    P // 2 + 1,
]


@dataclass(frozen=True)
class Operation:
    """What a routine computes of r (what it finds there), a and b, and how its arguments are laid out."""

    exact: Callable[[int, int], int]
    operands: int  # 2: r, a, b; 1: r, a; 0: r alone. Of those that change r in place, r is the first number
    in_place: bool = False
    words: int = 8
    modulus: int = P


HALF = pow(2, -1, P)
OPERATIONS = {
    "fe_mul": Operation(lambda a, b: a * b, 2),
    "fe_sqr": Operation(lambda a, b: a * a, 1),
    "fe_add": Operation(lambda a, b: a + b, 1, in_place=True),
    "fe_sub": Operation(lambda a, b: a - b, 1, in_place=True),
    "fe_sub2": Operation(lambda a, b: a - 2 * b, 1, in_place=True),
    "fe_neg": Operation(lambda a, b: -a, 1),
    "fe_half": Operation(lambda a, b: a * HALF, 0, in_place=True),
    "fe_mul3": Operation(lambda a, b: 3 * a, 0, in_place=True),
    "wide_mul": Operation(lambda a, b: a * b, 2, words=16, modulus=2**512),
}
PRODUCTS = ("fe_mul", "fe_sqr", "wide_mul")

Case = tuple[int, int]


def words(number: int) -> bytes:
    return number.to_bytes(32, "little")


def call_of(name: str, case: Case, place: tuple[int, int] = (OPERAND_A, OPERAND_B)) -> Call:
    """The call with its two numbers at these places; of an operation in place, the first is at the result."""
    operation = OPERATIONS[name]
    a, b = (RESULT, place[0]) if operation.in_place else place
    memory = [(SCRATCH, GUARD + bytes(64) + GUARD), (b, words(case[1])), (a, words(case[0]))]
    arguments = (RESULT, b if operation.in_place else a, b)
    return Call(f"tessera_m0_{name}", arguments, tuple(memory), ((SCRATCH, 64 + 2 * len(GUARD)),))


def check(name: str, case: Case, answer: Answer) -> None:
    operation, size = OPERATIONS[name], 4 * OPERATIONS[name].words
    memory = answer.read[0]
    result, rest = memory[len(GUARD) : len(GUARD) + size], memory[len(GUARD) + size :]
    assert int.from_bytes(result, "little") % operation.modulus == operation.exact(*case) % operation.modulus, case
    assert memory[: len(GUARD)] == GUARD
    assert rest == bytes(64 - size) + GUARD
    assert "sp" not in answer.changed


def random_numbers(name: str, count: int) -> list[Case]:
    dice = random.Random(name)
    return [(dice.getrandbits(256), dice.getrandbits(256)) for _ in range(count)]


def mixed_numbers(name: str, count: int) -> Iterator[Case]:
    """Edges, runs of equal words, short numbers, and random ones, all with all."""
    dice = random.Random(f"{name}, mixed")

    def number() -> int:
        kind = dice.randrange(4)
        if kind == 0:
            return dice.choice(EDGES)
        if kind == 1:
            return sum(dice.choice((0, 1, 0xFFFF, 0xFFFF0000, 2**32 - 1)) << 32 * i for i in range(8))
        return dice.getrandbits(256) >> (dice.randrange(256) if kind == 2 else 0)

    for _ in range(count):
        yield number(), number()


def root(square: int) -> int | None:
    found = pow(square, (P + 1) // 4, P)
    return found if found * found % P == square else None


def rare_products() -> list[Case]:
    """Products congruent to small numbers: before the last fold most of them lie above 2^256 by less than 2^67."""
    dice = random.Random("rare")
    cases = []
    for _ in range(50):
        a, small = dice.randrange(1, P), dice.randrange(2**34, 2**60)
        cases.append((a, small * pow(a, -1, P) % P))
    return cases


def rare_squares() -> list[Case]:
    dice = random.Random("rare squares")
    roots = [root(dice.randrange(2**34, 2**60)) for _ in range(100)]
    return [(each, 0) for each in roots if each is not None]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("count", [SHARE, pytest.param(ALL, marks=pytest.mark.long)])
def test_operation_is_that_of_integers_in_one_time(board_image: Path, name: str, count: int) -> None:
    """Random operands all take the same cycles: the one branch depends on what no secret can be steered to."""
    half = count // 2
    cases = random_numbers(name, half) + list(mixed_numbers(name, count - half))
    answers = call(board_image, [call_of(name, case) for case in cases])
    for case, answer in zip(cases, answers, strict=True):
        check(name, case, answer)
    assert len({answer.cycles for answer in answers[:half]}) == 1
    assert len({answer.cycles for answer in answers}) <= 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_holds_at_every_edge(board_image: Path, name: str) -> None:
    pairs = list(product(EDGES, EDGES)) if OPERATIONS[name].operands else [(edge, 0) for edge in EDGES]
    answers = call(board_image, [call_of(name, case) for case in pairs])
    for case, answer in zip(pairs, answers, strict=True):
        check(name, case, answer)


@pytest.mark.parametrize(("name", "cases"), [("fe_mul", rare_products()), ("fe_sqr", rare_squares())])
def test_rare_fold_of_products_happens_and_is_right(board_image: Path, name: str, cases: list[Case]) -> None:
    usual = call(board_image, [call_of(name, (3, 5))])[0].cycles
    answers = call(board_image, [call_of(name, case) for case in cases])
    for case, answer in zip(cases, answers, strict=True):
        check(name, case, answer)
    longer = [answer.cycles - usual for answer in answers if answer.cycles != usual]
    assert len(longer) > len(cases) // 2
    assert len(set(longer)) == 1


@pytest.mark.parametrize(
    ("name", "rare"),
    [
        ("fe_add", (TOP, TOP)),
        ("fe_sub", (0, TOP)),
        ("fe_sub2", (0, TOP)),
        ("fe_neg", (TOP, 0)),
        ("fe_mul3", (TOP, 0)),
    ],
)
def test_rare_fold_of_sums_happens_and_is_right(board_image: Path, name: str, rare: Case) -> None:
    usual, longer = call(board_image, [call_of(name, (3, 5)), call_of(name, rare)])
    check(name, rare, longer)
    assert longer.cycles > usual.cycles


@pytest.mark.parametrize("name", ["fe_mul", "fe_sqr", "fe_add", "fe_neg"])
def test_result_may_be_an_operand(board_image: Path, name: str) -> None:
    a, b = random_numbers(f"{name}, in place", 1)[0]
    same = a if name == "fe_mul" else b
    cases = [((a, b), (RESULT, OPERAND_B)), ((a, b), (OPERAND_A, RESULT)), ((same, same), (RESULT, RESULT))]
    if name in ("fe_sqr", "fe_neg"):
        cases = [((a, a), (RESULT, RESULT))]
    if name == "fe_add":
        cases = [((a, a), (RESULT, RESULT))]
    answers = call(board_image, [call_of(name, case, place) for case, place in cases])
    for (case, _), answer in zip(cases, answers, strict=True):
        check(name, case, answer)


def test_choice_takes_all_words_or_none(board_image: Path) -> None:
    (r, a), *_ = random_numbers("choice", 1)
    memory = ((RESULT, words(r)), (OPERAND_A, words(a)))
    read = ((RESULT, 32),)
    kept, taken = call(
        board_image, [Call("tessera_m0_fe_choose", (RESULT, OPERAND_A, mask), memory, read) for mask in (0, 2**32 - 1)]
    )
    assert kept.read[0] == words(r)
    assert taken.read[0] == words(a)
    assert kept.cycles == taken.cycles


def test_stack_is_a_frame_of_products_and_nothing_of_sums(board_image: Path) -> None:
    names = list(OPERATIONS)
    answers = call(board_image, [call_of(name, (TOP, TOP)) for name in names])
    expected = {name: ENTRY_BYTES + FRAME_BYTES if name in PRODUCTS else 0 for name in names}
    assert {name: answer.stack for name, answer in zip(names, answers, strict=True)} == expected


def test_hot_routines_lie_in_ram(board_image: Path) -> None:
    functions = curve_functions(board_image)
    hot = [name for name in functions if name.startswith("tessera_m0_fe_")]
    assert len(hot) == 9
    for name in [*hot, "secp256k1_gej_double", "tessera_gej_add_affine"]:
        assert functions[name]["address"] >= 0x20000000, name
