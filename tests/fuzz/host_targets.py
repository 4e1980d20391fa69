"""What members and IT are handed: a relay's answers, cards, records of a contact, keystores and other files."""

import asyncio
import base64
import copy
import hashlib
import json
import quopri
import struct
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from unittest import mock

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tessera import curve, hashes, params, wire
from tessera.errors import BadFrame, InvalidObject, Refused
from tessera.params import Parameters
from tessera_host import files, typed
from tessera_host.errors import IntegrityError, InvalidInput, KeystoreError, TesseraError, TryLater, WrongPassphrase
from tessera_host.issuer.invitations import Invitations
from tessera_host.issuer.issuance import EpochSecret, Issuance, Terms
from tessera_host.keys import keystore
from tessera_host.keys.keystore import Keystore
from tessera_host.member import contacts
from tessera_host.member.contacts import ContactBook
from tessera_host.member.inbox import BEGUN_MESSAGES, Inbox
from tessera_host.member.schema import Contacts, InboxState, Tokens
from tessera_host.member.views import Views
from tessera_host.member.wallet import Wallet
from tessera_host.planning import plan
from tessera_host.protocol import (
    blind,
    card_finding,
    cards,
    issuer_frames,
    records,
    relay_connection,
    sealed_reading_key,
)
from tessera_host.protocol.federation import Federation, IssuerService, read_card
from tessera_host.protocol.identity import Identity
from tessera_host.protocol.invitation import Invitation
from tessera_host.protocol.sets_beside import SetBeside, SetsBeside
from tessera_host.protocol.welcome import Welcome
from tessera_host.relay import server_relay
from tests.fuzz.member_targets import OpenChannel
from tests.fuzz.smallmember import repeatable
from tests.fuzz.target import Intake, Sink, Target, Violation, allowed, must
from tests.support.fake_federation import GENESIS, PASSPHRASE, FakeFederation, identity
from tests.support.memory_rows import MemoryRows

EPOCH = 3
NOW = GENESIS + 60 * EPOCH + 1


@dataclass(frozen=True)
class _Named:
    """What INFO says of a set."""

    serial: int
    digest: bytes


def _answer_info(buffer: bytearray, _: int, flags: int, *fields: Any) -> None:
    wire.answer_info(buffer, flags, _Named(*fields[:2]), _Named(*fields[2:4]), *fields[4:])


class Answers(Target):
    """Plaintexts of a relay's answers: read or refused, and what is read says all that is in them.

    The first byte says whether it is an answer to FETCH.
    """

    name = "answers"
    runs = 2000
    multiple = 9
    longest = 1 + wire.CELL_BYTES

    def seeds(self) -> list[bytes]:
        made = []
        for fill, fields in (
            (wire.answer_void, ()),
            (wire.answer_info, (1, _Named(7, bytes(range(32))), _Named(6, bytes(32)), 42, 12, "plain")),
            (wire.answer_auth, (bytes(range(32)), 16)),
            (wire.answer_post, (42,)),
            (wire.answer_params, (500, 1, bytes(range(240)))),
            (wire.answer_checkpoint, (bytes(250),)),
            (wire.answer_push, (True,)),
        ):
            buffer = bytearray(wire.SMALL_BYTES)
            fill(buffer, *fields)
            made.append(b"\0" + bytes(buffer))
        made += [b"\0\xff%c\0\0\0\5" % code for code in range(10)] + [b"\1\xff\6\0\0\0\5", b"\1\x94\0\0\0\x2a"]
        cells = bytearray(range(255)) * 5
        for count in range(5):
            wire.pack_cell(cells, 42, count, 0, count)
            made.append(b"\1" + bytes(cells[: wire.CELL_BYTES]))
        return [*made, b"\0\x81" + b"\xff" * 254, b"\1\x84" + b"\xff" * 30]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        if intake.number(1) % 2:
            self._cell(intake.bytes(wire.CELL_BYTES))
        else:
            self._small(intake.bytes(wire.SMALL_BYTES))

    def _cell(self, plaintext: bytes) -> None:
        answer = allowed((BadFrame, Refused), lambda: wire.read_cell(plaintext))
        if not isinstance(answer, tuple) or answer[0] != wire.CELL:
            return
        _, round_, count, offset, found = answer
        again = bytearray(wire.CELL_BYTES)
        again[wire.CELL_HEADER_BYTES : wire.CELL_HEADER_BYTES + 240 * len(found)] = b"".join(found)
        wire.pack_cell(again, round_, count, offset, len(found))
        read = wire.CELL_HEADER_BYTES + 240 * len(found)
        must(
            again[:10] == plaintext[:10] and again[wire.CELL_HEADER_BYTES : read] == plaintext[63:read],
            "a cell was read from a wrong place",
        )
        must(wire.read_cell(bytes(again)) == answer, "a cell reads otherwise after it was written again")

    def _small(self, plaintext: bytes) -> None:
        answer = allowed((BadFrame, Refused), lambda: wire.read_answer(plaintext))
        if not isinstance(answer, tuple):
            return
        fill = {
            wire.VOIDED: wire.answer_void,
            wire.ADMITTED: wire.answer_auth,
            wire.ACK: wire.answer_post,
            wire.CHECKPOINT_ANSWER: wire.answer_checkpoint,
            wire.PARAMS_ANSWER: lambda buffer, total, chunk, data: wire.answer_params(buffer, total, chunk, data),
            wire.INFO_ANSWER: _answer_info,
        }.get(answer[0])
        if fill is None or (answer[0] == wire.INFO_ANSWER and answer[1] != wire.INFO_VERSION):
            return
        again = bytearray(wire.SMALL_BYTES)
        fill(again, *answer[1:])
        must(wire.read_answer(bytes(again)) == answer, "an answer reads otherwise after it was written again")


class Client(Target):
    """A relay that says anything to a member's client: the client understands it or says what is wrong.

    The first byte is the request (or the handshake), then come pieces of answers: u8 length, so many bytes of a frame.
    """

    name = "client"
    runs = 800
    multiple = 3
    _START = 40

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def seeds(self) -> list[bytes]:
        def cell(round_: int, count: int, offset: int, found: int) -> bytes:
            return bytes((10, wire.CELL)) + b"%b%b%b%c" % (
                *(round_.to_bytes(4, "big"), count.to_bytes(2, "big"), offset.to_bytes(2, "big")),
                found,
            )

        end = bytes((5, wire.END)) + (self._START + 2).to_bytes(4, "big")
        batches = cell(40, 5, 0, 4) + cell(40, 5, 4, 1) + cell(41, 0, 0, 0) + end
        short = cell(40, 5, 0, 4) + cell(41, 0, 0, 0) + end
        chunk = bytes((6, wire.PARAMS_ANSWER)) + b"\1\0\0\0\xf0"
        last = bytes((6, wire.PARAMS_ANSWER)) + b"\1\0\0\1\x10"
        info = bytes((89, wire.INFO_ANSWER, wire.INFO_VERSION)) + bytes(81) + b"\5plain"
        return [
            *(
                b"\0" + batches,
                b"\0" + short,
                b"\0" + cell(40, 65535, 0, 4) * 3,
                b"\0" + end,
                b"\1" + info,
                b"\2" + chunk + last,
            ),
            *(b"\3\1\x86", b"\4\2\x87\1" * 3, b"\5\4\x83\0\0\0\1", b"\6\3\x82\1\2", b"\7\1\x80", b"\x08" + bytes(81)),
            *(bytes((n, 6, 255, code, 0, 0, 0, 9)) for n in (0, 1, 5) for code in (1, 6, 8, 99)),
        ]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        which = intake.number(1) % 9
        with mock.patch.object(relay_connection, "BUSY_ATTEMPTS", 1):
            allowed(TesseraError, lambda: self._loop.run_until_complete(self._talk(which, intake)))

    async def _talk(self, which: int, intake: Intake) -> None:
        reader = asyncio.StreamReader()
        connection = relay_connection.RelayConnection(reader, Sink(), 5)
        if which == 8:
            reader.feed_data(intake.rest())
            reader.feed_eof()
            await connection._shake_hands(
                lambda nonce: relay_connection.channel.Initiator(nonce, KEY, b"a" * 32, bytes(31) + b"\5")
            )
            raise Violation("a relay without the key was believed")
        connection._channel = OpenChannel()
        frame_bytes = wire.CELL_FRAME_BYTES if which == 0 else wire.CLIENT_FRAME_BYTES
        frames = []
        while intake:
            frames.append(intake.bytes(intake.number(1)).ljust(frame_bytes, b"\0")[:frame_bytes])
            reader.feed_data(frames[-1])
        reader.feed_eof()
        await self._request(which, connection, frames)

    async def _request(self, which: int, connection: Any, frames: list[bytes]) -> None:
        if which == 0:
            self._judge(await connection.fetch(1, self._START, self._START + 4, bytes(32)), frames)
        elif which == 1:
            must((await connection.info()).tier.isascii(), "a tier that is no ASCII was believed")
        elif which == 2:
            must(len(await connection.params()) <= 1 << 16, "parameters longer than any set")
        elif which == 3:
            must(len(await connection.checkpoint(1)) == 250, "a checkpoint of another length")
        elif which == 4:
            await connection.push(bytes(700))
        elif which == 5:
            must(0 <= await connection.post(1, bytes(240)) < 1 << 32, "a round that no relay has")
        elif which == 6:
            secret, left = await connection.auth(1, bytes(32), bytes(64), bytes(64))
            must(len(secret) == 32 and 0 <= left < 1 << 16, "a session secret of another length")
        else:
            await connection.void()

    def _judge(self, batches: list[Any], frames: list[bytes]) -> None:
        counts = [struct.unpack(">IH", frame[1:7]) for frame in frames if frame[0] == wire.CELL]
        must(
            [batch.round for batch in batches] == [*range(self._START, self._START + len(batches))],
            "batches out of order",
        )
        must(len(batches) <= 4, "more rounds than were asked for")
        for batch in batches:
            complete = (batch.round, len(batch.records)) in counts
            must(complete, "a batch was taken that lacks records")
            must(
                batch.records == sorted(batch.records) and all(len(record) == 240 for record in batch.records),
                "a batch out of order",
            )


KEY = curve.public(bytes(31) + b"\x21")


@dataclass
class _Meeting:
    """Genuine cards of each kind, what the one who takes it knows, and who signs it."""

    federation: FakeFederation
    texts: dict[str, str] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    ann: Identity = None  # type: ignore[assignment]
    bob: Identity = None  # type: ignore[assignment]


def _invited(invitation: Invitation) -> MemoryRows:
    """The issuer's keystore with this invitation in it, open."""
    entry = {"name": invitation.name, "home": invitation.home, "made": 0, "until": invitation.until, "key": None}
    made = MemoryRows()
    Invitations(made.table, bytes(16))  # its tables are there
    made.table("invitations").put(invitation.id, entry | {"id": invitation.id, "secret": invitation.secret})
    return made


def _meet() -> _Meeting:
    """Ann invites Bob, they meet; Ann fetches tokens."""
    with repeatable(b"cards"):
        made = _Meeting(FakeFederation(relays=2, tokens_per_epoch=1, ahead=1))
        made.ann, made.bob = identity("Ann", 1001), identity("Bob", 1002)
        federation = made.federation.known()
        made.texts["federation"], made.states["federation"] = made.federation.card(), {}
        message = hashes.tagged("member", federation.id + made.ann.key + b"Ann")
        made.texts["member"] = cards.encode(
            "member", {"name": "Ann", "key": made.ann.key, "sig": made.ann.sign(message)}
        )
        made.states["member"] = {}
        invitation = Invitation(
            **{"name": "Ann", "office": "Example", "federation": federation.id, "home": "relay-0", "until": NOW},
            **{"root": federation.newest.root_key, "access": federation.newest.access_key, "secret": bytes(16)},
            service=IssuerService("issuer.example", 8101, federation.home.key),
            federation_card=made.federation.card(),
        )
        made.texts["invitation"], made.states["invitation"] = invitation.card(), {}
        made.texts["join"], made.states["join"] = invitation.join_card(made.ann), _invited(invitation)
        made.texts["reading"] = sealed_reading_key.card([made.federation.reading_key], federation.id, made.ann.key)
        before = made.federation.make_set(0).copy_for(1)
        made.texts["sets"] = SetsBeside(federation.digest, EPOCH, [SetBeside(0, before)]).card()
        made.states["reading"], made.states["sets"] = {}, {}
        _meet_contacts(made, federation)
        _fetch_tokens(made, federation)
    assert made.texts.keys() == made.states.keys() == cards.FIELDS.keys()
    return made


def _meet_contacts(made: _Meeting, federation: Federation) -> None:
    of_ann, of_bob = Contacts(), Contacts()
    inviter, answerer = ContactBook(of_ann, made.ann, federation), ContactBook(of_bob, made.bob, federation)
    made.texts["invite"], made.states["invite"] = inviter.invite("Bob", EPOCH), copy.deepcopy(of_bob)
    made.texts["answer"] = answerer.answer(made.texts["invite"], "Ann", EPOCH, 20)[1]
    made.states["answer"], made.states["confirm"] = copy.deepcopy(of_ann), copy.deepcopy(of_bob)
    made.texts["confirm"] = inviter.confirm(made.texts["answer"])[1]


def _fetch_tokens(made: _Meeting, federation: Federation) -> None:
    of_ann = Tokens()
    of_issuer = MemoryRows({"lost": 0})
    wallet = Wallet(of_ann, made.ann, federation)
    issuance = _issuance(made, of_issuer)
    made.states["tokens-request"] = copy.deepcopy(of_issuer)
    made.texts["tokens-request"] = wallet.request(1, EPOCH, NOW)
    request = cards.decode(made.texts["tokens-request"])
    made.states["tokens-offer"] = copy.deepcopy(of_ann)
    made.texts["tokens-offer"] = issuance.offer(request, lambda key: True, NOW)
    made.states["tokens-challenge"] = copy.deepcopy(of_issuer)
    challenge = wallet.challenge(made.texts["tokens-offer"])
    assert challenge is not None
    made.texts["tokens-challenge"] = challenge
    made.states["tokens-answer"] = copy.deepcopy(of_ann)
    decoded = cards.decode(challenge)
    made.texts["tokens-answer"] = issuance.answer(decoded, lambda key: True, _epoch_secret(made), NOW)


def _issuance(made: _Meeting, state: MemoryRows) -> Issuance:
    newest = made.federation.parameters
    return Issuance(state, [Terms(newest, range(newest.first_epoch, newest.end_epoch))])


def _epoch_secret(made: _Meeting) -> EpochSecret:
    issuer = made.federation
    return lambda *which: blind.epoch_secret(issuer.master, issuer.id, *which)


def _stays_in_its_folder(name: str) -> bool:
    """Whether a file of this name is a visible one of the folder that it is put into, on every system."""
    paths: list[PurePath] = [PurePosixPath(name), PureWindowsPath(name)]
    return all(path.name == name for path in paths) and name == name.lstrip(".")


class Cards(Target):
    """Cards of every kind: text, payloads with a good checksum, and cards whose maker signed any fields.

    A card is taken or refused with a line for people. What is read has one encoding; what is refused changed nothing
    for the one who was handed it. The first byte is the mode, the second the kind.
    """

    name = "cards"
    runs = 1500
    multiple = 2
    longest = 2048
    TEXT, PAYLOAD, FIELDS = 0, 1, 2
    KINDS = tuple(cards.FIELDS)

    def __init__(self) -> None:
        self._meeting = _meet()
        self._federation = Federation(read_card(self._meeting.texts["federation"]))
        self._genuine = {kind: cards.decode(text) for kind, text in self._meeting.texts.items()}

    def seeds(self) -> list[bytes]:
        texts = [b"\0\0" + text.encode() for text in self._meeting.texts.values()]
        payloads = [bytes((1, number)) + self._genuine[kind].payload for number, kind in enumerate(self.KINDS)]
        fields = [bytes((2, number)) for number in range(len(self.KINDS))]
        one = [bytes((2, number, at)) + b"\x1b" + b"\xff" * 8 for number in range(len(self.KINDS)) for at in range(4)]
        strange = [
            cbor2.dumps({"v": 1.0, "name": "Ann", "key": bytes(32), "sig": bytes(64)}, canonical=True),
            b"\xa1av\xd8\x23\x63(a+", b"\xa1av\xc2\x41\x01", b"\xa1av\xd8\x1c\x81\xd8\x1d\x00", b"\x9f" * 40,
        ]  # fmt: skip
        member = self.KINDS.index("member")
        other_order = cbor2.dumps(dict(reversed(self._genuine["member"].fields.items())))
        strange.append(other_order)
        forged = [
            bytes((1, number)) + cards.canonical(fields | {name: bytes(len(fields[name]))})
            for number, fields in enumerate(self._genuine[kind].fields for kind in self.KINDS)
            for name in ("sig", "proof")
            if name in fields
        ]
        named = {**self._genuine["member"].fields, "name": "../.config/autostart/Bob"}
        strange.append(cbor2.dumps(named, canonical=True))
        unread = [*(bytes((1, member)) + payload for payload in strange), b"\0\0tessera:invite:"]
        return [*texts, *payloads, *fields, *one, *forged, *unread]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 3
        kind = self.KINDS[intake.number(1) % len(self.KINDS)]
        if mode == self.TEXT:
            text = intake.rest().decode(errors="replace")
        elif mode == self.PAYLOAD:
            text = self._text(kind, intake.rest())
        else:
            text = self._text(kind, self._signed(kind, self._changed(kind, intake)))
        card = allowed(InvalidInput, lambda: cards.decode(text))
        if isinstance(card, cards.Card):
            must(type(card.fields["v"]) is int, "a version that is no number was taken")
            must(
                cards.decode(cards.encode(card.kind, card.fields)) == card, "a card was taken that is encoded otherwise"
            )
            for name in ("name", "office", "home"):
                must(_stays_in_its_folder(card.fields.get(name, "x")), f"a {name} was taken that leads elsewhere")
            self._hand_over(card.kind, text)

    def _text(self, kind: str, payload: bytes) -> str:
        checksum = hashes.tagged("card", kind.encode() + payload)[:4]
        return f"tessera:{kind}:" + base64.urlsafe_b64encode(payload + checksum).decode().rstrip("=")

    def _changed(self, kind: str, intake: Intake) -> dict[str, Any]:
        """The genuine card's fields, some of them replaced: u8 which, then CBOR, or bytes if it is none."""
        fields = copy.deepcopy(self._genuine[kind].fields)
        while intake:
            name = sorted(fields)[intake.number(1) % len(fields)]
            piece = intake.bytes(min(70, 1 + intake.number(1) % 70)) if len(fields) > 9 else intake.rest()
            try:
                fields[name] = cbor2.loads(piece, max_depth=4)
            except Exception:
                value = fields[name]
                fields[name] = piece[: len(value)].ljust(len(value), b"\0") if isinstance(value, bytes) else piece
        return fields

    def _signed(self, kind: str, fields: dict[str, Any]) -> bytes:
        """The payload as the one who made the genuine card would have signed it."""
        if fields.get("sig") == self._genuine[kind].fields.get("sig"):
            self._sign(kind, fields)
        try:
            return cards.canonical(fields)
        except Exception:
            return b""

    def _sign(self, kind: str, fields: dict[str, Any]) -> None:
        invite, answer = self._genuine["invite"].payload, self._genuine["answer"].fields
        try:
            if kind == "answer":
                fields["sig"] = self._meeting.bob.sign(contacts.first_transcript(invite, fields))
            elif kind == "confirm":
                first = contacts.first_transcript(invite, answer)
                second = contacts.second_transcript(first, answer, fields["x"], fields["nonce"])
                fields["sig"] = self._meeting.ann.sign(second)
            elif kind in ("tokens-request", "tokens-challenge"):
                fields["sig"] = self._meeting.ann.sign(hashes.tagged(kind, cards.without_signature(fields)))
        except Exception:
            return  # fields that cannot be hashed are refused before a signature is looked at

    def _hand_over(self, kind: str, text: str) -> None:
        state = copy.deepcopy(self._meeting.states[kind])
        before = copy.deepcopy(state)
        with repeatable(b"taking"):
            taken = allowed(TesseraError, lambda: self._take(kind, text, state))
        if isinstance(taken, TesseraError):
            must(state == before, "a refused card changed something")
        else:
            must(self._is_by_its_maker(kind, cards.decode(text).fields), "a card was taken that its maker did not sign")

    def _is_by_its_maker(self, kind: str, fields: dict[str, Any]) -> bool:
        """Whether the only one who could make this card of the meeting did."""
        ann, invite = self._meeting.ann.key, self._genuine["invite"].payload
        if kind in ("tokens-request", "tokens-challenge"):
            message = hashes.tagged(kind, cards.without_signature(fields))
            return bool(fields["member"] == ann and curve.verify(fields["sig"], message, ann))
        if kind == "answer":
            return bool(curve.verify(fields["sig"], contacts.first_transcript(invite, fields), fields["key"]))
        if kind == "confirm":
            answer = self._genuine["answer"].fields
            first = contacts.first_transcript(invite, answer)
            message = contacts.second_transcript(first, answer, fields["x"], fields["nonce"])
            return bool(curve.verify(fields["sig"], message, ann))
        if kind == "join":
            (entry,) = self._meeting.states["join"].table("invitations").values()
            secret, federation = entry["secret"], self._federation.id
            proof = hashes.hmac_sha256(secret, b"join", federation, fields["key"], fields["name"].encode())
            return bool(fields["proof"] == proof)
        if kind == "federation":
            return self._is_signed_by_its_root(fields["params"])
        return True  # what a card of this kind says is checked elsewhere, or its secrets prove it

    def _is_signed_by_its_root(self, blob: bytes) -> bool:
        return bool(curve.verify(blob[176:240], params.digest(blob[:176]), Parameters(blob).root_key))

    def _take(self, kind: str, text: str, state: Any) -> object:
        meeting, federation = self._meeting, self._federation
        if kind == "federation":
            return Federation(read_card(text))
        if kind == "member":
            return None
        if kind == "reading":
            found = sealed_reading_key.opened(text, meeting.ann, federation.id, [federation.newest.reading_hash])
            must(set(found) <= {meeting.federation.reading_key}, "a reading key that no set names was believed")
            return found
        if kind == "invitation":
            return Invitation.read(text)
        if kind == "sets":
            return SetsBeside.read(text)
        if kind == "join":
            fields = cards.decode(text, "join").fields
            return Invitations(state.table, federation.id).take(fields, lambda key: False, lambda _, key: None, NOW)
        if kind == "invite":
            return ContactBook(state, meeting.bob, federation).answer(text, None, EPOCH, 20)
        if kind == "answer":
            return ContactBook(state, meeting.ann, federation).confirm(text)
        if kind == "confirm":
            return ContactBook(state, meeting.bob, federation).accept(text)
        if kind in ("tokens-request", "tokens-challenge"):
            return self._issue(kind, cards.decode(text), state)
        wallet = Wallet(state, meeting.ann, federation)
        return wallet.challenge(text) if kind == "tokens-offer" else wallet.finish(text, EPOCH)

    def _issue(self, kind: str, card: cards.Card, state: MemoryRows) -> object:
        issuance = _issuance(self._meeting, state)
        if kind == "tokens-request":
            return issuance.offer(card, lambda key: key == self._meeting.ann.key, NOW)
        return issuance.answer(card, lambda key: key == self._meeting.ann.key, _epoch_secret(self._meeting), NOW)


def _every(text: str, letters: int, what: str) -> str:
    """The text with `what` after each so many letters."""
    return what.join(text[at : at + letters] for at in range(0, len(text), letters))


def _wrapped(text: str, start: str = "", end: str = "\n") -> str:
    return end.join(start + line for line in textwrap.wrap(text, 72, break_on_hyphens=False))


class CardsInMail(Target):
    """A genuine card as mail programs, phones and editors hand it on, with anything around it.

    The card is found as it was written and nothing else is, or the refusal shows no part of it. An input is u8 kind +
    11 · form, then places: u16 at, u8 what: below 32 something harmless of that number, else u8 length and bytes of a
    text. In a card of another form than the first all of it stands behind the card.
    """

    name = "cards-in-mail"
    runs = 1000
    longest = 512
    HARMLESS = (
        *(" ", "\n", "\r\n", "\n> ", "\n>> > ", "\n| ", "=\n", "= \r\n"),
        *("\u00ad", "\u200b", "\ufeff", "\u00a0", "&shy;", "<br>", "<wbr/>", "=C2=AD"),
        *("\t", " \n", "\n    ", "\u2028", "\u2060", "\u200d", "\u202a", "\u202c", "\u200e", "\u3000", "\u202f"),
        *("&nbsp;", "&#8203;", "<wbr>", "<span class=x>", "=E2=80=8B"),
    )
    FORMS: tuple[Callable[[str], str], ...] = (
        lambda card: card,
        _wrapped,
        lambda card: _wrapped(card, end="\r\n"),
        lambda card: _wrapped(card, end=" \n"),
        lambda card: _wrapped(card, start="    "),
        lambda card: "On Monday Ann wrote:\n" + _wrapped(card, start="> > "),
        lambda card: _wrapped(card, start="| "),
        lambda card: quopri.encodestring(card.encode()).decode(),
        lambda card: quopri.encodestring(card.encode()).decode().replace("\n", "\r\n"),
        lambda card: f'<p><a href="{card}">{card}</a></p>',
        lambda card: _every(card, 40, "&shy;"),
        lambda card: "\u202a" + _every(card, 50, "\u2060") + "\u202c",
        lambda card: "T" + card[1:],
        lambda card: card.replace(":", ": "),
        lambda card: card.replace("-", "\u2011"),
        lambda card: card.replace(":", "%3A"),
        lambda card: f"\u201c{card}\u201d,",
        lambda card: f"```\n{card}\n```\n-- \nAnn",
        lambda card: f"{card}\n\n> {card[:60]}\n> [...]\n",
    )
    _ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")

    def __init__(self) -> None:
        self._texts = list(_meet().texts.values())

    def seeds(self) -> list[bytes]:
        numbers = range(len(self._texts))
        harmless = [
            bytes((number, 0, 20, what, 0, 60, what)) for number in numbers for what in range(len(self.HARMLESS))
        ]
        forms = [bytes((number + len(self._texts) * form,)) for number in numbers for form in range(len(self.FORMS))]
        around = [
            b"\0\0" * 2 + b"\x20" + bytes((len(text),)) + text for text in (b"Dear Ben,\n", b"tessera:", b"<", b"&")
        ]
        after = [bytes((number, 255, 255, 32, 5)) + b"A9_-z" for number in numbers]
        return [*harmless, *forms, *around, *after, bytes((2, 0, 40, 32, 1)) + b"!"]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        choice = intake.number(1)
        genuine = self._texts[choice % len(self._texts)]
        form = self.FORMS[choice // len(self._texts) % len(self.FORMS)]
        text, harmless = self._in_mail(genuine, form, intake)
        encoding = self._ENCODINGS[len(data) % len(self._ENCODINGS)]
        unmarked = text.removeprefix("\ufeff") if self._ENCODINGS[0] == encoding else text
        must(files.decoded(text.encode(encoding)) == unmarked, "a file is read as another text than it has")
        found = allowed(InvalidInput, lambda: card_finding.find(text))
        whole = [card for card in found if self._is_sound(card)] if isinstance(found, list) else []
        must(all(card == genuine for card in whole), "a card was found that nobody wrote")
        must(whole or not harmless, "a card was not found")
        must(card_finding.is_whole(text) == bool(whole), "a card is whole and is not found")
        must(genuine.split(":")[2][60:90] not in card_finding.without_pieces(text), "an error shows a card")
        if not whole:
            said = str(allowed(InvalidInput, lambda: cards.decode(card_finding.one(text))))
            must(genuine.split(":")[2][60:90] not in said, "an error shows a card")

    def _in_mail(self, genuine: str, form: Callable[[str], str], intake: Intake) -> tuple[str, bool]:
        """The text, and whether all that is in it may stand there."""
        strays: dict[int, str] = {}
        harmless, plain, end = True, form is self.FORMS[0], len(genuine)
        while intake:
            at, what = min(intake.number(2), end), intake.number(1)
            at = at if plain else end
            if what < len(self.HARMLESS):
                stray = self.HARMLESS[what]
            else:
                stray = intake.bytes(intake.number(1)).decode(errors="replace")
                harmless &= at == end
            strays[at] = strays.get(at, "") + stray
        if not plain:
            return form(genuine) + strays.get(end, ""), harmless
        pieces = [strays.get(at, "") + letter for at, letter in enumerate(genuine)]
        return "".join(pieces) + strays.get(end, ""), harmless

    def _is_sound(self, card: str) -> bool:
        return isinstance(allowed(InvalidInput, lambda: cards.decode(card)), cards.Card)


class ParameterSets(Target):
    """Parameter sets that a relay hands to a member, signed by the root key with any fields: believed or refused.

    The first byte: 0 one of any fields (which u8, then its value, again and again), 1 one of any bytes (where u16, then
    one), 2 a relay's copy of any fields.
    """

    name = "parameter-sets"
    runs = 400
    longest = 64
    SIGNED, BYTES, COPY = range(3)
    _FIELDS = (
        *(("serial", 4), ("previous", 0), ("federation_id", 0), ("genesis", 8), ("round_seconds", 2)),
        *(("epoch_rounds", 2), ("retention_epochs", 1), ("log2_buckets", 1), ("members", 4), ("tokens_per_epoch", 1)),
        *(("posts_per_token", 2), ("ahead", 1), ("cover", 1), ("constant", 4), ("epsilon", 4), ("delta", 8)),
        *(("deliveries", 2), ("generation", 4), ("first_epoch", 4), ("epochs", 2), ("thresholds", 0)),
        *(("access_key", 0), ("reading_key", 0), ("day_epsilon", 4)),
    )

    def __init__(self) -> None:
        with repeatable(b"sets"):
            self._made = FakeFederation(relays=2, epochs=3)
            self._newest = self._made.make_set(2, epochs=3)
            self._card = self._made.card(self._newest)
            self._next = self._made.make_set(3, epochs=3).blob

    def seeds(self) -> list[bytes]:
        fields = [bytes((mode, at)) + b"\0\0\0\4" for mode in (0, 2) for at in range(len(self._FIELDS))]
        places = [b"\1" + at.to_bytes(2, "big") + b"\1" for at in (0, 4, 60, 175, 176, 239, 240, 272, 400, 900)]
        return [b"\0", b"\1", b"\2", *fields, *places]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 3
        blob = self._any_bytes(intake) if mode == self.BYTES else self._signed(intake, mode)
        if blob is None:
            return
        known = read_card(self._card)
        federation, before = Federation(known), copy.deepcopy(known)
        refused = allowed(IntegrityError, lambda: federation.adopt(blob, EPOCH))
        must(federation.newest.digest == self._newest.digest, "a set without its card became the newest")
        if isinstance(refused, IntegrityError):
            must(known == before, "a refused set changed what is believed")
            return
        new = Parameters(blob)
        must(federation.with_digest(new.digest) is not None, "a set was adopted and not kept")
        must(self._follows(new), "another federation's set was adopted, or one beside the chain")
        for epoch in range(2 + 60):
            must(federation.governing(epoch) is not None, "an epoch without a set")
        federation.forget_before(EPOCH)
        must(Federation(known).newest.digest == self._newest.digest, "what is kept does not fit together")

    def _signed(self, intake: Intake, mode: int) -> bytes | None:
        """None for what no issuer's program can write."""
        changes: dict[str, Any] = {}
        while intake:
            name, width = self._FIELDS[intake.number(1) % len(self._FIELDS)]
            value = intake.bytes(width or 1)
            changes[name] = int.from_bytes(value, "big") if width else value * (16 if name == "federation_id" else 32)
        changes["epochs"] = min(changes.get("epochs", 3), 8)
        try:
            made = self._made.make_set(changes.pop("serial", 3), **changes)
        except (InvalidObject, struct.error, OverflowError):
            return None
        return made.copy_for(1) if mode == self.COPY else made.blob

    def _any_bytes(self, intake: Intake) -> bytes:
        blob = bytearray(self._next)
        while intake:
            at = intake.number(2) % len(blob)
            blob[at] = intake.number(1)
        return bytes(blob)

    def _follows(self, new: Parameters) -> bool:
        """Whether a set may be known beside the newest: of the same federation and rounds, and of one chain."""
        known = self._newest
        fixed = ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs")
        if any(getattr(new, name) != getattr(known, name) for name in fixed):
            return False
        if new.digest == known.digest:
            return True
        is_after, names_known = new.serial == known.serial + 1, new.previous == known.digest
        is_before, is_named = new.serial == known.serial - 1, new.digest == known.previous
        return new.serial != known.serial and is_after == names_known and is_before == is_named


@dataclass
class _Reader:
    """The part of a keystore that reading is about."""

    inbox: InboxState
    contacts: Contacts


class ContactRecords(Target):
    """Records that a contact sealed with anything in them, signed as it should be or not: read or passed over, never
    more than that, and nothing is read or given up that was not signed.

    An input is records: u8 index, u8 what to do after it (bit 0: end the round; bit 1: the signature is of other
    contents), the 8 bytes of the head, u8 of what the payload is filled with.
    """

    name = "contact-records"
    runs = 200
    longest = 220  # twenty records: more than the parts of a message
    _HEAD = 8

    def __init__(self) -> None:
        made = _meet()
        self._federation = Federation(read_card(made.texts["federation"]))
        self._sender = made.ann
        state = copy.deepcopy(made.states["confirm"])
        ContactBook(state, made.bob, self._federation).accept(made.texts["confirm"])
        inbox = InboxState(6 * EPOCH)
        self._inbox(_Reader(inbox, state)).expect(6 * EPOCH + 3, 6 * EPOCH + 3)
        self._state = _Reader(inbox, state)
        self._steps = {index: step for _, index, step in state.book["Ann"].receive.unused()}

    def _inbox(self, state: _Reader) -> Inbox:
        book = state.contacts.book
        return Inbox(state.inbox, book, self._federation, Views([], book, self._federation), bytes(16))

    def seeds(self) -> list[bytes]:
        def record(index: int, message: int, part: int, parts: int, kind: int = 1, length: int = 3) -> bytes:
            return bytes((index, index & 1)) + message.to_bytes(4, "big") + bytes((part, parts, kind, length, 97))

        order = [record(n, n, 0, 1) for n in range(4)]
        parts = [record(n, 0, n, 3) for n in range(3)]
        strange = [record(0, 0xFFFFFFFF, 0, 1), record(1, 3, 15, 16, 2, 208), record(2, 3, 16, 16), record(3, 0, 0, 0)]
        newer = [
            record(4, 0, 0, 1, 128 | 1),
            record(5, 1, 0, 2, 64 | 1),
            record(6, 2, 0, 1, 9),
            record(7, 3, 0, 1, 255),
        ]
        begun = [record(n, n, 0, 2, 1, 208) for n in range(8)]
        return [b"".join(each) for each in (order, parts, reversed(parts), strange, newer, begun)] + strange

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        state = copy.deepcopy(self._state)
        inbox = self._inbox(state)
        round_, batch, used, read = 6 * EPOCH, [], set(), 0
        signed: dict[int, dict[int, bytes]] = {}
        inbox.expect(round_ + 1, round_ + 1)
        while intake and len(used) < 30:
            index, then = intake.number(1) % len(self._steps), intake.number(1)
            head = intake.bytes(self._HEAD).ljust(self._HEAD, b"\0")
            payload = bytes((intake.number(1),)) * min(head[7], 208)
            message, part, parts = int.from_bytes(head[:4], "big"), head[4], head[5]
            of_it = {} if parts == 1 else signed.get(message, {})
            of_it = of_it | {part: payload}
            contents = bytes(32) if then & 2 else records.contents(of_it[each] for each in sorted(of_it))
            batch.append(self._sealed(index, head, payload, contents))
            if self._good(head, payload):
                if parts > 1 or head[6] & 64 or not then & 2:
                    used.add(index)
                signed[message] = of_it
            if then & 1:
                read += inbox.read(round_, batch, self._federation.home.id)
                round_, batch = round_ + 1, []
        read += inbox.read(round_, batch, self._federation.home.id)
        must(read == len(used), "records were passed over that the contact made, or read that nobody made")
        must(sum(len(message.text) for message in inbox.messages()) <= 208 * len(used), "more text than was sent")
        must(len(state.contacts.book["Ann"].received.parts) <= BEGUN_MESSAGES, "begun messages pile up")
        must(typed.load(_Reader, cbor2.loads(cbor2.dumps(typed.dump(state)))) == state, "the state cannot be stored")

    def _sealed(self, index: int, head: bytes, payload: bytes, contents: bytes) -> bytes:
        """A record of this head, whatever it says."""
        part = records.Part(int.from_bytes(head[:4], "big"), head[4], head[5], head[6], payload)
        step = self._steps[index]
        if part.part >= part.parts or not len(payload) == head[7] <= part.room:
            plaintext = (head + payload).ljust(216, b"\0")
            return step.tag + AESGCMSIV(step.key).encrypt(bytes(12), plaintext, step.tag)
        return records.seal(step, EPOCH, index, self._sender.secret, part, contents, self._federation.digest, bytes(32))

    def _good(self, head: bytes, payload: bytes) -> bool:
        """Whether a sender makes such a plaintext (PROTOCOL §7)."""
        part, parts, kind, length = head[4:8]
        room = 136 if part + 1 == parts else 208
        return part < parts <= 16 and bool(kind & 64 or length == len(payload) <= room)


class KeystoreFile(Target):
    """A keystore file with anything in it, and its digest right or not: it opens as it was, or the error says what.

    The first byte: 0 as it is, 1 with a right digest, 2 a header of the input before the genuine ciphertext.
    """

    name = "keystore"
    runs = 400

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, "x.keystore")
        self._data = {"a": [1, b"two"], "b": {"c": "d"}}
        # Deriving a key of this strength 100 times a second is what scrypt is there to prevent.
        self._weak = mock.patch.dict(keystore.SCRYPT, n=2, r=1)
        with self._weak, repeatable(b"keystore"):
            Keystore.create(self._path, PASSPHRASE, "test", self._data).close()
        self._genuine = self._path.read_bytes()

    def seeds(self) -> list[bytes]:
        content = self._genuine[:-32]
        line = content.partition(b"\n")[0]
        start = b'{"format": "tessera-keystore"'
        headers = [start, start + b"}", start + b', "version": 1}', start + b"[" * 2000, line[:-1] + b', "x": 1e999}']
        headers += [line.replace(b'"salt": "', b'"salt": "xy'), line.replace(b'"nonce": "', b'"nonce": "aa", "n2": "')]
        headers += [line.replace(b'"kind": "test"', b'"kind": 7'), line[: line.index(b'"salt"')].rstrip(b", ") + b"}"]
        headers += [
            line[: line.index(b'"cipher"')].rstrip(b", ") + b"}",
            line.replace(b'"nonce": "', b'"nonce": null, "m": "'),
        ]
        wholes = [bytes((mode,)) + content for mode in (0, 1)]
        return [b"\0" + self._genuine, *wholes, b"\1" + line, *(b"\2" + header for header in [line, *headers]), b"\0"]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        mode = intake.number(1) % 3
        content = intake.rest()
        if mode == 2:
            content = content.replace(b"\n", b" ") + b"\n" + self._genuine[:-32].partition(b"\n")[2]
        if mode:
            content += hashlib.sha256(content).digest()
        self._path.write_bytes(content)
        with self._weak:
            store = allowed(KeystoreError, lambda: Keystore.open(self._path, PASSPHRASE, "test"))
        must(self._path.read_bytes() == content, "opening a keystore changed it")
        if isinstance(store, Keystore):
            must(store.data == self._data and content == self._genuine, "a keystore that was changed opened")
            store.close()
        elif mode == 0 and not isinstance(store, WrongPassphrase):
            must(content != self._genuine, "the keystore did not open")


class JsonFiles(Target):
    """relay.json and plan files with anything in them. The first byte says which."""

    name = "json-files"
    runs = 600
    multiple = 2
    longest = 6000

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name, server_relay.CONFIGURATION)
        relay = {"version": 1, "name": "x", "static_secret": "07" * 32, "ledger_secret": "08" * 32}
        self._relay = relay | {"ring_sectors": 16, "keyring_sectors": 4, "host": "127.0.0.1", "port": 8100}
        numbers = {name: plan.decimal_option(name, text) for name, text in (("epsilon", "2"), ("delta", "1e-3"))}
        choice = plan.Choice(cover=plan.DELIVERY, members=24, round_seconds=300, epoch_rounds=288, **numbers)
        self._plan = json.loads(json.dumps(plan.make(choice).as_json()))

    def seeds(self) -> list[bytes]:
        wrong = (None, 0, -1, 1.5, True, "", "x", "0" * 64, "zz", [], {}, 10**30, "1e999999999")
        relay = [self._relay | {name: value} for name in self._relay for value in wrong]
        chosen = [
            self._plan | {"choice": self._plan["choice"] | {name: value}}
            for name in self._plan["choice"]
            for value in wrong
        ]
        short = [{"version": 1, "choice": self._plan["choice"], "thresholds": []}, {}, [], 1, None]
        files = [(0, self._relay), *((0, value) for value in [*relay, *short]), (1, self._plan)]
        files += [(1, {**value, "thresholds": []}) for value in chosen]
        files += [(1, value) for value in short]
        deep = [b"\0" + b"[" * 5000, b"\1" + b'{"a":' * 5000, b"\0\xff", b'\0{"version": 1e999}', b"\0" + b"9" * 5000]
        return [bytes((which,)) + json.dumps(value).encode() for which, value in files] + deep

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        which = intake.number(1) % 2
        self._path.write_bytes(intake.rest())
        if which:
            loaded = allowed(InvalidInput, lambda: plan.load(self._path))
            must(isinstance(loaded, (plan.Plan, InvalidInput)), "a plan of another kind")
            return
        found = allowed(InvalidInput, lambda: server_relay.read_configuration(self._path.parent))
        if isinstance(found, dict):
            must(
                all(type(found[name]) is int and found[name] > 0 for name in ("ring_sectors", "keyring_sectors")),
                "sectors that are no positive number were taken",
            )
            server_relay.identity(found)


class IssuerFrames(Target):
    """Frames of the issuer's service, both directions, and its refusals: put together as they were cut, or refused.

    The first byte: 0 what a member may send, 1 what a service may send.
    """

    name = "issuer-frames"
    runs = 1500
    multiple = 8
    longest = 1 + 4 * issuer_frames.FRAME_BYTES

    def seeds(self) -> list[bytes]:
        refusal = issuer_frames.pack_refusal(TryLater("others are fetching tokens", "try again", 60))
        messages = [
            (issuer_frames.JOIN, bytes(700)),
            (issuer_frames.CARD, b"tessera:"),
            (issuer_frames.HELLO, bytes(96)),
            (
                issuer_frames.HELLO + issuer_frames.ANSWER,
                Welcome("tessera:", SetsBeside(bytes(32), 0, []), [bytes(32)], bytes(92)).pack()[:700],
            ),
        ]
        messages.append((issuer_frames.JOIN, bytes(issuer_frames.REQUEST_BYTES + 1)))
        messages += [(issuer_frames.REFUSED, refusal), (issuer_frames.REFUSED, b"\6\0\0"), (0, b"\xff" * 240)]
        return [bytes((side,)) + b"".join(issuer_frames.pack(kind, body)) for side in (0, 1) for kind, body in messages]

    def run(self, data: bytes) -> None:
        intake = Intake(data)
        most = (issuer_frames.REQUEST_BYTES, issuer_frames.ANSWER_BYTES)[intake.number(1) % 2]
        assembler = issuer_frames.Assembler(most)
        taken: list[bytes] = []
        while intake:
            frame = intake.bytes(issuer_frames.FRAME_BYTES)
            message = allowed(ValueError, lambda: assembler.take(frame))  # noqa: B023
            taken.append(frame)
            if isinstance(message, ValueError):
                return
            if isinstance(message, tuple):
                kind, body = message
                self._check(kind, body, taken, most)
                taken = []

    def _check(self, kind: int, body: bytes, frames: list[bytes], most: int) -> None:
        must(len(body) <= most, "a message longer than the longest")
        packed = list(issuer_frames.pack(kind, body))
        length = 8 + (len(body) - 1) % issuer_frames.PIECE_BYTES + 1 if body else 8
        must(
            [frame[:248] for frame in packed[:-1]] == [frame[:248] for frame in frames[:-1]],
            "frames were put together otherwise than they were cut",
        )
        must(packed[-1][:length] == frames[-1][:length], "the last frame was put together otherwise than it was cut")
        if kind == issuer_frames.HELLO + issuer_frames.ANSWER:
            welcome = allowed((ValueError,), lambda: Welcome.read(body))
            if isinstance(welcome, Welcome):
                must(Welcome.read(welcome.pack()) == welcome, "a welcome was read that is said otherwise")
        if kind == issuer_frames.REFUSED:
            refusal = allowed((ValueError,), lambda: issuer_frames.read_refusal(body))
            if isinstance(refusal, TesseraError):
                must(str(refusal).isprintable(), "a refusal that cannot be printed")


TARGETS = (Answers, Client, IssuerFrames, Cards, CardsInMail, ParameterSets, ContactRecords, KeystoreFile, JsonFiles)
