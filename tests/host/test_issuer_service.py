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
from tessera.params import Parameters, TimeStatement, reading_hash
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
from tessera_host.issuer import service
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer, _Line
from tessera_host.issuer.standing import Room
from tessera_host.keys import keystore as keystore_module
from tessera_host.protocol import blind, cards, issuer_frames
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.issuer_connection import IssuerConnection, claim
from tests.patience import PATIENCE_SECONDS
from tests.support import quick_keystores
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.issuer_office import PASSPHRASE, PLAN, Office
from tests.support.issuer_office import office as office
from tests.support.organisation import planned

DAY = 86400
AHEAD = 8

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


async def alive(connection: IssuerConnection) -> None:
    """The connection is there: it refuses what is no card."""
    with pytest.raises(InvalidInput, match="not a Tessera card"):
        await connection.issue("hello")


async def fetched(connection: IssuerConnection, member: FakeMember, request: str, newest: Parameters) -> int:
    """A whole exchange; the number of tokens, all of which verify."""
    challenge, pending = member.challenge(await connection.issue(request), newest)
    return good_tokens(await connection.issue(challenge), pending)


async def test_somebody_joins_and_is_told_all_and_has_tokens(office: Office) -> None:
    invitation = office.invite("ben")
    ben = office.newcomer("ben")
    async with office.serving(), await office.connect() as connection:
        card = invitation.join_card(ben.identity)
        welcome = await connection.join(card, ben.identity, ben.federation_id)
        again = await connection.join(card, ben.identity, ben.federation_id)  # the answer was lost
        assert (again.card, again.reading, again.sets) == (welcome.card, welcome.reading, welcome.sets)
        assert await fetched(connection, ben, office.request(ben), office.federation.newest) == AHEAD + 1
    assert welcome.card == office.card
    assert [reading_hash(key) for key in welcome.reading] == [office.federation.newest.reading_hash]
    statement = TimeStatement(welcome.time)
    statement.verify(office.federation.newest.root_key)
    assert statement.unix_seconds == office.clock()
    with office.it() as issuer:
        assert [member["name"] for member in issuer.roster] == ["ann", "ben"]
        assert [invited["state"] for invited in issuer.invitations] == ["used"]
        assert [member["tokens_next_epoch"] for member in issuer.summary()["members"]] == [0, 1]


async def test_whoever_is_on_the_roster_says_so_and_is_told_all(office: Office) -> None:
    async with office.serving(), await office.connect() as connection:
        welcome = await connection.hello(office.member.identity, office.federation.id)
        assert welcome.card == office.card and len(welcome.reading) == 1
        assert await fetched(connection, office.ann, office.request(office.ann), office.federation.newest) == AHEAD + 1
        empty = await connection.issue(office.request(office.ann))
        assert cards.decode(empty).fields["offers"] == []


async def test_a_card_of_another_member_or_before_anybody_said_who_is_there_is_refused(office: Office) -> None:
    ben = office.admit_in_the_service("ben")
    async with office.serving(), await office.connect() as connection:
        with pytest.raises(NotOnRoster):
            await connection.issue(office.request(office.ann))
        await connection.hello(office.member.identity, office.federation.id)
        with pytest.raises(NotOnRoster):
            await connection.issue(office.request(ben))
        offer = await connection.issue(office.request(office.ann))
        assert len(cards.decode(offer).fields["offers"]) == AHEAD + 1


async def test_what_was_signed_for_another_connection_or_federation_is_no_claim(office: Office) -> None:
    ann = office.member.identity
    async with office.serving(), await office.connect() as first, await office.connect() as second:
        stolen = ann.sign(claim(office.federation.id, first.handshake_hash, ann.key))
        for body in (ann.key + stolen, ann.key + bytes(64), ann.key, b"", ann.key + stolen + b"\0"):
            with pytest.raises(InvalidInput, match="did not sign"):
                await second._ask(issuer_frames.HELLO, body, bytes)
        with pytest.raises(InvalidInput, match="did not sign"):
            await second.hello(ann, bytes(16))
        stranger = office.newcomer("eve")
        with pytest.raises(NotOnRoster):
            await second.hello(stranger.identity, office.federation.id)
        await first.hello(ann, office.federation.id)


async def test_a_join_card_that_somebody_saw_is_worth_nothing_without_its_key(office: Office) -> None:
    """It may have lain in a file: neither before its member shows it nor after."""
    card = office.invite("ben").join_card((ben := office.newcomer("ben")).identity)
    eve = office.newcomer("eve")
    async with office.serving(), await office.connect() as thief, await office.connect() as own:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="did not sign"):
                await thief.join(card, eve.identity, office.federation.id)
            await own.join(card, ben.identity, office.federation.id)


async def test_who_was_removed_gets_nothing_with_all_it_ever_held_however_often_keys_change(office: Office) -> None:
    """Its access keys, its join card, its requests and challenges; a channel is all that they open."""
    invitation = office.invite("ben")
    ben = office.newcomer("ben")
    join_card = invitation.join_card(ben.identity)
    async with office.serving():
        async with await office.connect() as connection:
            await connection.join(join_card, ben.identity, ben.federation_id)
            unanswered = office.request(ben)
            challenge, _ = ben.challenge(await connection.issue(unanswered), office.federation.newest)
            await asyncio.to_thread(_remove, office, "ben")
            for card in (challenge, unanswered, office.request(ben)):  # on the channel that is its own
                with pytest.raises(NotPermitted):
                    await connection.issue(card)
        access_keys = [office.federation.newest.access_key]
        for rotation in range(4):
            with office.it() as issuer:
                access_keys.append(issuer.parameters.access_key)
                generation = issuer.parameters.generation
            for access_key in access_keys:
                async with await office.connect(access_key) as connection:
                    with pytest.raises(NotOnRoster):
                        await connection.hello(ben.identity, ben.federation_id)
                    with pytest.raises(NotPermitted, match="already used"):
                        await connection.join(join_card, ben.identity, ben.federation_id)
                    again = ben.request(generation, office.issuer_epoch(), office.clock())
                    for card in (challenge, unanswered, again):
                        with pytest.raises(NotOnRoster):
                            await connection.issue(card)
            await asyncio.to_thread(_rotate, office, f"guest {rotation}")
            office.clock.now += 7 * DAY
        async with await office.connect(access_keys[0]) as connection:  # and ann, who was away for all of it, is back
            welcome = await connection.hello(office.member.identity, office.federation.id)
    assert read_card(welcome.card).newest != office.federation.digest


def _rotate(office: Office, name: str) -> None:
    """Somebody comes and goes."""
    office.admit_in_the_service(name)
    _remove(office, name)


async def test_an_access_key_opens_a_channel_for_400_days_after_it_was_replaced(office: Office) -> None:
    old = office.federation.newest.access_key
    _rotate(office, "ben")
    async with office.serving():
        office.clock.now += 400 * DAY - 1
        async with await office.connect(old) as connection:
            await connection.hello(office.member.identity, office.federation.id)
        office.clock.now += 1
        async with await office.connect(old) as connection:  # what the service holds is of its last request
            await connection.hello(office.member.identity, office.federation.id)
        with pytest.raises(Unreachable, match="handshake"):
            await office.connect(old)


async def test_the_check_of_a_hello_tries_every_key_whichever_fits(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [office.federation.newest.access_key]
    for name in ("ben", "cleo"):
        _rotate(office, name)
        with office.it() as issuer:
            keys.append(issuer.parameters.access_key)
    tried: list[list[bytes]] = []
    check = channel.hello_access_key

    def counted(hello: bytes, nonce: bytes, access_keys: list[bytes]) -> bytes:
        tried[-1] += access_keys
        return check(hello, nonce, access_keys)

    monkeypatch.setattr(channel, "hello_access_key", counted)
    async with office.serving():
        for key in keys:
            tried.append([])
            await (await office.connect(key)).close()
    assert [sorted(each) for each in tried] == [sorted(keys)] * 3


async def test_answers_say_by_their_length_nothing_of_how_many_tokens_there_were(office: Office) -> None:
    """Of one who was here an hour ago, and of one who comes back after weeks."""
    ben = office.admit_in_the_service("ben")
    lengths: list[list[int]] = []
    async with office.serving():
        for member in (office.ann, ben):
            async with await office.connect() as connection:
                await connection.hello(member.identity, office.federation.id)
                if member is ben:
                    await fetched(connection, ben, office.request(ben), office.federation.newest)
                    office.clock.now += 1
                lengths.append([])
                kind = issuer_frames.CARD
                for card in (office.request(member),):
                    _, body = await connection._exchange(kind, card.encode())
                    lengths[-1].append(len(body))
    assert lengths == [[4096], [4096]]


async def test_requests_are_short_until_somebody_has_shown_who_is_there(office: Office) -> None:
    long = b"x" * (issuer_frames.REQUEST_BYTES + 1)
    async with office.serving():
        async with await office.connect() as connection:
            with pytest.raises(Unreachable):
                await connection._exchange(issuer_frames.CARD, long)
        async with await office.connect() as connection:
            await connection.hello(office.member.identity, office.federation.id)
            with pytest.raises(InvalidInput):
                await connection.issue("x" * len(long))


async def test_a_service_renews_the_schedule_when_a_third_is_left_though_nobody_comes(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed, due = asyncio.Event(), Issuer.renew_if_due
    loop = asyncio.get_running_loop()

    def noticed(issuer: Issuer) -> bool:
        done = due(issuer)
        if done:
            loop.call_soon_threadsafe(renewed.set)
        return done

    monkeypatch.setattr(Issuer, "renew_if_due", noticed)
    monkeypatch.setattr(service, "RENEWAL_SECONDS", 0.01)
    async with office.serving():
        office.clock.now += 60 * DAY
        async with asyncio.timeout(PATIENCE_SECONDS):
            await renewed.wait()
    with office.it() as issuer:
        assert issuer.parameters.serial == office.federation.newest.serial + 1
        assert issuer.parameters.end_epoch == 60 + 90


async def test_a_service_renews_before_it_answers(office: Office) -> None:
    async with office.serving(), await office.connect() as connection:
        office.clock.now += 400 * DAY
        welcome = await connection.hello(office.member.identity, office.federation.id)
    federation = Federation(read_card(welcome.card))
    assert federation.newest.serial == office.federation.newest.serial + 1
    assert federation.newest.first_epoch == 400


async def test_it_works_at_the_same_keystore_between_requests(office: Office) -> None:
    async with office.serving(), await office.connect() as connection:
        await alive(connection)
        invitation = await asyncio.to_thread(office.invite, "ben")
        ben = office.newcomer("ben")
        await connection.join(invitation.join_card(ben.identity), ben.identity, ben.federation_id)
        await asyncio.to_thread(_remove, office, "ben")
        with pytest.raises(NotOnRoster):
            await connection.issue(office.request(ben))


def _remove(office: Office, name: str) -> None:
    with office.it() as issuer:
        issuer.remove(name)


async def test_while_a_command_has_the_keystore_members_are_asked_to_come_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore_module, "LOCK_WAIT_SECONDS", 0.0)
    async with office.serving(), await office.connect() as connection:
        await alive(connection)  # the service's own look at the schedule is over
        with office.it(), pytest.raises(TryLater) as caught:
            await connection.hello(office.member.identity, office.federation.id)
        assert caught.value.retry_after > 0
        await connection.hello(office.member.identity, office.federation.id)  # the connection goes on
    assert "in use" in office.reports.pop()


async def test_refusals_come_with_their_words_and_the_connection_goes_on(office: Office) -> None:
    async with office.serving(), await office.connect() as connection:
        with pytest.raises(NotPermitted, match="does not know this invitation"):
            await connection.join(_join_card(office), office.member.identity, office.federation.id)
        await alive(connection)
        await connection.hello(office.member.identity, office.federation.id)
        for card in (office.member.card(), office.ann.challenge_card(bytes(16), [])):
            with pytest.raises((InvalidInput, NotPermitted)):
                await connection.issue(card)
        with pytest.raises(NotPermitted, match="generation"):
            await connection.issue(office.ann.request(9, 0, office.clock()))
        await alive(connection)


def _join_card(office: Office) -> str:
    fields = cards.decode(office.member.card()).fields
    return cards.encode("join", {**fields, "invitation": bytes(16), "proof": bytes(32)})


async def test_the_lost_answer_to_a_challenge_is_given_again(office: Office) -> None:
    identity, newest = office.member.identity, office.federation.newest
    async with office.serving():
        async with await office.connect() as connection:
            await connection.hello(identity, office.federation.id)
            challenge, pending = office.ann.challenge(await connection.issue(office.request(office.ann)), newest)
            answer = await connection.issue(challenge)
        async with await office.connect() as connection:
            await connection.hello(identity, office.federation.id)
            assert await connection.issue(challenge) == answer
    assert good_tokens(answer, pending) == AHEAD + 1


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
            await alive(connection)
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
                await alive(connection)
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
        (next(issuer_frames.pack(33, b"")), _flipped),
        (next(issuer_frames.pack(34, b"")), bytes),
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
        at = office.federation.issuer
        assert at is not None
        secret = blind.random_scalar().to_bytes(32, "big")
        side = channel.Initiator(nonce, at.key, office.federation.newest.access_key, secret)
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
            await connection.issue("hello")
        await connection.close()
    async with office.serving(session_seconds=0.2):
        connection = await office.connect()
        await asyncio.sleep(0.3)
        with pytest.raises(Unreachable):
            await connection.issue("hello")
        await connection.close()


async def hello(office: Office, connection: IssuerConnection, member: FakeMember | None = None) -> None:
    await connection.hello((member or office.ann).identity, office.federation.id)


async def test_strangers_make_room_for_strangers_and_guests_for_guests_and_never_members_for_either(
    office: Office,
) -> None:
    async with office.serving(strangers=2, guests=2):
        members = [await office.connect(), await office.connect()]
        for member in members:
            await hello(office, member)
        waiting = [await raw(office) for _ in range(3)]
        assert await ended(waiting[0][0])
        guests = [await office.connect() for _ in range(3)]
        with pytest.raises(Unreachable):
            await guests[0].issue("hello")
        for one in (*guests[1:], *members):
            await alive(one)
            await one.close()
        for _, writer, _ in waiting:
            writer.close()
        async with await office.connect() as connection:
            await alive(connection)


async def test_an_office_has_room_for_each_of_its_cohorts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 members are two: where one guest is let in twice as many are."""
    quick_keystores.use(monkeypatch)
    office = Office(tmp_path, planned(members=20_000, board="GATEWAY"))
    async with office.serving(guests=1):
        guests = [await office.connect() for _ in range(3)]
        with pytest.raises(Unreachable):
            await guests[0].issue("hello")
        for one in guests[1:]:
            await alive(one)
            await one.close()
    office.close()


async def test_who_was_removed_does_not_keep_members_out_however_many_connections_it_has(office: Office) -> None:
    ben = office.admit_in_the_service("ben")
    _remove(office, "ann")
    with office.it() as issuer:
        newest = issuer.parameters
    async with office.serving(guests=4, members=4):
        crowd = [await office.connect() for _ in range(4)]
        for one in crowd:
            with pytest.raises(NotOnRoster):
                await hello(office, one)
        async with await office.connect() as connection:
            await hello(office, connection, ben)
            crowd += [await office.connect() for _ in range(8)]
            request = ben.request(newest.generation, office.issuer_epoch(), office.clock())
            assert await fetched(connection, ben, request, newest) == AHEAD
        for one in crowd:
            await one.close()


async def test_a_member_has_so_many_connections_and_its_oldest_makes_room(office: Office) -> None:
    ben = office.admit_in_the_service("ben")
    async with office.serving(sessions_a_member=2), await office.connect() as other:
        await hello(office, other, ben)
        connections = [await office.connect() for _ in range(3)]
        for connection in connections:
            await hello(office, connection)
        await hello(office, connections[1])  # once more takes no second place
        with pytest.raises(Unreachable):
            await connections[0].issue("hello")
        for connection in (*connections[1:], other):
            await alive(connection)
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
            await alive(connection)
        with pytest.raises(Unreachable):
            await connection.issue("hello")
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
        asked = [asyncio.create_task(alive(connection)) for connection in connections]
        await watched.until_begun()
        await asyncio.sleep(0.2)  # in which others would begin
        watched.go.set()
        await asyncio.gather(*asked)
        for connection in connections:
            await connection.close()
    assert watched.most == 1


async def test_a_request_outlives_its_connection_and_no_other_begins_before_its_end(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    async with office.serving(guests=1):
        first = await office.connect()
        asked = asyncio.create_task(alive(first))
        await watched.until_begun()
        second = await office.connect()  # the first one is sent away
        later = asyncio.create_task(alive(second))
        await asyncio.sleep(0.2)  # in which it would begin
        watched.go.set()
        await later
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
        asked = asyncio.create_task(alive(connection))
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
            await hello(office, connection)
            with pytest.raises(Unreachable):
                await connection.issue(office.request(office.ann))
        assert office.reports.pop() == "this is a bug: ZeroDivisionError; report it. The service goes on"
        async with await office.connect() as connection:
            await alive(connection)


def test_there_is_nothing_to_serve_before_members_were_told_where(tmp_path: Path) -> None:
    with (
        Issuer.create(tmp_path / "issuer", PASSPHRASE, PLAN, "Office") as issuer,
        pytest.raises(UsageError, match="tessera issuer service"),
    ):
        IssuerServer(issuer)
