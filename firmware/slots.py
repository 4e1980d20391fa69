# Chooses the code that a board runs: what is frozen in its image, or a bundle (PROTOCOL §14) in one of two places of
# the flash.
#
# This module is frozen and never part of a bundle, so a bundle that does not work cannot damage it. A new bundle is
# tried once. That its trial began is durable before it runs. If a later start finds the trial begun and not confirmed,
# it goes back to the code before. All this is for RP2 boards; on an ESP32 the boot loader does it (device/ota.py).

import json
from binascii import hexlify, unhexlify

from tessera import nor

_STATE = "code"  # file: {"confirmed": slot or null, "trial": slot or null, "failed": version or null}
_MOUNT = "/bundle"
_REPLACED = ("board", "device", "tessera", "tessera_build")  # the modules and packages that a bundle brings

BUNDLE = 2  # the kind of release that these slots take

problem = "the file system was not mounted"  # in words why there is no file system, or None; _boot.py sets it
_timer = None  # kept here, as the garbage collector would stop it otherwise
current = None  # this board's Slots or OtaSlots; None before start() and without a file system


class Slots:
    """Two places for bundles, and which of them runs. The interface is what tessera/staging.py needs of a board.

    directory: a tessera.files.Directory that keeps the state. devices: two block devices. board, version, base: of the
    frozen code.
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
        self._running = None  # the slot (a dict in _state) that choose() chose; None for the frozen code
        self._activated = False

    # -- at a start

    def choose(self):
        """The block device of the bundle to run, None for the frozen code. The choice is durable. Call it once."""
        before = json.dumps(self._state)
        slot = self._try() or self._confirmed()
        if json.dumps(self._state) != before:
            self._write()
        self._running = slot
        return None if slot is None else self._devices[slot["place"]]

    def _try(self):
        """The slot on trial, if this is its only start; otherwise the trial is over."""
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
        """The slot that was confirmed, unless the frozen code is as new or the bundle is damaged."""
        slot = self._state["confirmed"]
        if slot is not None and slot["version"] > self._frozen_version and self._is_whole(slot):
            return slot
        self._state["confirmed"] = None
        return None

    def _is_whole(self, slot):
        """Whether the bundle is the one whose release was verified when it was staged. Its digest was kept then, in a
        file that can be changed only with the board in hand."""
        return nor.digest(self._devices[slot["place"]], slot["bytes"]) == unhexlify(slot["sha256"])

    # -- what runs

    @property
    def version(self):
        """The version of the running code (int, as in releases)."""
        return self._frozen_version if self._running is None else self._running["version"]

    @property
    def on_trial(self):
        """Whether the running code is on trial."""
        return self._running is not None and self._running is self._state["trial"]

    @property
    def seconds_left(self):
        """How many seconds the trial may take from its start, None without a trial."""
        return self._running["seconds"] if self.on_trial else None

    def report(self):
        """For people: {"code": "frozen" or a slot's name, "on_trial": bool, "failed": version or None}."""
        name = "frozen" if self._running is None else "bundle_" + "ab"[self._running["place"]]
        return {"code": name, "on_trial": self.on_trial, "failed": self._state["failed"]}

    # -- the next one

    @property
    def idle(self):
        """The block device that a bundle may be written to; None if another one is activated or on trial."""
        place = self._idle_place()
        return None if place is None else self._devices[place]

    def _idle_place(self):
        if self._activated or self.on_trial:
            return None
        slot = self._state["confirmed"]
        return 0 if slot is None else 1 - slot["place"]

    def digest(self, length):
        """SHA-256 (32 bytes) of the first `length` bytes in the idle place."""
        return nor.digest(self.idle, length)

    def activate(self, release, seconds):
        """Order a trial of the bundle in the idle place, whose content was verified, at the next start, for so many
        seconds."""
        place = self._idle_place()
        digest = hexlify(release.sha256).decode()
        slot = {"place": place, "version": release.version, "bytes": release.bytes, "sha256": digest}
        slot["tried"], slot["seconds"] = False, seconds
        self._state["trial"] = slot
        self._write()
        self._activated = True

    def confirm(self):
        """End the trial of the running code with success: from now on every start runs it."""
        if self.on_trial:
            self._state = {"confirmed": self._running, "trial": None, "failed": None}
            self._write()

    def restart(self):
        """Restart the board, and with it the code that was activated."""
        restart()

    # -- the file

    def _read(self):
        """The state. If the file is missing or cannot be read, the state of a board without bundles."""
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
    """Choose the code of this start and let imports find it. Whether it is a bundle. Called by boot.py."""
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
    """Let imports find the bundle's modules first. Its code is executed in place, so only objects take RAM."""
    import sys

    import vfs

    vfs.mount(vfs.VfsRom(device), _MOUNT)
    sys.path.insert(0, _MOUNT)
    for name in list(sys.modules):
        if name.split(".")[0] in _REPLACED:
            del sys.modules[name]


def _limit(seconds):
    """Restart when a trial has taken so many seconds, because an import hangs or the network does not come up."""
    global _timer
    from machine import Timer

    def pass_second(timer):
        nonlocal seconds
        seconds -= 1
        if not current.on_trial:
            timer.deinit()
        elif seconds < 0:
            restart()

    # The handler runs between two bytecodes of code that hangs. If C code hangs, the watchdog restarts the board.
    _timer = Timer(0 if current.kind != BUNDLE else -1, period=1000, callback=pass_second)


def fail():
    """If code is on trial, end the trial without success: restart at once, into the code before."""
    if current is not None and current.on_trial:
        print("the new code failed: restarting with the code before")
        restart()


def restart():
    """Restart the board as after a power cut."""
    from machine import reset

    reset()
