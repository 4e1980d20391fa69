"""The three kinds of cover (PROTOCOL §2, §8): their names in plans, commands and reports, and in sentences, and their
numbers in signed sets.

Every batch has the same size, or there is a table, made for a member's day or for one delivery. What each promises and
costs is planning's and audit's.
"""

from tessera import params
from tessera.params import Head

CONSTANT, DAY, DELIVERY = "constant", "day", "delivery"
COVERS = (CONSTANT, DAY, DELIVERY)
NUMBERS = {CONSTANT: params.CONSTANT, DAY: params.DAY, DELIVERY: params.DELIVERY}
IN_WORDS = {CONSTANT: "constant batches", DAY: "a table for a day", DELIVERY: "a table for one delivery"}


def kind_of(parameters: Head) -> str:
    """The kind of a set, one of COVERS."""
    (found,) = [kind for kind, number in NUMBERS.items() if number == parameters.cover]
    return found
