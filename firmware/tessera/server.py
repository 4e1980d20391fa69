# Sockets and time around a Relay: which connections are let in, and when each answer leaves. What the answers say is
# relay.py's business.
#
# Garbage is collected once for each request, before its answer is due. If the allocator chose the moment, it would show
# in the time of an answer.

import asyncio

from . import wire
from .batch import CellFrame
from .channel import HELLO_BYTES
from .errors import BadFrame, Busy, Fault, Refusal
from .runtime import collect, const, outgoing, sleep_ms, ticks_diff, ticks_ms

_IDLE_MS = const(10_000)  # after which a connection is ended
_STUCK_MS = const(30_000)  # after which a connection that is still there could not be ended
_SWEEP_MS = const(500)  # between two looks for idle connections
_LONGEST_SLEEP_MS = const(250)
_LATER_SECONDS = const(5)  # after which a client that found no place may try again
_READER_MS = const(30_000)  # for which a session that only reads keeps its place when half of the places are taken so

SEAL, SERVE = const(0), const(1)  # arguments of alive(): the seal task turns, answers can leave


class Timing:
    """When answers leave, in milliseconds. Nothing of this may depend on what is stored.

    ack_ms: from the arrival of a request to a small answer. lead_ms: from a FETCH to its first frame. tick_ms: from one
    frame to the next. window_ms: the silence after a seal, for erases. slot_ms: for which a session keeps its place
    when others want it.
    """

    def __init__(self, ack_ms=20, lead_ms=30, tick_ms=4, window_ms=60, slot_ms=120_000):
        self.ack_ms = ack_ms
        self.lead_ms = lead_ms
        self.tick_ms = tick_ms
        self.window_ms = window_ms
        self.slot_ms = slot_ms


class _NoPlace(Busy):
    """There is no place for another session or reader. The client is told, and the connection ends, so that it takes no
    place from posts while it waits."""


class _Connection:
    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.task = asyncio.current_task()
        self.session = None
        self.began_ms = 0  # ticks at which its session began
        self.reads = False  # whether it fetched
        self.surplus = False  # whether it has a session only to be told that there is no place
        self.ending = False
        self.cells = None
        self.out = None
        self.alive()

    def alive(self):
        self.last_ms = ticks_ms()

    async def receive(self, length):
        data = await self.reader.readexactly(length)
        self.alive()
        return data

    async def send(self, data):
        self.writer.write(outgoing(data))
        await self.writer.drain()
        self.alive()

    def end(self):
        self.ending = True
        self.task.cancel()

    async def close(self):
        self.writer.close()
        try:
            await self.writer.wait_closed()  # on MicroPython this, not close(), closes the socket
        except (OSError, asyncio.CancelledError):
            pass  # cancelled once more: the program ends


class Server:
    """A Relay on TCP. timing, sessions: in place of those of the relay's machine.

    observe() is called after every answer and seal, for measurements. alive(SEAL) and alive(SERVE) are called a few
    times a second while rounds turn and while answers can leave, for a watchdog. heard() is called whenever a client
    sent something. turned_away: how many clients were told that there is no place.
    """

    def __init__(self, relay, timing=None, sessions=None, observe=None, alive=None, heard=None):
        self._relay = relay
        self._machine = machine = relay.machine
        self._timing = timing or machine.timing or Timing()
        self._most_sessions = sessions or machine.sessions
        self._observe = observe or (lambda: None)
        self._alive = alive or (lambda who: None)
        self._heard = heard or (lambda: None)
        self._connections = []
        self._deliveries = 0  # under way
        self.turned_away = 0
        self._gate = asyncio.Event()  # answers leave while it is set, so not in the window after a seal
        self._handshake = asyncio.Lock()

    async def run(self, host, port, ready=None, begin=None, listen=None):
        """Serve until cancelled, or until the relay has a fault, which is raised. OSError if the port is not free.

        listen(callback, host, port): in place of asyncio.start_server. begin() is called when the port is taken; it can
        start the relay, so that nothing is written if another program has the port. ready() is called once it serves.
        """
        server = await (listen or asyncio.start_server)(self._connected, host, port)
        sweeper = None
        try:
            if begin:
                begin()
            self._turn()
            self._gate.set()
            sweeper = asyncio.create_task(self._sweep())
            if ready:
                ready()
            await self._keep_time()
        finally:
            if sweeper is not None:
                sweeper.cancel()
            server.close()
            for connection in self._connections:
                connection.task.cancel()

    # -- time

    async def _keep_time(self):
        while True:
            self._gate.clear()
            start = ticks_ms()
            if self._turn():
                await _sleep_until(start, self._timing.window_ms)
            self._gate.set()
            self._alive(SEAL)
            await self._prepare()
            await sleep_ms(self._pause_ms())

    async def _prepare(self):
        try:
            while self._relay.prepare():
                await asyncio.sleep(0)
        except MemoryError:
            pass  # it is tried again after the next pause, or done when it is needed

    def _turn(self):
        turned = self._relay.turn()
        if turned:
            self._relay.maintain()
            self._observe()
        return turned

    def _pause_ms(self):
        if self._relay.open_round is None:
            return _LONGEST_SLEEP_MS
        return min(_LONGEST_SLEEP_MS, self._relay.milliseconds_to_next_round() + 1)

    async def _sweep(self):
        while True:
            await sleep_ms(_SWEEP_MS)
            await self._gate.wait()  # so that alive(SERVE) shows whether answers can leave
            if self._end_idle():
                self._alive(SERVE)

    def _end_idle(self):
        """End connections that have been idle too long, reading or writing. False if one does not end.

        This is not done in _sweep(), whose local names would keep the last connection's buffers in the heap.
        """
        now = ticks_ms()
        longest = 0
        for connection in list(self._connections):
            idle = ticks_diff(now, connection.last_ms)
            longest = max(longest, idle)
            if idle > _IDLE_MS:
                connection.end()
        return longest < _STUCK_MS

    # -- connections

    async def _connected(self, reader, writer):
        connection = _Connection(reader, writer)
        self._make_room()
        self._connections.append(connection)
        try:
            await self._greet(connection)
            while True:
                await self._exchange(connection)
        except _NoPlace:
            self.turned_away += 1
        except (BadFrame, OSError, EOFError, MemoryError, asyncio.CancelledError):
            pass  # the connection ends, and the client is told nothing else
        finally:
            self._connections.remove(connection)
            if connection.session is not None:
                self._relay.leave(connection.session)
            await connection.close()

    def _make_room(self):
        most = self._machine.strangers
        if len(self._connections) < most:
            return
        strangers = [one for one in self._connections if one.session is None and not one.ending]
        if len(strangers) >= most:
            strangers[0].end()

    async def _greet(self, connection):
        nonce = self._relay.nonce()
        await connection.send(nonce)
        hello = await connection.receive(HELLO_BYTES)
        self._heard()
        access_key = self._relay.check_hello(hello, nonce)
        self._check_room(connection)  # here so that no client waits in vain; and again when it is its turn
        async with self._handshake:
            await self._let_deliveries_go_first()
            await self._take_place(connection)
            connection.session, reply = self._relay.greet(hello, nonce, access_key)
            connection.began_ms = ticks_ms()
            await asyncio.sleep(0)  # others that wait have a turn before the next curve work
        await connection.send(reply)
        collect()

    def _check_room(self, connection):
        """The connection that loses its place to this one, None if a place is free or this one becomes a surplus one.
        BadFrame if all sessions keep their places and there are too many surplus ones already."""
        connection.surplus = False
        if len(self._connections) <= self._most_sessions:
            return None
        sessions = [one for one in self._connections if one.session is not None and not one.session.operator]
        surplus = len([one for one in sessions if one.surplus])
        if len(sessions) - surplus < self._most_sessions:
            return None
        # The oldest session, whatever it sent: its end must not show whether it only sent VOID (PROTOCOL §4).
        now = ticks_ms()
        oldest = max(sessions, key=lambda connection: ticks_diff(now, connection.began_ms))
        if ticks_diff(now, oldest.began_ms) < self._timing.slot_ms:
            if surplus >= self._machine.surplus:
                raise BadFrame("no room")
            connection.surplus = True
            return None
        return oldest

    async def _take_place(self, connection):
        oldest = self._check_room(connection)
        if oldest is not None:
            await self._end(oldest)

    async def _end(self, connection):
        connection.end()
        while connection in self._connections:
            await sleep_ms(1)

    async def _take_readers_place(self, connection):
        """Let a connection fetch. Without a token it is a reader, and readers take at most half of the places, so that
        posts find one. _NoPlace if all readers keep their places."""
        if connection.session.token is None and not connection.reads:
            now = ticks_ms()
            readers = [one for one in self._connections if one.reads and one.session.token is None]
            if len(readers) >= max(1, self._most_sessions // 2):
                oldest = max(readers, key=lambda reader: ticks_diff(now, reader.began_ms))
                if ticks_diff(now, oldest.began_ms) < _READER_MS:
                    raise _NoPlace("others read", _LATER_SECONDS)
                connection.reads = True  # before it waits, so that others count it
                await self._end(oldest)
        connection.reads = True

    def _take_operators_place(self, connection):
        """End the operator's earlier session, as there is one at a time."""
        for other in self._connections:
            if other is not connection and other.session is not None and other.session.operator:
                other.end()

    async def _let_deliveries_go_first(self):
        start = ticks_ms()
        while self._deliveries and ticks_diff(ticks_ms(), start) < self._machine.patience_ms:
            await sleep_ms(5)

    async def _exchange(self, connection):
        sealed = await connection.receive(wire.CLIENT_FRAME_BYTES)
        self._heard()
        arrived = ticks_ms()
        frame = connection.session.channel.open(sealed)
        if frame[0] == wire.FETCH:
            await self._deliver(connection, frame, arrived)
        else:
            await self._answer(connection, frame, arrived)
        self._observe()

    async def _answer(self, connection, frame, arrived):
        if connection.out is None:
            connection.out = bytearray(wire.CLIENT_FRAME_BYTES)
        out = connection.out
        refusal = None
        try:
            if connection.surplus:
                raise _NoPlace("no session is free", _LATER_SECONDS)
            self._relay.answer(connection.session, frame, out)
            if connection.session.operator:
                self._take_operators_place(connection)
        except Exception as error:
            refusal = _refusal(error)
            wire.answer_error(out, refusal)
        # Requests that store nothing wait for a commit, too, and for the same moment: both a commit's time and the time
        # of the collector, which grows with what is remembered of posts, would show otherwise.
        commit = self._machine.commits and self._machine.commits.next()
        collect()
        await _sleep_until(arrived, self._timing.ack_ms)
        if commit:
            late = not commit.over
            try:
                await commit.wait()
            except Exception as error:
                refusal = _refusal(error)
                wire.answer_error(out, refusal)
            if late:
                await self._leave(arrived, self._timing.ack_ms, self._timing.ack_ms)
        await self._gate.wait()
        connection.session.channel.seal_in_place(out)
        await connection.send(out)
        if isinstance(refusal, (BadFrame, _NoPlace)):
            raise refusal

    async def _deliver(self, connection, frame, arrived):
        if connection.cells is None:
            connection.cells = CellFrame()
        cells = connection.cells
        collect()
        self._deliveries += 1
        try:
            due = self._timing.lead_ms
            more = True
            burst, waiting = self._machine.burst, b""
            delivery = refusal = None
            while more:
                try:
                    if connection.surplus:
                        raise _NoPlace("no session is free", _LATER_SECONDS)
                    if delivery is None:
                        delivery = self._relay.fetch(connection.session, frame)
                        await self._take_readers_place(connection)
                    more = delivery.next_frame(cells)
                except Exception as error:
                    refusal = _refusal(error)
                    wire.answer_fetch_error(cells.buffer, refusal)
                    more = False
                sealed = cells.buffer
                connection.session.channel.seal_in_place(sealed)
                if burst > 1:
                    waiting += sealed
                    if more and len(waiting) < burst * len(sealed):
                        continue
                    sealed, waiting = waiting, b""
                due = await self._leave(arrived, due, self._timing.tick_ms) + self._timing.tick_ms
                await connection.send(sealed)
        finally:
            self._deliveries -= 1
        if isinstance(refusal, _NoPlace):
            raise refusal

    async def _leave(self, start, due, step):
        """Wait until `due` ms after start (ticks); if that is over, until the first whole multiple of `step` ms after
        it. Returns when it was due, in ms after start."""
        late = ticks_diff(ticks_ms(), start) - due
        if late > 0:
            due += (late + step - 1) // step * step
        await _sleep_until(start, due)
        await self._gate.wait()
        return due


def _refusal(error):
    """The Refusal that a client is told for an exception: FAULT for failing storage, BUSY for a full heap. Other
    exceptions are raised."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OSError):
        return Fault("the storage fails")
    if isinstance(error, MemoryError):
        return Busy("no memory at this moment", 1)
    raise error


async def _sleep_until(start, milliseconds):
    """Wait until so many milliseconds after start (ticks)."""
    left = milliseconds - ticks_diff(ticks_ms(), start)
    if left > 0:
        await sleep_ms(left)
