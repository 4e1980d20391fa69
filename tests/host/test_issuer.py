"""The issuer: what it signs, who gets tokens, and the games of members who want more than theirs."""

import json
import stat
from fractions import Fraction

import cbor2
import pytest
from coincurve import PrivateKey, PublicKeyXOnly

from tessera import hashes
from tessera.params import Parameters
from tessera_host.errors import (
    InvalidInput,
    KeystoreError,
    NotPermitted,
    TesseraError,
    TryLater,
    UsageError,
    WrongPassphrase,
)
from tessera_host.issuer.issuer import Issuer
from tessera_host.keys.keystore import Keystore
from tessera_host.protocol import blind, cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tests.support.clock import NOW, Clock
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.organisation import PASSPHRASE, Organisation, new_issuer, planned

DAY = 86400
PLAN = planned(epsilon=Fraction("0.1"), members=24, allow_small=False)
BIG_QUOTA = planned(epsilon=Fraction("0.1"), members=5, tokens_per_epoch=8, retention_epochs=1)


class Desk(Organisation):
    """An issuer's directory, and members on its roster who are nothing but cards."""

    def __init__(self, folder, made=PLAN, names=("anna", "ben"), **options):
        clock = Clock()
        super().__init__(folder, new_issuer(folder, made, clock=clock, name="Berlin office", **options), clock)
        self.path = folder / "issuer"
        self.fakes = {name: self.admit_fake(name) for name in names}

    def offer(self, member, epoch=1, count=2):
        return self.issuer.offer(member.request(epoch, count, self.clock()))

    def key(self, epoch=1):
        return self.issuer.parameters.epoch_key(epoch)

    def fetch(self, member, epoch=1, count=2):
        """A whole exchange; the number of tokens that verify."""
        challenge, pending = member.challenge(self.offer(member, epoch, count), self.key(epoch))
        return good_tokens(self.issuer.answer(challenge), pending, self.key(epoch))

    def charged(self, member, epoch=1):
        return self.issuer._store.issuance.charged(member.key, epoch)


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
    """The issuance state as another process would find it."""
    desk.issuer.close()
    with Keystore.open(desk.path / "issuer.keystore", PASSPHRASE, "issuer") as keystore:
        state = cbor2.loads(cbor2.dumps(keystore.data["issuance"]))
    desk.issuer = desk.open_issuer()
    return state


# -- the federation


def test_parameters_are_those_of_the_plan_and_verify_under_libsecp256k1(desk):
    blob = (desk.path / "parameters.tpr").read_bytes()
    parameters = Parameters(blob)
    assert (parameters.serial, parameters.members, parameters.mu, parameters.first_epoch) == (1, 24, 109, 0)
    assert (parameters.epsilon, parameters.epochs, parameters.relays) == (100000, 90, [])
    assert parameters.genesis == NOW - 7 and parameters.genesis % 300 == 0
    assert parameters.delta == -(-PLAN.table.exact_delta * 2**64 // 1)
    assert bytes(parameters.thresholds) == PLAN.table.pack()
    digest = hashes.tagged("params", blob[:-64])
    assert PublicKeyXOnly(parameters.root_key).verify(blob[-64:], digest)
    parameters.check_capacity(PLAN.board.ring_pages)


def test_epoch_keys_are_those_tokens_are_signed_under(desk):
    parameters, signer = desk.issuer.parameters, desk.issuer._store.signer
    for epoch in (0, 1, 89):
        assert parameters.epoch_key(epoch) == blind.epoch_key(signer.epoch_secret(parameters.federation_id, epoch))
    assert parameters.epoch_key(90) is None


def test_federation_card_carries_the_parameters(desk):
    fields = cards.decode((desk.path / "federation.card").read_text(), "federation").fields
    assert fields == {
        **{"v": 1, "name": "Berlin office", "params": desk.issuer.parameters.blob, "relays": []},
        **{"budget": {"epsilon": "2", "delta": "2e-5"}, "issuer": None},
    }


def test_no_two_federations_share_anything(tmp_path):
    sets = []
    for name in "ab":
        with Issuer.create(tmp_path / name, PASSPHRASE, PLAN, "x", now=lambda: NOW) as issuer:
            sets.append(issuer.parameters)
    for field in ("federation_id", "root_key", "access_key"):
        assert getattr(sets[0], field) != getattr(sets[1], field)
    assert sets[0].epoch_key(0) != sets[1].epoch_key(0)


def test_an_issuer_is_never_overwritten(desk):
    before = (desk.path / "issuer.keystore").read_bytes()
    desk.issuer.close()
    with pytest.raises(KeystoreError):
        Issuer.create(desk.path, PASSPHRASE, PLAN, "another", now=desk.clock)
    assert (desk.path / "issuer.keystore").read_bytes() == before
    (desk.path / "issuer.keystore").rename(desk.path / "elsewhere")
    with pytest.raises(UsageError, match="without its issuer"):
        Issuer.create(desk.path, PASSPHRASE, PLAN, "another", now=desk.clock)


def test_the_directory_tells_nothing_without_the_passphrase(desk):
    content = (desk.path / "issuer.keystore").read_bytes()
    with pytest.raises(KeystoreError, match="in use"):
        Keystore.open(desk.path / "issuer.keystore", PASSPHRASE, "issuer", lock_wait_seconds=0)
    for secret in ("root_secret", "master"):
        assert desk.issuer._store.data[secret] not in content
    for name in ("issuer.keystore", "federation.card", "parameters.tpr"):
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
    for secret in (data["root_secret"], data["master"], desk.issuer.parameters.access_key):
        assert secret.hex() not in text


# -- relays


def test_relay_directory_and_parameters_belong_together(desk, tmp_path):
    relay = desk.issuer.add_relay("first", "relay.example.org", 8100, tmp_path / "relay")
    configuration = json.loads((tmp_path / "relay" / "relay.json").read_text())
    assert configuration == {
        "version": 1,
        "name": "first",
        "static_secret": relay.static_secret.hex(),
        "ledger_secret": relay.ledger_secret.hex(),
        "ring_sectors": 212,
        "keyring_sectors": 4,
        "host": "relay.example.org",
        "port": 8100,
    }
    seed = (tmp_path / "relay" / "seed").read_bytes()
    assert len(seed) == 32 and seed == relay.seed != bytes(32)
    parameters = Parameters((tmp_path / "relay" / "parameters").read_bytes())
    parameters.verify()
    assert parameters.serial == 2 and parameters.relays == [(relay.key, relay.ledger_key)]
    assert (desk.path / "parameters.tpr").read_bytes() == parameters.blob
    listed = cards.decode((desk.path / "federation.card").read_text(), "federation").fields
    assert listed["params"] == parameters.blob
    assert listed["relays"] == [{"name": "first", "key": relay.key, "host": "relay.example.org", "port": 8100}]
    for name in ("relay.json", "seed"):
        assert stat.S_IMODE((tmp_path / "relay" / name).stat().st_mode) == 0o600


def test_a_second_relay_changes_serial_and_list_only(desk, tmp_path):
    one = desk.issuer.add_relay("one", "localhost", 8100, tmp_path / "one")
    before = desk.issuer.parameters
    two = desk.issuer.add_relay("two", "::1", 8101, tmp_path / "two")
    after = desk.issuer.parameters
    assert (before.serial, after.serial) == (2, 3)
    assert after.relays == [(one.key, one.ledger_key), (two.key, two.ledger_key)]
    assert one.seed != two.seed and one.static_secret != two.static_secret
    end = 128 + 16 * 109 + 32 * 90
    assert after.blob[8:127] == before.blob[8:127] and after.blob[128:end] == before.blob[128:end]


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [("one", "localhost", 8100), ("", "localhost", 1), ("a\nb", "localhost", 1), ("x" * 65, "h", 1), ("two", "", 1),
     ("two", "a b", 1), ("two", "h", 0), ("two", "h", 65536), ("two", "user@h", 1)],
)  # fmt: skip
def test_bad_relays_are_refused_and_leave_nothing(desk, tmp_path, name, host, port):
    desk.issuer.add_relay("one", "localhost", 8100, tmp_path / "one")
    before = desk.issuer.parameters.blob
    with pytest.raises(UsageError):
        desk.issuer.add_relay(name, host, port, tmp_path / "two")
    assert desk.issuer.parameters.blob == before and not (tmp_path / "two").exists()


def own_keys(number):
    """(static key, ledger key) of a relay that made them itself."""
    point = PrivateKey.from_int(number).public_key.format()
    return point, point[1:]


def test_a_relay_that_made_its_keys_itself_is_listed_by_them(desk):
    before = desk.issuer.parameters.serial
    assert desk.issuer.add_relay_keys("berlin", "relay.example.org", 8100, *own_keys(7)) is True
    made = desk.issuer.parameters
    made.verify()
    assert made.serial == before + 1 and made.relays == [own_keys(7)]
    card = cards.decode(desk.issuer.federation_card, "federation").fields
    assert card["relays"] == [{"name": "berlin", "key": own_keys(7)[0], "host": "relay.example.org", "port": 8100}]


def test_listing_the_same_relay_again_changes_nothing(desk):
    desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *own_keys(7))
    before = state_on_disk(desk)
    assert desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *own_keys(7)) is False
    assert state_on_disk(desk) == before


def test_a_name_or_a_board_is_listed_once(desk):
    desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *own_keys(7))
    for name, number in (("berlin", 8), ("potsdam", 7)):
        with pytest.raises(UsageError):
            desk.issuer.add_relay_keys(name, "10.0.0.1", 8100, *own_keys(number))
    assert len(desk.issuer.relays) == 1


def test_a_relay_that_was_removed_is_listed_no_more_and_its_name_is_free(desk):
    desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *own_keys(7))
    desk.issuer.add_relay_keys("potsdam", "10.0.0.2", 8100, *own_keys(8))
    desk.issuer.remove_relay("berlin")
    assert desk.issuer.parameters.relays == [own_keys(8)] and desk.issuer.parameters.serial == 4
    desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *own_keys(9))
    assert desk.issuer.parameters.relays == [own_keys(8), own_keys(9)]
    with pytest.raises(UsageError):
        desk.issuer.remove_relay("leipzig")


def test_what_is_no_key_is_not_listed(desk):
    key, ledger = own_keys(7)
    no_point = b"\2" + bytes(31) + b"\5"  # x = 5 is on no point of the curve
    for wrong in ((no_point, ledger), (key, no_point[1:]), (b"\4" + key[1:], ledger), (key[:-1], ledger)):
        with pytest.raises(InvalidInput):
            desk.issuer.add_relay_keys("berlin", "10.0.0.1", 8100, *wrong)
    assert desk.issuer.relays == []


def test_a_directory_with_something_in_it_is_no_place_for_a_relay(desk, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "seed").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        desk.issuer.add_relay("one", "localhost", 8100, tmp_path / "used")
    assert desk.issuer.relays == [] and desk.issuer.parameters.serial == 1
    assert (tmp_path / "used" / "seed").read_text() == "mine"


def test_no_more_than_64_relays(desk, tmp_path):
    data = desk.issuer._store.data
    data["relays"] = [
        {"name": str(i), "key": b"\x02" * 33, "ledger": bytes(32), "host": "h", "port": 1} for i in range(64)
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
    with pytest.raises(NotPermitted, match="another member"):
        desk.issuer.admit(impostor.card())
    assert [member["name"] for member in desk.issuer.roster] == ["anna", "ben"]


def test_a_card_that_was_changed_or_is_for_another_federation_is_refused(desk):
    cleo = FakeMember("cleo", desk.issuer.parameters.federation_id)
    stranger = FakeMember("cleo", b"another fed. id!")
    for card in (cleo.card(name="boss"), cleo.card(key=desk.fakes["anna"].key), stranger.card()):
        with pytest.raises(InvalidInput, match="signature"):
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
    challenge, _ = anna.challenge(desk.offer(anna), desk.key())
    assert desk.issuer.summary()["open_sessions"] == 2
    desk.issuer.remove("anna")
    assert desk.issuer.summary()["open_sessions"] == 0
    with pytest.raises(NotPermitted):
        desk.issuer.answer(challenge)
    with pytest.raises(NotPermitted, match="roster"):
        desk.offer(anna)
    desk.issuer.admit(anna.card())
    with pytest.raises(NotPermitted):
        desk.issuer.answer(challenge)
    with pytest.raises(NotPermitted, match="used up"):
        desk.offer(anna)
    with pytest.raises(NotPermitted, match="no member"):
        desk.issuer.remove("nobody")


# -- tokens


@pytest.mark.parametrize("epoch", [0, 1])
def test_tokens_verify_under_the_published_key_in_the_first_epoch_for_both(desk, epoch):
    assert desk.fetch(desk.fakes["anna"], epoch) == 2
    assert desk.charged(desk.fakes["anna"], epoch) == 2


def test_tokens_are_issued_for_the_next_epoch_only(desk):
    anna = desk.fakes["anna"]
    with pytest.raises(NotPermitted, match="not issued"):
        desk.offer(anna, 2)
    desk.clock.now += DAY
    for epoch in (0, 1, 3, 89):
        with pytest.raises(NotPermitted, match="not issued"):
            desk.offer(anna, epoch)
    assert desk.fetch(anna, 2) == 2


def test_first_epoch_is_the_one_the_issuer_was_made_in(tmp_path):
    desk = Desk(tmp_path, genesis=NOW - 10 * DAY)
    assert desk.issuer.current_epoch == desk.issuer.parameters.first_epoch == 10
    assert desk.fetch(desk.fakes["anna"], 10) == desk.fetch(desk.fakes["anna"], 11) == 2
    desk.clock.now += DAY
    with pytest.raises(NotPermitted, match="not issued"):
        desk.offer(desk.fakes["ben"], 11)
    desk.issuer.close()


def test_tokens_before_genesis_are_those_of_the_first_epoch(tmp_path):
    desk = Desk(tmp_path, genesis=NOW + 100)
    assert desk.fetch(desk.fakes["anna"], 0) == 2
    with pytest.raises(NotPermitted, match="not issued"):
        desk.offer(desk.fakes["anna"], 1)
    desk.issuer.close()


def test_nothing_is_issued_past_the_schedule(tmp_path):
    desk = Desk(tmp_path, epochs=1)
    assert desk.fetch(desk.fakes["anna"], 0) == 2
    with pytest.raises(NotPermitted, match="schedule"):
        desk.offer(desk.fakes["anna"], 1)
    desk.issuer.close()


def test_quota_counts_finished_tokens(big_desk):
    anna = big_desk.fakes["anna"]
    assert [big_desk.fetch(anna, count=count) for count in (4, 3)] == [4, 3]
    with pytest.raises(NotPermitted, match="1 of 8"):
        big_desk.offer(anna, count=2)
    assert big_desk.fetch(anna, count=1) == 1
    with pytest.raises(NotPermitted, match="used up"):
        big_desk.offer(anna, count=1)
    assert big_desk.fetch(big_desk.fakes["ben"], count=4) == 4
    assert big_desk.fetch(anna, epoch=0, count=4) == 4


def test_quota_counts_aborted_sessions(desk):
    anna = desk.fakes["anna"]
    first = desk.offer(anna, count=1)
    second = desk.offer(anna, count=1)  # aborts the first, which stays charged
    assert desk.charged(anna) == 2
    with pytest.raises(NotPermitted, match="used up"):
        desk.offer(anna, count=1)
    with pytest.raises(NotPermitted, match="no session"):
        desk.issuer.answer(anna.challenge(first, desk.key())[0])
    challenge, pending = anna.challenge(second, desk.key())
    assert good_tokens(desk.issuer.answer(challenge), pending, desk.key()) == 1


@pytest.mark.parametrize("count", [0, 3, 200, 1 << 40])
def test_no_more_and_no_fewer_tokens_than_there_are(desk, count):
    with pytest.raises(NotPermitted):
        desk.offer(desk.fakes["anna"], count=count)
    assert desk.charged(desk.fakes["anna"]) == 0


def test_a_roster_that_changes_does_not_make_more_tokens(tmp_path):
    made = planned(members=2)
    desk = Desk(tmp_path, made)
    for member in desk.fakes.values():
        assert desk.fetch(member) == 2
    desk.issuer.remove("ben")
    cleo = desk.admit_fake("cleo")
    with pytest.raises(NotPermitted, match="all tokens"):
        desk.offer(cleo)
    desk.clock.now += DAY
    assert desk.fetch(cleo, 2) == 2
    desk.issuer.close()


def test_counts_of_past_epochs_are_forgotten(desk):
    anna = desk.fakes["anna"]
    for epoch in range(1, 5):
        assert desk.fetch(anna, epoch) == 2
        desk.clock.now += DAY
    state = state_on_disk(desk)
    assert set(state["charged"]) == set(state["seen"]) == {3, 4}


def test_after_finishing_only_counts_and_what_was_said_are_kept(desk):
    anna = desk.fakes["anna"]
    request = anna.request(1, 2, desk.clock())
    challenge, _ = anna.challenge(desk.issuer.offer(request), desk.key())
    answer = desk.issuer.answer(challenge)
    digest = hashes.tagged("request", cards.decode(request).payload)
    state, said = state_on_disk(desk), cards.decode(challenge).fields
    shown = hashes.tagged("tokens-challenge", cards.without_signature(said))
    assert state.pop("answered") == {said["session"]: {"epoch": 1, "challenge": shown, "answer": answer}}
    assert state == {"charged": {1: {anna.key: 2}}, "seen": {1: [digest]}, "open": []}


# -- games


def test_a_challenge_that_comes_again_gets_the_same_answer_until_its_epoch_is_over(desk):
    """An answer may be lost on its way; given again it says nothing new."""
    anna = desk.fakes["anna"]
    challenge, pending = anna.challenge(desk.offer(anna), desk.key())
    answer = desk.issuer.answer(challenge)
    assert good_tokens(answer, pending, desk.key()) == 2
    for _ in range(3):
        assert desk.issuer.answer(challenge) == answer
        desk.restart_issuer()
    desk.clock.now += 2 * DAY
    desk.offer(desk.fakes["ben"], epoch=3)
    with pytest.raises(NotPermitted, match="no session"):
        desk.issuer.answer(challenge)


def test_an_answer_is_not_given_again_to_who_is_no_member_any_more(desk):
    anna = desk.fakes["anna"]
    challenge, _ = anna.challenge(desk.offer(anna), desk.key())
    desk.issuer.answer(challenge)
    desk.issuer.remove("anna")
    with pytest.raises(NotPermitted, match="roster"):
        desk.issuer.answer(challenge)


def test_other_challenges_for_an_answered_session_are_refused(desk):
    """Two answers under one nonce are the epoch's key (test_blind shows it)."""
    anna = desk.fakes["anna"]
    offer = desk.offer(anna)
    first, _ = anna.challenge(offer, desk.key())
    second, _ = anna.challenge(offer, desk.key())
    desk.issuer.answer(first)
    with pytest.raises(NotPermitted, match="no session"):
        desk.issuer.answer(second)


def test_session_is_spent_on_disk_before_the_bit_is_drawn(desk, monkeypatch):
    anna = desk.fakes["anna"]
    challenge, _ = anna.challenge(desk.offer(anna), desk.key())
    before = (desk.path / "issuer.keystore").read_bytes()
    seen = []

    def drawing(*arguments):
        seen.append((desk.path / "issuer.keystore").read_bytes())
        raise RuntimeError("power cut")

    monkeypatch.setattr(blind, "answer", drawing)
    with pytest.raises(RuntimeError):
        desk.issuer.answer(challenge)
    monkeypatch.undo()
    assert seen and seen[0] != before
    desk.restart_issuer()
    assert state_on_disk(desk)["open"] == []
    with pytest.raises(NotPermitted, match="no session"):
        desk.issuer.answer(challenge)
    assert desk.charged(anna) == 2


def test_nothing_is_answered_if_the_keystore_cannot_be_saved(desk, monkeypatch):
    anna = desk.fakes["anna"]
    challenge, pending = anna.challenge(desk.offer(anna), desk.key())
    drawn = []

    def failing(_):
        raise KeystoreError("disk full")

    monkeypatch.setattr(Keystore, "save", failing)
    monkeypatch.setattr(blind, "answer", lambda *arguments: drawn.append(arguments))
    with pytest.raises(KeystoreError):
        desk.issuer.answer(challenge)
    with pytest.raises(KeystoreError):
        desk.offer(desk.fakes["ben"])
    assert drawn == []
    monkeypatch.undo()
    desk.restart_issuer()
    assert good_tokens(desk.issuer.answer(challenge), pending, desk.key()) == 2
    assert desk.charged(desk.fakes["ben"]) == 0


def test_an_offer_that_was_not_saved_is_not_made_later_either(desk, monkeypatch):
    ben = desk.fakes["ben"]
    request = ben.request(1, 2, desk.clock())
    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "save", lambda _: (_ for _ in ()).throw(KeystoreError("disk full")))
        with pytest.raises(KeystoreError):
            desk.issuer.offer(request)
    with pytest.raises(NotPermitted):
        desk.issuer.offer(request)
    assert desk.issuer._store.issuance.open_sessions() == 0


def test_the_same_request_gets_the_same_offer_while_it_is_open_and_none_later(desk):
    anna = desk.fakes["anna"]
    request = anna.request(1, 1, desk.clock())
    offer = desk.issuer.offer(request)
    desk.restart_issuer()
    assert desk.issuer.offer(request) == offer
    assert desk.charged(anna) == 1
    challenge, pending = anna.challenge(offer, desk.key())
    assert good_tokens(desk.issuer.answer(challenge), pending, desk.key()) == 1
    with pytest.raises(NotPermitted, match="answered before"):
        desk.issuer.offer(request)
    assert desk.charged(anna) == 1


def test_a_member_cannot_use_anothers_session(desk):
    anna, ben = desk.fakes["anna"], desk.fakes["ben"]
    offer = desk.offer(anna)
    stolen, _ = ben.challenge(offer, desk.key())
    with pytest.raises(NotPermitted, match="another member"):
        desk.issuer.answer(stolen)
    challenge, pending = anna.challenge(offer, desk.key())
    assert good_tokens(desk.issuer.answer(challenge), pending, desk.key()) == 2


def test_strangers_and_forged_cards_are_refused_and_change_nothing(desk):
    anna = desk.fakes["anna"]
    before = (desk.path / "issuer.keystore").read_bytes()
    stranger = FakeMember("mallory", anna.federation_id)
    with pytest.raises(NotPermitted, match="roster"):
        desk.offer(stranger)
    fields = cards.decode(anna.request(1, 1, desk.clock())).fields
    for change in ({"count": 2}, {"epoch": 0}, {"time": fields["time"] + 1}, {"member": desk.fakes["ben"].key}):
        with pytest.raises(InvalidInput, match="signature"):
            desk.issuer.offer(cards.encode("tokens-request", fields | change))
    assert (desk.path / "issuer.keystore").read_bytes() == before
    offer = desk.offer(anna)
    fields = cards.decode(anna.challenge(offer, desk.key())[0]).fields
    before = (desk.path / "issuer.keystore").read_bytes()
    for change in ({"challenges": fields["challenges"][::-1]}, {"sig": bytes(64)}):
        with pytest.raises(InvalidInput, match="signature"):
            desk.issuer.answer(cards.encode("tokens-challenge", fields | change))
    assert (desk.path / "issuer.keystore").read_bytes() == before


def test_malformed_challenges_are_refused_and_spend_nothing(desk):
    anna = desk.fakes["anna"]
    offer = desk.offer(anna)
    session = cards.decode(offer).fields["session"]
    challenge, pending = anna.challenge(offer, desk.key())
    pairs = cards.decode(challenge).fields["challenges"]
    too_large = blind.ORDER.to_bytes(32, "big")
    for bad in ([], pairs[:1], pairs * 2, [pairs[0], [bytes(32), pairs[1][1]]], [pairs[0], [pairs[1][0], too_large]]):
        card = anna.signed_card("tokens-challenge", {"session": session, "member": anna.key, "challenges": bad})
        with pytest.raises(InvalidInput):
            desk.issuer.answer(card)
    assert good_tokens(desk.issuer.answer(challenge), pending, desk.key()) == 2


@pytest.mark.parametrize("shift", [-DAY - 1, DAY + 1])
def test_a_request_from_another_day_is_refused(desk, shift):
    anna = desk.fakes["anna"]
    with pytest.raises(NotPermitted, match="clocks"):
        desk.issuer.offer(anna.request(1, 2, desk.clock() + shift))


def test_a_request_is_taken_for_24_hours(desk):
    for name, shift in (("anna", -24 * 3600), ("ben", 24 * 3600)):
        desk.issuer.offer(desk.fakes[name].request(1, 2, desk.clock() + shift))
        assert desk.charged(desk.fakes[name]) == 2


def test_an_old_request_does_not_use_up_a_later_quota(desk):
    anna = desk.fakes["anna"]
    old = anna.request(1, 2, desk.clock())
    desk.clock.now += DAY
    with pytest.raises(NotPermitted):
        desk.issuer.offer(old)
    assert desk.charged(anna, 2) == 0


def test_a_challenge_that_comes_in_the_next_epoch_is_too_late(desk):
    anna = desk.fakes["anna"]
    challenge, _ = anna.challenge(desk.offer(anna), desk.key())
    desk.clock.now += DAY
    with pytest.raises(NotPermitted, match="not issued"):
        desk.issuer.answer(challenge)


def test_at_most_four_sessions_are_open_under_one_key(big_desk):
    anna, ben, cleo = big_desk.fakes.values()
    big_desk.offer(anna, count=3)
    with pytest.raises(NotPermitted, match="others"):
        big_desk.offer(ben, count=2)
    assert big_desk.charged(ben) == 0
    big_desk.offer(ben, count=1)
    with pytest.raises(NotPermitted, match="others"):
        big_desk.offer(cleo, count=1)
    assert big_desk.issuer._store.issuance.open_sessions(1) == OPEN_SESSIONS_PER_KEY == 4
    big_desk.offer(cleo, epoch=0, count=4)  # another key
    with pytest.raises(NotPermitted, match="ask for 4"):
        big_desk.offer(cleo, epoch=1, count=5)


def test_sessions_left_lying_give_way_but_only_when_their_place_is_wanted(big_desk):
    anna, ben, _ = big_desk.fakes.values()
    offers = {anna: big_desk.offer(anna, count=4)}
    wait = big_desk.issuer._store.issuance.patience_seconds
    assert wait == 3600
    big_desk.clock.now += wait - 1
    with pytest.raises(NotPermitted, match="1 seconds"):
        big_desk.offer(ben, count=1)
    big_desk.clock.now += 7200
    challenge, pending = anna.challenge(offers[anna], big_desk.key())
    assert good_tokens(big_desk.issuer.answer(challenge), pending, big_desk.key()) == 4
    late = big_desk.offer(anna, count=4)
    big_desk.clock.now += wait
    assert big_desk.fetch(ben, count=1) == 1
    with pytest.raises(NotPermitted, match="no session"):
        big_desk.issuer.answer(anna.challenge(late, big_desk.key())[0])
    with pytest.raises(NotPermitted, match="used up"):
        big_desk.offer(anna, count=1)


def test_sessions_opened_over_the_network_give_way_after_a_minute(big_desk):
    anna, ben, _ = big_desk.fakes.values()
    big_desk.issuer.offer(anna.request(1, 4, big_desk.clock()), online=True)
    with pytest.raises(TryLater) as caught:
        big_desk.offer(ben, count=1)
    assert caught.value.retry_after == 60
    big_desk.clock.now += 60
    assert big_desk.fetch(ben, count=4) == 4


def test_one_member_cannot_keep_the_others_out_for_long(big_desk):
    """Every batch costs quota, so blocking ends after quota / 4 batches of at most patience_seconds."""
    anna, ben, _ = big_desk.fakes.values()
    for _ in range(2):
        big_desk.offer(anna, count=4)
    with pytest.raises(NotPermitted, match="used up"):
        big_desk.offer(anna, count=1)
    with pytest.raises(NotPermitted, match="others"):
        big_desk.offer(ben, count=4)
    big_desk.clock.now += big_desk.issuer._store.issuance.patience_seconds
    assert big_desk.fetch(ben, count=4) == 4


def test_restored_backup_answers_nothing_after_abort(desk):
    anna = desk.fakes["anna"]
    offer = desk.offer(anna)
    backup = (desk.path / "issuer.keystore").read_bytes()
    desk.issuer.answer(anna.challenge(offer, desk.key())[0])
    desk.issuer.close()
    (desk.path / "issuer.keystore").write_bytes(backup)
    desk.issuer = desk.open_issuer()
    assert desk.issuer.abort_sessions() == 2
    desk.restart_issuer()
    with pytest.raises(NotPermitted, match="no session"):
        desk.issuer.answer(anna.challenge(offer, desk.key())[0])
    with pytest.raises(NotPermitted, match="used up"):
        desk.offer(anna)


def test_issue_takes_the_two_kinds_of_card_and_no_other(desk):
    anna = desk.fakes["anna"]
    offer = desk.issuer.issue(anna.request(1, 2, desk.clock()))
    challenge, pending = anna.challenge(offer, desk.key())
    assert good_tokens(desk.issuer.issue(challenge), pending, desk.key()) == 2
    for card in (offer, anna.card(), "not a card", ""):
        with pytest.raises(InvalidInput):
            desk.issuer.issue(card)


def test_every_refusal_says_what_to_do(desk):
    anna = desk.fakes["anna"]
    desk.fetch(anna)
    attempts = [
        lambda: desk.offer(anna),
        lambda: desk.offer(anna, 5),
        lambda: desk.issuer.admit(anna.card()),
        lambda: desk.issuer.remove("nobody"),
        lambda: desk.issuer.issue(anna.card()),
    ]
    for attempt in attempts:
        with pytest.raises(TesseraError) as refusal:
            attempt()
        assert refusal.value.message and refusal.value.hint and "\n" not in str(refusal.value)


# -- the budget of a member's day


@pytest.mark.parametrize(
    "budget",
    [
        {"epsilon": "0", "delta": "1e-5"},
        {"epsilon": "0.0e-1", "delta": "1e-5"},
        {"epsilon": "2", "delta": "1"},
        {"epsilon": "2", "delta": "1e3"},
        {"epsilon": "1/2", "delta": "1e-5"},
        {"epsilon": "-2", "delta": "1e-5"},
        {"epsilon": "1e-100", "delta": "1e-5"},
        {"epsilon": "nan", "delta": "1e-5"},
    ],
)
def test_a_budget_that_is_no_decimal_in_range_is_refused(tmp_path, budget):
    with pytest.raises(UsageError, match="of a member's day"):
        Issuer.create(tmp_path / "issuer", PASSPHRASE, PLAN, "Office", budget=budget)
    assert not (tmp_path / "issuer").exists()


def test_members_learn_the_office_s_budget_from_the_federation_card(tmp_path):
    budget = {"epsilon": "0.5", "delta": "1e-7"}
    with Issuer.create(tmp_path / "issuer", PASSPHRASE, PLAN, "Office", budget=budget) as issuer:
        issuer.add_relay("first", "relay.example", 8100, tmp_path / "relay")
        assert issuer.summary()["budget"] == budget
        federation = Federation(read_card(issuer.federation_card))
    assert federation.budget == budget
    assert federation.issuer is None


def test_an_issuer_s_keystore_without_a_budget_has_the_usual_one(desk):
    del desk.issuer._store.data["budget"]
    assert desk.issuer.budget == {"epsilon": "2", "delta": "2e-5"}


def test_after_a_restored_backup_nobody_joins_with_an_invitation_of_before(desk, tmp_path):
    desk.issuer.add_relay("first", "relay.example", 8100, tmp_path / "relay")
    desk.issuer.set_service("issuer.example", 8101)
    desk.issuer.invite("cleo")
    desk.issuer.abort_sessions()
    assert desk.issuer.invitations == []


def test_change_that_cannot_be_saved_leaves_nothing_for_the_next_one_to_save(desk, monkeypatch):
    """Neither in the keystore's map nor in the published files."""
    before, published = desk.issuer.summary(), (desk.path / "federation.card").read_bytes()
    cleo = FakeMember("cleo", desk.issuer.parameters.federation_id)

    def full(self):
        raise KeystoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Keystore, "save", full)
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
    assert desk.issuer.relays == [] and (desk.path / "federation.card").read_bytes() == published
