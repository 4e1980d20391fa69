# What the chips of Espressif ask for, over fakes of their modules: the radio on while keys are drawn, as many sessions
# as the memory bears, and a fault in words where it bears no relay.

import sys

from check import not_on_a_board, raises
from tessera.errors import Error


class _Wlan:
    """network.WLAN: notes what it is told."""

    IF_STA = 0
    PM_NONE = 0

    def __init__(self, kind):
        assert kind == self.IF_STA
        self.told = _told

    def active(self, on):
        self.told.append(("active", on))

    def config(self, pm):
        self.told.append(("pm", pm))


_told = []


class _Module:
    def __init__(self, **names):
        for name in names:
            setattr(self, name, names[name])


class _Modules:
    """`with _Modules(name=module)`: what import finds meanwhile."""

    def __init__(self, **modules):
        self._modules = modules
        self._before = {}

    def __enter__(self):
        for name in self._modules:
            self._before[name] = sys.modules.get(name)
            sys.modules[name] = self._modules[name]

    def __exit__(self, *_):
        for name in self._modules:
            sys.modules.pop(name)
            if self._before[name] is not None:
                sys.modules[name] = self._before[name]


def _chip():
    not_on_a_board("an RP2 board has no such module")
    from device import chip_esp32

    del _told[:]
    return chip_esp32


def _urandom(length):
    assert ("active", True) in _told, "the radio is off: these are pseudo-random"
    return bytes(range(length))


def test_keys_are_drawn_with_the_radio_on_and_awake():
    chip = _chip()
    real, chip.os = chip.os, _Module(urandom=_urandom)
    try:
        with _Modules(network=_Module(WLAN=_Wlan)):
            assert chip.drawn(8) == bytes(range(8))
    finally:
        chip.os = real
    assert _told == [("active", True), ("pm", _Wlan.PM_NONE)]


def test_a_blank_board_draws_its_keys_from_the_boards_own_source():
    _chip()
    from device import provision

    build, machine = _Module(BOARD="ESP32_GENERIC"), _Module(unique_id=lambda: b"chip")
    slots = _Module(problem=None)
    with _Modules(board=_Module(random=_urandom), tessera_build=build, machine=machine, slots=slots):
        assert provision._here()._random_source is _urandom
    with _Modules(board=_Module(), tessera_build=build, machine=machine, slots=slots):
        assert provision._here()._random_source is provision.os.urandom


def test_there_are_as_many_sessions_as_the_memory_bears_and_no_more_than_wanted():
    chip = _chip()
    found = [chip.borne(kibibytes * 1024, 4) for kibibytes in (52, 59, 60, 67, 68, 500)]
    assert found == [2, 2, 3, 3, 4, 4]
    assert chip.borne(500 * 1024, 2) == 2 and chip.borne(60 * 1024, 8) == 3


def test_what_was_measured_to_be_too_little_is_not_said_to_bear_it():
    """Two readers of the largest cell were told BUSY for ever beside 41 KB, four beside 56 (chip_esp32.py)."""
    chip = _chip()
    raises(Error, chip.borne, 41 * 1024, 4)
    assert chip.borne(56 * 1024, 4) < 4


def test_memory_that_bears_no_relay_is_a_fault_that_says_how_much_is_lacking():
    chip = _chip()
    error = raises(Error, chip.borne, 52 * 1024 - 1, 4)
    assert "53247 bytes are left, 53248 are needed" in str(error)


def test_what_is_left_is_counted_when_the_relay_stands():
    chip = _chip()
    collected = []
    real, chip.gc = chip.gc, _Module(collect=lambda: collected.append(1), mem_free=lambda: 65_000 if collected else 0)
    try:
        assert chip.sessions(4) == 3
    finally:
        chip.gc = real
