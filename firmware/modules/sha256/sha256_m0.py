"""Generates the assembly of sha256_m0.h: the compression function of SHA-256 (FIPS 180-4, 6.2.2) on a Cortex-M0+.

Usage: sha256_m0.py OUTPUT    run by micropython.cmake; the output is not kept under version control

A Cortex-M0+ computes in eight registers, and rotates by an amount that is in one. So of the eight variables only a and
e are in low registers, where sums of rotations need them; b, c, d and f, g, h wait in high ones, as two rings: a round
puts a where d was and e where h was, and nothing else moves. Both sums are nested: a>>>2 ^ a>>>13 ^ a>>>22 is
((a>>>9 ^ a)>>>11 ^ a)>>>2. The majority of a, b, c is b ^ (a^b & b^c), and b^c is the a^b of the round before.

Sixteen rounds, then the next sixteen words of the schedule in their place, three times; and sixteen rounds. Straight
line but for that, no table but the constants: time and addresses do not depend on data. It runs from flash, 2.3 KB.

Convention: the procedure call standard; both arguments aligned to words.
"""

import sys

A, CARRIED = "r0", "r5"  # a and b ^ c, which change places each round
E, FOURTEEN, CONSTANTS = "r1", "r6", "r7"
RINGS = (["r8", "r9", "r10"], ["r11", "r12", "lr"])  # b, c, d and f, g, h

# Words of the stack frame: sixteen of the schedule, then what waits while it is continued.
WAITING_A, WAITING_E, WAITING_CARRIED, WAITING_CONSTANTS, STATE = range(16, 21)
FRAME_WORDS = 21

_lines: list[str] = []


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


def nested(target: str, x: str, amounts: tuple[int, ...]) -> None:
    """target = ((x >>> amounts[0] ^ x) >>> amounts[1] ^ x) >>> amounts[2]; r4 is lost."""
    emit(f"mov {target}, {x}")
    for place, amount in enumerate(amounts):
        if place:
            emit(f"eors {target}, {x}")
        if amount == 14:
            emit(f"rors {target}, {FOURTEEN}")
        else:
            emit(f"movs r4, #{amount}; rors {target}, r4")


def compression_round(number: int, a: str, carried: str, rings: tuple[list[str], list[str]]) -> None:
    (b, _, d), (f, g, h) = rings
    nested("r2", E, (14, 5, 6))
    emit(f"mov r3, {f}; mov r4, {g}; eors r3, r4; ands r3, {E}; eors r3, r4; adds r2, r3; add r2, {h}")
    emit(f"ldr r3, {frame(number)}; adds r2, r3; ldm {CONSTANTS}!, {{r3}}; adds r2, r3")
    emit(f"mov {h}, {E}; mov {E}, {d}; adds {E}, r2")
    nested("r3", a, (9, 11, 2))
    emit(f"adds r2, r3; mov r3, {b}; mov {d}, {a}; eors {a}, r3; ands {carried}, {a}; eors {carried}, r3")
    emit(f"adds {carried}, r2")


def sixteen_rounds() -> None:
    a, carried = A, CARRIED
    rings = RINGS
    for number in range(16):
        compression_round(number, a, carried, rings)
        a, carried = carried, a
        first, second = ([ring[2], ring[0], ring[1]] for ring in rings)
        rings = (first, second)
    say("the rings have gone on by one")
    for home, ring in zip(RINGS, rings, strict=True):
        assert ring == [home[2], home[0], home[1]]
        emit(f"mov r2, {home[2]}; mov {home[2]}, {home[1]}; mov {home[1]}, {home[0]}; mov {home[0]}, r2")


def next_sixteen_words() -> None:
    """w[t] = w[t-16] + (w[t-15] >>> 7 ^ >>> 18 ^ >> 3) + w[t-7] + (w[t-2] >>> 17 ^ >>> 19 ^ >> 10)."""
    waiting = ((A, WAITING_A), (E, WAITING_E), (CARRIED, WAITING_CARRIED), (CONSTANTS, WAITING_CONSTANTS))
    for register, word in waiting:
        emit(f"str {register}, {frame(word)}")
    emit("movs r4, #11; movs r5, #7; movs r6, #2; movs r7, #17")
    old, following = "r0", "r1"
    emit(f"ldr {old}, {frame(0)}")
    for t in range(16):
        emit(f"ldr {following}, {frame((t + 1) % 16)}")
        emit(f"mov r2, {following}; rors r2, r4; eors r2, {following}; rors r2, r5")
        emit(f"lsrs r3, {following}, #3; eors r2, r3")
        emit(f"adds {old}, r2; ldr r2, {frame((t + 9) % 16)}; adds {old}, r2; ldr r3, {frame((t + 14) % 16)}")
        emit("mov r2, r3; rors r2, r6; eors r2, r3; rors r2, r7; lsrs r3, r3, #10; eors r2, r3")
        emit(f"adds {old}, r2; str {old}, {frame(t)}")
        old, following = following, old
    for register, word in waiting:
        emit(f"ldr {register}, {frame(word)}")
    emit(f"movs {FOURTEEN}, #14")


def compression() -> None:
    name = "tessera_m0_sha256"
    _lines.extend(["", f"\t.global {name}", f"\t.type {name}, %function", "\t.thumb_func", "\t.balign 4", f"{name}:"])
    emit("push {r4-r7, lr}; mov r4, r8; mov r5, r9; mov r6, r10; mov r7, r11; push {r4-r7}")
    emit(f"sub sp, #{4 * FRAME_WORDS}; str r0, {frame(STATE)}; mov r2, sp")
    for _ in range(4):
        emit("ldm r1!, {r3-r6}; rev r3, r3; rev r4, r4; rev r5, r5; rev r6, r6; stm r2!, {r3-r6}")
    emit("mov r7, r0; ldm r7!, {r0-r3}; mov r8, r1; mov r9, r2; mov r10, r3")
    emit("ldm r7!, {r1-r4}; mov r11, r2; mov r12, r3; mov lr, r4")
    emit(f"mov {CARRIED}, r8; mov r2, r9; eors {CARRIED}, r2; movs {FOURTEEN}, #14; ldr {CONSTANTS}, =constants")
    emit("b 1f; .pool")
    label("1")
    sixteen_rounds()
    emit(f"ldr r2, =constants + {4 * 64}; cmp {CONSTANTS}, r2; bne 2f; b 3f")
    emit(".pool")
    label("2")
    next_sixteen_words()
    emit("b 1b")
    label("3")
    emit(f"ldr r7, {frame(STATE)}")
    for place, variable in enumerate((A, *RINGS[0], E, *RINGS[1])):
        emit(f"ldr r2, [r7, #{4 * place}]; add r2, {variable}; str r2, [r7, #{4 * place}]")
    say("nothing of the data stays on the stack")
    emit("movs r0, #0; movs r1, #0; movs r2, #0; mov r3, sp")
    for _ in range(6):
        emit("stm r3!, {r0-r2}")
    emit(f"stm r3!, {{r0}}; add sp, #{4 * FRAME_WORDS}; pop {{r4-r7}}")
    emit("mov r8, r4; mov r9, r5; mov r10, r6; mov r11, r7; pop {r4-r7, pc}")
    emit(f".size {name}, . - {name}")


def primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def cube_root_bits(prime: int) -> int:
    """The first 32 bits of the fraction of its cube root (FIPS 180-4, 4.2.2)."""
    low, high = 0, prime << 32
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= prime << 96 else (low, middle)
    return low & 0xFFFFFFFF


def generate() -> str:
    """The assembly."""
    _lines[:] = ["@ Generated by sha256_m0.py.", "\t.syntax unified", "\t.cpu cortex-m0plus", "\t.thumb"]
    _lines.append('\n\t.section .text.tessera_sha256, "ax", %progbits')
    compression()
    _lines.extend(["", "\t.balign 4", "constants:"])
    _lines.extend(f"\t.word 0x{cube_root_bits(prime):08x}" for prime in primes(64))
    return "\n".join(_lines) + "\n"


def main() -> None:
    with open(sys.argv[1], "w") as output:
        output.write(generate())


if __name__ == "__main__":
    main()
