"""`tessera cluster` as somebody tries it: relays as processes, of which one is killed and another's folder deleted."""

import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.support import chapters
from tests.support.command_line import TESSERA, CommandLine, Running, descendants, python_module, running
from tests.support.ports import free_ports
from tests.support.terminal import Terminal

UNREACHABLE, REFUSED, USAGE = 6, 7, 2
PORTS = 4  # three relays and the service
SHORT = ("--round-seconds", 10)


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, "the passphrase of somebody else")


class Cluster:
    """One that runs: what it says, a JSON object a line."""

    def __init__(self, process: Running) -> None:
        self.process = process

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.lines]

    def until(self, name: str, state: str) -> dict[str, Any]:
        """Wait for a change."""
        while True:
            found: dict[str, Any] = json.loads(self.process.wait_for(f'"{name}"'))
            if (found.get("node"), found.get("state")) == (name, state):
                return found

    def pid(self, name: str) -> int:
        """Of a node's process."""
        found = []
        for pid in descendants(self.process.process.pid)[1:]:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if any(word.endswith(f"/{name}") for word in words):
                found.append(pid)
        (pid,) = found
        return pid


@contextmanager
def cluster_of(command: CommandLine, *options: object) -> Iterator[Cluster]:
    words = command.words("cluster", "office", *options, "--json")
    with running(command, *words, until='"next"') as process:
        yield Cluster(process)


def talk(command: CommandLine, *words: object, home: str) -> str:
    return command.tessera(*words, "--home", home)


def send(command: CommandLine, *words: object, home: str) -> None:
    """Relays that have just started take records from their next round on only."""
    said = command.run(*command.words("send", *words, "--home", home), code=(0, REFUSED))
    while said.code == REFUSED:
        said = command.run(*command.words("resend", "--home", home), code=(0, REFUSED))


def join_and_meet(command: CommandLine) -> None:
    for name, relay in (("alice", "node-1"), ("bob", "node-2")):
        command.tessera("issuer", "invite", "office/issuer", name, "--relay", relay, "-o", f"{name}.invitation")
        talk(command, "join", f"{name}.invitation", home=name)
    cards = ("bob", "invite", "answer", "confirm")
    for number, (home, card) in enumerate(zip(("alice", "bob") * 2, cards, strict=True)):
        out = ("-o", cards[number + 1]) if number < 3 else ()
        talk(command, "contact", "add", card, *out, home=home)


def with_long(daily: str, other: str) -> pytest.MarkDecorator:
    """Daily on one runtime: how a cluster starts, watches and replaces a node is the same program on both."""
    return pytest.mark.parametrize("runtime", [daily, pytest.param(other, marks=pytest.mark.long)])


# On CPython daily: a relay burns in test_the_chapter_of_the_readme_works_as_printed.
@with_long("micropython", "cpython")
@pytest.mark.usefixtures("micropython_frozen")
def test_what_is_posted_is_read_though_a_relay_is_killed_and_another_burns(command: CommandLine, runtime: str) -> None:
    port = free_ports(PORTS)
    shape = ("--nodes", 3, "--topology", "ring", "--copies", 2, "--port", port, "--runtime", runtime)
    with cluster_of(command, *shape, *SHORT) as cluster:
        command.environment["TESSERA_PASSPHRASE_FILE"] = str(command.folder / "office" / "passphrase")
        assert cluster.said[0] == {
            "cluster": str(command.folder / "office"),
            "made": True,
            "nodes": ["node-1", "node-2", "node-3"],
            "topology": "ring",
            "copies": 2,
            "runtime": runtime,
        }
        join_and_meet(command)
        send(command, "bob", "Thursday at ten?", home="alice")
        shutil.rmtree(command.folder / "office" / "node-1")
        os.kill(cluster.pid("node-2"), signal.SIGKILL)
        assert "SIGKILL" in cluster.until("node-2", "waiting")["note"]
        found = cluster.until("node-1", "serving")
        assert found["note"] == "a new relay, in the place of the one that is gone"
        assert "Thursday at ten?" in talk(command, "inbox", "--wait", home="bob")
        said = cluster.process.stop(signal.SIGINT)
        assert (said.code, said.error) == (0, "")
        last = [json.loads(line) for line in said.out.splitlines()][-PORTS:]
        assert [each["node"] for each in last] == ["issuer", "node-3", "node-2", "node-1"]
        assert {each["state"] for each in last} == {"stopped"}
    with cluster_of(command) as cluster:
        assert cluster.said[0]["made"] is False
        send(command, "alice", "Thursday at ten.", home="bob")
        said = talk(command, "inbox", "--wait", home="alice")
        assert "Thursday at ten." in said and "lost" not in said


def test_a_second_start_meanwhile_other_options_and_a_port_in_use_are_refused(command: CommandLine) -> None:
    port = free_ports(PORTS)
    command.refused(USAGE, "cluster", "office", "--nodes", 2, "--copies", 3)
    with socket.create_server(("127.0.0.1", port + 1)):
        error = command.refused(UNREACHABLE, "cluster", "office", "--nodes", 2, "--port", port)
        assert f"port {port + 1} of this computer, for node-2, cannot be used" in error
    assert not (command.folder / "office").exists()
    with cluster_of(command, "--nodes", 1, "--port", port, *SHORT):
        assert "another program runs a cluster in" in command.refused(UNREACHABLE, "cluster", "office")
        error = command.refused(USAGE, "cluster", "office", "--nodes", 2)
        assert "was made with --nodes 1, not 2" in error
        error = command.refused(USAGE, "cluster", "office/tessera-cluster", "--port", port + PORTS)
        assert f"to go on with that one: tessera cluster {command.folder / 'office'}" in error
    assert "is a mesh with 1 copy" in command.refused(USAGE, "cluster", "office", "--copies", 2)
    error = command.refused(USAGE, "cluster", "office", "--members", 30)
    assert "was made with --members 24, not 30" in error
    assert f"tessera issuer renew {command.folder / 'office' / 'issuer'} --members 30" in error
    assert "was made with --round-seconds 10, not 20" in command.refused(
        USAGE, "cluster", "office", "--round-seconds", 20
    )
    with socket.create_server(("127.0.0.1", port)):
        assert "a cluster keeps its ports" in command.refused(UNREACHABLE, "cluster", "office")
    assert "'star' is not one of" in (error := command.refused(USAGE, "cluster", "x", "--topology", "star"))
    assert "Value error" not in error
    (command.folder / "papers").mkdir()
    (command.folder / "papers" / "letter").write_text("of somebody")
    assert "already has other files, such as letter" in command.refused(
        USAGE, "cluster", "papers", "--port", free_ports(6)
    )


@with_long("cpython", "micropython")
@pytest.mark.usefixtures("micropython_frozen")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is util-linux's")
def test_what_a_killed_cluster_ran_ends_with_it(command: CommandLine, runtime: str) -> None:
    """And so the next start finds its ports free."""
    port = free_ports(2)
    with cluster_of(command, "--nodes", 1, "--port", port, "--runtime", runtime, *SHORT) as cluster:
        cluster.process.stop(signal.SIGKILL)
        for each in (port, port + 1):
            until_nobody_listens(each)
    with cluster_of(command) as cluster:
        assert cluster.said[0]["made"] is False


def until_nobody_listens(port: int) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"somebody listens at {port} for ever")


def test_the_chapter_works_as_printed(command: CommandLine) -> None:
    script = chapters.script("docs/it/cluster.md", "Try it")
    del command.environment["TESSERA_PASSPHRASE_FILE"]
    command.environment["PATH"] = f"{TESSERA.parent}:{command.environment['PATH']}"
    script = script.replace("--nodes 5", f"--nodes 5 --port {free_ports(6)}")
    end = "until grep -q 'in the place' ../cluster.log; do sleep 1; done; kill -INT %1; wait; cat ../cluster.log\n"
    said = command.run("bash", "-euc", f"set -m\n{script}{end}").out
    assert "alice: Thursday at ten?" in said
    assert "node-1 serving: a new relay, in the place of the one that is gone" in said


def test_the_announced_command_works_as_printed(command: CommandLine) -> None:
    """`python -m tessera.deploy.cluster --nodes 5 --topology mesh`, at ports of this test's own."""
    port = free_ports(6)
    words = python_module("tessera.deploy.cluster", "--nodes", 5, "--topology", "mesh", "--port", port)
    with running(command, *words, until="Ctrl-C stops all of it") as process:
        lines = [line for line in process.lines if " serving on " in line]
        assert lines[:5] == [f"node-{number} serving on 127.0.0.1:{port + number - 1}" for number in range(1, 6)]
        assert (command.folder / "tessera-cluster" / "node-5" / "relay.json").exists()
        assert "Made a cluster of 5 relays (cpython), mesh, 2 copies" in process.stop(signal.SIGTERM).error


def test_on_a_terminal_it_is_a_table(tmp_path: Path) -> None:
    port = free_ports(2)
    terminal = Terminal(tmp_path)
    terminal.run_program(TESSERA, "cluster", "office", "--nodes", 1, "--port", port)
    terminal.read("Ctrl-C stops all of it")
    terminal.read("restarts")
    terminal.find(r"(issuer)")
    shown = terminal.screen()
    assert re.search(rf"node-1 +│ 127\.0\.0\.1:{port} +│ serving ", shown), shown
    terminal.press("c")
    terminal.done()
