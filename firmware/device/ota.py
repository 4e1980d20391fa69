# Where new code goes on an ESP32: a whole application image into one of two slots, of which the boot loader starts one.
# The boot loader goes back to the slot before if the one on trial was not marked as good
# (CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE). It does not say whether a trial is on, so this module keeps that in a file.
# The interface is that of slots.Slots.

import json

from tessera import nor

_STATE = "code"  # file: {"trial": {"slot", "version", "seconds"} or null, "failed": version or null}
SLOT = 3  # the kind of release that a slot takes


class OtaSlots:
    """The two slots of an ESP32, and which of them runs.

    directory: a tessera.files.Directory that keeps the state. partition: the class esp32.Partition. board, version: of
    the running image.
    """

    kind = SLOT
    base = bytes(8)
    window_erases = 16  # a slot has 384 sectors or 512

    def __init__(self, directory, partition, board, version):
        self._directory = directory
        self._partition = partition
        self._running = partition(partition.RUNNING)
        self.board = board
        self.version = version
        self._state = self._read()
        self._activated = False
        self._end_lost_trial()

    def _end_lost_trial(self):
        """After a start: end the trial of a slot that does not run, as the boot loader went back."""
        trial = self._state["trial"]
        if trial is not None and (trial["slot"] != _label(self._running) or trial["version"] != self.version):
            self._state = {"trial": None, "failed": trial["version"]}
            self._write()

    @property
    def on_trial(self):
        """Whether the running code is on trial."""
        return self._state["trial"] is not None and not self._activated

    @property
    def seconds_left(self):
        """How many seconds the trial may take from its start, None without a trial."""
        return self._state["trial"]["seconds"] if self.on_trial else None

    def report(self):
        """For people: {"code": the slot's name, "on_trial": bool, "failed": version or None}."""
        return {"code": _label(self._running), "on_trial": self.on_trial, "failed": self._state["failed"]}

    @property
    def idle(self):
        """The slot that may be written to; None if an image is activated or on trial."""
        return None if self._activated or self.on_trial else self._running.get_next_update()

    def digest(self, length):
        """SHA-256 (32 bytes) of the first `length` bytes in the idle slot."""
        return nor.digest(self.idle, length)

    def activate(self, release, seconds):
        """Let the boot loader try the idle slot, whose content was verified, at the next start, for so many seconds."""
        slot = self.idle
        trial = {"slot": _label(slot), "version": release.version, "seconds": seconds}
        self._state = {"trial": trial, "failed": None}
        self._write()  # before set_boot(): an image that does not know of its trial would never be marked as good
        self._activated = True
        slot.set_boot()

    def confirm(self):
        """End the trial of the running code with success: from now on every start runs it."""
        if self.on_trial:
            try:
                self._partition.mark_app_valid_cancel_rollback()  # before _write(): it may be repeated
            except OSError:  # the boot loader knows no trial, as the same image came over the cable meanwhile
                pass
            self._state = {"trial": None, "failed": None}
            self._write()

    def restart(self):
        """Restart the board, and with it the code that was activated."""
        from machine import reset

        reset()

    def _read(self):
        state = None
        try:
            state = json.loads(self._directory.read(_STATE) or b"{}")
        except ValueError:
            pass
        return state if isinstance(state, dict) and len(state) == 2 else {"trial": None, "failed": None}

    def _write(self):
        self._directory.replace(_STATE, json.dumps(self._state).encode())


def _label(partition):
    return partition.info()[4]
