"""The issuer's service over a real socket: who is let in, what is refused and how, and that IT can work meanwhile."""

import asyncio
import secrets
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera import channel, curve
from tessera_host.errors import (
    IntegrityError,
    InvalidInput,
    NotOnRoster,
    NotPermitted,
    QuotaUsed,
    TesseraError,
    TryLater,
    Unreachable,
    UsageError,
)
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer, _Line
from tessera_host.issuer.standing import Room
from tessera_host.keys import keystore as keystore_module
from tessera_host.member import token_exchange
from tessera_host.member.state import MemberState
from tessera_host.protocol import blind, cards, issuer_frames
from tests.patience import PATIENCE_SECONDS
from tests.support.issuer_office import PASSPHRASE, PLAN, Office
from tests.support.issuer_office import office as office

# -- frames


@given(st.integers(0, 255), st.binary(max_size=2000))
def test_messages_of_any_length_arrive_whole(kind: int, body: bytes) -> None:
    assembler = issuer_frames.Assembler(2000)
    frames = list(issuer_frames.pack(kind, body))
    assert {len(frame) for frame in frames} == {255}
    assert [assembler.take(frame) for frame in frames[:-1]] == [None] * (len(frames) - 1)
    assert assembler.take(frames[-1]) == (kind, body)
    assert len(frames) == max(1, -(-len(body) // 240))


def test_a_frame_is_what_the_protocol_page_says() -> None:
    first, second = issuer_frames.pack(33, b"x" * 250)
    assert first == struct.pack(">BIHB", 33, 250, 0, 240) + b"x" * 240 + bytes(7)
    assert second == struct.pack(">BIHB", 33, 250, 1, 10) + b"x" * 10 + bytes(237)


@given(st.lists(st.binary(min_size=255, max_size=255), max_size=4))
def test_any_frames_are_put_together_or_refused(frames: list[bytes]) -> None:
    assembler = issuer_frames.Assembler(8192)
    try:
        for frame in frames:
            assembler.take(frame)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "frames",
    [
        [(33, 8193, 0, 240)],
        [(33, 250, 1, 10)],
        [(33, 250, 0, 239)],
        [(33, 250, 0, 240), (33, 250, 0, 240)],
        [(33, 250, 0, 240), (33, 249, 1, 9)],
        [(33, 250, 0, 240), (32, 250, 1, 10)],
        [(33, 250, 0, 240), (33, 250, 1, 11)],
        [(33, 0, 0, 1)],
    ],
)
def test_frames_that_do_not_follow_are_refused(frames: list[tuple[int, int, int, int]]) -> None:
    assembler = issuer_frames.Assembler(8192)
    packed = [struct.pack(">BIHB", *fields).ljust(255, b"\0") for fields in frames]
    for frame in packed[:-1]:
        assembler.take(frame)
    with pytest.raises(ValueError, match="order"):
        assembler.take(packed[-1])


@pytest.mark.parametrize("kind", [NotOnRoster, NotPermitted, QuotaUsed, InvalidInput])
def test_refusals_arrive_as_what_they_were(kind: type[TesseraError]) -> None:
    read = issuer_frames.read_refusal(issuer_frames.pack_refusal(kind("what is wrong", "what to do")))
    assert (type(read), read.message, read.hint) == (kind, "what is wrong", "what to do")


def test_a_refusal_for_now_says_when_to_come_back() -> None:
    read = issuer_frames.read_refusal(issuer_frames.pack_refusal(TryLater("others are here", "wait", 77)))
    assert isinstance(read, TryLater)
    assert read.retry_after == 77


@pytest.mark.parametrize(
    "body", [b"", b"\3\0\0\0", b"\3\0\0\0\0\x1b[2J\0x", b"\3\0\0\0\0\xff", b"\3\0\0\0\0" + b"x" * 401]
)
def test_refusals_that_are_not_for_a_terminal_are_none(body: bytes) -> None:
    try:
        issuer_frames.read_refusal(body)
    except ValueError:
        return
    pytest.fail("it was read")


# -- requests


async def test_somebody_joins_and_has_tokens(office: Office) -> None:
    invitation = office.invite("ben")
    ben = office.create("ben")
    async with office.serving(), await office.connect() as connection:
        assert await connection.federation() == office.card
        card = invitation.join_card(ben.identity)
        await connection.join(card)
        await connection.join(card)  # the answer was lost: again
        errand = token_exchange.errand(ben, 1)
        while asked := errand.card():
            errand.take(await connection.issue(asked))
    assert errand.count == 2
    with office.it() as issuer:
        assert [member["name"] for member in issuer.roster] == ["ann", "ben"]
        assert [invited["state"] for invited in issuer.invitations] == ["used"]
        assert [member["tokens_next_epoch"] for member in issuer.summary()["members"]] == [0, 2]
    ben.close()


async def test_it_works_at_the_same_keystore_between_requests(office: Office) -> None:
    async with office.serving(), await office.connect() as connection:
        await connection.federation()
        invitation = await asyncio.to_thread(office.invite, "ben")
        ben = office.create("ben")
        await connection.join(invitation.join_card(ben.identity))
        await asyncio.to_thread(_remove, office, "ben")
        with pytest.raises(NotOnRoster):
            await connection.issue(str(token_exchange.errand(ben, 0).card()))
        ben.close()


def _remove(office: Office, name: str) -> None:
    with office.it() as issuer:
        issuer.remove(name)


async def test_while_a_command_has_the_keystore_members_are_asked_to_come_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore_module, "LOCK_WAIT_SECONDS", 0.0)
    async with office.serving(), await office.connect() as connection:
        with office.it(), pytest.raises(TryLater) as caught:
            await connection.federation()
        assert caught.value.retry_after > 0
        assert await connection.federation() == office.card  # the connection goes on
    assert "in use" in office.reports.pop()


async def test_refusals_come_with_their_words_and_the_connection_goes_on(office: Office) -> None:
    async with office.serving(), await office.connect() as connection:
        with pytest.raises(NotPermitted, match="does not know this invitation"):
            await connection.join(_join_card(office))
        with pytest.raises(InvalidInput, match="not a Tessera card"):
            await connection.issue("hello")
        with pytest.raises(InvalidInput, match="kind 'member'"):
            await connection.issue(office.member.card())
        with pytest.raises(NotPermitted, match="not issued in epoch"):
            await connection.issue(office.member.wallet.request(5, [office.federation.home.key], office.member.now()))
        assert await connection.federation() == office.card


def _join_card(office: Office) -> str:
    fields = cards.decode(office.member.card()).fields
    return cards.encode("join", {**fields, "invitation": bytes(16), "proof": bytes(32)})


async def test_the_lost_answer_to_a_challenge_is_given_again(office: Office) -> None:
    member = office.member
    async with office.serving():
        async with await office.connect() as connection:
            errand = token_exchange.errand(member, 1)
            errand.take(await connection.issue(str(errand.card())))
            challenge = str(errand.card())
            answer = await connection.issue(challenge)
        async with await office.connect() as connection:
            assert await connection.issue(challenge) == answer
    errand.take(answer)
    assert (errand.epoch, errand.count) == (1, 2)


# -- strangers


async def raw(office: Office) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", office.port)
    return reader, writer, await reader.readexactly(16)


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await reader.read() == b""


def handshakes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the service answers handshakes with: the arguments of each. What a task of it raises, no test sees."""
    responded: list[Any] = []
    respond = channel.respond

    def counted(*arguments: Any) -> Any:
        responded.append(arguments)
        return respond(*arguments)

    monkeypatch.setattr(channel, "respond", counted)
    return responded


@pytest.mark.parametrize("hello", [bytes(81), b"\2" * 81], ids=["a resumption", "a handshake"])
async def test_who_does_not_hold_the_access_key_hears_nothing_and_costs_no_curve_work(
    office: Office, monkeypatch: pytest.MonkeyPatch, hello: bytes
) -> None:
    responded = handshakes(monkeypatch)
    async with office.serving():
        reader, writer, _ = await raw(office)
        writer.write(hello)
        assert await ended(reader)
        writer.close()
        with pytest.raises(Unreachable, match="closed the connection at the handshake"):
            await office.connect(access_key=bytes(32))
        assert responded == []
        async with await office.connect() as connection:
            assert await connection.federation() == office.card
        assert len(responded) == 1


async def test_another_service_in_its_place_is_noticed(office: Office) -> None:
    async with office.serving():
        with pytest.raises((IntegrityError, Unreachable)):
            await office.connect(key=curve.public(b"\5" * 32))


async def test_every_handshake_has_a_key_of_its_own(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    responded = handshakes(monkeypatch)
    async with office.serving():
        for _ in range(3):
            async with await office.connect() as connection:
                assert await connection.federation() == office.card
    assert len({ephemeral for *_, (_, ephemeral) in responded}) == 3


async def test_a_relay_s_resumption_gets_nowhere(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    responded = handshakes(monkeypatch)
    async with office.serving():
        reader, writer, nonce = await raw(office)
        access_key = office.federation.newest.access_key
        writer.write(channel.Resumption(nonce, access_key, secrets.token_bytes(32), secrets.token_bytes(16)).hello())
        assert await ended(reader)
        writer.close()
    assert responded == [], "it cost curve work"


def _flipped(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


@pytest.mark.parametrize(
    ("frame", "damage"),
    [
        (next(issuer_frames.pack(34, b"")), _flipped),
        (next(issuer_frames.pack(35, b"")), bytes),
        (next(issuer_frames.pack(1, b"")), bytes),
        (struct.pack(">BIHB", 33, 9000, 0, 240).ljust(255, b"\0"), bytes),
    ],
    ids=["damaged", "unknown", "a relay's", "too long"],
)
async def test_a_malformed_frame_ends_the_connection(
    office: Office, frame: bytes, damage: Callable[[bytes], bytes]
) -> None:
    async with office.serving():
        reader, writer, nonce = await raw(office)
        service = office.federation.issuer
        assert service is not None
        secret = blind.random_scalar().to_bytes(32, "big")
        side = channel.Initiator(nonce, service.key, office.federation.newest.access_key, secret)
        writer.write(side.hello())
        sealed = side.finish(await reader.readexactly(65))
        writer.write(damage(sealed.seal(frame)))
        assert await ended(reader)
        writer.close()


async def test_who_says_nothing_is_closed_and_so_is_who_stays_too_long(office: Office) -> None:
    async with office.serving(idle_seconds=0.1):
        reader, writer, _ = await raw(office)
        assert await ended(reader)
        writer.close()
        connection = await office.connect()
        await asyncio.sleep(0.3)
        with pytest.raises(Unreachable):
            await connection.federation()
        await connection.close()
    async with office.serving(session_seconds=0.2):
        connection = await office.connect()
        assert await connection.federation() == office.card
        await asyncio.sleep(0.3)
        with pytest.raises(Unreachable):
            await connection.federation()
        await connection.close()


async def test_strangers_make_room_for_strangers_and_guests_for_guests_and_never_members_for_either(
    office: Office,
) -> None:
    request = request_of(office)
    async with office.serving(strangers=2, guests=2):
        members = [await office.connect(), await office.connect()]
        for member in members:
            await member.issue(request)
        waiting = [await raw(office) for _ in range(3)]
        assert await ended(waiting[0][0])
        guests = [await office.connect() for _ in range(3)]
        with pytest.raises(Unreachable):
            await guests[0].federation()
        for one in (*guests[1:], *members):
            assert await one.federation() == office.card
            await one.close()
        for _, writer, _ in waiting:
            writer.close()
        async with await office.connect() as connection:
            assert await connection.federation() == office.card


def request_of(office: Office) -> str:
    """The same card gets the same offer, on as many connections as there are."""
    return office.member.wallet.request(1, [office.federation.home.key], office.member.now())


def admitted(office: Office, name: str) -> MemberState:
    member = office.create(name)
    with office.it() as issuer:
        issuer.admit(member.card())
    return member


async def test_who_was_removed_does_not_keep_members_out_however_many_connections_it_has(office: Office) -> None:
    request, errand = request_of(office), token_exchange.errand(admitted(office, "ben"), 1)
    _remove(office, "ann")
    async with office.serving(guests=4, members=4):
        crowd = [await office.connect() for _ in range(4)]
        for one in crowd:
            with pytest.raises(NotOnRoster):
                await one.issue(request)
        async with await office.connect() as connection:
            errand.take(await connection.issue(str(errand.card())))
            crowd += [await office.connect() for _ in range(8)]
            while asked := errand.card():
                errand.take(await connection.issue(asked))
        for one in crowd:
            await one.close()
    assert errand.count == 2


async def test_a_member_has_so_many_connections_and_its_oldest_makes_room(office: Office) -> None:
    request = request_of(office)
    ben = admitted(office, "ben")
    async with office.serving(sessions_a_member=2), await office.connect() as other:
        await other.issue(str(token_exchange.errand(ben, 0).card()))
        connections = [await office.connect() for _ in range(3)]
        for connection in connections:
            await connection.issue(request)
        await connections[1].issue(request)  # a second card of the same member takes no second place
        with pytest.raises(Unreachable):
            await connections[0].federation()
        for connection in (*connections[1:], other):
            assert await connection.federation() == office.card
        for connection in connections:
            await connection.close()


class Present:
    """A connection's task, of which only the end matters."""

    def __init__(self) -> None:
        self.gone = False

    def cancel(self) -> None:
        self.gone = True


def test_who_came_first_of_those_with_most_makes_room() -> None:
    room = Room(4, each=2)
    present: dict[str, Any] = {name: Present() for name in ("a1", "b1", "b2", "c1", "d1", "b3", "d2", "e1")}

    def gone_after(name: str) -> list[str]:
        room.enter(present[name], name[0])
        return [other for other, each in present.items() if each.gone]

    assert [gone_after(name) for name in ("a1", "b1", "b2", "c1")] == [[], [], [], []]
    assert gone_after("d1") == ["b1"]
    assert gone_after("b3") == ["a1", "b1"]  # one each: the one that came first
    assert gone_after("d2") == ["a1", "b1", "b2"]
    room.leave(present["c1"])
    assert gone_after("e1") == ["a1", "b1", "b2"]


def test_of_an_ipv6_network_all_addresses_are_one_origin() -> None:
    def origin(peername: Any) -> str:
        writer: Any = SimpleNamespace(get_extra_info=lambda _: peername)
        nothing: Any = None
        return _Line(nothing, writer, 1).origin

    assert (
        origin(("2001:db8::1:2:3:4", 1, 0, 0))
        == origin(("2001:db8::ffff", 2, 0, 0))
        != origin(("2001:db8:1::", 2, 0, 0))
    )
    assert origin(("fe80::1%eth0", 1, 0, 2)) == origin(("fe80::2%eth0", 1, 0, 2))
    assert origin(("192.0.2.1", 1)) != origin(("192.0.2.2", 1))
    assert origin(None) == ""  # gone before anybody looked


async def test_who_does_not_read_is_not_waited_for_without_end_when_it_is_closed() -> None:
    aborted = []

    class Deaf:
        transport = SimpleNamespace(abort=lambda: aborted.append(True))

        def close(self) -> None:
            pass

        async def wait_closed(self) -> None:
            await asyncio.Event().wait()

    nothing: Any = None
    writer: Any = Deaf()
    with pytest.raises(TimeoutError):
        await _Line(nothing, writer, 0.01).close()
    assert aborted == [True]


async def test_a_connection_has_so_many_frames_and_no_more(office: Office) -> None:
    async with office.serving(frames=3):
        connection = await office.connect()
        for _ in range(3):
            assert await connection.federation() == office.card
        with pytest.raises(Unreachable):
            await connection.federation()
        await connection.close()


class Watched:
    """How many threads look something up, now and at most; none of them ends before `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.inside = self.most = 0
        count, look_up = threading.Lock(), IssuerServer._look_up

        def watched(*arguments: Any) -> Any:
            with count:
                self.inside += 1
                self.most = max(self.most, self.inside)
            self.begun.set()
            assert self.go.wait(PATIENCE_SECONDS)
            try:
                return look_up(*arguments)
            finally:
                with count:
                    self.inside -= 1

        monkeypatch.setattr(IssuerServer, "_look_up", watched)

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, PATIENCE_SECONDS)


async def test_requests_are_answered_one_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    async with office.serving():
        connections = [await office.connect() for _ in range(4)]
        asked = [asyncio.create_task(connection.federation()) for connection in connections]
        await watched.until_begun()
        await asyncio.sleep(0.2)  # in which others would begin
        watched.go.set()
        assert await asyncio.gather(*asked) == [office.card] * 4
        for connection in connections:
            await connection.close()
    assert watched.most == 1


async def test_a_request_outlives_its_connection_and_no_other_begins_before_its_end(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    async with office.serving(guests=1):
        first = await office.connect()
        asked = asyncio.create_task(first.federation())
        await watched.until_begun()
        second = await office.connect()  # the first one is sent away
        later = asyncio.create_task(second.federation())
        await asyncio.sleep(0.2)  # in which it would begin
        watched.go.set()
        assert await later == office.card
        with pytest.raises(Unreachable):
            await asked
        await first.close()
        await second.close()
    assert watched.most == 1


async def test_a_service_that_is_stopped_leaves_no_thread_at_the_keystore(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    async with office.serving():
        connection = await office.connect()
        asked = asyncio.create_task(connection.federation())
        await watched.until_begun()
        asyncio.get_running_loop().call_later(0.2, watched.go.set)
    assert watched.inside == 0
    await asyncio.gather(asked, return_exceptions=True)
    await connection.close()
    with office.it() as issuer:
        assert issuer.federation_card == office.card


async def test_a_bug_ends_one_connection_and_is_reported_in_one_line(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office.serving():
        async with await office.connect() as connection:
            monkeypatch.setattr(Issuer, "issue", lambda *_, **__: 1 // 0)
            with pytest.raises(Unreachable):
                await connection.issue(office.member.card())
        assert office.reports.pop() == "this is a bug: ZeroDivisionError"
        async with await office.connect() as connection:
            assert await connection.federation() == office.card


def test_there_is_nothing_to_serve_before_members_were_told_where(tmp_path: Path) -> None:
    with (
        Issuer.create(tmp_path / "issuer", PASSPHRASE, PLAN, "Office") as issuer,
        pytest.raises(UsageError, match="tessera issuer service"),
    ):
        IssuerServer(issuer)
