# board: long
# New code over the network, to the relay that runs: what is refused before the flash is touched, what may interrupt it,
# and that only code that served is kept.

from check import raises
from office import EPOCH_ROUNDS, ROUND_SECONDS, Office, epoch_secret
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

    def member(self, number=0):
        return self.office.member(number)

    def update(self, version=VERSION + 1, content=CONTENT):
        """All of it, up to the restart."""
        member = self.member()
        blob = release(version, content)
        while _begin(member, blob)[0] == WAIT:
            self.office.sleep()
            member = self.member()
        assert _put_all(member, content)[0] == STAGED
        assert _stage(member, wire.ACTIVATE)[0] == ACTIVATED
        raises(Restarted, self.office.sleep)
        self.start()


def _stage(member, *step):
    """(state, offset) that the relay answers."""
    return member.call(wire.stage(*step))[1:3]


def _begin(member, blob):
    return _stage(member, wire.BEGIN, 0, blob)


def _put_all(member, content=CONTENT, start=0):
    for at in range(start, len(content), wire.CHUNK_BYTES):
        state = _stage(member, wire.PUT, at, content[at : at + wire.CHUNK_BYTES])
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
    member = board.member()
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
        error = raises(Refused, _begin, member, blob)
        assert error.name == "BAD_REQUEST"
        assert raises(Refused, _stage, member, wire.PUT, 0, CONTENT[:240]).name == "BAD_REQUEST"
        assert raises(Refused, _stage, member, wire.ACTIVATE).name == "BAD_REQUEST"
    assert board.flash() == before
    assert _begin(member, good) == (SEND, 0)


def test_only_members_may_stage_and_only_where_there_is_a_place():
    board = _Board()
    member = board.member()
    member.session.token = None
    assert raises(Refused, _begin, member, release()).name == "NOT_ADMITTED"
    board.office.relay.staging = None
    assert raises(Refused, _begin, board.member(1), release()).name == "BAD_REQUEST"


def test_other_bytes_than_the_release_is_of_are_not_activated():
    board = _Board()
    member = board.member()
    _begin(member, release())
    changed = CONTENT[:-1] + bytes((CONTENT[-1] ^ 1,))
    assert raises(Refused, _put_all, member, changed).name == "BAD_REQUEST"
    assert raises(Refused, _stage, member, wire.ACTIVATE).name == "BAD_REQUEST"
    board.office.sleep()
    board.update()
    assert board.places.version == VERSION + 1


def test_pieces_come_in_order_and_may_be_repeated():
    board = _Board()
    member = board.member()
    _begin(member, release())
    assert _stage(member, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    assert _stage(member, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    for offset in (239, 241, 480, 0xFFFFFFFF):
        assert raises(Refused, _stage, member, wire.PUT, offset, CONTENT[240:480]).name == "BAD_REQUEST"
    assert _put_all(member, start=240)[0] == STAGED
    assert _stage(member, wire.PUT, 240, CONTENT[240:480]) == (STAGED, len(CONTENT))
    end = raises(Refused, _stage, member, wire.PUT, len(CONTENT), b"more")
    assert end.name == "BAD_REQUEST"


def test_an_update_goes_on_where_another_connection_left_it():
    board = _Board()
    first = board.member()
    _begin(first, release())
    assert _stage(first, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    member = board.member()  # the relay may not know yet that the first one ended
    assert _begin(member, release()) == (SEND, 240)
    assert raises(Refused, _stage, first, wire.PUT, 240, CONTENT[240:480]).name == "BAD_REQUEST"
    assert _put_all(member, start=240)[0] == STAGED


def test_another_token_does_not_go_on_with_what_was_taken_but_begins_anew():
    board = _Board()
    first, other = board.member(), board.member(1)
    _begin(first, release())
    for at in (0, 240):
        _stage(first, wire.PUT, at, CONTENT[at : at + 240])
    board.office.relay.leave(first.session)
    assert raises(Refused, _begin, other, release()).name == "BUSY"
    assert raises(Refused, _stage, other, wire.PUT, 480, bytes(240)).name == "BAD_REQUEST"
    first = board.member()
    assert _begin(first, release()) == (SEND, 480)
    board.office.pass_time(10_000)
    assert _begin(other, release()) == (WAIT, 0)
    board.office.turn()
    assert _put_all(other)[0] == STAGED


def test_a_release_of_which_nothing_was_taken_goes_on_from_any_session():
    board = _Board()
    first, other = board.member(), board.member(1)
    _begin(first, release())
    board.office.relay.leave(first.session)
    for version in range(1, 5):
        assert _begin(other, release(VERSION + version)) == (SEND, 0)
        board.office.pass_time(10_000)
    assert raises(Refused, _begin, other, release(VERSION + 5)).name == "BUSY"  # the first one was counted


def test_pieces_are_taken_from_the_session_that_began_only():
    board = _Board()
    member, other = board.member(), board.member(1)
    _begin(member, release())
    assert _stage(member, wire.PUT, 0, CONTENT[:240]) == (SEND, 240)
    assert raises(Refused, _stage, other, wire.PUT, 240, bytes(240)).name == "BAD_REQUEST"
    assert raises(Refused, _begin, other, release()).name == "BUSY"
    assert raises(Refused, _stage, other, wire.PUT, 240, bytes(240)).name == "BAD_REQUEST"
    assert _put_all(member, start=240)[0] == STAGED


def test_pieces_that_were_taken_before_hold_no_place():
    board = _Board()
    holder, member = board.member(), board.member(1)
    _begin(holder, release())
    _stage(holder, wire.PUT, 0, CONTENT[:240])
    for _ in range(10):
        board.office.pass_time(1_000)
        _stage(holder, wire.PUT, 0, CONTENT[:240])
    assert _begin(member, release()) == (SEND, 0)
    assert raises(Refused, _stage, holder, wire.PUT, 240, bytes(240)).name == "BAD_REQUEST"


def test_a_release_that_trickles_gives_way_after_an_hour():
    board = _Board()
    staging, holder = board.staging, board.member().session
    staging.begin(release(), 0, 0, holder)
    for at, now_ms in enumerate(range(0, 3_600_000, 9_000)):
        staging.put(at, CONTENT[at : at + 1], now_ms, holder)
        raises(Busy, staging.begin, release(VERSION + 2), None, now_ms, None)
    assert staging.begin(release(VERSION + 2), None, 3_600_000, None)[0] in (SEND, WAIT)


def test_a_release_that_is_begun_by_one_connection_after_the_other_gives_way_after_an_hour():
    board = _Board()
    staging, session = board.staging, board.member().session
    for now_ms in range(0, 3_600_000, 9_000):
        assert staging.begin(release(), 0, now_ms, session) == (SEND, 0)
        raises(Busy, staging.begin, release(VERSION + 2), None, now_ms, None)
        staging.leave(session)
    staging.begin(release(), 0, 3_600_000, session)
    assert staging.begin(release(VERSION + 2), None, 3_600_000, None) == (SEND, 0)


def test_a_release_that_waits_for_windows_gives_way_to_no_other():
    board = _Board(0)
    first, other = board.member(), board.member(1)
    assert _begin(first, release()) == (WAIT, 0)
    board.office.relay.leave(first.session)
    board.office.pass_time(1000 * ROUND_SECONDS)
    assert raises(Refused, _begin, other, release(VERSION + 2)).name == "BUSY"
    board.office.turn()
    for _ in range(9):  # it has ten seconds to come back
        board.office.pass_time(1000)
        assert raises(Refused, _begin, other, release(VERSION + 2)).name == "BUSY"
    first = board.member()
    assert _begin(first, release()) == (SEND, 0)
    board.office.pass_time(10_000)
    assert _begin(other, release(VERSION + 2)) == (SEND, 0)


def test_a_wait_for_windows_is_no_part_of_the_hour():
    board = _Board(0)
    staging, session = board.staging, board.member().session
    assert staging.begin(release(), 0, 0, session) == (WAIT, 0)
    raises(Busy, staging.begin, release(VERSION + 2), None, 5_000_000, None)
    staging.window(0, 5_000_000)
    for at, now_ms in enumerate(range(5_000_000, 8_600_000, 9_000)):
        staging.put(at, CONTENT[at : at + 1], now_ms, session)
        raises(Busy, staging.begin, release(VERSION + 2), None, now_ms, None)


def test_what_is_left_over_is_erased_in_windows_only():
    board = _Board(0)
    member = board.member()
    before = board.flash()
    assert _begin(member, release()) == (WAIT, 0)
    assert member.call(wire.stage(wire.BEGIN, 0, release()))[3] == board.office.relay._seconds_to_next_round()
    assert _stage(member, wire.PUT, 0, CONTENT[:240]) == (WAIT, 0)
    assert board.flash() == before
    board.office.sleep()
    assert _begin(board.member(), release()) == (SEND, 0)
    assert board.flash() != before


def test_a_release_gives_way_to_another_only_after_ten_seconds_without_a_piece():
    board = _Board()
    member = board.member()
    _begin(member, release())
    _stage(member, wire.PUT, 0, CONTENT[:240])
    assert raises(Refused, _begin, member, release(VERSION + 2)).name == "BUSY"
    board.office.pass_time(10_000)
    assert _begin(member, release(VERSION + 2)) == (SEND, 0)  # a page was not full yet
    for at in (0, 240):
        _stage(member, wire.PUT, at, CONTENT[at : at + 240])
    board.office.pass_time(10_000)
    assert _begin(member, release(VERSION + 3)) == (WAIT, 0)


def test_only_so_many_releases_are_begun_with_a_token():
    board = _Board()
    member = board.member()
    for version in range(1, 5):
        _begin(member, release(VERSION + version))
        board.office.pass_time(10_000)
    assert raises(Refused, _begin, member, release(VERSION + 5)).name == "BUSY"
    assert _begin(member, release(VERSION + 4)) == (SEND, 0)  # the one under way
    assert raises(Refused, _begin, board.member(), release(VERSION + 5)).name == "BUSY"  # with the same token
    assert _begin(board.member(1), release(VERSION + 5)) == (SEND, 0)  # nobody else is shut out
    board.office.sleep(EPOCH_ROUNDS)
    assert _begin(board.member(), release(VERSION + 5)) == (SEND, 0)


def test_nothing_is_staged_while_code_is_activated_or_on_trial():
    board = _Board()
    member = board.member()
    _begin(member, release())
    _put_all(member)
    _stage(member, wire.ACTIVATE)
    board.office.pass_time(10_000)
    assert raises(Refused, _begin, member, release(VERSION + 2)).name == "BUSY"
    raises(Restarted, board.office.sleep)
    board.start()
    assert raises(Refused, _begin, board.member(), release(VERSION + 2)).name == "BUSY"
    board.office.sleep()
    assert _begin(board.member(), release(VERSION + 2)) == (SEND, 0)


def test_the_place_of_the_code_before_is_made_ready_for_the_next():
    board = _Board()
    for version in range(VERSION + 1, VERSION + 4):
        board.update(version)
        board.office.sleep(2)
        assert board.places.version == version and not board.places.on_trial
        assert _begin(board.member(), release(version + 1)) == (SEND, 0)
        board.start()


def test_over_the_cable_code_is_activated_at_once():
    board = _Board(0)
    staging = board.staging
    assert staging.begin(release(), None, 0, None)[0] == WAIT
    staging.erase(_SECTORS)
    for at in range(0, len(CONTENT), 240):
        staging.put(at, CONTENT[at : at + 240], 0, None)
    staging.activate_now()
    assert raises(Busy, staging.begin, release(VERSION + 2), None, 20_000, None).retry_after == ROUND_SECONDS
    board.start()
    assert board.places.version == VERSION + 1 and board.places.base == BASE


def test_flash_that_does_not_keep_a_page_is_a_fault():
    board = _Board()
    member = board.member()
    _begin(member, release())
    board.devices[0].put(0, b"\x00")
    assert raises(Refused, _put_all, member).name == "FAULT"
