"""Figures of a gateway and its fleet for Prometheus, beside those of its relay (relay/metrics.py), and whether it is
well.

Owns their names. They are public, as those of a relay: a POST and a VOID are a frame each, so an office in which nobody
writes shows the same ones as a busy one.
"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .operated import LATE_SECONDS, Looking, Operated


class FleetFigures(Collector):
    """For the registry of relay.metrics.RelayMetrics."""

    def __init__(self, gateway: Operated, looking: Looking) -> None:
        self._gateway = gateway
        self._looking = looking

    def collect(self) -> Iterator[Metric]:
        gateway, looking, state = self._gateway, self._looking, self._gateway.state
        looking.note()
        behind = max(0, looking.last - state.position)
        yield _gauge("tessera_fleet_gateway", "Number of this gateway.", gateway.number)
        yield _gauge("tessera_fleet_gateways", "Gateways in force.", len(state.nodes))
        yield _gauge("tessera_fleet_fault", "Whether this gateway has stopped serving for good.", bool(gateway.fault))
        yield _gauge("tessera_fleet_draining", "Whether this gateway takes no more members.", gateway.door.is_closed)
        has_key = gateway.has_token_key
        yield _gauge("tessera_fleet_token_key", "Whether this gateway has the token key, so takes posts.", has_key)
        yield _gauge(
            "tessera_fleet_replay_lag_seconds", "Seconds since it had replayed all of the log.", looking.lag_seconds
        )
        yield _gauge("tessera_fleet_replay_lag_entries", "Entries of the log that it has not replayed yet.", behind)
        yield _gauge("tessera_fleet_waiting_frames", "Frames on their way into the log.", gateway.waiting)
        yield _gauge(
            "tessera_fleet_unserved_rounds",
            "Rounds that are sealed and not served yet.",
            state.open_round - state.published,
        )
        yield _gauge("tessera_fleet_quorum", "Whether the engine takes entries.", looking.has_quorum)
        leader = GaugeMetricFamily(
            "tessera_fleet_engine_leader", "Whether this node of the engine orders entries.", labels=["node"]
        )
        nodes = GaugeMetricFamily(
            "tessera_fleet_engine_node", "Whether this node of the engine answers and has all entries.", labels=["node"]
        )
        for node in looking.engine.nodes if looking.engine else ():
            nodes.add_metric([node.name], node.is_current)
            leader.add_metric([node.name], bool(looking.engine and node.name == looking.engine.leader))
        yield leader
        yield nodes


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def complaints(gateway: Operated, looking: Looking) -> list[str]:
    """What is wrong, for /healthz: a load balancer sends nobody to such a gateway."""
    found = [gateway.fault] if gateway.fault else []
    if gateway.door.is_closed:
        found.append("it takes no more members: it was drained")
    if not looking.has_quorum:
        found.append("the engine takes no entries")
    if looking.lag_seconds > LATE_SECONDS:
        found.append("it is behind the log")
    return found
