"""What the host makes and reads, against the second implementation: seals, signatures and frames of PROTOCOL §6, §12
and §15. Cards are test_cards', the clauses of a session test_blind's."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tessera import curve
from tessera.params import Parameters, log2_cohorts
from tessera_host.protocol import blind, cards, issuer_frames, sealed_reading_key
from tessera_host.protocol.identity import Identity
from tessera_host.protocol.issuer_connection import claim
from tessera_host.protocol.sets_beside import SetBeside, SetsBeside
from tessera_host.protocol.topology import Topology, order
from tessera_host.protocol.welcome import Welcome

FOLDER = Path(__file__).parent.parent / "vectors"
CONTACT, ADMISSION, PARAMS, MAILBOX = (
    json.loads((FOLDER / f"{name}.json").read_text()) for name in ("contact", "admission", "params", "mailbox")
)
Row = dict[str, Any]


def octets(row: Row, *names: str) -> list[bytes]:
    return [bytes.fromhex(row[name]) for name in names]


@pytest.mark.parametrize("row", ADMISSION["epoch_keys"])
def test_epoch_keys_by_generation_epoch_and_relay(row: Row) -> None:
    master, federation_id, relay_key = octets(row, "master", "federation_id", "relay_key")
    secret, key = octets(row, "epoch_secret", "epoch_key")
    place = row["generation"], row["epoch"], row["relay_id"], relay_key, row["cohort"]
    assert blind.epoch_secret(master, federation_id, *place) == secret
    assert blind.epoch_key(secret) == key


@pytest.mark.parametrize("row", ADMISSION["cohorts"])
def test_the_cohort_that_a_member_is_in(row: Row) -> None:
    federation_id, key = octets(row, "federation_id", "member_key")
    found: Any = SimpleNamespace(federation_id=federation_id, log2_cohorts=log2_cohorts(row["members"]))
    assert blind.cohort(found, key) == row["cohort"] < row["cohorts"]


@pytest.mark.parametrize("row", ADMISSION["sessions"])
def test_what_a_member_signs_at_the_issuer(row: Row) -> None:
    federation_id, handshake_hash, key, message = octets(
        row, "federation_id", "handshake_hash", "member_key", "member_message"
    )
    assert claim(federation_id, handshake_hash, key) == message
    assert curve.verify(bytes.fromhex(row["member_signature"]), message, key)


@pytest.mark.parametrize("row", CONTACT["reading_cards"])
def test_reading_cards(row: Row) -> None:
    drawn, federation_id = octets(row, "member_secret", "federation_id")
    secret = blind.even_secret(int.from_bytes(drawn, "big"))  # as members keep it
    identity = Identity("Ann", secret, curve.public(secret)[1:], bytes(16))
    hashes, keys = ([bytes.fromhex(each) for each in row[name]] for name in ("reading_hashes", "reading_keys"))
    assert sealed_reading_key.opened(row["text"], identity, federation_id, hashes) == keys
    assert sealed_reading_key.opened(row["text"], identity, federation_id, [bytes(32)]) == []
    own = sealed_reading_key.card(keys, federation_id, identity.key)
    assert sealed_reading_key.opened(own, identity, federation_id, hashes) == keys


@pytest.mark.parametrize("row", CONTACT["federation_cards"])
def test_what_a_federation_card_says_is_hashed_in_its_set(row: Row) -> None:
    fields = cards.decode(row["text"], "federation").fields
    parameters = Parameters(fields["params"])
    assert cards.said_hash(fields["said"]) == parameters.card_hash == bytes.fromhex(row["card_hash"])
    said = cards.decode_said(fields["said"])
    assert cards.said(said) == fields["said"], "what is not known is kept"


def test_where_a_mailbox_is() -> None:
    assert {row["copies"] > len(row["ids"]) for row in MAILBOX} == {True, False}
    for row in MAILBOX:
        mailbox, topology = bytes.fromhex(row["mailbox_id"]), Topology(row["kind"], row["copies"])
        found = order(mailbox, row["home"], reversed(row["ids"]), topology)
        assert found == row["order"] and found[: topology.copies] == row["relays"], row


@pytest.mark.parametrize("row", CONTACT["welcomes"])
def test_welcomes_and_their_frames(row: Row) -> None:
    before = [SetBeside(each["since"], bytes.fromhex(each["set"])) for each in row["before"]]
    sets = SetsBeside(bytes.fromhex(row["digest"]), row["since"], before)
    assert sets.card() == row["sets"]["text"] and SetsBeside.read(sets.card()) == sets
    keys = [bytes.fromhex(key) for key in row["reading_keys"]]
    welcome = Welcome(CONTACT["federation_cards"][0]["text"], sets, keys, bytes.fromhex(row["time"]))
    packed = welcome.pack()
    assert packed.rstrip(b"\0") == bytes.fromhex(row["message"]).rstrip(b"\0") and len(packed) == row["padded"]
    frames = list(issuer_frames.pack(issuer_frames.HELLO + issuer_frames.ANSWER, packed))
    assert len(frames) == row["frames"]
    assert [frames[0], frames[-1]] == octets(row, "first_frame", "last_frame")
    assembler = issuer_frames.Assembler(issuer_frames.ANSWER_BYTES)
    whole = [assembler.take(frame) for frame in frames][-1]
    assert whole is not None and Welcome.read(whole[1]) == welcome


@pytest.mark.parametrize("row", PARAMS["copies"], ids=lambda row: f"{row['name']} {row['relay_id']}")
def test_copies_for_relays(row: Row) -> None:
    whole = next(bytes.fromhex(each["blob"]) for each in PARAMS["sets"] if each["name"] == row["name"])
    assert Parameters(whole).copy_for(row["relay_id"]) == bytes.fromhex(row["blob"])
