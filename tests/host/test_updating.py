"""The dialog that brings new code to a relay, with the core's own staging at the other end."""

import base64
import json

import pytest

from device import update
from office import Office
from ramdevice import RamDevice
from releasing import CONTENT, VERSION, Places, release
from tessera.release import Release
from tessera.staging import ACTIVATED, STAGED, WAIT, Staging
from tessera_host.errors import IntegrityError
from tessera_host.protocol import staging


class Cable:
    """The console of a relay, without the cable."""

    def __init__(self, dirty=False):
        self.office = Office()
        self.relay = self.office.relay
        self.devices = [RamDevice(2), RamDevice(2)]
        if dirty:
            self.devices[0].put(0, b"left over")
        places = Places(self.office.directory, self.devices)
        places.choose()
        self.relay.staging = Staging(places, self.relay.parameters)
        self.handlers = update.handlers(self)
        self.asked = []

    def restart_soon(self, why):
        pass

    def ask(self, name, *arguments):
        self.asked.append(name)
        return json.loads(json.dumps(self.handlers[name]([argument.encode() for argument in arguments])))


async def test_an_artifact_is_brought_and_activated():
    cable, seen = Cable(), []
    line = staging.ConsoleLine(cable.ask)
    step = await staging.stage(line, Release(release()), CONTENT, lambda done, size: seen.append((done, size)))
    assert step.state == STAGED and step.next == len(CONTENT)
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)
    assert (await line.activate_stage()).state == ACTIVATED
    places = Places(cable.office.directory, cable.devices)
    assert places.choose() is cable.devices[0] and places.version == VERSION + 1


async def test_it_goes_on_where_an_earlier_attempt_ended():
    cable = Cable()
    line = staging.ConsoleLine(cable.ask)
    await line.begin_stage(release())
    await line.put_stage(0, CONTENT[:240])
    cable.asked.clear()
    assert (await staging.stage(line, Release(release()), CONTENT, lambda *_: None)).state == STAGED
    assert cable.asked.count("put") == -(-(len(CONTENT) - 240) // 240)


async def test_a_relay_that_has_to_erase_first_is_asked_later():
    cable = Cable(dirty=True)
    line = staging.ConsoleLine(cable.ask)
    step = await staging.stage(line, Release(release()), CONTENT, lambda *_: None)
    assert step.state == WAIT and step.wait_seconds > 0 and "put" not in cable.asked
    cable.office.sleep()
    assert (await staging.stage(line, Release(release()), CONTENT, lambda *_: None)).state == STAGED


@pytest.mark.parametrize(
    "figures",
    [{}, {"state": "other", "next": 0, "wait_s": 0}, {"state": "send", "next": None, "wait_s": 0}],
)
async def test_answers_that_make_no_sense_are_refused(figures):
    with pytest.raises(IntegrityError, match="cannot be understood"):
        await staging.stage(staging.ConsoleLine(lambda *_: figures), Release(release()), CONTENT, lambda *_: None)


async def test_a_relay_that_does_not_go_on_is_given_up():
    line = staging.ConsoleLine(lambda *_: {"state": "send", "next": 0, "wait_s": 0})
    with pytest.raises(IntegrityError, match="does not go on"):
        await staging.stage(line, Release(release()), CONTENT, lambda *_: None)


async def test_pieces_fit_a_line_of_the_console():
    longest = len("put 4294967295 ") + len(base64.b64encode(bytes(240)))
    assert longest <= 512 and len("update ") + 2 * 182 <= 512
