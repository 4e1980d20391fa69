"""A relay that somebody else runs: its keys are made on its machine, it is listed on IT's, by the typed commands."""

import json
import stat
from pathlib import Path

import pytest

from tessera.params import Parameters
from tessera_host.errors import IntegrityError
from tessera_host.protocol import cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.relay import admission, server_relay
from tessera_host.relay.admission import RelayRequest
from tessera_host.relay.server_relay import ServerRelay
from tests.host.test_cli_join import Desk
from tests.host.test_cli_join import tessera as tessera

REQUEST = ("relay", "request", "munich", "theirs", "--host", "relay.example.org", "--port", "8200", "-o", "its.request")
ADMIT = ("relay", "admit", "its.request", "--issuer", "issuer", "--yes")


def test_a_relay_of_somebody_else_is_asked_for_admitted_and_started(tessera: Desk) -> None:
    asked = tessera.json(*REQUEST)
    admitted = tessera.json(*ADMIT, "-o", "for-munich")
    assert admitted["added"] and admitted["words"] == " ".join(asked["words"]) and admitted["key"] == asked["key"]
    tessera.json("relay", "accept", "theirs", "for-munich")
    opened = ServerRelay(Path("theirs"))
    parameters = Parameters(Path("issuer/parameters.tpr").read_bytes())
    found = server_relay.read_parameters(Path("theirs"))
    opened.close()
    assert found.digest == parameters.digest and found.column(2) == parameters.column(2) and found.column(1) is None
    card = Federation(read_card(Path("issuer/federation.card").read_text()))
    relay = card.relay_named("munich")
    assert (relay.host, relay.port, relay.key.hex(), relay.id) == ("relay.example.org", 8200, asked["key"], 2)


def test_nothing_secret_leaves_the_relay_s_machine(tessera: Desk) -> None:
    tessera.text(*REQUEST)
    made = json.loads(Path("theirs/relay.json").read_text())
    secrets = [made["static_secret"], made["ledger_secret"], Path("theirs/seed").read_bytes().hex()]
    tessera.text(*ADMIT, "-o", "for-munich")
    for path in (Path("its.request"), Path("for-munich"), *Path("issuer").glob("*.*")):
        content = path.read_bytes()
        assert not any(secret.encode() in content or bytes.fromhex(secret) in content for secret in secrets), path
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in Path("theirs").iterdir())


def test_the_same_request_again_changes_nothing_and_gives_the_newest_set(tessera: Desk) -> None:
    tessera.text(*REQUEST)
    first = tessera.json(*ADMIT, "-o", "one")
    tessera.text("issuer", "renew", "issuer")
    again = tessera.json(*ADMIT, "-o", "two")
    assert (first["added"], again["added"]) == (True, False) and again["serial"] == first["serial"] + 1
    tessera.text("relay", "accept", "theirs", "two")
    assert server_relay.read_parameters(Path("theirs")).serial == again["serial"]
    assert "already has its parameters" in tessera.refused(2, "relay", "accept", "theirs", "two")


def test_it_takes_the_place_of_a_relay_that_was_taken_out(tessera: Desk) -> None:
    """The same name, number and mailboxes; the other keys."""
    tessera.text(*REQUEST)
    tessera.text(*ADMIT, "-o", "one")
    before = Parameters(Path("issuer/parameters.tpr").read_bytes())
    tessera.text("relay", "replace", "munich", "--issuer", "issuer")
    tessera.text("relay", "request", "munich", "anew", "--host", "relay.example.org", "-o", "anew.request")
    tessera.text("relay", "admit", "anew.request", "--issuer", "issuer", "--yes", "-o", "two")
    after = Parameters(Path("issuer/parameters.tpr").read_bytes())
    assert [relay.id for relay in after.relays] == [relay.id for relay in before.relays] == [1, 2]
    assert after.relays[1].static_key != before.relays[1].static_key
    tessera.text("relay", "accept", "anew", "two")
    assert "is for another relay" in tessera.refused(8, "relay", "accept", "theirs", "two")


def test_nobody_is_listed_before_its_words_were_compared(tessera: Desk) -> None:
    tessera.text(*REQUEST)
    before = Path("issuer/parameters.tpr").read_bytes()
    line = tessera.refused(5, *ADMIT[:-1], "-o", "for-munich")
    assert "its words were not compared" in line and "--yes" in line
    assert Path("issuer/parameters.tpr").read_bytes() == before and not Path("for-munich").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", "berlin"), ("host", "elsewhere.example"), ("port", 1), ("static_key", "02" + "11" * 32),
     ("ledger_key", "22" * 32), ("signature", "00" * 64)],
)  # fmt: skip
def test_a_request_that_was_changed_is_refused(tessera: Desk, name: str, value: object) -> None:
    tessera.text(*REQUEST)
    content = json.loads(Path("its.request").read_text())
    Path("its.request").write_text(json.dumps(content | {name: value}))
    assert "changed on its way" in tessera.refused(3, *ADMIT, "-o", "for-munich")
    assert not Path("for-munich").exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "[" * 100_000, '{"format": "tessera-relay-request"}', "\x00", "tessera:join:x"]
)
def test_what_is_no_request_is_refused(tessera: Desk, text: str) -> None:
    Path("its.request").write_text(text)
    assert "not a relay's request" in tessera.refused(3, *ADMIT, "-o", "for-munich")


@pytest.mark.parametrize("change", [{"port": True}, {"port": "8100"}, {"name": 1}, {"version": 2}, {"more": 1}])
def test_a_request_of_other_fields_is_none(tessera: Desk, change: dict[str, object]) -> None:
    tessera.text(*REQUEST)
    content = json.loads(Path("its.request").read_text())
    Path("its.request").write_text(json.dumps(content | change))
    assert "not a relay's request" in tessera.refused(3, *ADMIT, "-o", "for-munich")


def test_a_request_says_nothing_that_an_address_or_a_name_must_not(tessera: Desk) -> None:
    for changed in (("", "relay.example.org", "8100"), ("a", "a b", "8100"), ("a", "relay.example.org", "70000")):
        name, host, port = changed
        tessera.refused(2, "relay", "request", name, "theirs", "--host", host, "--port", port, "-o", "its.request")
    assert not Path("theirs").exists() and not Path("its.request").exists()
    tessera.text(*REQUEST)
    assert "not empty" in tessera.refused(2, *REQUEST[:-1], "another.request")
    assert not Path("another.request").exists()
    line = tessera.refused(2, *ADMIT[:2], "its.request", "--issuer", "nowhere", "--yes", "-o", "for-munich")
    assert "there is no issuer" in line


def test_what_is_taken_back_is_this_relay_s_set_and_signed(tessera: Desk) -> None:
    tessera.text(*REQUEST)
    tessera.text(*ADMIT, "-o", "for-munich")
    blob = Path("for-munich").read_bytes()
    other = Parameters(Path("issuer/parameters.tpr").read_bytes()).copy_for(1)
    for wrong in (b"", b"text", blob[:-1], blob[:200] + bytes([blob[200] ^ 1]) + blob[201:]):
        Path("wrong").write_bytes(wrong)
        assert "not a file of tessera relay admit" in tessera.refused(3, "relay", "accept", "theirs", "wrong")
    with pytest.raises(IntegrityError, match="is for another relay"):
        admission.accept(Path("theirs"), other)
    assert "there is no relay" in tessera.refused(2, "relay", "accept", "nowhere", "for-munich")
    assert not Path("theirs/parameters").exists()


def test_a_relay_that_was_not_admitted_yet_does_not_start(tessera: Desk) -> None:
    tessera.text(*REQUEST)
    line = tessera.refused(3, "serve", "--storage", "theirs")
    assert "tessera relay accept" in line


def test_a_request_is_signed_over_all_that_it_says(tessera: Desk) -> None:
    tessera.text(*REQUEST)
    text = Path("its.request").read_text()
    assert RelayRequest.read(text).text() == text
    assert not any(kind in text for kind in cards.FIELDS if kind not in ("member",))
