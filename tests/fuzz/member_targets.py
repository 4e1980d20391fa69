"""What reaches a member: a relay's word on rounds and records, names that other people chose, a keystore out of a
backup."""

import asyncio
import os
import random
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from unittest import mock

import cbor2

from tessera import curve, wire
from tessera.errors import BadFrame, Refused
from tessera_host.agent.client import Client
from tessera_host.cli import attachments, meeting_dialog
from tessera_host.errors import (
    IntegrityError,
    InvalidInput,
    KeystoreError,
    NotPermitted,
    TesseraError,
    UsageError,
)
from tessera_host.issuer.relay_list import RelayList
from tessera_host.keys import keystore
from tessera_host.member import address_book, backup, composing, meeting, pacing, schema
from tessera_host.member.accountant import Accountant
from tessera_host.member.fixed_delay import FixedDelay
from tessera_host.member.inbox import Message
from tessera_host.member.relay_sessions import Status
from tessera_host.member.state import MemberState
from tessera_host.protocol import cards, limits, records, relay_connection
from tessera_host.protocol.relay_connection import RelayConnection, SessionForgotten
from tests.fuzz.smallmember import (
    A_DAY,
    client,
    clock_at_epoch,
    edited,
    edits,
    member,
    met,
    quick_keystores,
    repeatable,
    small_budget,
)
from tests.fuzz.target import Intake, Target, allowed, must
from tests.support.fake_federation import EPOCH_ROUNDS, GENESIS, PASSPHRASE, POSTS, ROUND_SECONDS, RoundClock

RETENTION = 2  # FakeFederation's


def first_kept(open_round: int) -> int:
    """PROTOCOL §3: a function of the round."""
    return max(0, open_round // EPOCH_ROUNDS - RETENTION) * EPOCH_ROUNDS


class _Named(NamedTuple):
    """A parameter set, as INFO names it."""

    serial: int
    digest: bytes


class OpenChannel:
    """A channel without encryption: what the peer may say is anything, once it holds the keys."""

    handshake_hash = bytes(32)

    def seal(self, plaintext: bytes) -> bytes:
        return bytes(plaintext) + bytes(wire.SEAL_BYTES)

    def open(self, frame: bytes) -> bytes:
        return frame[: -wire.SEAL_BYTES]


class _Line:
    """One connection to a relay that says what the input has it say, as both of its streams; and what was said.

    Before each answer u8 how: 0 the truth, 1 near it (a signed u8 is added to a number), 2 and 3 anything in its
    fields, 4 an error frame (u8 code, u8 seconds), 5 any plaintext (u8 length, so many bytes), 6 it hangs up.
    """

    def __init__(self, relay: "_Relay") -> None:
        self._relay = relay
        self._out = bytearray()
        self.info: tuple[int, int] | None = None  # (open, first round) of the last INFO that was understood
        self.ack: int | None = None

    # -- a client's streams

    def write(self, data: bytes) -> None:
        how, intake = self._relay.intake.number(1) % 7, self._relay.intake
        kind, fields = wire.read_request(data[: wire.SMALL_BYTES])
        size = wire.CELL_BYTES if kind == wire.FETCH else wire.SMALL_BYTES
        buffer = bytearray(size + wire.SEAL_BYTES)
        self._relay.asked(self, kind, data)
        if how == 6:
            return
        if how == 5:
            plaintext = intake.bytes(intake.number(1))
            buffer[: len(plaintext)] = plaintext
        elif how == 4:
            buffer[0] = wire.ERROR
            buffer[1], buffer[5] = intake.number(1), intake.number(1)
        else:
            getattr(self, "_" + _ANSWERS[kind])(buffer, fields, how, intake)
        self._note(kind, bytes(buffer[:size]))
        self._out += buffer

    async def drain(self) -> None:
        pass

    async def readexactly(self, length: int) -> bytes:
        if len(self._out) < length:
            raise asyncio.IncompleteReadError(bytes(self._out), length)
        data = bytes(self._out[:length])
        del self._out[:length]
        return data

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass

    # -- answers

    def _info(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        own, parameters = self._relay.own_round(), self._relay.parameters
        flags, digest, open_round = 0, parameters.digest, own
        if how == 1:
            open_round = max(0, own + _signed(intake))
        first = first_kept(open_round)
        if how == 2:
            first = max(0, first + _signed(intake))
        if how == 3:
            digest = intake.bytes(1) * 32 if intake.number(1) % 2 else digest
            flags = intake.number(1) % 2
            open_round, first = intake.number(4), intake.number(4)
        named = _Named(parameters.serial, digest)
        wire.answer_info(buffer, flags, parameters if how == 2 else named, named, open_round, first, "plain")

    def _params(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        blob = self._relay.parameters.blob
        if how:
            at = intake.number(2) % len(blob)
            blob = blob[:at] + intake.bytes(how) + blob[at + how :]
        at = fields[0] * wire.CHUNK_BYTES
        wire.answer_params(buffer, len(blob), fields[0], blob[at : at + wire.CHUNK_BYTES])

    def _auth(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        left = POSTS if how == 0 else POSTS + _signed(intake) if how == 1 else intake.number(2)
        wire.answer_auth(buffer, self._relay.secret(), max(0, left))

    def _post(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        named = self.info[0] if self.info else 0
        round_ = named if how == 0 else named + _signed(intake) if how == 1 else intake.number(4)
        wire.answer_post(buffer, min(max(0, round_), 0xFFFFFFFF))

    def _push(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        wire.answer_push(buffer, how == 0)

    def _void(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        wire.answer_void(buffer)

    def _fetch(self, buffer: bytearray, fields: Any, how: int, intake: Intake) -> None:
        """All but the last frame go out here."""
        _, start, end, _ = fields
        if how == 1:
            end = max(start, end - intake.number(1) % 4)
        for round_ in range(start, end):
            count = intake.number(1) % 5 if how >= 2 else 0
            place = wire.CELL_HEADER_BYTES
            for number in range(count):
                buffer[place : place + wire.RECORD_BYTES] = bytes((number,)) + intake.bytes(1) * (wire.RECORD_BYTES - 1)
                place += wire.RECORD_BYTES
            wire.pack_cell(buffer, round_ + (intake.number(1) == 255 if how == 3 else 0), count, 0, count)
            self._out += buffer
        wire.pack_end(buffer, end)

    def _note(self, kind: int, plaintext: bytes) -> None:
        """What a client understands of it."""
        if kind not in (wire.INFO, wire.POST):
            return
        try:
            answer = wire.read_answer(plaintext)
        except (Refused, BadFrame, ValueError):
            return
        if kind == wire.INFO and answer[0] == wire.INFO_ANSWER:
            self.info = answer[7], answer[8]
        if kind == wire.POST and answer[0] == wire.ACK:
            self.ack = answer[1]
            self._relay.acknowledged(self)


_ANSWERS = {
    wire.INFO: "info",
    wire.PARAMS: "params",
    wire.AUTH: "auth",
    wire.POST: "post",
    wire.VOID: "void",
    wire.FETCH: "fetch",
    wire.PUSH: "push",
}


def _signed(intake: Intake) -> int:
    return (intake.number(1) ^ 128) - 128


class _Relay:
    """The other end of all of a member's connections, and what left the computer."""

    def __init__(self, clock: RoundClock, intake: Intake) -> None:
        self.intake = intake
        self.parameters = met().federation.parameters
        self._clock = clock
        self._secrets = 0
        self.posts: list[tuple[int, bytes]] = []  # (the second it left, record)
        self.good_acks: set[int] = set()
        self.bad_ack = False  # in the present step

    def connect(self) -> Any:
        """In place of RelayConnection._connect."""
        relay = self

        async def connected(cls: Any, host: str, port: int, handshake: Any, timeout_seconds: float) -> RelayConnection:
            line: Any = _Line(relay)
            connection = RelayConnection(line, line, timeout_seconds)
            if "using" in handshake.__code__.co_freevars:  # a resumption, which spends its secret before it is shown
                handshake(bytes(16))
                if relay.intake.number(1) % 4 == 1:
                    raise SessionForgotten("the relay has forgotten the session")
            connection._channel = OpenChannel()  # type: ignore[assignment]
            return connection

        return mock.patch.object(RelayConnection, "_connect", classmethod(connected))

    def own_round(self) -> int:
        return (self._clock.now - GENESIS) // ROUND_SECONDS

    def secret(self) -> bytes:
        self._secrets += 1
        return self._secrets.to_bytes(32, "big")

    def is_true(self, info: tuple[int, int] | None) -> bool:
        """Whether a member may believe what INFO said."""
        return info is not None and abs(info[0] - self.own_round()) <= 1 and info[1] == first_kept(info[0])

    def asked(self, line: _Line, kind: int, data: bytes) -> None:
        if kind in (wire.AUTH, wire.POST, wire.FETCH, wire.VOID):
            must(self.is_true(line.info), "a relay was used whose INFO does not hold")
        if kind == wire.POST:
            self.posts.append((self._clock.now, bytes(wire.posted_record(data))))

    def acknowledged(self, line: _Line) -> None:
        assert line.info is not None and line.ack is not None
        if abs(line.ack - line.info[0]) <= 1:
            self.good_acks.add(line.ack)
        else:
            self.bad_ack = True


class InfoAndAck(Target):
    """A relay that says anything of its rounds and of the records it took, over visits, sends and days of a member.

    What INFO says is believed if the open round fits the clock and the first one follows from it; an ACK, if it is
    within a round of what INFO said on that connection. No relay's word costs a key of a round that may still come, a
    record more than the day's budget and one a round, or a tag used twice. An input is steps: u8 which, then what the
    relay says (_Line).
    """

    name = "info-and-ack"
    runs = 150
    longest = 256
    _MOST_STEPS = 8

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def seeds(self) -> list[bytes]:
        status, fetch, send, resend, slot, read, rounds = (bytes((number,)) for number in range(7))
        truth = bytes(8)
        near = [bytes((1, off)) for off in (1, 2, 255, 254, 6, 128)]
        first = [bytes((2, off)) for off in (1, 255, 6, 250)]
        acks = [bytes(2) + answer for answer in (*near, b"\2\xff\xff\xff\xff", b"\4\4\1", b"\4\6\1", b"\4\3\0", b"\6")]
        return [
            *(status + said for said in (b"", *near, *first, b"\3\1\7" + bytes(8), b"\5\xff", b"\4\5\1", b"\6")),
            *(fetch + said for said in (b"", *near, *first, b"\0\0\1\1", b"\0\0\2\1\1\1\1")),
            *(send + said for said in (b"", *acks)),
            *(slot + said for said in (b"", *acks)),
            send + truth + rounds + b"\1" + send + truth + resend + truth,
            read + truth + rounds + b"\6" + read + truth + fetch + truth,
            (send + truth) * 5,
            send + b"\0\1\xff" + truth,
        ]

    def run(self, data: bytes) -> None:
        intake, clock = Intake(data), clock_at_epoch()
        self._relay = relay = _Relay(clock, intake)
        self._clock = clock
        steps = (self._status, self._fetch, self._send, self._resend, self._slot, self._read_slot)
        with (
            repeatable(b"a member"),
            relay.connect(),
            mock.patch.object(relay_connection, "BUSY_ATTEMPTS", 1),
        ):
            state = member(met().ann, clock)
            self._before = state.data
            with client(state, clock) as ann:
                for _ in range(self._MOST_STEPS):
                    if not intake:
                        break
                    which = intake.number(1) % (len(steps) + 1)
                    if which == len(steps):
                        clock.next_round(intake.number(1) % (2 * EPOCH_ROUNDS))
                    else:
                        self._step(steps[which], ann, state)

    # -- steps

    async def _status(self, ann: Client, state: MemberState) -> Any:
        return await ann.status()

    async def _fetch(self, ann: Client, state: MemberState) -> Any:
        return await ann.fetch()

    async def _send(self, ann: Client, state: MemberState) -> Any:
        return await ann.send("Bob", "x" * 100)

    async def _resend(self, ann: Client, state: MemberState) -> Any:
        return await ann.resend()

    async def _slot(self, ann: Client, state: MemberState) -> Any:
        """As the engine has it, if the day's budget allows one."""
        before = len(self._relay.posts)
        async with ann.shared.held():
            may_post = pacing.next_post(state, False, random.Random(0)).seconds == 0
            delay, relay = FixedDelay(0, lambda: 0), state.federation.home
            try:
                return await ann._sender.slot(relay, state.wallet.for_posting, delay, may_post)
            finally:
                must(len(self._relay.posts) - before <= may_post, "a slot posted more than one record")

    async def _read_slot(self, ann: Client, state: MemberState) -> Any:
        async with ann.shared.held():
            return await ann._fetcher.slot(state.federation.home, FixedDelay(0, lambda: 0), 2)

    # -- what must hold

    def _step(self, step: Callable[[Client, MemberState], Any], ann: Client, state: MemberState) -> None:
        relay, before = self._relay, self._before
        relay.bad_ack = False
        result = allowed(TesseraError, lambda: self._loop.run_until_complete(step(ann, state)))
        # What is in the keystore.
        after = self._before = schema.read(state.store.kept, state.store.path)  # type: ignore[attr-defined]
        if isinstance(result, Status):
            must(relay.is_true((result.info.open_round, result.info.first_round)), "an INFO was believed that lies")
        if relay.bad_ack:
            must(isinstance(result, IntegrityError), "an ACK of another time was taken for one")
        must(after.federation == before.federation, "parameters that nobody signed were adopted")
        must(after.newest_round <= relay.own_round() + 1, "a round to come was confirmed")
        read = [pointer.next_round for pointer in after.inbox.pointers.values()]
        must(all(round_ <= relay.own_round() + 1 for round_ in read), "a round to come counts as read")
        left = {token.left for token in after.tokens.tokens} - {None}
        must(all(number <= POSTS for number in left), "a token has more posts than there are on it")
        epoch = relay.own_round() // EPOCH_ROUNDS
        must(not _erased(before, after, epoch), "a key was erased of a record that may still come")
        self._judge_posts(after)

    def _judge_posts(self, kept: schema.MemberData) -> None:
        relay, posts = self._relay, self._relay.posts
        must(len({record[:16] for _, record in posts}) == len(posts), "a tag was used twice")
        must(len(posts) <= A_DAY, "more records left than the day's budget allows")  # all within a day
        rounds = [(second - GENESIS) // ROUND_SECONDS for second, _ in posts]
        must(len(set(rounds)) == len(rounds), "two records left in one round")
        must(len(kept.departures) == len(posts), "records left that are not counted")
        posted = {round_ for entry in kept.sent for round_ in entry.rounds if round_ is not None}
        must(posted <= relay.good_acks, "a message counts as posted in a round that no relay acknowledged in time")
        waiting = sum(round_ is None for entry in kept.sent for round_ in entry.rounds)
        must(waiting == len(kept.outbox), "a part is neither posted nor waits")


def _erased(before: schema.MemberData, after: schema.MemberData, epoch: int) -> bool:
    """Whether a key of a record of this epoch or a later one is gone. Nothing that this relay says is a contact's."""
    for name, contact in after.contacts.book.items():
        old, new = before.contacts.book[name].receive, contact.receive
        if any(new.steps.get(each) != steps for each, steps in old.steps.items() if each >= epoch):
            return True
        if any(each not in new.steps for each in range(epoch, new.epoch)):
            return True
    return False


class Names(Target):
    """Names of people, relays, offices and files that somebody else chose, wherever they come in.

    One rule decides everywhere: a line of 1 to 64 visible characters in composed form, without blanks at its ends,
    separators or a full stop in front. Whatever becomes a path stays in its folder. The first byte: 0 a card, 1 a
    command, 2 a file that is saved, 3 a name from before the rule; then the name, or u8 length of the contact's name,
    that, and the file's.
    """

    name = "names"
    runs = 400
    longest = 400

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._parent = Path(self._folder.name)
        self._state = met().ann

    def seeds(self) -> list[bytes]:
        names = ["Bob", "Ann Smith", "", " ", ".", "..", "../x", "a/b", "a\\b", "C:x", ".x", "x.", " x", "x ", "a\nb"]
        names += ["e\u0301", "\u00e9", "\u202ebob", "\u200b", "a\u00a0b", "\u3000", "\ufeffx", "\0", "\x7f", "x" * 64]
        names += ["x" * 65, "é" * 64, "\U0001f469\u200d\U0001f680", "\u0f43", "\ud7a3", "\u1100\u1161", "\u0340", "CON"]
        texts = [name.encode() for name in names]
        files = [bytes((2, 3)) + b"Bob" + text for text in (*texts, b"a.desktop", b"x" * 255, "é".encode() * 130)]
        files += [bytes((2, len(text))) + text + b"plan.pdf" for text in texts]
        return [*(bytes((mode,)) + text for mode in (0, 1, 3) for text in texts), *files]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 4
        if mode == 2:
            contact = intake.bytes(intake.number(1)).decode(errors="replace")
            self._saved(contact, intake.rest().decode(errors="surrogateescape"))
            return
        (self._in_cards, self._in_commands, self._saved, self._mended)[mode](intake.rest().decode(errors="replace"))

    def _in_cards(self, name: str) -> None:
        good = is_name(name)
        fields = {"name": name, "key": bytes(32), "sig": bytes(64)}
        taken = allowed(InvalidInput, lambda: cards.encode("member", fields))
        must(isinstance(taken, str) == good, "a card's name is judged otherwise than the rule")
        payload = cards.canonical({"v": 1, **fields})
        read = allowed(InvalidInput, lambda: cards.decode_payload("member", payload))
        must(isinstance(read, dict) == good, "a card's name is judged otherwise than the rule")
        for kind, checks in cards.FIELDS.items():
            for field in {"name", "office", "home"} & checks.keys():
                must(checks[field](name) == good, f"the {field} of a card of kind {kind} is judged otherwise")
        said = cards.decode_said(met().federation.said({}))
        relays = [{"id": 1, "name": name, "host": "relay.example", "port": 8100}]
        for what, change in (("relay", {"relays": relays}), ("office", {"name": name})):
            read = allowed(InvalidInput, lambda change=change: cards.decode_said(cards.canonical(said | change)))
            must(isinstance(read, dict) == good, f"the name of a card's {what} is judged otherwise")

    def _in_commands(self, name: str) -> None:
        good, clock = is_name(name), clock_at_epoch()
        with repeatable(b"names"):
            state = member(self._state, clock)
            before = schema.write(state.data)
            renamed = allowed(UsageError, lambda: address_book.rename(state, "Bob", name))
            must((renamed is None) == (good and name != "Bob"), "a command's name is judged otherwise than the rule")
            if renamed is not None:
                must(schema.write(state.data) == before, "a refused name changed something")
            invited = allowed(UsageError, lambda: meeting.begin(state, name))
            added = allowed(UsageError, lambda: RelayList(RelayList.empty()).check(name, "relay.example", 8100))
            must((added is None) == good, "a relay's name is judged otherwise than the rule")
            free = name not in state.contacts.book
            must(isinstance(invited, meeting.MeetingStep) == (good and free), "a command's name is judged otherwise")
        if good:
            folder = meeting_dialog.Folder(self._parent)
            must(_is_in(folder._file(name, meeting.INVITE), self._parent), "a meeting's card leads elsewhere")

    def _mended(self, name: str) -> None:
        mended = limits.mended_name(name)
        must(is_name(mended), "a mended name is none")
        must(not is_name(name) or mended == name, "a good name was changed")

    def _saved(self, contact: str, name: str = "") -> None:
        """A file that arrived is one new visible file in its folder, whatever the names are."""
        folder = self._parent / "saved"
        message = Message(contact, 7, "", 20, file=name, content=b"content")
        with mock.patch.object(os, "fsync"):
            found = Path(attachments.save(folder, message))
        inside = list(folder.iterdir())
        must(sorted(self._parent.iterdir()) == [folder] and inside == [found], "a file was written elsewhere")
        must(_is_in(found, folder), "a file's name leads elsewhere, or hides it")
        must(found.read_bytes() == b"content" and not found.is_symlink(), "a file was saved otherwise than it came")
        must(not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in found.name), "a file's name acts")
        again = attachments.save(folder, message)
        must(Path(again) == found, "the same file is saved twice")
        found.unlink()


def is_name(name: str) -> bool:
    """The rule, in other words than the product's."""
    categories = {unicodedata.category(c) for c in name.replace(" ", "")}
    visible = not categories & {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
    composed = unicodedata.is_normalized("NFC", name)
    return (
        1 <= len(name) <= 64
        and visible
        and composed
        and name[0] not in " ."
        and name[-1] != " "
        and not {
            "/",
            "\\",
            ":",
        }
        & set(name)
    )


def _is_in(path: Path, folder: Path) -> bool:
    """Whether this is a visible file directly in the folder, as every system reads its name."""
    name = path.name
    plain = all(kind(name).name == name for kind in (PurePosixPath, PureWindowsPath))
    return path.parent == folder and plain and not name.startswith(".") and len(os.fsencode(name)) <= 255


class Restored(Target):
    """A backup with anything in it, of any age, and the keystore that is made of it.

    It is refused with a line for people and nothing is made; or what was made opens, and uses nothing that the lost
    computer may have used: no epoch's key before the hold ends, no message's number, no session, none of the day's
    budget. The first byte: 0 the file as it is, 1 a whole backup with changed values (`edited`), 2 the same of a
    member's keystore; the next two: how many rounds later it is restored.
    """

    name = "restored"
    runs = 150
    longest = 400

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name, "backup")
        self._home = Path(self._folder.name, "home")
        self._made = clock_at_epoch().now
        self._data = {"made": self._made, "state": self._live()}
        with quick_keystores(), repeatable(b"backup"):
            self._file.unlink(missing_ok=True)
            keystore.write_apart(self._file, PASSPHRASE, backup.KIND, self._data)
        self._genuine = self._file.read_bytes()

    def _live(self) -> dict[str, Any]:
        """Bob's keystore with something in every part of it."""
        clock = clock_at_epoch()
        with repeatable(b"lived"):
            bob = member(met().bob, clock)
            bob.data.tokens.tokens[0].admitted(bytes(32), POSTS)
            meeting.begin(bob, "Carol")
            composing.queue_file(bob, "Ann", "plan.pdf", b"content")
            bob.wallet.request(1, bob.epoch(), clock.now)
            received = bob.data.contacts.book["Ann"].received
            received.parts[1] = schema.Incoming(2, records.TEXT, {0: b"half"})
            bob.data.contacts.book["Ann"].views = [schema.OpenView(1, bytes(32), bytes(4), 1, None)]
            bob.data.inbox.messages.append(schema.Stored("Ann", 0, "hello", 4, 0, None, b"", False, False, True))
            bob.data.newest_round = bob.round()
            return schema.write(bob.data)

    def seeds(self) -> list[bytes]:
        found = [b"\0\0\0" + self._genuine, b"\0\0\0" + self._genuine[:-40], b"\0\0\0"]
        found += [b"\1" + later.to_bytes(2, "big") for later in (0, 1, 6, 13, 40, 65535)]
        return [
            *found,
            *(b"\1\0\1" + edit for edit in edits(self._data)),
            *(b"\2\0\0" + e for e in edits(self._data["state"])),
        ]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode, later = intake.number(1) % 3, intake.number(2)
        now = self._made + later * ROUND_SECONDS
        with (
            quick_keystores(),
            repeatable(b"restoring"),
            small_budget(),
            mock.patch.object(os, "fsync"),
        ):
            if mode == 2:
                self._opened(edited(self._data["state"], intake), lambda: now)
                return
            self._file.unlink(missing_ok=True)
            if mode == 0:
                self._file.write_bytes(intake.rest())
            else:
                keystore.write_apart(self._file, PASSPHRASE, backup.KIND, edited(self._data, intake))
            self._restored(now)

    def _restored(self, now: int) -> None:
        try:
            made = allowed(
                (KeystoreError, NotPermitted),
                lambda: backup.restore(self._file, PASSPHRASE, self._home, clock=lambda: now),
            )
            if not isinstance(made, backup.Restored):
                must(not (self._home / "member.keystore").exists(), "a backup was refused and restored")
                return
            with MemberState.open(self._home, PASSPHRASE, lambda: now) as state:
                self._judge(state, now)
        finally:
            for file in self._home.glob("*"):
                file.unlink()

    def _judge(self, state: MemberState, now: int) -> None:
        self._judge_whole(state)
        epoch = state.federation.epoch_of(max(state.round(), state.newest_round))
        for name, contact in state.data.contacts.book.items():
            must(contact.next_message >= (epoch + 1) << 18, "a message's number may be used twice")
            must(contact.received.resync, "what the lost computer read counts as lost")
            must(is_name(name), "a contact's name is none")
        must(not state.contacts.meetings(), "a meeting of the lost computer goes on")
        must(not state.data.tokens.requests, "an offer may be used twice")
        must(all(token.resume is None for token in state.data.tokens.tokens), "a session may be taken up twice")
        must(
            Accountant(state.data.departures, state.federation).budget(now).left == 0, "the day's budget is there twice"
        )
        must(isinstance(allowed(NotPermitted, lambda: state.hold.check(epoch)), NotPermitted), "nothing is held")
        state.round_confirmed(state.round())
        held = allowed(NotPermitted, lambda: state.hold.check(state.epoch()))
        must(isinstance(held, NotPermitted), "a relay's clock ended the hold in the epoch of the restore")

    def _opened(self, data: Any, clock: Callable[[], int]) -> None:
        """A keystore of any age, changed: it opens or the error says what is wrong."""
        state = allowed(KeystoreError, lambda: member(data, clock))
        if isinstance(state, MemberState):
            self._judge_whole(state)

    def _judge_whole(self, state: MemberState) -> None:
        """Whatever is in it can be shown, and is kept as it is."""
        must(all(is_name(name) for name in state.data.contacts.book), "a contact's name is none")
        must(schema.read(schema.write(state.data), state.store.path) == state.data, "it reads otherwise than it was")
        cbor2.dumps(schema.write(state.data))
        for entry in composing.sent(state):
            must(entry.state, "a message without a state")
        state.inbox.messages()
        state.wallet.counts()
        state.contacts.meetings()
        must(curve.public(state.data.secret)[1:] == state.identity.key, "another identity")


TARGETS = (InfoAndAck, Names, Restored)
