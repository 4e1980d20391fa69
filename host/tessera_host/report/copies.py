"""What a report says of an office whose records are on several relays, each copy a delivery of its own; of one whose
records are on one relay, nothing.

Owns these words. The sums are `losses`' and `planning.figures`'.
"""

from ..privacy import noise
from ..text import count
from .document import Block, Paragraph
from .facts import Facts


def front(facts: Facts) -> list[tuple[str, str]]:
    """Under the title."""
    if facts.copies == 1:
        return [("Relays", str(facts.relays))] if facts.relays > 1 else []
    return [("Relays", f"{facts.relays}; every record is on {facts.copies} of them ({facts.topology})")]


def summary(facts: Facts) -> list[str]:
    """For the first page."""
    if facts.copies == 1:
        return []
    return [
        f"Every record is on {facts.copies} of {facts.relays} relays: {_lost(facts)}, and no message is lost that its "
        f"sender's program calls safe. A message is in {facts.copies} cells, one at each relay; {_together(facts)}. "
        "All figures of days and months count every copy."
    ]


def words(facts: Facts) -> list[tuple[str, str]]:
    """For the list of words."""
    if facts.copies == 1:
        return []
    return [
        (
            "Copy",
            "a record of the same part at another relay: sealed anew, under other keys, so that nobody but its "
            "recipient can tell that the two are of one part",
        )
    ]


def seen(facts: Facts) -> list[Block]:
    """What copies add to what is published."""
    if facts.copies == 1:
        return []
    return [
        Paragraph(
            f"A message is in {facts.copies} cells, one at each of {facts.copies} relays, whose cover is independent. "
            "Its copies are different ciphertexts under different keys: the batches of two relays have no record in "
            f"common, and to subtract one from the other says nothing. {_sum(facts)} The order of the relays follows "
            "from the federation card and is the same whatever anybody sends; readers ask all of theirs in every "
            "round, whether these answer or not."
        )
    ]


def _together(facts: Facts) -> str:
    if not facts.thresholds:
        return "no count depends on it at any of them, so whoever counts at all of them learns nothing"
    return f"whoever counts at all of them learns at most {_bound(facts)} of it"


def _sum(facts: Facts) -> str:
    if not facts.thresholds:
        return (
            "Every batch of every relay has as many records whatever is sent: who counts at all relays together learns "
            "as little as who counts at one, nothing (ε = 0, δ = 0)."
        )
    return (
        f"Each copy is a delivery, and what one of them can show is above. Who sees the counts of all {facts.copies} "
        f"relays learns of one message at most {_bound(facts)}, {facts.copies} times a delivery's; who sees fewer "
        "relays, less. The table below has the exact sum, and counts every copy in days and months; so do members' "
        "programs, before a record leaves."
    )


def _bound(facts: Facts) -> str:
    epsilon, delta = (facts.copies * each for each in facts.delivery)
    return f"ε = {noise.decimal(epsilon)}, δ = {noise.decimal_up(delta)}"


def keepers(facts: Facts) -> str:
    """Who keeps records."""
    return "relay" if facts.copies == 1 else f"{facts.copies} of the {facts.relays} relays, a copy each"


def views(facts: Facts) -> list[tuple[str, str, str]]:
    """What the operators of several relays see together."""
    if facts.copies == 1:
        return []
    return [
        (
            "Operators of several relays together",
            "at each of them what its operator sees; that connections from one address post to several relays in the "
            "same rounds, which steady agents do always",
            "which records are of one message: keys, tags and covers of the copies have nothing in common, and no "
            "relay knows of another's records",
        )
    ]


def resilience(facts: Facts) -> str:
    """To be added to what holds of one relay."""
    if facts.copies == 1:
        return ""
    return (
        f"; every record is on {facts.copies} of {facts.relays} relays and stays with its sender until it is: "
        f"{_lost(facts)}"
    )


def _lost(facts: Facts) -> str:
    return f"any {count(facts.copies - 1, 'relay')} may be lost for good"
