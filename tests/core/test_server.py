# heap: 8m
# The server over loopback sockets: who is let in and what closes a connection. See also test_server_answers.py.

import asyncio
import gc
import os

from check import async_raises, skip
from damage import changed
from office import Office, Token, parameters, records
from socketclient import QUICK, Client, Served, until
from tessera import curve, wire
from tessera.errors import Fault, Refused
from tessera.machine import Machine
from tessera.runtime import ticks_ms
from tessera.server import SEAL, SERVE, Timing

_SHORT = Timing(ack_ms=2, lead_ms=2, tick_ms=1, window_ms=5, slot_ms=100)


def _state(office):
    """Everything a relay keeps: flash, files, tokens and resumption ids."""
    admission = office.relay._epochs.admission
    used = sorted((token_id, token.used) for token_id, token in admission._tokens.items())
    ring = office.ring.get(0, 4096 * office.ring.sectors)
    keys = office.keys.get(0, 4096 * office.keys.sectors)
    return ring, keys, dict(office.directory.files), used, sorted(admission._resumable)


class _CurveWork:
    """`with _CurveWork() as work:` counts the calls of the curve's functions."""

    NAMES = ("verify", "sign", "public", "dh", "tweak_add", "Point")

    def __enter__(self):
        self.calls = 0
        self._functions = [getattr(curve, name) for name in self.NAMES]
        for name, function in zip(self.NAMES, self._functions):
            setattr(curve, name, self._counting(function))
        return self

    def _counting(self, function):
        def counted(*arguments):
            self.calls += 1
            return function(*arguments)

        return counted

    def __exit__(self, *_):
        for name, function in zip(self.NAMES, self._functions):
            setattr(curve, name, function)


async def _strangers(served, count):
    """Connections that have said nothing."""
    strangers = []
    for _ in range(count):
        strangers.append(await Client().connect(served.port))
    return strangers


def _sessions(served):
    return len([connection for connection in served.server._connections if connection.session])


async def test_a_whole_session():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        assert member.posts_left == 16
        info = await member.call(wire.info())
        assert info[7:] == (0, 0, curve.TIER)
        assert await member.call(wire.void()) == (wire.VOIDED,)
        posted = records(5)
        for record in posted:
            assert await member.call(wire.post(0, record)) == (wire.ACK, 0)
        assert await member.fetch(0, 2) == ({}, 0)
        await served.turn_round(office)
        rounds, following = await member.fetch(0, 2)
        assert following == 1 and [rounds[0].count(record) for record in posted] == [1] * 5
        assert (await async_raises(Refused, member.fetch(3, 3))).name == "BAD_REQUEST"
        assert (await async_raises(Refused, member.call(wire.params(999)))).name == "BAD_REQUEST"
        assert (await member.call(wire.params(0)))[3] == parameters()[:240]
        resumed = await Client().open(served.port, member.secret)
        assert (await async_raises(Refused, resumed.fetch(0, 1))).name == "NOT_ADMITTED"
        assert await resumed.call(wire.post(1, posted[0])) == (wire.ACK, 1)


async def test_a_wrong_hello_is_closed_silently_without_curve_work_or_a_trace():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        await until(lambda: len(office.relay._handshakes._ephemerals) == 4)
        before = _state(office)
        other_nonce, right = await _strangers(served, 2)
        hellos = [right.hello(b"another access key, 32 bytes lon"), os.urandom(81), other_nonce.hello(), bytes(81)]
        hellos += [changed(right.hello(), at) for at in (0, 32, 33, 48)]
        with _CurveWork() as work:
            for hello in hellos:
                stranger = await Client().connect(served.port)
                await stranger.send(hello)
                assert await stranger.closed()
            assert work.calls == 0
        assert _state(office) == before and len(office.relay._handshakes._ephemerals) == 4


async def test_a_hello_with_a_good_check_and_a_bad_rest_is_closed_silently():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        before = _state(office)
        stranger = await Client().connect(served.port)
        await stranger.send(changed(stranger.hello(), 80))
        assert await stranger.closed()
        stranger = await Client().connect(served.port)
        await stranger.send(stranger.hello(resumption=bytes(32)))
        assert await stranger.closed()
        await served.connections(0)
        assert _state(office) == before


async def test_a_full_heap_ends_a_connection_and_not_the_relay():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        greet, tries = office.relay.greet, []

        def no_heap(*arguments):
            tries.append(arguments)
            raise MemoryError

        office.relay.prepare = office.relay.greet = no_heap
        refused = await Client().connect(served.port)
        await refused.send(refused.hello())
        assert await refused.closed()
        await served.connections(0)
        await served.turn_round(office)
        assert len(tries) >= 2 and served.error is None
        office.relay.greet = greet
        member = await Client().admitted(served.port, Token(0, 0))
        assert await member.call(wire.post(0, records(1)[0])) == (wire.ACK, 1)


async def test_seal_task_and_server_say_that_they_live_and_one_that_hangs_falls_silent():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        said = []
        served.server._alive = said.append
        await until(lambda: SEAL in said and SERVE in said)
        served.server._gate = _Shut()  # no answer can leave
        await asyncio.sleep(1)
        said.clear()
        await asyncio.sleep(1.2)
        assert SEAL in said and SERVE not in said


async def test_only_what_a_peer_says_is_heard_and_no_seal():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        heard = []
        served.server._heard = lambda: heard.append(True)
        for _ in range(3):
            await served.turn_round(office)
        assert not heard
        stranger = await Client().connect(served.port)
        await stranger.send(stranger.hello()[:40])
        await served.turn_round(office)
        assert not heard
        member = await Client().admitted(served.port, Token(0, 0))
        before = len(heard)
        assert before >= 2
        await member.call(wire.void())
        assert len(heard) == before + 1


class _Shut(asyncio.Event):
    """A gate that nobody opens."""

    def set(self):
        pass


async def test_connections_end_with_the_server():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))

        def fail():
            raise Fault("the storage fails")

        office.relay.turn = fail
        await until(lambda: served.error is not None)
        assert await member.closed()
        await served.connections(0)


async def test_the_sweeper_keeps_nothing_of_a_connection_that_ended():
    try:
        from weakref import ref
    except ImportError:
        skip("no weak references")
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        connection = ref(served.server._connections[0])
        await asyncio.sleep(0.7)  # longer than from one sweep to the next
        await member.close()
        await served.connections(0)
        await until(lambda: gc.collect() is not None and connection() is None)


async def test_a_truncated_hello_leaves_nothing():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        before = _state(office)
        for length in (0, 1, 80):
            stranger = await Client().connect(served.port)
            await served.connections(1)
            await stranger.send(stranger.hello()[:length])
            await stranger.close()
            await served.connections(0)
        assert _state(office) == before


async def test_frames_that_do_not_verify_close_the_connection_and_change_nothing():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        await member.call(wire.post(0, records(1)[0]))
        for number, damage in enumerate((_flipped, _flipped_tag, _random, _too_long, _next_frame)):
            member = await Client().open(served.port, member.secret)
            await member.call(wire.info())
            before = _state(office)
            await member.send(damage(member.channel, wire.post(0, records(2)[1])))
            assert await member.closed(), number
            assert _state(office) == before, number


def _flipped(channel, request):
    return changed(channel.seal(request), 100)


def _flipped_tag(channel, request):
    return changed(channel.seal(request), 271)


def _random(_channel, _request):
    return os.urandom(272)


def _too_long(channel, request):
    return channel.seal(bytes(request) + bytes(16))


def _next_frame(channel, request):
    """The frame after the one that is due."""
    channel.seal(request)
    return channel.seal(request)


async def test_a_replayed_frame_closes_the_connection_and_changes_nothing():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        frame = member.channel.seal(wire.post(0, records(1)[0]))
        await member.send(frame)
        await member.receive(272)
        before = _state(office)
        await member.send(frame)
        assert await member.closed()
        assert _state(office) == before


async def test_an_unknown_request_is_answered_and_ends_the_connection():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        before = _state(office)
        request = bytearray(255)
        request[0] = 127
        assert (await async_raises(Refused, member.call(request))).name == "BAD_FRAME"
        await member.send(member.channel.seal(wire.void()))
        assert await member.closed(), "it went on"
        assert _state(office) == before


async def test_idle_connections_are_closed_and_others_are_not():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        stranger = await Client().connect(served.port)
        idle = await Client().open(served.port)
        busy = await Client().open(served.port)
        for connection in served.server._connections[:2]:
            connection.last_ms = ticks_ms() - 10_600
        served.server._connections[2].last_ms = ticks_ms() - 8_000
        assert await stranger.closed() and await idle.closed()
        assert await busy.call(wire.void()) == (wire.VOIDED,)
        await served.connections(1)


async def test_a_fifth_stranger_evicts_the_oldest_and_no_session():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().open(served.port)
        strangers = await _strangers(served, 4)
        assert len(served.server._connections) == 5
        strangers += await _strangers(served, 1)
        assert await strangers[0].closed()
        await served.connections(5)
        assert await member.call(wire.void()) == (wire.VOIDED,)
        await strangers[1].send(strangers[1].hello())
        await strangers[1].finish()


async def test_of_many_strangers_at_once_the_oldest_are_ended_and_each_once():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        strangers = await _strangers(served, 4)
        newcomers = await asyncio.gather(*[Client().connect(served.port) for _ in range(3)])
        for stranger in strangers[:3]:
            assert await stranger.closed()
        for stranger in (strangers[3], newcomers[0], newcomers[1], newcomers[2]):
            await stranger.send(stranger.hello())
            await stranger.finish()


class _Roomy(Machine):
    """A machine that has room for two sessions, and one to be told so."""

    sessions = 2
    surplus = 1
    burst = 3


async def test_on_a_machine_with_room_for_it_who_finds_no_place_is_told():
    office = Office()
    office.relay.machine = _Roomy
    async with Served(office.relay, QUICK) as served:
        members = [await Client().open(served.port), await Client().admitted(served.port, Token(0, 0))]
        waiting = await Client().open(served.port)
        unheard = await Client().connect(served.port)
        await unheard.send(unheard.hello())
        assert await unheard.closed()
        refusal = await async_raises(Refused, waiting.call(Token(1, 0).request(waiting.channel.handshake_hash)))
        assert (refusal.name, refusal.retry_after) == ("BUSY", 5) and await waiting.closed()
        reader = await Client().open(served.port)
        assert (await async_raises(Refused, reader.fetch(0, 1))).name == "BUSY" and await reader.closed()
        assert served.server.turned_away == 2
        for member in members:
            assert await member.call(wire.void()) == (wire.VOIDED,)
        await members[0].close()
        await served.connections(1)
        await (await Client().admitted(served.port, Token(1, 0))).call(wire.post(0, records(1)[0]))


async def test_frames_that_leave_together_are_the_same():
    office = Office()
    for record in records(14):
        office.member(0).post(record)
    office.sleep(2)
    expected = office.member(0).fetch(0, 2)
    office.relay.machine = _Roomy
    async with Served(office.relay, QUICK) as served:
        for rounds, answer in (((0, 2), expected), ((2, 3), ({}, 2))):
            client = await Client().open(served.port)
            assert await client.fetch(*rounds) == answer
            await client.close()
            await served.connections(0)  # there is a place for one reader


async def test_a_fifth_session_is_turned_away_until_one_ends():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        members = []
        for _ in range(4):
            members.append(await Client().open(served.port))
        fifth = await Client().connect(served.port)
        await fifth.send(fifth.hello())
        assert await fifth.closed()
        for member in members:
            assert await member.call(wire.void()) == (wire.VOIDED,)
        await members[2].close()
        await served.connections(3)
        assert await (await Client().open(served.port)).call(wire.void()) == (wire.VOIDED,)


async def test_the_oldest_session_loses_its_place_to_a_newcomer_whatever_it_sends():
    office = Office()
    for busy in (0, 1):
        async with Served(office.relay, _SHORT, sessions=2) as served:
            members = []
            for number in range(2):
                members.append(await Client().admitted(served.port, Token(10 * busy + number, 0)))
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            await members[1 - busy].call(wire.void())
            await members[busy].call(wire.post(0, records(1)[0]))
            newcomer = await Client().open(served.port)
            assert await members[0].closed()
            for member in (members[1], newcomer):
                assert await member.call(wire.void()) == (wire.VOIDED,)
            assert _sessions(served) == 2


async def test_a_newcomer_without_the_access_key_costs_nobody_a_place():
    office = Office()
    async with Served(office.relay, _SHORT, sessions=1) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        await asyncio.sleep(0.2)
        stranger = await Client().connect(served.port)
        await stranger.send(stranger.hello(b"another access key, 32 bytes lon"))
        assert await stranger.closed()
        assert await member.call(wire.void()) == (wire.VOIDED,)


async def test_handshakes_that_wait_for_a_delivery_do_not_exceed_the_sessions():
    office = Office()
    async with Served(office.relay, QUICK, sessions=1) as served:
        served.server._deliveries += 1  # as while a FETCH is answered: handshakes wait
        clients = await _strangers(served, 3)
        for client in clients:
            await client.send(client.hello())
        await asyncio.sleep(0.05)
        served.server._deliveries -= 1
        await until(lambda: _sessions(served) > 0)
        await asyncio.sleep(0.3)
        assert _sessions(served) == 1


# -- readers and the operator


def _aged(connection, milliseconds):
    """Have a session begun so much earlier."""
    connection.began_ms -= milliseconds


async def _readers(served, count):
    readers = []
    for _ in range(count):
        readers.append(await Client().open(served.port))
        assert (await readers[-1].fetch(0, 1))[1] == 1
    return readers


async def test_readers_have_half_of_the_places_and_the_oldest_makes_room_after_half_a_minute():
    office = Office()
    office.sleep()
    for sessions, half in ((4, 2), (3, 1), (1, 1)):
        async with Served(office.relay, QUICK, sessions=sessions) as served:
            readers = await _readers(served, half)
            if sessions > half:
                for milliseconds in (0, 29_000):
                    _aged(served.server._connections[0], milliseconds)
                    late = await Client().open(served.port)
                    busy = await async_raises(Refused, late.fetch(0, 1))
                    assert (busy.name, busy.retry_after) == ("BUSY", 5)
                    assert await late.closed()  # a place that who posts may need
                    await served.connections(half)
                _aged(served.server._connections[0], 1_000)
                late = await Client().open(served.port)
                assert (await late.fetch(0, 1))[1] == 1
                assert await readers[0].closed()
                readers = readers[1:] + [late]
            for reader in readers:
                assert (await reader.fetch(0, 1))[1] == 1  # who reads goes on


async def test_a_session_with_a_token_is_no_reader_and_one_without_the_key_takes_nobodys_place():
    office = Office()
    office.sleep()
    async with Served(office.relay, QUICK) as served:
        readers = await _readers(served, 2)
        for connection in served.server._connections:
            _aged(connection, 60_000)
        member = await Client().admitted(served.port, Token(0, 0))
        assert (await member.fetch(0, 1))[1] == 1
        stranger = await Client().open(served.port)
        await stranger.send(stranger.channel.seal(wire.fetch(0, 0, 1, bytes(16))))
        answer = stranger.channel.open(await stranger.receive(wire.CELL_FRAME_BYTES))
        assert (await async_raises(Refused, _read(answer))).name == "NOT_ADMITTED"
        for reader in readers:
            assert (await reader.fetch(0, 1))[1] == 1


async def _read(answer):
    return wire.read_cell(answer)


async def test_a_reader_that_is_admitted_makes_room_for_another():
    office = Office()
    office.sleep()
    async with Served(office.relay, QUICK) as served:
        readers = await _readers(served, 2)
        await readers[0].call(Token(0, 0).request(readers[0].channel.handshake_hash))
        await _readers(served, 1)
        assert (await readers[0].fetch(0, 1))[1] == 1


async def test_the_operator_has_a_place_beside_the_others_and_the_newer_one_takes_it():
    office = Office()
    async with Served(office.relay, QUICK, sessions=2) as served:
        operator = await Client().operating(served.port)
        members = [await Client().open(served.port), await Client().open(served.port)]
        turned_away = await Client().connect(served.port)
        await turned_away.send(turned_away.hello())
        assert await turned_away.closed()
        await members.pop().close()
        await served.connections(2)
        newer = await Client().operating(served.port)
        assert await operator.closed()
        members.append(await Client().open(served.port))
        for session in members + [newer]:
            assert await session.call(wire.void()) == (wire.VOIDED,)


async def test_ended_connections_give_their_descriptors_back():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(8):
            client = await Client().connect(served.port)
            await client.send(client.hello() if number & 1 else bytes(81))
            await (client.finish() if number & 1 else client.closed())
            await client.close()
            await served.connections(0)
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) == before
