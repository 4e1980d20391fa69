"""Records and chains: byte for byte what the second implementation makes, and nothing else is taken."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import curve
from tessera_host.errors import IntegrityError, InvalidInput
from tessera_host.protocol import blind, records
from tessera_host.protocol.records import TEXT, TEXT_CONTINUED, Part, ReceivingChain, SendingChain, Step

FOLDER = Path(__file__).parent.parent / "vectors"
BUCKETS = json.loads((FOLDER / "bucket.json").read_text())


def vectors() -> list[dict[str, Any]]:
    rows = json.loads((FOLDER / "record.json").read_text())
    plain = {"name", "epoch", "index", "message", "part", "parts", "kind", "length"}
    return [{k: v if k in plain else bytes.fromhex(v) for k, v in row.items()} for row in rows]


ROWS = pytest.mark.parametrize("row", vectors(), ids=lambda row: row["name"])


def step_of(row: dict[str, Any]) -> Step:
    return Step(row["key"], row["tag"], row["seed"])


def part_of(row: dict[str, Any]) -> Part:
    return Part(row["message"], row["part"], row["parts"], row["kind"], row["payload"])


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
def test_records_are_read_and_their_bodies_written_alike(row: dict[str, Any]) -> None:
    place = step_of(row), row["epoch"], row["index"]
    assert part_of(row).pack() == row["plaintext"][64:]
    assert records.open_record(*place, row["sender_key"], row["record"]) == part_of(row)
    ours = records.seal(*place, row["sender_secret"], part_of(row))
    assert ours != row["record"]  # BIP-340's auxiliary input is fresh
    assert records.open_record(*place, row["sender_key"], ours) == part_of(row)


def test_a_record_is_byte_for_byte_that_of_the_second_implementation() -> None:
    rows = vectors()
    same = [
        records.seal(step_of(r), r["epoch"], r["index"], r["sender_secret"], part_of(r), bytes(32)) == r["record"]
        for r in rows
    ]
    assert all(same)


@ROWS
def test_nothing_but_the_very_record_at_its_place_opens(row: dict[str, Any]) -> None:
    step, epoch, index = step_of(row), row["epoch"], row["index"]
    key, record = row["sender_key"], row["record"]
    other_key = curve.public(blind.even_secret(7))[1:]
    flipped = bytes([record[200] ^ 1])
    attempts = [
        (step, epoch, index, other_key, record),
        (step, (epoch + 1) % (1 << 32), index, key, record),
        (step, epoch, index + 1, key, record),
        (step._replace(seed=bytes(32)), epoch, index, key, record),
        (step._replace(key=bytes(32)), epoch, index, key, record),
        (step, epoch, index, key, record[:200] + flipped + record[201:]),
        (step, epoch, index, key, record[:-1]),
    ]
    for attempt in attempts:
        with pytest.raises(IntegrityError):
            records.open_record(*attempt)


@pytest.mark.parametrize("row", BUCKETS, ids=lambda row: f"{row['mailbox_id'][:4]}/{row['buckets']}")
def test_buckets(row: dict[str, Any]) -> None:
    assert records.bucket_of(bytes.fromhex(row["mailbox_id"]), row["buckets"]) == row["bucket"]


# -- parts and texts


@given(st.text(max_size=2000), st.integers(0, 1000))
def test_a_text_is_the_sum_of_its_parts(text: str, first: int) -> None:
    parts = records.split(text, first)
    assert b"".join(part.payload for part in parts).decode() == text
    assert [(p.message, p.part) for p in parts] == sorted((p.message, p.part) for p in parts)
    assert all(Part.unpack(part.pack()) == part for part in parts)


@pytest.mark.parametrize(
    ("length", "shape"),
    [
        (0, [(0, 1, TEXT)]),
        (144, [(0, 1, TEXT)]),
        (145, [(0, 2, TEXT)] * 2),
        (16 * 144, [(0, 16, TEXT)] * 16),
        (16 * 144 + 1, [(0, 16, TEXT_CONTINUED)] * 16 + [(1, 1, TEXT)]),
        (33 * 144, [(0, 16, TEXT_CONTINUED)] * 16 + [(1, 16, TEXT_CONTINUED)] * 16 + [(2, 1, TEXT)]),
    ],
)
def test_texts_are_cut_into_messages_of_at_most_16_parts(length: int, shape: list[tuple[int, int, int]]) -> None:
    assert [(part.message, part.parts, part.kind) for part in records.split("x" * length, 0)] == shape


@pytest.mark.parametrize(
    "head", ["00000000 00 00 01 00", "00000000 01 01 01 00", "00000000 00 11 01 00", "00000000 00 01 04 00",
             "00000000 00 01 00 00", "00000000 00 01 01 91"]
)  # fmt: skip
def test_parts_out_of_range_are_refused(head: str) -> None:
    with pytest.raises(IntegrityError):
        Part.unpack(bytes.fromhex(head) + bytes(144))


def test_padding_that_is_not_zero_is_refused() -> None:
    with pytest.raises(IntegrityError, match="padded"):
        Part.unpack(bytes.fromhex("00000000 00 01 01 02") + b"hi!" + bytes(141))


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
    assert receiver.steps == {}
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


def test_epochs_are_derived_in_order() -> None:
    with pytest.raises(ValueError, match="in order"):
        ReceivingChain(5, bytes(32)).derive(6, 1)


def test_secrets_stay_out_of_reprs() -> None:
    sender = SendingChain.start(5, b"r" * 32)
    receiver = ReceivingChain(5, b"r" * 32)
    receiver.derive(5, 1)
    for secret in (sender.chain, sender.root, receiver.root, receiver.steps[5]):
        assert repr(secret) not in repr(sender) + repr(receiver)
