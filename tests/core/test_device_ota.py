# Two slots of an ESP32 with its boot loader, as ESP-IDF's documentation of app rollback describes it: an image that was
# set to boot is started once as "pending verify"; unless it marks itself as valid, the next start is the one before.

import json

from check import raises
from device.ota import SLOT, OtaSlots
from office import FEDERATION, ROOT, RamDirectory
from ramdevice import RamDevice
from releasing import CONTENT, release
from tessera import curve
from tessera.errors import BadRequest
from tessera.release import Release
from tessera.staging import SEND, STAGED, Staging

_FROZEN = 256


class _Parameters:
    federation_id, root_key, round_seconds, epoch_rounds = FEDERATION, curve.public(ROOT)[1:], 300, 288


class _Store:
    newest = _Parameters


class _Chip:
    """Two application slots, otadata, and a boot loader."""

    def __init__(self):
        self.slots = [RamDevice(2), RamDevice(2)]
        self.valid = 0  # the slot that runs if there is nothing new
        self.new = None  # set to boot, not started yet
        self.pending = None  # started and not marked as valid
        self.running = 0
        self.otadata = True  # False: blank, as a cable leaves it

    def start(self):
        if self.new is not None:
            self.running = self.pending = self.new
            self.new = None
        else:
            self.running, self.pending = self.valid, None


def _partition_of(chip):
    """esp32.Partition on this chip."""

    class Partition:
        RUNNING = 1

        def __init__(self, number):
            self._number = chip.running if number == self.RUNNING else number - 100
            device = chip.slots[self._number]
            self.readblocks, self.writeblocks, self.ioctl = device.readblocks, device.writeblocks, device.ioctl

        def info(self):
            return 0, 0x10 + self._number, 0x10000 * (1 + self._number), 8192, "ota_%d" % self._number, False

        def get_next_update(self):
            return Partition(100 + 1 - self._number)

        def set_boot(self):
            chip.new = self._number

        @classmethod
        def mark_app_valid_cancel_rollback(cls):
            if not chip.otadata:
                raise OSError(-0x105)  # ESP_ERR_NOT_FOUND
            chip.valid, chip.pending = chip.running, None

    return Partition


class _Board:
    def __init__(self):
        self.chip, self.directory = _Chip(), RamDirectory()
        self.versions = [_FROZEN, None]
        self.start()

    def start(self):
        self.chip.start()
        version = self.versions[self.chip.running]
        self.places = OtaSlots(self.directory, _partition_of(self.chip), "RPI_PICO", version)
        self.staging = Staging(self.places, _Store)
        return version

    def stage(self, version):
        blob = release(version, kind=SLOT, base=bytes(8))
        while self.staging.begin(blob, None)[0] != SEND:
            self.staging.window(0)
        for at in range(0, len(CONTENT), 240):
            state = self.staging.put(at, CONTENT[at : at + 240], None)
        assert state == (STAGED, len(CONTENT))
        self.versions[1 - self.chip.running] = version
        self.staging.activate_now()


def test_an_image_on_trial_that_served_is_kept():
    board = _Board()
    board.stage(257)
    assert board.start() == 257 and board.places.on_trial and board.places.seconds_left == 1500
    assert board.places.report() == {"code": "ota_1", "on_trial": True, "failed": None}
    board.staging.window(1)
    assert not board.places.on_trial
    for _ in range(2):
        assert board.start() == 257 and not board.places.on_trial


def test_an_image_that_did_not_serve_is_gone_at_the_next_start():
    board = _Board()
    board.stage(257)
    assert board.start() == 257
    board.staging.window(0)
    assert board.start() == _FROZEN
    assert board.places.report() == {"code": "ota_0", "on_trial": False, "failed": 257}


def test_nothing_is_written_while_an_image_is_activated_or_on_trial():
    board = _Board()
    board.stage(257)
    assert board.places.idle is None
    board.start()
    assert board.places.idle is None
    board.staging.window(1)
    assert board.places.idle.info()[4] == "ota_0"


def test_slots_take_turns():
    board = _Board()
    for version in (257, 258, 259):
        board.stage(version)
        assert board.start() == version
        board.staging.window(1)
    assert board.places.report()["code"] == "ota_1"


def test_an_image_that_was_noted_but_not_set_to_boot_counts_as_failed():
    board = _Board()
    board.places.activate(Release(release(257, kind=SLOT, base=bytes(8))), 100)
    board.chip.new = None  # the power failed between the two
    assert board.start() == _FROZEN and board.places.report()["failed"] == 257
    board.stage(257)
    assert board.start() == 257 and board.places.on_trial


class _PowerCut(Exception):
    pass


def _cut(*_):
    raise _PowerCut


def test_the_boot_loader_hears_of_an_image_only_once_its_trial_is_noted():
    board = _Board()
    board.directory.replace = _cut
    raises(_PowerCut, board.places.activate, Release(release(257, kind=SLOT, base=bytes(8))), 100)
    assert board.chip.new is None


def test_a_trial_is_forgotten_only_once_the_boot_loader_keeps_the_image():
    board = _Board()
    board.stage(257)
    board.start()
    board.places._partition.mark_app_valid_cancel_rollback = _cut
    raises(_PowerCut, board.places.confirm)
    assert json.loads(board.directory.read("code"))["trial"]["version"] == 257


def test_a_confirmation_cut_short_is_done_again():
    board = _Board()
    board.stage(257)
    board.start()
    board.chip.valid, board.chip.pending = board.chip.running, None  # and then the power failed
    assert board.start() == 257 and board.places.on_trial
    board.staging.window(1)
    assert board.start() == 257 and not board.places.on_trial


def test_an_image_that_came_over_the_cable_amid_its_trial_is_kept():
    board = _Board()
    board.stage(257)
    board.start()
    board.chip.valid, board.chip.pending, board.chip.otadata = board.chip.running, None, False
    assert board.start() == 257 and board.places.on_trial
    board.staging.window(1)
    assert board.start() == 257 and not board.places.on_trial


def test_the_boot_loader_is_not_told_of_other_bytes_than_the_release_is_of():
    board = _Board()
    assert board.staging.begin(release(257, kind=SLOT, base=bytes(8)), None)[0] == SEND
    for at in range(0, len(CONTENT) - 240, 240):
        board.staging.put(at, bytes(240), None)
    raises(BadRequest, board.staging.put, at + 240, bytes(len(CONTENT) - at - 240), None)
    raises(BadRequest, board.staging.activate_now)
    assert board.chip.new is None
