"""The text form of cards: what is written is read again, anything else is refused."""

import base64
import json
import unicodedata
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera import hashes
from tessera_host.errors import InvalidInput, UsageError
from tessera_host.protocol import cards, limits

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "contact.json").read_text())

MEMBER = {"name": "Ann", "key": bytes(32), "sig": bytes(64)}


def vector_cards() -> list[dict[str, str]]:
    found = [*VECTORS["federation_cards"], *VECTORS["member_cards"], *VECTORS["reading_cards"]]
    groups = [*VECTORS["joinings"], *VECTORS["enrolments"], *VECTORS["token_exchanges"], *VECTORS["welcomes"]]
    return found + [card for group in groups for card in group.values() if isinstance(card, dict) and "text" in card]


def as_text(kind: str, payload: bytes) -> str:
    """A card with a good checksum around any payload."""
    checksum = hashes.tagged("card", kind.encode() + payload)[:4]
    return f"tessera:{kind}:" + base64.urlsafe_b64encode(payload + checksum).decode().rstrip("=")


@pytest.mark.parametrize("vector", vector_cards(), ids=lambda vector: vector["kind"])
def test_cards_of_the_second_implementation_are_read_and_written_alike(vector: dict[str, str]) -> None:
    card = cards.decode(vector["text"], vector["kind"])
    assert card.payload.hex() == vector["payload"]
    assert cards.canonical(card.fields).hex() == vector["payload"]
    assert cards.encode(vector["kind"], card.fields) == vector["text"]


def test_vectors_have_a_card_of_every_kind() -> None:
    assert {vector["kind"] for vector in vector_cards()} == set(cards.FIELDS)


names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=60).filter(
    lambda name: not set("/\\:") & {*name} and name[0] != "." and unicodedata.is_normalized("NFC", name)
)


@given(names, st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_what_is_written_is_read_again(name: str, key: bytes, signature: bytes) -> None:
    fields = {"name": name, "key": key, "sig": signature}
    card = cards.decode(cards.encode("member", fields), "member")
    assert card.fields == {"v": 1, **fields}


@given(st.data())
def test_line_breaks_and_blanks_are_ignored(data: st.DataObject) -> None:
    text = cards.encode("member", MEMBER)
    at = data.draw(st.integers(0, len(text)))
    blank = data.draw(st.sampled_from([" ", "\n", "\r\n", "\t", "  \n"]))
    assert cards.decode(text[:at] + blank + text[at:]).fields["name"] == "Ann"


@given(st.data())
def test_a_changed_character_is_noticed(data: st.DataObject) -> None:
    text = cards.encode("member", MEMBER)
    at = data.draw(st.integers(0, len(text) - 2))  # the last one has bits that stand for nothing
    other = data.draw(st.sampled_from("abcXYZ019-_:").filter(lambda c: c != text[at]))
    with pytest.raises(InvalidInput):
        cards.decode(text[:at] + other + text[at + 1 :])


@given(st.binary(max_size=200))
def test_any_payload_with_a_good_checksum_is_read_or_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        cards.decode(as_text("member", payload))


@pytest.mark.parametrize(
    "text",
    ["", "tessera", "tessera:member", "tessera:member:", "http://x", "tessera:member:!!", "tessera:pass:AA"],
)
def test_other_text_is_no_card(text: str) -> None:
    with pytest.raises(InvalidInput):
        cards.decode(text)


def test_another_kind_than_wanted_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"kind 'member'.*kind 'invite'"):
        cards.decode(cards.encode("member", MEMBER), "invite")


def test_a_card_under_another_kind_s_name_is_refused() -> None:
    text = cards.encode("member", MEMBER).replace(":member:", ":invite:")
    with pytest.raises(InvalidInput, match="checksum"):
        cards.decode(text)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"key": bytes(31)},
        {"key": "00" * 16},
        {"sig": bytes(65)},
        {"name": ""},
        {"name": "a\x1b[2J"},
        {"name": "\u202eabc"},
        {"name": 7},
        {"extra": 1},
    ],
)
def test_fields_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        cards.decode(as_text("member", cbor2.dumps({"v": 1, **MEMBER, **change}, canonical=True)))


BAD_NAMES = [
    *("", " ", " Ann", "Ann ", "x" * 65, "a\nb", "a\tb", "a\x00b", "a\x7fb", "\u202eabc", "a\u200bb", "a\xadb"),
    *("a\u00a0b", "a\u3000b", "a\u2028b", "\ufeffAnn", "\u0378"),
    *("../.config/autostart/Bob Smith", "a/b", "a\\b", "C:x", "..", ".", ".bashrc"),
    *("Zoe\u0308", "A\u030angstro\u0308m"),
]
GOOD_NAMES = ["Ann", "Bob Smith", "Zo\u00eb", "\u5f20\u4f1f", "d'Arc", "Jr.", "x" * 64, "Ann (IT) #2", "\U0001f600"]

NAMED = {
    "member": MEMBER,
    "invite": {
        **{"federation": bytes(16), "digest": bytes(32), "epoch": 0, "name": "", "key": bytes(32)},
        **{"commit": bytes(32), "mailbox": bytes(16), "relay": 1},
    },
    "answer": {
        **{"invite": bytes(32), "name": "", "key": bytes(32), "x": bytes(32), "mailbox": bytes(16)},
        **{"relay": 1, "sig": bytes(64)},
    },
    "join": {"invitation": bytes(16), "name": "", "key": bytes(32), "sig": bytes(64), "proof": bytes(32)},
}


@pytest.mark.parametrize("kind", NAMED)
def test_names_of_people_are_plain_in_every_card(kind: str) -> None:
    for name in GOOD_NAMES:
        payload = cbor2.dumps({"v": 1, **NAMED[kind], "name": name}, canonical=True)
        assert cards.decode(as_text(kind, payload)).fields["name"] == name
    for name in BAD_NAMES:
        payload = cbor2.dumps({"v": 1, **NAMED[kind], "name": name}, canonical=True)
        with pytest.raises(InvalidInput, match="invalid field 'name'"):
            cards.decode(as_text(kind, payload))


@pytest.mark.parametrize("field", ["name", "office", "home"])
def test_names_in_an_invitation_are_plain(field: str) -> None:
    fields = {"federation": bytes(16), "root": bytes(32), "access": bytes(32), "secret": bytes(16), "until": 1}
    fields |= {"name": "Ann", "office": "Office", "home": "berlin", "issuer": None, "card": None}
    assert cards.decode(cards.encode("invitation", fields)).fields[field] == fields[field]
    for name in BAD_NAMES:
        with pytest.raises(InvalidInput, match=f"invalid field '{field}'"):
            cards.encode("invitation", {**fields, field: name})


def test_commands_have_the_same_rule_for_names_and_say_what_is_wrong() -> None:
    for name in GOOD_NAMES:
        limits.check_name("the name", name)
    for name in BAD_NAMES:
        with pytest.raises(UsageError, match=r"the name (is|has|begins)"):
            limits.check_name("the name", name)


@given(st.text())
def test_a_name_of_before_is_mended_into_a_good_one(name: str) -> None:
    assert limits.name_fault(limits.mended_name(name)) is None
    if limits.name_fault(name) is None:
        assert limits.mended_name(name) == name


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(InvalidInput):
        cards.decode(as_text("member", cbor2.dumps({"v": 1, "name": "Ann", "key": bytes(32)}, canonical=True)))


@pytest.mark.parametrize(
    "payload",
    [
        cbor2.dumps({"v": 1, **MEMBER}),  # keys in the order of writing
        cbor2.dumps({"v": 1, **MEMBER}, canonical=True) + b"\x00",  # something behind it
        cbor2.dumps({"v": 1, **MEMBER}, canonical=True).replace(b"\x61v\x01", b"\x61v\x18\x01"),  # a longer integer
        b"\x81" * 3000,
    ],
)
def test_only_the_canonical_encoding_is_read(payload: bytes) -> None:
    assert cbor2.loads(payload) if payload[:1] == b"\xa4" else True
    with pytest.raises(InvalidInput):
        cards.decode(as_text("member", payload))


def test_encode_refuses_fields_of_another_kind() -> None:
    with pytest.raises(InvalidInput):
        cards.encode("confirm", MEMBER)


def test_without_signature_leaves_the_rest() -> None:
    card = cards.decode(cards.encode("member", MEMBER))
    assert cbor2.loads(cards.without_signature(card.fields)) == {"v": 1, "name": "Ann", "key": bytes(32)}
