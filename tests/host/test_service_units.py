"""The files that start the agent at login: read by their own readers."""

import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_host.agent import service_units
from tessera_host.errors import UsageError

HOME = Path("/home/ann/my tessera")


def unit(platform: str, command: list[str], folder: Path, is_default: bool = True) -> service_units.ServiceUnit:
    return service_units.unit_for(platform, command, HOME, folder, is_default)


def test_the_command_names_the_home_and_no_secret() -> None:
    command = service_units.agent_command(HOME, Path("/run/phrase"))
    assert command[1:4] == ["-m", "tessera_host", "agent"]
    assert command[4:] == ["--home", str(HOME), "--passphrase-file", "/run/phrase"]


def test_launchd_reads_the_command_as_it_is(tmp_path: Path) -> None:
    command = service_units.agent_command(HOME, None)
    made = unit("darwin", command, tmp_path)
    fields = plistlib.loads(made.text.encode())
    assert fields["ProgramArguments"] == command
    assert (fields["Label"], fields["RunAtLoad"]) == ("relay.tessera.agent", True)
    assert made.path == tmp_path / "Library/LaunchAgents/relay.tessera.agent.plist"


def unquoted(line: str) -> list[str]:
    """The words of an ExecStart as systemd.service(5) and systemd.syntax(7) define them."""
    words, word, at = [], "", 0
    while at < len(line):
        assert line[at] == '"'
        at, word = at + 1, ""
        while line[at] != '"':
            if line[at] == "\\":
                at += 1
                word += {"n": "\n"}.get(line[at], line[at])
            elif line[at] in "%$":
                assert line[at + 1] == line[at]
                at += 1
                word += line[at]
            else:
                word += line[at]
            at += 1
        words.append(word)
        at += 2
    return words


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=1, max_size=5))
def test_systemd_reads_the_command_as_it_is(command: list[str]) -> None:
    text = unit("linux", command, Path("/home/ann")).text
    start = text.index("ExecStart=") + len("ExecStart=")
    assert unquoted(text[start : text.index("\nRestart=", start)]) == command


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    made = unit("linux", ["/bin/true", "a b", "100%", "$HOME", 'quo"te'], tmp_path)
    path = service_units.install(made)
    assert path == tmp_path / ".config/systemd/user/tessera-agent.service"
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return  # the readers above have looked at it
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run([analyze, "--user", "verify", path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_another_home_has_a_service_of_its_own(tmp_path: Path) -> None:
    one, other = unit("linux", ["x"], tmp_path), unit("linux", ["x"], tmp_path, is_default=False)
    assert one.path != other.path and other.path is not None
    assert other.path.name in other.start


def test_windows_is_told_what_to_type(tmp_path: Path) -> None:
    made = unit("win32", ["C:\\Program Files\\python.exe", "-m", "tessera_host"], tmp_path)
    assert made.path is None
    assert '\\"C:\\Program Files\\python.exe\\" -m tessera_host' in made.start
    with pytest.raises(UsageError, match="Task Scheduler"):
        service_units.install(made)


def test_a_home_whose_name_is_not_utf_8_has_no_service() -> None:
    home = Path(os.fsdecode(b"/home/caf\xe9"))
    for platform in ("linux", "darwin", "win32"):
        with pytest.raises(UsageError, match="UTF-8"):
            service_units.unit_for(platform, service_units.agent_command(home, None), home, HOME, is_default=False)


def test_what_is_installed_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = tmp_path / "called"
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = unit("linux", ["/bin/true"], tmp_path)
    assert service_units.enable(made) is None
    assert called.read_text().splitlines() == ["--user daemon-reload", "--user enable --now tessera-agent.service"]
    assert made.start == "systemctl --user daemon-reload && systemctl --user enable --now tessera-agent.service"


def test_what_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for platform, program in (("linux", "systemctl"), ("darwin", "launchctl")):
        found = service_units.enable(unit(platform, ["/bin/true"], tmp_path))
        assert found is not None and found.startswith(f"{program}: No such file")
