"""Every format of PROTOCOL, there and back, for any fields: what is written is what is read."""

import secrets
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from office import RamDirectory
from ramdevice import RamDevice
from tessera import channel, curve, hashes, params, wire
from tessera.aead import TAG_BYTES, Aead
from tessera.errors import BadFrame, Busy, Fault, NotAdmitted, Refused, TooOld
from tessera.keyring import KeyRing
from tessera.ledger import Checkpoint, Ledger
from tessera.nor import PAGE_BYTES
from tessera.page import LAST_SEQ, PageBuffer, PageCipher
from tessera_host.keys import keystore
from tessera_host.keys.keystore import Keystore
from tessera_host.member.inbox import Inbox
from tessera_host.member.schema import Contact, InboxState, Received
from tessera_host.member.views import Views
from tessera_host.protocol import cards, records
from tessera_host.protocol.limits import MOST_SETS_BESIDE, name_fault
from tessera_host.protocol.records import ReceivingChain, SendingChain
from tests.support.fake_federation import FakeFederation

# The same examples in every run, as many as take a second or so a test.
repeatable = settings(
    derandomize=True, deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def octets(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
record = octets(wire.RECORD_BYTES)
secret = octets(32).filter(lambda data: 0 < int.from_bytes(data, "big") < 1 << 255)  # always below n


# -- frames


def read_back(frame: bytearray) -> tuple[Any, ...]:
    assert len(frame) == wire.SMALL_BYTES
    kind, fields = wire.read_request(frame)
    return (kind, *fields)


@repeatable
@given(u16, u32, octets(32), octets(64), octets(64), record)
def test_requests(bucket: int, number: int, key: bytes, signature: bytes, proof: bytes, posted: bytes) -> None:
    short = number % (1 << 16)
    assert read_back(wire.void()) == (wire.VOID,)
    assert read_back(wire.info()) == (wire.INFO,)
    assert read_back(wire.auth(number, key, signature, proof)) == (wire.AUTH, number, key, signature, proof)
    shown = proof[:16]
    assert read_back(wire.fetch(bucket, number, number ^ 5, shown)) == (wire.FETCH, bucket, number, number ^ 5, shown)
    assert read_back(wire.params(short)) == (wire.PARAMS, short)
    assert read_back(wire.checkpoint(number)) == (wire.CHECKPOINT, number)
    post = wire.post(bucket, posted)
    assert read_back(post) == (wire.POST, bucket)
    assert wire.posted_record(post) == posted


@repeatable
@given(u16, u16, st.binary(max_size=wire.CHUNK_BYTES))
def test_pushed_chunks(total: int, chunk: int, data: bytes) -> None:
    found = read_back(wire.push(total, chunk, data))
    assert found == (wire.PUSH, total, chunk, len(data), data.ljust(wire.CHUNK_BYTES, b"\0"))


def answered(fill: Any, *fields: Any) -> tuple[Any, ...]:
    """What a client reads of an answer that is written over an old one."""
    buffer = bytearray(b"\xaa" * wire.CLIENT_FRAME_BYTES)
    fill(buffer, *fields)
    answer: tuple[Any, ...] = wire.read_answer(bytes(buffer[: wire.SMALL_BYTES]))
    return answer


tiers = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@repeatable
@given(octets(32), octets(32), u32, u32, u32, tiers, st.binary(max_size=wire.CHUNK_BYTES), octets(250))
def test_answers(
    digest: bytes, other: bytes, a: int, b: int, c: int, tier: str, data: bytes, checkpoint: bytes
) -> None:
    short = a % (1 << 16)
    assert answered(wire.answer_void) == (wire.VOIDED,)
    newest, governing = (SimpleNamespace(serial=serial, digest=digest) for serial, digest in ((a, digest), (b, other)))
    sets = a, digest, b, other
    info = answered(wire.answer_info, short % 256, newest, governing, c, b, tier)
    assert info == (wire.INFO_ANSWER, 2, short % 256, *sets, c, b, tier)
    assert answered(wire.answer_auth, digest, short) == (wire.ADMITTED, digest, short)
    assert answered(wire.answer_post, a) == (wire.ACK, a)
    assert answered(wire.answer_params, short, b % 99, data) == (wire.PARAMS_ANSWER, short, b % 99, data)
    assert answered(wire.answer_checkpoint, checkpoint) == (wire.CHECKPOINT_ANSWER, checkpoint)
    assert answered(wire.answer_push, a % 2) == (wire.PUSHED, a % 2)
    assert answered(wire.answer_stage, a % 4, b, short) == (wire.STAGE_ANSWER, a % 4, b, short)


@repeatable
@given(st.sampled_from([BadFrame, NotAdmitted, Busy, TooOld, Fault]), u32)
def test_errors(kind: type[Exception], retry_after: int) -> None:
    for fill, read, length in (
        (wire.answer_error, wire.read_answer, wire.SMALL_BYTES),
        (wire.answer_fetch_error, wire.read_cell, wire.CELL_BYTES),
    ):
        buffer = bytearray(wire.CELL_FRAME_BYTES)
        fill(buffer, kind("x", retry_after))
        with pytest.raises(Refused) as caught:
            read(bytes(buffer[:length]))
        assert caught.value.retry_after == retry_after
        assert caught.value.name.replace("_", "").lower() == kind.__name__.lower()


@repeatable
@given(u32, u16, u16, st.lists(record, max_size=wire.RECORDS_PER_FRAME))
def test_cells(round_: int, count: int, offset: int, found: list[bytes]) -> None:
    buffer = bytearray(b"\xaa" * wire.CELL_FRAME_BYTES)
    buffer[wire.CELL_HEADER_BYTES : wire.CELL_HEADER_BYTES + 240 * len(found)] = b"".join(found)
    wire.pack_cell(buffer, round_, count, offset, len(found))
    plaintext = bytes(buffer[: wire.CELL_BYTES])
    assert wire.read_cell(plaintext) == (wire.CELL, round_, count, offset, found)
    assert not any(plaintext[10:63]) and not any(plaintext[63 + 240 * len(found) :])
    wire.pack_end(buffer, round_)
    assert wire.read_cell(bytes(buffer[: wire.CELL_BYTES])) == (wire.END, round_)


# -- channel


@repeatable
@given(octets(32), u64, st.binary(max_size=40), st.binary(max_size=300))
def test_sealed_bytes(key: bytes, counter: int, aad: bytes, plaintext: bytes) -> None:
    sealed = Aead(key).seal(counter, aad, plaintext)
    assert len(sealed) == len(plaintext) // 16 * 16 + 32
    assert Aead(key).open(counter, aad, sealed) == plaintext
    if len(plaintext) % 16 == 15:
        frame = bytearray(plaintext + bytes(1 + TAG_BYTES))
        Aead(key).seal_in_place(counter, aad, frame)
        assert frame == sealed


def converse(one: Any, other: Any, frames: list[bytes]) -> None:
    """Every frame arrives, whoever sends it."""
    for number, data in enumerate(frames):
        frame = data.ljust(wire.CELL_BYTES if number % 3 == 2 else wire.SMALL_BYTES, b"\0")
        sender, receiver = (one, other) if number % 2 else (other, one)
        assert receiver.open(sender.seal(frame)) == frame


def handshake(nonce: bytes, access_key: bytes, static: bytes, ephemeral: bytes, ours: bytes) -> tuple[Any, Any]:
    client = channel.Initiator(nonce, curve.public(static), access_key, ours)
    assert channel.hello_access_key(client.hello(), nonce, [bytes(32), access_key]) == access_key
    assert channel.resumption_id(client.hello()) is None
    keys = [(key, curve.public(key)) for key in (static, ephemeral)]
    relay, reply = channel.respond(client.hello(), nonce, access_key, *keys)
    assert (len(client.hello()), len(reply)) == (channel.HELLO_BYTES, channel.REPLY_BYTES)
    return client.finish(reply), relay


@repeatable
@given(octets(16), octets(32).filter(any), secret, secret, secret, st.lists(st.binary(max_size=255), max_size=6))
def test_full_handshakes(
    nonce: bytes, access_key: bytes, static: bytes, ephemeral: bytes, ours: bytes, frames: list[bytes]
) -> None:
    client, relay = handshake(nonce, access_key, static, ephemeral, ours)
    assert client.handshake_hash == relay.handshake_hash
    converse(client, relay, frames)


@repeatable
@given(octets(16), octets(32), octets(32), octets(16), octets(33), st.lists(st.binary(max_size=255), max_size=4))
def test_resumptions_one_after_the_other(
    nonce: bytes, access_key: bytes, first: bytes, client_random: bytes, relay_random: bytes, frames: list[bytes]
) -> None:
    clients = relays = first
    seen = set()
    for _ in range(4):
        client = channel.Resumption(nonce, access_key, clients, client_random)
        assert channel.hello_access_key(client.hello(), nonce, [access_key]) == access_key
        id_, key, relays = channel.resumption_step(relays)
        assert channel.resumption_id(client.hello()) == id_
        relay, reply = channel.resume(client.hello(), nonce, key, relay_random)
        assert (len(client.hello()), len(reply)) == (channel.HELLO_BYTES, channel.REPLY_BYTES)
        converse(client.finish(reply), relay, frames)
        clients = client.next_secret
        seen.add(id_)
    assert clients == relays and len(seen) == 4


# -- signed objects


def cover_fields(kind: int, members: int, tokens: int) -> st.SearchStrategy[dict[str, Any]]:
    """The fields that belong to a kind of cover."""
    none = {"constant": 0, "epsilon": 0, "delta": 0, "deliveries": 0, "day_epsilon": 0, "day_delta": 0}
    if kind == params.CONSTANT:
        return st.just({**none, "cover": kind, "constant": members * tokens, "thresholds": b""})
    sizes = st.integers(1, 12).map(lambda mu: 2 * mu) if kind == params.DELIVERY else st.integers(1, 25)
    positive = st.integers(1, (1 << 32) - 1)
    table = sizes.flatmap(lambda size: st.lists(u64, min_size=size, max_size=size)).map(
        lambda thresholds: b"".join(threshold.to_bytes(8, "big") for threshold in sorted(thresholds))
    )
    fields = {"epsilon": positive, "delta": u64, "thresholds": table}
    if kind == params.DAY:
        fields |= {"deliveries": st.integers(1, 65535), "day_epsilon": positive, "day_delta": u64}
    return st.fixed_dictionaries(fields).map(lambda drawn: {**none, "cover": kind, **drawn})


@st.composite
def parameter_fields(draw: Any) -> dict[str, Any]:
    epochs, members, tokens = draw(st.integers(1, 8)), draw(st.integers(1, 1 << 24)), draw(st.integers(1, 255))
    kind = draw(st.sampled_from([params.DELIVERY, params.DAY, params.CONSTANT]))
    if kind == params.CONSTANT:
        members %= ((1 << 32) - 1) // tokens  # C is a u32
        members += not members
    ids = draw(st.lists(u16, max_size=5, unique=True))
    keys = draw(st.lists(octets(33), min_size=len(ids), max_size=len(ids), unique=True))
    column = 32 * epochs << params.log2_cohorts(members)
    columns = draw(st.lists(octets(column), min_size=len(ids), max_size=len(ids), unique=True))
    return {
        "serial": draw(u32),
        "federation_id": draw(octets(16)),
        "previous": draw(octets(32)),
        "genesis": draw(u64),
        "round_seconds": draw(st.integers(1, 65535)),
        "epoch_rounds": draw(st.integers(2, 65535)),
        "retention_epochs": draw(st.integers(1, 14)),
        "log2_buckets": draw(st.integers(0, 16)),
        "members": members,
        "tokens_per_epoch": tokens,
        "posts_per_token": 4 * draw(st.integers(1, 255)),
        "ahead": draw(st.integers(1, 32)),
        "generation": draw(u32),
        "first_epoch": draw(st.integers(0, 65000)),
        "epochs": epochs,
        "access_key": draw(octets(32)),
        "reading_hash": draw(octets(32)),
        "card_hash": draw(octets(32)),
        "ephemeral": draw(octets(33)),
        "guest_access_keys": draw(st.lists(octets(32), max_size=3)),
        "relays": [
            (id_, key, draw(octets(32)), draw(octets(64)), column)
            for id_, key, column in zip(ids, keys, columns, strict=True)
        ],
        **draw(cover_fields(kind, members, tokens)),
    }


@repeatable
@given(parameter_fields(), secret)
def test_parameters(fields: dict[str, Any], root: bytes) -> None:
    fields["root_key"] = curve.public(root)[1:]
    head, rest, columns = params.encode(fields)
    blob = head + curve.sign(root, params.digest(head), bytes(32)) + rest + columns
    found = params.Parameters(blob)
    found.verify()
    params.Head(blob[: params.FIRST_BYTES]).verify()
    for id_, static_key, ledger_key, sealed, column in fields["relays"]:
        entry = found.relay_with(static_key)
        assert entry == (id_, static_key, ledger_key, params.column_hash(column), sealed)
        places = [
            (epoch, cohort)
            for epoch in range(found.first_epoch, found.end_epoch)
            for cohort in range(1 << found.log2_cohorts)
        ]
        keys = [found.epoch_key(id_, *place) for place in places]
        assert b"".join(keys) == found.column(id_) == column
        copy = params.Parameters(found.copy_for(id_))
        assert (copy.digest, copy.column(id_)) == (found.digest, column)
    assert bytes(found.thresholds) == fields["thresholds"]
    same = fields.keys() - {"thresholds", "relays"}
    assert {name: getattr(found, name) for name in same} == {name: fields[name] for name in same}


@repeatable
@given(octets(32), secret, secret, octets(16), u32, u16)
def test_reading_keys_sealed_to_a_relay(
    key: bytes, ephemeral: bytes, static: bytes, federation: bytes, serial: int, relay_id: int
) -> None:
    sealed = params.seal_reading_key(ephemeral, curve.public(static), federation, serial, relay_id, key)
    assert len(sealed) == 64
    other = params.seal_reading_key(ephemeral, curve.public(static), federation, serial ^ 1, relay_id, key)
    assert other != sealed


@repeatable
@given(octets(16), u64, secret)
def test_time_statements(federation: bytes, seconds: int, root: bytes) -> None:
    body, message = params.encode_time(federation, seconds)
    found = params.TimeStatement(body + curve.sign(root, message, bytes(32)))
    assert params.is_time_statement(found.blob)
    found.verify(curve.public(root)[1:])
    assert (found.federation_id, found.unix_seconds) == (federation, seconds)


@repeatable
@given(octets(16), octets(33), secret, st.lists(st.tuples(st.integers(1, 9), u32, octets(32), octets(32)), max_size=5))
def test_checkpoints_and_their_chain(
    federation: bytes, relay_key: bytes, ledger_secret: bytes, entries: list[tuple[int, int, bytes, bytes]]
) -> None:
    directory, epoch, link = RamDirectory(), -1, bytes(32)
    for later, sealed, digest, commitment in entries:
        epoch += later
        ledger = Ledger(directory, federation, relay_key, ledger_secret)  # as after a restart
        ledger.append(epoch, sealed, digest, commitment, digest[::-1], bytes(32))
        found = Checkpoint(ledger.find(epoch))
        found.verify(curve.public(ledger_secret)[1:])
        assert (found.federation_id, found.relay_key) == (federation, relay_key)
        assert (found.epoch, found.rounds_sealed) == (epoch, sealed)
        assert (found.parameter_digest, found.cover_commitment) == (digest, commitment)
        assert (found.firmware_digest, found.previous) == (digest[::-1], link)
        link = found.link()


# -- flash


@repeatable
@given(octets(32), st.lists(st.tuples(u16, st.integers(0, LAST_SEQ), u32, u16, st.booleans(), record), min_size=1))
def test_pages(key: bytes, pages: list[tuple[int, int, int, int, bool, bytes]]) -> None:
    writer, reader, buffer = PageCipher(key), PageCipher(key), PageBuffer()
    page = bytearray(PAGE_BYTES)
    for index, seq, round_, bucket, is_copy, content in pages[:4]:
        seq = seq & ~15 | index & 15  # they agree in the place within a sector
        writer.seal(index, seq, round_, bucket, content, page, is_copy)
        buffer.page[:] = page
        assert reader.open(index, buffer)
        assert (buffer.seq, buffer.round, buffer.bucket, buffer.is_copy) == (seq, round_, bucket, is_copy)
        assert buffer.record == content
        plain = bytearray(PAGE_BYTES)
        reader.decrypt(page, plain)
        assert plain[16:] == content
        assert not reader.open(index ^ 16, buffer)


_KEYRING_FIELDS = (
    *("flags", "boots", "seed", "next_sector", "sealed_next", "sealed_count", "commissioned"),
    *("epochs", "lease_epoch", "leases"),
)
counters = st.integers(0, (1 << 30) - 1)


@repeatable
@given(
    st.tuples(u8, counters, octets(32), counters, u32, counters, u32),
    st.dictionaries(u32, st.tuples(octets(32), octets(32)), max_size=12),
    u32,
    st.dictionaries(octets(8), u8, max_size=70),
    st.lists(st.one_of(st.tuples(u32, counters), st.tuples(octets(8), u8), st.tuples(u8, u32)), max_size=12),
)
def test_key_ring_states(
    head: tuple[Any, ...],
    epochs: dict[int, tuple[bytes, bytes]],
    lease_epoch: int,
    leases: dict[bytes, int],
    appended: list[tuple[Any, int]],
) -> None:
    device = RamDevice(4)
    ring = KeyRing(device)
    for name, value in zip(_KEYRING_FIELDS, (*head, epochs, lease_epoch, leases), strict=True):
        setattr(ring, name, value)
    for _ in range(2):  # in either bank
        ring.rewrite()
        assert loaded(device) == state(ring)
    for number, (what, value) in enumerate(appended):
        if isinstance(what, bytes):
            ring.lease(what, value)
        elif number % 2:
            ring.mark(what, value % (1 << 30))
        else:
            ring._set_flags(what % 256, value)
        assert loaded(device) == state(ring)


def state(ring: KeyRing) -> dict[str, Any]:
    return {name: getattr(ring, name) for name in _KEYRING_FIELDS if name != "lease_epoch" or ring.leases}


def loaded(device: RamDevice) -> dict[str, Any]:
    ring = KeyRing(device)
    assert ring.load()
    return state(ring)


# -- what people keep and pass on

names = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters="/\\:"), min_size=1, max_size=60
).filter(lambda name: name_fault(name) is None)
decimals = st.from_regex(r"[1-9][0-9]{0,3}(\.[0-9]{1,6})?(e-[0-9])?", fullmatch=True)
CARD_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "federation": {
        "params": st.binary(max_size=400),
        "said": st.binary(max_size=400),
    },
    "member": {"name": names, "key": octets(32), "sig": octets(64)},
    "invitation": {
        **{"name": names, "office": names, "federation": octets(16), "root": octets(32), "access": octets(32)},
        **{"home": names, "secret": octets(16), "until": u64, "card": st.none() | st.binary(max_size=400)},
        "issuer": st.none() | st.fixed_dictionaries({"host": names, "port": st.integers(1, 65535), "key": octets(33)}),
    },
    "join": {"invitation": octets(16), "name": names, "key": octets(32), "sig": octets(64), "proof": octets(32)},
    "invite": {
        **{"federation": octets(16), "digest": octets(32), "epoch": u64, "name": names, "key": octets(32)},
        **{"commit": octets(32), "mailbox": octets(16), "relay": u16},
    },
    "answer": {
        **{"invite": octets(32), "name": names, "key": octets(32), "x": octets(32), "mailbox": octets(16)},
        **{"relay": u16, "sig": octets(64)},
    },
    "confirm": {"answer": octets(32), "x": octets(32), "nonce": octets(32), "sig": octets(64)},
    "reading": {"member": octets(32), "e": octets(33), "sealed": st.lists(octets(64), max_size=3)},
    "sets": {
        **{"digest": octets(32), "since": u32},
        "before": st.lists(st.tuples(u32, st.binary(max_size=40)).map(list), max_size=MOST_SETS_BESIDE),
    },
    "tokens-request": {"member": octets(32), "generation": u64, "epoch": u64, "time": u64, "sig": octets(64)},
    "tokens-offer": {
        **{"request": octets(32), "session": octets(16), "generation": u64},
        "offers": st.lists(st.tuples(u64, u16, octets(33), octets(33)).map(list), max_size=5),
    },
    "tokens-challenge": {
        **{"session": octets(16), "member": octets(32), "sig": octets(64)},
        "challenges": st.lists(st.lists(octets(32), min_size=2, max_size=2), max_size=5),
    },
    "tokens-answer": {
        "session": octets(16),
        "answers": st.lists(st.tuples(st.integers(0, 1), octets(32)).map(list), max_size=5),
    },
}


def test_all_kinds_of_cards_are_tried() -> None:
    assert {kind: set(fields) for kind, fields in CARD_FIELDS.items()} == {
        kind: set(fields) for kind, fields in cards.FIELDS.items()
    }


services = st.fixed_dictionaries({"host": names, "port": st.integers(1, 65535), "key": octets(33)})
said_relays = st.lists(st.tuples(u16, names, names, st.integers(1, 65535)), max_size=4).map(
    lambda found: [
        {"id": id_, "name": name, "host": host, "port": port}
        for id_, name, host, port in {each[1]: each for each in {each[0]: each for each in found}.values()}.values()
    ]
)
topologies = st.fixed_dictionaries({"kind": st.sampled_from(["ring", "mesh"]), "copies": st.integers(1, 64)})
said = st.fixed_dictionaries(
    {
        "name": names,
        "relays": said_relays,
        "budget": st.fixed_dictionaries({"epsilon": decimals, "delta": decimals}),
        "issuer": st.none() | services,
        "retention_days": st.integers(1, 3650),
        "partners": st.just([]),
        "topology": st.none() | topologies,
    },
    optional={"of a later program": st.binary(max_size=9) | st.integers(0, 99)},
)


@repeatable
@given(said)
def test_what_a_federation_card_says(fields: dict[str, Any]) -> None:
    packed = cards.said(fields)
    assert cards.decode_said(packed) == fields
    assert cards.said_hash(packed) == hashes.tagged("federation-card", packed)


@repeatable
@given(
    st.sampled_from(sorted(CARD_FIELDS)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.fixed_dictionaries(CARD_FIELDS[kind]))
    )
)
def test_cards(card: tuple[str, dict[str, Any]]) -> None:
    kind, fields = card
    text = cards.encode(kind, fields)
    found = cards.decode(text, kind)
    assert found.fields == {"v": 2 if kind in ("federation", "tokens-request") else 1, **fields}
    assert cards.canonical(found.fields) == found.payload
    assert cards.encode(kind, found.fields) == text


FEDERATION = FakeFederation().known()
SENDER = bytes(31) + b"\x07"


def inbox_for(root: bytes) -> Inbox:
    contact = Contact(
        key=curve.public(SENDER)[1:],
        mailbox=bytes(16),
        relay=FEDERATION.home.key,
        words=[],
        verified=False,
        blocked=False,
        send=SendingChain.start(0, bytes(32)),
        next_message=0,
        receive=ReceivingChain(0, root),
        received=Received(),
    )
    book = {"Ann": contact}
    inbox = Inbox(InboxState(0), book, FEDERATION, Views([], book, FEDERATION), bytes(16))
    inbox.expect(0, 0)
    return inbox


@settings(repeatable, max_examples=25)
@given(octets(32), st.lists(st.text(max_size=400), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_texts_arrive_as_they_were_whatever_the_order_in_a_round(root: bytes, texts: list[str], random: Any) -> None:
    chain, batch, message = SendingChain.start(0, root), [], 0
    for text in texts:
        parts = records.split(text, message)
        hashed = records.contents(part.payload for part in parts)
        for part in parts:
            index, step = chain.take()
            batch.append(records.seal(step, 0, index, SENDER, part, hashed, FEDERATION.digest, bytes(32)))
            message = part.message + 1
    inbox = inbox_for(root)
    random.shuffle(batch)
    assert inbox.read(0, batch, FEDERATION.home.id) == len(batch)
    assert [found.text for found in inbox.messages()] == texts
    assert not any(found.lost for found in inbox.messages())


@repeatable
@given(octets(32), st.integers(0, 5), st.integers(0, 40))
def test_both_ends_of_a_chain_have_the_same_steps(root: bytes, epoch: int, count: int) -> None:
    sending, receiving = SendingChain.start(0, root), ReceivingChain(0, root)
    sending.advance(epoch)
    receiving.forget_before(epoch)
    receiving.derive(epoch, count)
    assert [(epoch, *sending.take()) for _ in range(count)] == list(receiving.unused())
    assert sending.root == receiving.root


plain = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 64), 1 << 64), st.binary(max_size=40), st.text(max_size=40)
)
states = st.dictionaries(
    st.text(max_size=10),
    st.recursive(
        plain,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.one_of(u32, st.binary(max_size=9)), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    max_size=5,
)


@repeatable
@given(
    states.filter(bool), states.filter(bool), st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
)
def test_keystores(first: dict[str, Any], second: dict[str, Any], passphrase: str) -> None:
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(keystore.SCRYPT, n=2, r=1):
        path = Path(folder, secrets.token_hex(4))
        Keystore.create(path, passphrase, "test", first).close()
        with Keystore.open(path, passphrase, "test") as store:
            assert store.data == first
            store.data = second
            store.save()
        with Keystore.open(path, passphrase, "test") as store:
            assert store.data == second


@repeatable
@given(octets(32), octets(32), st.binary(max_size=80), st.binary(max_size=80))
def test_keyed_digests_do_not_depend_on_how_the_message_is_cut(key: bytes, salt: bytes, a: bytes, b: bytes) -> None:
    assert hashes.HmacKey(key).digest(a, b) == hashes.HmacKey(key).digest(a + b) == hashes.hmac_sha256(key, a, b)
    assert hashes.tagged("x", a, b) == hashes.tagged("x", a + b)
    assert hashes.hkdf(salt, a, b, 64) == hashes.hkdf_expand(hashes.hmac_sha256(salt, a), b, 64)
