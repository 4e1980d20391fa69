"""Joining as it is typed, by members and by IT, with the issuer's service beside: what is printed and refused."""

import asyncio
import io
import json
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tessera_host import cli
from tessera_host.cli import join
from tessera_host.clock import local_time
from tessera_host.errors import NotPermitted, TryLater
from tessera_host.issuer.service import IssuerServer
from tessera_host.member import news
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.state import MemberState
from tessera_host.protocol import cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.issuer_connection import IssuerConnection
from tessera_host.protocol.welcome import Welcome
from tests.support import quick_keystores
from tests.support.issuer_office import PASSPHRASE, Office

DAY = 86400


class Desk:
    """A folder with IT's directory and members' homes, and the command line."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        quick_keystores.use(monkeypatch)
        self.folder = folder
        self.office = Office(folder)
        self.office.member.close()
        monkeypatch.setattr("tessera_host.clock.time", SimpleNamespace(time=self.office.clock))
        monkeypatch.chdir(folder)
        Path("passphrase").write_text(PASSPHRASE + "\n")
        monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(folder / "passphrase"))
        monkeypatch.delenv("TESSERA_HOME", raising=False)
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)"""
        self._capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def text(self, *arguments: object) -> str:
        code, out, err = self(*arguments)
        assert code == 0, err
        return out + err

    def json(self, *arguments: object) -> dict[str, Any]:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        assert out.count("\n") == 1
        found: dict[str, Any] = json.loads(out)
        return found

    def refused(self, code: int, *arguments: object) -> str:
        """Error and hint, in one line, of a command that fails with this code."""
        found, out, err = self(*arguments, "--json")
        assert found == code, err
        *before, error, hint = err.splitlines()
        assert error.startswith("error: ") and hint.startswith("hint: ")
        line = f"{error}; {hint.removeprefix('hint: ')}"
        assert not [other for other in before if other.startswith("error")]
        assert json.loads(out)["exit_code"] == code
        return line

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The service in a thread of its own, as in a process of its own."""
        with self.office.it() as issuer:
            server = IssuerServer(issuer)
            listening, loop = threading.Event(), asyncio.new_event_loop()

            async def serve() -> None:
                await server.run("127.0.0.1", self.office.port, listening.set, self.office.reports.append)

            task = loop.create_task(serve())
            thread = threading.Thread(
                target=lambda: loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            )
            thread.start()
            assert listening.wait(10)
            try:
                yield
            finally:
                loop.call_soon_threadsafe(task.cancel)
                thread.join()
                loop.close()


@pytest.fixture
def tessera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


# -- IT


def test_invitation_is_a_secret_file_and_says_what_to_do(tessera: Desk) -> None:
    said = tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    until = local_time(tessera.office.clock() + 7 * DAY)
    assert "Give it to ben and to nobody else" in said
    assert f"The invitation works once, until {until}. ben types: tessera join ben.invitation" in said
    assert stat.S_IMODE(Path("ben.invitation").stat().st_mode) == 0o600
    assert cards.decode(Path("ben.invitation").read_text(), "invitation").fields["name"] == "ben"


def test_invitation_without_a_file_is_printed_alone_on_standard_output(tessera: Desk) -> None:
    code, out, err = tessera("issuer", "invite", "issuer", "ben")
    assert (code, out.count("\n")) == (0, 1)
    assert cards.decode(out, "invitation")
    assert "until it is used" in err


def test_invitation_is_shown_as_a_code_if_the_terminal_is_wide_enough(
    tessera: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert "\u2580" in tessera.text("issuer", "invite", "issuer", "ben", "--qr")
    monkeypatch.setenv("COLUMNS", "40")
    assert "too narrow" in tessera.text("issuer", "invite", "issuer", "cleo", "--qr")


def test_invitations_are_listed_and_taken_back(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "--days", "1")
    assert tessera.json("issuer", "invitations", "issuer")["invitations"] == [
        {"name": "ben", "home": "first", "until": tessera.office.clock() + DAY, "state": "open"}
    ]
    assert "void" in tessera.text("issuer", "revoke", "issuer", "ben")
    assert "no open invitation for 'ben'" in tessera.refused(5, "issuer", "revoke", "issuer", "ben")
    assert "no invitations" in tessera.text("issuer", "invitations", "issuer")


def test_many_are_invited_at_once_and_whoever_was_is_left_out(tessera: Desk) -> None:
    tessera.text("issuer", "renew", "issuer", "--members", "9")
    Path("names").write_text("ben\n\n  cleo \nann\nben\nno/name\n", encoding="utf-8")
    said = tessera.json("issuer", "invite-all", "issuer", "names", "-o", "new")
    assert said["invited"] == ["ben", "cleo"] and said["left_out"].keys() == {"ann", "no/name"}
    assert "already a member 'ann'" in said["left_out"]["ann"] and "slash" in said["left_out"]["no/name"]
    for name in ("ben", "cleo"):
        place = Path("new", f"{name}.invitation")
        assert cards.decode(place.read_text(), "invitation").fields["name"] == name
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
    Path("names").write_text("ben\ndora\n", encoding="utf-8")
    text = tessera.text("issuer", "invite-all", "issuer", "names", "-o", "new")
    assert "ben is left out" in text and "1 file written into new" in text
    assert {entry["name"] for entry in tessera.json("issuer", "invitations", "issuer")["invitations"]} == {
        "ben", "cleo", "dora",
    }  # fmt: skip
    Path("names").write_text("\n")
    assert "no name in names" in tessera.refused(2, "issuer", "invite-all", "issuer", "names", "-o", "new")
    Path("names").write_text("ben\n")
    assert "nobody was invited" in tessera.refused(2, "issuer", "invite-all", "issuer", "names", "-o", "new")
    Path("file").write_text("")
    assert "cannot be made" in tessera.refused(2, "issuer", "invite-all", "issuer", "names", "-o", "file/in")


def test_an_invitation_that_could_not_be_written_is_not_made(tessera: Desk) -> None:
    Path("taken").write_text("mine")
    for out in ("taken", "no/such/folder/file"):
        tessera.refused(2, "issuer", "invite", "issuer", "ben", "-o", out)
    assert tessera.json("issuer", "invitations", "issuer")["invitations"] == []


def test_an_office_without_a_service_is_told_how_to_have_one(tessera: Desk) -> None:
    with tessera.office.it() as issuer, issuer._store.change():
        issuer._store.data["service"] = None
    line = tessera.refused(2, "issuer", "invite", "issuer", "ben")
    assert "tessera issuer service DIR HOST" in line
    assert "--files" in line
    tessera.refused(2, "issuer", "serve", "issuer")
    assert "issuer.example.org:8101" in tessera.text("issuer", "service", "issuer", "issuer.example.org")
    service = Federation(read_card(Path("issuer/federation.card").read_text())).issuer
    assert service is not None and (service.host, service.port) == ("issuer.example.org", 8101)
    assert "not a host name" in tessera.refused(2, "issuer", "service", "issuer", "no host")


def test_who_is_removed_and_what_that_means_is_said(tessera: Desk) -> None:
    said = tessera.text("issuer", "remove", "issuer", "ann")
    assert "ann is off the roster." in said
    assert "work until" in said


# -- the member, over the network


def test_join_says_when_one_can_talk_and_who_sees_what(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    with tessera.serving():
        said = tessera.text("join", "ben.invitation", "--home", "ben")
    assert "You have joined Office as ben. Your mailbox is on the relay first.\nYou can talk now.\n" in said
    assert "can tell from it whom you write to" in said
    assert "tessera contact add NAME" in said


def test_who_joins_on_another_day_can_talk_at_once(tessera: Desk) -> None:
    tessera.office.clock.now += 3 * DAY
    invitation = tessera.json("issuer", "invite", "issuer", "ben")["card"]
    with tessera.serving():
        said = tessera.text("join", invitation, "--home", "ben")
        again = tessera.json("join", invitation, "--home", "ben")
    assert "You can talk now." in said
    assert again["talk_from"] <= tessera.office.clock()
    assert (again["tokens"], again["joined"]) == ([], True)


def test_invitation_comes_from_standard_input_too(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation = tessera.json("issuer", "invite", "issuer", "ben")["card"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(invitation.encode() + b"\n")))
    with tessera.serving():
        assert tessera.json("join", "-", "--home", "ben")["name"] == "ben"


def test_who_puts_an_invitation_on_the_command_line_is_told_who_sees_it(tessera: Desk) -> None:
    invitation = tessera.json("issuer", "invite", "issuer", "ben")["card"]
    tessera.text("issuer", "invite", "issuer", "cleo", "-o", "cleo.invitation")
    with tessera.serving():
        _, _, err = tessera("join", invitation, "--home", "ben")
        assert "seen by other users of this computer" in err
        assert "'tessera join' asks for it" in err
        assert "seen by other users" not in tessera.text("join", "cleo.invitation", "--home", "cleo")


def test_an_invitation_can_be_pasted_in_several_lines(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    _, invitation, told = tessera("issuer", "invite", "issuer", "ben")
    assert "ben types: tessera join, pastes it when asked" in told
    lines = iter([f"> {invitation[:70]}", f"> {invitation[70:200]}", f"> {invitation[200:]}"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(lines))
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    with tessera.serving():
        assert tessera.json("join", "--home", "ben")["name"] == "ben"


def test_an_invitation_is_found_in_a_mail_with_a_signature(tessera: Desk) -> None:
    invitation = tessera.json("issuer", "invite", "issuer", "ben")["card"]
    Path("mail").write_bytes(f"\ufeffGrüße, hier ist sie: {invitation}.\r\n-- \r\nIT\r\n".encode("utf-16"))
    with tessera.serving():
        assert tessera.json("join", "mail", "--home", "ben")["name"] == "ben"


def test_join_that_failed_goes_on_with_the_same_command(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    assert "the issuer's service at 127.0.0.1" in tessera.refused(6, "join", "ben.invitation", "--home", "ben")
    (begun,) = Path("ben").glob("joining-*.keystore")
    key = begun.read_bytes()
    with tessera.serving(), monkeypatch.context() as cut:
        cut.setattr(join.joining.Begun, "enter", _interrupted)
        assert tessera("join", "ben.invitation", "--home", "ben")[0] == 130
    assert begun.read_bytes() == key
    with tessera.serving():
        assert "You have joined" in tessera.text("join", "ben.invitation", "--home", "ben")
        assert "You are a member of" in tessera.text("join", "ben.invitation", "--home", "ben")
    assert not begun.exists()


def test_an_invitation_that_came_to_nothing_is_in_no_other_s_way(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "first.invitation")
    tessera.refused(6, "join", "first.invitation", "--home", "ben")
    tessera.text("issuer", "invite", "issuer", "benjamin", "-o", "second.invitation")
    with tessera.serving():
        assert tessera.json("join", "second.invitation", "--home", "ben")["name"] == "benjamin"
    assert [*Path("ben").glob("joining-*.keystore")] == []


def test_who_joins_and_gets_nothing_to_write_with_is_not_told_that_all_is_well(
    tessera: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status and words say what is."""
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    refusal = NotPermitted("no tokens today", "ask IT")

    async def refused(*_: object) -> None:
        raise refusal

    with tessera.serving(), monkeypatch.context() as patch:
        patch.setattr("tessera_host.member.issuer_visit._run", refused)
        for words in (("join", "ben.invitation"), ("renew",)):
            code, out, err = tessera(*words, "--home", "ben")
            assert code == 5 and "You cannot write yet: no tokens today" in out
            assert "warning: no tokens today\nhint: ask IT" in err
    with tessera.serving():
        assert tessera.json("renew", "--home", "ben")["tokens"]


def test_a_clock_that_is_hours_off_is_said_by_join(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    fast = SimpleNamespace(time=lambda: tessera.office.clock() + 2 * 3600)
    with tessera.serving(), monkeypatch.context() as patch:
        patch.setattr("tessera_host.clock.time", fast)
        code, _, err = tessera("join", "ben.invitation", "--home", "ben")
    assert code == 9 and "this computer's clock is 2 h ahead of your office's" in err


def test_an_answer_that_takes_hours_says_nothing_of_the_clock(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer that sleeps, or is busy, while the office answers."""
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    passed = [0]
    slow = SimpleNamespace(time=lambda: tessera.office.clock() + passed[0])
    joined = IssuerConnection.join

    async def slept(*arguments: Any) -> Welcome:
        welcome = await joined(*arguments)
        passed[0] = 2 * 3600
        return welcome

    with tessera.serving(), monkeypatch.context() as patch:
        patch.setattr("tessera_host.clock.time", slow)
        patch.setattr(IssuerConnection, "join", slept)
        assert tessera("join", "ben.invitation", "--home", "ben")[0] == 0


async def _interrupted(begun: object) -> None:
    raise KeyboardInterrupt


def test_what_cannot_be_joined_with_is_named(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be read" in tessera.refused(3, "join", "none", "--home", "ben")
    Path("letter").write_text("Dear Ben,\n")
    assert "not an invitation" in tessera.refused(3, "join", "letter", "--home", "ben")
    Path("card").write_text(tessera.office.card)
    assert "no identity here" in tessera.refused(2, "join", "card", "--home", "ben")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert "there is no invitation" in tessera.refused(2, "join", "--home", "ben")
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    text = Path("ben.invitation").read_text()
    Path("half").write_text(text[:100])
    assert "damaged" in tessera.refused(3, "join", "half", "--home", "ben")
    tessera.office.clock.now += 8 * DAY
    assert "expired on" in tessera.refused(5, "join", "ben.invitation", "--home", "ben")
    assert not Path("ben").exists()


def test_an_identity_is_not_overwritten_by_another_invitation(tessera: Desk) -> None:
    for name in ("ben", "cleo"):
        tessera.text("issuer", "invite", "issuer", name, "-o", f"{name}.invitation")
    with tessera.serving():
        tessera.text("join", "ben.invitation", "--home", "ben")
        line = tessera.refused(2, "join", "cleo.invitation", "--home", "ben")
        assert "already another identity here: ben at Office" in line
        assert "already used" in tessera.refused(5, "join", "ben.invitation", "--home", "thief")


def test_renewing_by_hand(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    with tessera.serving():
        tessera.text("join", "ben.invitation", "--home", "ben")
        assert "You already have all access that is available now" in tessera.text("renew", "--home", "ben")
        tessera.office.clock.now += DAY
        ((epoch, count),) = [tuple(each.values()) for each in tessera.json("renew", "--home", "ben")["tokens"]]
        assert (epoch, count) == (9, 1)
        tessera.text("issuer", "remove", "issuer", "ben")
        line = tessera.refused(5, "renew", "--home", "ben")
        assert "IT has taken you off the list of members" in line
        assert "you can write until" in line


def test_a_member_waits_for_others_at_the_service(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        MemberState.open(Path("ben"), PASSPHRASE).close()  # other commands can use the keystore
        waits.append(seconds)
        tessera.office.clock.now += int(seconds)

    async def busy(member: MemberState, connection: object, welcome: Welcome, asked: int) -> VisitReport:
        news.take_welcome(member, welcome)
        return VisitReport(refusals=[TryLater("others are served", "try again", 60)])

    monkeypatch.setattr(join.time, "sleep", sleep)
    monkeypatch.setattr(join.joining, "go_on", busy)
    tessera.text("issuer", "invite", "issuer", "ben", "-o", "ben.invitation")
    with tessera.serving():
        said = tessera.text("join", "ben.invitation", "--home", "ben")
    assert waits == [60]
    assert "waiting 60 seconds" in said
    assert "You can talk now" in said


# -- by files


def test_joining_by_files_takes_two_trips(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "--files", "-o", "ben.invitation")
    assert "-o FILE" in tessera.refused(2, "join", "ben.invitation", "--home", "ben")
    said = tessera.text("join", "ben.invitation", "-o", "request", "--home", "ben")
    assert "request written. Give it to IT" in said
    assert "tessera issuer answer DIR THISFILE" in Path("request").read_text()
    said = tessera.text("issuer", "answer", "issuer", "request", "-o", "offer")
    assert "ben is on the roster." in said
    tessera.text("join", "offer", "-o", "challenge", "--home", "ben")
    tessera.text("issuer", "answer", "issuer", "challenge", "-o", "tokens")
    found = tessera.json("join", "tokens", "--home", "ben")
    assert (found["done"], found["joined"], found["file"]) == (True, True, None)
    assert found["tokens"] == [{"epoch": epoch, "tokens": 1} for epoch in range(9)]
    said = tessera.text("join", "tokens", "--home", "ben")
    assert "You can talk now." in said


def test_renewing_by_files(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "--files", "-o", "ben.invitation")
    tessera.text("join", "ben.invitation", "-o", "1", "--home", "ben")
    tessera.text("issuer", "answer", "issuer", "1", "-o", "2")
    tessera.text("join", "2", "-o", "3", "--home", "ben")
    tessera.text("issuer", "answer", "issuer", "3", "-o", "4")
    tessera.text("join", "4", "--home", "ben")
    tessera.office.clock.now += DAY
    tessera.text("renew", "-o", "5", "--home", "ben")
    tessera.text("issuer", "answer", "issuer", "5", "-o", "6")
    tessera.text("renew", "6", "-o", "7", "--home", "ben")
    tessera.text("issuer", "answer", "issuer", "7", "-o", "8")
    assert tessera.json("renew", "8", "--home", "ben")["tokens"] == [{"epoch": 9, "tokens": 1}]


def test_what_is_piped_in_has_to_be_text(tessera: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (("join", "-", "--home", "ben"), ("issuer", "answer", "issuer", "-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\0"), encoding="utf-8"))
        assert "not text" in tessera.refused(3, *arguments)


def test_a_file_without_an_output_is_printed(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "--files", "-o", "ben.invitation")
    tessera.text("join", "ben.invitation", "-o", "request", "--home", "ben")
    code, out, err = tessera("issuer", "answer", "issuer", "request")
    assert (code, "ben is on the roster." in err) == (0, True)
    Path("offer").write_text(out)
    code, out, err = tessera("join", "offer", "--home", "ben")
    assert code == 0
    assert "Give this to IT" in err
    Path("challenge").write_text(out)
    assert tessera.json("issuer", "answer", "issuer", "challenge")["cards"] == 1


def test_what_it_cannot_answer_of_a_file_is_shown_on_both_sides(tessera: Desk) -> None:
    tessera.text("issuer", "invite", "issuer", "ben", "--files", "-o", "ben.invitation")
    tessera.text("join", "ben.invitation", "-o", "request", "--home", "ben")
    tessera.office.clock.now += 3 * DAY
    found = tessera.json("issuer", "answer", "issuer", "request", "-o", "reply")
    assert found["joined"] == ["ben"]
    assert len(found["refused"]) == 1
    said = tessera.text("join", "reply", "-o", "again", "--home", "ben")
    assert "IT writes: Refused: " in said
    tessera.text("issuer", "answer", "issuer", "again", "-o", "offer")
    Path("junk").write_text("\0\1 no cards")
    assert "no cards in this file" in tessera.refused(3, "issuer", "answer", "issuer", "junk")
    assert "nothing from IT" in tessera.refused(3, "join", "again", "--home", "ben")
