# A relay on a loopback socket, and a client that speaks the protocol to it, for tests of the server
# and of its memory.

import asyncio
import os

from office import ACCESS_KEY, FEDERATION, READING_KEY, RELAY_KEY, ROOT
from tessera import channel, curve, wire
from tessera.admission import OPERATOR, operator_message, read_proof
from tessera.server import Server, Timing

HOST = "127.0.0.1"
_PATIENCE_SECONDS = 120  # an overall limit, no measure
QUICK = Timing(ack_ms=2, lead_ms=2, tick_ms=1, window_ms=5)


class Served:
    """`async with Served(relay) as served:` serves it on a free port until the end."""

    def __init__(self, relay, timing=None, sessions=None, observe=None):
        self.server = Server(relay, timing, sessions, observe)

    async def __aenter__(self):
        listening = False
        while not listening:
            # Below the ports that clients get; MicroPython's sockets do not tell which free one they were given.
            self.port = 20000 + int.from_bytes(os.urandom(2), "big") % 12000
            ready = asyncio.Event()
            self.task = asyncio.create_task(self._run(ready))
            await ready.wait()
            listening = self.error is None
        return self

    async def _run(self, ready):
        self.error = None
        try:
            await self.server.run(HOST, self.port, ready.set)
        except Exception as error:
            self.error = error
            ready.set()

    async def __aexit__(self, *_):
        self.task.cancel()
        try:
            await self.task
        except asyncio.CancelledError:
            pass

    async def turn_round(self, office):
        """Let a round pass and the server notice."""
        open_round = office.relay.open_round
        office.pass_time(10_000)
        await until(lambda: office.relay.open_round == open_round + 1 and self.server._gate.is_set())

    async def connections(self, count):
        """Wait until the server has so many connections."""
        await until(lambda: len(self.server._connections) == count)


async def until(condition):
    """Wait until condition() is true; an assertion fails if it never is."""
    for _ in range(200 * _PATIENCE_SECONDS):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited in vain")


class Client:
    """One connection; the nonce has been read, nothing was sent."""

    async def connect(self, port):
        self.reader, self.writer = await asyncio.open_connection(HOST, port)
        self.nonce = await self.receive(channel.NONCE_BYTES)
        return self

    async def receive(self, length):
        return await asyncio.wait_for(self.reader.readexactly(length), _PATIENCE_SECONDS)

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def hello(self, access_key=ACCESS_KEY, resumption=None):
        if resumption is None:
            self._handshake = channel.Initiator(self.nonce, RELAY_KEY, access_key, os.urandom(32))
        else:
            self._handshake = channel.Resumption(self.nonce, access_key, resumption, os.urandom(16))
            self.secret = self._handshake.next_secret
        return self._handshake.hello()

    async def finish(self):
        self.channel = self._handshake.finish(await self.receive(channel.REPLY_BYTES))
        return self

    async def open(self, port, resumption=None):
        """Connect and make the handshake."""
        await self.connect(port)
        await self.send(self.hello(resumption=resumption))
        return await self.finish()

    async def admitted(self, port, token):
        """Connect, make the handshake and authenticate."""
        await self.open(port)
        _, self.secret, self.posts_left = await self.call(token.request(self.channel.handshake_hash))
        return self

    async def operating(self, port):
        """Connect, make the handshake and be the operator."""
        await self.open(port)
        message = operator_message(FEDERATION, RELAY_KEY, self.channel.handshake_hash)
        await self.call(wire.auth(OPERATOR, bytes(32), curve.sign(ROOT, message, bytes(32)), bytes(64)))
        return self

    async def call(self, request):
        """The answer as wire.read_answer gives it; Refused for an error."""
        await self.send(self.channel.seal(request))
        answer = wire.read_answer(self.channel.open(await self.receive(wire.CLIENT_FRAME_BYTES)))
        assert answer[0] == request[0] | wire.VOIDED, "request {} was answered by {}".format(request[0], answer)
        return answer

    async def fetch(self, start, end, bucket=0, reading_key=READING_KEY):
        """({round: records}, next) of a whole FETCH; Refused for an error."""
        rounds = {}

        def take(round_, count, offset, records):
            batch = rounds.setdefault(round_, [])
            assert offset == len(batch) and offset + len(records) <= count, "frames out of order"
            batch += records

        return rounds, await self.fetch_frames(start, end, bucket, take, reading_key)

    def fetching(self, start, end, bucket=0, reading_key=READING_KEY):
        """The request; its proof is this connection's."""
        return wire.fetch(bucket, start, end, read_proof(reading_key, self.channel.handshake_hash or bytes(32)))

    async def fetch_frames(self, start, end, bucket, take, reading_key=READING_KEY):
        """take(round, count, offset, records) for every CELL frame of a FETCH; the first round not served."""
        await self.send(self.channel.seal(self.fetching(start, end, bucket, reading_key)))
        while True:
            answer = wire.read_cell(self.channel.open(await self.receive(wire.CELL_FRAME_BYTES)))
            if answer[0] == wire.END:
                return answer[1]
            take(*answer[1:])

    async def closed(self):
        """Whether the relay ends the connection without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), _PATIENCE_SECONDS) == b""
        except asyncio.TimeoutError:
            return False
        except OSError:  # a reset: bytes of ours were not read
            return True

    async def close(self):
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass
