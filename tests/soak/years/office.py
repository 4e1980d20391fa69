"""The office of the soak of years: its network, relays, IT and their machines; the real programs of all of them.

Owns what is on and off, and what IT types. The issuer, its service and what is brought to relays are the product's; a
relay is the product's core on flash in memory, switched on as a board is. What people do is people.py's, when something
happens happenings.py's.
"""

import asyncio
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tessera import native, wire
from tessera.params import Parameters
from tessera_host.errors import TesseraError
from tessera_host.issuer import backup
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.relay_directory import RelaySecrets
from tessera_host.issuer.service import IssuerServer
from tessera_host.planning.plan import Plan
from tessera_host.protocol.federation import parsed
from tessera_host.protocol.invitation import Invitation
from tessera_host.relay import operating, pushing
from tests.soak.years.book import Book
from tests.soak.years.dates import EPOCH_ROUNDS, GENESIS, RETENTION_EPOCHS, ROUND_SECONDS, Dates
from tests.support import quick_keystores
from tests.support.memory_network import MemoryNetwork
from tests.support.memory_relay import MemoryRelay
from tests.support.organisation import planned

PASSPHRASE = "correct horse"
_BOARD_SECTORS = 208  # of a Pico W's ring
_SERVICE = "issuer.example", 8101
_TAG_BYTES = 8
_CELLS = 512  # of four epochs and as many buckets
_LONGEST_SPAN = 254  # rounds from a sector's first one to its last
_RETENTION_DAYS = 30  # of messages at members: a year says as much as three


def plan(members: int) -> Plan:
    return planned(
        members=members,
        round_seconds=ROUND_SECONDS,
        epoch_rounds=EPOCH_ROUNDS,
        retention_epochs=RETENTION_EPOCHS,
        posts_per_token=8,
        day_epsilon=Fraction(99),  # letters are what this is about; the day's budget has tests of its own
        day_delta=Fraction(1, 2),
    )


class OfficeRelay(MemoryRelay):
    """A relay at its address. Every cell that is sealed is put together once, as 24 members read it."""

    def __init__(self, name: str, parameters: Parameters, secrets: RelaySecrets, dates: Dates, book: Book) -> None:
        super().__init__(parameters, secrets.static_secret, dates.now, secrets.ledger_secret, _BOARD_SECTORS)
        self.name, self.address = name, (secrets.host, secrets.port)
        self.is_on = True
        self._book = book
        self._taken: list[tuple[int, int]] = []  # serials, and the rounds in which they were here

    def _booted(self) -> Any:
        core = super()._booted()
        put_together = core.batch

        @lru_cache(maxsize=_CELLS)
        def batch(bucket: int, round_: int, epoch: int) -> Any:
            return put_together(bucket, round_)

        core.batch = lambda bucket, round_: batch(bucket, round_, core.epoch)
        return core

    def look(self) -> None:
        """It turns its rounds whether somebody comes or not; what came is noted."""
        if not self._taken or self.serial > self._taken[-1][0]:
            self._taken.append((self.serial, int(self.core.open_round)))
        for round_, _, record in self.posted:
            self._book.posted(record[:_TAG_BYTES], round_)
        for noted in (self.posted, self.fetches, self.pushed, self.handshakes):
            noted.clear()

    @property
    def serial(self) -> int:
        """Of the newest set that it has."""
        return int(self.core.parameters.newest.serial)

    def told(self, serial: int) -> int | None:
        """The round in which it was told what this set says, or one after that; None if it was not."""
        self.look()
        return next((round_ for known, round_ in self._taken if known >= serial), None)

    @property
    def file_bytes(self) -> int:
        return sum(map(len, self._files.files.values()))


class Office:
    """A context manager, which ends the service. IT's folder and members' homes are in `folder`."""

    def __init__(self, folder: Path, dates: Dates, book: Book, dice: random.Random, monkeypatch: pytest.MonkeyPatch):
        quick_keystores.use(monkeypatch)
        monkeypatch.setattr(os, "fsync", lambda file: None)  # no power fails where this runs
        self.folder, self.dates, self.book, self.dice = folder, dates, book, dice
        monkeypatch.setattr(native, "find_pages", _find_pages)
        self.network = MemoryNetwork()
        self.network.serve(monkeypatch)
        self.relays: dict[str, OfficeRelay] = {}
        self.reports: list[str] = []
        self._service: asyncio.Task[None] | None = None
        self._stolen = 0
        self._keys_begin = 0
        self._pushing = asyncio.Lock()  # IT types one command at a time

    # -- IT's machine

    async def found(self, members: int, epochs: int) -> None:
        with Issuer.create(
            self.folder / "issuer",
            PASSPHRASE,
            plan(members),
            "Office",
            epochs=epochs,
            genesis=GENESIS,
            now=self.dates.unix,
        ) as issuer:
            issuer.set_service(*_SERVICE)
            issuer.renew(retention_days=_RETENTION_DAYS)
        self.add_relay("berlin")
        await self.serve()

    async def serve(self) -> None:
        server, ready = IssuerServer(Issuer.open(self.folder / "issuer", PASSPHRASE, self.dates.unix)), asyncio.Event()
        self._service = asyncio.create_task(server.run(*_SERVICE, ready.set, self.reports.append))
        await ready.wait()

    async def stop_serving(self) -> None:
        if self._service:
            self._service.cancel()
            await asyncio.gather(self._service, return_exceptions=True)
            self._service = None

    @contextmanager
    def issuer(self) -> Iterator[Issuer]:
        """IT's commands, beside the service."""
        with Issuer.open(self.folder / "issuer", PASSPHRASE, self.dates.unix) as issuer:
            yield issuer

    # -- members, as IT sees them

    def invite(self, name: str, relay: str) -> Invitation:
        with self.issuer() as issuer:
            return issuer.invite(name, home=relay)

    async def remove(self, name: str) -> tuple[int, int]:
        """Somebody leaves; the round in which they are no member any more, and the serial of the set from which on
        relays know."""
        with self.issuer() as issuer:
            issuer.remove(name)
            serial = int(issuer.parameters.serial)
        return self._new_keys(), serial

    def _new_keys(self) -> int:
        """The round with which keys begin that are new now: the first of an epoch that begins half an epoch from now or
        later; or that with which others were to begin, whose place these take."""
        half = EPOCH_ROUNDS * ROUND_SECONDS // 2
        seconds = int(self.dates.now()) - GENESIS + half
        begin = -(-seconds // (EPOCH_ROUNDS * ROUND_SECONDS)) * EPOCH_ROUNDS
        self._keys_begin = min(begin, self._keys_begin) if self._keys_begin > self.dates.round() else begin
        return self._keys_begin

    async def push(self) -> None:
        """`tessera relay push`, to the relays that are on."""
        async with self._pushing:
            with self.issuer() as issuer:
                operator = issuer.operator()
            for outcome in await pushing.push(operator, operator.relays):
                if self.relays[outcome.relay].is_on and outcome.refusal is not None:
                    self.book.fault(f"IT cannot push to {outcome.relay}: {outcome.refusal}")

    def grow(self, members: int) -> None:
        with self.issuer() as issuer:
            issuer.renew(plan(members))
        self._new_keys()

    # -- relays

    def add_relay(self, name: str) -> None:
        with self.issuer() as issuer:
            secrets = issuer.add_relay(name, f"{name}.example", 8100, self.folder / name)
            self._plug_in(name, Parameters(issuer.copy_for(name)), secrets)

    def _plug_in(self, name: str, parameters: Parameters, secrets: RelaySecrets) -> None:
        """With the set that is in its folder."""
        self.relays[name] = OfficeRelay(name, parameters, secrets, self.dates, self.book)
        self.switch(name, on=True)

    def switch(self, name: str, on: bool) -> None:
        """A relay's power."""
        relay = self.relays[name]
        if on and not relay.is_on:
            relay.restart()
        relay.is_on = on
        if on:
            self.network.answer_at(*relay.address, relay.connected)
        else:
            self.network.is_silent_at(*relay.address)

    def steal(self, name: str) -> None:
        self.relays[name].look()
        self.switch(name, on=False)
        self.book.stolen(name, self.dates.round())

    def replace(self, name: str) -> None:
        """`tessera relay replace`."""
        self._stolen += 1
        with self.issuer() as issuer:
            secrets = issuer.replace_relay(name, self.folder / f"{name}-{self._stolen}")
            self._plug_in(name, Parameters(issuer.copy_for(name)), secrets)
        self.book.replaced(name, self.dates.round())

    def is_on(self, relay: str) -> bool:
        return self.relays[relay].is_on

    async def keep_time(self) -> None:
        """Relays turn their rounds also where nobody comes."""
        while True:
            for relay in self.relays.values():
                if relay.is_on:
                    relay.look()
            await asyncio.sleep(ROUND_SECONDS)

    # -- backups

    async def back_up(self) -> None:
        """As `tessera issuer backup`, while the service runs."""
        path = self.folder / "issuer.backup"
        path.unlink(missing_ok=True)
        with self.issuer() as issuer:
            issuer.back_up(path)

    async def restore(self) -> None:
        """IT's machine is lost; another one has the backup, and goes on after what the relays know."""
        await self.stop_serving()
        shutil.rmtree(self.folder / "issuer")
        backup.restore(self.folder / "issuer.backup", PASSPHRASE, self.folder / "issuer")
        with self.issuer() as issuer:
            asked = await pushing.newest_sets(issuer.operator(restored=True), [])
            found = [answer for _, answer in asked if isinstance(answer, bytes)]
            if not found:
                self.book.fault("no relay tells IT which sets it signed since its backup")
            issuer.restored(found)
        self._new_keys()
        self.book.restored("IT", self.dates.round())
        await self.serve()
        await self.push()

    # -- what IT sees

    async def check_warnings(self, day: float) -> None:
        """`issuer show` and `relay status`: whether each says that the schedule ends."""
        with self.issuer() as issuer:
            summary, operator = issuer.summary(), issuer.operator()
            newest = issuer.parameters
        end = GENESIS + newest.end_epoch * EPOCH_ROUNDS * ROUND_SECONDS
        left = end - self.dates.now()
        self.book.warned("issuer show", summary["warning"] is not None, left, day)
        for relay in operator.relays:
            if not self.is_on(relay.name):
                continue
            try:
                async with operating.operator(
                    relay, operator.access_keys, newest.federation_id, operator.sign
                ) as connection:
                    figures = await connection.status()
                    known = parsed(await connection.params())
            except TesseraError as error:
                self.book.fault(f"IT cannot ask {relay.name} on day {day:.0f}: {error}")
                continue
            its_end = (known.end_epoch * EPOCH_ROUNDS - figures.open_round) * ROUND_SECONDS
            self.book.warned(f"relay status of {relay.name}", bool(figures.flags & wire.ENDING), its_end, day)

    def sizes(self) -> dict[str, int]:
        """Bytes of what grows, if anything does, by whose it is: the issuer's keystore without what it keeps for
        auditors, the largest member's, the largest relay's files."""
        members = [path.stat().st_size for path in self.folder.glob("*/member.keystore")]
        issuer = (self.folder / "issuer" / "issuer.keystore").stat().st_size
        return {
            "issuer": issuer,
            "member": max(members, default=0),
            "relay": max(relay.file_bytes for relay in self.relays.values()),
        }

    async def close(self) -> None:
        await self.stop_serving()
        for report in self.reports:
            self.book.fault(f"the service reports: {report}")


def _find_pages(index: Any, first_rounds: Any, sectors: int, bucket: int, round_: int, found: Any, room: int) -> int:
    """native.plain_find_pages in a tenth of its time: here nobody looks at that."""
    count = 0
    for sector in range(sectors):
        offset = round_ - first_rounds[sector]
        if 0 <= offset <= _LONGEST_SPAN:
            wanted = bucket << 8 | offset
            for page in range(sector << 4, (sector + 1) << 4):
                if index[page] == wanted:
                    found[min(count, room)] = page
                    count += 1
    return count
