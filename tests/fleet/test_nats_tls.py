"""Nodes of the engine that speak TLS, with gateways and with each other: what is taken, what is refused, and that a
refusal says what to do."""

import asyncio
import contextlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nats", reason="no client of NATS here: pip install nats-py")

from tessera_host.errors import InvalidInput
from tessera_host.fleet import engines
from tessera_host.fleet.log import Log, LogError, LogRefused, LogUnavailable, NobodyAnswers
from tessera_host.fleet.nats_configuration import CERTIFICATE, KEY, NODES, SIGNERS
from tessera_host.fleet.nats_connection import Connection
from tessera_host.fleet.storage import FleetFile
from tests.fleet.conformance import fill
from tests.fleet.logs import RELAY, read_all
from tests.fleet.nats import open_nats, open_when_led
from tests.patience import PATIENCE_SECONDS
from tests.support.engine_certificates import Authority
from tests.support.fleet_on_disk import GatewayProcess, grown, tessera
from tests.support.nats_nodes import PASSWORD, USER, NatsNodes
from tests.support.ports import free_ports
from tests.support.server_on_disk import make_server

ROOT = Path(__file__).resolve().parents[2]
HOSTS = [f"127.0.0.{2 + number}" for number in range(NODES)]
HOST = "127.0.0.2"


def context(ca: Path) -> Any:
    return engines._tls(FleetFile(1, "nats://a/b", ca=str(ca)))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[NatsNodes]:
    """Three, at addresses of their own."""
    folder = tmp_path_factory.mktemp("nodes")
    tls = [authority.node(folder / f"tls{number}", host) for number, host in enumerate(HOSTS)]
    made = NatsNodes(folder, hosts=HOSTS, tls=tls)
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def led(nodes: NatsNodes, name: str, ca: Path) -> Log:
    return await open_when_led(list(nodes.address(name).nodes), name, RELAY, tls=context(ca))


async def test_log_is_kept_by_nodes_that_speak_tls_and_survives_one_of_them(
    nodes: NatsNodes, authority: Authority
) -> None:
    log = await led(nodes, "kept", authority.file)
    try:
        await fill(log, 0, 2)
        nodes.kill(0)  # the one that the gateway is connected to
        await fill(log, 2, 4)
        nodes.start(0)
        assert len(await read_all(log)) == 4
    finally:
        await log.close()


@pytest.mark.long
def test_gateways_are_founded_join_and_serve_over_tls(nodes: NatsNodes, authority: Authority, tmp_path: Path) -> None:
    """As IT types it, with --engine-ca. Daily: the log of one gateway, above."""
    first = free_ports(2)
    gateways = [
        GatewayProcess(number, tmp_path / f"gateway-{number}", f"127.0.0.{10 + number}", first + number - 1)
        for number in (1, 2)
    ]
    make_server(gateways[0].directory, first)
    url = f"nats://{','.join(nodes.address('berlin').nodes)}/berlin"
    try:
        asyncio.run(grown(gateways, [url, url], "--engine-ca", authority.file))
        assert FleetFile.read(gateways[1].directory).ca == str(authority.file)
        said = tessera("fleet", "status", gateways[1].directory)
        assert "1 " in said and "2 (here)" in said and "does not answer" not in said
    finally:
        for gateway in gateways:
            gateway.kill()


async def test_certificates_made_as_the_page_prints_are_taken(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "fleet-operation.md").read_text()
    printed = re.findall(r"^openssl req (?:.*\\\n)*.*$", page, re.MULTILINE)
    assert len(printed) == 2
    for line in printed:
        words = shlex.split(line.replace("10.0.0.1", HOST).replace("\\\n", " "))
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    for made, name in (("n1.crt", CERTIFICATE), ("n1.key", KEY)):
        (tmp_path / made).rename(tmp_path / name)
    node = alone(tmp_path, tmp_path)
    connection = Connection(node.address("berlin").nodes, USER, PASSWORD, context(tmp_path / SIGNERS), lambda: None)
    try:
        node.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(LogUnavailable):
                    assert (await connection.client()).is_connected
                    break
    finally:
        await connection.close()
        node.stop()


# -- what is refused


def alone(folder: Path, tls: Path | None, change: Callable[[int, str], str] = lambda _, text: text) -> NatsNodes:
    return NatsNodes(folder, count=1, change=change, hosts=[HOST], tls=[tls] if tls else [])


async def refused_by(nodes: NatsNodes, ca: Path | None) -> LogRefused:
    """As soon as a node answers in time."""
    tls = context(ca) if ca else None
    with pytest.raises(LogRefused) as refused:  # noqa: PT012
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(LogUnavailable):
                    await open_nats(list(nodes.address("berlin").nodes), "berlin", RELAY, replicas=1, tls=tls)
    return refused.value


async def test_gateway_that_is_told_nothing_of_tls_hears_nothing_and_says_what_to_tell_it(nodes: NatsNodes) -> None:
    with pytest.raises(NobodyAnswers) as away:
        await open_nats(list(nodes.address("berlin").nodes)[:1], "berlin", RELAY)
    assert "if they speak TLS, say who signed them: --engine-ca FILE" in away.value.hint


async def test_node_that_asks_for_tls_only_then_is_told_from_one_that_is_away(
    authority: Authority, tmp_path: Path
) -> None:
    """As a configuration of somebody's own may have it."""
    tls = authority.node(tmp_path / "tls", HOST)
    node = alone(tmp_path, tls, lambda _, text: re.sub("handshake_first.*", "", text))
    try:
        node.start()
        refusal = await refused_by(node, None)
        assert "speaks TLS, and this gateway was not told so" in refusal.message and "--engine-ca FILE" in refusal.hint
        refusal = await refused_by(node, authority.file)
        assert "does not speak TLS as --engine-ca asks for" in refusal.message
        assert "handshake_first: true" in refusal.hint
    finally:
        node.stop()


async def test_certificate_of_another_authority_is_refused(nodes: NatsNodes, tmp_path: Path) -> None:
    refusal = await refused_by(nodes, Authority(tmp_path, "another").file)
    assert "was not signed by an authority in --engine-ca" in refusal.message and "--engine-ca FILE" in refusal.hint


@pytest.mark.parametrize(
    ("make", "said", "hint"),
    [
        (lambda by, folder: by.node(folder, HOST, -30, -1), "has expired", "put a new one in its place"),
        (lambda by, folder: by.node(folder, HOST, 1, 30), "is not valid yet", "compare the clocks"),
        (lambda by, folder: by.node(folder, "127.0.0.9"), "is for another address", "subjectAltName"),
        (lambda by, folder: None, "does not speak TLS as --engine-ca asks for", "handshake_first: true"),
    ],
    ids=["expired", "not yet", "address", "plain node"],
)
async def test_node_with_a_certificate_that_does_not_do_is_refused_with_what_to_do(
    authority: Authority, tmp_path: Path, make: Callable[[Authority, Path], Path | None], said: str, hint: str
) -> None:
    node = alone(tmp_path, make(authority, tmp_path / "tls"))
    try:
        node.start()
        refusal = await refused_by(node, authority.file)
        assert said in refusal.message and hint in refusal.hint
    finally:
        node.stop()


async def test_password_is_not_sent_where_somebody_took_tls_out(authority: Authority) -> None:
    """Between a gateway and its node stands somebody who answers as a node without TLS would."""
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"n","version":"2.12.0","max_payload":1048576,"auth_required":true}\r\n')
        while data := await reader.read(1 << 16):
            heard.extend(data)
        writer.close()

    async with await asyncio.start_server(pretend, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LogError):
            await open_nats([f"{HOST}:{port}"], "berlin", RELAY, tls=context(authority.file))
    assert heard and PASSWORD.encode() not in heard and b"CONNECT" not in heard


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"no certificate", "holds no certificate")])
def test_file_of_certificates_that_is_none_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_bytes(content)
    with pytest.raises(InvalidInput, match=said):
        context(tmp_path / "ca.crt")
