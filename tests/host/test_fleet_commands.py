"""`tessera fleet …` on one host, where no engine runs: what is written, and what is said of what does not fit. The
commands on three hosts are typed by tests/system/test_fleet_operation.py."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessera_host import cli, systemd
from tessera_host.fleet import engines, nats_configuration, storage
from tessera_host.fleet.join_codes import Code
from tessera_host.fleet.nats_configuration import CERTIFICATE, KEY, SIGNERS, SYNC_LINE, Node
from tessera_host.fleet.storage import FleetFile
from tests.support import quick_keystores
from tests.support.organisation import Listed, new_issuer, planned

NODES = "10.0.0.1,10.0.0.2,10.0.0.3"
LOG = "nats://127.0.0.1:1/berlin"  # nobody listens there
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """(exit status, output, errors) of `tessera …` in a folder with a relay that never ran, and a password."""
    quick_keystores.use(monkeypatch)
    new_issuer(tmp_path, planned(board="GATEWAY"), Listed("berlin", "127.0.0.1", 8200)).close()
    (tmp_path / "password").write_text("of the engine\n")
    gate = tmp_path / "gate"  # a gateway's that does not run
    shutil.copytree(tmp_path / "berlin", gate)
    FleetFile(1, LOG).write(gate)
    monkeypatch.setattr(systemd, "STATES", tmp_path)
    monkeypatch.chdir(tmp_path)

    def typed(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run([str(word) for word in words])
        return (code, *capsys.readouterr())

    return typed


def engine(*more: str, listen: str = "10.0.0.2", nodes: str = NODES, password: str = "password") -> list[str]:
    options = ["--listen", listen, "--nodes", nodes, "--engine-password-file", password, "-o", "n2.conf"]
    return ["fleet", "engine", "n2", *options, *more]


def test_a_node_is_configured_as_a_gateway_wants_it_and_the_file_is_its_owner_s(say: Say, tmp_path: Path) -> None:
    code, out, _ = say(*engine())
    written = tmp_path / "n2.conf"
    addresses = tuple(f"{host}:6222" for host in NODES.split(","))
    store = Path("/var/lib/tessera-engine")
    node = Node("n2", "10.0.0.2:4222", "10.0.0.2:6222", addresses, store, "gateway", "of the engine")
    assert code == 0 and written.read_text() == node.text() and SYNC_LINE in node.text()
    assert written.stat().st_mode & 0o777 == 0o600
    assert "of the engine" not in out and "systemctl enable --now tessera-engine" in out
    code, _, error = say(*engine())
    assert code == 2 and "n2.conf" in error  # what is there stays


def test_a_node_that_speaks_tls_shows_gateways_and_nodes_its_certificate(say: Say, tmp_path: Path) -> None:
    code, out, _ = say(*engine("--tls-files", "/etc/tessera"))
    text = (tmp_path / "n2.conf").read_text()
    assert code == 0 and "install -D -m 600 -t /etc/tessera engine.key" in out
    assert "--engine-ca ca.crt" in out
    for name in ("cert_file", "key_file"):
        assert len(re.findall(rf'{name}: "/etc/tessera/engine\.', text)) == 2
    assert text.count('ca_file: "/etc/tessera/ca.crt"') == text.count("verify: true") == 1
    assert text.count("handshake_first: true") == 1
    plain = Node("n2", "a:1", "a:2", ("a:2",), Path("/x"), "u", "p").text()
    assert "tls" not in plain


def test_the_unit_hands_a_node_what_it_was_told_to_read() -> None:
    given = set(re.findall(r"LoadCredential=(\S+?):", systemd.ENGINE_CONFIGURATION))
    assert given == {"engine.conf", CERTIFICATE, KEY, SIGNERS}
    assert set(re.findall(r"SetCredential=(\S+?):", systemd.ENGINE_CONFIGURATION)) == given - {"engine.conf"}


def test_ports_may_be_others_and_addresses_of_ipv6(say: Say, tmp_path: Path) -> None:
    nodes = "10.0.0.1:7001,[fd00::2]:7002,fd00::3"
    assert say(*engine(listen="[fd00::2]:7000", nodes=nodes))[0] == 0
    text = (tmp_path / "n2.conf").read_text()
    assert 'listen: "[fd00::2]:7000"' in text and 'listen: "[fd00::2]:7002"' in text
    assert '"nats-route://10.0.0.1:7001", "nats-route://[fd00::2]:7002", "nats-route://[fd00::3]:6222"' in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (engine(nodes="10.0.0.1,10.0.0.2"), 2, "a log is on 3 nodes"),
        (engine(listen="10.0.0.4"), 2, "this one is one of them"),
        (engine(nodes="10.0.0.2,10.0.0.2,10.0.0.1"), 2, "a log is on 3 nodes"),
        (engine(listen="10.0.0.2:70000"), 2, "'10.0.0.2:70000' has no port"),
        (engine(nodes="10.0.0.1,10.0.0.2,10.0.0.3:0"), 2, "'10.0.0.3:0' has no port"),
        (["fleet", "engine", "n 2", *engine()[3:]], 2, "'n 2' has a blank"),
        (engine(password="empty"), 3, "put one line into it"),
        (engine(password="nothing"), 3, "cannot be read"),
        (["fleet", "init", "berlin", "--storage", LOG], 2, "--engine-password-file FILE"),
        (["fleet", "init", "berlin", "--storage", "postgresql://db/x"], 2, "names no log of a fleet"),
        (["fleet", "init", "berlin", "--storage", "nats:///x"], 2, "names no log of a fleet"),
        (["fleet", "init", "other", "--storage", LOG], 2, "tessera relay new"),
        (
            ["fleet", "init", "berlin", "--storage", LOG, "--engine-password-file", "password"],
            6,
            "no node of the engine",
        ),
        (["fleet", "join", "other", "--storage", LOG], 2, "copy relay.json and parameters"),
        (["fleet", "join", "berlin", "--storage", LOG], 2, "belongs to one gateway alone: seed"),
        (["fleet", "status", "gate", "--watch", "--json"], 2, "--watch is for a person"),
        (["fleet", "invite", "gate"], 6, "start it: tessera serve gate"),
    ],
)
def test_what_does_not_fit_is_said_with_what_to_do(
    say: Say, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "other").mkdir()
    found, _, error = say(*words)
    assert found == code and said in error and "hint: " in error


ENGINE = ["--storage", LOG, "--engine-password-file", "password"]
# Every command that is given a gateway's directory, or what becomes one, with DIR in place of it.
ASKED = [
    ["fleet", "status", "DIR"],
    ["fleet", "status", "DIR", "--watch"],
    ["fleet", "invite", "DIR"],
    ["fleet", "drain", "DIR"],
    ["fleet", "remove", "DIR", "2", "--yes"],
    ["fleet", "repair", "DIR", "--storage", LOG, "--yes"],
]
MADE = [["fleet", "init", "DIR", *ENGINE], ["fleet", "join", "DIR", *ENGINE]]


@pytest.mark.parametrize("words", [*ASKED, *MADE, ["serve", "DIR"]], ids=lambda words: " ".join(words[:2]))
def test_directory_that_is_none_or_not_readable_is_said_to_be_so(say: Say, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "file").touch()

    def given(directory: str) -> tuple[int, str]:
        code, _, error = say(*(directory if word == "DIR" else word for word in words))
        assert "hint: " in error
        return code, error

    code, error = given("nothing")
    assert code == 2 and "there is no directory nothing" in error
    code, error = given("file")
    assert code == 2 and "file is a file, not a directory" in error
    if os.geteuid() == 0:
        os.seteuid(_NOBODY)
        try:
            code, error = given("gate")
        finally:
            os.seteuid(0)
        assert code == 2 and "this user may not read gate" in error and "as root" in error


_NOBODY = 65534


@pytest.mark.parametrize("words", [*ASKED, ["serve", "DIR"]], ids=lambda words: " ".join(words[:2]))
def test_directory_of_another_kind_is_told_from_a_gateway_that_does_not_run(
    say: Say, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "other").mkdir()

    def given(directory: str) -> tuple[int, str]:
        code, _, error = say(*(directory if word == "DIR" else word for word in words))
        return code, error

    code, error = given("other")
    assert code == 2 and "other is no gateway's directory" in error and "fleet init or tessera fleet join" in error
    code, error = given("berlin")
    assert code == 2 and "this relay is in no fleet" in error and "tessera serve --storage berlin" in error
    if words[0] == "fleet":
        code, error = given("gate")
        assert code == 6 and "no gateway runs in gate" in error and "hint: start it: tessera serve gate" in error


def test_init_waits_for_nodes_that_were_just_started(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0

    async def starting(*_: Any) -> Any:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise nats_configuration.too_few_nodes()
        return Empty()

    monkeypatch.setattr(engines, "open_log", starting)
    monkeypatch.setattr(engines, "_PAUSE_SECONDS", 0)
    code, out, error = say("fleet", "init", "berlin", *ENGINE)
    assert code == 0 and "is gateway 1 of a fleet" in out and tried == 3
    assert error.count("fewer than 3 nodes") == error.count("Waiting up to 30 s") == 1


def test_init_refuses_nodes_that_stay_too_few(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    async def few(*_: Any) -> Any:
        raise nats_configuration.too_few_nodes()

    monkeypatch.setattr(engines, "open_log", few)
    monkeypatch.setattr(engines, "START_SECONDS", 0)
    code, _, error = say("fleet", "init", "berlin", *ENGINE)
    assert code == 2 and "fewer than 3 nodes" in error and "hint: start 3 that know each other" in error


class Empty:
    """A log without an entry."""

    async def last(self) -> int:
        return 0

    async def close(self) -> None:
        pass


def test_a_relay_becomes_a_fleet_of_one_and_its_unit_is_a_gateway_s(say: Say, tmp_path: Path) -> None:
    log = f"sqlite://{tmp_path}/log.db"
    code, out, _ = say("fleet", "init", "berlin", "--storage", log, "--json")
    assert code == 0 and json.loads(out) == {"gateway": 1, "directory": "berlin", "storage": log}
    assert storage.FleetFile.read(tmp_path / "berlin").storage == log
    assert "is a gateway's already" in say("fleet", "init", "berlin", "--storage", log)[2]
    assert "start it with: tessera serve berlin" in say("serve", "--storage", "berlin")[2]
    code, _, error = say("fleet", "invite", "berlin")
    assert code == 2 and "is a file, which one gateway alone reaches" in error and "nats://HOST,HOST,HOST/NAME" in error
    made: dict[str, Any] = json.loads(say("serve", "berlin", "--print", "--json", "--metrics", "127.0.0.1:9100")[1])
    lines = made["text"].splitlines()
    assert "MemorySwapMax=0" in lines and "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX" in lines
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith(f'"serve" "{tmp_path}/berlin" "--metrics" "127.0.0.1:9100"')
    assert [line for line in lines if line.startswith("SocketBindAllow=")] == [
        "SocketBindAllow=tcp:8200",
        "SocketBindAllow=tcp:9100",
    ]


def test_a_join_at_a_log_without_entries_says_that_its_name_is_another_one(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def empty(*_: Any) -> Any:
        return Empty()

    monkeypatch.setattr(engines, "open_log", empty)
    (tmp_path / "new").mkdir()
    for name in ("relay.json", "parameters"):
        shutil.copy(tmp_path / "berlin" / name, tmp_path / "new")
    (tmp_path / "code").write_text(f"{Code(1, bytes(16))}\n")
    code, _, error = say("fleet", "join", "new", *ENGINE, "--code-file", "code")
    assert code == 2 and "has no entries" in error and "write the name of the log" in error


def test_a_join_that_finds_nobody_leaves_the_directory_as_it_was(say: Say, tmp_path: Path) -> None:
    there = tmp_path / "new"
    there.mkdir()
    for name in ("relay.json", "parameters"):
        shutil.copy(tmp_path / "berlin" / name, there)
    (tmp_path / "code").write_text("not a code\n")
    words = ["fleet", "join", "new", "--storage", LOG, "--engine-password-file", "password", "--code-file", "code"]
    code, _, error = say(*words)
    assert code == 3 and "no join code" in error
    (tmp_path / "code").write_text(f"{Code(1, bytes(16))}\n")
    for _ in range(2):
        code, _, error = say(*words)
        assert code == 6 and "no node of the engine answers" in error
    assert sorted(path.name for path in there.iterdir()) == ["parameters", "relay.json"]
    assert not list(tmp_path.glob(".joining*"))
