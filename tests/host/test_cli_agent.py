"""`tessera agent` and `tessera chat` as they are typed, where nothing has to run for it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tessera_host import cli
from tessera_host.agent.interface import State
from tessera_host.cli import agent


class Typed:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        monkeypatch.setenv("TESSERA_CONFIG", str(folder / "config.toml"))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        monkeypatch.setenv("HOME", str(folder))
        folder.chmod(0o700)
        self.settings("")

    def settings(self, text: str) -> None:
        (self.folder / "config.toml").write_text(text)

    def __call__(self, *words: str) -> tuple[int, dict[str, Any]]:
        code = cli.run([*words, "--home", str(self.folder / "ann"), "--json"])
        out = self.capsys.readouterr().out
        found: dict[str, Any] = json.loads(out)
        assert out.count("\n") == 1
        return code, found


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(tmp_path, monkeypatch, capsys)


def test_the_unit_is_shown_or_written(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    code, shown = typed("agent", "--print")
    assert (code, shown["written"]) == (0, False)
    assert '"agent" "--home"' in shown["text"] and not Path(shown["path"]).exists()
    code, written = typed("agent", "--install")
    assert Path(written["path"]).read_text() == written["text"]
    assert written["start"].startswith("systemctl --user ")


def test_nobody_sends_more_than_one_frame_a_relay_and_round(typed: Typed) -> None:
    """Several records of a member in one cell are worth far more than their number."""
    assert typed("agent", "--print", "--slots", "2")[0] == 2
    assert typed("send", "bob", "text", "--at-once")[0] == 2
    typed.settings("[agent]\nslots = 3\n")
    code, found = typed("agent", "--print")
    assert code == 3 and "unknown setting 'agent'" in found["error"]


def test_options_that_do_not_go_together_are_refused(typed: Typed) -> None:
    code, found = typed("agent", "--stop", "--status")
    assert (code, found["exit_code"]) == (2, 2)


@pytest.mark.parametrize("words", [("agent", "--stop"), ("agent", "--status")])
def test_without_an_agent_it_is_said(typed: Typed, words: tuple[str, ...]) -> None:
    code, found = typed(*words)
    assert code == 6 and "tessera agent" in found["hint"]


def test_without_a_member_neither_agent_nor_chat_begins(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    (typed.folder / "phrase").write_text("phrase\n")
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(typed.folder / "phrase"))
    for words in (("agent",), ("chat", "bob")):
        assert typed(*words)[0] == 4


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (State(0, 1), "starting; nothing waiting"),
        (State(0, 1, "cellar", True, "", 1, waiting=2), "connected to cellar; 2 records waiting"),
        (
            State(0, 1, "cellar", True, "", 40),
            "connected to cellar; nothing waiting; the messages of the last 40 s are not read yet",
        ),
        (
            State(0, 1, "cellar", False, "the relay is away; wait", waiting=1),
            "the relay is away; wait; 1 record waiting",
        ),
    ],
)
def test_the_state_is_one_line_for_people(state: State, line: str) -> None:
    assert agent.state_line(state) == line
