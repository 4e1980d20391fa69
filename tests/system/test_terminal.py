"""From an invitation to the first answer, at terminals: IT's, Alice's and Bob's, and a relay on MicroPython.

Everything is typed as a person types it and read as it is shown: no --json, no passphrase file, no card in a file that
a person would paste.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera_host.cli.demo import free_port
from tessera_host.relay.process import RelayProcess
from tests.support.terminal import Terminal

IT_PHRASE, ALICE_PHRASE, BOB_PHRASE = "the office's own phrase", "alice keeps this", "bob keeps that"
DAY = ("--day-epsilon", 20, "--day-delta", "1e-3")
USAGE, INVALID, KEYSTORE, NOT_PERMITTED, UNREACHABLE = 2, 3, 4, 5, 6


class Office:
    """IT's computer, the relay and two members' terminals in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.relay_port, self.service_port = free_port(), free_port()
        self.it = Terminal(folder)
        self.service = Terminal(folder)
        self.people = {name: Terminal(folder / name, TESSERA_HOME=str(folder / name / "tessera")) for name in PHRASES}
        for name in self.people:
            (folder / name).mkdir()
        self.relay = RelayProcess(folder / "relay", self.relay_port)

    def close(self) -> None:
        for terminal in (self.it, self.service, *self.people.values()):
            terminal.close()
        self.relay.kill()


PHRASES = {"alice": ALICE_PHRASE, "bob": BOB_PHRASE}


def asked(terminal: Terminal, phrase: str) -> None:
    terminal.read("Passphrase: ")
    terminal.type(phrase)


def chosen(terminal: Terminal, phrase: str) -> None:
    """A new passphrase is asked for twice."""
    asked(terminal, phrase)
    terminal.read("Passphrase again: ")
    terminal.type(phrase)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, micropython_frozen: Path) -> Iterator[Office]:
    """IT has set everything up at its terminal; relay and issuer's service run; Alice and Bob joined with their
    invitations and met."""
    found = Office(tmp_path_factory.mktemp("terminals"))
    it = found.it
    try:
        set_up(found)
        found.relay.start()
        found.service.run("issuer", "serve", "issuer", "--host", "127.0.0.1")
        asked(found.service, IT_PHRASE)
        found.service.read("serves at 127.0.0.1")
        for name in PHRASES:  # beside the service that runs
            it.run("issuer", "invite", "issuer", name, "-o", f"{name}/{name}.invitation")
            asked(it, IT_PHRASE)
            it.read("Give it to")
            it.done()
        join(found)
        meet(*found.people.values())
        yield found
    finally:
        found.close()


def set_up(found: Office) -> None:
    it = found.it
    numbers = ("--members", 4, "--allow-small", "--cover", "delivery", "--epsilon", 1, "--round-seconds", 2)
    it.run("plan", *numbers, *DAY, "--epoch-rounds", 43_200, "--retention-epochs", 1, "--out", "plan.json")
    it.read("Written to plan.json")
    it.done()
    it.run("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Berlin office")
    chosen(it, IT_PHRASE)
    it.read("Federation 'Berlin office' is in issuer")
    it.done()
    it.run("issuer", "service", "issuer", "127.0.0.1", "--port", found.service_port)
    asked(it, IT_PHRASE)
    it.done()
    address = ("--host", "127.0.0.1", "--port", found.relay_port)
    it.run("relay", "new", "berlin", "--issuer", "issuer", *address, "relay")
    asked(it, IT_PHRASE)
    it.read("Relay 'berlin' is in relay")
    it.done()


def join(office: Office) -> None:
    for name, terminal in office.people.items():
        terminal.run("join", f"{name}.invitation")
        terminal.read(f"You are joining Berlin office as {name}.")
        chosen(terminal, PHRASES[name])
        terminal.read(f"You have joined Berlin office as {name}.")
        terminal.read("You can talk now.")
        terminal.read("tessera contact add NAME")
        terminal.done()


def test_two_people_who_joined_and_met_talk(office: Office) -> None:
    alice, bob = office.people.values()
    say(alice, "alice", "bob", "Thursday at ten?")
    hear(bob, "bob", "alice", "Thursday at ten?")
    say(bob, "bob", "alice", "Thursday at ten.")
    hear(alice, "alice", "bob", "Thursday at ten.")


def say(terminal: Terminal, name: str, other: str, text: str) -> None:
    terminal.run("send", other, text)
    asked(terminal, PHRASES[name])
    terminal.read(f"Sent to {other}: 1 record, posted, can be read from ")
    terminal.read("Today: ")
    terminal.done()


def hear(terminal: Terminal, name: str, other: str, text: str) -> None:
    """The command waits until the message is there."""
    terminal.run("inbox", "--wait")
    asked(terminal, PHRASES[name])
    terminal.read(f"{other}: {text}")
    terminal.done()


def test_nothing_that_was_typed_in_secret_was_shown(office: Office) -> None:
    for terminal in (office.it, office.service, *office.people.values()):
        assert not any(phrase in terminal.shown for phrase in (IT_PHRASE, ALICE_PHRASE, BOB_PHRASE))


def test_a_wrong_passphrase_is_said_to_be_that(office: Office) -> None:
    alice = office.people["alice"]
    alice.run("contact", "list")
    asked(alice, "something else")
    alice.read("error: wrong passphrase for")
    alice.done(KEYSTORE)
    assert "the file itself is undamaged" in " ".join(alice.screen().split())


def test_who_has_not_joined_is_told_to_before_anything_is_asked(office: Office) -> None:
    stranger = Terminal(office.folder, TESSERA_HOME=str(office.folder / "nobody"))
    for words in (("send", "bob", "hello"), ("inbox",), ("contact", "add", "bob"), ("contact", "list"), ("sent",)):
        stranger.run(*words)
        stranger.read("join your office first: tessera join INVITATION")
        stranger.done(KEYSTORE)
        assert "Passphrase" not in stranger.screen()


def test_an_invitation_works_once(office: Office) -> None:
    """Somebody finds Alice's invitation in her mail."""
    thief = Terminal(office.folder, TESSERA_HOME=str(office.folder / "thief"))
    thief.run("join", "alice/alice.invitation")
    chosen(thief, "stolen")
    thief.read("error: this invitation was already used, and each works only once")
    thief.done(NOT_PERMITTED)


def test_joining_twice_changes_nothing(office: Office) -> None:
    alice = office.people["alice"]
    alice.run("join", "alice.invitation")
    asked(alice, ALICE_PHRASE)
    alice.read("You are a member of Berlin office as alice.")
    alice.done()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("join", "missing.invitation"), "missing.invitation cannot be read: No such file or directory", INVALID),
        (("join", "tessera:invitation:AAAA"), "this card is damaged: its checksum is wrong", INVALID),
        (("join", "hello"), "hello cannot be read", INVALID),
        (("sned", "bob", "hello"), "No such command 'sned'", USAGE),
        (("contact", "add"), "Missing argument", USAGE),
    ],
)
def test_what_makes_no_sense_is_explained_in_a_line(
    office: Office, words: tuple[str, ...], said: str, code: int
) -> None:
    terminal = Terminal(office.folder, TESSERA_HOME=str(office.folder / "nobody"))
    terminal.run(*words)
    terminal.done(code)
    assert said in " ".join(terminal.screen().split())
    assert terminal.screen().count("error:") == 1


def test_ctrl_c_at_a_prompt_ends_in_a_line(office: Office) -> None:
    alice = office.people["alice"]
    alice.run("contact", "list")
    alice.read("Passphrase: ")
    alice.press("c")
    alice.read("error: interrupted")
    alice.done(130)


def test_a_contact_that_is_none_is_named(office: Office) -> None:
    alice = office.people["alice"]
    alice.run("send", "carol", "hello")
    asked(alice, ALICE_PHRASE)
    alice.read("error: there is no contact 'carol'")
    alice.read("hint: your contacts: bob")
    alice.done(USAGE)


def test_a_relay_that_is_away_keeps_the_message_waiting(office: Office) -> None:
    alice, bob = office.people.values()
    office.relay.stop()
    alice.run("send", "bob", "Are you there?")
    asked(alice, ALICE_PHRASE)
    alice.read("cannot be reached")
    alice.done(UNREACHABLE)
    said = "the message waits in the outbox and leaves with the next command that can"
    assert said.replace(" ", "") in "".join(alice.screen().split())  # a terminal breaks lines within words
    office.relay.start()
    alice.run("resend")
    asked(alice, ALICE_PHRASE)
    alice.read("Posted 1 record; nothing waits.")
    alice.done()
    hear(bob, "bob", "alice", "Are you there?")


def meet(alice: Terminal, bob: Terminal) -> None:
    alice.run("contact", "add", "bob")
    asked(alice, ALICE_PHRASE)
    invite = alice.find(r"(tessera:invite:[A-Za-z0-9_-]+)\r\n")
    alice.read("Paste the answer from bob (or a file name): ")
    bob.run("contact", "add", invite)
    asked(bob, BOB_PHRASE)
    answer = bob.find(r"(tessera:answer:[A-Za-z0-9_-]+)\r\n")
    bob.read("Paste the confirm card from alice (or a file name): ")
    alice.type(answer)
    confirm = alice.find(r"(tessera:confirm:[A-Za-z0-9_-]+)\r\n")
    words = alice.find(r"Six words:  ([a-z ]+)\r\n")
    bob.type(confirm)
    assert bob.find(r"Six words:  ([a-z ]+)\r\n") == words
    for terminal, other in ((alice, "bob"), (bob, "alice")):
        terminal.read(f"Does {other} read the same six words? [y/n] ")
        terminal.type("y")
        terminal.read(f"{other} is verified.")
        terminal.done()
