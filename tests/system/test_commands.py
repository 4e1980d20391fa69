"""The commands from end to end, each a process of its own, with nothing between the parties but files: IT's computer is
never on a network, the relay runs on MicroPython."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tessera_host.cli.demo import free_port
from tessera_host.issuer.signer import AHEAD
from tessera_host.keys.keystore import Keystore
from tessera_host.protocol import card_finding, cards
from tessera_host.relay.process import RelayProcess
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import TESSERA, CommandLine, assert_absent, secrets_of_keystore, secrets_of_relay
from tests.support.office_on_disk import ALL_DAY_LONG, PASSPHRASE, QUICK, OfficeOnDisk

MEMBERS = ("alice", "bob", "carol", "erin")
USAGE, INVALID, KEYSTORE, NOT_PERMITTED, UNREACHABLE, REFUSED, INTEGRITY = 2, 3, 4, 5, 6, 7, 8
PLAN = {
    "members": len(MEMBERS),
    "cover": "delivery",  # in constant batches a member's records leave one a round
    "epsilon": "1",
    "round-seconds": 1,
    "epoch-rounds": 36_000,  # so that the schedule of keys is longer than the commands warn of
    "retention-epochs": 1,
    "tokens-per-epoch": 2,
    "posts-per-token": 128,
}


class Federation:
    """What IT makes with commands in a folder, its relay (not started), and members who joined."""

    def __init__(self, folder: Path) -> None:
        self.command = CommandLine(folder, PASSPHRASE)
        self.json, self.refused = self.command.json, self.command.refused
        self.folder, self.port = folder, free_port()
        self.issuer, self.card = folder / "issuer", folder / "issuer" / "federation.card"
        options = [word for option, value in PLAN.items() for word in (f"--{option}", value)]
        day = ("--day-epsilon", ALL_DAY_LONG["epsilon"], "--day-delta", ALL_DAY_LONG["delta"])
        self.json("plan", *options, *day, "--allow-small", "-o", "plan.json")
        self.json("issuer", "init", self.issuer, "--plan", "plan.json", "--name", "Office")
        address = ("--host", "127.0.0.1", "--port", self.port)
        self.json("relay", "new", "relay", folder / "relay", "--issuer", self.issuer, *address)
        self.relay = RelayProcess(folder / "relay", self.port)

    def home(self, name: str) -> Path:
        return self.folder / name

    def join(self, name: str) -> None:
        """The member card goes to IT."""
        card = self.folder / f"{name}.member"
        self.json("member", "new", name, "--home", self.home(name), "--federation", self.card, "-o", card)
        self.json("issuer", "admit", self.issuer, card)

    def tokens_by_files(self, name: str) -> list[dict[str, Any]]:
        """Two trips to IT and back: `NAME.request` and `NAME.offers`, `NAME.challenges` and `NAME.answers`."""
        home = self.home(name)
        request, offers, challenges, answers = (
            self.folder / f"{name}.{kind}" for kind in ("request", "offers", "challenges", "answers")
        )
        self.json("renew", "--home", home, "-o", request)
        self.json("issuer", "answer", self.issuer, request, "-o", offers)
        assert self.json("join", offers, "--home", home, "-o", challenges)["tokens"] == []
        self.json("issuer", "answer", self.issuer, challenges, "-o", answers)
        return list(self.json("join", answers, "--home", home)["tokens"])

    def meet(self, inviter: str, answerer: str) -> tuple[list[str], list[str]]:
        """The words that each side is shown."""
        stem, ours, theirs = f"{inviter}-{answerer}", self.home(inviter), self.home(answerer)
        invite, answer, confirm = (self.folder / f"{stem}.{kind}" for kind in ("invite", "answer", "confirm"))
        self.json("contact", "add", answerer, "--home", ours, "-o", invite)
        self.json("contact", "add", invite, "--home", theirs, "-o", answer)
        words = self.json("contact", "add", answer, "--home", ours, "-o", confirm)["words"]
        return words, self.json("contact", "add", confirm, "--home", theirs)["words"]

    def fetched(self, name: str) -> list[dict[str, Any]]:
        """The new messages of the next fetch that brings any."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if messages := self.json("fetch", "--home", self.home(name))["messages"]:
                return list(messages)
        raise AssertionError("no message came")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, micropython_frozen: Path) -> Iterator[Federation]:
    """Alice and Bob have met and have tokens, Carol has tokens only; the relay serves."""
    federation = Federation(tmp_path_factory.mktemp("office"))
    with federation.relay.start():
        for name in ("alice", "bob", "carol"):
            federation.join(name)
        given = [{"epoch": epoch, "tokens": 2} for epoch in range(1, 1 + AHEAD + 1)]
        assert [federation.tokens_by_files(name) for name in ("alice", "bob")] == [given, given]
        fetched = federation.json("token", "fetch", "--home", federation.home("carol"), "--issuer", federation.issuer)
        assert fetched["fetched"] == given
        federation.meet("carol", "bob")
        words = federation.meet("alice", "bob")
        assert len(words[0]) == 6 and words[0] == words[1]
        yield federation


# -- what works


def test_message_travels_between_members_who_share_nothing_but_files(office: Federation) -> None:
    alice, bob = office.home("alice"), office.home("bob")
    letter = office.folder / "letter.txt"
    letter.write_text("Grüße, 東京 👋🏽\n" * 40)
    words = office.json("contact", "show", "bob", "--home", alice)["words"]
    office.json("contact", "verify", "alice", "--words", " ".join(words), "--home", bob)
    sent = office.json("send", "bob", "--home", alice, "--file", letter)
    assert sent["records"] == 1 + -(-(len(letter.read_bytes()) - 136) // 208)
    assert sent["waiting"] == 0
    (message,) = office.fetched("bob")
    assert (message["contact"], message["text"], message["lost"]) == ("alice", letter.read_text(), 0)
    assert message["round"] >= max(sent["rounds"])
    office.json("send", "alice", "--home", bob, typed="by standard input\n")
    assert [message["text"] for message in office.fetched("alice")] == ["by standard input"]
    assert office.json("fetch", "--home", bob)["messages"] == []
    kept = office.json("inbox", "--all", "--offline", "--home", bob)["messages"]
    assert [message["text"] for message in kept] == [letter.read_text()]


def test_every_command_that_only_shows_gives_one_json_object(office: Federation) -> None:
    alice = office.home("alice")
    assert office.json("token", "list", "--home", alice)["tokens"][0]["tokens"] == 2
    (contact,) = office.json("contact", "list", "--home", alice)["contacts"]
    assert contact["name"] == "bob"
    status = office.json("status", "--home", alice)
    assert abs(status["rounds_apart"]) <= 1
    assert status["tier"].startswith("libsecp256k1")
    (relay,) = office.json("relay", "status", "--federation", office.issuer / "federation.card")["relays"]
    assert relay["remarks"] == []
    assert relay["relay"] == "relay" and relay["board"] == "COMPUTER" and relay["boots"] == 1
    assert relay["open_round"] >= status["open_round"]
    shown = office.json("issuer", "show", office.issuer)
    assert [member["name"] for member in shown["members"]][:2] == ["alice", "bob"]
    assert office.json("plan", "--members", 24)["constant"] == 24


def test_message_waits_while_the_relay_is_away(office: Federation) -> None:
    alice = office.home("alice")
    office.relay.stop()
    try:
        said = office.command.run(TESSERA, "send", "bob", "later", "--home", alice, code=UNREACHABLE)
        assert "cannot be reached" in said.error and "leaves with the next command that can" in said.error
        office.refused(UNREACHABLE, "fetch", "--home", office.home("bob"))
        office.refused(UNREACHABLE, "status", "--home", alice)
        office.refused(UNREACHABLE, "resend", "--home", alice)
    finally:
        office.relay.start()
    assert office.json("resend", "--home", alice)["records"] == 1
    assert [message["text"] for message in office.fetched("bob")] == ["later"]


# -- what is refused


def test_wrong_passphrase_is_refused(office: Federation) -> None:
    wrong = office.folder / "wrong"
    wrong.write_text("not it\n")
    alice = office.home("alice")
    for command in (("token", "list", "--home", alice), ("fetch", "--home", alice), ("issuer", "show", office.issuer)):
        assert "wrong passphrase" in office.refused(KEYSTORE, *command, "--passphrase-file", wrong)
    missing = office.folder / "missing"
    office.refused(USAGE, "fetch", "--home", alice, "--passphrase-file", missing)
    office.refused(KEYSTORE, "fetch", "--home", missing)


def test_cards_in_the_wrong_place_or_a_second_time_are_refused(office: Federation) -> None:
    alice, bob, folder = office.home("alice"), office.home("bob"), office.folder
    office.refused(INVALID, "contact", "add", folder / "alice.member", "--home", alice)
    office.refused(INVALID, "contact", "add", folder / "alice-bob.answer", "--home", bob)
    office.refused(INVALID, "contact", "add", folder / "alice-bob.answer", "--home", office.home("carol"))
    office.refused(INVALID, "join", folder / "alice-bob.invite", "--home", alice)
    office.refused(INVALID, "issuer", "admit", office.issuer, office.card)
    # Each of these was taken once. Cards of a meeting, and a challenge, give the same once more.
    confirm = office.json("contact", "add", folder / "alice-bob.answer", "--home", alice)["card"]
    assert confirm == (folder / "alice-bob.confirm").read_text().strip()
    assert office.json("contact", "add", folder / "alice-bob.confirm", "--home", bob)["contact"] == "alice"
    for file in ("alice.offers", "alice.answers"):
        found = office.json("join", folder / file, "--home", alice)
        assert (found["tokens"], found["done"]) == ([], True)
    office.refused(NOT_PERMITTED, "issuer", "answer", office.issuer, folder / "alice.request")
    again = office.json("issuer", "answer", office.issuer, folder / "alice.challenges")["reply"]
    answers = tokens_answers((folder / "alice.answers").read_text())
    assert len(answers) == 1 and tokens_answers(again) == answers  # one answer to one challenge, however often
    office.refused(NOT_PERMITTED, "issuer", "admit", office.issuer, folder / "alice.member")
    # Another member's card, a damaged one, and one that is no card.
    office.refused(INVALID, "join", folder / "alice.answers", "--home", bob)
    damaged = folder / "damaged"
    text = (folder / "alice-bob.invite").read_text()
    damaged.write_text(text[:100] + ("A" if text[100] != "A" else "B") + text[101:])
    office.refused(INVALID, "contact", "add", damaged, "--home", bob)
    damaged.write_bytes(b"\xff\x00 not a card")
    office.refused(INVALID, "contact", "add", damaged, "--home", bob)
    office.refused(INVALID, "contact", "add", folder / "no such file", "--home", bob)


def tokens_answers(text: str) -> list[str]:
    return [card for card in card_finding.find(text) if card.startswith("tessera:tokens-answer:")]


def test_more_tokens_than_the_quota_are_not_to_be_had(office: Federation) -> None:
    assert office.json("renew", "--home", office.home("alice"), "-o", office.folder / "more")["done"] is True
    more = office.json("token", "fetch", "--home", office.home("alice"), "--issuer", office.issuer)
    assert more["fetched"] == []


def test_tokens_that_are_forged_or_for_another_epoch_are_refused_by_the_relay(office: Federation) -> None:
    """The tokens are changed in the keystore; members' own checks would not let them in."""
    changed = {
        "forged": lambda now, _: [token | {"signature": other_last_bit(token["signature"])} for token in now],
        "not-yet-valid": lambda _, later: [token | {"epoch": 1} for token in later],
    }
    for name, change in changed.items():
        with carol_with_other_tokens(office, name, change) as home:
            assert "did not accept the token" in office.refused(REFUSED, "send", "bob", "hello", "--home", home)
    assert office.json("fetch", "--home", office.home("carol"))["messages"] == []


def test_tokens_of_another_federation_are_refused_by_the_relay(office: Federation, tmp_path: Path) -> None:
    """They verify under another federation's key of the same epoch."""
    with OfficeOnDisk(tmp_path, int(time.time()) - QUICK["epoch_rounds"]) as other:
        wallet = other.supply("carol").wallet
        foreign = [asdict(token) for token in wallet.of(wallet.key(1, other.issuer.relays[0]["id"]))]

    def change(now: list[Any], _: list[Any]) -> list[Any]:
        return [token | {name: now[0][name] for name in ("generation", "relay")} for token in foreign]

    with carol_with_other_tokens(office, "foreign", change) as home:
        office.refused(REFUSED, "send", "bob", "hello", "--home", home)


def other_last_bit(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


@contextmanager
def carol_with_other_tokens(office: Federation, name: str, change: Callable[[Any, Any], Any]) -> Iterator[Path]:
    """A copy of Carol's home with other tokens for this epoch: `change` makes them of hers for this and the next."""
    home = office.home(f"carol-{name}")
    home.mkdir()
    (home / "member.keystore").write_bytes((office.home("carol") / "member.keystore").read_bytes())
    with Keystore.open(home / "member.keystore", PASSPHRASE, "member") as store:
        now, later = ([t for t in store.data["tokens"]["tokens"] if t["epoch"] == epoch] for epoch in (1, 2))
        # Not fetched in this epoch, which a command that posts would remark on.
        store.data["tokens"]["tokens"] = [token | {"fetched": 0} for token in change(now, later)]
        store.save()
    yield home


def test_relay_that_is_not_the_one_on_the_card_is_not_used(office: Federation, tmp_path: Path) -> None:
    """Another relay answers at the address: it cannot finish the handshake, so it is told nothing."""
    with OfficeOnDisk(tmp_path / "two relays") as federation:
        federation.issuer.add_relay("stranger", "127.0.0.1", free_port(), tmp_path / "stranger")
        federation.supply("dave").close()
        status = ("status", "--home", federation.folder / "dave")
        with RelayProcess(tmp_path / "stranger", federation.port).start():
            office.refused(UNREACHABLE, *status)
        # One of another federation does not even look at what is in the hello.
        with (
            OfficeOnDisk(tmp_path / "another federation") as other,
            RelayProcess(other.relay.directory, federation.port).start(),
        ):
            office.refused(UNREACHABLE, *status)


def test_federation_card_that_was_changed_is_refused(office: Federation) -> None:
    fields = cards.decode(office.card.read_text()).fields
    blob = bytearray(fields["params"])
    blob[-1] ^= 1
    changed = office.folder / "changed.card"
    changed.write_text(cards.encode("federation", {**fields, "v": 2, "params": bytes(blob)}))
    home = office.home("frank")
    error = office.refused(INTEGRITY, "member", "new", "frank", "--home", home, "--federation", changed)
    assert "cannot be accepted" in error
    assert not home.exists()


def test_member_who_was_removed_gets_no_tokens(office: Federation) -> None:
    card = office.folder / "erin.member"
    home = office.home("erin")
    office.json("member", "new", "erin", "--home", home, "--federation", office.card, "-o", card)
    request = office.folder / "erin.request"
    office.json("renew", "--home", home, "-o", request)
    office.refused(NOT_PERMITTED, "issuer", "answer", office.issuer, request)
    office.json("issuer", "admit", office.issuer, card)
    office.json("issuer", "remove", office.issuer, "erin")
    office.refused(NOT_PERMITTED, "issuer", "answer", office.issuer, request)
    office.refused(NOT_PERMITTED, "token", "fetch", "--home", home, "--issuer", office.issuer)


# -- what nobody sees


def test_no_output_holds_a_secret(office: Federation) -> None:
    """Of none of the commands that ran before this test, cards included."""
    alice, bob = office.home("alice"), office.home("bob")
    office.command.tessera("send", "bob", "--home", alice, typed="one more")
    office.command.tessera("fetch", "--home", bob)
    office.command.tessera("issuer", "show", office.issuer)
    office.command.tessera("contact", "list", "--home", alice)
    found = [PASSPHRASE.encode(), *secrets_of_relay(office.folder / "relay")]
    for home, kind in ((alice, "member"), (bob, "member"), (office.issuer, "issuer")):
        secrets = secrets_of_keystore(home / f"{kind}.keystore", PASSPHRASE, kind)
        assert len(secrets) >= 2
        found += secrets
    said = office.command.everything_said()
    assert len(said) > 10_000
    assert_absent(found, said)
