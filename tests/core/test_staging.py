# board: long
# New code over the network, to the relay that runs: what is refused before the flash is touched, what may interrupt it,
# and that only code that served is kept.

from check import raises
from office import ROUND_SECONDS, Connection, Office, epoch_secret
from ramdevice import RamDevice, fingerprint
from releasing import BASE, CONTENT, VERSION, Places, Restarted, release
from tessera import wire
from tessera.errors import Busy, Refused
from tessera.release import IMAGE
from tessera.staging import ACTIVATED, SEND, STAGED, WAIT, Staging

_SECTORS = 2
_TRIAL_SECONDS = 900 + 2 * ROUND_SECONDS


class _Board:
    """An office whose relay takes code, with starts."""

    def __init__(self, *dirty):
        self.office = Office()
        self.devices = [RamDevice(_SECTORS), RamDevice(_SECTORS)]
        for device in dirty:
            self.devices[device].put(100, b"left over")
        self.self_test = True
        self._begin()

    def start(self):
        """Power off and on."""
        self.office.boot(clock_known=False)
        self._begin()
        self.office.relay.clock.set(self.office.unix_ms)
        self.office.turn()

    def _begin(self):
        self.places = Places(self.office.directory, self.devices)
        self.places.choose()
        self.staging = Staging(self.places, self.office.relay.parameters, lambda: self.self_test)
        self.office.relay.staging = self.staging

    def flash(self):
        return [fingerprint(device) for device in self.devices]

    def operator(self):
        """A session of IT's."""
        connection = Connection(self.office.relay)
        connection.operate()
        return connection

    def update(self, version=VERSION + 1, content=CONTENT):
        """All of it, up to the restart."""
        operator = self.operator()
        blob = release(version, content)
        while _begin(operator, blob)[0] == WAIT:
            self.office.sleep()
            operator = self.operator()
        assert _put_all(operator, content)[0] == STAGED
        assert _stage(operator, wire.ACTIVATE)[0] == ACTIVATED
        raises(Restarted, self.office.sleep)
        self.start()


def _stage(operator, *step):
    """(state, offset) that the relay answers."""
    return operator.call(wire.stage(*step))[1:3]


def _begin(operator, blob):
    return _stage(operator, wire.BEGIN, 0, blob)


def _put_all(operator, content=CONTENT, start=0):
    for at in range(start, len(content), wire.CHUNK_BYTES):
        state = _stage(operator, wire.PUT, at, content[at : at + wire.CHUNK_BYTES])
    return state


def test_staged_code_runs_after_the_next_seal_and_stays_when_it_served_a_round():
    board = _Board()
    board.update()
    assert board.places.version == VERSION + 1 and board.places.on_trial
    assert board.places.seconds_left == _TRIAL_SECONDS
    assert board.devices[0].get(0, len(CONTENT)) == CONTENT
    board.office.sleep()
    assert not board.places.on_trial
    board.start()
    assert board.places.version == VERSION + 1 and not board.places.on_trial


def test_a_trial_that_serves_no_round_is_over_at_the_next_start():
    board = _Board()
    board.update()
    board.start()
    assert board.places.version == VERSION and board.places.report()["failed"] == VERSION + 1


def test_a_failed_self_test_keeps_a_trial_from_being_confirmed():
    board = _Board()
    board.self_test = False
    board.update()
    board.office.sleep(3)
    assert board.places.on_trial
    board.self_test = True
    board.office.sleep()
    assert not board.places.on_trial


def test_a_relay_without_a_clock_confirms_nothing():
    board = _Board()
    board.update()
    board.office.boot(clock_known=False)
    board._begin()
    board.office.turn()
    assert board.office.relay._rounds.served == 0


def test_what_may_not_be_staged_is_refused_before_the_flash_is_touched():
    board = _Board()
    operator = board.operator()
    before = board.flash()
    good = release()
    for blob in (
        release(VERSION),
        release(VERSION - 1),
        release(board="RPI_PICO_W"),
        release(base=bytes(8)),
        release(kind=IMAGE),
        release(federation_id=bytes(16)),
        release(root=epoch_secret(0)),
        release(bytes=_SECTORS * 4096 + 1),
        good[:-1] + bytes((good[-1] ^ 1,)),
        good[:60] + bytes((good[60] ^ 1,)) + good[61:],
        good[:-1],
        b"",
    ):
        error = raises(Refused, _begin, operator, blob)
        assert error.name == "BAD_REQUEST"
        assert raises(Refused, _stage, operator, wire.PUT, 0, CONTENT[:240]).name == "BAD_REQUEST"
        assert raises(Refused, _stage, operator, wire.ACTIVATE).name == "BAD_REQUEST"
    assert board.flash() == before
    assert _begin(operator, good) == (SEND, 0)


def test_only_the_operator_may_stage_and_only_where_there_is_a_place():
    board = _Board()
    for session in (Connection(board.office.relay), board.office.member()):
        for step in ((wire.BEGIN, 0, release()), (wire.PUT, 0, CONTENT[:240]), (wire.ACTIVATE,)):
            assert raises(Refused, _stage, session, *step).name == "NOT_ADMITTED"
    board.office.relay.staging = None
    assert raises(Refused, _begin, board.operator(), release()).name == "BAD_REQUEST"


def test_the_operator_needs_no_clock():
    board = _Board()
    board.office.boot(clock_known=False)
    board._begin()
    operator = board.operator()
    assert _begin(operator, release()) == (SEND, 0)
    assert _put_all(operator)[0] == STAGED


def test_other_bytes_than_the_release_is_of_are_not_activated():
    board = _Board()
    operator = board.operator()
    _begin(operator, release())
    changed = CONTENT[:-1] + bytes((CONTENT[-1] ^ 1,))
    assert raises(Refused, _put_all, operator, changed).name == "BAD_REQUEST"
    assert raises(Refused, _stage, operator, wire.ACTIVATE).name == "BAD_REQUEST"
    board.office.sleep()
    board.update()
    assert board.places.version == VERSION + 1


def test_pieces_come_in_order_and_may_be_repeated():
    board = _Board()
    operator = board.operator()
    _begin(operator, release())
    assert _stage(operator, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    assert _stage(operator, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    for offset in (239, 241, 480, 0xFFFFFFFF):
        assert raises(Refused, _stage, operator, wire.PUT, offset, CONTENT[240:480]).name == "BAD_REQUEST"
    assert _put_all(operator, start=240)[0] == STAGED
    assert _stage(operator, wire.PUT, 240, CONTENT[240:480]) == (STAGED, len(CONTENT))
    end = raises(Refused, _stage, operator, wire.PUT, len(CONTENT), b"more")
    assert end.name == "BAD_REQUEST"


def test_an_update_goes_on_where_another_connection_left_it():
    board = _Board()
    first = board.operator()
    _begin(first, release())
    assert _stage(first, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    operator = board.operator()  # the relay may not know yet that the first one ended
    assert _begin(operator, release()) == (SEND, 240)
    assert raises(Refused, _stage, first, wire.PUT, 240, CONTENT[240:480]).name == "BAD_REQUEST"
    assert _put_all(operator, start=240)[0] == STAGED


def test_pieces_are_taken_from_the_session_that_began_only():
    board = _Board()
    first, other = board.operator(), board.operator()
    assert raises(Refused, _stage, other, wire.PUT, 0, CONTENT[:240]).name == "BAD_REQUEST"
    _begin(first, release())
    assert _stage(first, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    assert raises(Refused, _stage, other, wire.PUT, 240, bytes(240)).name == "BAD_REQUEST"
    assert _put_all(first, start=240)[0] == STAGED
    assert raises(Refused, _stage, other, wire.PUT, 240, bytes(240)).name == "BAD_REQUEST"
    assert _begin(other, release()) == (STAGED, len(CONTENT))


def test_another_session_of_the_operator_begins_with_another_release_at_once():
    board = _Board()
    first, other = board.operator(), board.operator()
    _begin(first, release())
    _stage(first, wire.PUT, 0, CONTENT[:240])
    assert _begin(other, release(VERSION + 2)) == (SEND, 0)  # a page was not full yet
    assert raises(Refused, _stage, first, wire.PUT, 240, CONTENT[240:480]).name == "BAD_REQUEST"
    for at in (0, 240):
        _stage(other, wire.PUT, at, CONTENT[at : at + 240])
    assert _begin(first, release(VERSION + 3)) == (WAIT, 0)
    board.office.sleep()
    assert _begin(first, release(VERSION + 3)) == (SEND, 0)
    assert _put_all(first)[0] == STAGED


def test_what_is_left_over_is_erased_in_windows_only():
    board = _Board(0)
    operator = board.operator()
    before = board.flash()
    assert _begin(operator, release()) == (WAIT, 0)
    assert operator.call(wire.stage(wire.BEGIN, 0, release()))[3] == board.office.relay._rounds.seconds_to_next()
    assert _stage(operator, wire.PUT, 0, CONTENT[:240]) == (WAIT, 0)
    assert board.flash() == before
    board.office.sleep()
    assert _begin(board.operator(), release()) == (SEND, 0)
    assert board.flash() != before


def test_nothing_is_staged_while_code_is_activated_or_on_trial():
    board = _Board()
    operator = board.operator()
    _begin(operator, release())
    _put_all(operator)
    _stage(operator, wire.ACTIVATE)
    assert raises(Refused, _begin, operator, release(VERSION + 2)).name == "BUSY"
    raises(Restarted, board.office.sleep)
    board.start()
    assert raises(Refused, _begin, board.operator(), release(VERSION + 2)).name == "BUSY"
    board.office.sleep()
    assert _begin(board.operator(), release(VERSION + 2)) == (SEND, 0)


def test_the_place_of_the_code_before_is_made_ready_for_the_next():
    board = _Board()
    for version in range(VERSION + 1, VERSION + 4):
        board.update(version)
        board.office.sleep(2)
        assert board.places.version == version and not board.places.on_trial
        assert _begin(board.operator(), release(version + 1)) == (SEND, 0)
        board.start()


def test_over_the_cable_code_is_activated_at_once():
    board = _Board(0)
    staging = board.staging
    assert staging.begin(release(), None)[0] == WAIT
    staging.erase(_SECTORS)
    for at in range(0, len(CONTENT), 240):
        staging.put(at, CONTENT[at : at + 240], None)
    staging.activate_now()
    assert raises(Busy, staging.begin, release(VERSION + 2), None).retry_after == ROUND_SECONDS
    board.start()
    assert board.places.version == VERSION + 1 and board.places.base == BASE


def test_flash_that_does_not_keep_a_page_is_a_fault():
    board = _Board()
    operator = board.operator()
    _begin(operator, release())
    board.devices[0].put(0, b"\x00")
    assert raises(Refused, _put_all, operator).name == "FAULT"
