"""Who is responsible for what, who receives data, and what a loss or theft means: tables that a DPIA and an incident
plan begin with.

Owns these words. Whether a role or a duty applies is the reader's judgement, as everywhere in the annex.
"""

from . import copies, fleets
from .document import Basis, Block, Notice, Paragraph, Table, Tone
from .facts import UNNAMED, Facts


def roles(facts: Facts) -> list[Block]:
    """Controller, processors, recipients."""
    ours = "the organisation that signs these parameters" if facts.organisation == UNNAMED else facts.organisation
    rows = [
        (
            "Controller (GDPR Art. 4(7))",
            f"{ours}: it decides on the parameters of this annex, keeps the roster and runs the issuer",
        ),
        (
            "Operator of a relay",
            "the organisation itself, or a third party, which is then in general a processor (Art. 28): it sees "
            "internet addresses. Neither the parameters nor this annex show who runs a relay",
        ),
        *fleets.roles(facts),
        (
            "Recipients (Art. 4(9))",
            "members, of the messages addressed to them. Auditors, of the federation card and the checkpoints, which "
            "name no member. The makers of the software receive nothing",
        ),
        (
            "Partner organisations",
            "none: the parameters have one roster, and members of another organisation have no place in them",
        ),
        (
            "Places",
            f"{_places(facts)}; the issuer's service and members' devices are where the organisation has them. The "
            "system transfers nothing beyond these",
        ),
    ]
    return [
        Paragraph(
            "The parameters decide which roles there are. Whether the law names them so is for the reader to judge."
        ),
        Table("Roles and recipients", Basis.STATED, ("Role", "Who, and of what"), rows, (4, 10)),
    ]


def _places(facts: Facts) -> str:
    if not facts.addresses:
        return "relays are where the organisation will put them"
    return "relays, by their addresses: " + ", ".join(f"{name} at {host}" for name, host in facts.addresses)


def incidents(facts: Facts) -> list[Block]:
    """What is lost or stolen, what that means, what to do."""
    rows = [
        (
            "A member's device is lost, locked",
            "an encrypted file, as strong as the member's passphrase",
            "tessera issuer remove, or a backup on another device and new keys",
        ),
        (
            "A member's device is lost, unlocked",
            "that member's messages, contacts and identity; others' messages to that member, kept there",
            "the same, with --now",
        ),
        *(_relay(facts) if fleets.some_alone(facts) else []),
        *fleets.incidents(facts),
        (
            "The issuer's computer is lost, locked",
            "an encrypted database; how many members, invitations and requests there are, and their times",
            "tessera issuer restore from a backup",
        ),
        (
            "The issuer's computer is stolen, unlocked",
            "the roster; the key that signs parameters and code. No message, and not who wrote to whom",
            "a new office: its root key cannot be replaced",
        ),
    ]
    return [
        Paragraph(
            "What somebody who finds or takes a thing has in hand, and what the organisation does. Whether that is a "
            "breach to be notified (GDPR Art. 33, 34) is for the reader to judge."
        ),
        Notice(
            Tone.REMARK,
            "No loss of a relay or of the issuer's computer shows who wrote to whom, as neither relay nor issuer "
            "learns it.",
        ),
        Table("Lost or stolen", Basis.STATED, ("What", "What that means", "What to do"), rows, (4, 8, 5)),
    ]


def _relay(facts: Facts) -> list[tuple[str, str, str]]:
    """One that is one process."""
    return [
        (
            "A relay is stolen",
            "ciphertext with bucket and round, for the time that records are kept; of the open epoch, 8 bytes of a "
            "hash of each token that posted and how much of its quota was used; nothing that names a sender or a "
            f"recipient{_thief_disk(facts)}",
            "tessera relay replace or remove, then push"
            + ("" if facts.server else "; another Wi-Fi password, where the relay had one"),
        ),
        (
            "A relay is destroyed",
            copies.lost_for_good(facts),
            "tessera relay replace",
        ),
    ]


def _thief_disk(facts: Facts) -> str:
    return "" if facts.server is False else "; of a server also what its disk did not really erase"
