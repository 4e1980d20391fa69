# What the chips of Espressif ask for, over fakes of their modules: the radio on while keys are drawn, as many sessions
# as the memory bears, and a fault in words where it bears no relay.

import asyncio
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
    assert "53247 bytes free, 53248 needed" in str(error)


def test_what_is_left_is_counted_when_the_relay_stands():
    chip = _chip()
    collected = []
    real, chip.gc = chip.gc, _Module(collect=lambda: collected.append(1), mem_free=lambda: 65_000 if collected else 0)
    try:
        assert chip.sessions(4) == 3
    finally:
        chip.gc = real


class _Part:
    """Stands for whatever of an appliance is not looked at: every call of it gives None."""

    wait_seconds = 0
    boots = 1

    def __init__(self, **names):
        for name in names:
            setattr(self, name, names[name])

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: None


def _service(board):
    """What device.service imports on a board whose module board is given."""
    _chip()
    import tessera.relay  # noqa: F401  (with the real modules)

    fakes = {"board": board, "tessera_build": _Module(BOARD="ESP32_GENERIC", FIRMWARE_DIGEST=bytes(32), PARTITIONS={})}
    for name in ("network", "machine"):
        fakes[name] = _Module(reset_cause=lambda: 0)
    if sys.implementation.name != "micropython":
        fakes["vfs"] = _Module(VfsLfs2=None, mount=None)
        fakes["micropython"] = _Module(kbd_intr=None)
    return fakes


def test_a_start_readies_the_board_before_storage_and_serves_as_many_as_it_bears():
    events = []

    def sessions(wanted):
        events.append(("wanted", wanted))
        return 3

    class Server:
        def __init__(self, relay, timing, sessions, *_):
            events.append(("sessions", sessions))

        async def run(self, *_):
            events.append("served")

    board = _Module(prepare=lambda: events.append("prepared"), sessions=sessions)
    before = set(sys.modules)
    with _Modules(**_service(board)):
        from device import service

        relay = _Part(machine=_Module(sessions=4), clock=_Part())
        part = _Part()
        appliance = _Part(starts=part, watchdog=part, log=part, link=part, relay=relay, config={})

        def open_relay(_):
            events.append("storage")
            return relay

        service.open_relay, service._join, service.Server = open_relay, lambda _: part, Server
        service._with_network = lambda _: ()
        asyncio.run(service._start_and_serve(appliance, part, None))
    for name in set(sys.modules) - before:  # they hold the fakes
        sys.modules.pop(name)
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            delattr(sys.modules[package], last)
    assert events == ["prepared", "storage", ("wanted", 4), ("sessions", 3), "served"]
