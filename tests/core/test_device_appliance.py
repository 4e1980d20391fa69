# What makes a board an appliance, each part with a fake for its hardware: LED, watchdog, button, log, pauses between
# starts, link, fault page.

import asyncio
from errno import EAGAIN

from check import async_raises, not_on_a_board, raises
from device import button, faultpage, led, sntp, starts, watchdog
from device.explain import explain
from device.link import Keeper, Link
from device.log import Log
from office import Office, RamDirectory
from tessera.errors import Fault
from tessera.runtime import ticks_diff, ticks_ms
from tessera.server import SEAL, SERVE

# -- LED


class _Pin:
    def __init__(self):
        self.lit = 0
        self.writes = 0

    def value(self, lit):
        self.lit = lit
        self.writes += 1


def _played(state, steps=96):
    pin = _Pin()
    light = led.Led(pin)
    light.show(state)
    seen = ""
    for _ in range(steps):
        light.step()
        seen += "#" if pin.lit else "."
    return seen


def _flashes(seen):
    return len([part for part in seen.split(".") if part])


def test_every_state_has_a_rhythm_that_no_other_has():
    seen = {state: _played(state) for state in led.RHYTHMS}
    assert len(set(seen.values())) == len(seen)
    assert {"starting", "no-network", "no-time", "serving", "fault", "trial", "held"} <= set(seen)


def test_the_rhythms_are_those_of_the_table():
    assert _flashes(_played("no-network", 12)) == 1 and _flashes(_played("no-time", 16)) == 2
    assert _played("serving", 24).count(".") == 1 and _played("trial", 24).count(".") == 2
    assert _played("fault", 16) == "#" * 8 + "." * 8 and "." not in _played("held")


def test_a_light_is_switched_only_when_it_changes_and_a_board_without_one_does_nothing():
    pin = _Pin()
    light = led.Led(pin)
    light.show("held")
    for _ in range(50):
        light.step()
    assert pin.writes == 1
    light = led.Led(None)
    light.show("fault")
    light.step()


# -- watchdog


class _Wdt:
    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


class _Timers:
    def __init__(self):
        self.callback = None

    def __call__(self, period_ms, callback):
        self.callback = callback
        assert period_ms <= 2000
        return self

    def deinit(self):
        self.callback = None


def _watchdog():
    wdt, timers = _Wdt(), _Timers()
    dog = watchdog.Watchdog(lambda: wdt, timers)
    dog.start()
    return dog, wdt, timers


def test_it_is_fed_only_when_both_have_reported():
    dog, wdt, _ = _watchdog()
    dog.release()
    wdt.fed = 0
    for _ in range(100):
        dog.report(SEAL)
    assert wdt.fed == 0
    for _ in range(3):
        dog.report(SERVE)
    assert wdt.fed == 1, "the seal task did not report again"
    dog.report(SEAL)
    assert wdt.fed == 2


def test_while_it_is_held_a_timer_feeds_it_and_afterwards_none_does():
    dog, wdt, timers = _watchdog()
    before = wdt.fed
    timers.callback(None)
    assert wdt.fed == before + 1
    steps = []
    dog.hold(lambda: steps.append(1))
    timers.callback(None)
    assert steps == [1]
    dog.hold()
    timers.callback(None)
    assert steps == [1] and wdt.fed == before + 3
    dog.release()
    assert timers.callback is None


def test_it_is_held_during_what_takes_long_and_only_then():
    dog, _, timers = _watchdog()
    dog.release()

    def long(number):
        timers.callback(None)
        return number + 1

    assert dog.during(long, 1) == 2 and timers.callback is None
    raises(ValueError, dog.during, int, "x")
    assert timers.callback is None
    dog.hold()
    assert dog.during(long, 1) == 2 and timers.callback is not None
    dog.release()


def test_one_that_was_not_started_needs_nothing():
    dog = watchdog.Watchdog(None, None)
    dog.report(SEAL)
    dog.report(SERVE)
    dog.hold()
    dog.release()


# -- button


async def test_a_button_that_was_not_pressed_in_time_is_not_watched():
    pressed = button.Button(lambda: False)
    assert not await pressed.watch(ticks_ms() - 6000)
    assert not await button.Button(None).watch(ticks_ms())


async def test_a_button_that_is_released_does_nothing():
    not_on_a_board("takes seconds")
    presses = [True, True, False]
    pressed = button.Button(lambda: presses.pop(0) if presses else False)
    assert not await pressed.watch(ticks_ms() - 4900)
    assert not presses and not pressed.held


async def test_a_button_held_long_enough_counts_from_when_it_was_pressed():
    real = button.ticks_ms
    clock = [0]
    button.ticks_ms = lambda: clock[0]

    def pressed():
        clock[0] += 1000
        return True

    try:
        assert await button.Button(pressed).watch(0)
        assert clock[0] >= 10_000
    finally:
        button.ticks_ms = real


async def test_a_button_that_was_let_go_of_counts_anew():
    real = button.ticks_ms
    clock = [0]
    button.ticks_ms = lambda: clock[0]

    def pressed():
        clock[0] += 1000
        return clock[0] != 4000

    try:
        assert await button.Button(pressed).watch(0)
        assert clock[0] >= 14_000
    finally:
        button.ticks_ms = real


# -- log


def test_the_ring_keeps_the_latest_and_an_event_that_comes_back_takes_no_more_room():
    log = Log(RamDirectory())
    for number in range(100):
        log.note("event {}".format(number))
        log.note("link down")
        log.note("link up")
    lines = list(log.lines())
    assert len(lines) <= 32 and lines[-1].endswith("link up")
    assert len([line for line in lines if "link" in line]) == 2


def test_what_is_kept_outlives_a_restart_and_what_is_noted_does_not():
    directory = RamDirectory()
    log = Log(directory)
    log.keep("fault: broken\nin two lines")
    log.note("link down")
    lines = list(Log(directory).lines())
    assert lines == ["kept: fault: broken in two lines"]


def test_flash_is_written_a_few_times_a_start_whatever_happens_and_the_file_stays_small():
    directory = RamDirectory()
    for start in range(20):
        log = Log(directory)
        writes = _counted_writes(directory)
        for number in range(12):
            log.keep("event {} of start {}, {}".format(number, start, "x" * 300))
            log.note("event {}".format(number))
        assert len(writes) <= 8
        assert directory.size("log") <= 2048
    assert "of start 19" in list(Log(directory).lines())[-1]


def _counted_writes(directory):
    writes = []
    for name in ("append", "replace"):
        method = getattr(RamDirectory, name)
        setattr(
            directory,
            name,
            lambda file, data, method=method: (writes.append(file), method(directory, file, data))[1],
        )
    return writes


def test_a_file_that_a_power_cut_left_as_garbage_is_shown_as_such():
    directory = RamDirectory()
    directory.replace("log", b"\xff\x00garbage\nstart 5: power on\nhalf a li")
    assert list(Log(directory).lines()) == ["kept: ??garbage", "kept: start 5: power on"]


# -- pauses between starts


def test_starts_in_a_row_wait_longer_and_longer_and_one_that_settles_ends_that():
    directory = RamDirectory()
    waits = []
    for _ in range(20):
        start = starts.Starts(directory)
        start.begin()
        waits.append(start.wait_seconds)
    assert waits[:6] == [0, 0, 0, 2, 4, 8] and waits[-1] == 1024 - 512
    start.prove()
    start = starts.Starts(directory)
    start.begin()
    assert start.wait_seconds == 0 and start.retry_seconds == 15


def test_a_counter_that_cannot_be_read_or_written_keeps_no_relay_from_starting():
    directory = RamDirectory()
    directory.replace("starts", b"\xff")

    def fail(name, data):
        raise OSError(28)

    directory.replace = fail
    start = starts.Starts(directory)
    start.begin()
    assert start.wait_seconds == 0


async def test_a_start_is_good_after_five_minutes_and_a_dead_link_is_tried_anew_later_each_time():
    directory, link = RamDirectory(), Link()
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        link.dead = len(slept) >= lives

    pauses = []
    for lives in (300, 1, 1, 1, 299, 400):
        start = starts.Starts(directory)
        start.begin()
        slept, link.dead = [], False
        await start.outlast(link, sleep)
        assert slept[:-1] == [1] * lives
        pauses.append(slept[-1])
    assert pauses == [15, 15, 30, 60, 120, 15]


async def test_a_link_that_was_dead_from_the_start_on_makes_no_start_good():
    directory, link = RamDirectory(), Link()
    link.dead = True
    pauses = []
    for _ in range(12):
        start = starts.Starts(directory)
        start.begin()

        async def sleep(seconds):
            pauses.append(seconds)

        await start.outlast(link, sleep)
    assert pauses[:4] == [15, 30, 60, 120] and pauses[-1] == 3840


# -- link


class _Link(Link):
    def __init__(self):
        self.at = None
        self.calls = []

    def address(self):
        return self.at

    def begin(self):
        self.calls.append("begin")

    def mend(self, waited_ms):
        self.calls.append("mend")
        return True

    def end(self):
        self.calls.append("end")


class _Keeping:
    """A Keeper over a fake link, at a time that the test says."""

    def __init__(self):
        self.now = 0
        self.link = _Link()
        self.log = Log(RamDirectory())
        self.keeper = Keeper(self.link, self.log, lambda: self.now, lambda later, earlier: later - earlier)

    def seconds(self, count):
        for _ in range(count):
            self.now += 1000
            self.keeper.look()


def test_attempts_to_join_become_rarer_and_begin_anew_after_a_link():
    keeping = _Keeping()
    keeping.seconds(600)
    assert 10 <= len(keeping.link.calls) <= 20
    keeping.link.at = "10.0.0.2"
    keeping.seconds(1)
    keeping.link.at = None
    keeping.link.calls.clear()
    keeping.seconds(4)
    assert keeping.link.calls.count("mend") >= 2
    assert not [line for line in keeping.log.lines() if "10.0.0.2" in line]


def test_a_link_on_which_nobody_answers_is_joined_anew_and_then_left_alone_for_longer_each_time():
    keeping = _Keeping()
    keeping.link.at = "10.0.0.2"
    rejoined = []
    for second in range(4000):
        keeping.seconds(1)
        if second % 10 == 0:
            keeping.link.calls.clear()
            keeping.keeper.silent()
            if "begin" in keeping.link.calls:
                assert keeping.link.calls == ["end", "begin"]
                rejoined.append(second)
    pauses = [later - earlier for earlier, later in zip(rejoined, rejoined[1:])]
    assert rejoined[0] == 40, "five questions without an answer"
    assert pauses == sorted(pauses) and pauses[-1] > 400


def test_a_link_on_which_somebody_speaks_is_left_alone():
    keeping = _Keeping()
    keeping.link.at = "10.0.0.2"
    for _ in range(100):
        keeping.seconds(10)
        for _ in range(4):
            keeping.keeper.silent()
        keeping.keeper.heard()
    assert keeping.link.calls == []


def test_nobody_heard_for_ten_minutes_is_reason_to_ask_and_anybody_heard_ends_that():
    keeping = _Keeping()
    keeping.link.at = "10.0.0.2"
    keeping.seconds(599)
    assert not keeping.keeper.quiet
    keeping.seconds(1)
    assert keeping.keeper.quiet
    keeping.keeper.heard()
    assert not keeping.keeper.quiet


def test_without_a_link_silence_means_nothing():
    keeping = _Keeping()
    for _ in range(50):
        keeping.keeper.silent()
    assert "end" not in keeping.link.calls


# -- network clock


async def test_the_name_of_a_time_server_is_looked_up_rarely():
    lookups, answers = [], [None]

    async def ask(address, random):
        return answers[0]

    def look_up(host):
        lookups.append(host)
        return "10.0.0.1", 123

    real, sntp.ask = sntp.ask, ask
    try:
        server = sntp.TimeServer("clock", look_up)
        for _ in range(17):
            assert await server.unix_ms(None) is None
        assert len(lookups) == 3
        answers[0] = 5
        for _ in range(30):
            assert await server.unix_ms(None) == 5
        assert len(lookups) == 3
    finally:
        sntp.ask = real


async def test_a_time_server_keeps_its_address_while_its_name_cannot_be_looked_up():
    asked = []

    async def ask(address, random):
        asked.append(address)

    def look_up(host):
        if asked:
            raise OSError(-2)
        return "10.0.0.1", 123

    real, sntp.ask = sntp.ask, ask
    try:
        server = sntp.TimeServer("clock", look_up)
        for _ in range(20):
            await server.unix_ms(None)
    finally:
        sntp.ask = real
    assert len(asked) >= 17 and set(asked) == {("10.0.0.1", 123)}


_NONCE = b"a nonce."


def _packet(stratum=2, reference=b"GPS\0", seconds=3_900_000_000, fraction=1 << 31, nonce=_NONCE, first=0x24):
    times = bytes(8) + nonce + bytes(8) + seconds.to_bytes(4, "big") + fraction.to_bytes(4, "big")
    return bytes((first, stratum)) + bytes(10) + reference + times


def test_only_a_servers_right_answer_tells_a_time():
    assert sntp.read(_packet(), _NONCE) == 1000 * (3_900_000_000 - 2_208_988_800) + 500
    assert sntp.read(_packet(seconds=5), _NONCE) == 1000 * ((1 << 32) + 5 - 2_208_988_800) + 500  # in 2036
    for wrong in (
        _packet(seconds=0, fraction=0),
        _packet(seconds=0, fraction=1),
        _packet(seconds=0),
        _packet(nonce=bytes(8)),
        _packet(first=0x23),
        _packet(first=0xE4),
        _packet(stratum=16),
        _packet(stratum=0),
        _packet(stratum=0, reference=b"RATE", nonce=bytes(8)),
        _packet()[:-1],
        b"",
    ):
        assert sntp.read(wrong, _NONCE) is None
    for kiss in (b"RATE", b"DENY", b"RSTR"):
        assert sntp.read(_packet(stratum=0, reference=kiss), _NONCE) == kiss


class _Line:
    """A socket on which datagrams lie, right or wrong."""

    def __init__(self, *datagrams):
        self.datagrams = list(datagrams)

    def setblocking(self, flag):
        pass

    connect = send = setblocking

    def close(self):
        self.datagrams = None

    def recv(self, length):
        if not self.datagrams:
            raise OSError(EAGAIN)
        return self.datagrams.pop(0)


class _Sockets:
    AF_INET = SOCK_DGRAM = 0

    def __init__(self, line):
        self.line = line

    def socket(self, *_):
        return self.line


async def test_a_wrong_datagram_does_not_end_the_question():
    line = _Line(b"", _packet(nonce=bytes(8)), _packet(seconds=0, fraction=0), bytes(48), _packet())
    real, sntp.socket = sntp.socket, _Sockets(line)
    try:
        assert await sntp.ask(("10.0.0.1", 123), lambda length: _NONCE) == sntp.read(_packet(), _NONCE)
    finally:
        sntp.socket = real
    assert line.datagrams is None  # closed


class _Asking:
    """A TimeServer that is given its answers, None, a time or a kiss, and how long it waits after each."""

    def __init__(self):
        self.lookups = []
        self.server = sntp.TimeServer("clock", self._look_up)

    def _look_up(self, host):
        self.lookups.append(host)
        return "10.0.0.1", 123

    async def waits(self, answers, known):
        async def ask(address, random):
            return answers.pop(0)

        real, sntp.ask = sntp.ask, ask
        waits = []
        try:
            while answers:
                await self.server.unix_ms(None)
                waits.append(self.server.next_wait_seconds(known))
        finally:
            sntp.ask = real
        return waits


async def test_questions_become_rarer_without_an_answer_and_are_hourly_with_one():
    asking = _Asking()
    assert await asking.waits([None] * 11, False) == [2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]
    assert not asking.server.heard
    assert await asking.waits([5, 5], True) == [3600, 3600] and asking.server.heard
    assert await asking.waits([None, None, 5], True) == [2, 4, 3600]


async def test_a_time_that_the_clock_does_not_take_is_no_reason_for_haste():
    assert await _Asking().waits([5] * 4, False) == [2, 4, 8, 16]


async def test_a_server_that_wants_no_questions_gets_none_for_an_hour_if_the_clock_is_good():
    asking = _Asking()
    assert await asking.waits([b"RATE", 5], True) == [3600] * 2
    assert len(asking.lookups) == 1
    assert await asking.waits([b"DENY", b"RSTR", 5], True) == [3600] * 3
    assert len(asking.lookups) == 1 + 2 and asking.server.heard


async def test_without_a_good_clock_too_many_questions_become_rare_ones_and_a_denial_leads_to_another_server():
    asking = _Asking()
    assert await asking.waits([b"RATE", None], False) == [512, 512]
    assert await asking.waits([5, 5], True) == [3600] * 2
    assert len(asking.lookups) == 1
    assert await asking.waits([b"DENY", b"RSTR", None], False) == [2, 4, 8]
    assert len(asking.lookups) == 1 + 2


class _Enough(Exception):
    pass


class _Answers:
    """A TimeServer with answers on hand (unix milliseconds, None for none) that notes whether the clock was good.
    wait_seconds: between two questions."""

    wait_seconds = 0

    def __init__(self, office, *answers):
        self._office = office
        self._answers = list(answers)
        self.content = []
        self.heard = False

    async def unix_ms(self, random):
        self._office.turn()  # as the server does, a few times a second
        if not self._answers:
            raise _Enough
        now = self._answers.pop(0)
        self.heard = now is not None
        return now

    def next_wait_seconds(self, content):
        self.content.append(content)
        return self.wait_seconds


async def _followed(office, *answers):
    """(whether the clock was good after each answer, what the link's keeper was told)"""
    told = []

    class _Keeper:
        address = "10.0.0.7"
        quiet = False

        def heard(self):
            told.append("heard")

        def silent(self):
            told.append("silent")

    server = _Answers(office, *answers)
    try:
        await sntp.follow(server, office.relay, _Keeper())
    except _Enough:
        pass
    return server.content, told


async def test_a_network_clock_is_asked_sooner_when_nobody_else_was_heard_for_long():
    office = Office()
    office.boot()

    class _Quiet:
        address = "10.0.0.7"
        quiet = True

        def heard(self):
            pass

        silent = heard

    for answers, waits in (((office.unix_ms,), 1), ((None,), 3), ((office.unix_ms, None), 4)):
        slept = []
        server = _Answers(office, *answers)
        server.wait_seconds = 3

        async def sleep(seconds, slept=slept):
            slept.append(seconds)

        real, sntp.asyncio = sntp.asyncio, _Asyncio(sleep)
        try:
            await async_raises(_Enough, sntp.follow(server, office.relay, _Quiet()))
        finally:
            sntp.asyncio = real
        assert len(slept) == waits, answers


class _Asyncio:
    def __init__(self, sleep):
        self.sleep = sleep


async def test_a_clock_is_good_when_a_round_was_opened_by_it_and_it_is_not_provisional():
    office = Office()
    office.sleep(3)
    office.boot(clock_known=False)
    right = office.unix_ms
    late = right + 10**9
    good, told = await _followed(office, None, late, late, None, right, right)
    assert good == [False] * 5 + [True]
    assert told == ["silent", "heard", "heard", "silent", "heard", "heard"]
    assert office.relay.open_round == 3 and office.relay.clock_accepted


# -- faults


def test_a_fault_is_said_in_its_own_words_and_an_unexpected_error_without_its_values():
    assert explain(Fault("the key ring is damaged\nprovision anew")) == "the key ring is damaged provision anew"
    assert "secret" not in explain(ValueError("secret"))
    assert "memory" in explain(MemoryError())


def test_the_page_says_what_is_wrong_and_what_to_do():
    text = faultpage.page("the <flash> & more", None).decode()
    assert "the &lt;flash&gt; &amp; more" in text and "restart" in text
    assert "within 3 minutes" in faultpage.page("x", 120).decode()


async def test_the_page_is_answered_whatever_is_asked_and_silence_is_not_waited_for():
    not_on_a_board("the board has no loopback")
    answer = faultpage.page("broken", None)
    page = faultpage.FaultPage(answer)
    port = 18_000 + ticks_ms() % 10_000
    serving = asyncio.create_task(page.serve("127.0.0.1", port))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for request in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000):
        reader, writer = await _connect(port)
        writer.write(request)
        await writer.drain()
        got = b""
        try:
            while len(got) < len(answer):
                piece = await reader.read(1000)
                if not piece:
                    break
                got += piece
        except OSError:
            pass  # what was not read of a long question resets the connection
        assert answer.startswith(got) and (got == answer or len(request) > 512)
        writer.close()
    start = ticks_ms()
    reader, writer = await _connect(port)
    assert await reader.read(10) == b""
    assert ticks_diff(ticks_ms(), start) < 60_000
    writer.close()
    serving.cancel()


async def _connect(port):
    for _ in range(50):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
    raise AssertionError("nobody listens")
