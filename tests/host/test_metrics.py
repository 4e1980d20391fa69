"""What may be watched of a relay on a server: figures that tell nothing of who writes, health, and a log without
addresses. On the core's small office, whose flash is in an SQLite database here."""

import asyncio
import io
import json
import logging
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import office as core_office
from office import KEYRING_SECTORS, RELAY_KEY, ROUND_SECONDS, Connection, Office, Token, records
from tessera import wire
from tessera.errors import BadFrame, Refused
from tessera_host.cli import serving
from tessera_host.cli.demo import free_port
from tessera_host.errors import Unreachable
from tessera_host.relay import health, metrics
from tessera_host.relay import server_relay as server_relay_module
from tessera_host.relay.health import Health
from tessera_host.relay.log import Log
from tessera_host.relay.metrics import RelayMetrics, Watch
from tessera_host.relay.sqlite_device import Database
from tessera_host.relay.watched_relay import WatchedRelay

ROOT = Path(__file__).resolve().parents[2]
# What tells an office where nobody writes from a busy one, and comes with --metrics-load only.
LOAD = {"tessera_commit_seconds", "tessera_storage_bytes", "process_"}


class Server:
    """The core's office on a server: what a ServerRelay has of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir(exist_ok=True)
        self.served: Any = None  # by the core's Server
        self.database = Database(folder / "storage.sqlite", RELAY_KEY)
        names = {KEYRING_SECTORS: "keys"}

        def device(sectors: int) -> Any:
            return self.database.region(names.get(sectors, "ring"), sectors)

        monkeypatch.setattr(core_office, "RamDevice", device)
        monkeypatch.setattr(core_office, "Relay", WatchedRelay)
        with self.database.transaction():
            self.office = Office()
        for module in (health, server_relay_module):
            monkeypatch.setattr(module, "unix_ms", lambda: self.office.unix_ms)

    @property
    def relay(self) -> Any:
        return self.office.relay

    def figures(self, load: bool = False) -> dict[str, float]:
        """By name and labels."""
        return parsed(RelayMetrics(self.gateway, load).text())

    @property
    def gateway(self) -> Any:
        return SimpleNamespace(relay=self.relay, database=self.database, server=self.served)


def parsed(text: bytes) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path, monkeypatch)
    yield made
    made.database.close()


# -- figures


def test_an_idle_office_and_a_busy_one_show_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sessions and frames, once VOID and once POST: as agents have them. What differs comes with
    --metrics-load only. What is sent to readers is what is published, which is compared on its own."""
    public, load, published = [], [], []
    for busy in (False, True):
        server = Server(tmp_path / str(busy), monkeypatch)
        figures = RelayMetrics(server.gateway, load=True)
        public.append(RelayMetrics(server.gateway))
        published.append(live_three_rounds(server.office, busy))
        public[-1] = parsed(public[-1].text())
        load.append(parsed(figures.text()))
        server.database.close()
    sent = [each.pop("tessera_sent_bytes_total{}") for each in public]
    assert public[0] == public[1]
    assert sent[0] - published[0] == sent[1] - published[1]
    assert sum(published) > 0
    differ = {name for name in load[0] if load[0][name] != load[1][name]} - {"tessera_sent_bytes_total{}"}
    assert load[1]["tessera_commit_seconds_count{}"] > load[0]["tessera_commit_seconds_count{}"]
    assert all(name.startswith(tuple(LOAD)) for name in differ)
    assert not any(name.startswith(tuple(LOAD)) for name in public[0])


def live_three_rounds(office: Office, busy: bool) -> int:
    """The bytes that readers were sent."""
    posted = iter(records(12))
    read = 0
    for _ in range(3):
        for number in (0, 1):
            member = office.member(number)
            for _ in range(2):
                if busy:
                    member.post(next(posted))
                else:
                    assert member.call(wire.void())[0] == wire.VOIDED
            office.relay.leave(member.session)
        office.sleep()
        reader = Connection(office.relay)
        count = len(reader.cell(office.relay.open_round - 1))
        read += wire.CELL_FRAME_BYTES * (max(1, -(-count // wire.RECORDS_PER_FRAME)) + 1)  # and END
        office.relay.leave(reader.session)
    return read


def test_figures_say_how_the_relay_does(server: Server) -> None:
    office = server.office
    first = server.figures()
    office.sleep(2)
    member, reader = office.member(), Connection(office.relay)
    reader.cell(office.relay.open_round - 1)
    Connection(office.relay, resumption=member.secret)
    operator = Connection(office.relay)
    operator.operate()
    found = server.figures()
    newest = office.relay.parameters.newest
    wanted = {
        "tessera_round{}": office.relay.open_round,
        "tessera_epoch{}": office.relay.epoch,
        "tessera_first_round{}": 0,
        "tessera_schedule_epochs_left{}": newest.end_epoch,
        f"tessera_set_serial{{digest={newest.digest.hex()},set=newest}}": 1,
        f"tessera_set_serial{{digest={newest.digest.hex()},set=in_force}}": 1,
        "tessera_round_seconds{}": ROUND_SECONDS,
        "tessera_uptime_seconds{}": 2 * ROUND_SECONDS,
        "tessera_clock_known{}": 1,
        "tessera_clock_provisional{}": 0,
        "tessera_clock_off_seconds{}": 0,
        "tessera_starts{}": 1,
        "tessera_handshakes_total{kind=full}": 3,
        "tessera_handshakes_total{kind=resumed}": 1,
        "tessera_connections_total{}": 4,
        "tessera_sessions{state=greeted}": 0,
        "tessera_sessions{state=reader}": 1,
        "tessera_sessions{state=admitted}": 2,
        "tessera_sessions{state=operator}": 1,
        "tessera_storage_faults_total{}": 0,
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert found["tessera_sealed_rounds_total{}"] - first["tessera_sealed_rounds_total{}"] == 2


def test_bytes_sent_are_those_that_clients_got(server: Server) -> None:
    office = server.office
    before = server.figures()["tessera_sent_bytes_total{}"]
    member = office.member()
    member.post(records(1)[0])
    member.fetch(99, 100)  # END
    with pytest.raises(Refused):
        member.fetch(0, 1, reading_key=bytes(32))
    greeting, answers, cells = 16 + 65, 2 * wire.CLIENT_FRAME_BYTES, 2 * wire.CELL_FRAME_BYTES
    assert server.figures()["tessera_sent_bytes_total{}"] - before == greeting + answers + cells


def test_refusals_are_counted_up_to_auth_and_no_further(server: Server) -> None:
    """QUOTA and BUSY of who posts tell how much is posted."""
    office = server.office
    with pytest.raises(BadFrame):
        Connection(office.relay, access_key=bytes(32))
    stranger = Connection(office.relay)
    with pytest.raises(Refused, match="NOT_ADMITTED"):
        stranger.post(records(1)[0])
    member = office.member()
    kept = records(17)
    for record in kept[:16]:
        member.post(record)
    with pytest.raises(Refused, match="QUOTA"):
        member.post(kept[16])
    found = {name: value for name, value in server.figures().items() if name.startswith("tessera_refusals_total")}
    assert found == {"tessera_refusals_total{code=BAD_FRAME}": 1, "tessera_refusals_total{code=NOT_ADMITTED}": 1}
    server.served = SimpleNamespace(turned_away=3)  # who found no place
    assert server.figures()["tessera_refusals_total{code=BUSY}"] == 3


def test_the_dashboard_asks_for_figures_that_there_are(server: Server) -> None:
    server.office.member()
    with pytest.raises(BadFrame):
        Connection(server.office.relay, access_key=bytes(32))
    there = {name.partition("{")[0] for name in server.figures(load=True)}
    dashboard = json.loads((ROOT / "tools" / "server" / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    names = set(re.findall(r"\b(?:tessera|process)_\w+", " ".join(asked)))
    assert len(names) > 10
    assert names <= there
    rules = (ROOT / "tools" / "server" / "alerts.yml").read_text()
    assert set(re.findall(r"\b(?:tessera|process)_\w+", rules)) <= there


# -- health


def test_a_failing_storage_is_no_health_and_nothing_acknowledged_is_lost(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, health = server.office, Health(server.gateway)
    member = office.member()
    kept = records(3)
    round_ = member.post(kept[0])
    assert health.complaints() == []
    server.database._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(OSError, match="readonly"):
        member.post(kept[1])
    assert health.complaints() == ["the storage fails"]
    assert server.figures()["tessera_storage_faults_total{}"] == 1
    server.database._connection.execute("PRAGMA query_only=OFF")
    office.boot()
    office.sleep()
    batch = Connection(office.relay).cell(round_)
    assert kept[0] in batch and kept[1] not in batch


@pytest.mark.parametrize("hour", [3600, -3600])
def test_a_clock_that_is_stepped_by_an_hour_is_told_once_and_nothing_is_lost(
    server: Server, hour: int, capsys: pytest.CaptureFixture[str]
) -> None:
    office, health = server.office, Health(server.gateway)
    record = records(1)[0]
    round_ = office.member().post(record)
    office.sleep()
    opened = office.relay.open_round
    office.unix_ms += 1000 * hour
    look = serving.looked_at(server.gateway, Log(as_json=False))
    for _ in range(3):
        office.relay.clock.correct(look())
    which = "ahead of" if hour > 0 else "behind"
    said = capsys.readouterr().err
    assert said.count("warning: this computer's clock is") == 1 and which in said and "start the relay again" in said
    assert health.complaints() == ["this computer's clock and the relay's do not agree"]
    assert abs(server.figures()["tessera_clock_off_seconds{}"]) > 3600 - 2 * ROUND_SECONDS
    assert opened <= office.relay.open_round <= opened + 1
    assert record in Connection(office.relay).cell(round_)
    office.boot()  # with the wrong clock: it is not believed, and put right nothing has come of it
    figures = server.figures()
    believed = figures["tessera_clock_known{}"] and not figures["tessera_clock_provisional{}"]
    assert not believed
    office.unix_ms -= 1000 * hour
    office.relay.clock.correct(office.unix_ms)
    office.turn()
    assert opened <= office.relay.open_round <= opened + 1
    assert Health(server.gateway).complaints() == []
    assert record in Connection(office.relay).cell(round_)


def test_a_relay_without_a_clock_is_not_well(server: Server) -> None:
    server.office.boot(clock_known=False)
    assert Health(server.gateway).complaints() == ["the relay has no clock"]
    figures = server.figures()
    assert figures["tessera_clock_known{}"] == 0 and "tessera_round{}" not in figures


# -- over HTTP


Get = Callable[..., Any]


@pytest.fixture
async def get(server: Server) -> Any:
    """(status, content type, body) of a path."""
    port = free_port()

    def asked(path: str, method: str = "GET") -> tuple[int, str, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()

    async def got(path: str, method: str = "GET") -> tuple[int, str, bytes]:
        return await asyncio.to_thread(asked, path, method)

    got.port = port  # type: ignore[attr-defined]
    async with Watch(server.gateway, "127.0.0.1", port):
        yield got


async def test_prometheus_and_a_health_check_are_answered(server: Server, get: Get) -> None:
    status, kind, body = await get("/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert parsed(body)["tessera_round{}"] == server.relay.open_round
    assert (await get("/metrics", "HEAD"))[2] == b""
    assert await get("/healthz") == (200, "application/json", b'{"status": "ok", "complaints": []}\n')
    server.office.unix_ms += 3_600_000
    status, _, body = await get("/healthz")
    assert status == 503 and json.loads(body)["complaints"] == ["this computer's clock and the relay's do not agree"]


async def test_what_is_not_there_and_what_is_no_request_is_refused(get: Get) -> None:
    assert (await get("/"))[0] == 404
    assert (await get("/metrics", "POST"))[0] == 405
    for garbage in (b"\x00" * 1000, b"GET\r\n\r\n", b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", get.port)  # type: ignore[attr-defined]
        writer.write(garbage)
        assert b"tessera_" not in await reader.read()
        writer.close()
    assert (await get("/healthz"))[0] == 200


async def test_whoever_opens_connections_and_says_nothing_keeps_nobody_out(
    get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics._Handler, "timeout", 0.05)
    silent = [await asyncio.open_connection("127.0.0.1", get.port) for _ in range(4)]  # type: ignore[attr-defined]
    assert (await get("/healthz"))[0] == 200
    for _, writer in silent:
        writer.close()


async def test_a_loop_that_stands_still_is_no_health(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "ANSWER_SECONDS", 0.01)
    watch = Watch(server.gateway, "127.0.0.1", free_port())
    stands = watch._loop = asyncio.new_event_loop()
    status, _, body = await asyncio.to_thread(watch._answer, "GET", "/healthz")
    assert status.startswith("503") and b"does not answer" in body
    await asyncio.to_thread(stands.run_until_complete, asyncio.sleep(0))
    stands.close()
    watch._server.server_close()


async def test_a_port_that_is_taken_is_said_and_ipv6_is_an_address(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Unreachable, match="--metrics cannot listen"):
        Watch(server.gateway, "127.0.0.1", taken.getsockname()[1])
    async with Watch(server.gateway, "::1", port := free_port()):
        reader, writer = await asyncio.open_connection("::1", port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b'"ok"' in await reader.read()
        writer.close()


# -- the log


@pytest.fixture
def log() -> Iterator[tuple[Log, io.StringIO]]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield Log(True, stream), stream
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_event_is_a_line_of_json(server: Server, log: tuple[Log, io.StringIO]) -> None:
    server.relay.notice = log[0].event
    server.office.sleep(core_office.EPOCH_ROUNDS)
    found = lines(log[1])
    assert [line["round"] for line in found if line["event"] == "sealed"] == list(
        range(1, core_office.EPOCH_ROUNDS + 1)
    )
    (epoch,) = [line for line in found if line["event"] == "epoch"]
    assert (epoch["epoch"], epoch["level"]) == (1, "info")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"]) for line in found)


def test_no_line_has_an_address_or_names_anybody(server: Server, log: tuple[Log, io.StringIO]) -> None:
    server.relay.notice = log[0].event
    member = server.office.member()
    record = records(1)[0]
    member.post(record)
    server.office.sleep()
    try:
        raise OSError("connection from 203.0.113.7 port 4711")
    except OSError:
        logging.getLogger("asyncio").exception("Fatal error: %s", ("203.0.113.7", 4711))
    text = log[1].getvalue()
    assert "203.0.113.7" not in text and "4711" not in text
    assert lines(log[1])[-1].keys() == {"time", "level", "event", "part", "error"}
    token = Token(0, server.relay.epoch)
    for secret in (token.key, token.signature, record[:8], member.secret or b""):
        assert secret.hex() not in text


def test_without_json_nothing_is_logged_beside_what_a_person_is_told() -> None:
    before = logging.getLogger().handlers[:]
    Log(False).event("sealed", round=1)
    assert logging.getLogger().handlers == before
