# board: long
# The console's commands that bring new code and parameters by the cable.

import json
from binascii import b2a_base64, hexlify

import slots
from check import raises
from device import update
from office import EPOCH_ROUNDS, Office, parameters
from ramdevice import RamDevice
from releasing import CONTENT, VERSION, Places, release
from tessera.errors import BadRequest, Error, NotReady

_SECTORS = 2


class _Appliance:
    """What the commands know of a board."""

    def __init__(self, clock_known=True, dirty=False):
        self.office = Office()
        if not clock_known:
            self.office.boot(clock_known=False)
        self.relay = self.office.relay
        self.devices = [RamDevice(_SECTORS), RamDevice(_SECTORS)]
        if dirty:
            self.devices[0].put(4096, b"left over")
        slots.current = Places(self.office.directory, self.devices)
        slots.current.choose()
        self.relay.staging = update.staging(self.relay, lambda: True)
        slots.current = None
        self.restarting = False
        self.handlers = update.handlers(self)

    def restart_soon(self, why):
        self.restarting = True

    def typed(self, line):
        """The figures of a command's answer."""
        words = line.split()
        return self.handlers[words[0].decode()](words[1:])


def _put(appliance, at):
    return appliance.typed(b"put %d " % at + b2a_base64(CONTENT[at : at + 240]))


def test_code_comes_by_the_cable_and_runs_after_a_restart():
    appliance = _Appliance()
    begun = appliance.typed(b"update " + hexlify(release()))
    assert begun == {"state": "send", "next": 0, "wait_s": 0}
    for at in range(0, len(CONTENT), 240):
        figures = _put(appliance, at)
    assert figures == {"state": "staged", "next": len(CONTENT), "wait_s": 0}
    assert appliance.typed(b"activate")["state"] == "activated" and appliance.restarting
    places = Places(appliance.office.directory, appliance.devices)
    assert places.choose() is appliance.devices[0] and places.version == VERSION + 1


def test_a_relay_that_serves_erases_in_its_windows_and_one_without_a_clock_at_once():
    figures = _Appliance(dirty=True).typed(b"update " + hexlify(release()))
    assert figures["state"] == "wait" and figures["wait_s"] > 0
    figures = _Appliance(clock_known=False, dirty=True).typed(b"update " + hexlify(release()))
    assert figures["state"] == "send"


def test_what_is_damaged_or_missing_is_refused_in_words():
    appliance = _Appliance()
    for line in (b"update", b"update xyz", b"put 0", b"put x AAAA", b"put 0 A", b"push 1 2", b"push x 0 AAAA"):
        raises(Error, appliance.typed, line)
    raises(BadRequest, appliance.typed, b"put 0 AAAA")
    raises(BadRequest, appliance.typed, b"activate")
    raises(BadRequest, appliance.typed, b"update " + hexlify(release(VERSION)))
    appliance.typed(b"update " + hexlify(release()))
    raises(BadRequest, appliance.typed, b"put 0 " + b2a_base64(CONTENT[:241]))
    appliance.relay.staging = None
    raises(Error, appliance.typed, b"update " + hexlify(release()))


def test_parameters_come_by_the_cable_as_they_are_pushed():
    appliance = _Appliance()
    blob = parameters(serial=2, first_epoch=1)
    complete = False
    for chunk in range((len(blob) + 239) // 240):
        assert not complete
        piece = blob[240 * chunk : 240 * chunk + 240]
        complete = appliance.typed(b"push %d %d " % (len(blob), chunk) + b2a_base64(piece))["complete"]
    assert complete and appliance.relay.parameters.newest.serial == 2
    raises(BadRequest, appliance.typed, b"push %d 0 " % len(blob) + b2a_base64(blob[:240]))
    appliance.office.sleep(EPOCH_ROUNDS)
    assert appliance.relay.parameters.rule(1).serial == 2


def test_parameters_come_by_the_cable_without_a_clock_but_not_without_a_relay():
    blob = parameters(serial=2, first_epoch=1)
    line = b"push %d 0 " % len(blob) + b2a_base64(blob[:240])
    appliance = _Appliance(clock_known=False)
    assert appliance.typed(line) == {"complete": False}
    appliance.relay = None
    raises(NotReady, appliance.typed, line)


def test_answers_can_be_sent_as_json():
    appliance = _Appliance()
    assert json.loads(json.dumps(appliance.typed(b"update " + hexlify(release()))))["next"] == 0
