"""A member's keystore over the years: files of every version, and nothing in one counts before it was checked."""

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tessera_host.errors import KeystoreError, Unreachable
from tessera_host.keys import keystore
from tessera_host.keys.keystore import Keystore
from tessera_host.member import backup, composing, meeting, schema, token_exchange
from tessera_host.member.state import MemberState
from tessera_host.protocol import records
from tests.support import correspondence, quick_keystores
from tests.support.fake_federation import PASSPHRASE, FakeFederation, FakeIssuer, RoundClock
from tests.support.organisation import introduce

# Written by the versions of this program whose state they are: `member-1` before there were versions.
KEYSTORES = Path(__file__).parent / "keystores"


def home_with(version: int, folder: Path) -> Path:
    (folder / "member.keystore").write_bytes((KEYSTORES / f"member-{version}.keystore").read_bytes())
    return folder


@pytest.fixture
def ann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemberState:
    """Ann's state has something of everything in it; closed, but for its data."""
    quick_keystores.use(monkeypatch)
    ann = full(tmp_path, monkeypatch)
    ann.close()
    return ann


def full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MemberState:
    federation, clock = FakeFederation(), RoundClock()
    relay = federation.relay(clock)
    relay.serve(monkeypatch)
    ann, bob, carl = (
        MemberState.create(folder / name, name, federation.card(), PASSPHRASE, clock) for name in ("Ann", "Bob", "Carl")
    )
    introduce(ann, bob)
    issuer = FakeIssuer(federation)
    for member in (ann, bob):
        token_exchange.fetch(member, issuer)
    asyncio.run(correspondence.send(bob, "Ann", "Grüße"))
    composing.queue_file(bob, "Ann", "f.bin", bytes(range(256)))
    bob.outbox.drop("Ann")  # never comes: a gap
    for number in range(2):
        asyncio.run(correspondence.send(bob, "Ann", "x" * 300 if number else "again"))
    clock.next_round()
    asyncio.run(correspondence.fetch(ann))
    asyncio.run(correspondence.send(ann, "Bob", "hello"))
    composing.queue(ann, "Bob", "w" * 300)
    relay.fail_before_store = 1
    with pytest.raises(Unreachable):
        asyncio.run(correspondence.resend(ann))
    met = ann.contacts.get("Bob")
    closing = records.Closing(0, 9, bytes(8), bytes(32), records.NOT_RECEIVED, bytes(4), bytes(64))
    met.received.parts[5] = schema.Incoming(2, records.TEXT, {1: b"the end"}, closing)
    met.views, met.split = [schema.OpenView(1, bytes(32), bytes(4), 1, None)], schema.SplitView(0, True)
    meeting.invite(ann, "Dora")
    meeting.answer(ann, meeting.invite(carl, "Ann"), "Carl")
    clock.to_epoch(1)
    exchange = token_exchange.TokenExchange(ann, 1)
    exchange.take(issuer.offer(str(exchange.card())))
    ann.wallet.request(1, 1, clock())
    ann.save()
    bob.close()
    carl.close()
    return ann


# -- names


def test_names_that_were_taken_before_the_rule_are_mended_wherever_they_stand(ann: MemberState) -> None:
    old = "../.config/autostart/Bob"
    data = schema.write(ann.data)
    text = repr(data)
    assert text.count("'Bob'") > 3

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {renamed(key): renamed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return old if value == "Bob" else ".." if value == "Ann" else value

    bad = renamed(data)
    bad["contacts"]["book"]["_._.config_autostart_Bob"] = copy.deepcopy(data["contacts"]["book"]["Bob"])
    mended = schema.read(bad, Path("x"))
    assert mended.name == "_."
    new = "_._.config_autostart_Bob 2"
    assert set(mended.contacts.book) == {new, "_._.config_autostart_Bob"}
    assert old not in repr(schema.write(mended))
    assert {item.contact for item in mended.outbox} == {new} == {entry.contact for entry in mended.sent}
    assert {message.contact for message in mended.inbox.messages} == {new}


# -- versions


@pytest.mark.parametrize("version", range(1, schema.VERSION))
def test_earlier_versions_are_refused_with_a_way_out(tmp_path: Path, version: int) -> None:
    with pytest.raises(KeystoreError, match="from before the first release") as refused:
        MemberState.open(home_with(version, tmp_path), PASSPHRASE)
    assert "tessera join INVITATION --home DIRECTORY" in refused.value.hint
    assert (tmp_path / "member.keystore").read_bytes() == (KEYSTORES / f"member-{version}.keystore").read_bytes()
    with pytest.raises(KeystoreError, match="from before the first release"):  # the lock was given back
        MemberState.open(tmp_path, PASSPHRASE)


def test_version_7_opens_and_is_written_as_it_was(tmp_path: Path) -> None:
    home = home_with(7, tmp_path)
    before = keystore.read_apart(home / "member.keystore", PASSPHRASE, "member")
    assert before["schema"] == schema.VERSION == 7
    with MemberState.open(home, PASSPHRASE) as ann:
        assert sorted(ann.contacts.book) == ["Bob"]
        assert [message.text for message in ann.inbox.messages()] == ["Grüße", "again", "x" * 300]
        assert [meeting["name"] for meeting in ann.contacts.meetings()] == ["Dora", "Carl"]
        assert [bool(item.sealed) for item in ann.data.outbox] == [True, False]
        assert len(ann.contacts.get("Bob").received.parts) == len(ann.contacts.get("Bob").views) == 1
        assert ann.contacts.get("Bob").split and len(ann.data.sets) == 1
        assert ann.wallet.counts()
        ann.save()
    assert keystore.read_apart(home / "member.keystore", PASSPHRASE, "member") == before


@pytest.mark.parametrize("version", [schema.VERSION + 1, 1 << 40])
def test_newer_version_is_refused_and_left_alone(tmp_path: Path, ann: MemberState, version: int) -> None:
    data = schema.write(ann.data) | {"schema": version, "a field of that version": 1}
    Keystore.create(tmp_path / "new" / "member.keystore", PASSPHRASE, "member", data).close()
    before = (tmp_path / "new" / "member.keystore").read_bytes()
    with pytest.raises(KeystoreError, match=f"newer version of tessera .*state {version}") as refused:
        MemberState.open(tmp_path / "new", PASSPHRASE)
    assert refused.value.hint == "update tessera"
    assert (tmp_path / "new" / "member.keystore").read_bytes() == before


def test_backup_of_version_1_is_refused_too(tmp_path: Path) -> None:
    old = keystore.read_apart(KEYSTORES / "member-1.keystore", PASSPHRASE, "member")
    keystore.write_apart(tmp_path / "backup", PASSPHRASE, backup.KIND, {"made": 0, "state": old})
    with pytest.raises(KeystoreError, match="from before the first release"):
        backup.restore(tmp_path / "backup", PASSPHRASE, tmp_path / "new")
    assert not (tmp_path / "new").exists()


# -- what comes from a disk


def test_state_is_the_same_after_a_round_trip(ann: MemberState) -> None:
    written = cbor2.loads(cbor2.dumps(schema.write(ann.data)))
    assert schema.read(written, Path("here")) == ann.data
    assert schema.write(schema.read(written, Path("here"))) == written


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a value is, all the way down."""
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)  # type: ignore[assignment]
    else:
        return [path]
    return [path, *(found for key, each in inner for found in places(each, (*path, key)))]


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    data = copy.deepcopy(data)
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return data


def test_nothing_of_another_type_or_size_is_believed(ann: MemberState) -> None:
    """Every value of a full keystore in turn is something else: refused, or of the same type and taken as it is."""
    data = schema.write(ann.data)
    refused: list[KeystoreError] = []
    for path in places(data)[1:]:
        for value in ({"x": 1}, [1.5], b"\0", "a text", -1):
            changed = replaced(data, path, value)
            try:
                found = schema.read(changed, Path("here"))
            except KeystoreError as error:
                refused.append(error)
            else:
                assert schema.write(found) == changed
    assert all(error.message.startswith("here ") and error.hint for error in refused)
    assert len(refused) > 3 * len(places(data))


def without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda data: without(data, "inbox"), "inbox"),
        (lambda data: data | {"unheard of": 1}, "unheard of"),
        (lambda data: data | {"secret": data["secret"][:31]}, "secret has 31 bytes instead of 32"),
        (lambda data: replaced(data, ("contacts", "book", "Bob", "key"), bytes(33)), "contacts.book.Bob.key"),
        (lambda data: replaced(data, ("contacts", "book", "Bob", "send", "index"), -1), "Bob.send.index is out of"),
        (lambda data: replaced(data, ("contacts", "book", "Bob", "receive", "steps"), {0: b"x"}), "steps are not"),
        (lambda data: replaced(data, ("outbox", 0, "contact"), "Nobody"), "wait for Nobody"),
        (lambda data: replaced(data, ("outbox", 0, "part"), [0, 1, 1, 1, b""]), "no part of a message"),
        (lambda data: replaced(data, ("outbox", 0, "part"), [0, 0, 1, 1, bytes(137)]), "no part of a message"),
        (lambda data: replaced(data, ("outbox", 0, "part"), [0, 0, 2, 1, bytes(209)]), "no part of a message"),
        (lambda data: replaced(data, ("outbox", 0, "part"), [0, 0, 1, 1]), "part has 4 fields instead of 5"),
        (lambda data: replaced(data, ("federation", "newest"), bytes(32)), "no newest parameters"),
        (lambda data: replaced(data, ("federation", "sets"), {}), "no newest parameters"),
        (lambda data: replaced(data, ("renewal", "statement"), bytes(92)), "not a time statement"),
        (lambda data: replaced(data, ("evidence", "heads"), {bytes(32): bytes(240)}), "evidence is not valid"),
        (lambda data: data | {"schema": "2"}, "version"),
    ],
)
def test_damage_is_named_with_its_place(ann: MemberState, damage: Callable[[Any], Any], where: str) -> None:
    with pytest.raises(KeystoreError) as refused:
        schema.read(damage(schema.write(ann.data)), Path("here"))
    assert where in refused.value.message


def test_keys_that_are_none_are_refused_and_the_lock_is_given_back(tmp_path: Path, ann: MemberState) -> None:
    federation = schema.write(ann.data)["federation"]
    (card_hash,) = federation["said"]
    saying = [{"federation": federation | {"said": said}} for said in ({}, {card_hash: b""}, {card_hash: b"\xa0"})]
    for number, wrong in enumerate(({"secret": bytes(32)}, *saying)):
        home = tmp_path / str(number)
        Keystore.create(home / "member.keystore", PASSPHRASE, "member", schema.write(ann.data) | wrong).close()
        with pytest.raises(KeystoreError, match="keys that are not valid"):
            MemberState.open(home, PASSPHRASE)
        Keystore.open(home / "member.keystore", PASSPHRASE, "member", lock_wait_seconds=0).close()
