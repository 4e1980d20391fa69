# heap: 192k frozen
# What the C module promises beyond test_vectors_curve.py: no heap but for results, and room on the stack or a refusal.

import gc
import sys

from check import raises, skip, unhex, vectors
from tessera import curve
from tessera.runtime import MICROPYTHON

if MICROPYTHON:
    import micropython
    import secp256k1
    from uctypes import bytearray_at
else:
    skip("the C module is MicroPython's")

_SECRET, _OTHER, _SEED = b"\x05" * 32, b"\x06" * 32, b"\x07" * 32
_POINT = secp256k1.public(_SECRET)


def _signed():
    row = vectors("bip340")[1]
    return [unhex(row[name]) for name in ("signature", "message", "public_key")]


def _calls():
    """(function, arguments it takes, bytes of its result; 0 for True, False or None)."""
    return (
        (secp256k1.verify, _signed(), 0),
        (secp256k1.sign, [_SECRET, _OTHER, _SEED], 64),
        (secp256k1.public, [_SECRET], 33),
        (secp256k1.dh, [_OTHER, _POINT], 32),
        (secp256k1.tweak_add, [_POINT[1:], _OTHER], 33),
        (secp256k1.randomize, [_SEED], 0),
    )


def _types():
    """(type, the argument it takes, the most bytes an object of it may take)."""
    return (
        (secp256k1.Secret, [_SECRET], 64),
        (secp256k1.Point, [_POINT], 96),
        (secp256k1.PreparedKey, [_POINT[1:]], 2048 + 96),
    )


def test_core_of_every_binary_uses_libsecp256k1():
    assert curve.TIER == secp256k1.TIER
    name, version = curve.TIER.split(" ")
    assert name == "libsecp256k1"
    assert len([int(part) for part in version.split(".")]) == 3


# -- heap


def _heap_taken(function, arguments):
    """Bytes of heap that a call leaves in use; without collections in between, those of its result and of waste."""
    gc.collect()
    before = gc.mem_alloc()
    result = function(*arguments)
    after = gc.mem_alloc()
    del result
    return after - before


def test_verification_and_randomization_need_no_heap():
    signature, message, key = _signed()
    forged = bytes(64)
    prepared = secp256k1.PreparedKey(key)
    micropython.heap_lock()
    try:
        good = secp256k1.verify(signature, message, key)
        bad = secp256k1.verify(forged, message, key)
        malformed = secp256k1.verify(key, message, signature)
        good_too = secp256k1.verify(signature, message, prepared)
        bad_too = secp256k1.verify(forged, message, prepared)
        secp256k1.randomize(_SEED)
    finally:
        micropython.heap_unlock()
    assert (good, bad, malformed, good_too, bad_too) == (True, False, False, True, False)


def test_other_functions_take_the_heap_of_their_result():
    for function, arguments, size in _calls():
        if size:
            copied = _heap_taken(bytes, [bytearray(size)])
            assert _heap_taken(function, arguments) == copied, (function, copied)


def test_types_take_the_heap_of_their_object():
    for function, arguments, most in _types():
        assert _heap_taken(function, arguments) <= most, function


# -- stack


def _dive(function, arguments):
    """Calls the function deeper and deeper until it refuses; the depth, at which Python itself still runs."""
    try:
        function(*arguments)
    except RuntimeError:
        return 0
    return 1 + _dive(function, arguments)


def test_without_room_on_the_stack_every_function_refuses():
    for function, arguments, _ in _calls() + _types():
        assert _dive(function, arguments) > 0, function


def _stack():
    """The memory of this process's stack."""
    with open("/proc/self/maps") as maps:
        line = next(line for line in maps if "[stack]" in line)
    start, end = [int(address, 16) for address in line.split()[0].split("-")]
    return bytearray_at(start, end - start)


def test_secrets_do_not_stay_on_the_stack():
    if sys.platform != "linux":
        skip("only Linux shows a process its stack")
    secret = unhex("a1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899aabbccddeeff01")
    number = bytes(reversed(secret))  # as the library keeps it: words of 32 or 64 bits, the lowest byte first
    stack = _stack()
    for function, arguments in (
        (secp256k1.dh, [secret, _POINT]),
        (secp256k1.public, [secret]),
        (secp256k1.sign, [secret, _OTHER, _SEED]),
        (secp256k1.Secret, [secret]),
    ):
        function(*arguments)
        for trace in (secret[:16], secret[16:], number[:16], number[16:]):
            assert stack.find(trace) < 0, function


# -- arguments


def test_randomizing_changes_no_result():
    results = []
    for seed in (_SEED, _OTHER, bytes(32)):
        secp256k1.randomize(seed)
        results.append((secp256k1.public(_SECRET), secp256k1.sign(_SECRET, _OTHER, _SEED)))
    assert results[0] == results[1] == results[2]


def test_seeds_of_another_length_are_refused():
    for seed in (b"", bytes(31), bytes(33)):
        raises(ValueError, secp256k1.randomize, seed)


def test_what_has_no_bytes_is_refused():
    for function, arguments, _ in _calls() + _types():
        for place in range(len(arguments)):
            wrong = list(arguments)
            for value in (None, 5, [0] * len(arguments[place])):
                wrong[place] = value
                raises(TypeError, function, *wrong)


def test_types_take_one_argument():
    for function, arguments, _ in _types():
        raises(TypeError, function)
        raises(TypeError, function, *(arguments + arguments))
