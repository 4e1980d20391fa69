"""Which proxy a connection takes, and the way through it; HTTP's by a proxy of this file, SOCKS5's in tests/system."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tessera_host import cli
from tessera_host.cli.demo import free_port
from tessera_host.errors import Unreachable, UsageError
from tessera_host.protocol import dialling, proxies
from tessera_host.protocol.proxies import Proxy
from tessera_host.protocol.relay_connection import RelayConnection
from tests.host.test_websocket import serving
from tests.patience import PATIENCE_SECONDS

KEY, ACCESS_KEY = b"\2" * 33, bytes(32)


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no setting names a proxy."""
    for name in (*proxies.USUAL, proxies.ENVIRONMENT, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings(tmp_path, monkeypatch, "")


def settings(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "config.toml").write_text(text)
    monkeypatch.setenv("TESSERA_CONFIG", str(folder / "config.toml"))


def name_of(host: str = "relay.example.org") -> str | None:
    found = proxies.chosen(host)
    return found and found.host


# -- which one


def test_nobody_names_one() -> None:
    assert name_of() is None


def test_the_option_comes_first_and_the_usual_variables_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://all.example")
    assert name_of() == "all.example"
    monkeypatch.setenv("https_proxy", "http://https.example:3128")
    assert name_of() == "https.example"
    settings(tmp_path, monkeypatch, "proxy = 'socks5://settings.example'")
    assert name_of() == "settings.example"
    monkeypatch.setenv("TESSERA_PROXY", "socks5://own.example")
    assert name_of() == "own.example"
    with proxies.using("http://option.example"):
        assert name_of() == "option.example"
    with proxies.using("none"):
        assert name_of() is None
    assert name_of() == "own.example"


@pytest.mark.parametrize("name", proxies.USUAL)
def test_a_usual_variable_is_not_meant_for_this_computer_or_for_exceptions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example, 10.0.0.7")
    for host in ("localhost", "127.0.0.1", "::1", "relay.inside.example", "10.0.0.7"):
        assert name_of(host) is None, host
    assert name_of("relay.example.org") == "proxy.example"


def test_what_is_said_for_tessera_alone_is_meant_for_every_host() -> None:
    with proxies.using("http://option.example"):
        assert name_of("127.0.0.1") == "option.example"


def test_the_option_stands_before_the_command_and_counts_for_it_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inbox", "--proxy", "socks5://proxy.example"]) == 2
    assert "write it before the command: tessera --proxy URL COMMAND" in capsys.readouterr().err
    assert cli.run(["--proxy", "ftp://proxy.example", "exit-codes"]) == 2
    assert "--proxy does not name a proxy that tessera can use" in capsys.readouterr().err
    assert cli.run(["--proxy", "socks5://proxy.example", "exit-codes"]) == 0
    assert name_of() is None


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "user", "password"),
    [
        ("proxy.example:3128", "http", "proxy.example", 3128, None, None),
        ("http://proxy.example", "http", "proxy.example", 8080, None, None),
        ("http://ann:s%40cret@proxy.example:3128/", "http", "proxy.example", 3128, "ann", "s@cret"),
        ("socks5://[::1]:1081", "socks5", "::1", 1081, None, None),
        ("socks5h://proxy.example", "socks5h", "proxy.example", 1080, None, None),
    ],
)
def test_how_a_proxy_is_written(
    text: str, scheme: str, host: str, port: int, user: str | None, password: str | None
) -> None:
    found = Proxy.read(text, "--proxy")
    assert found == Proxy(scheme, host, port, "--proxy", user, password)
    assert "cret" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    "text", ["ftp://a", "https://a:3128", "socks4://a", "http://", "http://a:0", "http://a/b", "x y"]
)
def test_what_is_no_proxy_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="--proxy does not name a proxy that tessera can use") as error:
        Proxy.read(text, "--proxy")
    assert text not in error.value.message


# -- through HTTP's


class HttpProxy:
    """CONNECT; so many bytes of what the host says first come behind the answer, in one piece with it."""

    def __init__(self, first_bytes: int = 0, answer: bytes = b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\n") -> None:
        self.first_bytes = first_bytes
        self.answer = answer
        self.asked: list[str] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        if b" 200 " not in self.answer:
            writer.write(self.answer)
            writer.close()
            return
        host, _, port = head.split()[1].rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.write(self.answer + await there_reader.readexactly(self.first_bytes))
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    @asynccontextmanager
    async def listening(self, options: str = "") -> AsyncIterator[None]:
        """Connections of this program go through it."""
        async with await asyncio.start_server(self.connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with proxies.using(f"http://{options}127.0.0.1:{port}"):
                yield


async def say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.write(await reader.read(4))
    writer.close()


async def test_nothing_that_a_relay_says_first_is_lost() -> None:
    proxy = HttpProxy(first_bytes=5)
    async with await asyncio.start_server(say_hello, "::1", 0) as server, proxy.listening("ann:s%40cret@"):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await dialling.way("::1", port).dial()
        writer.write(b"unit")
        assert await reader.readexactly(9) == b"hellounit"
        writer.close()
    lines = proxy.asked[0].split("\r\n")
    credentials = base64.b64encode(b"ann:s@cret").decode()
    assert lines[0] == f"CONNECT [::1]:{port} HTTP/1.1" and f"Proxy-Authorization: Basic {credentials}" in lines


async def test_a_websocket_goes_through_it_too() -> None:
    proxy = HttpProxy()
    async with serving("::1") as (_, port), proxy.listening():
        reader, writer = await dialling.way("ws://[::1]/berlin", port).dial()
        assert await reader.readexactly(5) == b"hello"
        writer.close()
    assert proxy.asked[0].startswith(f"CONNECT [::1]:{port} ")


# -- what is said of one that is of no use


async def refusal(host: str = "relay.example.org") -> Unreachable:
    with pytest.raises(Unreachable) as error:
        await RelayConnection.open(host, 8100, KEY, ACCESS_KEY, PATIENCE_SECONDS)
    return error.value


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy answers 403 Forbidden"),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answers 407 Proxy Authentication"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the proxy does not speak HTTP"),
        (b"\5\0", "the proxy does not speak HTTP"),
        (b"HTTP/1.1 403 " + b"x" * 100_000, "the proxy does not speak HTTP"),
    ],
)
async def test_a_refusal_names_the_proxy_and_what_it_said(answer: bytes, said: str) -> None:
    async with HttpProxy(answer=answer).listening("ann:s%40cret@"):
        error = await refusal()
    assert error.message.startswith("the relay at relay.example.org:8100 through the proxy http://127.0.0.1:")
    assert said in error.message and "--proxy" in error.hint and "cret" not in str(error)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_at_which_nothing_listens_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
    error = await refusal()
    assert f"through the proxy {scheme}://127.0.0.1:{port} (ALL_PROXY)" in error.message
    assert "the proxy does not answer: Connection refused" in error.message
    assert "that ALL_PROXY names" in error.hint


async def test_what_is_no_socks_proxy_is_said_so() -> None:
    async with await asyncio.start_server(say_hello, "127.0.0.1", 0) as server:
        with proxies.using(f"socks5://127.0.0.1:{server.sockets[0].getsockname()[1]}"):
            assert "the proxy refuses the connection, or does not speak SOCKS5" in (await refusal()).message
