"""The services of a server: the units that `tessera serve` and `tessera issuer serve` write, read by systemd itself,
and where they listen."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessera_host import cli, files, systemd
from tessera_host.errors import UsageError
from tessera_host.issuer.service import IssuerServer
from tessera_host.systemd import Credential
from tests.support import quick_keystores
from tests.support.certificate import make_certificate
from tests.support.organisation import PASSPHRASE, Listed, new_issuer, planned

ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 1.1  # of 10, by `systemd-analyze security`: what is left is that it serves a network
NOT_OURS = "203.0.113.7"  # RFC 5737: nobody's
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """A server: (exit status, output, errors) of `tessera …`. /var/lib has an issuer and a relay from IT's machine."""
    quick_keystores.use(monkeypatch)
    state = tmp_path / "lib"
    relay = Listed("relay", "127.0.0.1", 8200)
    new_issuer(state, planned(board="GATEWAY"), relay, service_port=8201).close()
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    monkeypatch.setattr(systemd, "STATES", state)
    monkeypatch.setattr(systemd, "UNITS", tmp_path / "units")
    monkeypatch.setattr(systemd, "RUNNING", tmp_path / "not booted")
    monkeypatch.setattr(systemd, "_HIDDEN", ())
    monkeypatch.chdir(state)

    def typed(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        return (code, *capsys.readouterr())

    return typed


def both(folder: Path) -> list[tuple[str, ...]]:
    """The two services, typed."""
    file = ("--passphrase-file", str(folder / "passphrase"))
    return [("serve", "--storage", "relay"), ("issuer", "serve", "issuer", *file)]


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


# -- the unit


def test_systemd_accepts_the_units_and_finds_next_to_nothing_exposed(say: Say, tmp_path: Path) -> None:
    for words, name in zip(both(tmp_path), ("relay", "issuer"), strict=True):
        _, out, _ = say(*words, "--print", "--json")
        made = json.loads(out)
        assert (made["written"], made["running"]) == (False, False) and not Path(made["path"]).exists()
        unit = tmp_path / f"tessera-{name}.service"
        unit.write_text(made["text"].replace("/var/lib", str(tmp_path)))
        if ANALYZE is None:
            continue  # the readers below have looked at it
        environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
        for check in (["verify"], ["security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}"]):
            done = subprocess.run([ANALYZE, *check, unit], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr


def test_a_unit_may_write_its_state_and_listen_at_its_port_and_nothing_else(say: Say, tmp_path: Path) -> None:
    relay, issuer = (settings(json.loads(say(*words, "--print", "--json")[1])["text"]) for words in both(tmp_path))
    for unit, name, port in ((relay, "relay", 8200), (issuer, "issuer", 8201)):
        assert unit["StateDirectory"] == [name] and unit["SocketBindAllow"] == [f"tcp:{port}"]
        assert unit["SocketBindDeny"] == ["any"] and unit["CapabilityBoundingSet"] == [""]
        wanted = {"DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "PrivateTmp": "yes"}
        assert {key: unit[key] for key in wanted} == {key: [value] for key, value in wanted.items()}
        assert "ReadWritePaths" not in unit
    assert relay["ExecStart"][0].endswith(f'"serve" "--storage" "{tmp_path}/lib/relay"')
    assert "LoadCredential" not in relay


def test_the_passphrase_comes_by_a_credential_and_is_in_no_unit(say: Say, tmp_path: Path) -> None:
    words = both(tmp_path)[1]
    text = json.loads(say(*words, "--print", "--json")[1])["text"]
    unit = settings(text)
    assert unit["LoadCredential"] == [f"passphrase:{tmp_path}/passphrase"]
    assert unit["Environment"] == ["TESSERA_PASSPHRASE_FILE=%d/passphrase"]
    assert PASSPHRASE not in text and "--passphrase-file" not in text


def test_without_a_file_a_service_would_ask_nobody(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tessera_host.keys.passphrase.obtain", lambda *_, **__: PASSPHRASE)
    code, _, error = say("issuer", "serve", "issuer", "--print")
    assert code == 2 and "nobody to ask" in error and "--passphrase-file /etc/" in error


def test_a_port_below_1024_needs_the_one_capability_for_it(say: Say) -> None:
    unit = settings(json.loads(say("serve", "--storage", "relay", "--port", "443", "--print", "--json")[1])["text"])
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE"]
    assert unit["SocketBindAllow"] == ["tcp:443"] and unit["ExecStart"][0].endswith('"--port" "443"')


def test_state_elsewhere_is_refused_with_where_it_belongs(say: Say, tmp_path: Path) -> None:
    shutil.copytree("relay", tmp_path / "elsewhere")
    code, _, error = say("serve", "--storage", tmp_path / "elsewhere", "--install")
    assert code == 2 and f"mv '{tmp_path}/elsewhere' {tmp_path}/lib/" in error
    assert not (tmp_path / "units").exists()


def test_what_is_no_relay_or_a_trial_gets_no_unit(say: Say, tmp_path: Path) -> None:
    (tmp_path / "lib" / "trial").mkdir()
    shutil.copytree("relay", tmp_path / "lib" / "trial" / "relay")
    for storage, words in (("nothing", "there is no relay"), ("trial", "is a trial")):
        code, _, error = say("serve", "--storage", storage, "--install")
        assert code == 2 and words in error and "tessera relay new" in error


# -- into service


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """A systemctl that ends with this status; the lines that it was called with."""
    log = tmp_path / "called"

    def answers(status: int) -> list[str]:
        program = tmp_path / "bin" / "systemctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" >> {log}\necho "Failed to connect to bus" >&2\nexit {status}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setattr(systemd, "RUNNING", tmp_path)
        return log.read_text().splitlines() if log.exists() else []

    return answers


def test_install_writes_the_unit_and_starts_it(say: Say, tmp_path: Path, systemctl: Callable[[int], list[str]]) -> None:
    systemctl(0)
    code, out, _ = say("serve", "--storage", "relay", "--install")
    unit = tmp_path / "units" / "tessera-relay.service"
    assert code == 0 and "It runs, and starts with this computer" in out
    assert "DynamicUser=yes" in unit.read_text() and unit.stat().st_mode & 0o777 == 0o644
    assert systemctl(0) == ["daemon-reload", "enable --now tessera-relay.service"]


def test_what_could_not_be_started_is_said_with_the_line_to_type(
    say: Say, tmp_path: Path, systemctl: Callable[[int], list[str]]
) -> None:
    line = "systemctl daemon-reload && systemctl enable --now tessera-issuer.service"
    _, out, _ = say(*both(tmp_path)[1], "--install")
    assert "systemd does not run here" in out and line in out
    systemctl(1)
    _, out, _ = say(*both(tmp_path)[1], "--install")
    assert "Failed to connect to bus" in out and line in out


def test_a_program_that_a_service_does_not_see_is_not_installed(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_HIDDEN", (Path(systemd.__file__).parent,))
    code, _, error = say("serve", "--storage", "relay", "--install")
    assert code == 2 and "does not see" in error and "/opt/tessera" in error
    assert not (tmp_path / "units").exists()


def test_a_certificate_is_handed_over_and_every_port_is_let_through(say: Say, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "DNS:relay.example.org")
    words = (*both(tmp_path)[0], "--websocket", "443", "--certificate", certificate, "--certificate-key", key)
    unit = settings(json.loads(say(*words, "--print", "--json")[1])["text"])
    assert sorted(unit["SocketBindAllow"]) == ["tcp:443", "tcp:8200"]
    assert "CAP_NET_BIND_SERVICE" in unit["CapabilityBoundingSet"]
    assert unit["LoadCredential"] == [
        f"certificate:{tmp_path}/fullchain.pem",
        f"certificate-key:{tmp_path}/privkey.pem",
    ]
    assert unit["Environment"] == ["TESSERA_CERTIFICATE=%d/certificate", "TESSERA_CERTIFICATE_KEY=%d/certificate-key"]
    assert unit["ExecStart"][0].endswith('"--websocket" "443"')


def test_a_name_that_would_be_another_line_of_the_unit_is_refused() -> None:
    with pytest.raises(UsageError, match="rename"):
        systemd.server_unit(systemd.STATES / "x", [], "x", [8100], [Credential("x", Path("/etc/a\nUser=root"), "X")])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="nobody else gives files away")
def test_what_root_writes_into_a_service_s_state_is_the_service_s(tmp_path: Path) -> None:
    """IT's commands run as root beside a service with a user of its own, which goes on reading what they changed."""
    os.chown(tmp_path, 61234, 61234)
    files.write(tmp_path / "federation.card", b"new")
    found = (tmp_path / "federation.card").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (61234, 61234, 0o600)


# -- where the issuer's service listens


@pytest.fixture
def listened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where `issuer serve` listened; nobody comes."""
    places: list[tuple[str, int]] = []

    async def run(
        server: IssuerServer, host: str, port: int, ready: Callable[[], None], report: Any, listen: Any
    ) -> None:
        await listen(None, host, port)
        ready()

    async def start_server(connected: Any, host: str, port: int, **_: Any) -> None:
        places.append((host, port))

    monkeypatch.setattr(IssuerServer, "run", run)
    monkeypatch.setattr(asyncio, "start_server", start_server)
    return places


def test_the_service_listens_where_members_were_told_that_it_is(
    say: Say, tmp_path: Path, listened: list[tuple[str, int]]
) -> None:
    words = both(tmp_path)[1]
    assert say(*words)[0] == 0
    assert say(*words, "--host", "0.0.0.0", "--port", "9000")[0] == 0
    assert listened == [("127.0.0.1", 8201), ("0.0.0.0", 9000)]


def test_an_address_of_a_nat_is_not_ours_to_listen_at(say: Say, tmp_path: Path) -> None:
    file = both(tmp_path)[1][-2:]
    say("issuer", "service", "issuer", NOT_OURS, "--port", "8201", *file)
    code, _, error = say(*both(tmp_path)[1])
    assert code == 6 and NOT_OURS in error and "--host says where to listen" in error and error.count("\n") == 2


def test_a_name_that_only_this_computer_reaches_is_warned_of(
    say: Say, tmp_path: Path, listened: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = both(tmp_path)[1][-2:]
    say("issuer", "service", "issuer", "issuer.example.org", *file)
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
    code, _, error = say(*both(tmp_path)[1])
    assert code == 0 and re.match(r"warning: on this computer issuer.example.org is 127.0.1.1, which no other", error)
    assert "warning" not in say(*both(tmp_path)[1], "--host", "0.0.0.0")[2]
