"""The office of a cluster, in one directory: issuer, passphrase, a directory for each node.

Owns that layout, what is run in it, and how a node that comes back empty is put into service. Leaves to others: how
such a directory is made once (issuer/organisation.py), what keeps processes running (supervisor.py).
"""

import enum
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tessera.announcement import READY

from .. import files
from ..errors import InvalidInput
from ..issuer import organisation, relay_directory
from ..issuer.issuer import Issuer
from ..issuer.operator import Operator
from ..issuer.organisation import Layout
from ..issuer.signer import EPOCHS_MAX
from ..issuer.store import FEDERATION_CARD
from ..issuer.store import PARAMETERS as ISSUER_PARAMETERS
from ..planning.plan import Plan
from ..protocol.federation import Federation, read_card
from ..relay import process, pushing, status
from ..relay.pushing import Outcome
from ..threads import finished
from .child import Child
from .supervisor import Node

CONFIGURATION = "cluster.json"
VERSION = 1
HOST = "127.0.0.1"
SERVICE = "issuer"  # the name of the service among the nodes
MOST_NODES = 64  # relays of a federation (PROTOCOL §12)
_TESSERA = [sys.executable, "-m", "tessera_host"]


class Runtime(enum.StrEnum):
    """What relays run on."""

    CPYTHON = "cpython"
    MICROPYTHON = "micropython"


@dataclass(frozen=True)
class Shape:
    """What never changes of a cluster: its number of nodes, which listen at ports from `port` on, with the issuer's
    service at the next one, and what the relays run on."""

    nodes: int
    runtime: Runtime
    port: int

    @property
    def names(self) -> list[str]:
        return [f"node-{number}" for number in range(1, self.nodes + 1)]

    @property
    def places(self) -> dict[str, int]:
        """The port of each, by name."""
        return {name: self.port + number for number, name in enumerate([*self.names, SERVICE])}


@contextmanager
def opened(directory: Path, shape: Shape, planning: Callable[[], Plan]) -> Iterator[tuple["Office", bool]]:
    """Open the cluster in a directory, or make it with this shape and plan: (the cluster, whether it was made). No
    other program can open it until the block ends. Raises UsageError, Unreachable, InvalidInput."""

    def make(planned: Plan, passphrase: str) -> None:
        _make(directory, shape, planned, passphrase)

    layout = Layout(shape.names, CONFIGURATION, "runs a cluster in")
    with organisation.founded(directory, layout, planning, make) as made:
        yield Office(directory), made


def _make(directory: Path, shape: Shape, planned: Plan, passphrase: str) -> None:
    issuer_directory = directory / organisation.ISSUER
    with Issuer.create(issuer_directory, passphrase, planned, "Cluster", epochs=EPOCHS_MAX) as issuer:
        for name in shape.names:
            issuer.add_relay(name, HOST, shape.places[name], directory / name)
        issuer.set_service(HOST, shape.places[SERVICE])
        for name in shape.names:  # before anybody runs there: all begin with the newest set
            relay_directory.write_parameters(directory / name, issuer.copy_for(name))
    files.write(directory / CONFIGURATION, json.dumps({"version": VERSION, **asdict(shape)}).encode() + b"\n")


def read_shape(directory: Path) -> Shape | None:
    """The shape of the cluster in a directory, None if there is none. Raises InvalidInput."""
    path = directory / CONFIGURATION
    if not path.exists():
        return None
    try:
        found = json.loads(files.read_text(path))
        version = found["version"]
        shape = Shape(found["nodes"], Runtime(found["runtime"]), found["port"])
        good = 0 < shape.nodes <= MOST_NODES and 0 < shape.port < 65536
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        version, good = None, False
    if version != VERSION or not good:
        raise InvalidInput(
            f"{path} is damaged, or was made by another version of tessera",
            "name another directory, in which a new cluster is made",
        )
    return shape


class Office:
    """A cluster's directory that is this program's."""

    def __init__(self, directory: Path) -> None:
        """Raises InvalidInput."""
        shape = read_shape(directory)
        assert shape is not None, "it was made before"
        self.directory, self.shape = directory.absolute(), shape
        self._signed: tuple[bytes, Operator] | None = None

    @property
    def passphrase_file(self) -> Path:
        return self.directory / organisation.PASSPHRASE

    @property
    def federation(self) -> Federation:
        """By the newest card. Raises InvalidInput."""
        return Federation(read_card(files.read_text(self.directory / organisation.ISSUER / FEDERATION_CARD)))

    # -- what is run

    def nodes(self) -> list[Node]:
        """The relays, and then the issuer's service."""
        return [*map(self._relay, self.shape.names), self._service()]

    def _relay(self, name: str) -> Node:
        port = self.shape.places[name]
        return Node(
            name,
            f"{HOST}:{port}",
            start=lambda: Child.start(self._relay_command(name, port)),
            ready=lambda line: line == READY,
            is_empty=lambda: self._is_empty(name),
            fill=lambda: self._replace(name),
            greet=lambda: self._greet(name),
            look=lambda: self._open_round(name),
        )

    def _relay_command(self, name: str, port: int) -> list[str]:
        directory = self.directory / name
        if self.shape.runtime is Runtime.MICROPYTHON:
            return process.command(directory, port)
        return [*_TESSERA, "serve", "--storage", str(directory)]

    def _service(self) -> Node:
        words = [*_TESSERA, "issuer", "serve", str(self.directory / organisation.ISSUER), "--json"]
        words += ["--passphrase-file", str(self.passphrase_file)]
        address = f"{HOST}:{self.shape.places[SERVICE]}"
        return Node(SERVICE, address, start=lambda: Child.start(words), ready=lambda line: line.startswith('{"serving'))

    # -- a node without its directory

    def _is_empty(self, name: str) -> bool:
        """Whether no relay can start there, and nothing is lost if another is put into its place."""
        directory = self.directory / name
        if not (directory / relay_directory.CONFIGURATION).exists():
            return not directory.exists() or not any(directory.iterdir())
        return not (directory / relay_directory.PARAMETERS).exists() and (directory / relay_directory.SEED).exists()

    async def _replace(self, name: str) -> None:
        """Raises TesseraError."""
        await finished(lambda: self._put_another(name))
        operator = await self._operator()
        others = [relay for relay in operator.relays if relay.name != name]
        await pushing.push(operator, others)  # who is away gets it from members

    def _put_another(self, name: str) -> None:
        directory = self.directory / name
        for path in directory.glob("*"):  # of one whose making was cut short
            path.unlink()
        with self._issuer() as issuer:
            issuer.replace_relay(name, directory)

    @contextmanager
    def _issuer(self) -> Iterator[Issuer]:
        passphrase = files.read_text(self.passphrase_file).strip()
        with Issuer.open(self.directory / organisation.ISSUER, passphrase) as issuer:
            yield issuer

    async def _operator(self) -> Operator:
        """Anew whenever there is a newer set."""
        newest = files.read(self.directory / organisation.ISSUER / ISSUER_PARAMETERS)
        if self._signed is None or self._signed[0] != newest:
            self._signed = newest, await finished(self._open_operator)
        return self._signed[1]

    def _open_operator(self) -> Operator:
        with self._issuer() as issuer:
            return issuer.operator()

    # -- a node that serves

    async def _greet(self, name: str) -> None:
        """As IT: bring the newest set and the time. Raises TesseraError."""
        operator = await self._operator()
        relays = [operator.relay_named(name)]
        _check(await pushing.push(operator, relays))
        _check(await pushing.push_time(operator, relays))

    async def _open_round(self, name: str) -> int | None:
        """Raises TesseraError."""
        federation = self.federation
        return (await status.ask(federation, federation.relay_named(name))).open_round


def _check(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.refusal is not None:
            raise outcome.refusal
