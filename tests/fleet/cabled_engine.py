"""Three nodes of NATS, each at an address of its own, and every way to them and between them a cable that can be cut.

Owns the ways' names: `n0-n1` from a node to another, `g1-n0` from gateway 1 to a node.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tessera_host.fleet.nats_configuration import NODES, Address
from tests.fleet.cables import Cables
from tests.support.nats_nodes import NatsNodes
from tests.support.ports import free_ports

HOSTS = [f"127.0.0.{2 + number}" for number in range(NODES)]
_PAIRS = [(one, other) for one in range(NODES) for other in range(NODES) if one != other]


class CabledEngine:
    """more: cables besides, by name: where they listen, and what is at their other ends."""

    def __init__(self, folder: Path, gateways: Sequence[int], more: dict[str, tuple[str, ...]] | None = None) -> None:
        first = free_ports(len(_PAIRS) + NODES * len(gateways))
        ports = iter(range(first, first + len(_PAIRS) + NODES * len(gateways)))
        routes = {pair: f"127.0.0.1:{next(ports)}" for pair in _PAIRS}
        self._ways = {(number, node): f"127.0.0.1:{next(ports)}" for number in gateways for node in range(NODES)}
        self.nodes = NatsNodes(folder, hosts=HOSTS, routes=routes)
        cables = {
            f"n{one}-n{other}": (listen, self.nodes.listen_nodes(other)) for (one, other), listen in routes.items()
        }
        cables |= {f"g{number}-n{node}": (way, self.nodes.listen(node)) for (number, node), way in self._ways.items()}
        self.cables = Cables(cables | (more or {}))

    def address(self, gateway: int, name: str) -> Address:
        """Of the log, for a gateway."""
        return Address(tuple(self._ways[gateway, node] for node in range(NODES)), name)

    @contextmanager
    def node_cut_off(self, node: int) -> Iterator[None]:
        """From the other nodes; gateways reach it."""
        names = [f"n{one}-n{other}" for one, other in _PAIRS if node in (one, other)]
        with self.cut(*names):
            yield

    @contextmanager
    def gateway_cut_off(self, gateway: int, *nodes: int) -> Iterator[None]:
        with self.cut(*(f"g{gateway}-n{node}" for node in nodes)):
            yield

    @contextmanager
    def cut(self, *names: str) -> Iterator[None]:
        self.cables.cut(*names)
        try:
            yield
        finally:
            self.cables.mend(*names)

    def stop(self) -> None:
        self.nodes.stop()
        self.cables.stop()
