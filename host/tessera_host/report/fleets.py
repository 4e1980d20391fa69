"""What a report says of a relay that is a fleet: several gateways that replay one log, which an engine keeps.

Of a relay that is one process it says nothing.

Owns these words. They follow docs/fleet.md, §2, §6 and §7, and docs/fleet-operation.md. Nothing that is signed says
that a relay is a fleet: whoever asks for the report does.
"""

from ..duration import in_words
from .facts import Facts

# With fewer, one gateway's own word is enough for it, and an engine that lies could show two of them two logs.
_MAJORITY = 3


def _which(facts: Facts) -> str:
    """The relay that is spoken of, with the number of its gateways."""
    told = [f"relay {name} is {number} gateways" for name, number in facts.fleets if name]
    if told:
        return ", ".join(told)
    ((_, number),) = facts.fleets
    return f"{'the relay is' if facts.relays == 1 else 'each relay is'} {number} gateways"


def _fewest(facts: Facts) -> int:
    return min(number for _, number in facts.fleets)


def front(facts: Facts) -> list[tuple[str, str]]:
    """Under the title."""
    if not facts.fleets:
        return []
    return [("Fleet", f"{_which(facts)} on a log that an engine keeps; stated for this annex, not verified")]


def summary(facts: Facts) -> list[str]:
    """For the first page."""
    if not facts.fleets:
        return []
    which = _which(facts)
    return [
        f"{which[0].upper()}{which[1:]} on several hosts, which act as one relay: one address, one key, one published "
        "batch for each cell, so the figures are those of one relay. The gateways share an encrypted log. The operator "
        "of the engine that keeps it sees when which gateway wrote, and how much, and nothing of what is in it."
    ]


def words(facts: Facts) -> list[tuple[str, str]]:
    """For the list of words."""
    if not facts.fleets:
        return []
    return [
        ("Gateway", "one of the servers that are one relay together; each keeps all records of the relay"),
        (
            "Engine, log",
            "the programs (three nodes) that keep the gateways' log in order, and the encrypted entries that they keep",
        ),
        ("Entry, frame", "what a gateway writes into the log at once; a frame of 300 bytes is one thing that happened"),
    ]


def inventory(facts: Facts) -> list[tuple[str, str, str, str]]:
    """What is kept more than by a relay that is one process."""
    if not facts.fleets:
        return []
    constant = "" if facts.thresholds else ", and with constant batches each admission,"
    return [
        (
            "Log of the fleet",
            "engine, on the disks of its nodes",
            "entries, encrypted under a key of the epoch that only gateways have. Readable beside them: the gateway, "
            f"the epoch, a counter, the time and the length. A post and a frame that does nothing{constant} are one "
            "frame of the same size each",
            f"as ciphertext {in_words((facts.retention_epochs + 1) * facts.epoch_seconds)}; the key that opens it is "
            f"erased at every gateway when its epoch ends, after {in_words(facts.epoch_seconds)} at most",
        ),
        (
            "Marks of tokens",
            "gateways",
            "8 bytes for each record of the open epoch, by which gateways keep a token to its quota. They are made "
            "with a key that is kept in memory only and is another in each epoch: without it nobody can say which two "
            "marks are of one token",
            f"the open epoch ({in_words(facts.epoch_seconds)})",
        ),
    ]


def keepers(facts: Facts) -> str:
    """To be added to who keeps records."""
    return "; of a fleet each gateway" if facts.fleets else ""


def views(facts: Facts) -> list[tuple[str, str, str]]:
    """Party by party, what there is more."""
    if not facts.fleets:
        return []
    lies = (
        "If it alters the log the gateways stop; none serves a batch that differs from another gateway's"
        if _fewest(facts) >= _MAJORITY
        else "If it alters the log a gateway that notices stops. With two gateways it could make them serve two "
        "different batches of one cell, which show what is real in them: a fleet that has to bear a lying engine has "
        "three gateways"
    )
    took = "posts and frames that do nothing" if facts.thresholds else "posts, admissions and frames that do nothing"
    return [
        (
            "Operator of the engine: its programs, disks, backups",
            f"for each entry its gateway, epoch, time and number of frames: how many {took} each gateway took together",
            "which frame is a post; buckets, records, tokens, internet addresses of members; anything in an entry. "
            f"{lies}",
        ),
        (
            "Operator of a load balancer before the gateways",
            "addresses and times of connections, and how many bytes each has, as the network does",
            "what is in a connection: it passes TCP on and holds no key",
        ),
        (
            "Thief of gateways, switched off, with the engine's data",
            "of a gateway what a thief of a relay has. Of the log, for the open epoch only: time, bucket and gateway "
            "of each record, and whether a refused record was of the same token as a counted one",
            "which two records are of one token; anything of the log of epochs that are over",
        ),
    ]


def some_alone(facts: Facts) -> bool:
    """Whether some relay is one process."""
    return not facts.fleets or 0 < len(facts.addresses) != len(facts.fleets)


def retention(facts: Facts) -> list[tuple[str, str]]:
    """How long the log is kept, and its keys."""
    if not facts.fleets:
        return []
    kept = in_words((facts.retention_epochs + 1) * facts.epoch_seconds)
    return [
        (
            "Key that opens the log",
            f"the epoch, {in_words(facts.epoch_seconds)}; erased at every gateway when the epoch ends. A gateway that "
            "is off erases it while it catches up, and is removed if it stays off",
        ),
        ("Entries at the engine", f"{kept}, as ciphertext that nobody can open once the epoch is over"),
        ("Marks of tokens", f"the open epoch, {in_words(facts.epoch_seconds)}"),
        ("Key behind the marks of tokens", "in memory, never on a disk; another in each epoch"),
        ("Backups of a gateway", "not to be made: a backup would keep keys that are erased at their time"),
    ]


def incidents(facts: Facts) -> list[tuple[str, str, str]]:
    """What is lost or stolen, what that means, what to do."""
    if not facts.fleets:
        return []
    return [
        (
            "A gateway is stolen",
            "ciphertext with bucket and round, for the time that records are kept; of the open epoch, the marks of "
            "tokens; nothing that names a sender or a recipient. With access to the engine, until the epoch ends, also "
            "time and gateway of its records",
            "tessera fleet remove, other passwords for the engine's nodes, then tessera relay replace",
        ),
        (
            "A gateway's disk is lost",
            "nothing: each of the others has all records",
            "tessera fleet remove; another gateway joins",
        ),
        (
            "All gateways' disks are lost",
            "the relay's records are lost, though the engine has the log: it is ciphertext without a key",
            "tessera relay replace",
        ),
        (
            "The engine loses or alters its log",
            "gateways stop and serve nothing; each has all that any of them acknowledged and that it replayed",
            "tessera fleet repair on the gateway that has replayed furthest",
        ),
    ]


def roles(facts: Facts) -> list[tuple[str, str]]:
    """Who else is there."""
    if not facts.fleets:
        return []
    return [
        (
            "Operators of the engine and of a load balancer",
            "the organisation itself, or a third party, which is then in general a processor (Art. 28), too: the first "
            "sees times and amounts, the second internet addresses",
        )
    ]


def resilience(facts: Facts) -> str:
    """To be added to what holds of one relay."""
    if not facts.fleets:
        return ""
    return (
        f"; {_which(facts)}, each with all records: none is lost as long as one gateway is left. {_spare(facts)} and "
        "one of the engine's three nodes may be off while the relay serves on"
    )


def _spare(facts: Facts) -> str:
    """How many gateways the smallest fleet serves on without: a majority seals, of one or two each alone."""
    fewest = _fewest(facts)
    quorum = fewest // 2 + 1 if fewest >= _MAJORITY else 1
    return "One gateway" if fewest - quorum == 1 else f"{fewest - quorum} gateways"


def tokens(facts: Facts) -> str:
    """What whoever has the disk of a relay finds of tokens."""
    if not some_alone(facts):
        return "of the open epoch, the marks of tokens"
    gateway = " (of a gateway, its marks of tokens)" if facts.fleets else ""
    return f"of the open epoch, 8 bytes of a hash of each token that posted and how much of its quota was used{gateway}"


def thief(facts: Facts) -> str:
    """Of what, in the table of parties."""
    return "Thief of the relay, switched off" if some_alone(facts) else "Thief of a gateway, switched off"


def traffic_data(facts: Facts) -> str:
    """To be added to what a relay stores of traffic data."""
    if not facts.fleets:
        return ""
    return (
        ". The engine stores of traffic data, for each entry of the log, its gateway, time and number of frames; what "
        "is in it can be opened until the epoch ends"
    )


def personal_information(facts: Facts) -> str:
    """To be added to what can be personal information."""
    return " The engine's log has no identifier of a person, encrypted or not." if facts.fleets else ""


def limits(facts: Facts) -> list[str]:
    """What is not covered, beside what holds of every relay."""
    if not facts.fleets:
        return []
    return [
        "Gateways trust each other: a gateway that is taken over while it runs has the log of the epoch, and sees what "
        "the operator of the relay sees.",
        "The engine's operator can end the service. If no gateway runs, messages wait at their senders.",
        "The log has times finer than rounds (20 ms). A thief of a gateway's keys and of the engine's data has those "
        "of the open epoch.",
        "A load balancer's and the engine's own logs are data of their own.",
    ]
