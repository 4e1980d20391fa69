# Which code a board runs: trials that are confirmed, that fail, that are damaged; and what is newer than what.

import json

from office import RamDirectory
from ramdevice import RamDevice
from slots import Slots
from tessera.hashes import sha256

_FROZEN = 256
_BASE = bytes(8)
_CONTENT = b"a bundle " * 150  # two pieces and a rest as they are read


class _Release:
    def __init__(self, version, content=_CONTENT):
        self.version = version
        self.bytes = len(content)
        self.sha256 = sha256(content)


class _Board:
    """Two places, a file, and starts."""

    def __init__(self):
        self.directory = RamDirectory()
        self.devices = [RamDevice(1), RamDevice(1)]

    def start(self, frozen=_FROZEN):
        self.slots = Slots(self.directory, self.devices, "RPI_PICO", frozen, _BASE)
        chosen = self.slots.choose()
        return self.slots.version if chosen is not None else None

    def stage(self, version, content=_CONTENT):
        """Write a bundle to the idle place and activate it."""
        self.slots.idle.put(0, content)
        self.slots.activate(_Release(version, content), 600)

    def update(self, version):
        """All of it: staged, started, confirmed."""
        self.stage(version)
        assert self.start() == version
        self.slots.confirm()


def test_a_board_without_bundles_runs_what_is_frozen():
    board = _Board()
    assert board.start() is None
    assert board.slots.version == _FROZEN and not board.slots.on_trial
    assert board.slots.report() == {"code": "frozen", "on_trial": False, "failed": None}
    assert board.slots.idle is board.devices[0]


def test_a_bundle_is_tried_once_and_given_up_unless_it_is_confirmed():
    board = _Board()
    board.start()
    board.stage(257)
    assert board.start() == 257 and board.slots.on_trial and board.slots.seconds_left == 600
    assert board.start() is None
    assert board.slots.report() == {"code": "frozen", "on_trial": False, "failed": 257}
    assert board.start() is None


def test_a_confirmed_bundle_runs_at_every_start():
    board = _Board()
    board.start()
    board.update(257)
    for _ in range(3):
        assert board.start() == 257 and not board.slots.on_trial and board.slots.seconds_left is None
        assert board.slots.report() == {"code": "bundle_a", "on_trial": False, "failed": None}


def test_a_failed_trial_goes_back_to_the_confirmed_bundle():
    board = _Board()
    board.start()
    board.update(257)
    board.start()
    board.stage(258)
    assert board.start() == 258 and board.slots.report()["code"] == "bundle_b"
    assert board.start() == 257
    assert board.slots.report() == {"code": "bundle_a", "on_trial": False, "failed": 258}
    board.stage(258)  # again, by somebody who knows why
    assert board.start() == 258


def test_bundles_take_turns_and_the_one_that_runs_is_never_idle():
    board = _Board()
    board.start()
    for version in range(257, 261):
        idle = board.slots.idle
        board.update(version)
        assert board.slots.idle is not idle


def test_nothing_can_be_staged_over_a_trial_or_what_it_would_go_back_to():
    board = _Board()
    board.start()
    board.update(257)
    board.start()
    board.stage(258)
    assert board.slots.idle is None
    board.start()
    assert board.slots.idle is None
    board.slots.confirm()
    assert board.slots.idle is board.devices[0]


def test_a_whole_image_as_new_as_the_bundle_wins():
    for frozen in (257, 300):
        board = _Board()
        board.start()
        board.update(257)
        assert board.start(frozen) is None and board.slots.version == frozen
        assert board.start(frozen) is None
        board.stage(301)
        assert board.start(frozen) == 301


def test_an_older_whole_image_loses_to_the_bundle():
    board = _Board()
    board.start()
    board.update(257)
    assert board.start(255) == 257


def test_a_whole_image_flashed_during_a_trial_wins_if_it_is_newer():
    board = _Board()
    board.start()
    board.stage(257)
    assert board.start(257) is None
    assert board.slots.report()["failed"] == 257 and board.slots.idle is not None


def test_a_damaged_bundle_does_not_run():
    for at in (0, 511, 512, len(_CONTENT) - 1):
        board = _Board()
        board.start()
        board.update(257)
        board.devices[0].put(at, bytes((_CONTENT[at] ^ 1,)))
        assert board.start() is None and board.slots.version == _FROZEN
        board.stage(258)
        board.devices[0].put(at, bytes((_CONTENT[at] ^ 1,)))
        assert board.start() is None and board.slots.report()["failed"] == 258


def test_the_trial_is_durable_before_it_runs():
    board = _Board()
    board.start()
    board.stage(257)
    board.start()
    assert json.loads(board.directory.read("code"))["trial"]["tried"]


def test_a_start_with_nothing_new_writes_nothing():
    board = _Board()
    board.start()
    assert board.directory.read("code") is None
    board.update(257)
    board.directory.replace = None
    assert board.start() == 257


def test_a_file_that_cannot_be_read_means_the_frozen_code():
    for text in (b"", b"{", b"\xff", b"null", b"[1, 2, 3]", b'{"confirmed": null}'):
        board = _Board()
        board.directory.replace("code", text)
        assert board.start() is None


def test_confirming_what_is_not_on_trial_changes_nothing():
    board = _Board()
    board.start()
    board.slots.confirm()
    assert board.directory.read("code") is None
