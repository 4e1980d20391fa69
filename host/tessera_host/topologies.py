"""The two ways in which relays follow a mailbox's home, by the names that federation cards, plans and commands have for
them; what they mean is `protocol.topology`'s.
"""

import enum

MOST_COPIES = 64  # as many as a set has relays


class Kind(enum.StrEnum):
    RING = "ring"
    MESH = "mesh"


RING, MESH = Kind.RING, Kind.MESH
KINDS = tuple(kind.value for kind in Kind)
