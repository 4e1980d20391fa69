"""`tessera serve` as a whole: the relay core on CPython, started with nothing but a port and a folder."""

import asyncio
import json
import shlex
import shutil
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tessera.server import Server
from tessera_host import cli
from tessera_host.cli.demo import free_port
from tessera_host.errors import Unreachable
from tessera_host.issuer.issuer import Issuer
from tessera_host.member.state import MemberState
from tessera_host.relay import sqlite_device
from tests.support import chapters, correspondence
from tests.support.command_line import (
    TESSERA,
    CommandLine,
    Running,
    assert_absent,
    leaves_no_dump,
    python_module,
    running,
    secrets_of_relay,
    visible_to_others,
)
from tests.support.office_on_disk import read_all
from tests.support.organisation import Organisation

COVER = ("--cover-traffic-epsilon", "0.1", "--cover-traffic-delta", "1e-6")
SHORT = ("--round-seconds", "1", "--epoch-rounds", "600")
USAGE, INVALID, UNREACHABLE = 2, 3, 6


class Gateway:
    """The command `tessera serve` with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.command = CommandLine(folder, "the passphrase of somebody else")
        self.storage, self.port = folder / "storage", free_port()

    @contextmanager
    def serving(self, *options: object) -> Iterator[Running]:
        with running(self.command, *self.words(), *(options or (*COVER, *SHORT)), until="serving") as process:
            yield process

    def words(self) -> list[object]:
        return [TESSERA, "serve", "--port", self.port, "--storage", self.storage]

    @property
    def passphrase(self) -> str:
        return (self.storage / "passphrase").read_text().strip()

    @contextmanager
    def members(self) -> Iterator[tuple[MemberState, MemberState]]:
        """Two who met and have tokens; made in the storage folder's neighbourhood at the first call."""
        issuer = Issuer.open(self.storage / "issuer", self.passphrase)
        with Organisation(self.storage.parent, issuer, passphrase=self.passphrase) as organisation:
            pair = organisation.two_who_met("alice", "bob")
            issuer.close()
            yield pair


class Announced(Gateway):
    """The command of the founding announcement, as it is printed there."""

    def words(self) -> list[object]:
        url = f"sqlite://{self.storage}/relay.db"
        return [*python_module("tessera.network.ws_server", "--port", self.port, "--storage", url)]


def test_the_page_prints_the_command_of_the_announcement() -> None:
    printed = shlex.split(chapters.script("docs/it/server.md", "Try it with nothing made before"))
    words = ["--port", "8100", "--storage", "sqlite:///var/lib/tessera/relay.db", *COVER]
    assert printed == ["python", "-m", "tessera.network.ws_server", *words]


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


@pytest.fixture
def announced(tmp_path: Path) -> Announced:
    return Announced(tmp_path)


async def texts(reader: MemberState) -> list[str]:
    """What a fetch after the open round brings."""
    await asyncio.sleep(reader.seconds_to_next_round() + 0.2)
    return [message.text for message in (await correspondence.fetch(reader)).messages]


def test_the_address_is_written_as_addresses_are(gateway: Gateway) -> None:
    with gateway.serving(*COVER, *SHORT, "--host", "::1") as process:
        assert f"[::1]:{gateway.port}" in "\n".join(process.lines)


def test_micropython_says_that_it_has_no_such_addresses(gateway: Gateway, micropython_frozen: Path) -> None:
    words = [micropython_frozen, "-m", "relay_unix", gateway.storage, "--host", "::1"]
    said = gateway.command.run(*words, code=1)
    assert "MicroPython listens at IPv4 addresses only, not at ::1: use `tessera serve`" in said.out


def test_no_dump_is_made_of_a_relay(gateway: Gateway) -> None:
    with gateway.serving() as process:
        assert leaves_no_dump(process.process.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_there_when_it_stops_is_not_spoken_of(gateway: Gateway, number: int) -> None:
    with gateway.serving() as process, socket.create_connection(("127.0.0.1", gateway.port)) as there:
        assert there.recv(1)
        said = process.stop(number)
    assert said.code == 0 and "Exception" not in said.error and "Traceback" not in said.error, said.error


def test_a_full_disk_ends_the_relay_with_what_to_do(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with gateway.serving():
        pass
    database = sqlite_device.Database(gateway.storage / "another", b"key")
    device = database.region("ring", 64)
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count={pages}")

    async def run(
        server: Server, host: str, port: int, ready: Callable[[], None], begin: Callable[[], None], listen: Any
    ) -> None:
        begin()
        ready()
        for block in range(64):
            device.writeblocks(block, bytes(4096), 0)
        database.commit()

    monkeypatch.setattr(Server, "run", run)
    assert cli.run([str(word) for word in gateway.words()[1:]]) == 1
    error = capsys.readouterr().err
    assert "the relay stopped, its storage cannot be written: database or disk is full" in error
    assert "make room on the disk and start it again" in error


async def test_conversation_goes_on_over_restarts_and_a_power_cut(announced: Announced) -> None:
    gateway = announced
    with gateway.serving() as process:
        text = "\n".join(process.lines)
        for wanted in (
            "on cpython",
            f"ws://127.0.0.1:{gateway.port}",
            "epsilon 0.1",
            "coincurve",
            "1 s, 600 in an epoch of 600 s",
        ):
            assert wanted in text
        with gateway.members() as (alice, bob):
            await correspondence.send(alice, "bob", "first " * 100)
            await correspondence.send(bob, "alice", "second")
            assert await texts(alice) == ["second"]
            said = process.stop(signal.SIGTERM)
            assert (said.code, said.out) == (0, "")
            with pytest.raises(Unreachable):
                await correspondence.send(alice, "bob", "third")
            with gateway.serving() as again:
                await correspondence.resend(alice)
                again.process.kill()
            with gateway.serving() as once_more:
                assert await texts(bob) == ["first " * 100, "third"]
                assert once_more.stop(signal.SIGINT).code == 0
    assert (gateway.storage / "relay.db").exists() and not (gateway.storage / "relay" / "storage.sqlite").exists()
    said = gateway.command.run(TESSERA, "serve", "--storage", gateway.storage, code=INVALID)
    assert "is missing, although this relay has already run" in said.error and "sqlite:///DIR/NAME" in said.error


def test_a_server_is_watched(gateway: Gateway) -> None:
    """Figures and health over HTTP, and a line of JSON for each event, the last one for its end."""
    port = free_port()
    options = ("--metrics", f"127.0.0.1:{port}", "--log", "json", "--json")
    with gateway.serving(*COVER, *SHORT, *options) as process:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            assert json.load(answer) == {"status": "ok", "complaints": []}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            figures = answer.read().decode()
        assert "\ntessera_round_seconds 1.0\n" in figures
        assert "process_" not in figures and "commit" not in figures
        said = process.stop(signal.SIGTERM)
    events = [json.loads(line) for line in said.error.splitlines()]
    names = [event["event"] for event in events]
    assert [names[0], names[-1]] == ["trial", "stopped"] and {"serving", "set", "epoch"} <= set(names)
    assert "127.0.0.1" not in said.error
    refused = gateway.command.run(*gateway.words(), *options, "--cover-traffic-epsilon", "2", code=USAGE)
    (failed,) = [json.loads(line) for line in refused.error.splitlines()]
    assert (failed["event"], failed["level"], failed["exit_code"]) == ("failed", "error", USAGE)
    assert "another cover traffic" in failed["message"]


@pytest.mark.skipif(not shutil.which("curl"), reason="the page asks with curl")
def test_the_chapter_about_figures_works_as_printed(gateway: Gateway) -> None:
    """With a folder and a port of this test's own, and curl waiting for the relay, which a person does by typing."""
    with gateway.serving():
        pass
    script = chapters.script("docs/it/server.md", "Is it well?")
    script = script.replace("/var/lib/tessera-munich", str(gateway.storage)).replace("9100", str(free_port()))
    script = script.replace("curl --silent", "curl --silent --fail --retry 600 --retry-delay 1 --retry-connrefused")
    gateway.command.environment["PATH"] = f"{TESSERA.parent}:{gateway.command.environment['PATH']}"
    said = gateway.command.run("bash", "-euc", f"set -m\n{script}\nkill -INT %1; wait")
    assert '{"status": "ok", "complaints": []}' in said.out and "\ntessera_round_seconds 1.0\n" in said.out
    assert '"event": "serving"' in said.error


async def test_every_round_is_served_alike_before_and_after_a_restart(gateway: Gateway) -> None:
    with gateway.serving() as process, gateway.members() as (alice, _):
        await correspondence.send(alice, "bob", "x" * 1000)
        await asyncio.sleep(alice.seconds_to_next_round() + 0.2)
        before = await read_all(alice)
        process.stop(signal.SIGTERM)
        with gateway.serving():
            await correspondence.status(alice)  # which tells it the time: without it nothing is sealed
            after = await read_all(alice)
    assert {round_: after[round_] for round_ in before} == before
    assert sum(map(len, before.values())) > 7


def test_another_cover_traffic_or_way_in_than_members_were_told_is_refused(gateway: Gateway) -> None:
    with gateway.serving():
        pass
    words = python_module("tessera.network.ws_server", "--storage", gateway.storage, "--port", gateway.port)
    said = gateway.command.run(*words, code=USAGE)
    assert f"members were told 127.0.0.1:{gateway.port}, to which they connect with TCP" in said.error
    assert f"tessera serve --storage {gateway.storage}" in said.error
    others = [("--cover-traffic-epsilon", "0.2"), (*COVER[:3], "1e-9")]
    others += [("--members", "60"), ("--round-seconds", "7"), ("--epoch-rounds", "7")]
    for other in others:
        said = gateway.command.run(*gateway.words(), *other, code=USAGE)
        assert said.error.startswith("error: ") and said.error.count("\n") == 2
    with gateway.serving("--host", "127.0.0.1"):  # without the options it is what the parameters say
        pass


def test_a_directory_from_the_issuer_s_machine_is_served_where_members_were_told_and_nothing_is_made_beside_it(
    gateway: Gateway, tmp_path: Path
) -> None:
    """As IT does it: `relay new` on one machine, `serve` on the other, in a directory that has nothing else in it."""
    tessera, port = gateway.command.tessera, free_port()
    tessera("plan", "--members", "24", "--board", "GATEWAY", "-o", "plan.json")
    tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Office")
    tessera("relay", "new", "berlin", "--issuer", "issuer", "--host", "localhost", "--port", port, "server/berlin")
    with running(gateway.command, TESSERA, "serve", "--storage", "server/berlin", until="serving") as relay:
        assert f"localhost:{port}" in "\n".join(relay.lines)
        tessera("relay", "time", "berlin", "--issuer", "issuer")
        assert gateway.command.json("relay", "status", "--federation", "issuer/federation.card")["relays"][0]["reached"]
        audit = ("audit", "--federation", "issuer/federation.card", "--archive", "archive")
        assert "berlin: nothing to verify yet" in tessera(*audit) and "holds" not in tessera(*audit)
        found = gateway.command.json(*audit)
        assert found["holds"] is None and found["relays"][0]["holds"] is None
        assert relay.stop(signal.SIGTERM).error == ""
    assert [path.name for path in (tmp_path / "server").iterdir()] == ["berlin"]
    names = {path.name for path in (tmp_path / "server" / "berlin").iterdir()}
    assert {"relay.json", "parameters"} <= names and not {"passphrase", "issuer"} & names


def test_a_server_without_a_relay_makes_no_keys_unless_a_trial_is_asked_for(gateway: Gateway) -> None:
    said = gateway.command.run(TESSERA, "serve", "--storage", gateway.storage, code=USAGE)
    assert "there is no relay in" in said.error and "tessera relay new" in said.error and "--members 24" in said.error
    assert not gateway.storage.exists()
    with gateway.serving() as process:
        assert process.stop(signal.SIGTERM).error.startswith("Made a trial: the issuer, its passphrase and the relay")
    with gateway.serving("--host", "127.0.0.1") as process:
        assert process.stop(signal.SIGTERM).error.startswith("This is a trial: ")


def test_numbers_that_are_none_make_no_storage(gateway: Gateway) -> None:
    for wrong in (("--cover-traffic-epsilon", "0"), ("--cover-traffic-delta", "x"), ("--members", "3")):
        gateway.command.run(*gateway.words(), *wrong, code=USAGE)
        assert not gateway.storage.exists()


def test_storage_and_port_serve_one_relay_at_a_time(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Gateway(tmp_path / "other")
    with gateway.serving():
        other.port = gateway.port
        second = gateway.words()
        second[3] = free_port()
        for words in (other.words(), second):
            said = gateway.command.run(*words, *SHORT, code=UNREACHABLE)
            error, hint = said.error.splitlines()[-2:]
            assert error.startswith("error: ") and hint.startswith("hint: ")
        assert said.error.count("\n") == 2


def test_storage_that_is_something_else_is_left_alone(gateway: Gateway) -> None:
    gateway.storage.mkdir()
    (gateway.storage / "letter.txt").write_text("mine")
    said = gateway.command.run(*gateway.words(), code=USAGE)
    assert said.error.startswith("error: ") and said.error.count("\n") == 2
    assert [path.name for path in gateway.storage.iterdir()] == ["letter.txt"]


def test_first_starts_at_once_make_one_organisation(gateway: Gateway) -> None:
    starts = []
    for _ in range(4):
        starts.append(Running(gateway.command, [str(word) for word in (*gateway.words(), *SHORT)]))
        gateway.port = free_port()
    try:
        serving = []
        for start in starts:
            with suppress(AssertionError):  # it ended
                start.wait_for("serving")
                serving.append(start)
        assert len(serving) == 1
    finally:
        said = [start.stop(signal.SIGTERM) for start in starts]
    assert sorted(end.code for end in said) == [0, *[UNREACHABLE] * 3]
    issuer = Issuer.open(gateway.storage / "issuer", gateway.passphrase)
    assert issuer.parameters.blob == (gateway.storage / "relay" / "parameters").read_bytes()
    issuer.close()


def test_json_is_one_object_when_it_serves(gateway: Gateway) -> None:
    with running(gateway.command, *gateway.words(), *SHORT, "--json", until="serving") as process:
        assert len(process.lines) == 1
        answer: dict[str, Any] = json.loads(process.lines[0])
        assert answer["serving"] == f"127.0.0.1:{gateway.port}"


def test_secrets_are_not_shown(gateway: Gateway) -> None:
    with gateway.serving() as process:
        secrets = [gateway.passphrase.encode(), *secrets_of_relay(gateway.storage / "relay")]
        assert_absent(secrets, visible_to_others(process.process.pid))
        process.stop(signal.SIGTERM)
    assert_absent(secrets, gateway.command.everything_said())
    for name in ("passphrase", "relay/relay.json", "relay/storage.sqlite", "issuer/issuer.keystore"):
        assert (gateway.storage / name).stat().st_mode & 0o077 == 0, name
