# The random generator's health tests, and that no two boots of a relay draw the same bytes (PROTOCOL §1).

from check import raises
from dice import Dice
from tessera import drbg
from tessera.drbg import HmacDrbg, RelayGenerator, check_known_answer, check_source
from tessera.errors import Fault

_SEED = bytes(range(32))
_CHIP = b"chip number 1"


def _generator(seed=_SEED, boots=7, chip=_CHIP, hardware=b"hardware"):
    return RelayGenerator(seed, boots, chip, Dice(hardware).bytes)


def _stuck_after(good, length_of_run):
    """A source that gives so many good bytes and then one value so often."""
    data = Dice(b"good").bytes(good - 1) + b"\x00" + b"\x55" * length_of_run + b"\x01" + Dice(b"rest").bytes(400)
    place = [0]

    def source(length):
        place[0] += length
        return data[place[0] - length : place[0]]

    return source


def test_a_dead_source_is_a_fault():
    for byte in (b"\x00", b"\xff", b"\x5a"):
        raises(Fault, check_source, lambda length, byte=byte: byte * length)


def test_a_source_that_repeats_a_sample_is_a_fault():
    samples = [Dice(bytes((number,))).bytes(32) for number in range(7)]
    for repeated in range(7):
        reads = iter(samples + [samples[repeated]])
        raises(Fault, check_source, lambda _, reads=reads: next(reads))


def test_a_run_of_equal_bytes_is_a_fault_from_21_on():
    # SP 800-90B 4.4.1: cutoff 1 + ⌈20 / H⌉ for a false alarm in 2^20 and H = 1 bit a byte. Across two reads, too.
    for good in (1, 20, 25, 200):
        check_source(_stuck_after(good, 20))
        raises(Fault, check_source, _stuck_after(good, 21))


def test_a_live_source_passes():
    for number in range(20):
        check_source(Dice(bytes((number,))).bytes)


def test_a_build_that_fails_the_known_answer_draws_nothing():
    answer = drbg._KNOWN_OUTPUT
    drbg._KNOWN_OUTPUT = bytes(16)
    try:
        raises(Fault, check_known_answer)
        raises(Fault, _generator)
    finally:
        drbg._KNOWN_OUTPUT = answer
    check_known_answer()


def test_no_relay_starts_on_a_dead_source():
    raises(Fault, RelayGenerator, _SEED, 0, _CHIP, bytes)


def test_each_source_alone_makes_another_stream():
    streams = [
        _generator().random(64),
        _generator(boots=8).random(64),
        _generator(seed=bytes(32)).random(64),
        _generator(chip=b"chip number 2").random(64),
        _generator(hardware=b"other hardware").random(64),
    ]
    assert len(set(streams)) == 5
    assert _generator().random(64) == streams[0]


def test_a_new_seed_is_no_earlier_output_and_changes_what_follows():
    generator, other = _generator(), _generator()
    drawn = [generator.random(32) for _ in range(4)]
    seeds = [generator.new_seed() for _ in range(4)]
    assert len(set(drawn + seeds + [_SEED])) == 9
    assert [len(seed) for seed in seeds] == [32] * 4
    for _ in range(8):
        other.random(32)
    assert generator.random(32) != other.random(32)


def test_output_does_not_depend_on_what_is_asked_for_later():
    whole = HmacDrbg(_SEED).generate(100)
    for length in (1, 31, 32, 33, 99):
        assert HmacDrbg(_SEED).generate(length) == whole[:length]
    assert HmacDrbg(_SEED).generate(0) == b""


def test_a_generator_that_was_not_reseeded_in_time_is_a_fault():
    generator = HmacDrbg(_SEED)
    generator._calls = 1 << 20
    raises(Fault, generator.generate, 1)
    generator.reseed(bytes(32))
    assert len(generator.generate(1)) == 1
