"""Meeting someone as it is typed: one command on both sides, at a terminal, by files, through a folder."""

import io
import sys
from collections.abc import Callable

import pytest
import typer

from tessera_host.cli import meeting_dialog, output
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.renewal import Renewal
from tessera_host.member.state import MemberState
from tessera_host.privacy import composition
from tessera_host.protocol import cards
from tests.host.test_cli_member import Desk
from tests.host.test_cli_member import desk as desk
from tests.support.fake_federation import PASSPHRASE

PASTE_ANSWER = "Paste the answer from bob (or a file name): "
PASTE_CONFIRM = "Paste the confirm card from ann (or a file name): "


class Typist:
    """Answers prompts from a script: (the prompt it expects, what it types or a function that gives it)."""

    def __init__(self, *script: tuple[str, str | Callable[[], str]]) -> None:
        self.script = list(script)

    def __call__(self, prompt: str) -> str:
        assert self.script, f"nobody expected: {prompt}"
        expected, typed = self.script.pop(0)
        assert prompt == expected
        return typed if isinstance(typed, str) else typed()


class Terminal:
    """The desk, with somebody who types."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.monkeypatch.setattr(output, "has_terminal", lambda: True)

    def run(
        self, who: str, *arguments: object, script: list[tuple[str, str | Callable[[], str]]]
    ) -> tuple[int, str, str]:
        typist = Typist(*script)
        self.desk.monkeypatch.setattr("builtins.input", typist)
        code, out, err = self.desk.run(who, *arguments)
        assert typist.script == [], f"never asked: {typist.script}"
        return code, out, err


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deliveries add up is not what these tests are about, and takes seconds."""
    monkeypatch.setattr(composition, "deliveries_within", lambda *_: 100)


@pytest.fixture
def terminal(desk: Desk) -> Terminal:
    desk.new("ann", "bob")
    return Terminal(desk)


@pytest.fixture
def met(desk: Desk) -> Desk:
    desk.new("ann", "bob")
    desk.meet()
    return desk


def card_in(out: str) -> str:
    """The one card that was shown."""
    (card,) = [line for line in out.splitlines() if line.startswith("tessera:")]
    return card


def question(name: str) -> str:
    return f"Does {name} read the same six words? [y/n] "


# -- at a terminal


def test_two_people_meet_at_their_terminals(terminal: Terminal) -> None:
    """Bob's side is run while ann's waits: what each is asked, and what each sees."""
    seen: dict[str, str] = {}

    def bob_answers() -> str:
        invite = terminal.desk.json("ann", "contact", "add", "bob")["card"]  # the same one: it is open
        return str(terminal.desk.json("bob", "contact", "add", invite)["card"])

    code, out, err = terminal.run(
        "ann", "contact", "add", "bob", script=[(PASTE_ANSWER, bob_answers), (question("bob"), "y")]
    )
    assert (code, err) == (0, "")
    confirm = next(line for line in out.splitlines() if line.startswith("tessera:confirm:"))
    seen["ann"] = out
    invite = terminal.desk.json("bob", "contact", "list")["meetings"]
    assert invite == [{"name": "ann", "waiting_for": "confirm"}]
    _, out, _ = terminal.run("bob", "contact", "add", confirm, script=[(question("ann"), "y")])
    words = " ".join(terminal.desk.json("bob", "contact", "show", "ann")["words"])
    assert f"Six words:  {words}" in seen["ann"]
    assert f"Six words:  {words}" in out
    for who, name in (("ann", "bob"), ("bob", "ann")):
        assert terminal.desk.json(who, "contact", "show", name)["verified"] is True


def test_answerer_waits_for_the_confirm_card(terminal: Terminal) -> None:
    invite = terminal.desk.json("ann", "contact", "add", "bob")["card"]

    def ann_confirms() -> str:
        answer = terminal.desk.json("bob", "contact", "add", invite)["card"]
        return str(terminal.desk.json("ann", "contact", "add", answer)["card"])

    code, out, _ = terminal.run(
        "bob", "contact", "add", invite, script=[(PASTE_CONFIRM, ann_confirms), (question("ann"), "")]
    )
    assert code == 0
    assert "Not compared yet" in out
    assert terminal.desk.json("bob", "contact", "show", "ann")["verified"] is False


def test_wrong_pastes_are_explained_and_asked_for_again(terminal: Terminal) -> None:
    desk = terminal.desk
    desk.new("carl")
    invite = desk.json("ann", "contact", "add", "bob")["card"]
    other = desk.json("ann", "contact", "add", "carl")["card"]
    answer = desk.json("bob", "contact", "add", invite)["card"]
    carls = desk.json("carl", "contact", "add", other)["card"]
    desk.file("answer").write_text(answer)
    half = len(answer) // 2
    code, _, err = terminal.run(
        "ann",
        *("contact", "add", "bob"),
        script=[
            (PASTE_ANSWER, ""),
            (PASTE_ANSWER, invite),
            (PASTE_ANSWER, carls),
            (PASTE_ANSWER, "no such file"),
            (PASTE_ANSWER, answer[:half]),
            ("The card is not whole yet. Paste the rest of it, or press Enter to begin again: ", ""),
            (PASTE_ANSWER, str(desk.file("answer"))),
            (question("bob"), "what?"),
            (question("bob"), "yes"),
        ],
    )
    assert code == 0
    own, hint, not_bob, _, no_file, _, damaged, _ = err.splitlines()
    assert (own, hint[:20]) == ("error: this is your own invite card", "hint: give it to bob")
    assert not_bob.startswith("error: this is the answer card of carl, not of bob")
    assert "cannot be read" in no_file
    assert "damaged" in damaged


def test_card_broken_into_lines_is_put_together(terminal: Terminal) -> None:
    invite = terminal.desk.json("ann", "contact", "add", "bob")["card"]
    answer = terminal.desk.json("bob", "contact", "add", invite)["card"]
    pieces = [answer[at : at + 76] for at in range(0, len(answer), 76)]
    rest = "The card is not whole yet. Paste the rest of it, or press Enter to begin again: "
    script: list[tuple[str, str | Callable[[], str]]] = [(PASTE_ANSWER, pieces[0])]
    script += [(rest, piece) for piece in pieces[1:]]
    code, _, err = terminal.run("ann", "contact", "add", "bob", script=[*script, (question("bob"), "y")])
    assert (code, err) == (0, "")


def test_words_that_differ_are_explained_and_the_contact_can_be_forgotten(met: Desk) -> None:
    terminal = Terminal(met)
    forget = "Forget bob and these keys? [y/n] "
    code, out, err = terminal.run("ann", "contact", "verify", "bob", script=[(question("bob"), "n"), (forget, "n")])
    assert code == 8
    assert "may not be those of bob" in out
    assert met.json("ann", "contact", "show", "bob")["verified"] is False
    code, _, err = terminal.run("ann", "contact", "verify", "bob", script=[(question("bob"), "n"), (forget, "y")])
    assert code == 8
    assert "bob is forgotten" in err
    assert met.json("ann", "contact", "list")["contacts"] == []


def test_end_of_input_is_no_traceback_and_the_meeting_goes_on_later(terminal: Terminal) -> None:
    def ctrl_d() -> str:
        raise EOFError

    code, out, err = terminal.run("ann", "contact", "add", "bob", script=[(PASTE_ANSWER, ctrl_d)])
    assert code == 130
    assert "repeat the command to go on" in err
    _, again, _ = terminal.run("ann", "contact", "add", "bob", script=[(PASTE_ANSWER, ctrl_d)])
    assert card_in(again) == card_in(out)


def test_code_is_shown_where_it_fits(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_d() -> str:
        raise EOFError

    for columns, lines, shown in ((120, 80, True), (40, 80, False), (120, 24, False)):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        _, out, _ = terminal.run("ann", "contact", "add", "bob", script=[(PASTE_ANSWER, ctrl_d)])
        assert ("█" in out) is shown
        assert ("this terminal needs " in out) is (lines == 24)
        assert max(len(line) for line in out.splitlines() if "tessera:" not in line) < 130


# -- a step at a time


def test_meeting_by_files(desk: Desk) -> None:
    desk.new("ann", "bob")
    began = desk.json("ann", "contact", "add", "bob", "-o", desk.file("invite"))
    assert (began["contact"], began["kind"], began["waiting_for"]) == ("bob", "invite", "answer")
    assert desk.json("ann", "contact", "list")["meetings"] == [{"name": "bob", "waiting_for": "answer"}]
    desk.json("bob", "contact", "add", desk.file("invite"), "--as", "anna", "-o", desk.file("answer"))
    confirmed = desk.json("ann", "contact", "add", desk.file("answer"), "-o", desk.file("confirm"))
    accepted = desk.json("bob", "contact", "add", desk.file("confirm"))
    assert confirmed["words"] == accepted["words"]
    assert len(confirmed["words"]) == 6
    assert (confirmed["contact"], accepted["contact"]) == ("bob", "anna")
    (contact,) = desk.json("ann", "contact", "list")["contacts"]
    assert (contact["name"], contact["verified"], contact["relay"]) == ("bob", False, "relay-0")


def test_cards_can_be_given_as_text_or_piped(desk: Desk) -> None:
    desk.new("ann", "bob")
    invite = desk.json("ann", "contact", "add", "bob")["card"]
    desk.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(invite.encode())))
    answer = desk.json("bob", "contact", "add", "-")["card"]
    confirm = desk.json("ann", "contact", "add", answer)["card"]
    assert desk.json("bob", "contact", "add", confirm)["contact"] == "ann"


def test_without_a_file_the_card_alone_is_on_standard_output(desk: Desk) -> None:
    desk.new("ann")
    _, out, err = desk.run("ann", "contact", "add", "bob")
    assert cards.decode(out, "invite").fields["name"] == "ann"
    assert out.count("\n") == 1
    assert "tessera contact add CARD" in err


def test_every_card_given_again_gives_the_same_again(met: Desk) -> None:
    before = met.file("ann/member.keystore").read_bytes(), met.file("bob/member.keystore").read_bytes()
    assert met.json("ann", "contact", "add", met.file("answer"))["card"] == met.file("confirm").read_text().strip()
    words = met.json("bob", "contact", "add", met.file("confirm"))["words"]
    assert met.json("bob", "contact", "add", met.file("invite"))["words"] == words
    assert before == (met.file("ann/member.keystore").read_bytes(), met.file("bob/member.keystore").read_bytes())


def test_invite_given_twice_gives_the_same_answer(desk: Desk) -> None:
    desk.new("ann", "bob")
    invite = desk.json("ann", "contact", "add", "bob")["card"]
    assert len({desk.json("bob", "contact", "add", invite)["card"] for _ in range(2)}) == 1


def test_cards_at_the_wrong_place_are_explained_and_change_nothing(met: Desk) -> None:
    met.new("carl")
    before = met.file("bob/member.keystore").read_bytes()
    invite, answer, confirm = (met.file(name).read_text() for name in ("invite", "answer", "confirm"))
    met.fails(3, "your own answer card", "bob", "contact", "add", answer)
    met.fails(3, "your own invite card", "ann", "contact", "add", invite)
    met.fails(3, "your own confirm card", "ann", "contact", "add", confirm)
    met.fails(3, "does not belong to any of your open invites", "carl", "contact", "add", answer)
    met.fails(3, "from another meeting", "carl", "contact", "add", confirm)
    met.fails(3, "this is a federation card", "bob", "contact", "add", met.file("federation.card"))
    met.fails(3, "damaged", "bob", "contact", "add", invite[:-9])
    met.fails(3, "cannot be read", "bob", "contact", "add", met.file("none"))
    assert met.file("bob/member.keystore").read_bytes() == before


def test_second_answer_to_one_invite_is_a_warning(met: Desk) -> None:
    met.new("eve")
    answer = met.json("eve", "contact", "add", met.file("invite"))["card"]
    met.fails(3, "compare the six words with bob", "ann", "contact", "add", answer)


def test_contact_that_invites_again_is_told_apart(met: Desk) -> None:
    met.json("ann", "contact", "remove", "bob")
    invite = met.json("ann", "contact", "add", "bob")["card"]
    met.fails(5, "tessera contact rekey ann CARD", "bob", "contact", "add", invite)


def test_name_that_is_taken_is_refused(met: Desk) -> None:
    met.fails(2, "you have a contact 'bob' already", "ann", "contact", "add", "bob")
    met.fails(2, "the name", "ann", "contact", "add", "b\x1bob")


def test_card_file_that_exists_is_refused_before_anything_changes(desk: Desk) -> None:
    desk.new("ann", "bob")
    desk.json("ann", "contact", "add", "bob", "-o", desk.file("invite"))
    desk.json("bob", "contact", "add", desk.file("invite"), "-o", desk.file("answer"))
    desk.file("confirm").write_text("precious")
    arguments = ("contact", "add", desk.file("answer"), "-o")
    desk.fails(2, "not overwritten", "ann", *arguments, desk.file("confirm"))
    assert desk.file("confirm").read_text() == "precious"
    desk.json("ann", *arguments, desk.file("confirm2"))


def test_crossed_invites_make_one_meeting(desk: Desk) -> None:
    """Both began, and each takes the other's card: both sides choose the same invite."""
    desk.new("ann", "bob")
    invites = {who: desk.json(who, "contact", "add", other)["card"] for who, other in (("ann", "bob"), ("bob", "ann"))}
    steps = {
        "ann": desk.json("ann", "contact", "add", invites["bob"]),
        "bob": desk.json("bob", "contact", "add", invites["ann"]),
    }
    assert sorted(step["kind"] for step in steps.values()) == ["answer", "invite"]
    answerer = next(who for who, step in steps.items() if step["kind"] == "answer")
    inviter = "bob" if answerer == "ann" else "ann"
    assert steps[inviter]["card"] == invites[inviter]
    confirm = desk.json(inviter, "contact", "add", steps[answerer]["card"])
    assert desk.json(answerer, "contact", "add", confirm["card"])["words"] == confirm["words"]


def test_invite_of_somebody_else_is_not_taken_for_an_answer(desk: Desk) -> None:
    desk.new("ann", "bob", "carl")
    desk.json("ann", "contact", "add", "bob")
    invite = desk.json("carl", "contact", "add", "ann")["card"]
    desk.fails(3, "an invite from 'carl', not the answer of bob", "ann", "contact", "add", invite, "--as", "bob")
    assert desk.json("ann", "contact", "add", invite)["contact"] == "carl"


# -- through a folder


@pytest.mark.parametrize("crossed", [False, True])
def test_two_meet_through_a_folder(desk: Desk, crossed: bool) -> None:
    """Whenever one waits, the other's command is run until that waits too."""
    desk.new("ann", "bob")
    desk.file("shared").mkdir()
    waits: list[str] = []

    class Waits(Exception):
        pass

    def sleep(_: float) -> None:
        raise Waits

    def turn(who: str, other: str) -> bool:
        """Whether it has met; it is interrupted where it would wait."""
        folder = meeting_dialog.Folder(desk.file("shared"), sleep)
        try:
            folder.meet(lambda: MemberState.open(desk.file(who), PASSPHRASE, desk.clock), other)
        except Waits:
            waits.append(who)
            return False
        return True

    if crossed:  # bob does not see ann's invite before he makes his own
        desk.json("ann", "contact", "add", "bob")
        desk.json("bob", "contact", "add", "ann")
    done = {"ann": False, "bob": False}
    for _ in range(4):
        for who, other in (("ann", "bob"), ("bob", "ann")):
            done[who] = done[who] or turn(who, other)
    assert done == {"ann": True, "bob": True}
    assert list(desk.file("shared").iterdir()) == []
    assert desk.json("ann", "contact", "show", "bob")["words"] == desk.json("bob", "contact", "show", "ann")["words"]
    assert desk.json("ann", "contact", "show", "bob")["verified"] is False


class Folders:
    """Several who meet in one folder; each command goes on until it would wait."""

    class Waits(Exception):
        pass

    def __init__(self, desk: Desk, *names: str) -> None:
        self.desk = desk
        desk.new(*names)
        desk.file("shared").mkdir()

    def turn(self, who: str, other: str) -> bool:
        """Whether it has met."""

        def sleep(_: float) -> None:
            raise self.Waits

        folder = meeting_dialog.Folder(self.desk.file("shared"), sleep)
        try:
            folder.meet(lambda: MemberState.open(self.desk.file(who), PASSPHRASE, self.desk.clock), other)
        except self.Waits:
            return False
        return True

    def contacts(self, who: str) -> dict[str, str]:
        """Name here, and whose key it is."""
        keys = {self.key(name): name for name in self.names()}
        return {each["name"]: keys[each["key"]] for each in self.desk.json(who, "contact", "list")["contacts"]}

    def names(self) -> list[str]:
        return [path.parent.name for path in self.desk.folder.glob("*/member.keystore")]

    def key(self, name: str) -> str:
        with MemberState.open(self.desk.file(name), PASSPHRASE, self.desk.clock) as member:
            return member.identity.key.hex()


def test_in_a_shared_folder_nobody_becomes_somebody_else_s_contact(desk: Desk) -> None:
    """Eve waits for Hans, and Carol adds Gus: both meetings are made, and neither in the other's place."""
    folders = Folders(desk, "eve", "hans", "carol", "gus")
    pairs = (("eve", "hans"), ("carol", "gus"), ("hans", "eve"), ("gus", "carol"))
    done: set[tuple[str, str]] = set()
    for _ in range(4):
        for pair in pairs:
            if pair not in done and folders.turn(*pair):
                done.add(pair)
    assert done == set(pairs)
    assert {who: folders.contacts(who) for who, _ in pairs} == {who: {other: other} for who, other in pairs}
    assert list(desk.file("shared").iterdir()) == []


def test_a_name_that_does_not_fit_is_asked_about(desk: Desk) -> None:
    folders = Folders(desk, "hans", "ann")
    assert not folders.turn("hans", "anna")
    asked: list[str] = []

    def answered(prompt: str) -> str:
        asked.append(prompt)
        return "y"

    desk.monkeypatch.setattr(output, "has_terminal", lambda: True)
    desk.monkeypatch.setattr("builtins.input", answered)
    assert not folders.turn("ann", "my boss")
    assert asked == [f"An invite from 'hans' lies in {desk.file('shared')}. Is that my boss? [y/n] "]
    assert folders.turn("hans", "anna")
    assert asked[1:] == ["The answer is from 'ann'. Is that anna? [y/n] "]
    assert folders.turn("ann", "my boss")
    assert folders.contacts("ann") == {"my boss": "hans"} and folders.contacts("hans") == {"anna": "ann"}


def test_an_answer_of_another_name_makes_no_contact_where_nobody_can_be_asked(desk: Desk) -> None:
    folders = Folders(desk, "eve", "carol")
    assert not folders.turn("eve", "hans")
    (invite,) = desk.file("shared").iterdir()
    desk.json("carol", "contact", "add", invite, "-o", str(invite).replace("invite", "answer"))
    code, _, err = desk.run("eve", "contact", "add", "hans", "--via", desk.file("shared"))
    assert code == 5 and "is from 'carol', not from hans" in err
    assert folders.contacts("eve") == {}


def test_who_is_behind_the_other_side_s_settings_gets_them_and_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IT made a new set, as it does for every newcomer in a growing office."""
    desk.new("ann", "bob")
    card = desk.federation.card(desk.federation.make_set(2))
    with MemberState.open(desk.file("bob"), PASSPHRASE, desk.clock) as bob:
        bob.federation.refresh(card, 0)
        bob.save()
    invite = desk.json("bob", "contact", "add", "ann", "-o", desk.file("invite"))["path"]
    desk.fails(3, "different settings", "ann", "contact", "add", invite)  # the office is on no network

    async def visit(member: MemberState) -> VisitReport:
        member.federation.refresh(card, 0)
        return VisitReport(news=True)

    monkeypatch.setattr("tessera_host.member.renewal.visit", visit)
    monkeypatch.setattr(Renewal, "is_possible", lambda _: True)
    assert desk.json("ann", "contact", "add", invite)["waiting_for"] == "confirm"


def test_an_invite_of_settings_that_are_over_is_made_anew(desk: Desk) -> None:
    desk.new("ann")
    first = desk.json("ann", "contact", "add", "bob")["card"]
    with MemberState.open(desk.file("ann"), PASSPHRASE, desk.clock) as ann:
        ann.federation.refresh(desk.federation.card(desk.federation.make_set(2)), 0)
        ann.save()
    again = desk.json("ann", "contact", "add", "bob")["card"]
    digests = [cards.decode(card, "invite").fields["digest"] for card in (first, again)]
    assert digests[0] != digests[1]
    assert desk.json("ann", "contact", "add", "bob")["card"] == again
    assert len(desk.json("ann", "contact", "list")["meetings"]) == 1


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 5)])
def test_at_a_terminal_a_contact_is_not_forgotten_without_a_question(met: Desk, answer: bool, code: int) -> None:
    asked: list[str] = []
    met.monkeypatch.setattr(output, "has_terminal", lambda: True)
    met.monkeypatch.setattr(typer, "confirm", lambda question, **_: [asked.append(question), answer][1])
    assert met.run("ann", "contact", "remove", "bob")[0] == code
    assert asked[0].startswith("Forget bob, the keys and what you wrote to bob, for good?")
    assert (met.json("ann", "contact", "list")["contacts"] == []) is answer
    if not answer:
        assert met.run("ann", "contact", "remove", "bob", "--yes")[0] == 0
        assert len(asked) == 1


def test_folder_command_says_what_comes_next(met: Desk) -> None:
    met.new("carl")
    met.fails(2, "no folder", "ann", "contact", "add", "carl", "--via", met.file("none"))


# -- afterwards


def test_words_are_compared_without_a_terminal_too(met: Desk) -> None:
    words = met.json("bob", "contact", "show", "ann")["words"]
    met.fails(2, "--words", "ann", "contact", "verify", "bob")
    met.fails(
        8, "not the words of bob", "ann", "contact", "verify", "bob", "--words", " ".join([*words[:5], "abandon"])
    )
    met.fails(8, "not the words of bob", "ann", "contact", "verify", "bob", "--words", "")
    assert met.json("ann", "contact", "show", "bob")["verified"] is False
    assert met.json("ann", "contact", "verify", "bob", "--words", " ".join(words).upper())["verified"] is True
    met.fails(2, "no contact 'carl'", "ann", "contact", "verify", "carl", "--words", "x")


def test_contact_is_removed(met: Desk) -> None:
    assert met.json("ann", "contact", "remove", "bob") == {"contact": "bob", "removed": True}
    assert met.json("ann", "contact", "list")["contacts"] == []
    met.fails(2, "no meeting", "bob", "contact", "remove", "ann", "--meeting")


def test_rename_keeps_messages_and_what_waits(desk: Desk) -> None:
    desk.ready()
    desk.json("bob", "send", "ann", "hello")
    desk.clock.next_round()
    assert desk.json("ann", "inbox")["messages"][0]["contact"] == "bob"
    desk.relay.fail_before_store = 1
    desk.run("ann", "send", "bob", "waits")
    desk.json("ann", "contact", "rename", "bob", "Robert")
    assert desk.json("ann", "inbox", "--all", "--offline")["messages"][0]["contact"] == "Robert"
    desk.json("ann", "resend")
    desk.clock.next_round()
    assert [message["text"] for message in desk.json("bob", "inbox")["messages"]] == ["waits"]
    desk.json("ann", "send", "Robert", "again")
    desk.fails(2, "no contact 'bob'", "ann", "send", "bob", "x")
    desk.fails(2, "a contact 'Robert' already", "ann", "contact", "rename", "Robert", "Robert")


def test_blocked_contact_is_not_heard_and_not_written_to(desk: Desk) -> None:
    desk.ready()
    desk.json("ann", "contact", "block", "bob")
    desk.json("bob", "send", "ann", "unwanted")
    desk.clock.next_round()
    assert desk.json("ann", "inbox")["messages"] == []
    desk.fails(5, "bob is blocked", "ann", "send", "bob", "x")
    desk.json("ann", "contact", "unblock", "bob")
    desk.json("bob", "send", "ann", "wanted")
    desk.clock.next_round()
    (message,) = desk.json("ann", "inbox")["messages"]
    assert (message["text"], message["lost"]) == ("wanted", 0)


def test_rekey_keeps_name_messages_and_what_waits(desk: Desk) -> None:
    desk.ready()
    desk.json("bob", "send", "ann", "old keys")
    desk.clock.next_round()
    desk.json("ann", "inbox")
    words = desk.json("ann", "contact", "show", "bob")["words"]
    desk.relay.fail_before_store = 1
    desk.run("ann", "send", "bob", "waits")
    invite = desk.json("ann", "contact", "rekey", "bob")["card"]
    answer = desk.json("bob", "contact", "rekey", "ann", invite)["card"]
    confirm = desk.json("ann", "contact", "add", answer)
    assert confirm["words"] != words
    desk.json("bob", "contact", "add", confirm["card"])
    found = desk.json("ann", "contact", "show", "bob")
    assert (found["words"], found["verified"]) == (confirm["words"], False)
    desk.json("ann", "resend")
    desk.json("bob", "send", "ann", "new keys")
    desk.clock.next_round()
    assert [m["text"] for m in desk.json("bob", "inbox")["messages"]] == ["waits"]
    (new,) = desk.json("ann", "inbox")["messages"]
    assert (new["text"], new["lost"]) == ("new keys", 0)
    assert [m["text"] for m in desk.json("ann", "inbox", "--all")["messages"]] == ["old keys", "new keys"]


def test_until_a_rekey_is_finished_the_old_keys_hold(desk: Desk) -> None:
    desk.ready()
    desk.json("ann", "contact", "rekey", "bob")
    desk.json("ann", "send", "bob", "as before")
    desk.clock.next_round()
    assert [message["text"] for message in desk.json("bob", "inbox")["messages"]] == ["as before"]
    desk.json("ann", "contact", "remove", "bob", "--meeting")
    assert desk.json("ann", "contact", "list")["meetings"] == []
    assert len(desk.json("ann", "contact", "list")["contacts"]) == 1
