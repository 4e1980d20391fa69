"""An office where only HTTP passes: relay and issuer's service behind Debian's nginx by docs/nginx.conf, members who
come through Debian's SOCKS server, a relay at an IPv6 address, and strangers who send whatever they like.

Both programs are what `make setup` unpacked (TESSERA_PROXIES names the folder), or this computer's own.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tessera_host.cli.demo import free_port
from tests.patience import PATIENCE_SECONDS
from tests.support import correspondence
from tests.support.certificate import make_certificate
from tests.support.command_line import TESSERA, CommandLine, Running, running
from tests.support.office_on_disk import PASSPHRASE
from tests.support.organisation import Listed, Organisation, new_issuer, planned
from tests.support.raw_websocket import BINARY, CONT, PING, REQUEST, frame

ROOT = Path(__file__).resolve().parents[2]
UNREACHABLE = 6
HUNDRED_MB = 100_000_000
MEMORY_KB = 8 << 10  # what a server may take for all that strangers send


def program(name: str) -> str:
    """Skips where there is none."""
    unpacked = Path(os.environ.get("TESSERA_PROXIES", "/nowhere"))
    for path in (unpacked / "usr/sbin" / name, unpacked / "usr/bin" / name):
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not there: `make setup` unpacks Debian's, or apt-get install {name}")
    return found


class Office:
    """`berlin` is told as wss://localhost/berlin, `munich` as [::1]:PORT, the service as wss://localhost/issuer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = CommandLine(folder, PASSPHRASE)
        self.servers: dict[str, Running] = {}
        self.https, self.berlin, self.issuer, self.munich = (free_port() for _ in range(4))
        # Rounds are longer than what clocks seem to differ by on a busy computer.
        rounds = {"round_seconds": 6, "epoch_rounds": 36_000, "retention_epochs": 2}
        made = planned(**rounds, tokens_per_epoch=3, posts_per_token=16)
        listed = (Listed("berlin", "wss://localhost/berlin", self.https), Listed("munich", "::1", self.munich))
        issuer = new_issuer(folder, made, *listed, passphrase=PASSPHRASE, epochs=400)
        issuer.set_service("wss://localhost/issuer", self.https)
        for entry in issuer.relays:  # the first was made before the second was listed
            (folder / entry["name"] / "parameters").write_bytes(issuer.parameters.copy_for(entry["id"]))
        self.certificate, self.key = make_certificate(folder, "DNS:localhost")
        self.command.environment["SSL_CERT_FILE"] = str(self.certificate)
        self.organisation = Organisation(folder, issuer, passphrase=PASSPHRASE)
        self.pair = self.organisation.two_who_met("alice", "bob")
        issuer.close()

    @contextmanager
    def serving(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, words in (
                ("berlin", ("serve", "--storage", "berlin", "--websocket", self.berlin)),
                ("munich", ("serve", "--storage", "munich")),
                ("issuer", ("issuer", "serve", "issuer", "--websocket", self.issuer)),
            ):
                until = "Stop it with" if name == "issuer" else "serving"
                self.servers[name] = stack.enter_context(running(self.command, TESSERA, *words, until=until))
            stack.enter_context(nginx(self.folder, self.https, self.berlin, self.issuer))
            yield


@contextmanager
def nginx(folder: Path, https: int, relay: int, issuer: int) -> Iterator[None]:
    """docs/nginx.conf as it stands, but for the ports and the certificate's files, which are in the folder."""
    text = (ROOT / "docs" / "nginx.conf").read_text()
    for stands, here in (
        ("443", https),
        ("8180", relay),
        ("8181", issuer),
        ("relay.example.org;", "localhost;"),
        ("/etc/letsencrypt/live/relay.example.org", folder),
    ):
        assert str(stands) in text
        text = text.replace(str(stands), str(here))
    (folder / "site.conf").write_text(text)
    places = " ".join(f"{name}_temp_path t;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"daemon off; master_process off; pid nginx.pid; events {{}} http {{ {places} include site.conf; }}"
    (folder / "nginx.conf").write_text(main)
    with started([program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"], https):
        yield


@contextmanager
def started(words: list[str], port: int, host: str = "127.0.0.1") -> Iterator["subprocess.Popen[str]"]:
    """A server, once it accepts connections."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while True:
            assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
            with contextlib.suppress(OSError), socket.create_connection((host, port)):
                break
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        if process.stderr and not process.stderr.closed:
            process.stderr.close()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    program("nginx")
    made = Office(tmp_path_factory.mktemp("office"))
    with made.serving():
        yield made
    made.organisation.close()


STATUS = ("relay", "status", "--federation", "issuer/federation.card")
REMARKED = (0, 9)  # nobody comes who bears the clock of a relay out that a busy computer starts late


async def test_members_who_have_only_http_talk(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.certificate))
    alice, bob = office.pair
    await correspondence.send(alice, "bob", "through nginx")
    await asyncio.sleep(bob.seconds_to_next_round() + 0.2)
    assert [message.text for message in (await correspondence.fetch(bob)).messages] == ["through nginx"]


def test_everything_goes_through_socks(office: Office) -> None:
    """The issuer's service, a relay behind wss://, a relay at an IPv6 address."""
    port = free_port()
    url = f"socks5://127.0.0.1:{port}"
    with started([program("microsocks"), "-i", "127.0.0.1", "-p", str(port)], port) as socks:
        office.command.tessera("issuer", "invite", "issuer", "carol", "--relay", "berlin", "-o", "carol.invitation")
        said = office.command.tessera("join", "carol.invitation", "--home", "carol", TESSERA_PROXY=url)
        assert "You can talk now." in said
        office.command.tessera("--proxy", url, "relay", "time", "munich", "--issuer", "issuer")
        said = office.command.tessera("--proxy", url, *STATUS, code=REMARKED)
        assert f"wss://localhost:{office.https}/berlin" in said and f"[::1]:{office.munich}" in said
        socks.terminate()
        assert socks.stderr is not None
        went = re.findall(r"connected to (\S+):(\d+)", socks.stderr.read())
    ports = [int(port) for _, port in went]
    assert sorted(ports) == sorted([office.https, office.munich] * 2), "joining; the time; both relays' status"
    error = office.command.refused(UNREACHABLE, "--proxy", url, "relay", "time", "berlin", "--issuer", "issuer")
    assert f"berlin through the proxy {url} (--proxy) cannot be reached: the proxy does not answer" in error
    settings = office.folder / "config.toml"
    settings.write_text(f"proxy = '{url}'\n")
    error = office.command.refused(UNREACHABLE, "renew", "--home", "carol", TESSERA_CONFIG=str(settings))
    assert f"the issuer's service at wss://localhost:{office.https}/issuer through the proxy {url}" in error
    assert "check the proxy that the setting 'proxy' names" in error
    assert "berlin" in office.command.tessera("--proxy", "none", *STATUS, code=REMARKED, TESSERA_CONFIG=str(settings))


# -- strangers


def upgraded(port: int) -> socket.socket:
    """A connection to the relay itself, as if nothing stood before it; the relay has said its nonce."""
    found = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    found.sendall(f"{REQUEST}\r\n".encode())
    head = found.makefile("rb")
    while head.readline() != b"\r\n":
        pass
    assert head.read(18)[:2] == bytes([0x80 | BINARY, 16])
    return found


def pushed(connection: socket.socket, data: bytes) -> int:
    """How many bytes went before the other end put an end to it."""
    sent = 0
    with connection, contextlib.suppress(ConnectionError):
        while True:
            sent += connection.send(data)
    return sent


def memory_kb(process: Running) -> int:
    """The most that it ever had."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


GARBAGE = bytes(range(256)) * 4096
STRANGERS: dict[str, tuple[bytes, bytes]] = {  # what comes first, and what comes again and again
    "garbage": (b"", GARBAGE),
    "headers": (REQUEST.encode(), b"A: b\r\n" * 100_000),
    "a header": (REQUEST.encode(), b"A: " + b"b" * 1_000_000),
    "a message without an end": (b"upgraded", frame(BINARY, b"x", fin=False) + GARBAGE),
    "messages": (b"upgraded", frame(BINARY, bytes(2000)) * 500),
    "fragments of nothing": (b"upgraded", frame(BINARY, b"x", fin=False) + frame(CONT, fin=False) * 100_000),
    "pings": (b"upgraded", frame(PING, bytes(125)) * 5_000),
}


def test_a_hundred_megabytes_of_whatever_take_no_memory(office: Office) -> None:
    relay = office.servers["berlin"]
    pushed(upgraded(office.berlin), GARBAGE)  # it has all of its code now
    before, sent = memory_kb(relay), 0
    while sent < HUNDRED_MB:
        for first, again in STRANGERS.values():
            if first == b"upgraded":
                connection = upgraded(office.berlin)
            else:
                connection = socket.create_connection(("127.0.0.1", office.berlin), timeout=PATIENCE_SECONDS)
                connection.sendall(first)
            sent += pushed(connection, again)
    assert memory_kb(relay) - before < MEMORY_KB
    assert "berlin" in office.command.tessera(*STATUS, code=REMARKED)


def test_servers_say_nothing_of_who_came(office: Office) -> None:
    """The last test here: what they said when they began is all, whatever came since."""
    for server in office.servers.values():
        said = server.stop(signal.SIGTERM)
        assert (said.code, said.out, said.error) == (0, "", "")
