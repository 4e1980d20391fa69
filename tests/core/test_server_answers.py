# heap: 8m
# When answers leave a server and what they say while rounds turn, members post and storage fails.

import asyncio

from check import async_raises
from office import EPOCH_ROUNDS, Office, Token, parameters, records
from socketclient import QUICK, Client, Served, until
from tessera import wire
from tessera.errors import Fault, Refused
from tessera.machine import Machine
from tessera.runtime import ticks_diff, ticks_ms
from tessera.server import Timing


async def test_answers_to_post_and_void_leave_a_fixed_time_after_the_frame():
    office = Office()
    async with Served(office.relay, Timing(ack_ms=150, lead_ms=100)) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        for request in (wire.post(0, records(1)[0]), wire.void(), wire.post(9, records(1)[0])):
            start = ticks_ms()
            try:
                await member.call(request)
            except Refused:
                pass
            assert ticks_diff(ticks_ms(), start) >= 149
        start = ticks_ms()
        assert await member.fetch(0, 1) == ({}, 0)
        assert ticks_diff(ticks_ms(), start) >= 99


class _Commits:
    """A machine's commits that end when and how a test says."""

    def __init__(self):
        self.done = asyncio.Event()
        self.error = None
        self._waiting = 0

    def asked(self):
        return self._waiting == 1

    def next(self):
        self._waiting += 1
        return self

    async def wait(self):
        await self.done.wait()
        if self.error:
            raise self.error


class _Committing(Machine):
    def __init__(self, commits):
        self.commits = commits


async def test_an_answer_leaves_after_its_commit_and_is_a_fault_if_that_fails():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        for request in (wire.post(0, records(1)[0]), wire.void(), wire.post(9, records(1)[0])):
            for error in (None, OSError(5)):
                commits = _Commits()
                served.server._machine = _Committing(commits)
                called = asyncio.create_task(_said(member, request))
                await until(commits.asked)
                await asyncio.sleep(0.05)
                assert not called.done(), "it did not wait"
                commits.error = error
                commits.done.set()
                if error:
                    assert await called == "FAULT"
                else:
                    assert await called == ("BAD_REQUEST" if request[2] == 9 else request[0])


async def _said(member, request):
    """The kind of the request that was answered, or the name of the refusal."""
    try:
        return (await member.call(request))[0] & ~wire.VOIDED
    except Refused as refused:
        return refused.name


async def test_no_answer_leaves_in_the_window_after_a_seal():
    office = Office()
    async with Served(office.relay, Timing(ack_ms=1, lead_ms=1, tick_ms=1, window_ms=400)) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        for request in (wire.void(), wire.info(), wire.post(0, records(1)[0])):
            start = ticks_ms()
            office.pass_time(10_000)
            await until(lambda: not served.server._gate.is_set())
            await member.call(request)
            assert ticks_diff(ticks_ms(), start) >= 399


async def test_no_frame_of_a_fetch_leaves_in_the_window_after_a_seal():
    office = Office()
    async with Served(office.relay, Timing(ack_ms=1, lead_ms=1, tick_ms=1, window_ms=400)) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        for record in records(9):
            await member.call(wire.post(0, record))
        start = ticks_ms()
        office.pass_time(10_000)
        await until(lambda: not served.server._gate.is_set() and office.relay.open_round == 1)
        left = []
        await member.fetch_frames(0, 1, 0, lambda *cell: left.append(ticks_diff(ticks_ms(), start)))
        assert len(left) >= 3 and min(left) >= 399


async def test_a_fetch_is_right_while_another_member_posts_and_the_round_turns():
    office = Office()
    posted = records(14)
    for round_ in range(7):
        member = office.member(round_)
        for record in posted[2 * round_ : 2 * round_ + 2]:
            member.post(record)
        office.sleep()
    expected = office.member(0).fetch(0, 7)
    assert expected[1] == 7 and sum(len(batch) for batch in expected[0].values()) > 14
    async with Served(office.relay, Timing(ack_ms=1, lead_ms=5, tick_ms=8, window_ms=10)) as served:
        reader = await Client().admitted(served.port, Token(1, 1))
        writer = await Client().admitted(served.port, Token(2, 1))
        fetching = asyncio.create_task(reader.fetch(0, 16))
        acks = []
        for record in records(6, b"meanwhile"):
            acks.append((await writer.call(wire.post(0, record)))[1])
            if len(acks) == 2:
                await served.turn_round(office)
        assert await fetching == expected
        assert acks == [7, 7, 8, 8, 8, 8]
        batch = (await reader.fetch(7, 8))[0][7]
        assert [batch.count(record) for record in records(6, b"meanwhile")] == [1, 1, 0, 0, 0, 0]


async def test_a_fetch_ends_with_too_old_where_its_epoch_expires():
    office = Office()
    office.sleep(3 * EPOCH_ROUNDS - 1)
    async with Served(office.relay, Timing(ack_ms=1, lead_ms=1, tick_ms=60, window_ms=1)) as served:
        member = await Client().admitted(served.port, Token(0, 2))
        fetching = asyncio.create_task(member.fetch(0, 16))
        await asyncio.sleep(0.1)
        await served.turn_round(office)
        assert (await async_raises(Refused, fetching)).name == "TOO_OLD"
        assert await member.call(wire.void()) == (wire.VOIDED,)


class _BrokenDevice:
    def readblocks(self, *_):
        raise OSError(5)

    writeblocks = readblocks


async def test_storage_that_fails_is_a_fault_and_the_session_goes_on():
    office = Office()
    async with Served(office.relay, QUICK) as served:
        member = await Client().admitted(served.port, Token(0, 0))
        await member.call(wire.post(0, records(1)[0]))
        await served.turn_round(office)
        device, office.relay._log._device = office.relay._log._device, _BrokenDevice()
        assert (await async_raises(Refused, member.call(wire.post(0, records(2)[1])))).name == "FAULT"
        assert (await async_raises(Refused, member.fetch(0, 1))).name == "FAULT"
        office.relay._log._device = device
        assert await member.call(wire.post(0, records(2)[1])) == (wire.ACK, 1)


async def test_a_push_ends_with_its_connection():
    office = Office()
    blob = parameters(serial=2, first_epoch=1)
    async with Served(office.relay, QUICK) as served:
        first = await Client().admitted(served.port, Token(0, 0))
        second = await Client().admitted(served.port, Token(1, 0))
        assert await first.call(wire.push(len(blob), 0, blob[:240])) == (wire.PUSHED, 0)
        assert (await async_raises(Refused, second.call(wire.push(len(blob), 0, blob[:240])))).name == "BUSY"
        await first.close()
        await served.connections(1)
        for chunk, at in enumerate(range(0, len(blob), 240)):
            answer = await second.call(wire.push(len(blob), chunk, blob[at : at + 240]))
        assert answer == (wire.PUSHED, 1) and office.relay.parameters.newest.serial == 2


async def test_a_relay_that_faults_ends_the_server():
    office = Office()
    async with Served(office.relay, QUICK) as served:

        def fault():
            raise Fault("for a test")

        office.relay.turn = fault
        await until(lambda: served.error is not None)
        assert isinstance(served.error, Fault)
