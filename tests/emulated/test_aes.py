"""AES as the image has it (firmware/modules/aes): published vectors, pages against `cryptography`, time, stack.

A share of pages and keys runs here; all of them: `make test-long`, or pytest -m long with this file. Cycles are exact,
so "the same time" is an equality.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support.kept_runs import call
from tools.emulator.calls import RAM, SCRATCH, Answer, Call, curve_functions

PAGE = 256
MOST_RAM = 6 * 1024  # of code and tables
ASSEMBLY_STACK, STACK = 52, 800  # of the assembly; of what calls it
PIECE = 1000  # pages of a run
SHARE, ALL_PAGES, ALL_KEYS = 100, 100_000, 1000

# Memory of a call.
KEY, SCHEDULE, IV, INPUT, OUTPUT = SCRATCH, SCRATCH + 64, SCRATCH + 512, SCRATCH + 1024, SCRATCH + 2048
GUARD = bytes(range(0xA0, 0xB0))

# FIPS 197, appendix C: one plaintext under the first 16, 24 and 32 bytes of 00 01 02 …
EXAMPLE = bytes.fromhex("00112233445566778899aabbccddeeff")
EXAMPLES = {
    16: "69c4e0d86a7b0430d8cdb78070b4c55a",
    24: "dda97ca4864cdfe06eaf70a0ec0d7191",
    32: "8ea2b7ca516745bfeafc49904b496089",
}

# NIST SP 800-38A, F.2: CBC over four blocks, IV 00 01 02 …
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
CHAINED = {
    "2b7e151628aed2a6abf7158809cf4f3c": "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
    "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b": "4f021db243bc633d7178183a9fa071e8"
    "b4d9ada9ad7dedf4e5e738763f69145a"
    "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": "f58c4c04d6e5f1ba779eabfb5f7bfbd6"
    "9cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
}


@dataclass(frozen=True)
class Work:
    """CBC over a message with a fresh schedule: two calls."""

    key: bytes
    iv: bytes
    message: bytes
    encrypts: bool
    source: int = INPUT
    target: int = OUTPUT

    @property
    def calls(self) -> list[Call]:
        kind = "encrypt" if self.encrypts else "decrypt"
        schedule = Call(f"tessera_aes_{kind}ion_key", (SCHEDULE, KEY, len(self.key)), ((KEY, self.key),))
        length = len(self.message)
        write = [(IV, self.iv), (self.target - 16, GUARD), (self.target + length, GUARD), (self.source, self.message)]
        read = [(self.target - 16, length + 32), (IV, 16)]
        arguments = (SCHEDULE, IV, self.source, self.target, length // 16)
        return [schedule, Call(f"tessera_aes_cbc_{kind}", arguments, tuple(write), tuple(read))]

    @property
    def expected(self) -> bytes:
        cipher = Cipher(algorithms.AES(self.key), modes.CBC(self.iv))
        context = cipher.encryptor() if self.encrypts else cipher.decryptor()
        return context.update(self.message)

    def check(self, schedule: Answer, done: Answer) -> None:
        result, iv = done.read
        assert result == GUARD + self.expected + GUARD
        assert iv == (self.expected if self.encrypts else self.message)[-16:]
        assert schedule.result == 0
        for answer in (schedule, done):
            assert answer.changed == ()
            assert answer.stack <= STACK


def check_all(image: Path, works: Iterable[Work]) -> list[tuple[Answer, Answer]]:
    """The answers of each: its schedule's and its chain's."""
    works = list(works)
    answers = call(image, [each for work in works for each in work.calls])
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    for work, pair in zip(works, pairs, strict=True):
        work.check(*pair)
    return pairs


def pages(name: str, count: int) -> list[Work]:
    dice = random.Random(name)
    return [Work(dice.randbytes(32), dice.randbytes(16), dice.randbytes(PAGE), bool(i % 2)) for i in range(count)]


@pytest.mark.parametrize("length", EXAMPLES)
def test_blocks_are_those_of_the_standard(board_image: Path, length: int) -> None:
    key, encrypted = bytes(range(length)), bytes.fromhex(EXAMPLES[length])
    for kind, given, expected in (("encrypt", EXAMPLE, encrypted), ("decrypt", encrypted, EXAMPLE)):
        schedule = Call(f"tessera_aes_{kind}ion_key", (SCHEDULE, KEY, length), ((KEY, key),))
        block = Call(f"tessera_aes_{kind}", (SCHEDULE, INPUT, OUTPUT), ((INPUT, given),), ((OUTPUT, 16),))
        assert call(board_image, [schedule, block])[1].read[0] == expected


@pytest.mark.parametrize(("key", "encrypted"), CHAINED.items(), ids=("128", "192", "256"))
def test_chains_are_those_of_the_standard(board_image: Path, key: str, encrypted: str) -> None:
    iv, expected = bytes(range(16)), bytes.fromhex(encrypted)
    there = Work(bytes.fromhex(key), iv, MESSAGE, encrypts=True)
    back = Work(bytes.fromhex(key), iv, expected, encrypts=False)
    assert (there.expected, back.expected) == (expected, MESSAGE)
    check_all(board_image, [there, back])


@pytest.mark.parametrize("count", [SHARE, pytest.param(ALL_PAGES, marks=pytest.mark.long)])
def test_random_pages_are_those_of_cryptography(board_image: Path, count: int) -> None:
    for start in range(0, count, PIECE):
        check_all(board_image, pages(f"pages from {start}", min(PIECE, count - start)))


@pytest.mark.parametrize("count", [SHARE, pytest.param(ALL_KEYS, marks=pytest.mark.long)])
def test_time_is_the_same_for_all_keys_and_data(board_image: Path, count: int) -> None:
    """Among them keys and data of zeros and ones, which take every look-up to one place."""
    flat = [
        Work(byte * 32, byte * 16, byte * PAGE, encrypts) for byte in (b"\0", b"\xff") for encrypts in (True, False)
    ]
    works = pages("keys", count) + flat
    taken = check_all(board_image, works)
    for encrypts in (True, False):
        of_kind = [pair for work, pair in zip(works, taken, strict=True) if work.encrypts == encrypts]
        assert len({schedule.cycles for schedule, _ in of_kind}) == 1
        assert len({chain.cycles for _, chain in of_kind}) == 1


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_chains_of_any_length_in_place_and_where_no_word_begins(board_image: Path, bits: int) -> None:
    dice = random.Random(bits)
    places = [(INPUT, OUTPUT), (INPUT, INPUT), (INPUT, OUTPUT + 3), (INPUT + 1, OUTPUT), (INPUT + 2, INPUT + 2)]
    works = [
        Work(dice.randbytes(bits // 8), dice.randbytes(16), dice.randbytes(16 * blocks), encrypts, *place)
        for blocks in (1, 2, 15, 16, 17, 33)
        for encrypts in (True, False)
        for place in places
    ]
    check_all(board_image, works)


def test_keys_have_16_24_or_32_bytes(board_image: Path) -> None:
    for kind in ("encrypt", "decrypt"):
        calls = [Call(f"tessera_aes_{kind}ion_key", (SCHEDULE, KEY, length)) for length in (0, 15, 16, 17, 24, 32, 40)]
        assert [answer.result for answer in call(board_image, calls)] == [
            2**32 - 1,
            2**32 - 1,
            0,
            2**32 - 1,
            0,
            0,
            2**32 - 1,
        ]


def test_the_interpolators_forget(board_image: Path) -> None:
    """What a page's words leave in the accumulators is cleared; registers and stack are the caller's."""
    accumulators = [Call("tessera_rp2040_cbc_encrypt", (SCHEDULE, IV, INPUT, OUTPUT, 1))]
    work = pages("forgets", 1)[0]
    answers = call(board_image, [*work.calls, *accumulators])
    assert answers[-1].changed == ()
    assert answers[-1].stack == ASSEMBLY_STACK


def test_code_and_tables_are_in_ram_and_no_more_than_six_kilobytes(board_image: Path) -> None:
    found = {name: at for name, at in curve_functions(board_image).items() if name.startswith("tessera_rp2040_cbc_")}
    tables = [
        curve_functions(board_image)[f"tessera_aes_{name}"]
        for name in ("encryption", "decryption", "substitution", "inverse_substitution")
    ]
    assert len(found) == 2
    for each in [*found.values(), *tables]:
        assert each["address"] >= RAM
    begin = min(each["address"] for each in [*found.values(), *tables])
    end = max(each["address"] + each["bytes"] for each in tables)
    assert end - begin <= MOST_RAM
