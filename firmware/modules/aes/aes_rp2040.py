"""Generates the assembly of aes_rp2040.h: AES (FIPS 197) in CBC mode on the RP2040, a Cortex-M0+ with interpolators.

Usage: aes_rp2040.py OUTPUT    run by micropython.cmake; the output is not kept under version control

OUTPUT ends in .s, or in .h: then it is the tables alone, for the rounds in C (aes.c).

A round is sixteen look-ups in a table that holds SubBytes and MixColumns together, T[x] = (2s, s, s, 3s) for s = S(x).
The bytes b0 to b3 that meet in a column contribute T[b0], T[b1] <<< 8, T[b2] <<< 16 and T[b3] <<< 24, so with T and
T <<< 16 side by side (8 bytes an entry) one rotation a column is left: (T[b0] ^ T16[b2]) ^ (T[b1] ^ T16[b3]) <<< 8.

What a Cortex-M0+ spends its time on is to cut bytes out of words and to scale them to offsets, with too few registers
for masks and tables. Each core of an RP2040 has two interpolators (datasheet 2.3.1.6): units that shift a word right,
mask it and add a base, twice at once, and are read like a register, in one cycle. A column written to both, and four
addresses are there to be read. Three of them are shifts to the right; the lowest byte's would be one to the left, which
there is not. It is the first interpolator's blend: as many 256ths as a byte says of the way from one base to another,
and with the table's begin and end for bases that is where the byte's entry is. The interpolators also keep the tables'
addresses, and which table they point to is all that tells decryption from encryption: with columns 1 and 3 exchanged,
InvShiftRows is ShiftRows.

Every access is to RAM or to an interpolator, none to the flash and its cache; nothing branches on data. A load from RAM
takes two cycles, wherever it is. So time depends on the number of blocks and rounds only, as long as nothing else uses
the same bank of RAM in the same cycle (README.md).

Convention: the procedure call standard. The interpolators' accumulators are cleared at the end, their settings are not
put back: an interrupt handler that uses the interpolators of this core has to save and restore them.
"""

import sys

# Interpolators, from SIO: a base from which all of their registers are in reach and whose lowest byte, taken modulo 32,
# is 24: RORS takes it for an amount, and that is a rotation to the left by 8.
SIO = 0xD0000078
ACCUMULATORS = (0x80, 0xC0)  # of the two interpolators, counted from 0xD0000000
LANES = (0xA4, 0xA8, 0xE0, 0xE4)  # addresses of the entries for b0 (blended), b1 (with the third base), b2, b3
BASES = (0x88, 0x8C, 0x90, 0xC8, 0xCC)  # the first interpolator's three, the second's two
FIELD = 3 << 5 | 10 << 10  # lowest and highest bit of the mask: of a byte, times the bytes of an entry
BYTE = 7 << 10  # the same for a byte as it is
CROSS = 1 << 16  # the second lane takes the first one's accumulator
BLEND = 1 << 21
CONTROLS = {0xAC: 5 | FIELD | BLEND, 0xB0: BYTE | CROSS, 0xEC: 13 | FIELD, 0xF0: 21 | FIELD | CROSS}
TABLE_BYTES = 256 * 8

UNROLLED = 4  # rounds of the loop, even: two rounds exchange the registers twice

# Words of the stack frame; above it eight saved registers and the return address, then the fifth argument.
KEY, SBOX, LIMIT, IV = range(4)
FRAME_WORDS = 4
SAVED_WORDS = 9

_lines: list[str] = []


# --- Tables ----------------------------------------------------------------------------------------------------------


def times(a: int, b: int) -> int:
    """The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for _ in range(8):
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def substitution() -> list[int]:
    """SubBytes (FIPS 197, 5.1.1): the inverse, then an affine map."""
    inverse = [next((y for y in range(256) if times(x, y) == 1), 0) for x in range(256)]
    return [y ^ rotated(y, 1, 8) ^ rotated(y, 2, 8) ^ rotated(y, 3, 8) ^ rotated(y, 4, 8) ^ 0x63 for y in inverse]


def rotated(word: int, left: int, bits: int = 32) -> int:
    return (word << left | word >> (bits - left)) & ((1 << bits) - 1)


def round_table(box: list[int], column: tuple[int, int, int, int]) -> list[int]:
    """Of every byte: its substitute times the first column of the mix, the first row in the lowest byte."""
    return [sum(times(s, factor) << 8 * row for row, factor in enumerate(column)) for s in box]


SUBSTITUTION = substitution()
INVERSE_SUBSTITUTION = [SUBSTITUTION.index(x) for x in range(256)]
ENCRYPTION = round_table(SUBSTITUTION, (2, 1, 1, 3))
DECRYPTION = round_table(INVERSE_SUBSTITUTION, (14, 9, 13, 11))


BOXES = {"substitution": SUBSTITUTION, "inverse_substitution": INVERSE_SUBSTITUTION}
WORDS = {"encryption": ENCRYPTION, "decryption": DECRYPTION}


def tables() -> None:
    """Each word beside itself rotated by half, then the bytes."""
    for name, table in WORDS.items():
        begin_data(f"tessera_aes_{name}")
        _lines.extend(f"\t.word 0x{word:08x}, 0x{rotated(word, 16):08x}" for word in table)
        _lines.append(f"\t.size tessera_aes_{name}, . - tessera_aes_{name}")
    for name, box in BOXES.items():
        begin_data(f"tessera_aes_{name}")
        _lines.extend("\t.byte " + ", ".join(map(str, box[at : at + 16])) for at in range(0, 256, 16))
        _lines.append(f"\t.size tessera_aes_{name}, . - tessera_aes_{name}")


def header() -> str:
    """The same in C. Not const: a linker puts what is into flash, behind a cache."""
    lines = ["// Generated by aes_rp2040.py."]
    for name, table in WORDS.items():
        lines.append(f"static uint32_t tessera_aes_{name}[256][2] = {{")
        lines.extend(f"    {{0x{word:08x}, 0x{rotated(word, 16):08x}}}," for word in table)
        lines.append("};")
    for name, box in BOXES.items():
        lines.append(f"static uint8_t tessera_aes_{name}[256] = {{")
        lines.extend("    " + " ".join(f"{byte}," for byte in box[at : at + 16]) for at in range(0, 256, 16))
        lines.append("};")
    return "\n".join(lines) + "\n"


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


def sio(register: int) -> str:
    """The operand that is a register of the interpolators; r4 holds SIO."""
    return f"[r4, #{register - (SIO & 0xFF)}]"


def begin_data(name: str) -> None:
    _lines.extend(["", f"\t.global {name}", f"\t.type {name}, %object", "\t.balign 4", f"{name}:"])


def begin(name: str) -> None:
    _lines.extend(["", f"\t.global {name}", f"\t.type {name}, %function", "\t.thumb_func", "\t.balign 4", f"{name}:"])


# --- Rounds ----------------------------------------------------------------------------------------------------------
# The state's four columns alternate between r0 to r3 and r0, r5, r6, r7. r4 is SIO; r8 the next round key, r9 the last;
# r10 and r11 are where the next blocks come from and go to; r12 leads into the rounds and lr out of them.

STATES = (("r0", "r1", "r2", "r3"), ("r0", "r5", "r6", "r7"))


def write(word: str) -> None:
    """Hands a column to the interpolators, after which its register is free."""
    emit("; ".join(f"str {word}, {sio(accumulator)}" for accumulator in ACCUMULATORS))


def look_up(byte: int, target: str) -> None:
    """target = the table's word for this byte of the column that was written last."""
    emit(f"ldr {target}, {sio(LANES[byte])}; ldr {target}, [{target}]")


def add(byte: int, target: str, scratch: str) -> None:
    look_up(byte, scratch)
    emit(f"eors {target}, {scratch}")


def full_round(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Byte k of column j belongs to column j - k. Even bytes (X) as they are, odd ones (Y) to be rotated together."""
    _, s1, s2, s3 = before
    t0, t1, t2, t3 = after
    write(t0)
    look_up(1, t3)
    look_up(2, t2)
    look_up(3, t1)
    look_up(0, t0)
    write(s2)
    for byte, target in ((0, t2), (1, t1), (2, t0), (3, t3)):
        add(byte, target, s2)
    emit(f"rors {t1}, r4; rors {t3}, r4")
    write(s1)
    add(0, t1, s1)
    add(2, t3, s1)
    look_up(1, s2)  # Y of column 0
    look_up(3, s1)  # Y of column 2
    write(s3)
    for byte, target in ((0, t3), (1, s1), (2, t1), (3, s2)):
        add(byte, target, s3)
    emit(f"rors {s2}, r4; rors {s1}, r4; eors {t0}, {s2}; eors {t2}, {s1}")
    add_key("r8", s1, (s2, s3), after)
    emit(f"mov r8, {s1}")


def add_key(source: str, pointer: str, pair: tuple[str, str], state: tuple[str, ...]) -> None:
    """state ^= the round key at `source`; the next one's address is in `pointer` then."""
    emit(f"ldr {pointer}, {source}" if source.startswith("[") else f"mov {pointer}, {source}")
    for first in (0, 2):
        emit(f"ldm {pointer}!, {{{pair[0]}, {pair[1]}}}")
        emit(f"eors {state[first]}, {pair[0]}; eors {state[first + 1]}, {pair[1]}")


def last_round() -> None:
    """From r0 to r3 to r0, r5, r6, r7: bytes of the S-box alone. r4 is lost."""
    emit(f"ldr r4, {frame(SBOX)}")
    state = STATES[0]
    for column, (target, scratch) in enumerate((("r5", "r6"), ("r5", "r6"), ("r6", "r7"), ("r7", None))):
        for byte in (3, 2, 1, 0):
            word = state[(column + byte) % 4]
            # In the last column each word's last byte is taken: its register serves.
            at = target if byte == 3 else scratch or word
            emit(f"uxtb {at}, {word}" if byte == 0 else f"lsrs {at}, {word}, #{8 * byte}")
            if byte in (1, 2):
                emit(f"uxtb {at}, {at}")
            emit(f"ldrb {at}, [r4, {at}]")
            if byte < 3:
                emit(f"lsls {target}, {target}, #8; orrs {target}, {at}")
        if column == 0:
            emit("mov r8, r5")  # which is r9 by now
    emit("mov r0, r8")
    add_key("r9", "r1", ("r2", "r3"), STATES[1])


def core() -> None:
    """Rounds minus one full rounds, an odd number, entered where UNROLLED times some remain after it; and the last."""
    say("the rounds")
    label("rounds")
    for number in range(UNROLLED):
        if number % 2:
            label(f"enter_{number}")
        full_round(STATES[number % 2], STATES[1 - number % 2])
    emit("cmp r5, r9; beq 1f; b rounds")  # too far for a conditional branch
    label("1")
    last_round()
    emit("bx lr")


# --- CBC -------------------------------------------------------------------------------------------------------------


def enter() -> None:
    emit("push {r4-r7, lr}; mov r4, r8; mov r5, r9; mov r6, r10; mov r7, r11; push {r4-r7}")
    emit(f"sub sp, #{4 * FRAME_WORDS}")
    say("where rounds begin: of 10 or 14 there are 1 + 4n full ones, of 12 there are 3 + 4n")
    emit(f"ldr r5, [r0]; adds r0, #4; str r0, {frame(KEY)}; lsls r6, r5, #4; adds r6, r0; mov r9, r6")
    emit("ldr r6, =enter_3 + 1; lsrs r5, r5, #2; bcs 1f; ldr r6, =enter_1 + 1")
    label("1")
    emit("mov r12, r6")


def set_interpolators(tables: str, box: str) -> None:
    emit(f"ldr r4, =0x{SIO:x}")
    for control, setting in CONTROLS.items():
        emit(f"ldr r5, =0x{setting:x}; str r5, {sio(control)}")
    emit(f"ldr r5, ={tables}; ldr r6, ={tables} + {TABLE_BYTES}")
    for base, register in zip(BASES[:3], ("r5", "r6", "r5"), strict=True):
        emit(f"str {register}, {sio(base)}")
    emit(f"adds r5, #4; str r5, {sio(BASES[3])}; str r5, {sio(BASES[4])}")
    emit(f"ldr r5, ={box}; str r5, {frame(SBOX)}")


def leave() -> None:
    say("nothing of the data stays")
    emit(f"ldr r4, =0x{SIO:x}; movs r0, #0")
    for register in ACCUMULATORS:
        emit(f"str r0, {sio(register)}")
    emit(f"add sp, #{4 * FRAME_WORDS}; pop {{r4-r7}}; mov r8, r4; mov r9, r5; mov r10, r6; mov r11, r7")
    emit("pop {r4-r7, pc}")


def encryption() -> None:
    begin("tessera_rp2040_cbc_encrypt")
    enter()
    set_interpolators("tessera_aes_encryption", "tessera_aes_substitution")
    emit(f"mov r10, r2; mov r11, r3; ldr r2, {frame(FRAME_WORDS + SAVED_WORDS)}; lsls r2, r2, #4; adds r3, r2")
    emit(f"str r3, {frame(LIMIT)}; ldr r2, =encrypted + 1; mov lr, r2; ldm r1!, {{r0, r5, r6, r7}}; b 2f")
    label("encrypted")
    emit(f"mov r1, r11; stm r1!, {{r0, r5, r6, r7}}; mov r11, r1; ldr r2, {frame(LIMIT)}; cmp r1, r2; beq 9f")
    emit(f"ldr r4, =0x{SIO:x}")
    label("2")
    add_key("r10", "r1", ("r2", "r3"), STATES[1])  # the next block, added to the one before
    emit("mov r10, r1")
    add_key(frame(KEY), "r1", ("r2", "r3"), STATES[1])
    emit("mov r8, r1; bx r12")
    label("9")
    leave()
    emit(".pool; .size tessera_rp2040_cbc_encrypt, . - tessera_rp2040_cbc_encrypt")


def decryption() -> None:
    """From the last block to the first: the ciphertext that is added to a block is the next to be decrypted, and is
    still there if the result takes its place."""

    def write_block(going_on: bool) -> None:
        """Adds what r1 points to and stores the block at r4; columns 1 and 3 are exchanged. What was added goes on."""
        for (one, other), at in ((("r0", "r7"), 0), (("r6", "r5"), 8)):
            emit(f"ldm r1!, {{r2, r3}}; eors {one}, r2; eors {other}, r3")
            emit(f"str {one}, [r4, #{at}]; str {other}, [r4, #{at + 4}]")
            if going_on:
                emit(f"mov {one}, r2; mov {other}, r3")

    begin("tessera_rp2040_cbc_decrypt")
    enter()
    set_interpolators("tessera_aes_decryption", "tessera_aes_inverse_substitution")
    emit(f"str r1, {frame(IV)}; str r2, {frame(LIMIT)}; ldr r1, {frame(FRAME_WORDS + SAVED_WORDS)}")
    emit("subs r1, #1; lsls r1, r1, #4; adds r3, r1; mov r11, r3; adds r1, r2; mov r10, r1")
    emit("ldr r2, =decrypted + 1; mov lr, r2")
    emit("ldm r1!, {r0, r5, r6, r7}; mov r1, r5; mov r5, r7; mov r7, r1; b 2f")
    label("decrypted")
    emit(f"mov r4, r11; mov r1, r10; ldr r2, {frame(LIMIT)}; cmp r1, r2; beq 9f")
    emit("subs r1, #16; mov r10, r1")
    write_block(going_on=True)
    emit(f"subs r4, #16; mov r11, r4; ldr r4, =0x{SIO:x}")
    label("2")
    add_key(frame(KEY), "r1", ("r2", "r3"), STATES[1])
    emit("mov r8, r1; bx r12")
    label("9")
    emit(f"ldr r1, {frame(IV)}")
    write_block(going_on=False)
    leave()
    emit(".pool; .size tessera_rp2040_cbc_decrypt, . - tessera_rp2040_cbc_decrypt")


# --- The file --------------------------------------------------------------------------------------------------------


def generate() -> str:
    """The assembly: code and tables, all in RAM (.time_critical: the SDK's linker script puts that there)."""
    _lines[:] = ["@ Generated by aes_rp2040.py.", "\t.syntax unified", "\t.cpu cortex-m0plus", "\t.thumb"]
    _lines.append('\n\t.section .time_critical.tessera_aes, "ax", %progbits')
    encryption()
    decryption()
    core()
    _lines.append('\n\t.section .time_critical.tessera_aes_tables, "a", %progbits')
    tables()
    return "\n".join(_lines) + "\n"


def main() -> None:
    with open(sys.argv[1], "w") as output:
        output.write(header() if sys.argv[1].endswith(".h") else generate())


if __name__ == "__main__":
    main()
