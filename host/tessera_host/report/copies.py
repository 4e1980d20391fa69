"""What a report says of an office with several relays: each copy of a record is a delivery of its own.

Owns these words. Of an office with one relay they are none; copies are said of one that has each record on several. The
sums are `planning.figures`'.
"""

from ..planning import figures
from ..text import count
from .document import Block, Paragraph
from .facts import Facts, at_most


def front(facts: Facts) -> list[tuple[str, str]]:
    """Under the title."""
    where = ", ".join(f"{name} ({host})" for name, host in facts.addresses)
    if facts.copies > 1:
        number = f"{facts.relays}; every record is on {facts.copies} of them ({facts.topology})"
    elif facts.relays > 1:
        number = f"{facts.relays}; every record is on one of them, its recipient's"
    else:
        return [("Relay", where)] if where else []
    return [("Relays", f"{number}: {where}" if where else number)]


def summary(facts: Facts) -> list[str]:
    """For the first page."""
    if facts.copies == 1:
        return []
    counted = " All figures of days and months count every copy." if facts.thresholds else ""
    return [
        f"Every record is on {facts.copies} of {facts.relays} relays: {_lost(facts)}, and no message is lost that its "
        f"sender's program calls safe. A message is in {facts.copies} cells, one at each relay; {_together(facts)}."
        f"{counted}"
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
            "Its copies are different ciphertexts under different keys. So the batches of two relays have no record in "
            f"common, and an observer who subtracts one from the other learns nothing. {_sum(facts)} The order of the "
            "relays follows from the federation card and is the same whatever anybody sends. Readers ask all of theirs "
            "in every round, whether these answer or not."
        )
    ]


def _all(facts: Facts) -> str:
    return "both" if facts.copies == 2 else f"all {facts.copies}"


def _together(facts: Facts) -> str:
    found = facts.loss(figures.COPIES)
    if not facts.thresholds or found is None:
        return f"no count depends on it at any of them, so an observer of {_all(facts)} learns nothing"
    return f"an observer of {_all(facts)} learns {at_most(found)} of it"


def _sum(facts: Facts) -> str:
    found = facts.loss(figures.COPIES)
    if not facts.thresholds or found is None:
        return (
            "Every batch of every relay has as many records whatever is sent: an observer of all relays together "
            "learns as little as an observer of one, nothing."
        )
    return (
        f"Each copy is a delivery. An observer of the counts of {_all(facts)} relays learns of one message "
        f"{at_most(found)}; an observer of fewer relays learns less. The table below counts every copy in days and "
        "months. So do members' programs, before a record leaves."
    )


def keepers(facts: Facts) -> str:
    """Who keeps records."""
    return "relay" if facts.copies == 1 else f"{facts.copies} of the {facts.relays} relays, a copy each"


def views(facts: Facts) -> list[tuple[str, str, str]]:
    """What the operators of several relays see together."""
    if facts.relays == 1:
        return []
    of_copies = (
        "which records are of one message: keys, tags and covers of the copies have nothing in common, and no relay "
        "knows of another's records"
        if facts.copies > 1
        else "which member an address is, for whom a record is; no relay knows of another's records"
    )
    return [
        (
            "Operators of several relays together",
            "at each of them what its operator sees; that connections from one address post to several relays in the "
            "same rounds, which agents do always",
            of_copies,
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


def off(facts: Facts) -> str:
    """What a relay that is off does to messages."""
    if facts.copies == 1:
        return "A relay that is switched off or unplugged: messages wait at their senders."
    return (
        "A relay that is switched off or unplugged: its copies wait at their senders, and messages arrive from the "
        f"{'other' if facts.copies == 2 else 'others'}."
    )


def lost_for_good(facts: Facts) -> str:
    """What the loss of a relay with all that it keeps means."""
    if facts.copies == 1:
        return (
            "the records are gone; senders' programs send again whatever the relay may still have held, to the one "
            "that takes its place, and recipients' programs drop what they have already"
        )
    return (
        f"no message that was called safe is lost, as every record is on {facts.copies} relays; senders' programs fill "
        "the relay that takes its place"
    )


def _lost(facts: Facts) -> str:
    return f"any {'one relay' if facts.copies == 2 else count(facts.copies - 1, 'relay')} may be lost for good"
