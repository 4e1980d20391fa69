# The relay's time: set once, corrected forward only, from ticks that wrap (PROTOCOL §3).

from tessera.clock import Clock

_NOON = 1_700_000_000_000
_PERIOD = 1 << 30  # of a board's ticks_ms


class _Ticks:
    """A tick counter that wraps as MicroPython's does."""

    def __init__(self, start=0):
        self.now = start

    def ms(self):
        return self.now % _PERIOD

    def diff(self, later, earlier):
        return (later - earlier + _PERIOD // 2) % _PERIOD - _PERIOD // 2


def _clock(start=0):
    ticks = _Ticks(start)
    return Clock(ticks.ms, ticks.diff), ticks


def test_time_is_unknown_until_it_is_set():
    clock, ticks = _clock()
    assert not clock.known
    ticks.now += 1000
    assert clock.uptime_ms() == 1000
    clock.set(_NOON)
    assert clock.known and clock.now_ms() == _NOON


def test_time_runs_on_with_the_ticks():
    clock, ticks = _clock()
    clock.set(_NOON)
    ticks.now += 12345
    assert clock.now_ms() == _NOON + 12345 and clock.uptime_ms() == 12345


def test_uptime_goes_on_where_the_ticks_wrap():
    clock, ticks = _clock(_PERIOD - 5)
    clock.set(_NOON)
    for _ in range(10):
        ticks.now += _PERIOD // 2 - 1
        clock.uptime_ms()
    assert clock.uptime_ms() == 10 * (_PERIOD // 2 - 1)
    assert clock.now_ms() == _NOON + 10 * (_PERIOD // 2 - 1)


def test_a_set_clock_never_goes_back():
    clock, ticks = _clock()
    clock.set(_NOON)
    ticks.now += 500
    clock.set(_NOON)
    clock.set(0)
    assert clock.now_ms() == _NOON + 500
    clock.set(_NOON + 10_000_000)
    assert clock.now_ms() == _NOON + 10_000_000


def test_corrections_go_forward_within_the_allowance():
    clock, _ = _clock()
    clock.set(_NOON)
    assert clock.correct(_NOON + 50) == 0, "no allowance yet"
    clock.allow(1000)
    assert clock.correct(_NOON + 300) == 300
    assert clock.correct(_NOON - 9999) == 0
    assert clock.correct(_NOON + 5000) == 700
    assert clock.correct(_NOON + 5000) == 0
    assert clock.now_ms() == _NOON + 1000


def test_an_allowance_does_not_add_up():
    clock, _ = _clock()
    clock.set(_NOON)
    for _ in range(3):
        clock.allow(1000)
    assert clock.correct(_NOON + 5000) == 1000


def test_a_correction_sets_a_clock_that_was_unknown():
    clock, ticks = _clock()
    ticks.now += 77
    assert clock.correct(_NOON) == 0
    assert clock.now_ms() == _NOON


def test_a_time_that_is_too_early_is_taken_from_nobody():
    clock, _ = _clock()
    clock.not_before(_NOON)
    clock.not_before(_NOON - 5)  # the later of both holds
    for early in (0, 946_684_800_000, _NOON - 1):
        assert not clock.possible(early)
        clock.set(early)
        assert clock.correct(early) == 0 and not clock.known
    clock.correct(_NOON)
    assert clock.known and clock.now_ms() == _NOON
    clock.provisional = True
    clock.correct(_NOON - 1)
    assert clock.now_ms() == _NOON
