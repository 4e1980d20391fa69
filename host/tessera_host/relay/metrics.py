"""What anybody may watch of a relay on a server: figures for Prometheus, and whether it is well.

Owns the figures' names and the small HTTP server beside the relay. By default they are public: an office in which
nobody writes shows the same ones as a busy one. Those that tell the two apart (how often something was committed, how
large the database is, what the process uses) come with `load` only. The relay itself counts.
"""

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from socketserver import TCPServer
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from tessera import curve
from tessera.announcement import runtime_name

from .. import __version__
from ..errors import Unreachable
from .health import Health
from .server_relay import ServerRelay

PATH, HEALTH = "/metrics", "/healthz"
ANSWER_SECONDS = 5  # the relay's own loop that long without an answer is not well
_REQUEST_SECONDS = 2  # for a request to come in whole: one is served at a time
_COMMITS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)  # seconds


class RelayMetrics(Collector):
    """All figures of one relay, as a registry of prometheus_client. load: also those that tell how much members
    write; more: collectors of the fleet that the relay is part of."""

    def __init__(self, opened: ServerRelay, load: bool = False, more: Sequence[Collector] = ()) -> None:
        self._opened = opened
        self._health = Health(opened)
        self._load = load
        self.registry = CollectorRegistry()
        for each in (self, *more):
            self.registry.register(each)
        if load:
            ProcessCollector(registry=self.registry)
            commits = Histogram(
                "tessera_commit_seconds", "Time until a change is durable.", buckets=_COMMITS, registry=self.registry
            )
            opened.database.committed = commits.observe

    def text(self) -> bytes:
        """The figures in Prometheus's text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks for."""
        yield from self._fixed()
        yield from self._time()
        yield from self._counted()
        if self._load:
            yield self._storage()

    def _fixed(self) -> Iterator[Metric]:
        relay = self._opened.relay
        about = {"version": __version__, "runtime": runtime_name(), "curve": curve.TIER}
        yield InfoMetricFamily("tessera_relay", "Version, runtime and curve of the relay.", about)
        newest = relay.parameters.newest
        sets = [("newest", newest.serial, newest.digest)]
        if relay.epoch is not None:
            rule = relay.parameters.rule(relay.epoch)
            sets.append(("in_force", rule.serial, rule.digest))
        serials = GaugeMetricFamily("tessera_set_serial", "Serial of a parameter set.", labels=["set", "digest"])
        for which, serial, digest in sets:
            serials.add_metric([which, digest.hex()], serial)
        yield serials
        yield _gauge("tessera_round_seconds", "Length of a round.", newest.round_seconds)
        yield _gauge("tessera_epoch_rounds", "Rounds of an epoch.", newest.epoch_rounds)
        yield _gauge("tessera_starts", "Starts of this relay since it was made.", relay.boots)
        yield _gauge("tessera_unreadable_pages", "Damaged pages found at the start.", relay.unreadable_pages)

    def _time(self) -> Iterator[Metric]:
        relay = self._opened.relay
        clock, off = relay.clock, self._health.clock_off_seconds
        yield _gauge("tessera_uptime_seconds", "Time since the start.", clock.uptime_ms() / 1000)
        yield _gauge("tessera_clock_known", "1 if the relay has a clock.", clock.known)
        yield _gauge("tessera_clock_provisional", "1 until something confirms the clock.", clock.provisional)
        if off is not None:
            yield _gauge("tessera_clock_off_seconds", "This computer's clock minus the relay's.", off)
        if relay.open_round is None or relay.epoch is None:
            return
        yield _gauge("tessera_round", "The open round.", relay.open_round)
        yield _gauge("tessera_first_round", "The oldest round that is kept.", relay.first_round)
        yield _gauge("tessera_epoch", "The open epoch.", relay.epoch)
        left = relay.parameters.newest.end_epoch - relay.epoch
        yield _gauge("tessera_schedule_epochs_left", "Epochs that have keys, with the open one.", max(0, left))

    def _counted(self) -> Iterator[Metric]:
        relay = self._opened.relay
        figures = relay.figures
        yield _counter("tessera_sealed_rounds", "Rounds sealed since the start.", figures.sealed_rounds)
        yield _counter("tessera_connections", "Connections since the start.", figures.connections)
        yield _counter("tessera_sent_bytes", "Bytes sent since the start, without TCP's own.", figures.sent_bytes)
        yield _counter("tessera_storage_faults", "Failures of the storage since the start.", figures.storage_faults)
        handshakes = CounterMetricFamily("tessera_handshakes", "Handshakes since the start.", labels=["kind"])
        for kind in ("full", "resumed"):
            handshakes.add_metric([kind], figures.handshakes[kind])
        yield handshakes
        refusals = CounterMetricFamily("tessera_refusals", "Refusals before AUTH, by their code.", labels=["code"])
        away = self._opened.server.turned_away if self._opened.server else 0
        for code, number in sorted((figures.refusals + Counter(BUSY=away)).items()):
            refusals.add_metric([code], number)
        yield refusals
        sessions = GaugeMetricFamily("tessera_sessions", "Open sessions.", labels=["state"])
        for state, number in relay.sessions.items():
            sessions.add_metric([state], number)
        yield sessions

    def _storage(self) -> Metric:
        used = GaugeMetricFamily("tessera_storage_bytes", "Size of the database and of its log.", labels=["file"])
        for name, size in self._opened.database.sizes().items():
            used.add_metric([name], size)
        return used


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)


# -- over HTTP


Answer = tuple[str, str, bytes]  # status, content type, body


class Watch:
    """The HTTP server of the figures; an asynchronous context manager, inside of which it answers.

    It has a thread of its own and asks the relay's loop, so that an answer shows that the loop is alive, and nothing is
    read while it changes."""

    def __init__(
        self,
        opened: ServerRelay,
        host: str,
        port: int,
        load: bool = False,
        more: Sequence[Collector] = (),
        complaints: Callable[[], list[str]] = list,
    ) -> None:
        """load, more: as for RelayMetrics; complaints: what is wrong with the fleet that the relay is part of. Raises
        Unreachable if it cannot listen there."""
        self._figures = RelayMetrics(opened, load, more)
        self._health = Health(opened)
        self._complaints = complaints
        self._loop = asyncio.get_running_loop()
        try:
            self._server = _bound(host, port)
        except OSError as error:
            raise Unreachable(
                f"--metrics cannot listen at {host}, port {port}: {error.strerror}",
                "name another address or port, for example: --metrics 127.0.0.1:9100",
            ) from None
        self._server.set_app(self._application)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._end)  # its last request may wait for this loop

    def _end(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _application(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status, kind, body = self._answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, method: str, path: str) -> Answer:
        if path not in (PATH, HEALTH):
            return "404 Not Found", "text/plain", f"Only {PATH} and {HEALTH} exist.\n".encode()
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", "text/plain", b"Use GET.\n"
        made = asyncio.run_coroutine_threadsafe(self._made(path), self._loop)
        try:
            return made.result(ANSWER_SECONDS)
        except TimeoutError:
            made.cancel()
            return _health(["the relay does not answer"])

    async def _made(self, path: str) -> Answer:
        if path == HEALTH:
            return _health(self._health.complaints() + self._complaints())
        return "200 OK", CONTENT_TYPE_LATEST, self._figures.text()


def _health(complaints: list[str]) -> Answer:
    status = "503 Service Unavailable" if complaints else "200 OK"
    said = {"status": "unwell" if complaints else "ok", "complaints": complaints}
    return status, "application/json", json.dumps(said).encode() + b"\n"


class _Server(WSGIServer):
    """One request at a time, each with little time: whoever opens many connections takes no memory."""

    def server_bind(self) -> None:
        """Without looking up this computer's name, which may take as long as a name server that is away."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asks and goes away is no news."""


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """No addresses in any log."""


def _bound(host: str, port: int) -> _Server:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

    class Bound(_Server):
        address_family = family

    return Bound((host, port), _Handler)
