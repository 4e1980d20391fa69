# Which code a board runs: what is frozen in its image, or a bundle (PROTOCOL §14) in one of two places of the flash.
#
# Frozen and never part of a bundle, so that a bundle that does not work cannot take it away. A new bundle is tried
# once: that it is being tried is durable before it runs, and a start that finds a trial neither confirmed nor new goes
# back to what ran before. RP2 only; on an ESP32 the boot loader does this (device/ota.py).

import json
from binascii import hexlify, unhexlify

from tessera import nor

_STATE = "code"  # file: {"confirmed": slot or null, "trial": slot or null, "failed": version or null}
_MOUNT = "/bundle"
_REPLACED = ("board", "device", "tessera", "tessera_build")  # what a bundle brings

BUNDLE = 2  # the kind of release that a slot takes

problem = "the file system was not mounted"  # why there is none, in words; None if there is one (_boot.py sets it)
_timer = None  # kept, or the collector would stop it
current = None  # the Slots (or OtaSlots) of this board; None before start() and without a file system


class Slots:
    """Two block devices for bundles, and which of them runs.

    directory (tessera.files.Directory) keeps the state; board, version and base are those of the frozen code.
    """

    kind = BUNDLE
    window_erases = 8  # sectors, in each window after a seal

    def __init__(self, directory, devices, board, version, base):
        self._directory = directory
        self._devices = devices
        self.board = board
        self.base = base
        self._frozen_version = version
        self._state = self._read()
        self._running = None  # the slot (a dict of _STATE) that start() chose
        self._activated = False

    # -- at a start

    def choose(self):
        """The block device of the bundle to run, None for the frozen code. Durable before it returns; call it once."""
        before = json.dumps(self._state)
        slot = self._try() or self._confirmed()
        if json.dumps(self._state) != before:
            self._write()
        self._running = slot
        return None if slot is None else self._devices[slot["place"]]

    def _try(self):
        """The bundle on trial, if this is its one start."""
        slot = self._state["trial"]
        if slot is None:
            return None
        if not slot["tried"] and slot["version"] > self._frozen_version and self._is_whole(slot):
            slot["tried"] = True
            return slot
        self._state["trial"] = None
        self._state["failed"] = slot["version"]
        return None

    def _confirmed(self):
        """The bundle that proved itself, unless what is frozen is no older or the bundle is damaged."""
        slot = self._state["confirmed"]
        if slot is not None and slot["version"] > self._frozen_version and self._is_whole(slot):
            return slot
        self._state["confirmed"] = None
        return None

    def _is_whole(self, slot):
        """Whether the bundle is the one whose release was verified when it was staged: its digest was kept then, in a
        file that nobody can change without holding the board."""
        return nor.digest(self._devices[slot["place"]], slot["bytes"]) == unhexlify(slot["sha256"])

    # -- what runs

    @property
    def version(self):
        """Of the code that runs (int, as in releases)."""
        return self._frozen_version if self._running is None else self._running["version"]

    @property
    def on_trial(self):
        """Whether what runs was not confirmed yet."""
        return self._running is not None and self._running is self._state["trial"]

    @property
    def seconds_left(self):
        """How long a trial may take from its start on, None without one."""
        return self._running["seconds"] if self.on_trial else None

    def report(self):
        """For people: {"code": "frozen" or a slot's name, "on_trial": bool, "failed": version or None}."""
        name = "frozen" if self._running is None else "bundle_" + "ab"[self._running["place"]]
        return {"code": name, "on_trial": self.on_trial, "failed": self._state["failed"]}

    # -- the next one

    @property
    def idle(self):
        """The block device that a bundle may be written to; None while another is activated or on trial."""
        place = self._idle_place()
        return None if place is None else self._devices[place]

    def _idle_place(self):
        if self._activated or self.on_trial:
            return None
        slot = self._state["confirmed"]
        return 0 if slot is None else 1 - slot["place"]

    def digest(self, length):
        """SHA-256 (32 bytes) of so many bytes in the idle place."""
        return nor.digest(self.idle, length)

    def activate(self, release, seconds):
        """Try the bundle in the idle place at the next start, for so many seconds. Its content was verified."""
        place = self._idle_place()
        digest = hexlify(release.sha256).decode()
        slot = {"place": place, "version": release.version, "bytes": release.bytes, "sha256": digest}
        slot["tried"], slot["seconds"] = False, seconds
        self._state["trial"] = slot
        self._write()
        self._activated = True

    def confirm(self):
        """What runs on trial is good: it runs from now on at every start."""
        if self.on_trial:
            self._state = {"confirmed": self._running, "trial": None, "failed": None}
            self._write()

    def restart(self):
        """Start the board anew, and with it what was activated."""
        restart()

    # -- the file

    def _read(self):
        """The state; that of a board without bundles if there is none, or none that can be read."""
        state = None
        try:
            state = json.loads(self._directory.read(_STATE) or b"{}")
        except ValueError:
            pass
        if isinstance(state, dict) and sorted(state) == ["confirmed", "failed", "trial"]:
            return state
        return {"confirmed": None, "trial": None, "failed": None}

    def _write(self):
        self._directory.replace(_STATE, json.dumps(self._state).encode())


# -- on a board


def start():
    """Choose the code of this start and let every import find it; whether it is a bundle. Called by boot.py."""
    global current
    import tessera_build

    if problem is not None:
        return False
    from tessera.files import Directory

    device = None
    directory, build = Directory("/"), (tessera_build.BOARD, tessera_build.VERSION)
    if "bundle_a" in tessera_build.PARTITIONS:
        from device import flash

        current = Slots(directory, [flash.region("bundle_a"), flash.region("bundle_b")], *build, tessera_build.BASE)
        device = current.choose()
        if device is not None:
            _run_from(device)
    else:
        from esp32 import Partition

        from device.ota import OtaSlots

        current = OtaSlots(directory, Partition, *build)
    if current.on_trial:
        _limit(current.seconds_left)
    return device is not None


def _run_from(device):
    """Let imports find the bundle's modules first. It is executed in place: only objects take RAM."""
    import sys

    import vfs

    vfs.mount(vfs.VfsRom(device), _MOUNT)
    sys.path.insert(0, _MOUNT)
    for name in list(sys.modules):
        if name.split(".")[0] in _REPLACED:
            del sys.modules[name]


def _limit(seconds):
    """Restart when a trial has taken so long: an import that hangs, a network that does not come up."""
    global _timer
    from machine import Timer

    def pass_second(timer):
        nonlocal seconds
        seconds -= 1
        if not current.on_trial:
            timer.deinit()
        elif seconds < 0:
            restart()

    # Its handler runs between two bytecodes of whatever hangs. (Hanging in C is the watchdog's, device/service.py.)
    _timer = Timer(0 if current.kind != BUNDLE else -1, period=1000, callback=pass_second)


def fail():
    """Code on trial says that it cannot work, or was seen to: restart at once, into what ran before."""
    if current is not None and current.on_trial:
        print("the new code failed: back to the one before")
        restart()


def restart():
    """As after a power cut."""
    from machine import reset

    reset()
