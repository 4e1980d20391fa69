"""Power cuts: SIGKILL to a relay on MicroPython at moments nobody chose, again and again, while members use it."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tessera_host.errors import ClockOff, NotPermitted, Unreachable
from tessera_host.member import composing, relay_sessions, token_exchange
from tessera_host.member.state import MemberState
from tessera_host.planning.boards import BOARDS
from tessera_host.protocol import relay_connection
from tessera_host.protocol.encrypted_connection import TIMEOUT_SECONDS
from tessera_host.protocol.relay_connection import ErrorFrame, RelayConnection
from tessera_host.relay.process import RelayProcess, binary
from tests.patience import PATIENCE_SECONDS
from tests.support import correspondence
from tests.support.office_on_disk import OfficeOnDisk, admitted, read_all
from tests.support.witness import Testimony, witnessing

SEED = "TESSERA_TEST_SEED"
EPOCH_ROUNDS = 80
# The epoch changes in the middle of the test, whose cuts take about 13 s: on a busy computer so much later as it takes
# longer to set everything up, for which it has a few rounds more than it took the time before.
ROUNDS_LEFT, ROUNDS_MORE = 12, 6
# What one member may post in an epoch: every cut costs the rest of a lease of 4. 2 · 9 · 80 · 2 ≤ 3360 pages.
TOKENS, POSTS = 10, 80
CHOICE = {
    "members": 2,
    "epoch_rounds": EPOCH_ROUNDS,
    "retention_epochs": 1,
    "tokens_per_epoch": TOKENS,
    "posts_per_token": POSTS,
}


@pytest.fixture
def dice() -> random.Random:
    """Random numbers that come again with the seed that is printed."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 32))
    print(f"{SEED}={seed}")
    return random.Random(seed)


@pytest.fixture
def office(tmp_path: Path, micropython_frozen: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OfficeOnDisk]:
    # So many posts in one cell would not fit a board's heap; here they are spread over the rounds.
    monkeypatch.setitem(BOARDS, "RPI_PICO_W", replace(BOARDS["RPI_PICO_W"], cell_records=None))
    left = max(ROUNDS_LEFT, ROUNDS_MORE + 2 * seconds_to_set_up(tmp_path / "rehearsal"))
    genesis = int(time.time()) - max(0, EPOCH_ROUNDS - left)
    with OfficeOnDisk(tmp_path, genesis, **CHOICE) as office:
        yield office


def seconds_to_set_up(folder: Path) -> int:
    begun = time.monotonic()
    with OfficeOnDisk(folder, **CHOICE) as office:
        office.two_who_met()
    return round(time.monotonic() - begun)


class Traffic:
    """Two members who write to each other and read what comes, whatever the relay does meanwhile."""

    def __init__(self, office: OfficeOnDisk, dice: random.Random, connections: type[RelayConnection]) -> None:
        self.alice, self.bob = office.two_who_met()
        self.sent: dict[str, list[str]] = {"alice": [], "bob": []}
        self.received: dict[str, list[str]] = {"alice": [], "bob": []}
        self._issuer = office.issuer
        self._dice = dice
        self._connections = connections

    def begin(self, group: asyncio.TaskGroup, testimony: Testimony) -> list[asyncio.Task[None]]:
        actions = [
            lambda: self._write(self.alice, "bob"),
            lambda: self._write(self.bob, "alice"),
            lambda: self._read_in_turn(testimony),
        ]
        return [group.create_task(self._again_and_again(action)) for action in actions]

    async def _again_and_again(self, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(action)
            await asyncio.sleep(self._dice.uniform(0, 0.1))

    async def _attempt(self, action: Callable[[], Awaitable[None]]) -> None:
        """Whoever talks to a relay that is cut off, whose epoch changes this moment, or that gets too little of a busy
        computer to open its rounds of a second in time, tries again later."""
        try:
            await action()
        except (Unreachable, NotPermitted, ClockOff):
            pass
        except ErrorFrame as refusal:
            if refusal.code not in (relay_connection.NOT_ADMITTED, relay_connection.BUSY, relay_connection.TOO_OLD):
                raise

    async def _write(self, sender: MemberState, contact: str) -> None:
        """A text of one to three records, then whatever an earlier cut left in the outbox."""
        self._renew_tokens(sender)
        if not len(sender.outbox):
            text = f"{len(self.sent[sender.identity.name])} " + "x" * self._dice.choice((0, 100, 135, 300))
            self.sent[sender.identity.name].append(text)
            composing.queue(sender, contact, text)
        await correspondence.resend(sender)

    def _renew_tokens(self, of: MemberState) -> None:
        if of.wallet.lacking(of.epoch() + 1):
            token_exchange.fetch(of, self._issuer)

    async def _read(self, reader: MemberState) -> None:
        report = await correspondence.fetch(reader)
        assert report.rounds_expired == 0
        assert all(message.lost == 0 for message in report.messages)
        self.received[reader.identity.name] += [message.text for message in report.messages]

    async def _read_in_turn(self, testimony: Testimony) -> None:
        """Both read what is new; then the newest round that was served, perhaps by the relay before the cut, and
        others are read once more until the next cut ends the connection, or a round."""
        for reader in (self.alice, self.bob):
            await self._read(reader)
        async with admitted(self.alice, self._connections) as connection:
            first = (await connection.info()).first_round
            served = [round_ for round_ in testimony.batches if round_ >= first]
            again = newest = max(served)
            key = self.alice.federation.reading_key(self.alice.federation.newest)
            assert key is not None
            while self.alice.round() <= newest + 1:
                await connection.fetch(0, again, again + 1, key)
                again = self._dice.choice(served)

    async def finish(self) -> None:
        """Post what waits, let its round pass, read to the end."""
        for sender, contact in ((self.alice, "bob"), (self.bob, "alice")):
            while len(sender.outbox):
                await self._attempt(lambda by=sender, to=contact: self._write(by, to))
        end = self.alice.round() + 1
        for reader in (self.alice, self.bob):
            while reader.inbox.next_round < end:
                await asyncio.sleep(reader.seconds_to_next_round() + 0.1)
                await self._attempt(lambda by=reader: self._read(by))


async def wait_for_some_moment(testimony: Testimony, dice: random.Random) -> None:
    """Until a random number of records was acknowledged, if that happens in time, and then a random while."""
    wanted = len(testimony.acknowledged) + dice.randrange(0, 8)
    until = time.monotonic() + 1.5
    while len(testimony.acknowledged) < wanted and time.monotonic() < until:
        await asyncio.sleep(0.01)
    await asyncio.sleep(dice.uniform(0, 0.2))


async def cut(relay: RelayProcess, dice: random.Random) -> None:
    """SIGKILL and start again; one start in three is cut off itself."""
    await asyncio.to_thread(relay.kill)
    if dice.random() < 1 / 3:
        starting = asyncio.create_task(asyncio.to_thread(relay.start))
        await asyncio.sleep(dice.uniform(0.002, 0.1))
        await asyncio.to_thread(relay.kill)
        with suppress(Unreachable):
            await starting
        await asyncio.to_thread(relay.kill)
    await asyncio.to_thread(relay.start)


@pytest.mark.parametrize("least", [20, pytest.param(50, marks=pytest.mark.long)])
async def test_acked_records_survive_power_cuts_and_no_round_is_rewritten(
    office: OfficeOnDisk, dice: random.Random, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    """Cuts until a record was on its way in one of them, too."""
    testimony = Testimony()
    connections = witnessing(testimony)
    monkeypatch.setattr(relay_sessions, "RelayConnection", connections)
    traffic = Traffic(office, dice, connections)
    office.relay.start()

    async with asyncio.TaskGroup() as group:
        tasks = traffic.begin(group, testimony)
        cuts = 0
        while (
            cuts < least
            or max(testimony.acknowledged.values(), default=0) < EPOCH_ROUNDS
            or not testimony.attempted > testimony.acknowledged.keys()
        ):
            await wait_for_some_moment(testimony, dice)
            await cut(office.relay, dice)
            cuts += 1
        for task in tasks:
            task.cancel()
    await traffic.finish()
    await read_all(traffic.alice, connections=connections)

    lost = {record: at for record, at in testimony.acknowledged.items() if testimony.batches[at].count(record) != 1}
    assert not lost
    assert set(testimony.copies().values()) == {1}
    most_cover = office.issuer.parameters.candidates
    posted = testimony.attempted
    assert all(0 <= sum(r not in posted for r in batch) <= most_cover for batch in testimony.batches.values())
    assert traffic.received == {"alice": traffic.sent["bob"], "bob": traffic.sent["alice"]}
    # The cuts met traffic: some records were on their way, many arrived, many rounds were served by two relays.
    assert testimony.attempted > testimony.acknowledged.keys()
    assert len(testimony.acknowledged) > least
    assert testimony.served_again > least
    assert {at // EPOCH_ROUNDS for at in testimony.acknowledged.values()} >= {0, 1}
    print(f"{len(testimony.attempted)} posts, {len(testimony.acknowledged)} acknowledged, open {testimony.open_round}")


async def test_member_is_back_at_once_after_a_power_cut(office: OfficeOnDisk) -> None:
    """The session it would resume is gone; the relay says so by closing the connection."""
    alice, bob = office.two_who_met()
    office.relay.start()
    await correspondence.send(alice, "bob", "before")
    office.relay.kill()
    office.relay.start()
    async with asyncio.timeout(TIMEOUT_SECONDS - 10):  # before an answer that does not come would be given up
        await correspondence.send(alice, "bob", "after")
        await asyncio.sleep(bob.seconds_to_next_round() + 0.2)
        report = await correspondence.fetch(bob)
    assert [message.text for message in report.messages] == ["before", "after"]


@pytest.mark.parametrize("hello", [b"x" * 200, b""], ids=["wrong hello", "no hello"])
async def test_relay_closes_connections_it_refuses(office: OfficeOnDisk, hello: bytes) -> None:
    """An open socket a stranger would be the end of a relay after a few hundred of them."""
    office.relay.start()
    files = Path(f"/proc/{pid_of(office.relay)}/fd")
    before = len(list(files.iterdir()))
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", office.port)
        writer.write(hello)
        async with asyncio.timeout(PATIENCE_SECONDS):  # idle connections have 10 s
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        if not hello:
            break
    assert len(list(files.iterdir())) == before


def pid_of(relay: RelayProcess) -> int:
    process = relay._process
    assert process is not None
    return process.pid


def test_relay_starts_after_a_cut_while_its_flash_files_were_made(tmp_path: Path, micropython_frozen: Path) -> None:
    """On a computer the flash is a file: half of one, which a cut in the very first start leaves, is no obstacle."""
    for attempt in range(40):
        with OfficeOnDisk(tmp_path / str(attempt), epsilon=Fraction(2)) as office:
            if cut_while_flash_is_made(office.relay):
                office.relay.start()
                return
    pytest.fail("no attempt met the moment")


def cut_while_flash_is_made(relay: RelayProcess) -> bool:
    """Whether the relay was ended when one of its flash files was there, but not whole."""
    whole = {"ring": 208 * 4096, "keys": 8 * 4096}
    command = [str(binary()), "-X", "heapsize=192k", "-m", "relay_unix", str(relay.directory), "--port", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not any(flash_sizes(relay.directory).values()):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    sizes = flash_sizes(relay.directory)
    return any(0 < size < whole[name] for name, size in sizes.items())


def flash_sizes(directory: Path) -> dict[str, int]:
    """Bytes by the first word of the file's name: a file that is still being made has another end of its name, and
    loses it when it is whole, perhaps between two looks here."""
    sizes = {}
    for path in directory.glob("*.flash*"):
        with suppress(FileNotFoundError):
            sizes[path.name.split(".")[0]] = path.stat().st_size
    return sizes
