"""SHA-256's compression as the image has it (firmware/modules/sha256): published digests, hashlib, time, stack."""

import hashlib
import random
import struct
from pathlib import Path

from tests.support.kept_runs import call
from tools.emulator.calls import SCRATCH, Call

STATE, BLOCK = SCRATCH, SCRATCH + 256
STACK = 240
# FIPS 180-4, 5.3.3.
INITIAL = bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19")
# FIPS 180-2, appendix B.
PUBLISHED = {
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": "248d6a61d20638b8e5c026930c3e6039"
    "a33ce45964ff2167f6ecedd419db06c1",
}


def swapped(words: bytes) -> bytes:
    """Eight words between the order of a digest and the processor's."""
    return struct.pack("<8I", *struct.unpack(">8I", words))


def padded(message: bytes) -> bytes:
    return message + b"\x80" + bytes(-(len(message) + 9) % 64) + struct.pack(">Q", 8 * len(message))


def calls_of(message: bytes, offset: int = 0) -> list[Call]:
    """A call a block; the first one begins the state, the last one reads it."""
    data = padded(message)
    blocks = [data[at : at + 64] for at in range(0, len(data), 64)]
    arguments = (STATE, BLOCK + offset)
    return [
        Call(
            "tessera_sha256_block",
            arguments,
            ((BLOCK + offset, block), *(((STATE, swapped(INITIAL)),) if number == 0 else ())),
            ((STATE, 32),),
        )
        for number, block in enumerate(blocks)
    ]


def test_digests_are_those_of_the_standard(board_image: Path) -> None:
    for message, digest in PUBLISHED.items():
        assert swapped(call(board_image, calls_of(message))[-1].read[0]).hex() == digest


def test_digests_are_those_of_hashlib_in_one_time_a_block(board_image: Path) -> None:
    dice = random.Random("sha256")
    messages = [dice.randbytes(length) for length in range(0, 400, 7)] + [b"\0" * 64, b"\xff" * 64]
    for offset in (0, 1, 2, 3):
        calls, ends = [], []
        for message in messages:
            calls += calls_of(message, offset)
            ends.append(len(calls) - 1)
        answers = call(board_image, calls)
        for message, end in zip(messages, ends, strict=True):
            assert swapped(answers[end].read[0]) == hashlib.sha256(message).digest()
        assert len({answer.cycles for answer in answers}) == 1
        for answer in answers:
            assert answer.changed == ()
            assert answer.stack <= STACK
