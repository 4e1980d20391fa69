"""Records and chains: byte for byte what the second implementation makes, and nothing else is taken."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import curve
from tessera_host.errors import IntegrityError, InvalidInput
from tessera_host.protocol import blind, records
from tessera_host.protocol.records import (
    KINDS,
    LAST_PAYLOAD_BYTES,
    NOT_RECEIVED,
    OF_GROUP,
    PAYLOAD_BYTES,
    TEXT,
    TEXT_CONTINUED,
    WITH_SHARE,
    Part,
    ReceivingChain,
    SendingChain,
    Step,
)

FOLDER = Path(__file__).parent.parent / "vectors"
BUCKETS = json.loads((FOLDER / "bucket.json").read_text())


def vectors() -> list[dict[str, Any]]:
    rows = json.loads((FOLDER / "record.json").read_text())
    plain = {"name", "epoch", "index", "message", "part", "parts", "kind", "length", "received"}
    return [{k: v if k in plain else bytes.fromhex(v) for k, v in row.items()} for row in rows]


ROWS = pytest.mark.parametrize("row", vectors(), ids=lambda row: row["name"])


def step_of(row: dict[str, Any]) -> Step:
    return Step(row["key"], row["tag"], row["seed"])


def part_of(row: dict[str, Any]) -> Part:
    return Part(row["message"], row["part"], row["parts"], row["kind"], row["payload"])


ENDS = pytest.mark.parametrize("row", [row for row in vectors() if part_of(row).is_last], ids=lambda row: row["name"])
# What this version can say itself: it has no receipts.
OURS = [row for row in vectors() if row.get("received", NOT_RECEIVED) == NOT_RECEIVED]


def opened(row: dict[str, Any]) -> tuple[Part, records.Closing | None]:
    return records.open_record(step_of(row), row["epoch"], row["index"], row["record"])


def sealed(row: dict[str, Any], randomness: bytes | None = None) -> bytes:
    """The record of this row, by this implementation."""
    place = step_of(row), row["epoch"], row["index"]
    said = row.get("contents", b""), row.get("digest", b"")
    return records.seal(*place, row["sender_secret"], part_of(row), *said, randomness)


@ROWS
def test_chains_are_those_of_the_second_implementation(row: dict[str, Any]) -> None:
    assert records.next_epoch(row["root"]) == (row["root_next"], row["chain"])
    chain = SendingChain.start(row["epoch"], row["root"])
    for _ in range(row["index"]):
        chain.take()
    assert chain.chain == row["chain_index"]
    assert chain.take() == (row["index"], step_of(row))
    assert (chain.chain, chain.root) == (row["chain_next"], row["root_next"])


@ROWS
def test_receiver_derives_the_same_steps(row: dict[str, Any]) -> None:
    chain = ReceivingChain(row["epoch"], row["root"])
    chain.derive(row["epoch"], row["index"] + 1)
    assert [*chain.unused()][-1] == (row["epoch"], row["index"], step_of(row))
    assert chain.root == row["root_next"]


@ROWS
def test_blinded_keys_are_those_of_the_second_implementation(row: dict[str, Any]) -> None:
    place = step_of(row), row["epoch"], row["index"]
    secret = records.blinded_secret(row["sender_secret"], *place)
    assert secret == row["blinded_secret"]
    assert records.blinded_key(row["sender_key"], *place) == row["blinded_key"]
    assert curve.public(secret)[1:] == row["blinded_key"]


@ROWS
def test_records_are_read(row: dict[str, Any]) -> None:
    part, closing = opened(row)
    assert part == part_of(row)
    assert (closing is not None) == part.is_last == ("signature" in row)


@ENDS
def test_what_the_last_part_says_is_read_and_its_signature_holds(row: dict[str, Any]) -> None:
    part, closing = opened(row)
    assert closing is not None
    assert (closing.received, closing.view, closing.signature) == (row["received"], row["view"], row["signature"])
    assert (closing.epoch, closing.index, closing.tag, closing.seed) == (
        row["epoch"], row["index"], row["tag"], row["seed"]
    )  # fmt: skip
    assert records.is_signed(closing, row["sender_key"], part, row["contents"])


@ENDS
def test_views_and_contents_are_those_of_the_second_implementation(row: dict[str, Any]) -> None:
    assert records.view(row["seed"], row["digest"]) == row["view"]
    if row["parts"] == 1:
        assert records.contents([row["payload"]]) == row["contents"]


def test_contents_of_several_parts_are_those_of_the_second_implementation() -> None:
    rows = [row for row in vectors() if row["name"] == "long"]
    assert records.contents(row["payload"] for row in rows[:3]) == rows[2]["contents"] == rows[3]["contents"]


def test_contents_tell_where_a_message_was_cut() -> None:
    cuts = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"", b"abc"], [b"\1a\2bc"]]
    assert len({records.contents(cut) for cut in cuts}) == len(cuts)


def test_a_record_is_byte_for_byte_that_of_the_second_implementation() -> None:
    assert [sealed(row, bytes(32)) for row in OURS] == [row["record"] for row in OURS]
    assert len(OURS) == len(vectors()) - 1


def test_signatures_are_made_with_fresh_randomness() -> None:
    row = OURS[0]
    ours = sealed(row)
    assert ours != row["record"] and records.open_record(step_of(row), row["epoch"], row["index"], ours)


@ROWS
def test_nothing_but_the_very_record_opens(row: dict[str, Any]) -> None:
    step, record = step_of(row), row["record"]
    flipped = bytes([record[200] ^ 1])
    for other, damaged in (
        (step._replace(key=bytes(32)), record),
        (step._replace(tag=bytes(8)), record),
        (step, record[:200] + flipped + record[201:]),
        (step, record[:-1]),
    ):
        with pytest.raises(IntegrityError, match="does not decrypt"):
            records.open_record(other, row["epoch"], row["index"], damaged)


@ENDS
def test_a_signature_is_of_the_very_message_its_place_and_its_sender(row: dict[str, Any]) -> None:
    part, closing = opened(row)
    assert closing is not None
    key, hashed = row["sender_key"], row["contents"]
    other_key = curve.public(blind.even_secret(7))[1:]
    attempts = [
        (closing, other_key, part, hashed),
        (closing, key, part, bytes(32)),
        (closing, key, part._replace(message=part.message ^ 1), hashed),
        (closing, key, part._replace(parts=part.parts + 1), hashed),
        (closing, key, part._replace(kind=part.kind ^ 3), hashed),
        (replace(closing, epoch=(row["epoch"] + 1) % (1 << 32)), key, part, hashed),
        (replace(closing, index=row["index"] + 1), key, part, hashed),
        (replace(closing, tag=bytes(8)), key, part, hashed),
        (replace(closing, seed=bytes(32)), key, part, hashed),
        (replace(closing, received=closing.received ^ 1), key, part, hashed),
        (replace(closing, view=bytes(4)), key, part, hashed),
        (replace(closing, signature=bytes(64)), key, part, hashed),
    ]
    assert not [attempt for attempt in attempts if records.is_signed(*attempt)]


def test_a_view_is_known_to_nobody_without_the_seed_and_of_one_record_only() -> None:
    seen = {records.view(bytes([seed]) * 32, bytes([digest]) * 32) for seed in range(30) for digest in range(30)}
    assert len(seen) == 900


@pytest.mark.parametrize("row", BUCKETS, ids=lambda row: f"{row['mailbox_id'][:4]}/{row['buckets']}")
def test_buckets(row: dict[str, Any]) -> None:
    assert records.bucket_of(bytes.fromhex(row["mailbox_id"]), row["buckets"]) == row["bucket"]


# -- parts and texts


@given(st.text(max_size=4000), st.integers(0, 1000))
def test_a_text_is_the_sum_of_its_parts(text: str, first: int) -> None:
    parts = records.split(text, first)
    assert b"".join(part.payload for part in parts).decode() == text
    assert [(p.message, p.part) for p in parts] == sorted((p.message, p.part) for p in parts)
    assert all(len(part.payload) <= part.room for part in parts)
    assert len(parts) == records.records_of(len(text.encode()))
    for part, following in itertools.pairwise(parts):  # each is filled before the next has anything
        assert len(part.payload) == part.room or not following.payload or following.part == 0


MOST = 15 * 208 + 136


@pytest.mark.parametrize(
    ("length", "shape"),
    [
        (0, [(0, 1, TEXT)]),
        (136, [(0, 1, TEXT)]),
        (137, [(0, 2, TEXT)] * 2),
        (136 + 208, [(0, 2, TEXT)] * 2),
        (136 + 208 + 1, [(0, 3, TEXT)] * 3),
        (MOST, [(0, 16, TEXT)] * 16),
        (MOST + 1, [(0, 16, TEXT_CONTINUED)] * 16 + [(1, 1, TEXT)]),
        (2 * MOST + 1, [(0, 16, TEXT_CONTINUED)] * 16 + [(1, 16, TEXT_CONTINUED)] * 16 + [(2, 1, TEXT)]),
    ],
)
def test_texts_are_cut_into_messages_of_at_most_16_parts(length: int, shape: list[tuple[int, int, int]]) -> None:
    assert [(part.message, part.parts, part.kind) for part in records.split("x" * length, 0)] == shape
    assert records.records_of(length) == len(shape)


@given(st.integers(1, 16))
def test_k_parts_carry_136_bytes_and_208_for_each_but_the_last(parts: int) -> None:
    most = LAST_PAYLOAD_BYTES + PAYLOAD_BYTES * (parts - 1)
    assert records.records_of(most) == parts == records.records_of(most + 1) - 1


def made(head: str, body: bytes = b"") -> bytes:
    """A record of a plaintext that begins like this, under a step of zeros and the tag of zeros."""
    plaintext = (bytes.fromhex(head) + body).ljust(216, b"\0")
    return bytes(8) + AESGCMSIV(bytes(32)).encrypt(bytes(12), plaintext, bytes(8))


def open_made(record: bytes) -> tuple[Part, records.Closing | None]:
    return records.open_record(Step(bytes(32), bytes(8), bytes(32)), 0, 0, record)


@pytest.mark.parametrize(
    "head", ["00000000 00 00 01 00", "00000000 01 01 01 00", "00000000 00 11 01 00", "00000000 00 00 41 00",
             "00000000 00 01 01 89", "00000000 00 02 01 d1", "00000000 00 01 01 ff"]
)  # fmt: skip
def test_parts_out_of_range_are_refused(head: str) -> None:
    with pytest.raises(IntegrityError):
        open_made(made(head))


def test_padding_that_is_not_zero_is_refused() -> None:
    for end, said in (("00 01 01 02", bytes(8)), ("00 02 01 02", b"")):
        assert open_made(made(f"00000000 {end}", said + b"hi"))[0].payload == b"hi"
        with pytest.raises(IntegrityError, match="padded"):
            open_made(made(f"00000000 {end}", said + b"hi!"))


@pytest.mark.parametrize("kind", [0, 4, 63, TEXT | WITH_SHARE, TEXT | OF_GROUP, TEXT | OF_GROUP | WITH_SHARE, 255])
def test_kinds_of_newer_programs_are_read_and_known_to_be_none_of_ours(kind: int) -> None:
    part, closing = open_made(made(f"00000005 00 01 {kind:02x} 03", bytes(8) + b"abc"))
    assert not part.is_known and kind not in KINDS
    assert part == Part(5, 0, 1, kind, b"" if kind & OF_GROUP else b"abc")
    assert (closing is None) == bool(kind & OF_GROUP), "a group's record is laid out otherwise"


def test_nothing_of_a_groups_record_but_its_head_is_looked_at() -> None:
    assert open_made(made("00000005 00 02 41 ff", bytes(range(208)))) == (Part(5, 0, 2, 65, b""), None)


# -- chains


@settings(max_examples=25)
@given(st.binary(min_size=32, max_size=32), st.lists(st.integers(0, 3), max_size=8))
def test_receiver_holds_every_step_the_sender_takes(root: bytes, leaps: list[int]) -> None:
    sender, receiver = SendingChain.start(5, root), ReceivingChain(5, root)
    for leap in leaps:
        sender.advance(sender.epoch + leap)
        while receiver.epoch <= sender.epoch:
            receiver.derive(receiver.epoch, len(leaps))
        index, step = sender.take()
        assert (sender.epoch, index, step) in [*receiver.unused()]
        receiver.erase(sender.epoch, index)
        assert step.key not in b"".join(receiver.steps.values())


def test_sender_never_goes_back() -> None:
    chain = SendingChain.start(5, bytes(32))
    chain.advance(7)
    with pytest.raises(InvalidInput, match="clock"):
        chain.advance(6)
    assert (chain.epoch, chain.index) == (7, 0)


def test_what_was_used_or_passed_cannot_be_computed_again() -> None:
    """The state after a step or an epoch holds none of the secrets before."""
    chain = SendingChain.start(5, bytes(32))
    before = [chain.chain, chain.root]
    _, step = chain.take()
    chain.advance(6)
    assert not {*before, step.key, step.seed} & {chain.chain, chain.root}
    receiver = ReceivingChain(5, bytes(32))
    receiver.derive(5, 3)
    receiver.forget_before(8)
    assert receiver.steps == receiver.ends == {}
    assert receiver.epoch == 8
    root = bytes(32)
    for _ in range(3):
        root, _ = records.next_epoch(root)
    assert receiver.root == root


def test_the_keys_of_a_record_that_was_received_are_gone_and_no_others() -> None:
    receiver = ReceivingChain(5, bytes(32))
    receiver.derive(5, 3)
    steps = {(epoch, index): step for epoch, index, step in receiver.unused()}
    receiver.erase(5, 1)
    assert {(epoch, index): step for epoch, index, step in receiver.unused()} == {
        place: step for place, step in steps.items() if place != (5, 1)
    }
    assert not [secret for secret in steps[5, 1] if secret in receiver.steps[5]]


def test_an_epoch_that_may_have_more_records_gets_their_keys_and_none_of_those_that_are_gone() -> None:
    root = bytes(range(32))
    most, grown = ReceivingChain(5, root), ReceivingChain(5, root)
    assert not most.derive(5, 6) and not grown.derive(5, 3)
    for chain in (most, grown):
        chain.erase(5, 1)
        assert not chain.derive(6, 2)
    assert not grown.derive(5, 2), "and never fewer"
    assert grown.derive(5, 6) and grown == most
    grown.forget_before(6)
    with pytest.raises(ValueError, match="in order"):
        grown.derive(5, 7)


def test_epochs_are_derived_in_order() -> None:
    with pytest.raises(ValueError, match="in order"):
        ReceivingChain(5, bytes(32)).derive(6, 1)


def test_secrets_stay_out_of_reprs() -> None:
    sender = SendingChain.start(5, b"r" * 32)
    receiver = ReceivingChain(5, b"r" * 32)
    receiver.derive(5, 1)
    for secret in (sender.chain, sender.root, receiver.root, receiver.steps[5], receiver.ends[5]):
        assert repr(secret) not in repr(sender) + repr(receiver)
