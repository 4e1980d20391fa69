"""How the engine has to be set up: what is refused at the start, and that the line to write is said and helps."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera_host.errors import UsageError
from tessera_host.fleet import nats_configuration as configuration
from tessera_host.fleet.log import LogRefused
from tessera_host.fleet.nats_configuration import Address
from tests.fleet.conformance import fill
from tests.fleet.logs import RELAY, read
from tests.patience import PATIENCE_SECONDS
from tests.support.nats_nodes import NatsNodes

ROOT = Path(__file__).resolve().parents[2]

# -- without a node


def test_address_names_nodes_and_a_log() -> None:
    assert Address.read("nats://a,b:4333,10.0.0.3/berlin") == Address(("a:4222", "b:4333", "10.0.0.3:4222"), "berlin")


@pytest.mark.parametrize(
    "text",
    [
        "nats://a,b",
        "nats://a/",
        "nats:///berlin",
        "nats://a,,b/berlin",
        "nats://a/Berlin",
        "nats://a/b/c",
        "nats://a/b?c",
        "nats://a/" + "b" * 33,
        "nats://user:secret@a/berlin",
        "tls://a/berlin",
        "a/berlin",
    ],
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write nats://HOST,HOST,HOST/NAME"):
        Address.read(text)


def node(**changes: Any) -> dict[str, Any]:
    said = {"server_name": "n1", "version": "2.12.0", "max_payload": 1 << 20}
    return said | {"jetstream": {"config": {"sync_always": True}}} | changes


@pytest.mark.parametrize("version", ["2.12.0", "2.12.0-RC.1", "2.13.1", "3.0.0"])
def test_version_that_keeps_what_it_acknowledges_is_taken(version: str) -> None:
    assert configuration.require_node(node(version=version)) is None


@pytest.mark.parametrize("version", ["2.11.9", "2.9.10", "1.99.0", "", "unknown"])
def test_older_version_is_refused(version: str) -> None:
    with pytest.raises(LogRefused, match=re.escape(f"n1 is nats-server {version or '?'}; install 2.12 or later")):
        configuration.require_node(node(version=version))


def test_node_without_a_store_does_not_matter() -> None:
    assert configuration.require_node(node(jetstream={})) is None


STREAM = configuration.stream("berlin", "tessera.log.berlin", RELAY, 86_400, 3)


def test_stream_as_it_was_made_is_taken() -> None:
    said = {key: value for key, value in STREAM.items() if value is not False}  # the engine leaves those out
    added = {"metadata": STREAM["metadata"] | {"_nats.ver": "2.15.1"}, "num_replicas": 5, "max_age": 1}
    assert configuration.require_stream(STREAM, said | added) is None


@pytest.mark.parametrize(
    "change",
    [
        {"storage": "memory"},
        {"retention": "interest"},
        {"discard": "old"},
        {"no_ack": True},
        {"deny_delete": False},
        {"max_msgs": 1000},
        {"max_bytes": 1 << 30},
        {"duplicate_window": 1},
        {"subjects": ["tessera.>"]},
        {"num_replicas": 1},
        {"metadata": {}},
        {"mirror": {"name": "other"}},
        {"sources": [{"name": "other"}]},
        {"subject_transform": {"src": ">", "dest": "x.>"}},
        {"persist_mode": "async"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_stream_that_is_otherwise_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LogRefused) as refused:
        configuration.require_stream(STREAM, STREAM | change)
    assert "'berlin'" in refused.value.message
    assert refused.value.hint


# -- with one


@contextlib.contextmanager
def one_node(folder: Path, change: Callable[[str], str] = lambda text: text) -> Iterator[NatsNodes]:
    """Alone, without a cluster."""
    nodes = NatsNodes(folder, 1, lambda _, text: change(re.sub(r"(?s)cluster \{.*", "", text)))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


async def opened_at(nodes: NatsNodes, **settings: Any) -> Any:
    pytest.importorskip("nats", reason="no client of NATS here: pip install nats-py")
    from tests.fleet.nats import open_nats

    return await open_nats(list(nodes.address("berlin").nodes), "berlin", relay=RELAY, **({"replicas": 1} | settings))


def without(*starts: str) -> Callable[[str], str]:
    """The lines that begin so."""
    return lambda text: "".join(line for line in text.splitlines(True) if not line.strip().startswith(starts))


@pytest.mark.parametrize(
    ("change", "settings", "said", "lines"),
    [
        (without("sync_interval"), {}, "n0 acknowledges entries before its disk has them", ["sync_interval: always"]),
        (
            lambda text: text.replace("sync_interval: always", "sync_interval: 1s"),
            {},
            "n0 acknowledges entries before its disk has them",
            ["sync_interval: always"],
        ),
        (
            without("exports", "imports"),
            {},
            "does not tell the account TESSERA how its nodes are set up",
            [configuration.export_line("TESSERA"), configuration.import_line("SYS")],
        ),
        (
            lambda text: re.sub(r"(?s)accounts \{.*", "", text),
            {},
            "has no accounts",
            [configuration.export_line("TESSERA"), configuration.import_line("SYS"), "system_account: SYS"],
        ),
        (lambda text: text + "max_payload: 64KB\n", {}, "takes entries of 65536 bytes at most", ["max_payload: 1MB"]),
        (lambda text: text, {"replicas": 3}, "has fewer than 3 nodes", ["cluster {", "routes:"]),
        (lambda text: text, {"password": "another"}, "does not know this gateway's user", ["users: [{ user:"]),
    ],
    ids=["no sync", "sync later", "no export", "no accounts", "small", "alone", "password"],
)
async def test_engine_that_is_set_up_otherwise_is_refused_with_the_line_to_write(
    tmp_path: Path, change: Callable[[str], str], settings: dict[str, Any], said: str, lines: list[str]
) -> None:
    with one_node(tmp_path, change) as nodes:
        with pytest.raises(LogRefused, match=re.escape(said)) as refused:
            await opened_at(nodes, **settings)
        assert all(line in refused.value.hint for line in lines)


async def test_engine_that_is_set_up_so_is_taken_and_its_log_too_small_a_one_is_not(tmp_path: Path) -> None:
    with one_node(tmp_path) as nodes:
        log = await opened_at(nodes)
        await fill(log, 0, 1)
        await log.close()
        with pytest.raises(LogRefused, match="on 1 of its nodes; nats stream edit berlin --replicas 3"):
            await opened_at(nodes, replicas=3)


async def test_entries_leave_by_age_and_the_age_can_change(tmp_path: Path) -> None:
    with one_node(tmp_path) as nodes:
        log = await opened_at(nodes)
        await fill(log, 0, 2)
        await log.close()
        log = await opened_at(nodes, keep_seconds=1_000_000)
        found = await log._connection.api("STREAM.INFO.berlin", {})
        assert found["config"]["max_age"] == 10**15
        assert (await log._state()).first == 1
        await log._connection.api(
            "STREAM.UPDATE.berlin", found["config"] | {"max_age": 10**9, "duplicate_window": 10**9}
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await log._state()).first < 3:
                await asyncio.sleep(0.1)
        assert await log.last() == 2
        await fill(log, 2, 3)
        assert [entry.position for entry in await read(log, 1, 1)] == [3]
        await log.close()


def test_page_shows_the_configuration_that_is_written() -> None:
    hosts = tuple(f"10.0.0.{number}:6222" for number in (1, 2, 3))
    text = configuration.Node("n1", "10.0.0.1:4222", hosts[0], hosts, Path("/var/lib/nats"), "gateway", "…").text()
    assert f"```\n{text}```\n" in (ROOT / "docs" / "fleet-log.md").read_text()


def test_configuration_takes_no_second_line() -> None:
    for name, password in (("n1\nlisten: 1", "x"), ("n1", "x\x00")):
        with pytest.raises(ValueError, match="printable"):
            configuration.Node(name, "h:1", "h:2", (), Path("/"), "u", password).text()
