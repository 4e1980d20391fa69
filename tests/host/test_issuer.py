"""The issuer: what it signs, who gets tokens, and the games of members who want more than theirs."""

import itertools
import json
import random
import sqlite3
import stat
from fractions import Fraction

import cbor2
import pytest
from coincurve import PrivateKey, PublicKeyXOnly

from tessera import hashes
from tessera.errors import InvalidObject
from tessera.params import Parameters, TimeStatement, reading_hash
from tessera_host.errors import (
    IntegrityError,
    InvalidInput,
    KeystoreError,
    NotPermitted,
    TesseraError,
    TryLater,
    UsageError,
    WrongPassphrase,
)
from tessera_host.issuer import files as answering
from tessera_host.issuer.issuance import Issuance, Key
from tessera_host.issuer.issuer import Issuer
from tessera_host.keys import sealed_tables
from tessera_host.keys.keystore_database import KeystoreDatabase
from tessera_host.protocol import blind, card_files, cards, schedule, sealed_reading_key
from tessera_host.protocol.federation import Federation, contradict, is_whole, read_card
from tessera_host.protocol.limits import MOST_SETS_BESIDE, OPEN_SESSIONS_PER_KEY
from tessera_host.protocol.sets_beside import SetsBeside
from tessera_host.protocol.welcome import Welcome
from tests.support import quick_keystores
from tests.support.clock import NOW, Clock
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.organisation import PASSPHRASE, Organisation, keystore_content, new_issuer, planned

DAY = 86400
AHEAD = 8
PLAN = planned(epsilon=Fraction("0.1"), members=24, allow_small=False)
BIG_QUOTA = planned(epsilon=Fraction("0.1"), members=5, tokens_per_epoch=6, posts_per_token=16, retention_epochs=1)
RELAY_SECRET = 7


class Desk(Organisation):
    """An issuer's directory with one relay, and members on its roster who are nothing but cards."""

    def __init__(self, folder, made=PLAN, names=("anna", "ben"), relays=1, **options):
        clock = Clock()
        super().__init__(folder, new_issuer(folder, made, clock=clock, name="Berlin office", **options), clock)
        self.path = folder / "issuer"
        for number in range(relays):
            self.issuer.add_relay_keys(f"relay-{number}", "10.0.0.1", 8100 + number, *own_keys(RELAY_SECRET + number))
        self.fakes = {name: self.admit_fake(name) for name in names}

    @property
    def newest(self):
        return self.issuer.parameters

    def request(self, member, generation=None, epoch=None):
        generation = generation or self.newest.generation
        return member.request(generation, self.issuer.current_epoch if epoch is None else epoch, self.clock())

    def offer(self, member, generation=None, epoch=None, online=False):
        return self.issuer.offer(self.request(member, generation, epoch), online)

    def content(self):
        """Of the keystore's file, with all that was written."""
        return keystore_content(self.path / "issuer.keystore")

    def challenge(self, member, generation=None):
        """A challenge for a new offer, and what is pending."""
        return member.challenge(self.offer(member, generation), self.of_generation(generation))

    def of_generation(self, generation):
        before = self.issuer._store.sets.running(self.issuer.current_epoch).parameters
        return before if generation == before.generation else self.newest

    def fetch(self, member, generation=None):
        """A whole exchange; the (epoch, relay) of the tokens, all of which verify."""
        challenge, pending = self.challenge(member, generation)
        if pending:
            assert good_tokens(self.issuer.answer(challenge), pending) == len(pending)
        return [(each.epoch, each.relay) for each in pending]

    def charged(self, member, epoch=1):
        return self.issuer._store.issuance.charged(member.key, epoch)[0]

    def to_epoch(self, epoch):
        """An hour into it."""
        self.clock.now = self.newest.genesis + epoch * DAY + 3600


def tag(desk, place):
    """As which a relay of the newest set is counted."""
    return desk.newest.relays[place].static_key[1:9]


def own_keys(number):
    """(static key, ledger key) of a relay that made them itself."""
    point = PrivateKey.from_int(number).public_key.format()
    return point, point[1:]


def epochs(first, last, relays=(1,)):
    return [(epoch, relay) for epoch in range(first, last + 1) for relay in relays]


@pytest.fixture(autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        quick_keystores.use(patch)
        yield


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.close()


@pytest.fixture
def big_desk(tmp_path):
    made = Desk(tmp_path, BIG_QUOTA, ("anna", "ben", "cleo"))
    yield made
    made.close()


def state_on_disk(desk):
    """The issuance state as another process would find it: how many rows each of its tables has; what was charged, by
    generation, epoch, relay and member; digests of requests by the epoch in which they were answered; open batches, and
    answers by session. Rows have no names for who reads a table: those that are here are looked up."""
    desk.issuer.close()
    with KeystoreDatabase.open(desk.path / "issuer.keystore", PASSPHRASE, "issuer") as keystore:
        tables = {name: keystore.table(name) for name in Issuance.TABLES}
        on_roster = [member["key"] for member in keystore.table("roster").values()]
        keys, charged = {*on_roster, *(member.key for member in desk.fakes.values())}, {}
        for generation, key in itertools.product(range(1, 5), keys):
            kept = tables["charged"].get(generation.to_bytes(4, "big") + key) or {}
            for epoch, relay in ((epoch, relay) for epoch, counts in kept.items() for relay in counts):
                of_epoch = charged.setdefault(generation, {}).setdefault(epoch, {})
                of_epoch.setdefault(relay, {})[key] = kept[epoch][relay]
        with sqlite3.connect(desk.path / "issuer.keystore") as connection:
            seen = [until - 3 for (until,) in connection.execute("SELECT until FROM seen ORDER BY until")]
        connection.close()
        rows = {name: len(table) for name, table in tables.items()}
        content = {"open": tables["open"].values(), "answered": tables["answered"].values()}
        lost = keystore.data["lost"]
    desk.issuer = desk.open_issuer()
    return {"charged": charged, "seen": seen, "lost": lost, "rows": rows} | content


# -- the federation


def test_parameters_are_those_of_the_plan_and_verify_under_libsecp256k1(tmp_path):
    with new_issuer(tmp_path, PLAN, clock=Clock()) as issuer:
        blob = (tmp_path / "issuer" / "parameters.tpr").read_bytes()
        assert blob == issuer.parameters.blob
    parameters = Parameters(blob)
    assert (parameters.serial, parameters.members, parameters.candidates, parameters.first_epoch) == (1, 24, 218, 0)
    assert (parameters.epsilon, parameters.epochs, parameters.relays) == (100000, 90, [])
    assert (parameters.generation, parameters.ahead, parameters.previous) == (1, AHEAD, bytes(32))
    assert parameters.genesis == NOW - 7 and parameters.genesis % 300 == 0
    assert parameters.delta == -(-PLAN.table.exact_delta * 2**64 // 1)
    assert bytes(parameters.thresholds) == PLAN.table.pack()
    digest = hashes.tagged("params", blob[:176])
    assert PublicKeyXOnly(parameters.root_key).verify(blob[176:240], digest)
    parameters.check_capacity(PLAN.board.ring_pages)


def test_epoch_keys_are_those_tokens_are_signed_under_one_for_each_relay(tmp_path):
    desk = Desk(tmp_path, relays=2)
    parameters, signer = desk.newest, desk.issuer._store.signer
    seen = set()
    for epoch in (0, 1, 89):
        for relay in parameters.relays:
            secret = signer.epoch_secret(parameters.federation_id, 1, epoch, relay.id, relay.static_key)
            assert parameters.epoch_key(relay.id, epoch) == blind.epoch_key(secret)
            seen.add(secret)
    assert len(seen) == 6
    assert parameters.epoch_key(1, 90) is None
    desk.close()


def test_the_federation_card_says_all_under_the_digest_of_its_set(desk):
    fields = cards.decode((desk.path / "federation.card").read_text(), "federation").fields
    assert fields["v"] == 2 and fields["params"] == desk.newest.blob
    assert hashes.tagged("federation-card", fields["said"]) == desk.newest.card_hash
    assert cbor2.loads(fields["said"]) == {
        "name": "Berlin office",
        "relays": [{"id": 1, "name": "relay-0", "host": "10.0.0.1", "port": 8100}],
        "budget": {"epsilon": "2", "delta": "2e-5"},
        "issuer": None,
        "retention_days": 90,
        "partners": [],
        "topology": None,
    }


def test_no_document_of_the_directory_has_the_reading_key(desk):
    key = desk.issuer._store.data["reading_key"]
    assert desk.newest.reading_hash == reading_hash(key)
    for name in ("federation.card", "parameters.tpr", "digests.txt", "issuer.keystore"):
        content = (desk.path / name).read_bytes()
        assert key not in content
        if name == "federation.card":
            assert key not in cards.decode(content.decode()).payload


def test_every_relay_opens_the_reading_key_with_its_own_secret_only(tmp_path):
    desk = Desk(tmp_path, relays=2)
    key, newest = desk.issuer._store.data["reading_key"], desk.newest
    for relay in (1, 2):
        secret = (RELAY_SECRET + relay - 1).to_bytes(32, "big")
        assert newest.reading_key(secret, relay) == key
        with pytest.raises(InvalidObject):
            newest.reading_key(secret, 3 - relay)
    desk.close()


def test_the_digests_of_all_sets_are_published(desk):
    first = desk.issuer.summary()["sets"]
    desk.issuer.renew()
    lines = (desk.path / "digests.txt").read_text().splitlines()
    assert lines == [f"{each['serial']} {each['digest']}" for each in [*first, desk.issuer.summary()["sets"][-1]]]
    assert lines[-1] == f"{desk.newest.serial} {desk.newest.digest.hex()}"


def test_every_set_ever_signed_is_kept_for_auditors(desk):
    """Also one that never came into force, and after a start that found it unpublished."""
    for days in (0, 0, 30, 30):
        desk.clock.now += days * DAY
        desk.issuer.renew()
    newest = max((desk.path / "sets").iterdir())
    newest.unlink()
    desk.restart_issuer()
    kept = [Parameters(path.read_bytes()) for path in sorted((desk.path / "sets").iterdir())]
    chain = desk.issuer._store.sets.chain
    assert [made.digest for made in kept] == [place["digest"] for place in chain]
    assert len(desk.issuer._store.data["sets"]["signed"]) < len(kept)


def test_no_two_federations_share_anything(tmp_path):
    sets = []
    for name in "ab":
        with Issuer.create(tmp_path / name, PASSPHRASE, PLAN, "x", now=lambda: NOW) as issuer:
            sets.append(issuer.parameters)
    for field in ("federation_id", "root_key", "access_key", "reading_hash", "ephemeral"):
        assert getattr(sets[0], field) != getattr(sets[1], field)


def test_an_issuer_is_never_overwritten(desk):
    before = desk.content()
    desk.issuer.close()
    with pytest.raises(KeystoreError):
        Issuer.create(desk.path, PASSPHRASE, PLAN, "another", now=desk.clock)
    assert desk.content() == before
    (desk.path / "issuer.keystore").rename(desk.path / "elsewhere")
    with pytest.raises(UsageError, match="keystore is missing"):
        Issuer.create(desk.path, PASSPHRASE, PLAN, "another", now=desk.clock)


def test_the_directory_tells_nothing_without_the_passphrase(desk):
    content = desk.content()
    with pytest.raises(KeystoreError, match="in use"):
        KeystoreDatabase.open(desk.path / "issuer.keystore", PASSPHRASE, "issuer", lock_wait_seconds=0)
    for secret in ("root_secret", "master"):
        assert desk.issuer._store.data[secret] not in content
    for name in ("issuer.keystore", "federation.card", "parameters.tpr", "digests.txt"):
        assert stat.S_IMODE((desk.path / name).stat().st_mode) == 0o600
    desk.issuer.close()
    with pytest.raises(WrongPassphrase):
        Issuer.open(desk.path, "incorrect horse")


def test_stale_and_missing_documents_are_written_anew(desk):
    expected = (desk.path / "parameters.tpr").read_bytes(), (desk.path / "federation.card").read_bytes()
    (desk.path / "parameters.tpr").write_bytes(b"old")
    (desk.path / "federation.card").unlink()
    desk.restart_issuer()
    assert ((desk.path / "parameters.tpr").read_bytes(), (desk.path / "federation.card").read_bytes()) == expected


@pytest.mark.parametrize(("epochs", "hint"), [(0, "--epochs 1"), (401, "--epochs 400")])
def test_schedule_length_out_of_range_is_refused(tmp_path, epochs, hint):
    with pytest.raises(UsageError, match=hint):
        Issuer.create(tmp_path / "issuer", PASSPHRASE, PLAN, "x", epochs=epochs, now=lambda: NOW)
    assert not (tmp_path / "issuer" / "issuer.keystore").exists()


@pytest.mark.parametrize("genesis", [-1, 1 << 40])
def test_genesis_out_of_range_is_refused(tmp_path, genesis):
    with pytest.raises(UsageError, match="genesis"):
        Issuer.create(tmp_path / "issuer", PASSPHRASE, PLAN, "x", genesis=genesis, now=lambda: NOW)


def test_summary_has_no_secrets(desk):
    text = json.dumps(desk.issuer.summary())
    data = desk.issuer._store.data
    for secret in (data["root_secret"], data["master"], desk.newest.access_key, data["reading_key"]):
        assert secret.hex() not in text


# -- relays


def test_relay_directory_and_parameters_belong_together(tmp_path):
    desk = Desk(tmp_path, relays=0)
    relay = desk.issuer.add_relay("first", "relay.example.org", 8100, tmp_path / "relay")
    configuration = json.loads((tmp_path / "relay" / "relay.json").read_text())
    assert configuration == {
        "version": 1,
        "name": "first",
        "static_secret": relay.static_secret.hex(),
        "ledger_secret": relay.ledger_secret.hex(),
        "ring_sectors": 208,
        "keyring_sectors": 8,
        "host": "relay.example.org",
        "port": 8100,
    }
    seed = (tmp_path / "relay" / "seed").read_bytes()
    assert len(seed) == 32 and seed == relay.seed != bytes(32)
    parameters = Parameters((tmp_path / "relay" / "parameters").read_bytes())
    parameters.verify()
    assert parameters.serial == 2 and listed(parameters) == [(1, relay.key, relay.ledger_key)]
    assert (desk.path / "parameters.tpr").read_bytes() == parameters.blob
    fields = cards.decode((desk.path / "federation.card").read_text(), "federation").fields
    assert fields["params"] == parameters.blob
    assert cards.decode_said(fields["said"])["relays"] == [
        {"id": 1, "name": "first", "host": "relay.example.org", "port": 8100}
    ]
    for name in ("relay.json", "seed"):
        assert stat.S_IMODE((tmp_path / "relay" / name).stat().st_mode) == 0o600
    desk.close()


def listed(parameters):
    return [(relay.id, relay.static_key, relay.ledger_key) for relay in parameters.relays]


def test_a_second_relay_changes_no_key_of_the_first_and_each_gets_its_own_column(tmp_path):
    desk = Desk(tmp_path, relays=0)
    one = desk.issuer.add_relay("one", "localhost", 8100, tmp_path / "one")
    before = desk.newest
    two = desk.issuer.add_relay("two", "::1", 8101, tmp_path / "two")
    after = desk.newest
    assert (before.serial, after.serial, after.previous) == (2, 3, before.digest)
    assert listed(after) == [(1, one.key, one.ledger_key), (2, two.key, two.ledger_key)]
    assert one.seed != two.seed and one.static_secret != two.static_secret
    assert after.generation == before.generation and after.access_key == before.access_key
    assert after.reading_hash == before.reading_hash and bytes(after.thresholds) == bytes(before.thresholds)
    assert after.column(1) == before.column(1)
    copy = Parameters((tmp_path / "two" / "parameters").read_bytes())
    assert copy.digest == after.digest and copy.column(2) == after.column(2) and copy.column(1) is None
    desk.close()


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [("relay-0", "localhost", 8100), ("", "localhost", 1), ("a\nb", "localhost", 1), ("x" * 65, "h", 1), ("two", "", 1),
     ("two", "a b", 1), ("two", "h", 0), ("two", "h", 65536), ("two", "user@h", 1)],
)  # fmt: skip
def test_bad_relays_are_refused_and_leave_nothing(desk, tmp_path, name, host, port):
    before = desk.issuer.parameters.blob
    with pytest.raises(UsageError):
        desk.issuer.add_relay(name, host, port, tmp_path / "two")
    assert desk.issuer.parameters.blob == before and not (tmp_path / "two").exists()


def test_a_relay_that_made_its_keys_itself_is_listed_by_them(desk):
    before = desk.newest.serial
    assert desk.issuer.add_relay_keys("berlin", "relay.example.org", 8100, *own_keys(9)) is True
    made = desk.newest
    made.verify()
    assert made.serial == before + 1 and listed(made)[1:] == [(2, *own_keys(9))]
    federation = Federation(read_card(desk.issuer.federation_card))
    relay = federation.relay_named("berlin")
    assert (relay.id, relay.key, relay.host, relay.port) == (2, own_keys(9)[0], "relay.example.org", 8100)


def test_listing_the_same_relay_again_changes_nothing(desk):
    before = desk.newest.digest
    assert desk.issuer.add_relay_keys("relay-0", "10.0.0.1", 8100, *own_keys(RELAY_SECRET)) is False
    assert desk.newest.digest == before


def test_a_name_or_a_board_is_listed_once(desk):
    for name, number in (("relay-0", 8), ("potsdam", RELAY_SECRET)):
        with pytest.raises(UsageError):
            desk.issuer.add_relay_keys(name, "10.0.0.1", 8100, *own_keys(number))
    assert len(desk.issuer.relays) == 1


def test_a_relay_that_was_removed_is_listed_no_more_and_its_number_is_nobodys(desk):
    desk.issuer.add_relay_keys("potsdam", "10.0.0.2", 8100, *own_keys(8))
    desk.issuer.remove_relay("relay-0")
    assert listed(desk.newest) == [(2, *own_keys(8))]
    desk.issuer.add_relay_keys("relay-0", "10.0.0.1", 8100, *own_keys(9))
    assert listed(desk.newest) == [(2, *own_keys(8)), (3, *own_keys(9))]
    with pytest.raises(UsageError):
        desk.issuer.remove_relay("leipzig")


def test_a_replaced_relay_leaves_its_number_name_and_address_to_its_successor(desk, tmp_path):
    before = desk.newest
    relay = desk.issuer.replace_relay("relay-0", tmp_path / "new")
    after = desk.newest
    assert listed(after) == [(1, relay.key, relay.ledger_key)] != listed(before)
    assert after.generation == before.generation
    assert after.access_key != before.access_key and after.reading_hash != before.reading_hash
    assert after.epoch_key(1, after.first_epoch) != before.epoch_key(1, after.first_epoch)
    found = Federation(read_card(desk.issuer.federation_card)).relay_named("relay-0")
    assert (found.id, found.host, found.port) == (1, "10.0.0.1", 8100)


def test_a_board_takes_the_place_of_one_that_was_vacated_and_nobody_reads_with_its_key_meanwhile(desk):
    before = desk.newest
    desk.issuer.vacate_relay("relay-0")
    vacated = desk.newest
    assert vacated.relays == [] and vacated.reading_hash != before.reading_hash
    assert desk.issuer.summary()["relays_to_be_replaced"] == ["relay-0"]
    desk.issuer.add_relay_keys("relay-0", "10.0.0.9", 8100, *own_keys(9))
    assert listed(desk.newest) == [(1, *own_keys(9))]
    assert desk.newest.generation == vacated.generation == before.generation
    assert desk.newest.epoch_key(1, 0) not in (None, before.epoch_key(1, 0))
    assert desk.issuer.summary()["relays_to_be_replaced"] == []


def test_what_is_no_key_is_not_listed(desk):
    key, ledger = own_keys(7)
    no_point = b"\2" + bytes(31) + b"\5"  # x = 5 is on no point of the curve
    for wrong in ((no_point, ledger), (key, no_point[1:]), (b"\4" + key[1:], ledger), (key[:-1], ledger)):
        with pytest.raises(InvalidInput):
            desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *wrong)
    assert len(desk.issuer.relays) == 1


def test_a_directory_with_something_in_it_is_no_place_for_a_relay(desk, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "seed").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        desk.issuer.add_relay("one", "localhost", 8100, tmp_path / "used")
    assert len(desk.issuer.relays) == 1 and desk.newest.serial == 2
    assert (tmp_path / "used" / "seed").read_text() == "mine"


def test_no_more_than_64_relays(desk, tmp_path):
    data = desk.issuer._store.data
    data["relays"]["listed"] = [
        {"id": 10 + i, "name": str(i), "key": own_keys(100 + i)[0], "ledger": bytes(32), "host": "h", "port": 1}
        for i in range(64)
    ]
    with pytest.raises(UsageError, match="relays"):
        desk.issuer.add_relay("one too many", "localhost", 8100, tmp_path / "r")
    assert not (tmp_path / "r").exists()


# -- the roster


def test_a_member_is_admitted_once_under_one_name(desk):
    anna = desk.fakes["anna"]
    with pytest.raises(NotPermitted, match="already"):
        desk.issuer.admit(anna.card())
    impostor = FakeMember("anna", anna.federation_id)
    with pytest.raises(NotPermitted, match="already a member"):
        desk.issuer.admit(impostor.card())
    assert [member["name"] for member in desk.issuer.roster] == ["anna", "ben"]


def test_a_card_that_was_changed_or_is_for_another_federation_is_refused(desk):
    cleo = FakeMember("cleo", desk.issuer.parameters.federation_id)
    stranger = FakeMember("cleo", b"another fed. id!")
    for card in (cleo.card(name="boss"), cleo.card(key=desk.fakes["anna"].key), stranger.card()):
        with pytest.raises(InvalidInput, match="not signed"):
            desk.issuer.admit(card)
    assert len(desk.issuer.roster) == 2


def test_the_roster_is_no_longer_than_the_plan_says(tmp_path):
    made = planned(members=2)
    desk = Desk(tmp_path, made)
    with pytest.raises(NotPermitted, match="full"):
        desk.admit_fake("cleo")
    desk.issuer.remove("ben")
    assert desk.admit_fake("cleo")
    desk.issuer.close()


def test_a_removed_member_gets_no_tokens_even_for_an_open_session(desk):
    anna = desk.fakes["anna"]
    challenge, _ = desk.challenge(anna)
    assert desk.issuer.summary()["open_sessions"] == AHEAD + 1
    generation = desk.newest.generation
    desk.issuer.remove("anna")
    assert desk.issuer.summary()["open_sessions"] == 0
    for _ in range(2):
        with pytest.raises(NotPermitted):
            desk.issuer.answer(challenge)
        for each in (generation, desk.newest.generation):
            with pytest.raises(NotPermitted, match="roster"):
                desk.offer(anna, each)
        for each in (desk.issuer.welcome, desk.issuer.reading_card, desk.issuer.offer_unasked):
            with pytest.raises(NotPermitted, match="roster"):
                each(anna.key)
        desk.issuer.remove("ben")
        desk.admit_fake("ben")
    desk.issuer.admit(anna.card())
    with pytest.raises(NotPermitted):
        desk.issuer.answer(challenge)
    assert desk.fetch(anna, generation) == []  # they stay charged
    with pytest.raises(NotPermitted, match="no member"):
        desk.issuer.remove("nobody")


# -- tokens


def test_a_visit_has_tokens_for_every_relay_and_the_open_epoch_and_those_ahead(tmp_path):
    desk = Desk(tmp_path, relays=3)
    anna = desk.fakes["anna"]
    assert desk.fetch(anna) == epochs(0, AHEAD, (1, 2, 3))
    assert desk.charged(anna, 0) == desk.charged(anna, AHEAD) == 3
    desk.close()


def test_a_later_visit_has_what_the_ones_before_had_not(desk):
    anna = desk.fakes["anna"]
    assert desk.fetch(anna) == epochs(0, AHEAD)
    assert desk.fetch(anna) == []
    desk.to_epoch(1)
    assert desk.fetch(anna) == epochs(AHEAD + 1, AHEAD + 1)
    desk.issuer.add_relay_keys("two", "10.0.0.2", 8100, *own_keys(9))
    assert desk.fetch(anna) == epochs(1, AHEAD + 1, (2,))
    desk.to_epoch(30)
    assert desk.fetch(anna) == epochs(30, 30 + AHEAD, (1, 2))


def test_a_request_says_nothing_of_what_its_member_holds(desk):
    """But whose it is, and when: the same fields, of the same size."""
    anna, ben = desk.fakes.values()
    desk.fetch(anna)
    one, other = (cards.decode(desk.request(member)) for member in (anna, ben))
    assert one.fields.keys() == other.fields.keys() and len(one.payload) == len(other.payload)
    differing = {name for name in one.fields if one.fields[name] != other.fields[name]}
    assert differing == {"member", "sig"}


def test_tokens_before_genesis_are_those_of_the_first_epochs(tmp_path):
    desk = Desk(tmp_path, genesis=NOW + 100)
    assert desk.fetch(desk.fakes["anna"]) == epochs(0, AHEAD)
    desk.close()


def test_first_epoch_is_the_one_the_issuer_was_made_in(tmp_path):
    desk = Desk(tmp_path, genesis=NOW - 10 * DAY)
    assert desk.issuer.current_epoch == desk.newest.first_epoch == 10
    assert desk.fetch(desk.fakes["anna"]) == epochs(10, 10 + AHEAD)
    desk.close()


def test_nothing_is_issued_past_the_schedule_and_nothing_breaks_there(tmp_path):
    desk = Desk(tmp_path, epochs=3)
    anna = desk.fakes["anna"]
    assert desk.fetch(anna) == epochs(0, 2)
    desk.to_epoch(3)
    assert desk.fetch(anna) == []
    desk.issuer.renew()
    assert desk.fetch(anna) == epochs(3, 5)
    desk.close()


def test_more_tokens_an_epoch_than_may_be_open_come_in_several_offers(big_desk):
    anna = big_desk.fakes["anna"]
    assert sorted(big_desk.fetch(anna)) == sorted(4 * epochs(0, AHEAD))
    assert sorted(big_desk.fetch(anna)) == sorted(2 * epochs(0, AHEAD))
    assert big_desk.fetch(anna) == []
    assert big_desk.charged(anna) == 6


def test_quota_counts_aborted_sessions(desk):
    anna = desk.fakes["anna"]
    first = desk.offer(anna)
    assert desk.charged(anna) == 1
    assert cards.decode(desk.offer(anna)).fields["offers"] == []
    challenge, pending = anna.challenge(first, desk.newest)
    assert good_tokens(desk.issuer.answer(challenge), pending) == AHEAD + 1  # what has nothing aborts nothing


def test_a_new_offer_aborts_the_one_before(big_desk):
    anna = big_desk.fakes["anna"]
    first = big_desk.offer(anna)
    second = big_desk.offer(anna)
    with pytest.raises(NotPermitted, match="session is not open"):
        big_desk.issuer.answer(anna.challenge(first, big_desk.newest)[0])
    challenge, pending = anna.challenge(second, big_desk.newest)
    assert good_tokens(big_desk.issuer.answer(challenge), pending) == 2 * (AHEAD + 1)
    assert big_desk.charged(anna) == 6


@pytest.mark.parametrize("generation", [0, 2, 1 << 40])
def test_of_another_generation_there_are_no_tokens(desk, generation):
    with pytest.raises(NotPermitted, match="newest federation card"):
        desk.issuer.offer(desk.fakes["anna"].request(generation, 0, desk.clock()))
    assert desk.charged(desk.fakes["anna"]) == 0


@pytest.mark.parametrize("epoch", [2, 3, 1 << 40])
def test_a_request_of_another_epoch_is_refused(desk, epoch):
    with pytest.raises(NotPermitted, match="clocks"):
        desk.offer(desk.fakes["anna"], epoch=epoch)


def test_a_member_whose_clock_is_an_epoch_off_gets_the_same_tokens(desk):
    desk.to_epoch(5)
    anna, ben = desk.fakes.values()
    for member, epoch in ((anna, 4), (ben, 6)):
        offers = cards.decode(desk.offer(member, epoch=epoch)).fields["offers"]
        assert [(each, relay) for each, relay, *_ in offers] == epochs(5, 5 + AHEAD)


def test_a_roster_that_changes_does_not_make_more_tokens(tmp_path):
    desk = Desk(tmp_path, planned(members=2))
    for member in desk.fakes.values():
        assert desk.fetch(member) == epochs(0, AHEAD)
    desk.issuer.remove("ben")
    cleo = desk.admit_fake("cleo")
    assert desk.newest.first_epoch == 1
    assert desk.fetch(cleo, generation=1) == []  # the relays have no room for more in epoch 0
    assert desk.fetch(cleo) == epochs(1, AHEAD)
    desk.close()


def test_counts_of_past_epochs_are_forgotten(desk):
    anna = desk.fakes["anna"]
    for epoch in range(1, 6):
        desk.fetch(anna)
        desk.to_epoch(epoch)
    desk.fetch(anna)
    state = state_on_disk(desk)
    assert set(state["charged"][1]) == set(range(5, 6 + AHEAD))
    assert set(state["seen"]) == {3, 4, 5}
    assert len(state["answered"]) == 6


def test_after_finishing_only_counts_and_what_was_said_are_kept(desk):
    anna = desk.fakes["anna"]
    request = desk.request(anna)
    challenge, _ = anna.challenge(desk.issuer.offer(request), desk.newest)
    answer = desk.issuer.answer(challenge)
    digest = hashes.tagged("request", cards.decode(request).payload)
    state, said = state_on_disk(desk), cards.decode(challenge).fields
    shown = hashes.tagged("tokens-challenge", cards.without_signature(said))
    assert state.pop("answered") == [{"challenge": shown, "answer": answer}]
    counts = {epoch: {tag(desk, 0): {anna.key: 1}} for epoch in range(AHEAD + 1)}
    rows = {"charged": 2, "seen": 1, "open": 0, "answered": 1}  # of charged also the sum of all
    assert state == {"charged": {1: counts}, "seen": [0], "open": [], "lost": 0, "rows": rows}
    assert desk.issuer._store.keystore.table("seen").get(digest)


# -- games


def test_a_challenge_that_comes_again_gets_the_same_answer_until_its_last_epoch_is_over(desk):
    """An answer may be lost on its way; given again it says nothing new."""
    anna = desk.fakes["anna"]
    challenge, pending = desk.challenge(anna)
    answer = desk.issuer.answer(challenge)
    assert good_tokens(answer, pending) == AHEAD + 1
    for _ in range(3):
        assert desk.issuer.answer(challenge) == answer
        desk.restart_issuer()
    desk.to_epoch(AHEAD)
    desk.offer(desk.fakes["ben"])
    assert desk.issuer.answer(challenge) == answer
    desk.to_epoch(AHEAD + 1)
    desk.offer(desk.fakes["ben"])
    with pytest.raises(NotPermitted, match="session is not open"):
        desk.issuer.answer(challenge)


def test_an_answer_is_not_given_again_to_who_is_no_member_any_more(desk):
    anna = desk.fakes["anna"]
    challenge, _ = desk.challenge(anna)
    desk.issuer.answer(challenge)
    desk.issuer._store.roster.remove("anna")  # without the new generation, which forgets answers
    with pytest.raises(NotPermitted, match="roster"):
        desk.issuer.answer(challenge)


def test_other_challenges_for_an_answered_session_are_refused(desk):
    """Two answers under one nonce are the epoch's key (test_blind shows it)."""
    anna = desk.fakes["anna"]
    offer = desk.offer(anna)
    first, _ = anna.challenge(offer, desk.newest)
    second, _ = anna.challenge(offer, desk.newest)
    desk.issuer.answer(first)
    with pytest.raises(NotPermitted, match="session is not open"):
        desk.issuer.answer(second)


def test_session_is_spent_on_disk_before_anything_of_its_answer_is_said(desk):
    """What the disk has when the method returns is what another process finds, without this one's end."""
    anna = desk.fakes["anna"]
    challenge, _ = desk.challenge(anna)
    answer = desk.issuer.answer(challenge)
    with sqlite3.connect(f"file:{desk.path / 'issuer.keystore'}?mode=ro", uri=True) as another:
        counts = [another.execute(f"SELECT COUNT(*) FROM {name}").fetchone() for name in ("open", "answered")]
    another.close()
    assert counts == [(0,), (1,)]
    state = state_on_disk(desk)
    assert state["open"] == [] and [each["answer"] for each in state["answered"]] == [answer]
    assert desk.charged(anna) == 1


def test_an_answer_that_was_cut_short_was_never_said_and_its_session_is_as_it_was(desk, monkeypatch):
    anna = desk.fakes["anna"]
    challenge, pending = desk.challenge(anna)
    before = state_on_disk(desk)

    def drawing(*arguments):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(blind, "answer", drawing)
        with pytest.raises(RuntimeError):
            desk.issuer.answer(challenge)
    assert state_on_disk(desk) == before and len(before["open"]) == 1
    assert good_tokens(desk.issuer.answer(challenge), pending) == AHEAD + 1
    assert desk.charged(anna) == 1


def test_nothing_is_answered_if_the_keystore_cannot_be_saved(desk, monkeypatch):
    anna = desk.fakes["anna"]
    challenge, pending = desk.challenge(anna)
    before = state_on_disk(desk)

    def failing(_):
        raise KeystoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(KeystoreDatabase, "_commit", failing)
        with pytest.raises(KeystoreError):
            desk.issuer.answer(challenge)
        with pytest.raises(KeystoreError):
            desk.offer(desk.fakes["ben"])
    assert state_on_disk(desk) == before
    assert good_tokens(desk.issuer.answer(challenge), pending) == AHEAD + 1
    assert desk.charged(desk.fakes["ben"]) == 0


def test_an_offer_that_was_not_saved_is_not_made_later_either(desk, monkeypatch):
    """The same request gets another one, under nonces that nobody had."""
    request, drawn, fresh = desk.request(desk.fakes["ben"]), [], blind.Nonces.fresh
    monkeypatch.setattr(blind.Nonces, "fresh", lambda: (drawn.append(fresh()), drawn[-1])[1])
    with monkeypatch.context() as patch:
        patch.setattr(KeystoreDatabase, "_commit", lambda _: (_ for _ in ()).throw(KeystoreError("disk full")))
        with pytest.raises(KeystoreError):
            desk.issuer.offer(request)
    assert desk.issuer._store.issuance.open_sessions() == 0 and desk.charged(desk.fakes["ben"]) == 0
    unsaved = {nonce.offer() for nonce in drawn}
    offered = {(r0, r1) for *_, r0, r1 in cards.decode(desk.issuer.offer(request)).fields["offers"]}
    assert len(unsaved) == len(offered) == AHEAD + 1 and not unsaved & offered
    assert desk.charged(desk.fakes["ben"]) == 1


def test_the_same_request_gets_the_same_offer_while_it_is_open_and_none_later(desk):
    anna = desk.fakes["anna"]
    request = desk.request(anna)
    offer = desk.issuer.offer(request)
    desk.restart_issuer()
    assert desk.issuer.offer(request) == offer
    assert desk.charged(anna) == 1
    challenge, pending = anna.challenge(offer, desk.newest)
    assert good_tokens(desk.issuer.answer(challenge), pending) == AHEAD + 1
    with pytest.raises(NotPermitted, match="answered before"):
        desk.issuer.offer(request)
    assert desk.charged(anna) == 1


def test_a_member_cannot_use_anothers_session(desk):
    anna, ben = desk.fakes["anna"], desk.fakes["ben"]
    offer = desk.offer(anna)
    stolen, _ = ben.challenge(offer, desk.newest)
    with pytest.raises(NotPermitted, match="another member"):
        desk.issuer.answer(stolen)
    challenge, pending = anna.challenge(offer, desk.newest)
    assert good_tokens(desk.issuer.answer(challenge), pending) == AHEAD + 1


def test_strangers_and_forged_cards_are_refused_and_change_nothing(desk):
    anna = desk.fakes["anna"]
    before = desk.content()
    stranger = FakeMember("mallory", anna.federation_id)
    with pytest.raises(NotPermitted, match="roster"):
        desk.offer(stranger)
    fields = cards.decode(desk.request(anna)).fields
    for change in ({"generation": 2}, {"epoch": 1}, {"time": fields["time"] + 1}, {"member": desk.fakes["ben"].key}):
        with pytest.raises(InvalidInput, match="signature"):
            desk.issuer.offer(cards.encode("tokens-request", fields | change))
    assert desk.content() == before
    fields = cards.decode(desk.challenge(anna)[0]).fields
    before = desk.content()
    for change in ({"challenges": fields["challenges"][::-1]}, {"sig": bytes(64)}):
        with pytest.raises(InvalidInput, match="signature"):
            desk.issuer.answer(cards.encode("tokens-challenge", fields | change))
    assert desk.content() == before


def test_malformed_challenges_are_refused_and_spend_nothing(desk):
    anna = desk.fakes["anna"]
    challenge, pending = desk.challenge(anna)
    fields = cards.decode(challenge).fields
    session, pairs = fields["session"], fields["challenges"]
    too_large = blind.ORDER.to_bytes(32, "big")
    last = pairs[-1]
    for bad in ([], pairs[:1], pairs * 2, [*pairs[:-1], [bytes(32), last[1]]], [*pairs[:-1], [last[0], too_large]]):
        card = anna.signed_card("tokens-challenge", {"session": session, "member": anna.key, "challenges": bad})
        with pytest.raises(InvalidInput):
            desk.issuer.answer(card)
    assert good_tokens(desk.issuer.answer(challenge), pending) == AHEAD + 1


@pytest.mark.parametrize("shift", [-DAY - 1, DAY + 1])
def test_a_request_from_another_day_is_refused(desk, shift):
    anna = desk.fakes["anna"]
    with pytest.raises(NotPermitted, match="clocks"):
        desk.issuer.offer(anna.request(1, 0, desk.clock() + shift))


def test_a_request_is_taken_for_24_hours(desk):
    for name, shift in (("anna", -24 * 3600), ("ben", 24 * 3600)):
        desk.issuer.offer(desk.fakes[name].request(1, 0, desk.clock() + shift))
        assert desk.charged(desk.fakes[name]) == 1


def test_an_old_request_is_not_answered_twice_however_late(desk):
    """As long as its time and epoch are taken, its digest is known."""
    anna = desk.fakes["anna"]
    desk.to_epoch(4)
    desk.clock.now += DAY - 3601  # its last second
    old = anna.request(1, 5, desk.clock() + DAY)
    desk.issuer.answer(anna.challenge(desk.issuer.offer(old), desk.newest)[0])
    for _ in range(4):
        desk.clock.now += DAY // 2
        desk.fetch(desk.fakes["ben"])
        with pytest.raises(NotPermitted, match="answered before"):
            desk.issuer.offer(old)
    desk.clock.now += 2
    with pytest.raises(NotPermitted, match="clocks"):
        desk.issuer.offer(old)


def test_at_most_four_sessions_are_open_under_one_key(tmp_path):
    desk = Desk(tmp_path, names=("anna", "ben", "cleo", "dora", "emil"))
    *four, emil = desk.fakes.values()
    for member in four:
        desk.offer(member)
    issuance = desk.issuer._store.issuance
    relay = desk.newest.relays[0]
    first, last = (issuance.open_sessions(Key(epoch, relay.id, relay.static_key)) for epoch in (0, AHEAD))
    assert first == last == OPEN_SESSIONS_PER_KEY == 4
    with pytest.raises(TryLater, match="others"):
        desk.offer(emil)
    assert desk.charged(emil) == 0
    desk.close()


@pytest.fixture
def large_desk(tmp_path):
    """An office of two cohorts, in which five members of the second and one of the first have cards."""
    made = Desk(tmp_path, planned(members=20_000, board="GATEWAY"), names=())
    names = (f"member {number}" for number in itertools.count())
    for cohort in (1, 1, 1, 1, 1, 0):
        made.fakes[f"{len(made.fakes)} of {cohort}"] = next(
            fake
            for fake in (FakeMember(name, made.newest.federation_id) for name in names)
            if blind.cohort(made.newest, fake.key) == cohort
        )
    for fake in made.fakes.values():
        made.issuer.admit(fake.card())
    yield made
    made.close()


def test_each_cohort_has_four_sessions_open_under_keys_of_its_own(large_desk):
    *first, fifth, other = large_desk.fakes.values()
    offers = [large_desk.offer(member) for member in first]
    with pytest.raises(TryLater, match="others"):
        large_desk.offer(fifth)
    assert len(large_desk.fetch(other)) == AHEAD + 1
    issuance, relay = large_desk.issuer._store.issuance, large_desk.newest.relays[0]
    assert [issuance.open_sessions(Key(0, relay.id, relay.static_key, cohort)) for cohort in (1, 0)] == [4, 0]
    challenge, pending = first[0].challenge(offers[0], large_desk.newest)
    assert good_tokens(large_desk.issuer.answer(challenge), pending) == AHEAD + 1
    assert len(large_desk.fetch(fifth)) == AHEAD + 1


def test_a_request_shown_again_gets_its_offer_again_in_every_cohort(large_desk):
    for member in list(large_desk.fakes.values())[-2:]:
        request = large_desk.request(member)
        assert large_desk.issuer.offer(request) == large_desk.issuer.offer(request)
        assert large_desk.charged(member) == 1


def test_all_tokens_of_a_large_office_are_counted_together(large_desk):
    """The relay has room for so many, of whichever cohort they are."""
    first, *_, other = large_desk.fakes.values()
    store = large_desk.issuer._store
    everybody = (1).to_bytes(4, "big")
    counts = {epoch: {tag(large_desk, 0): 19_999} for epoch in range(AHEAD + 1)}
    with store.change():
        store.keystore.table("charged").put(everybody, counts, AHEAD + 1, 1)
    assert len(large_desk.fetch(first)) == AHEAD + 1
    assert large_desk.fetch(other) == []


def test_a_schedule_of_many_cohorts_is_as_long_as_a_relay_has_room_for(tmp_path):
    desk = Desk(tmp_path, planned(members=200_000, posts_per_token=4, board="GATEWAY"), names=())
    newest = desk.newest
    assert newest.log2_cohorts == 4 and newest.epochs < 90
    assert newest.size(1) <= 32768 < newest.size(1) + 32 * 16
    desk.close()


def test_a_request_and_an_invitation_read_as_few_rows_whoever_is_there(large_desk):
    """Not those of the roster, nor the invitations of others."""
    store = large_desk.issuer._store
    read = []

    def rows_of(act):
        read.clear()
        act()
        return len(read)

    member = large_desk.fakes["0 of 1"]

    def ask():
        large_desk.fetch(member)
        large_desk.clock.now += DAY

    def invite(name):
        large_desk.issuer.invite(name, home="relay-0", by_files=True)

    with pytest.MonkeyPatch.context() as patch:
        opened = sealed_tables.Table._opened
        patch.setattr(sealed_tables.Table, "_opened", lambda table, *row: (read.append(row), opened(table, *row))[1])
        ask()  # what a first visit finds are no counts yet
        few = [rows_of(ask), rows_of(lambda: invite("first"))]
        for number in range(50):
            invite(f"person {number}")
            with store.change():
                key = number.to_bytes(32, "big")
                store.keystore.table("roster").put(key, {"name": f"n {number}", "key": key, "number": number})
                store.keystore.table("charged").put(key, {}, 99, 1)
        many = [rows_of(ask), rows_of(lambda: invite("last"))]
    assert many == few


def test_sessions_left_lying_give_way_but_only_when_their_place_is_wanted(big_desk):
    anna, ben, _ = big_desk.fakes.values()
    first = big_desk.offer(anna)
    wait = big_desk.issuer._store.issuance.patience_seconds
    assert wait == 3600
    big_desk.clock.now += wait - 1
    with pytest.raises(TryLater, match="1 seconds"):
        big_desk.offer(ben)
    big_desk.clock.now += 7200
    challenge, pending = anna.challenge(first, big_desk.newest)
    assert good_tokens(big_desk.issuer.answer(challenge), pending) == 4 * (AHEAD + 1)
    late = big_desk.offer(anna)
    big_desk.clock.now += wait
    assert big_desk.fetch(ben)
    with pytest.raises(NotPermitted, match="session is not open"):
        big_desk.issuer.answer(anna.challenge(late, big_desk.newest)[0])
    assert big_desk.fetch(anna) == []


def test_sessions_opened_over_the_network_give_way_after_a_minute(big_desk):
    anna, ben, _ = big_desk.fakes.values()
    big_desk.offer(anna, online=True)
    with pytest.raises(TryLater) as caught:
        big_desk.offer(ben)
    assert caught.value.retry_after == 60
    big_desk.clock.now += 60
    assert big_desk.fetch(ben)


def test_one_member_cannot_keep_the_others_out_for_long(big_desk):
    """Every batch costs quota, so blocking ends after quota / 4 batches of at most patience_seconds."""
    anna, ben, _ = big_desk.fakes.values()
    for _ in range(2):
        big_desk.offer(anna)
    assert cards.decode(big_desk.offer(anna)).fields["offers"] == []
    big_desk.clock.now += big_desk.issuer._store.issuance.patience_seconds
    assert big_desk.fetch(ben)


def test_issue_takes_the_two_kinds_of_card_and_no_other(desk):
    anna = desk.fakes["anna"]
    offer = desk.issuer.issue(desk.request(anna))
    challenge, pending = anna.challenge(offer, desk.newest)
    assert good_tokens(desk.issuer.issue(challenge), pending) == AHEAD + 1
    for card in (offer, anna.card(), "not a card", ""):
        with pytest.raises(InvalidInput):
            desk.issuer.issue(card)


def test_every_refusal_says_what_to_do(desk):
    anna = desk.fakes["anna"]
    desk.fetch(anna)
    attempts = [
        lambda: desk.offer(anna, generation=9),
        lambda: desk.offer(anna, epoch=5),
        lambda: desk.issuer.admit(anna.card()),
        lambda: desk.issuer.remove("nobody"),
        lambda: desk.issuer.issue(anna.card()),
        lambda: desk.issuer.welcome(bytes(32)),
        lambda: desk.issuer.renew(planned(members=24, round_seconds=600)),
        lambda: desk.issuer.renew(planned(members=1)),
        lambda: desk.issuer.renew(epochs=401),
        lambda: desk.issuer.renew(retention_days=0),
        lambda: desk.issuer.replace_relay("nowhere", desk.path / "r"),
    ]
    for attempt in attempts:
        with pytest.raises(TesseraError) as refusal:
            attempt()
        assert refusal.value.message and refusal.value.hint and "\n" not in str(refusal.value)


# -- sets


def test_a_renewed_set_begins_with_the_open_epoch_and_keeps_every_key(desk):
    before = desk.newest
    desk.to_epoch(60)
    desk.issuer.renew()
    after = desk.newest
    assert (after.serial, after.previous, after.generation) == (before.serial + 1, before.digest, before.generation)
    assert (after.first_epoch, after.end_epoch) == (60, 150)
    assert after.access_key == before.access_key and after.reading_hash == before.reading_hash
    for epoch in range(60, 90):
        assert after.epoch_key(1, epoch) == before.epoch_key(1, epoch)
    assert after.ephemeral != before.ephemeral


def test_a_schedule_is_renewed_by_itself_when_a_third_is_left(desk):
    desk.to_epoch(59)
    assert not desk.issuer.renew_if_due()
    desk.to_epoch(60)
    assert desk.issuer.renew_if_due() and not desk.issuer.renew_if_due()
    assert desk.newest.end_epoch == 150


def test_a_schedule_that_ended_long_ago_is_renewed_and_its_members_have_tokens(desk):
    desk.to_epoch(400)
    assert desk.issuer.renew_if_due()
    assert desk.newest.first_epoch == 400
    assert desk.fetch(desk.fakes["anna"]) == epochs(400, 400 + AHEAD)


@pytest.mark.parametrize(("hour", "first"), [(0, 6), (11, 6), (12, 6), (13, 7), (23, 7)])
def test_a_new_generation_begins_at_least_half_an_epoch_later(desk, hour, first):
    desk.clock.now = desk.newest.genesis + 5 * DAY + hour * 3600
    before = desk.newest
    desk.issuer.remove("ben")
    after = desk.newest
    assert (after.generation, after.first_epoch) == (before.generation + 1, first)
    assert after.epoch_key(1, first) != before.epoch_key(1, first)


def test_at_once_means_the_next_epoch(desk):
    desk.clock.now = desk.newest.genesis + 5 * DAY + 23 * 3600
    desk.issuer.remove("ben", at_once=True)
    assert desk.newest.first_epoch == 6


@pytest.mark.parametrize("what", ["remove", "revoke", "remove_relay", "replace_relay", "vacate_relay", "restored"])
def test_whatever_takes_somebody_out_changes_both_keys_and_the_generation(desk, tmp_path, what):
    """But a relay whose place another takes: that one has epoch keys of its own."""
    desk.issuer.invite("cleo", by_files=True)
    desk.issuer.add_relay_keys("two", "10.0.0.2", 8100, *own_keys(9))
    before = desk.newest
    {
        "remove": lambda: desk.issuer.remove("ben"),
        "revoke": lambda: desk.issuer.revoke("cleo"),
        "remove_relay": lambda: desk.issuer.remove_relay("two"),
        "replace_relay": lambda: desk.issuer.replace_relay("two", tmp_path / "r"),
        "vacate_relay": lambda: desk.issuer.vacate_relay("two"),
        "restored": lambda: desk.issuer.restored(),
    }[what]()
    after = desk.newest
    assert after.access_key != before.access_key and after.reading_hash != before.reading_hash
    generations = 0 if what in ("replace_relay", "vacate_relay") else 1
    assert (after.generation, after.serial) == (before.generation + generations, before.serial + 1)


@pytest.mark.parametrize("what", ["renew", "add_relay", "service", "rules"])
def test_what_takes_nobody_out_changes_neither(desk, tmp_path, what):
    before = desk.newest
    {
        "renew": lambda: desk.issuer.renew(),
        "add_relay": lambda: desk.issuer.add_relay("two", "10.0.0.2", 8100, tmp_path / "r"),
        "service": lambda: desk.issuer.set_service("issuer.example", 8101),
        "rules": lambda: desk.issuer.renew(planned(epsilon=Fraction("0.2"), members=24, allow_small=False)),
    }[what]()
    after = desk.newest
    assert after.serial == before.serial + 1 and after.digest != before.digest
    assert after.access_key == before.access_key and after.reading_hash == before.reading_hash
    assert after.generation == before.generation


def test_a_plan_with_more_members_makes_a_new_generation_with_room_for_them(desk):
    desk.fetch(desk.fakes["anna"])
    desk.issuer.renew(planned(epsilon=Fraction("0.1"), members=25, allow_small=False))
    assert (desk.newest.members, desk.newest.generation, desk.newest.first_epoch) == (25, 2, 1)
    assert desk.fetch(desk.fakes["anna"]) == epochs(1, AHEAD)


def test_until_a_new_generation_begins_there_are_tokens_of_the_one_in_force(desk):
    """Somebody who joins on the day on which somebody left writes at once."""
    desk.to_epoch(5)
    desk.clock.now += 20 * 3600
    desk.issuer.remove("ben")
    assert desk.newest.first_epoch == 7
    cleo = desk.admit_fake("cleo")
    assert desk.fetch(cleo, generation=1) == epochs(5, 6)
    assert desk.fetch(cleo) == epochs(7, 5 + AHEAD)
    assert desk.fetch(desk.fakes["anna"], generation=1) == epochs(5, 6)
    welcome = desk.issuer.welcome(cleo.key)
    before = Parameters(welcome.sets.others[-1].blob)
    assert (before.generation, before.serial) == (1, 2)
    assert welcome.sets.since == 7 and is_whole(before)
    assert [reading_hash(key) for key in welcome.reading] == [desk.newest.reading_hash, before.reading_hash]
    desk.to_epoch(7)
    with pytest.raises(NotPermitted, match="generation"):
        desk.offer(cleo, generation=1)
    assert desk.issuer.welcome(cleo.key).sets.others == welcome.sets.others, "a relay may have been told late"
    desk.to_epoch(7 + desk.newest.retention_epochs)
    assert desk.issuer.welcome(cleo.key).sets.others == welcome.sets.others, "its rounds are kept"
    desk.to_epoch(8 + desk.newest.retention_epochs)
    welcome = desk.issuer.welcome(cleo.key)
    assert welcome.sets == SetsBeside(desk.newest.digest, 7)
    assert [reading_hash(key) for key in welcome.reading] == [desk.newest.reading_hash]


def test_a_relay_in_anothers_place_is_written_to_in_the_open_epoch(desk, tmp_path):
    """It has keys that nobody has had tokens of; those of the other relay are what they were."""
    desk.issuer.add_relay_keys("two", "10.0.0.2", 8100, *own_keys(9))
    desk.to_epoch(5)
    anna, cleo = desk.fakes["anna"], desk.admit_fake("cleo")
    assert len(desk.fetch(anna)) == 2 * (1 + AHEAD) and desk.fetch(anna) == []
    before = desk.newest
    desk.issuer.replace_relay("relay-0", tmp_path / "again")
    assert (desk.newest.first_epoch, desk.newest.generation) == (5, before.generation)
    assert [desk.newest.epoch_key(id_, 5) == before.epoch_key(id_, 5) for id_ in (1, 2)] == [False, True]
    assert desk.fetch(anna) == epochs(5, 5 + AHEAD) and desk.fetch(anna) == []
    assert len(desk.fetch(cleo)) == 2 * (1 + AHEAD)
    assert desk.issuer.copy_for("relay-0") == desk.newest.copy_for(1)
    counted = state_on_disk(desk)["charged"][1][5]
    assert [len(counted[tag(desk, place)]) for place in (0, 1)] == [2, 2]


def test_what_was_begun_before_a_relay_was_replaced_is_finished_under_the_keys_it_was_offered_for(desk, tmp_path):
    """Charged is charged: whoever is in the midst of it is not to lose what is for the other relays."""
    desk.issuer.add_relay_keys("two", "10.0.0.2", 8100, *own_keys(9))
    anna = desk.fakes["anna"]
    challenge, pending = desk.challenge(anna)
    desk.issuer.replace_relay("relay-0", tmp_path / "again")
    assert good_tokens(desk.issuer.answer(challenge), pending) == len(pending) == 2 * (1 + AHEAD)
    assert [each.relay for each in desk.challenge(anna)[1]] == [1] * (1 + AHEAD)


@pytest.mark.parametrize("how", ["replaced", "added", "vacated"])
def test_a_new_relay_is_written_to_at_once_also_while_new_keys_wait(desk, tmp_path, how):
    """Two sets are signed: the relay begins with the running generation's. Whoever left has nothing of it."""
    desk.to_epoch(5)
    desk.clock.now += 20 * 3600
    ben, anna = desk.fakes["ben"], desk.fakes["anna"]
    desk.fetch(anna)
    desk.fetch(ben)
    desk.issuer.remove("ben")
    assert desk.newest.first_epoch == 7
    if how == "replaced":
        desk.issuer.replace_relay("relay-0", tmp_path / "again")
    elif how == "added":
        desk.issuer.add_relay("two", "10.0.0.2", 8100, tmp_path / "again")
    else:
        desk.issuer.vacate_relay("relay-0")
        desk.issuer.add_relay_keys("relay-0", "10.0.0.1", 8100, *own_keys(9))
    new = desk.newest.relays[-1]
    running, waiting = desk.issuer._store.sets.running(5).parameters, desk.newest
    assert (running.first_epoch, running.generation, running.serial) == (5, 1, waiting.serial - 1)
    assert (waiting.first_epoch, waiting.generation, waiting.previous) == (7, 2, running.digest)
    assert (running.access_key, running.reading_hash) == (waiting.access_key, waiting.reading_hash)
    assert running.relay_with(new.static_key).id == new.id
    assert desk.issuer.first_set_for(new.static_key) == running.copy_for(new.id)
    assert desk.fetch(anna, generation=1) == [(5, new.id), (6, new.id)]
    assert set(desk.fetch(anna)) >= {(7, new.id)}
    for generation in (1, 2):
        with pytest.raises(NotPermitted, match="roster"):
            desk.offer(ben, generation)
    sets = desk.issuer.welcome(anna.key).sets
    assert [is_whole(Parameters(each.blob)) for each in sets.others][-1], "its token keys are needed"
    assert Parameters(sets.others[-1].blob).digest == running.digest
    assert running.digest in {Parameters(blob).digest for blob in desk.issuer._store.sets.files().values()}
    desk.to_epoch(7)
    assert desk.issuer.first_set_for(new.static_key) == waiting.copy_for(new.id)


def test_of_many_sets_the_newest_and_the_one_in_force_are_said(desk):
    desk.issuer.add_relay_keys("two", "10.0.0.2", 8100, *own_keys(9))
    desk.to_epoch(5)
    in_force = desk.newest
    for _ in range(2 * MOST_SETS_BESIDE):
        desk.issuer.renew(new_keys=True)
    welcome = desk.issuer.welcome(desk.fakes["anna"].key)
    serials = [Parameters(each.blob).serial for each in welcome.sets.others]
    assert serials[1:] == list(range(desk.newest.serial - MOST_SETS_BESIDE + 1, desk.newest.serial))
    assert serials[0] == in_force.serial and len(serials) == MOST_SETS_BESIDE
    assert is_whole(Parameters(welcome.sets.others[0].blob)), "there are tokens of it"
    assert not any(is_whole(Parameters(each.blob)) for each in welcome.sets.others[1:])
    assert len(welcome.reading) == 1 + MOST_SETS_BESIDE
    assert Welcome.read(welcome.pack()) == welcome


def test_three_who_leave_in_one_week_are_out_one_after_the_other(tmp_path):
    names = ("anna", "ben", "cleo", "dora")
    desk = Desk(tmp_path, names=names)
    desk.to_epoch(5)
    for number, name in enumerate(names[1:]):
        desk.issuer.remove(name)
        assert (desk.newest.generation, desk.newest.first_epoch) == (2 + number, 6 + number)
        anna = desk.fakes["anna"]
        assert desk.fetch(anna) == epochs(6 + number, 5 + number + AHEAD)
        desk.to_epoch(6 + number)
    desk.close()


def test_an_abandoned_generation_of_a_busy_day_is_nobody_s(desk):
    """Two leave on one day: the set of the first, which nobody took yet, is replaced by that of the second, which
    begins when that was to: the first is out when IT was told, however many follow."""
    desk.to_epoch(5)
    desk.issuer.remove("ben")
    assert desk.newest.first_epoch == 6
    desk.fetch(desk.fakes["anna"])
    desk.clock.now += 19 * 3600
    desk.issuer.remove("anna")
    assert desk.newest.first_epoch == 6
    cleo = desk.admit_fake("cleo")
    assert desk.fetch(cleo, generation=1) == epochs(5, 5)
    assert desk.fetch(cleo) == epochs(6, 5 + AHEAD)
    with pytest.raises(NotPermitted, match="generation"):
        desk.offer(cleo, generation=2)
    assert set(state_on_disk(desk)["charged"]) == {1, 3}
    sets = desk.issuer.welcome(cleo.key).sets
    assert [(each.since, Parameters(each.blob).generation) for each in sets.others] == [(0, 1), (6, 2)]
    assert sets.since == 6


def test_sessions_are_aborted_before_a_new_generation_is_shown(desk, monkeypatch):
    """Nothing is published while a session of the old one can still be finished."""
    desk.challenge(desk.fakes["anna"])
    published = []
    publish = type(desk.issuer._store)._publish
    monkeypatch.setattr(
        type(desk.issuer._store),
        "_publish",
        lambda store: (published.append(len(store.keystore.table("open"))), publish(store))[1],
    )
    desk.issuer.remove("ben")
    assert published == [0] and desk.issuer.summary()["open_sessions"] == 0


def test_access_keys_work_for_400_days_after_they_were_replaced(desk):
    keys = [desk.newest.access_key]
    for _ in range(5):
        desk.issuer.remove("ben")
        desk.admit_fake("ben")
        keys.insert(0, desk.newest.access_key)
        desk.clock.now += 7 * DAY
    assert desk.issuer.access_keys == keys and len(set(keys)) == 6
    desk.clock.now += 400 * DAY - 7 * DAY - 1
    assert desk.issuer.access_keys == keys[:2]
    desk.clock.now += 1
    assert desk.issuer.access_keys == keys[:1]
    desk.clock.now += 4000 * DAY
    assert desk.issuer.access_keys == keys[:1]


def test_the_time_statement_is_of_this_moment_and_signed(desk):
    statement = TimeStatement(desk.issuer.time_statement())
    statement.verify(desk.newest.root_key)
    assert (statement.unix_seconds, statement.federation_id) == (desk.clock(), desk.newest.federation_id)


def test_the_schedule_s_end_is_warned_of_from_thirty_days_before(desk):
    end = desk.newest.genesis + 90 * DAY
    assert schedule.end(desk.newest) == end
    for now, words in ((end - 30 * DAY - 1, None), (end - 30 * DAY, "ends on"), (end, "ended on")):
        warning = schedule.warning(desk.newest, now)
        assert (warning is None) if words is None else (words in warning.message)
        desk.clock.now = now
        assert desk.issuer.summary()["warning"] == (str(warning) if warning else None)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_an_honest_issuer_does_its_sets_are_one_chain(tmp_path, seed):
    """And a member who sees any of them, in their order, finds no contradiction."""
    dice = random.Random(seed)
    desk = Desk(tmp_path, names=("anna", "ben", "cleo", "dora"))
    seen, backups = [desk.newest], []
    cards_of = {desk.newest.serial: desk.issuer.federation_card}
    for number in range(12):
        desk.clock.now += dice.randrange(3 * DAY)
        what = dice.randrange(6)
        if what == 0:
            desk.issuer.remove(dice.choice(desk.issuer.roster)["name"])
            desk.admit_fake(f"member {number}")
        elif what == 1:
            desk.issuer.add_relay_keys(f"berlin {number}", "10.0.0.1", 8100, *own_keys(50 + number))
        elif what == 2:
            desk.issuer.replace_relay("relay-0", tmp_path / f"relay {number}")
        elif what == 3:
            backups.append(desk.content())
        elif what == 4 and backups:
            newest = desk.newest.copy_for(desk.newest.relays[0].id)
            desk.issuer.close()
            (desk.path / "issuer.keystore").write_bytes(dice.choice(backups))
            desk.issuer = desk.open_issuer()
            desk.issuer.restored([newest])
        else:
            desk.issuer.renew()
        signed = (Parameters(blob) for blob in desk.issuer._store.sets.files().values())
        seen += sorted((each for each in signed if each.serial > seen[-1].serial), key=lambda each: each.serial)
        cards_of[desk.newest.serial] = desk.issuer.federation_card
    assert [each.serial for each in seen] == list(range(seen[0].serial, seen[0].serial + len(seen)))
    assert not any(contradict(one, other) for one in seen for other in seen)
    federation = Federation(read_card(cards_of[seen[0].serial]))
    for made in seen[1:]:
        if dice.randrange(2) and made.serial in cards_of:
            federation.refresh(cards_of[made.serial], made.first_epoch)
    desk.close()


def test_two_sets_after_one_are_a_contradiction(desk, tmp_path):
    """An issuer that tells two members different things."""
    backup = desk.content()
    federation = Federation(read_card(desk.issuer.federation_card))
    desk.issuer.renew()
    one, card = desk.newest, desk.issuer.federation_card
    desk.issuer.close()
    (desk.path / "issuer.keystore").write_bytes(backup)
    (desk.path / "parameters.tpr").unlink()  # by which an honest one would notice it
    desk.issuer = desk.open_issuer()
    desk.issuer.renew(desk.issuer.plan_for(day=(Fraction(99), Fraction("0.5"))))
    other = desk.newest
    assert contradict(one, other) and contradict(other, one)
    assert federation.refresh(card, 1)
    with pytest.raises(IntegrityError, match="contradict each other"):
        federation.refresh(desk.issuer.federation_card, 1)
    assert federation.budget == {"epsilon": "2", "delta": "2e-5"}
    desk.issuer.renew()
    with pytest.raises(IntegrityError, match="contradict each other"):
        federation.adopt(desk.newest.blob, 1)


# -- a backup that was restored


def test_a_restored_backup_answers_nothing_and_goes_on_in_a_new_generation(desk):
    anna = desk.fakes["anna"]
    offer = desk.offer(anna)
    backup = desk.content()
    desk.issuer.answer(anna.challenge(offer, desk.newest)[0])
    desk.issuer.close()
    (desk.path / "issuer.keystore").write_bytes(backup)
    desk.issuer = desk.open_issuer()
    old = desk.newest
    assert desk.issuer.restored().closed_sessions == AHEAD + 1
    desk.restart_issuer()
    with pytest.raises(NotPermitted, match="session is not open"):
        desk.issuer.answer(anna.challenge(offer, old)[0])
    with pytest.raises(NotPermitted, match="restored from a backup"):  # nobody knows how many were issued
        desk.offer(anna, generation=1)
    assert desk.fetch(anna) == epochs(1, AHEAD)


def test_a_restored_backup_goes_on_after_the_newest_set_that_a_relay_has(desk):
    backup = desk.content()
    desk.issuer.remove("ben")
    between = desk.newest.access_key  # of members who were away when the next one came
    desk.issuer.remove("anna")
    copy, newest = desk.issuer.copy_for("relay-0"), desk.newest
    desk.issuer.close()
    (desk.path / "issuer.keystore").write_bytes(backup)
    desk.issuer = desk.open_issuer()
    desk.issuer.restored([copy])
    after = desk.newest
    assert (after.serial, after.previous, after.generation) == (newest.serial + 1, newest.digest, newest.generation + 1)
    assert {newest.access_key, between} < set(desk.issuer.access_keys) and not contradict(newest, after)
    assert after.access_key not in {newest.access_key, between}


def test_a_keystore_that_is_older_than_what_was_published_says_nothing_until_it_is_told(desk):
    """Somebody put a backup back and does not think of more: no second set of a serial, no second answer."""
    anna = desk.fakes["anna"]
    offer = desk.offer(anna)
    challenge, _ = anna.challenge(offer, desk.newest)
    backup = desk.content()
    desk.issuer.answer(challenge)
    desk.issuer.renew()
    newest, card = desk.newest, (desk.path / "federation.card").read_bytes()
    desk.issuer.close()
    (desk.path / "issuer.keystore").write_bytes(backup)
    desk.issuer = desk.open_issuer()
    for attempt in (
        desk.issuer.renew,
        lambda: desk.issuer.remove("ben"),
        lambda: desk.offer(anna),
        lambda: desk.issuer.answer(challenge),
        lambda: desk.issuer.offer_unasked(anna.key),
        lambda: desk.issuer.welcome(anna.key),
    ):
        with pytest.raises(KeystoreError, match="tessera issuer restored"):
            attempt()
    assert (desk.path / "federation.card").read_bytes() == card and len(desk.issuer.roster) == 2
    desk.issuer.restored()
    assert desk.newest.previous == newest.digest
    assert Parameters((desk.path / "parameters.tpr").read_bytes()).digest == desk.newest.digest


def test_a_set_of_another_federation_is_not_gone_on_after(desk, tmp_path):
    (tmp_path / "other").mkdir()
    other = Desk(tmp_path / "other")
    before = desk.newest.digest
    with pytest.raises(IntegrityError, match="another federation"):
        desk.issuer.restored([other.newest.blob])
    assert desk.newest.digest == before
    other.close()


# -- files, for an office without the service


def test_one_file_a_member_has_all_that_it_says_and_tokens_for_the_epochs_ahead(tmp_path):
    desk = Desk(tmp_path, names=("anna", "ben", "cleo", "dora", "emil"))
    desk.issuer.renew()
    made = answering.member_files(desk.issuer)
    assert [(each.member, each.offered) for each in made] == [
        ("anna", True), ("ben", True), ("cleo", True), ("dora", True), ("emil", False)
    ]  # fmt: skip
    for each in made:
        member = desk.fakes[each.member]
        found = {cards.decode(text).kind: text for text in card_files.read(each.text)[0]}
        federation = Federation(read_card(found["federation"]))
        hash_ = federation.newest.reading_hash
        keys = sealed_reading_key.opened(found["reading"], member.identity, federation.id, [hash_])
        assert [reading_hash(key) for key in keys] == [hash_]
        if each.offered:
            challenge, pending = member.challenge(found["tokens-offer"], federation.newest)
            replied = answering.answer(desk.issuer, challenge)
            assert good_tokens(replied.cards[0], pending) == AHEAD + 1
    reading = next(text for text in card_files.read(made[0].text)[0] if cards.decode(text).kind == "reading")
    with pytest.raises(InvalidInput, match="another member"):
        sealed_reading_key.opened(reading, desk.fakes["ben"].identity, desk.newest.federation_id, [])
    desk.close()


def test_an_answer_by_file_has_the_newest_card_and_the_reading_keys(desk):
    anna = desk.fakes["anna"]
    desk.issuer.remove("ben")
    made = answering.answer(desk.issuer, desk.request(anna))
    found = [cards.decode(text) for text in card_files.read(made.text(desk.issuer))[0]]
    assert [card.kind for card in found] == ["federation", "sets", "reading", "tokens-offer"]
    sets = desk.issuer.welcome(anna.key).sets
    assert SetsBeside.of(found[1].fields) == sets
    assert len(found[2].fields["sealed"]) == 2  # of the newest set, and of the one in force
    wanted = [desk.newest.reading_hash, Parameters(sets.others[-1].blob).reading_hash]
    text = cards.encode("reading", {name: found[2].fields[name] for name in ("member", "e", "sealed")})
    keys = sealed_reading_key.opened(text, anna.identity, desk.newest.federation_id, wanted)
    assert [reading_hash(key) for key in keys] == wanted
    forged = sealed_reading_key.card([bytes(32)], desk.newest.federation_id, anna.key)
    assert sealed_reading_key.opened(forged, anna.identity, desk.newest.federation_id, wanted) == []


# -- the budget of a member's day


def test_members_learn_the_office_s_budget_from_the_federation_card(tmp_path):
    budget = {"epsilon": "0.5", "delta": "1e-7"}
    made = planned(day_epsilon=Fraction("0.5"), day_delta=Fraction("1e-7"))
    with Issuer.create(tmp_path / "issuer", PASSPHRASE, made, "Office") as issuer:
        issuer.add_relay("first", "relay.example", 8100, tmp_path / "relay")
        assert issuer.summary()["budget"] == budget
        federation = Federation(read_card(issuer.federation_card))
    assert federation.budget == budget
    assert federation.issuer is None


def test_after_a_restored_backup_nobody_joins_with_an_invitation_of_before(desk):
    desk.issuer.set_service("issuer.example", 8101)
    desk.issuer.invite("cleo")
    desk.issuer.restored()
    assert desk.issuer.invitations == []


def test_change_that_cannot_be_saved_leaves_nothing_for_the_next_one_to_save(desk, monkeypatch):
    """Neither in the keystore's map nor in the published files."""
    before, published = desk.issuer.summary(), (desk.path / "federation.card").read_bytes()
    cleo = FakeMember("cleo", desk.issuer.parameters.federation_id)

    def full(self):
        raise KeystoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(KeystoreDatabase, "_commit", full)
        for change in (
            lambda: desk.issuer.admit(cleo.card()),
            lambda: desk.issuer.remove("anna"),
            lambda: desk.issuer.set_service("issuer.example", 8101),
            lambda: desk.issuer.add_relay("first", "relay.example", 8100, desk.path / "relay"),
        ):
            with pytest.raises(KeystoreError, match="full"):
                change()
            assert desk.issuer.summary() == before
    desk.issuer.admit(cleo.card())
    desk.restart_issuer()
    assert [member["name"] for member in desk.issuer.roster] == ["anna", "ben", "cleo"]
    assert len(desk.issuer.relays) == 1 and (desk.path / "federation.card").read_bytes() == published
