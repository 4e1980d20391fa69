"""What the cover of a signed set is worth, recomputed from the set alone: for auditors, and the annex.

Owns the figures of each kind and how they are said. Whether a set keeps what it says of itself is parameter_sets'
business, and what follows from one that does not is verify's.
"""

from typing import Any

from tessera import params
from tessera.params import Parameters

from ..kinds_of_cover import kind_of
from ..privacy import noise
from ..protocol import parameter_sets
from ..protocol.topology import Topology


def figures(found: Parameters) -> dict[str, Any]:
    """Of a constant batch, C; of a table ε and δ of one delivery, and those of the day that it was made for; δ from the
    integers of the table, rounded up when it is printed."""
    kind = {"serial": found.serial, "cover": kind_of(found)}
    if found.cover == params.CONSTANT:
        return kind | {"records": found.members * found.tokens_per_epoch, "epsilon": "0", "delta": "0"}
    result = kind | {
        "records_most": found.candidates,
        "epsilon": noise.decimal(parameter_sets.epsilon(found)),
        "delta": noise.decimal_up(parameter_sets.exact_delta(found)),
    }
    if found.cover == params.DAY:
        result |= {
            "deliveries": found.deliveries,
            "day_epsilon": noise.decimal(parameter_sets.day_epsilon(found)),
            "day_delta": noise.decimal_up(parameter_sets.day_delta(found)),
        }
    return result


def in_words(found: Parameters) -> str:
    """The figures of a set's cover in one line, for people."""
    told = figures(found)
    if found.cover == params.CONSTANT:
        factors = f"{found.members} × {found.tokens_per_epoch}"
        return f"constant batches of {factors} = {told['records']} records, whatever is posted"
    one = f"ε = {told['epsilon']}, δ = {told['delta']} for one delivery"
    if found.cover == params.DAY:
        day = f"a table for a day of {found.deliveries} deliveries: ε = {told['day_epsilon']}, δ = {told['day_delta']}"
        return f"{day}; {one}; at most {found.candidates} records"
    return f"a table for one delivery: {one.removesuffix(' for one delivery')}; at most {found.candidates} records"


def copies(found: Parameters, topology: Topology) -> dict[str, Any]:
    """On how many of a set's relays each record is, and what all its copies show together at most: as many times a
    delivery's ε and δ, as their covers are independent."""
    number = max(1, min(topology.copies, found.relay_count))
    epsilon = delta = "0"
    if found.cover != params.CONSTANT:
        epsilon = noise.decimal(number * parameter_sets.epsilon(found))
        delta = noise.decimal_up(number * parameter_sets.exact_delta(found))
    place = {"copies": number, "relays": found.relay_count, "topology": topology.kind}
    return place | {"epsilon": epsilon, "delta": delta}


def copies_in_words(found: Parameters, topology: Topology) -> str | None:
    """The copies of each record in one line, for people; None where a record is on one relay."""
    told = copies(found, topology)
    if told["copies"] == 1:
        return None
    where = f"every record is on {told['copies']} of {told['relays']} relays ({told['topology']})"
    if found.cover == params.CONSTANT:
        return f"{where}: counting records at all of them shows nothing of a message"
    shown = f"ε ≤ {told['epsilon']}, δ ≤ {told['delta']}"
    return f"{where}: counting records at all of them shows {shown} of a message; a member's day counts every copy"
