"""libsecp256k1 over the field of the Cortex-M0+, as the image has it: results, registers, stack, and time of secrets.

Keys: a share here, a thousand with `make test-long`. Cycles are exact, so "the same time" is an equality.
"""

import hashlib
import random
from collections import defaultdict
from pathlib import Path

import coincurve
import pytest

from check import vectors
from tests.support.kept_runs import call
from tools.emulator.calls import Answer
from tools.emulator.curve import CHUNK_BITS, CHUNKS, POINTS, Library, coordinates

SHARE, ALL = 12, 1000
STACK_BYTES = 4608  # of a call into the library; the module's STACK_BYTES leaves room for its own frames
NAMES = ("public_key", "message", "signature")
FEW_OR_ALL = pytest.mark.parametrize("count", [SHARE, pytest.param(ALL, marks=pytest.mark.long)])

# Secrets at the ends of the range and with long runs of equal bits, which no branch may tell.
ORDER = 2**256 - 0x14551231950B75FC4402DA1732FC9BEBF
EDGES = [1, 2, 3, ORDER // 2, ORDER // 2 + 1, ORDER - 2, ORDER - 1, 2**128, 2**255, int("0f" * 32, 16)]


def secrets(count: int) -> list[bytes]:
    dice = random.Random("secrets")
    numbers = EDGES + [dice.randrange(1, ORDER) for _ in range(count - len(EDGES))]
    return [number.to_bytes(32, "big") for number in numbers]


def check_convention(answers: list[Answer]) -> None:
    """What the procedure call standard asks of a function in C, and that the stack holds."""
    for answer in answers:
        assert answer.changed == ()
        assert answer.stack <= STACK_BYTES


def one_time(answers: list[Answer]) -> bool:
    return len({answer.cycles for answer in answers}) == 1


def parities(secret: bytes, message: bytes, aux: bytes) -> tuple[int, int]:
    """Whether the points that a signature shows without their y (the key and the nonce's) have an odd one: BIP-340."""
    key = coincurve.PrivateKey(secret).public_key.format()
    number = int.from_bytes(secret, "big")
    even = (ORDER - number if key[0] == 3 else number).to_bytes(32, "big")
    masked = bytes(a ^ b for a, b in zip(even, tagged("BIP0340/aux", aux), strict=True))
    nonce = int.from_bytes(tagged("BIP0340/nonce", masked + key[1:] + message), "big") % ORDER
    return key[0], coincurve.PrivateKey(nonce.to_bytes(32, "big")).public_key.format()[0]


def tagged(tag: str, data: bytes) -> bytes:
    prefix = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(prefix + prefix + data).digest()


def test_bip340_table_is_that_of_the_standard(board_image: Path) -> None:
    library = Library(board_image)
    rows = [row for row in vectors("bip340") if len(row["message"]) == 64]
    assert {row["valid"] for row in rows} == {True, False}
    keys, messages, signatures = ([bytes.fromhex(row[name]) for row in rows] for name in NAMES)
    parsed = call(board_image, [library.parse_x(key) for key in keys])
    good = [i for i, answer in enumerate(parsed) if answer.result]  # what is no key must not be used
    calls = [each for i in good for each in (library.parse_x(keys[i]), library.verify(signatures[i], messages[i]))]
    verified = dict(zip(good, call(board_image, calls)[1::2], strict=True))
    check_convention([*parsed, *verified.values()])
    for i, row in enumerate(rows):
        assert bool(i in verified and verified[i].result) == row["valid"], row["comment"]


@FEW_OR_ALL
def test_public_keys_are_those_of_coincurve_in_one_time(board_image: Path, count: int) -> None:
    library = Library(board_image)
    keys = secrets(count)
    _, *answers = call(board_image, [library.make_context(), *(library.public(key) for key in keys)])
    for key, answer in zip(keys, answers, strict=True):
        assert coordinates(answer.read[0]) == coincurve.PrivateKey(key).public_key.format(compressed=False)
    check_convention(answers)
    assert one_time(answers)


@FEW_OR_ALL
def test_dh_is_that_of_coincurve_in_one_time(board_image: Path, count: int) -> None:
    """One point with all secrets; then each secret with a point of its own."""
    library = Library(board_image)
    keys = secrets(count)
    point = coincurve.PrivateKey(b"\x07" * 32).public_key.format()
    parsed, *answers = call(board_image, [library.parse(point), *(library.dh(key) for key in keys)])
    for key, answer in zip(keys, answers, strict=True):
        assert answer.read[0] == coincurve.PrivateKey(key).ecdh(point)
    check_convention([parsed, *answers])
    assert one_time(answers)
    points = [coincurve.PrivateKey(key).public_key.format() for key in reversed(keys)]
    calls = [each for key, other in zip(keys, points, strict=True) for each in (library.parse(other), library.dh(key))]
    others = call(board_image, calls)[1::2]
    for key, other, answer in zip(keys, points, others, strict=True):
        assert answer.read[0] == coincurve.PrivateKey(key).ecdh(other)


@FEW_OR_ALL
def test_signatures_are_those_of_coincurve_in_a_time_of_public_points(board_image: Path, count: int) -> None:
    """The time says whether the y of the key or of the nonce's point is odd, which BIP-340 makes no secret of.

    Also verified by the image, and refused with a bit turned over."""
    library = Library(board_image)
    keys = secrets(count)
    dice = random.Random("messages")
    messages = [(dice.randbytes(32), dice.randbytes(32)) for _ in keys]
    calls = [library.make_context()]
    for key, (message, aux) in zip(keys, messages, strict=True):
        calls += [library.key_pair(key), library.sign(message, aux)]
    _, *answers = call(board_image, calls)
    pairs, signed = answers[::2], answers[1::2]
    check_convention(answers)
    assert one_time(pairs)
    by_points = defaultdict(list)
    for key, (message, aux), answer in zip(keys, messages, signed, strict=True):
        by_points[parities(key, message, aux)].append(answer)
    assert all(one_time(answers) for answers in by_points.values())
    calls = []
    for key, (message, aux), answer in zip(keys, messages, signed, strict=True):
        private = coincurve.PrivateKey(key)
        signature = answer.read[0]
        assert signature == private.sign_schnorr(message, aux)
        forged = bytearray(signature)
        forged[dice.randrange(64)] ^= 1 << dice.randrange(8)
        calls += [library.parse_x(private.public_key.format()[1:]), library.verify(signature, message)]
        calls.append(library.verify(bytes(forged), message))
    answers = call(board_image, calls)
    check_convention(answers)
    assert {answer.result for answer in answers[1::3]} == {1}
    assert {answer.result for answer in answers[2::3]} == {0}


def test_a_prepared_keys_table_is_its_odd_multiples(board_image: Path) -> None:
    library = Library(board_image)
    for secret in (b"\x05" * 32, (ORDER - 1).to_bytes(32, "big")):
        key = coincurve.PrivateKey(secret).public_key.format()[1:]
        (answer,) = call(board_image, [library.prepare(key)])
        check_convention([answer])
        table = answer.read[0]
        even = coincurve.PublicKey(b"\x02" + key)
        factors = [(2 * i + 1) << CHUNK_BITS * chunk for chunk in range(CHUNKS) for i in range(POINTS)]
        points = [even.multiply(factor.to_bytes(32, "big")).format(compressed=False) for factor in factors]
        assert answer.result & 1 and table[:32] == key
        assert [coordinates(table[at : at + 64]) for at in range(32, len(table), 64)] == points


@FEW_OR_ALL
def test_signatures_of_coincurve_verify_under_prepared_keys_and_forged_ones_do_not(
    board_image: Path, count: int
) -> None:
    library = Library(board_image)
    dice = random.Random("prepared")
    calls = []
    for secret in secrets(count):
        private, message = coincurve.PrivateKey(secret), dice.randbytes(32)
        signature = private.sign_schnorr(message, dice.randbytes(32))
        forged = bytearray(signature)
        forged[dice.randrange(64)] ^= 1 << dice.randrange(8)
        calls.append(library.prepare(private.public_key.format()[1:]))
        calls += [library.verify_prepared(signature, message), library.verify_prepared(bytes(forged), message)]
    answers = call(board_image, calls)
    check_convention(answers)
    assert [answer.result & 1 for answer in answers] == [1, 1, 0] * len(secrets(count))


def test_what_is_no_key_cannot_be_prepared(board_image: Path) -> None:
    library = Library(board_image)
    rows = [row for row in vectors("bip340") if row["comment"].startswith("public key")]
    answers = call(board_image, [library.prepare(bytes.fromhex(row["public_key"])) for row in rows])
    assert len(rows) == 2 and not any(answer.result & 1 for answer in answers)


def test_a_verification_runs_from_less_flash_than_the_cache_holds(board_image: Path) -> None:
    """The RP2040's cache is 16 KiB for code and tables; what a cold verification has to fetch costs it two milliseconds
    as it is."""
    library = Library(board_image)
    row = vectors("bip340")[1]
    key, message, signature = (bytes.fromhex(row[name]) for name in NAMES)
    parsed, verified = call(board_image, [library.parse_x(key).traced(), library.verify(signature, message).traced()])
    assert verified.result == 1
    assert 4096 < parsed.code_bytes + verified.code_bytes < 16384
