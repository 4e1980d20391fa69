"""The member's commands as they are typed: what they print, what they write, how they fail."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tessera_host import cli
from tessera_host.agent.client import Client
from tessera_host.errors import RelayRefused, Unreachable
from tessera_host.member import token_exchange
from tessera_host.member.state import MemberState
from tessera_host.member.wallet import EARLY
from tessera_host.protocol import cards, schedule
from tests.support import quick_keystores
from tests.support.fake_federation import AHEAD, LARGE, PASSPHRASE, TOKENS, FakeFederation, FakeIssuer, RoundClock


class Desk:
    """A folder with two people's homes and their card files, and the command line."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        budget: dict[str, str] = LARGE,
    ) -> None:
        quick_keystores.use(monkeypatch)
        self.monkeypatch = monkeypatch
        self.folder = folder
        self.capsys = capsys
        self.clock = RoundClock()
        monkeypatch.setattr("tessera_host.clock.time", SimpleNamespace(time=self.clock))
        self.federation = FakeFederation(said={"budget": budget})
        self.relay = self.federation.relay(self.clock)
        self.relay.serve(monkeypatch)
        self.issuer = FakeIssuer(self.federation, now=self.clock)
        self.file("passphrase").write_text(PASSPHRASE + "\n")
        self.file("federation.card").write_text(self.issuer.federation_card)
        monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(self.file("passphrase")))
        monkeypatch.delenv("TESSERA_HOME", raising=False)
        monkeypatch.setattr(schedule, "WARNING_SECONDS", 0)  # the schedule is one of minutes
        self._let_time_pass()

    def _let_time_pass(self) -> None:
        """When a command sleeps; `slept` has how long."""
        self.slept: list[float] = []

        async def sleep(seconds: float) -> None:
            if seconds > 0:
                self.slept.append(seconds)
                self.clock.now += max(1, int(seconds))
            await asyncio.sleep(0)

        self.sleep_with(sleep)

    def sleep_with(self, sleep: Any) -> None:
        self.monkeypatch.setitem(Client.__init__.__kwdefaults__, "sleep", sleep)

    def file(self, name: str) -> Path:
        return self.folder / name

    def run(self, who: str, *arguments: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error. `who` is the home; "" for none."""
        line = [str(argument) for argument in arguments]
        self.capsys.readouterr()
        code = cli.run([*line, "--home", str(self.file(who))] if who else line)
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        assert PASSPHRASE not in out + err
        return code, out, err

    def json(self, who: str, *arguments: object) -> dict[str, Any]:
        """The one JSON object of a command that succeeds."""
        code, out, err = self.run(who, *arguments, "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        assert out.count("\n") == 1
        return found

    def fails(self, code: int, match: str, who: str, *arguments: object) -> None:
        """One line on standard error, the same as one JSON object, and the exit code. What is said of a token of its
        own epoch is no error."""
        found, out, err = self.run(who, *arguments, "--json")
        assert found == code, err
        err = err.replace(EARLY + "\n", "")
        assert match in err
        assert err.startswith("error: ")
        assert err.count("\n") == 2
        answer = json.loads(out)
        assert answer["exit_code"] == code
        assert match in answer["error"] + answer["hint"]
        assert answer["hint"]

    def new(self, *names: str) -> None:
        for name in names:
            self.json(name, "member", "new", name, "--federation", self.file("federation.card"))

    def meet(self) -> None:
        self.json("ann", "contact", "add", "bob", "-o", self.file("invite"))
        self.json("bob", "contact", "add", self.file("invite"), "-o", self.file("answer"))
        self.json("ann", "contact", "add", self.file("answer"), "-o", self.file("confirm"))
        self.json("bob", "contact", "add", self.file("confirm"))

    def tokens(self, *names: str) -> None:
        for name in names:
            with MemberState.open(self.file(name), PASSPHRASE) as member:
                token_exchange.fetch(member, self.issuer)

    def ready(self) -> None:
        self.new("ann", "bob")
        self.meet()
        self.tokens("ann", "bob")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


# -- identity


def test_member_new_writes_the_card_for_it(desk: Desk) -> None:
    federation, card = desk.file("federation.card"), desk.file("member.card")
    found = desk.json("ann", "member", "new", "Ann", "--federation", federation, "-o", card)
    fields = cards.decode(card.read_text(), "member").fields
    assert fields["name"] == found["name"] == "Ann"
    assert fields["key"].hex() == found["key"]
    assert (found["federation"], found["path"]) == ("Example", str(card))
    assert desk.file("ann/member.keystore").exists()


def test_member_new_refuses_what_it_cannot_use(desk: Desk) -> None:
    federation = desk.file("federation.card")
    desk.file("taken").write_text("x")
    desk.fails(
        2, "not overwritten", "ann", "member", "new", "Ann", "--federation", federation, "-o", desk.file("taken")
    )
    desk.fails(2, "the name", "ann", "member", "new", "A\x1bnn", "--federation", federation)
    desk.fails(3, "cannot be read", "ann", "member", "new", "Ann", "--federation", desk.file("none"))
    desk.fails(3, "no Tessera card", "ann", "member", "new", "Ann", "--federation", desk.file("passphrase"))
    assert not desk.file("ann").exists()
    desk.new("ann")
    desk.fails(4, "not overwritten", "ann", "member", "new", "Ann", "--federation", federation)


def test_home_comes_from_the_environment_too(desk: Desk) -> None:
    desk.new("ann")
    desk.monkeypatch.setenv("TESSERA_HOME", str(desk.file("ann")))
    assert desk.json("", "contact", "list") == {"contacts": [], "meetings": []}


# -- tokens


def test_token_list_counts_tokens_by_epoch(desk: Desk) -> None:
    desk.new("ann")
    desk.tokens("ann")
    listed = desk.json("ann", "token", "list")
    assert listed["epoch"] == 0
    assert [(count["epoch"], count["tokens"]) for count in listed["tokens"]] == [
        (epoch, TOKENS) for epoch in range(AHEAD + 1)
    ]


def test_tokens_from_an_issuer_s_directory(desk: Desk) -> None:
    """The real issuer: the operator's commands make the federation."""
    issuer, plan, relay = desk.file("issuer"), desk.file("plan.json"), desk.file("relay")
    desk.json("", "plan", "--members", 20, "--out", plan)
    desk.json("", "issuer", "init", issuer, "--plan", plan, "--name", "Real")
    desk.json("", "relay", "new", "cellar", relay, "--issuer", issuer, "--host", "relay.example")
    card = issuer / "federation.card"
    desk.json("ann", "member", "new", "Ann", "--federation", card, "-o", desk.file("member.card"))
    desk.fails(5, "", "ann", "token", "fetch", "--issuer", issuer)
    desk.json("", "issuer", "admit", issuer, desk.file("member.card"))
    fetched = desk.json("ann", "token", "fetch", "--issuer", issuer)["fetched"]
    # A federation begins one epoch back, with one that is over (PROTOCOL §13).
    assert fetched == [{"epoch": epoch, "tokens": 1} for epoch in range(1, 10)]
    assert desk.json("ann", "token", "fetch", "--issuer", issuer)["fetched"] == []


# -- the command line itself


def test_errors_of_the_command_line_are_one_line(desk: Desk) -> None:
    for arguments in (["nonsense"], ["contact", "nonsense"], ["contact", "invite"], ["fetch", "--nonsense"]):
        code, out, err = desk.run("", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 2


def test_bare_command_shows_help(desk: Desk) -> None:
    for arguments in ([], ["contact"], ["token"], ["member"]):
        code, out, err = desk.run("", *arguments)
        assert code == 2
        assert "Usage: tessera" in out + err
    assert desk.run("", "send", "--help")[0] == 0


def test_wrong_passphrase_and_missing_keystore(desk: Desk) -> None:
    desk.new("ann")
    desk.file("other").write_text("another one")
    desk.fails(4, "wrong passphrase", "ann", "inbox", "--passphrase-file", desk.file("other"))
    desk.fails(4, "join your office first", "nobody", "inbox")


@pytest.mark.parametrize(
    ("error", "code"),
    [(Unreachable("away", "wait"), 6), (RelayRefused("no", "ask"), 7), (KeyError("secret"), 70)],
)
def test_every_error_has_its_exit_code_and_a_bug_shows_no_text(desk: Desk, error: Exception, code: int) -> None:
    desk.ready()

    def fail(*_: object) -> None:
        raise error

    desk.monkeypatch.setattr(MemberState, "epoch", fail)
    desk.fails(code, "bug: KeyError" if code == 70 else str(error.args[0]), "ann", "token", "list")
    _, out, err = desk.run("ann", "token", "list", "--json")
    assert "secret" not in out + err


def test_debug_lets_a_bug_through(desk: Desk) -> None:
    desk.new("ann")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    desk.monkeypatch.setattr(MemberState, "epoch", fail)
    desk.monkeypatch.setenv("TESSERA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        desk.run("ann", "token", "list")


def test_interrupt_is_130(desk: Desk) -> None:
    desk.new("ann")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    desk.monkeypatch.setattr(MemberState, "open", interrupt)
    desk.fails(130, "interrupted", "ann", "inbox")
