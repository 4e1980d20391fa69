"""docs/fleet-operation.md, typed as printed: three hosts (127.0.0.2, .3, .4) with a node of the engine and a gateway
each, an nginx in front of them, members who write to each other meanwhile, and what the page says of what fails."""

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nats", reason="no client of NATS here: pip install nats-py")

from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import CommandLine, Running, running
from tests.support.nats_nodes import program as engine_program
from tests.support.office_on_disk import PASSPHRASE
from tests.support.ports import free_ports
from tests.system.test_websocket import program, started

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "fleet-operation.md"
REFUSED, UNWELL = 7, 9
HOSTS = (1, 2, 3)
POSTS = 1020  # a token has a share, as the fleet is founded in the middle of an epoch: enough at any time of day
FRONT = "127.0.0.9"  # the address that members are told
# A newer program, that writes and reads another version of entries.
_NEWER = """\
import sys
from tessera_host.fleet import entry
entry.VERSION += 1
import tessera_host
tessera_host.__version__ = "99.0"
from tessera_host.cli import main
main()
"""


def printed(start: str) -> list[str]:
    """The words behind `tessera` of the one line of the page's commands that starts so."""
    (line,) = set(re.findall(rf"^tessera ({re.escape(start)}.*)$", commands(), re.MULTILINE))
    return shlex.split(line)


def commands() -> str:
    return "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))


class Fleet:
    """Three hosts: a folder each, and their processes. Ports are the test's own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.ports = [free_ports(4) + each for each in range(4)]
        self.it = CommandLine(folder, PASSPHRASE)
        self.hosts = {number: CommandLine(self._host(number), PASSPHRASE) for number in HOSTS}
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}
        self.gateways: dict[int, Running] = {}
        for number in HOSTS:
            stack.callback(self.kill_node, number)

    def _host(self, number: int) -> Path:
        path = self.folder / f"host{number}"
        path.mkdir()
        return path

    def address(self, number: int) -> str:
        return f"127.0.0.{number + 1}"

    def here(self, words: list[str]) -> list[str]:
        """What the page prints, at this test's addresses and ports."""
        client, node, member, _ = self.ports
        found = []
        for before, word in zip(["", *words], words, strict=False):
            if before == "--nodes":
                word = re.sub(r"10\.0\.0\.(\d)", lambda at: f"{self.address(int(at[1]))}:{node}", word)
            elif before == "--listen" or word.startswith("nats://"):
                word = re.sub(r"10\.0\.0\.(\d)", lambda at: f"{self.address(int(at[1]))}:{client}", word)
            else:
                word = re.sub(r"10\.0\.0\.(\d)", lambda at: self.address(int(at[1])), word)
            found.append(word)
        if words[0] == "serve":
            found += ["--port", str(member)]
        return found

    # -- the engine

    def make_nodes(self) -> None:
        (self.folder / "engine.password").write_text("not a good one\n")
        for number in HOSTS:
            words = self.here(printed(f"fleet engine n{number} "))
            self.it.tessera(*words, "--store", str(self._path(number) / "engine"))
            shutil.copy(self.folder / "engine.password", self._path(number))
        for number in HOSTS:
            self.start_node(number)

    def _path(self, number: int) -> Path:
        return self.hosts[number].folder

    def start_node(self, number: int) -> None:
        with (self._path(number) / "engine.log").open("wb") as log:
            command = (engine_program(), "-c", self.folder / f"n{number}.conf")
            self.nodes[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill_node(self, number: int) -> None:
        node = self.nodes.pop(number, None)
        if node is not None:
            node.kill()
            node.wait()

    # -- gateways

    def serve(self, number: int, newer: bool = False) -> None:
        words = self.here(printed("serve berlin --host 10.0.0.1"))
        words[words.index(self.address(1))] = self.address(number)
        command = self.hosts[number]
        line = [sys.executable, "-c", _NEWER, *words] if newer else command.words(*words)
        self.gateways[number] = gateway = Running(command, line)
        self.stack.callback(gateway.stop, 9)
        gateway.wait_for("serving")

    def stop(self, number: int, signal: int = 15) -> None:
        self.gateways.pop(number).stop(signal)

    def join(self, number: int, inviting: int) -> None:
        """As the page has it: the code by one way, the secrets by another."""
        code = self.hosts[inviting].json(*printed("fleet invite berlin"))["code"]
        here, there = self._path(inviting) / "berlin", self._path(number) / "berlin"
        there.mkdir()
        for name in ("relay.json", "parameters"):
            shutil.copy(here / name, there)
        (self._path(number) / "code").write_text(code + "\n")
        self.hosts[number].tessera(*self.here(printed("fleet join berlin")))

    def status(self, number: int, code: int | tuple[int, ...] = (0, UNWELL)) -> dict[str, Any]:
        return self.hosts[number].json(*printed("fleet status berlin"), code=code)

    def until(self, number: int, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The status of the fleet, by a gateway, once this is so."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds(found := self.status(number)):
            assert time.monotonic() < end, found
            time.sleep(0.5)
        return found

    def remarks(self, number: int) -> set[str]:
        return {each["code"] for each in self.status(number)["remarks"]}

    @contextmanager
    def front(self) -> Iterator[None]:
        """docs/fleet-nginx.conf, but for addresses and ports."""
        member = self.ports[2]
        text = (ROOT / "docs" / "fleet-nginx.conf").read_text()
        text = re.sub(r"10\.0\.0\.(\d):8100", lambda at: f"{self.address(int(at[1]))}:{member}", text)
        text = re.sub(r"listen \[::\].*\n", "", text).replace("listen 8100;", f"listen {FRONT}:{member};")
        assert text.count(str(member)) == 4
        main = f"daemon off; master_process off; pid nginx.pid; {stream_module()} events {{}}\n"
        (self.folder / "nginx.conf").write_text(main + text)
        words = [program("nginx"), "-p", str(self.folder), "-c", "nginx.conf", "-e", "stderr"]
        with started(words, member, FRONT):
            yield


def stream_module() -> str:
    """Debian has it in a package of its own."""
    beside = Path(program("nginx")).parents[2] / "usr/lib/nginx/modules/ngx_stream_module.so"
    if not beside.exists():
        pytest.skip("nginx has no streams here: `make setup` unpacks Debian's, or apt-get install libnginx-mod-stream")
    return f"load_module {beside};"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    engine_program()
    with ExitStack() as stack:
        yield Fleet(tmp_path, stack)


@pytest.mark.long
def test_the_page_works_as_printed(fleet: Fleet) -> None:
    it, member = fleet.it, fleet.ports[2]
    fleet.make_nodes()
    shape = ["--members", "24", "--board", "GATEWAY", "--round-seconds", "20", "--posts-per-token", str(POSTS)]
    it.tessera("plan", *shape, "-o", "plan.json")
    it.tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Office")
    words = printed("relay new berlin")
    it.tessera(*(FRONT if word == "relay.example.org" else word for word in words), "--port", str(member))
    shutil.move(fleet.folder / "berlin", fleet.hosts[1].folder)

    # Setting up
    assert fleet.hosts[1].json(*fleet.here(printed("fleet init berlin")))["gateway"] == 1
    fleet.serve(1)
    assert "few" in fleet.remarks(1)
    for number in (2, 3):
        fleet.join(number, 1)
        fleet.serve(number)
    found = fleet.until(2, lambda found: len(found["gateways"]) == 3 and all(found["gateways"].values()))
    assert found["engine"]["leader"] and len(found["engine"]["nodes"]) == 3
    fleet.stack.enter_context(fleet.front())
    service = free_ports(1)
    it.tessera("issuer", "service", "issuer", "127.0.0.1", "--port", str(service))
    fleet.stack.enter_context(running(it, *it.words("issuer", "serve", "issuer"), until="Stop it with"))
    office = Office(it)
    office.talk("set up")
    wait_for_equal_states(fleet, HOSTS)

    # Growing: one leaves in order, and its members come to the others
    assert fleet.hosts[3].json(*printed("fleet drain berlin"))["drained"]
    assert fleet.status(1)["gateways"]["3"]["draining"]
    fleet.stop(3)
    assert "unreachable" in fleet.remarks(1)
    office.talk("two are left")
    fleet.hosts[1].refused(2, "fleet", "remove", "berlin", "1", "--yes")
    left = fleet.hosts[1].json(*printed("fleet remove berlin"))["gateways"]
    assert left == [1, 2]
    shutil.rmtree(fleet.hosts[3].folder / "berlin")
    fleet.join(3, 2)  # another number than it had, and than another gateway would give at this moment
    fleet.serve(3)
    found = fleet.until(
        1, lambda found: sorted(found["gateways"]) == ["1", "2", "5"] and all(found["gateways"].values())
    )

    # Upgrading: one after the other, entries of the new version only when all can read them
    fleet.stop(1)
    fleet.serve(1, newer=True)
    found = fleet.until(2, lambda found: found["gateways"]["1"])
    assert found["gateways"]["1"]["reads"] == found["gateways"]["2"]["reads"] + 1
    assert "versions" in {each["code"] for each in found["remarks"]}
    office.talk("old and new")
    for number in (2, 3):
        fleet.stop(number)
        fleet.serve(number, newer=True)
    office.talk("all are new")
    fleet.stop(2)
    there = fleet.status(1)["gateways"]["1"]["position"]  # an entry of the others has to come before the old one writes
    fleet.until(1, lambda found: found["gateways"]["1"]["position"] > there)
    old = fleet.hosts[2]
    fleet.gateways[2] = stopped = Running(old, old.words(*fleet.here(["serve", "berlin", "--host", fleet.address(2)])))
    fleet.stack.callback(stopped.stop, 9)
    fleet.until(1, lambda found: (found["gateways"]["2"] or {}).get("fault"))
    assert "newer program" in fleet.status(1)["gateways"]["2"]["fault"]
    fleet.stop(2)
    fleet.serve(2, newer=True)

    # What fails, before somebody who watches
    watch = Running(fleet.hosts[1], fleet.hosts[1].words(*printed("fleet status berlin"), "--watch"))
    fleet.stack.callback(watch.stop, 9)
    watch.wait_for("(leader)")
    fleet.kill_node(1)
    office.talk("without a node")
    fleet.until(1, lambda found: "engine-node" in {each["code"] for each in found["remarks"]})
    fleet.kill_node(2)
    fleet.until(1, lambda found: {"no-quorum", "engine-away"} & {each["code"] for each in found["remarks"]})
    watch.wait_for("no leader")
    for number in (1, 2):
        fleet.start_node(number)
    office.talk("the nodes are back")
    watch.wait_for("(leader)")
    for number in HOSTS:
        fleet.stop(number, 9)
    watch.wait_for("no gateway runs in berlin")
    for number in HOSTS:
        fleet.serve(number, newer=True)
    office.talk("all gateways were killed")
    watch.wait_for("1 (here)")
    assert watch.stop(2).code == 0

    # FAULT, and repair
    asyncio.run(lose_the_log(f"{fleet.address(1)}:{fleet.ports[0]}"))
    for number in HOSTS:
        fleet.until(number, lambda found: all(status and status["fault"] for status in found["gateways"].values()))
    found = fleet.status(1)
    numbers = {1: "1", 2: "2", 3: "5"}
    furthest = max(HOSTS, key=lambda number: found["gateways"][numbers[number]]["position"])
    for number in HOSTS:
        if found["gateways"][numbers[number]]["position"] < found["gateways"][numbers[furthest]]["position"]:
            fleet.hosts[number].refused(2, *fleet.here(printed("fleet repair berlin")))
    fleet.hosts[furthest].tessera(*fleet.here(printed("fleet repair berlin")))
    for number in HOSTS:
        fleet.stop(number)
    fleet.serve(furthest, newer=True)
    office.talk("another log")


def wait_for_equal_states(fleet: Fleet, numbers: tuple[int, ...]) -> None:
    """Until all are at one position: then they know the same."""
    found = fleet.until(
        numbers[0], lambda found: len({status["position"] for status in found["gateways"].values()}) == 1
    )
    assert len({status["state"] for status in found["gateways"].values()}) == 1


async def lose_the_log(node: str) -> None:
    """What an engine's operator may do."""
    import nats

    password = "not a good one"
    client = await nats.connect(f"nats://{node}", user="gateway", password=password)
    try:
        await client.request("$JS.API.STREAM.DELETE.berlin", b"", timeout=PATIENCE_SECONDS)
    finally:
        await client.close()


class Office:
    """Two members who write to each other."""

    def __init__(self, it: CommandLine) -> None:
        self._it = it
        for name in ("alice", "bob"):
            it.tessera("issuer", "invite", "issuer", name, "--relay", "berlin", "-o", f"{name}.invitation")
            it.tessera("join", f"{name}.invitation", "--home", name)
        it.tessera("contact", "add", "bob", "--home", "alice", "-o", "invite")
        it.tessera("contact", "add", "invite", "--home", "bob", "-o", "answer")
        it.tessera("contact", "add", "answer", "--home", "alice", "-o", "confirm")
        it.tessera("contact", "add", "confirm", "--home", "bob")

    def talk(self, text: str) -> None:
        """Alice writes, Bob reads it. Posts may wait for the next round, as after a stop of all gateways; if that took
        longer than two rounds, her program complains of the relay's clock until they go on."""
        words, end = ["send", "bob", text], time.monotonic() + PATIENCE_SECONDS
        while self._it.run(*self._it.words(*words, "--home", "alice"), code=(0, REFUSED, UNWELL)).code:
            assert time.monotonic() < end
            words = ["resend"]
            time.sleep(1)
        assert text in self._it.tessera("inbox", "--home", "bob", "--wait")
