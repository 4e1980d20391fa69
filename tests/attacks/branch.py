"""A relay on the CPython core that attacks can run against by the ten thousand: the tests' office with seeded
randomness.

Owns the seeding (an experiment's outcome is a function of its seed) and what members do in one line. Members speak
the whole protocol: handshake, AUTH, sealed frames; sockets are left out here.
"""

import random
from types import SimpleNamespace
from typing import Any

import office as office_module
from office import READING_KEY, Connection, Office, Token
from ramdevice import RamDevice
from tessera import wire
from tessera.admission import read_proof
from tessera.batch import CellFrame
from tessera_host.planning.boards import board

PICO_W_SECTORS = board("RPI_PICO_W").ring_sectors


class Branch(Office):  # type: ignore[misc]
    """An Office whose random bytes, the hardware's and the members', come from one seed."""

    def __init__(self, seed: object, ring_sectors: int = office_module.RING_SECTORS, **changes: Any) -> None:
        self.dice = random.Random(f"tessera attack {seed}")
        office_module.os = SimpleNamespace(urandom=self.dice.randbytes)
        self._ring_sectors = ring_sectors
        self._token = 0
        super().__init__(**changes)

    def boot(self, clock_known: bool = True) -> Any:
        if self.ring.sectors != self._ring_sectors:
            self.ring = RamDevice(self._ring_sectors)
        return super().boot(clock_known)

    def new_member(self) -> Any:
        """A connection with a token that was not used before."""
        number, self._token = self._token, (self._token + 1) % 256
        connection = Connection(self.relay)
        connection.authenticate(Token(number, self.relay.epoch))
        return connection

    def record(self) -> bytes:
        return self.dice.randbytes(wire.RECORD_BYTES)


def published_count(member: Any, bucket: int, round_: int) -> int:
    """The count of a sealed batch, from the header of the first sealed frame of a FETCH."""
    proof = read_proof(READING_KEY, member.channel.handshake_hash)
    frame = member.session.channel.open(member.channel.seal(wire.fetch(bucket, round_, round_ + 1, proof)))
    cells = CellFrame()
    member.relay.fetch(member.session, frame).next_frame(cells)
    member.session.channel.seal_in_place(cells.buffer)
    answer = wire.read_cell(member.channel.open(bytes(cells.buffer)))
    assert answer[:2] == (wire.CELL, round_)
    return int(answer[2])
