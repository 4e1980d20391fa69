"""Generates the assembly of field_m0.h: the field of secp256k1 on a Cortex-M0+ (ARMv6-M, Thumb-1).

Usage: field_m0.py OUTPUT    run by micropython.cmake; the output is not kept under version control

The processor multiplies 32 bits by 32 in a cycle but gives only the lower 32 bits of the product, so numbers are cut
into digits of 16 bits. A product of two numbers is E + 2^16·O: E sums the products of digits a_i·b_j with i+j even, O
those with i+j odd. The even digits of a times one digit of b is a number whose *words are* these products, so one chain
of additions with carry adds a whole row: mov, muls, adcs, three cycles a product. MOV, UXTH, MULS, LDR, STR and
MOVS #n leave the carry flag alone (MULS and MOVS set others), which is what makes this possible.

256 bits are three products of 128 bits (Karatsuba, subtractive: a middle product of differences, whose sign is a mask
of all ones or zeros); 512 bits come back to 256 by 2^256 = 2^32 + 977 modulo p. A square takes two Karatsuba levels.

Straight line, no table: time and addresses do not depend on the operands, but for one branch at the end of each
function, which is taken if the last fold carries. For that a value has to lie within 2^67 of 2^256 after the folds
before, which happens to operands that nobody can steer once in some 2^189.

Convention, not the procedure call standard: arguments in r0, r1, r2; everything but sp is clobbered. field_m0.h tells
the compiler so, and a function that computes with ten field elements saves its registers once, not ten times.
"""

import sys
from collections.abc import Iterable

FOLD = 977

# Words of the stack frame of mul, sqr and wide_mul. Above it lie the arguments, which the entry pushes.
ODD_HIGH = 0  # words 4 to 7 of the odd columns, shifted; later a sum (SUM) of the Karatsuba step
SUM = 0
ODD_LOW = 4  # words 0 to 2 of the odd columns
EVEN_DIGIT_3, ODD_DIGIT_3 = 7, 8  # digits 6 and 7 of a, for which there is no register; then a carry (CARRY)
CARRY = 7
SIGN = 9  # of the middle product, a mask
DIFFERENCE = 10  # |b_high - b_low|, 4 words
LOW = 14  # a_low·b_low, 8 words; then the lower half of the product
HIGH = 22  # a_high·b_high, 8 words
MIDDLE = 30  # the lower 4 words of the middle product
FRAME_WORDS = 34
RESULT, ARGUMENT_A, ARGUMENT_B = FRAME_WORDS, FRAME_WORDS + 1, FRAME_WORDS + 2

# Where the 16-bit digits of a wait: those at even places and those at odd ones. The last ones are in the frame.
EVEN_DIGITS = ("r8", "r9", "r10", None)
ODD_DIGITS = ("r11", "r12", "lr", None)
LOW_REGISTERS = tuple(f"r{i}" for i in range(8))

_lines: list[str] = []


# --- Writing ---------------------------------------------------------------------------------------------------------


def emit(*instructions: str) -> None:
    """Instructions, several in a string by semicolons."""
    for text in instructions:
        _lines.extend("\t" + instruction.strip() for instruction in text.split(";"))


def say(comment: str) -> None:
    _lines.append(f"\t@ {comment}")


def label(name: str) -> None:
    _lines.append(f"{name}:")


def frame(word: int) -> str:
    """The operand that is a word of the frame."""
    return f"[sp, #{4 * word}]"


def section(name: str) -> None:
    _lines.append(f'\n\t.section {name}, "ax", %progbits')


def begin(name: str) -> None:
    _lines.extend(["", f"\t.global {name}", f"\t.type {name}, %function", "\t.thumb_func", "\t.balign 4", f"{name}:"])


def end(name: str) -> None:
    _lines.extend(["\t.pool", f"\t.size {name}, . - {name}"])


def carried(first: str, rest: str, pairs: Iterable[tuple[str, str]]) -> None:
    """A chain over (target, operand): the first instruction begins the carry, the others continue it."""
    for i, (target, operand) in enumerate(pairs):
        emit(f"{rest if i else first} {target}, {operand}")


def others(*used: str) -> list[str]:
    """The low registers that are not among these."""
    return [register for register in LOW_REGISTERS if register not in used]


# --- 128 bits times 128 bits -----------------------------------------------------------------------------------------


def split_digits(words: list[str], scratch: str) -> None:
    """The digits of a, given as four words, to where they wait."""
    for i in range(3):
        emit(f"lsrs {scratch}, {words[i]}, #16; mov {ODD_DIGITS[i]}, {scratch}")
        emit(f"uxth {words[i]}, {words[i]}; mov {EVEN_DIGITS[i]}, {words[i]}")
    emit(f"lsrs {scratch}, {words[3]}, #16; str {scratch}, {frame(ODD_DIGIT_3)}")
    emit(f"uxth {words[3]}, {words[3]}; str {words[3]}, {frame(EVEN_DIGIT_3)}")


def times_digit(target: str, digits: tuple[str | None, ...], i: int, factor: str) -> None:
    """target = digit · factor; the carry stays."""
    if digits[i]:
        emit(f"mov {target}, {digits[i]}")
    else:
        emit(f"ldr {target}, {frame(EVEN_DIGIT_3 if digits is EVEN_DIGITS else ODD_DIGIT_3)}")
    emit(f"muls {target}, {factor}")


def add_row(window: list[str], digits: tuple[str | None, ...], factor: str, scratch: str) -> None:
    """window += digits · factor, in one chain."""
    for i, word in enumerate(window):
        times_digit(scratch, digits, i, factor)
        emit(f"{'adcs' if i else 'adds'} {word}, {scratch}")


def shift_odd_columns() -> None:
    """O, its words 3 to 7 in r0 to r4 and 0 to 2 in the frame, times 2^16: words 0 to 3 in r1, r2, r3, r0, the others
    in the frame."""

    def shift_left(pairs: list[tuple[str, str]]) -> None:
        for high, low in pairs:
            emit(f"lsls {high}, {high}, #16; lsrs r5, {low}, #16; orrs {high}, r5")

    shift_left([("r4", "r3"), ("r3", "r2"), ("r2", "r1"), ("r1", "r0")])
    emit(f"add r6, sp, #{4 * ODD_HIGH}; stm r6!, {{r1-r4}}; ldm r6!, {{r1-r3}}")
    shift_left([("r0", "r3"), ("r3", "r2"), ("r2", "r1")])
    emit("lsls r1, r1, #16")


def sum_odd_columns() -> None:
    """O = sum of a_i·b_j with i+j odd: the odd digits times even ones of b, the even digits times odd ones."""
    say("odd columns")
    window = ["r2", "r3", "r4", "r0", "r1"]
    for m in range(4):
        emit(f"ldrh r6, [r7, #{4 * m}]")
        if m == 0:
            for i in range(4):
                times_digit(window[i], ODD_DIGITS, i, "r6")
        else:
            add_row(window[:4], ODD_DIGITS, "r6", "r5")
        # What the row above carries cannot be lost: its sum and this row fit into the window's five words.
        emit(f"ldrh r6, [r7, #{4 * m + 2}]")
        add_row(window[:4], EVEN_DIGITS, "r6", "r5")
        emit(f"movs {window[4]}, #0; adcs {window[4]}, {window[4]}")
        if m < 3:
            emit(f"str {window[0]}, {frame(ODD_LOW + m)}")
            window = window[1:] + window[:1]


def add_even_columns(output: int) -> None:
    """E + 2^16·O: words 0 to 3 to the frame at `output`, words 4 to 7 in r1, r2, r3, r5."""
    say("even columns")
    window, carry, top = ["r1", "r2", "r3", "r0"], "r4", "r5"
    emit("ldrh r6, [r7, #0]")
    add_row(window, EVEN_DIGITS, "r6", "r5")
    emit(f"movs {carry}, #0; str {window[0]}, {frame(output)}")
    free, window = [window[0], "r5"], window[1:]
    for m in range(4):
        emit(f"ldrh r6, [r7, #{4 * m + 2}]")
        top = sorted(free)[0] if m < 3 else "r5"
        times_digit(top, ODD_DIGITS, 3, "r6")
        emit(f"adcs {top}, {carry}")
        for i in range(3):
            times_digit(carry, ODD_DIGITS, i, "r6")
            emit(f"{'adcs' if i else 'adds'} {window[i]}, {carry}")
        emit(f"ldr {carry}, {frame(ODD_HIGH + m)}; adcs {top}, {carry}")
        window = [*window, top]
        if m == 3:
            break
        emit(f"movs {carry}, #0; adcs {carry}, {carry}")
        emit(f"ldrh r6, [r7, #{4 * m + 4}]")
        scratch = next(register for register in sorted(free) if register != top)
        add_row(window, EVEN_DIGITS, "r6", scratch)
        emit(f"str {window[0]}, {frame(output + 1 + m)}")
        window = window[1:]
        free = [register for register in ("r0", "r1", "r2", "r3", "r5") if register not in window]
    assert window == ["r1", "r2", "r3", "r5"]


def multiply_128(output: int) -> None:
    """The digits of a wait; r7 points to the four words of b. Result as add_even_columns() leaves it."""
    sum_odd_columns()
    shift_odd_columns()
    add_even_columns(output)


# --- 64 bits and 128 bits squared ------------------------------------------------------------------------------------


def square_64(x0: str, x1: str, scratch: list[str]) -> list[str]:
    """(x1·2^32 + x0)²; the registers of its four words. Consumes x0, x1 and six other registers."""
    p, q, s, u, v, z = scratch
    say("x0·x1")
    emit(f"uxth {p}, {x0}; lsrs {u}, {x0}, #16; uxth {q}, {x1}; lsrs {v}, {x1}, #16")
    emit(f"mov {s}, {p}; muls {s}, {q}; muls {p}, {v}; muls {q}, {u}; muls {v}, {u}")
    for cross in (p, q):
        emit(f"lsls {u}, {cross}, #16; lsrs {cross}, {cross}, #16; adds {s}, {u}; adcs {v}, {cross}")
    say("x0², x1²")
    square_32(x0, p, q, u)
    square_32(x1, q, u, z)
    say("twice x0·x1 between them")
    emit(f"movs {u}, #0")
    for _ in range(2):
        emit(f"adds {x0}, {s}; adcs {q}, {v}; adcs {x1}, {u}")
    return [p, x0, q, x1]


def square_32(x: str, low: str, cross: str, scratch: str) -> None:
    """x²: the lower word in `low`, the upper one in x."""
    emit(f"uxth {low}, {x}; lsrs {x}, {x}, #16; mov {cross}, {low}; muls {cross}, {x}")
    emit(f"muls {low}, {low}; muls {x}, {x}")
    emit(f"lsls {scratch}, {cross}, #17; lsrs {cross}, {cross}, #15; adds {low}, {scratch}; adcs {x}, {cross}")


def square_128(output: int) -> list[str]:
    """The square of r0 to r3: words 0 and 1 to the frame at `output`; the registers of words 2 to 7.

    With A = H·2^64 + L of two words each: A² = H²·2^128 + (L² + H² - (L - H)²)·2^64 + L².
    """
    say("|L - H| in r8, r9; H in r10, r11")
    emit("mov r4, r0; mov r5, r1; subs r4, r2; sbcs r5, r3; sbcs r6, r6")
    emit("eors r4, r6; eors r5, r6; subs r4, r6; sbcs r5, r6")
    emit("mov r8, r4; mov r9, r5; mov r10, r2; mov r11, r3")
    low = square_64("r0", "r1", others("r0", "r1"))
    h0, h1, *_ = others(*low)
    emit(f"mov {h0}, r10; mov {h1}, r11; mov r10, {low[2]}; mov r11, {low[3]}; mov r12, {low[0]}; mov lr, {low[1]}")
    emit(f"str {low[0]}, {frame(output)}; str {low[1]}, {frame(output + 1)}")
    high = square_64(h0, h1, others(h0, h1))
    t, u, k, zero = others(*high)
    say("S = upper half of L² + lower half of H²; its carry in k")
    emit(f"mov {t}, r10; mov {u}, r11; adds {high[0]}, {t}; adcs {high[1]}, {u}")
    emit(f"movs {zero}, #0; movs {k}, #0; adcs {k}, {k}")
    say("S + lower half of L²: words 2 and 3, before the middle square goes; its carry with k in u")
    emit(f"mov {t}, r12; adds {t}, {high[0]}; mov r10, {t}; mov {t}, lr; adcs {t}, {high[1]}; mov r11, {t}")
    emit(f"mov {u}, {k}; adcs {u}, {zero}")
    say("S + upper half of H² and u: words 4 and 5; then words 6 and 7")
    emit(f"adds {high[0]}, {high[2]}; adcs {high[1]}, {high[3]}; adcs {k}, {zero}")
    emit(f"adds {high[0]}, {u}; adcs {high[1]}, {zero}; adcs {high[2]}, {k}; adcs {high[3]}, {zero}")
    d0, d1 = others(*high)[:2]
    emit(f"mov {d0}, r8; mov {d1}, r9")
    emit(f"mov r12, {high[0]}; mov lr, {high[1]}; mov r8, {high[2]}; mov r9, {high[3]}")
    middle = square_64(d0, d1, others(d0, d1))
    result = others(*middle)
    say("minus (L - H)²")
    for i, (word, waiting) in enumerate(zip(result, ("r10", "r11", "r12", "lr"), strict=True)):
        emit(f"mov {word}, {waiting}; {'sbcs' if i else 'subs'} {word}, {middle[i]}")
    emit(f"mov {middle[0]}, r8; mov {middle[1]}, r9; movs {middle[2]}, #0")
    emit(f"sbcs {middle[0]}, {middle[2]}; sbcs {middle[1]}, {middle[2]}")
    return [*result, middle[0], middle[1]]


def store_square(output: int, words: list[str]) -> None:
    """Words 2 to 7 of a square to the frame: a store of several takes ascending registers."""
    pointer = others(*words)[0]
    emit(f"add {pointer}, sp, #{4 * (output + 2)}")
    runs = [[words[0]]]
    for word in words[1:]:
        if word > runs[-1][-1]:
            runs[-1].append(word)
        else:
            runs.append([word])
    for run in runs:
        emit(f"stm {pointer}!, {{{', '.join(run)}}}")


# --- 256 bits --------------------------------------------------------------------------------------------------------


def enter() -> None:
    emit(f"push {{r0-r2, lr}}; sub sp, #{4 * FRAME_WORDS}")


def leave() -> None:
    emit(f"add sp, #{4 * (FRAME_WORDS + 3)}; pop {{pc}}")


def load_halves(argument: int) -> None:
    """The lower half of an argument in r0 to r3, its upper half in r4 to r7."""
    emit(f"ldr r7, {frame(argument)}; ldm r7!, {{r0-r3}}; ldm r7, {{r4-r7}}")


def absolute_difference() -> None:
    """r0 to r3 = |r0 to r3 - r4 to r7|; r4 all ones if the difference was negative."""
    carried("subs", "sbcs", zip(LOW_REGISTERS[:4], LOW_REGISTERS[4:], strict=True))
    emit("sbcs r4, r4")
    for word in LOW_REGISTERS[:4]:
        emit(f"eors {word}, r4")
    carried("subs", "sbcs", [(word, "r4") for word in LOW_REGISTERS[:4]])


def add_upper_to_lower() -> None:
    carried("adds", "adcs", zip(LOW_REGISTERS[:4], LOW_REGISTERS[4:], strict=True))


def load_product(pointer: str, word: int, registers: str) -> None:
    emit(f"add {pointer}, sp, #{4 * word}; ldm {pointer}, {{{registers}}}")


def combine(square: bool, middle_high: tuple[str, ...]) -> None:
    """The Karatsuba step. LOW and HIGH are in the frame, of the middle product the lower half at MIDDLE, the upper one
    in these registers. The product: words 0 to 7 to LOW, 8 to 11 in r8 to r11, 12 to 15 in r4 to r7.

    A middle product to be subtracted is added as its complement, with a carry in; SIGN (r12 here) is its mask. Of a
    square it is always subtracted.
    """
    say("Karatsuba: upper half of the middle product, complemented by its sign, to r8 to r11")
    if not square:
        emit(f"ldr r4, {frame(SIGN)}; mov r12, r4")
    for i, word in enumerate(middle_high):
        emit(f"mvns {word}, {word}" if square else f"eors {word}, r4")
        emit(f"mov r{8 + i}, {word}")
    say("SUM = upper half of LOW + lower half of HIGH, which two places need; its carry also in lr")
    emit(f"add r7, sp, #{4 * (LOW + 4)}; ldm r7!, {{r0-r3}}; ldm r7, {{r4-r7}}")
    add_upper_to_lower()
    emit(f"movs r4, #0; adcs r4, r4; mov lr, r4; str r4, {frame(CARRY)}")
    emit(f"add r4, sp, #{4 * SUM}; stm r4!, {{r0-r3}}")
    say("words 4 to 7: SUM + lower half of LOW + lower half of the middle product; carries in lr")
    load_product("r4", LOW, "r4-r7")
    add_upper_to_lower()
    emit("movs r4, #0; adcs r4, r4; add lr, r4")
    emit(f"add r6, sp, #{4 * MIDDLE}")
    if square:
        emit("ldm r6!, {r4, r5}; mvns r4, r4; mvns r5, r5; cmp r6, r6; adcs r0, r4; adcs r1, r5")  # cmp: carry in
        emit("ldm r6!, {r4, r5}; mvns r4, r4; mvns r5, r5; adcs r2, r4; adcs r3, r5")
    else:
        emit("mov r7, r12; lsls r4, r7, #1")  # carry in, if all ones
        emit("ldm r6!, {r4, r5}; eors r4, r7; eors r5, r7; adcs r0, r4; adcs r1, r5")
        emit("ldm r6!, {r4, r5}; eors r4, r7; eors r5, r7; adcs r2, r4; adcs r3, r5")
    emit("movs r4, #0; adcs r4, r4; add lr, r4")
    emit(f"add r4, sp, #{4 * (LOW + 4)}; stm r4!, {{r0-r3}}")
    say("words 8 to 11: SUM + upper half of the middle product + carries + upper half of HIGH")
    emit(f"add r4, sp, #{4 * SUM}; ldm r4!, {{r0-r3}}")
    for i in range(4):
        emit(f"mov r{4 + i}, r{8 + i}")
    add_upper_to_lower()
    emit(f"ldr r5, {frame(CARRY)}; movs r6, #0; adcs r5, r6; mov r4, lr")
    carried("adds", "adcs", [("r0", "r4"), ("r1", "r6"), ("r2", "r6"), ("r3", "r6"), ("r5", "r6")])
    emit("mov lr, r5")
    load_product("r4", HIGH + 4, "r4-r7")
    add_upper_to_lower()
    say("words 12 to 15: upper half of HIGH + carries, minus one for the complement's sign, sign extended")
    for i in range(4):
        emit(f"mov r{8 + i}, r{i}")
    emit("movs r0, #0; adcs r0, r0; mov r1, lr; adds r0, r1")
    emit("subs r0, #1" if square else "mov r1, r12; adds r0, r1")
    emit("asrs r1, r0, #31")
    carried("adds", "adcs", [("r4", "r0"), ("r5", "r1"), ("r6", "r1"), ("r7", "r1")])


def reduce() -> None:
    """The product, where combine() leaves it, modulo p to the result: lower half + (2^32 + 977) · upper half."""
    say("first fold: 977·h_i from two half words, and h_(i-1) for the 2^32")
    emit(f"mov r12, r4; mov lr, r5; str r6, {frame(HIGH + 6)}; str r7, {frame(HIGH + 7)}")
    upper = ["r8", "r9", "r10", "r11", "r12", "lr", frame(HIGH + 6), frame(HIGH + 7)]
    emit(f"ldr r7, ={FOLD}; movs r6, #0")
    word, previous = "r0", "r4"
    for i in range(8):
        emit(f"{'ldr' if i > 5 else 'mov'} {word}, {upper[i]}")
        emit(f"uxth r1, {word}; muls r1, r7")
        if i:
            emit("adds r1, r2")  # cannot carry: 977·(2^16 - 1) + what a word carries on
        emit(f"lsrs r2, {word}, #16; muls r2, r7; lsls r3, r2, #16; lsrs r2, r2, #16")
        emit("adds r1, r3; adcs r2, r6")
        emit(f"ldr r5, {frame(LOW + i)}; adds r1, r5; adcs r2, r6")
        if i:
            emit(f"adds r1, {previous}; adcs r2, r6")
        # This upper word is done with: the sum takes its register.
        emit(f"mov {upper[i]}, r1" if i < 6 else f"str r1, {frame(LOW + i)}")
        word, previous = previous, word
    say("second fold: of r2 + h_7, 33 bits with r3")
    emit(f"adds r2, {previous}; movs r3, #0; adcs r3, r3")
    emit("uxth r0, r2; muls r0, r7; lsrs r1, r2, #16; muls r1, r7")
    emit("lsls r4, r1, #16; lsrs r1, r1, #16; adds r0, r4; adcs r1, r6")
    emit("mov r4, r3; muls r4, r7; adds r1, r4; adds r1, r2; adcs r3, r6")
    emit("mov r2, r8; adds r0, r2; mov r2, r9; adcs r1, r2; mov r2, r10; adcs r2, r3")
    emit(f"mov r3, r11; mov r4, r12; mov r5, lr; ldr r6, {frame(LOW + 6)}; ldr r7, {frame(LOW + 7)}")
    emit("mov r8, r0; movs r0, #0")
    carried("adcs", "adcs", [(f"r{i}", "r0") for i in range(3, 8)])
    emit("adcs r0, r0; beq 1f")
    say("third fold, the rare one; it cannot carry again")
    emit(f"ldr r0, ={FOLD}; mov r3, r8; adds r3, r0; mov r8, r3")
    emit("movs r3, #0; movs r0, #1; adcs r1, r0; adcs r2, r3")
    label("1")
    emit(f"mov r0, r8; mov r8, r7; ldr r7, {frame(RESULT)}; stm r7!, {{r0-r6}}; mov r0, r8; str r0, [r7]")


def multiply_256() -> None:
    """The product of the two arguments, where combine() leaves it."""
    say("LOW = a_low·b_low")
    emit("mov r7, r2; ldm r1!, {r2-r5}")
    split_digits(["r2", "r3", "r4", "r5"], "r6")
    multiply_128(LOW)
    emit(f"add r6, sp, #{4 * (LOW + 4)}; stm r6!, {{r1, r2, r3, r5}}")
    say("HIGH = a_high·b_high")
    emit(f"ldr r7, {frame(ARGUMENT_B)}; adds r7, #16; ldr r1, {frame(ARGUMENT_A)}; adds r1, #16; ldm r1!, {{r2-r5}}")
    split_digits(["r2", "r3", "r4", "r5"], "r6")
    multiply_128(HIGH)
    emit(f"add r6, sp, #{4 * (HIGH + 4)}; stm r6!, {{r1, r2, r3, r5}}")
    say("middle = |a_low - a_high| · |b_high - b_low|, its sign that of both differences")
    load_halves(ARGUMENT_B)
    absolute_difference()
    emit(f"mvns r4, r4; str r4, {frame(SIGN)}; add r7, sp, #{4 * DIFFERENCE}; stm r7!, {{r0-r3}}")
    load_halves(ARGUMENT_A)
    absolute_difference()
    emit(f"ldr r5, {frame(SIGN)}; eors r4, r5; str r4, {frame(SIGN)}")
    split_digits(["r0", "r1", "r2", "r3"], "r5")
    emit(f"add r7, sp, #{4 * DIFFERENCE}")
    multiply_128(MIDDLE)
    combine(False, ("r1", "r2", "r3", "r5"))


def mul() -> None:
    begin("tessera_m0_fe_mul")
    enter()
    multiply_256()
    reduce()
    leave()
    end("tessera_m0_fe_mul")


def wide_mul() -> None:
    begin("tessera_m0_wide_mul")
    enter()
    multiply_256()
    emit(f"ldr r0, {frame(RESULT)}; adds r0, #48; stm r0!, {{r4-r7}}; subs r0, #32")
    for i in range(4):
        emit(f"mov r{4 + i}, r{8 + i}")
    emit(f"stm r0!, {{r4-r7}}; subs r0, #48; add r1, sp, #{4 * LOW}")
    emit("ldm r1!, {r4-r7}; stm r0!, {r4-r7}; ldm r1!, {r4-r7}; stm r0!, {r4-r7}")
    leave()
    end("tessera_m0_wide_mul")


def sqr() -> None:
    begin("tessera_m0_fe_sqr")
    enter()
    say("LOW = a_low²")
    emit("mov r4, r1; ldm r4!, {r0-r3}")
    store_square(LOW, square_128(LOW))
    say("HIGH = a_high²")
    emit(f"ldr r4, {frame(ARGUMENT_A)}; adds r4, #16; ldm r4!, {{r0-r3}}")
    store_square(HIGH, square_128(HIGH))
    say("middle = (a_low - a_high)²")
    load_halves(ARGUMENT_A)
    absolute_difference()
    words = square_128(MIDDLE)
    emit(f"str {words[0]}, {frame(MIDDLE + 2)}; str {words[1]}, {frame(MIDDLE + 3)}")
    combine(True, tuple(words[2:]))
    reduce()
    leave()
    end("tessera_m0_fe_sqr")


# --- Linear operations -----------------------------------------------------------------------------------------------
# The result is where r0 points, the operand where r1 does. All end in the same fold: words 2 and 3 (from where
# `waiting` says), 4 to 7 in r4 to r7 and a carry r3 that stands for 2^256; words 0 and 1 already at r0.


def fold(first: str, rest: str, waiting: tuple[str, str] | None) -> None:
    """Adds (adds, adcs) or subtracts (subs, sbcs) (2^32 + 977)·r3, and stores all words."""
    emit(f"ldr r2, ={FOLD}; muls r2, r3")
    emit(f"ldr r1, [r0]; {first} r1, r2; ldr r2, [r0, #4]; {rest} r2, r3; stm r0!, {{r1, r2}}; movs r3, #0")
    if waiting:
        emit(f"mov r1, {waiting[0]}; {rest} r1, r3; mov r2, {waiting[1]}; {rest} r2, r3")
    else:
        emit(f"ldr r1, [r0]; ldr r2, [r0, #4]; {rest} r1, r3; {rest} r2, r3")
    carried(rest, rest, [(f"r{i}", "r3") for i in range(4, 8)])
    emit("stm r0!, {r1, r2, r4, r5, r6, r7}")
    fold_again(first, rest)


def fold_again(first: str, rest: str) -> None:
    """Returns; if the carry says that 2^256 was passed once more, after the rare fold that ends in word 1."""
    emit(f"{'bcs' if first == 'adds' else 'bcc'} 1f; bx lr")
    label("1")
    emit(f"subs r0, #32; ldr r2, ={FOLD}; ldr r1, [r0]; {first} r1, r2; str r1, [r0]")
    emit(f"movs r2, #1; ldr r1, [r0, #4]; {rest} r1, r2; str r1, [r0, #4]; bx lr")


def add() -> None:
    begin("tessera_m0_fe_add")
    emit("ldm r1!, {r4, r5, r6, r7}")
    for i in range(4):
        emit(f"ldr r2, [r0, #{4 * i}]; {'adcs' if i else 'adds'} r{4 + i}, r2")
    emit("mov r12, r6; mov r8, r7; stm r0!, {r4, r5}; ldm r1!, {r4, r5, r6, r7}")
    for i in range(4):
        emit(f"ldr r2, [r0, #{4 * i + 8}]; adcs r{4 + i}, r2")
    emit("movs r3, #0; adcs r3, r3; subs r0, #8")
    fold("adds", "adcs", ("r12", "r8"))
    end("tessera_m0_fe_add")


def subtract(name: str, times: int) -> None:
    """r -= times · a. The borrows of both subtractions wait as masks in r3 and r12 between the halves."""
    begin(name)
    for half in range(2):
        emit("ldm r0!, {r4, r5, r6, r7}")
        for time in range(times):
            if half:
                emit("mov r2, r12; rsbs r2, r2, #0" if time else "rsbs r3, r3, #0")
            for i in range(4):
                operation = "sbcs" if half or i else "subs"
                emit(f"ldr r2, [r1, #{16 * half + 4 * i}]; {operation} r{4 + i}, r2")
            emit("sbcs r2, r2; mov r12, r2" if time else "sbcs r3, r3")
        if not half:
            emit("subs r0, #16; stm r0!, {r4, r5}; mov r8, r6; mov r9, r7; adds r0, #8")
    if times == 2:
        emit("adds r3, r2")
    emit("rsbs r3, r3, #0; subs r0, #32")
    fold("subs", "sbcs", ("r8", "r9"))
    end(name)


def neg() -> None:
    """p - a = ~a - (2^32 + 976)."""
    begin("tessera_m0_fe_neg")
    emit("ldm r1!, {r4, r5, r6, r7}; ldr r2, =976")
    for i in range(4, 8):
        emit(f"mvns r{i}, r{i}")
    emit("movs r3, #1; subs r4, r2; sbcs r5, r3; movs r3, #0; sbcs r6, r3; sbcs r7, r3")
    emit("stm r0!, {r4, r5, r6, r7}; ldm r1!, {r4, r5, r6, r7}")
    for i in range(4, 8):
        emit(f"mvns r{i}, r{i}")
    carried("sbcs", "sbcs", [(f"r{i}", "r3") for i in range(4, 8)])
    emit("stm r0!, {r4, r5, r6, r7}")
    fold_again("subs", "sbcs")
    end("tessera_m0_fe_neg")


def half() -> None:
    """r >> 1; of an odd r (r + p) >> 1 = (r >> 1) + 2^255 - 0x800001E8."""

    def shift_right(words: list[str]) -> None:
        for low, high in zip(words, words[1:], strict=False):
            emit(f"lsrs {low}, {low}, #1; lsls r7, {high}, #31; orrs {low}, r7")

    begin("tessera_m0_fe_half")
    emit("ldm r0!, {r1, r2, r3, r4, r5}; lsls r6, r1, #31; mov r12, r6; asrs r6, r6, #31")
    emit("ldr r7, =0x800001E8; ands r6, r7; mov r8, r6")
    shift_right(["r1", "r2", "r3", "r4", "r5"])
    emit("mov r6, r8; movs r7, #0; subs r1, r6; sbcs r2, r7; sbcs r3, r7; sbcs r4, r7; sbcs r6, r6")
    emit("subs r0, #20; stm r0!, {r1, r2, r3, r4}")
    emit("mov r1, r5; ldr r2, [r0, #4]; ldr r3, [r0, #8]; ldr r4, [r0, #12]; mov r5, r12")
    shift_right(["r1", "r2", "r3", "r4"])
    emit("lsrs r4, r4, #1; orrs r4, r5; movs r7, #0; rsbs r6, r6, #0")
    carried("sbcs", "sbcs", [(f"r{i}", "r7") for i in range(1, 5)])
    emit("stm r0!, {r1, r2, r3, r4}; bx lr")
    end("tessera_m0_fe_half")


def mul3() -> None:
    """2·r and r added in one pass; the two carries between the halves wait in r2 and r3."""
    begin("tessera_m0_fe_mul3")
    for upper in (False, True):
        emit("ldm r0!, {r4, r5, r6, r7}")
        emit("lsrs r2, r2, #1; adcs r4, r4" if upper else "adds r4, r4")
        emit("adcs r5, r5; adcs r6, r6; adcs r7, r7; movs r2, #0; adcs r2, r2; subs r0, #16; ldr r1, [r0]")
        emit("lsrs r3, r3, #1; adcs r4, r1" if upper else "adds r4, r1")
        for i in range(1, 4):
            emit(f"ldr r1, [r0, #{4 * i}]; adcs r{4 + i}, r1")
        emit("movs r3, #0; adcs r3, r3")
        if not upper:
            emit("stm r0!, {r4, r5, r6, r7}")
    emit("adds r3, r2; subs r0, #16")
    fold("adds", "adcs", None)
    end("tessera_m0_fe_mul3")


def choose() -> None:
    """r = a where the mask r2 is all ones, r where it is zero."""
    begin("tessera_m0_fe_choose")
    for _ in range(2):
        emit("ldm r1!, {r4, r5, r6, r7}")
        for i in range(4):
            word = f"r{4 + i}"
            emit(f"ldr r3, [r0, #{4 * i}]; eors {word}, r3; ands {word}, r2; eors {word}, r3")
        emit("stm r0!, {r4, r5, r6, r7}")
    emit("bx lr")
    end("tessera_m0_fe_choose")


# --- The file --------------------------------------------------------------------------------------------------------


def generate() -> str:
    """The assembly: what runs most in RAM (.time_critical), the product for scalars in flash."""
    _lines[:] = ["@ Generated by field_m0.py.", "\t.syntax unified", "\t.cpu cortex-m0plus", "\t.thumb"]
    section(".time_critical.tessera_field")
    mul()
    sqr()
    add()
    subtract("tessera_m0_fe_sub", 1)
    subtract("tessera_m0_fe_sub2", 2)
    neg()
    half()
    mul3()
    choose()
    section(".text.tessera_wide_mul")
    wide_mul()
    return "\n".join(_lines) + "\n"


def main() -> None:
    with open(sys.argv[1], "w") as output:
        output.write(generate())


if __name__ == "__main__":
    main()
