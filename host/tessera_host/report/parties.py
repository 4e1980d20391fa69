"""Which data there is, where and for how long, and what each party can see of it: the tables a DPIA begins with.

Owns these words. They follow DESIGN §1, §6, §8 and docs/privacy/threat-model.md: a change of what a part keeps changes
them here.
"""

from ..duration import in_words
from ..text import count
from . import copies, fleets
from .document import Basis, Block, Bullets, Paragraph, Table
from .facts import Facts


def inventory(facts: Facts) -> list[Block]:
    """What is kept, by whom, what for, until when."""
    kept = in_words(facts.retention_epochs * facts.epoch_seconds)
    epoch = in_words(facts.epoch_seconds)
    tokens = [
        (
            "Use of tokens",
            "relay",
            "8 bytes of a hash of each token that posted and how much of its quota was used. Tokens are blind: they "
            "name no member. Reading leaves nothing",
            f"the open epoch ({epoch})",
        )
    ]
    rows = [
        (
            "Records",
            copies.keepers(facts) + fleets.keepers(facts),
            "240 bytes each, end-to-end encrypted; beside each its bucket and round. No sender, no recipient",
            f"{kept} and the open epoch ({epoch}); then the key is erased",
        ),
        (
            "Cover records",
            "relay",
            "not stored: recomputed from a secret of the epoch, which is erased with the epoch's records",
            "as records",
        ),
        *(tokens if fleets.some_alone(facts) else []),
        *fleets.inventory(facts),
        (
            "Internet addresses",
            "relay, in memory",
            "of connections that are open; the relay alone cannot tell whose they are. A party that also sees the "
            "issuer's service can",
            "the connection; written nowhere",
        ),
        (
            "Internet addresses",
            "issuer's service, in memory",
            "of members who join or renew what they hold: they sign what they ask for, so the service knows whose "
            "address it sees, and when. The agent comes at drawn moments, whatever its member does",
            "the connection; written nowhere",
        ),
        _log(facts),
        (
            "Privacy ledger",
            "relay, auditors",
            "a signed checkpoint for each epoch; public figures only",
            "at least 256 epochs",
        ),
        ("Roster", "issuer", "name and public key of each member", "until removed from the roster"),
        (
            "Invitations",
            "issuer",
            "name and home relay; until it is used, a secret that lets one person join, then the public key of the "
            "member who used it",
            "a month after it has expired, also if the member was removed before",
        ),
        (
            "Token counts",
            "issuer",
            "for each epoch and relay whether a member was given its tokens; not which, and every member gets the same",
            "until that epoch is over",
        ),
        (
            "Requests and answers",
            "issuer",
            "of a request for tokens: whose it is, while it is open; its digest, and the blind answers with digests of "
            "what they answer. None says anything about a token",
            "until the last of their epochs is over; a digest of a request for three epochs",
        ),
        (
            "Identity, contacts, messages",
            "the member's own device",
            "keys, tokens, the office's signed parameters, names of contacts, messages sent and received, times of own "
            "posts within a day; encrypted with a passphrase",
            _at_the_member(facts),
        ),
        (
            "Backups",
            "whoever made them: a member, IT",
            "what the member's program or the issuer had then, encrypted with its passphrase",
            "as long as they are kept: what was removed since is still in them",
        ),
    ]
    return [
        Paragraph(
            "These are the data about persons that the relay, the issuer and the members' programs keep. What the "
            "issuer has beside them in its folder (signed sets, a list of relays and their boards) names no member. "
            "The content of messages exists in readable form on the two members' devices only. Connection data "
            "beyond it (for example flow logs of the office's network or of an internet provider) is outside the "
            "system: see “What is not covered”."
        ),
        Table("Data inventory", Basis.STATED, ("Data", "Kept by", "What it is", "Kept for"), rows, (4, 3, 9, 5)),
    ]


def _at_the_member(facts: Facts) -> str:
    """For how long a member's program keeps messages: what the card says, unless its member removes them."""
    days = facts.message_days
    kept = f"messages {count(days, 'day')}" if days else "messages as long as the federation card will say (90 days)"
    return f"{kept}, and everything as long as the member keeps the file"


def _log(facts: Facts) -> tuple[str, str, str, str]:
    what = "starts, faults, updates. No addresses, no identifiers, no counts"
    board, server = "about 2 KB, oldest first out", "as long as the server's own log keeps it"
    if facts.server is None:
        return "Log", "relay", what, f"of a board {board}; of a server {server}"
    return "Log", "relay", what, server if facts.server else board


def views(facts: Facts) -> list[Block]:
    """Party by party."""
    rows = [
        (
            "Outsider on the network",
            "that somebody connects to the relay, when, and from which address; how much is downloaded, which is "
            f"{_count(facts)}; how many frames are sent, unless the member runs the agent",
            "content, senders, recipients, exact numbers of messages; cannot post or fetch",
        ),
        (
            "Another member",
            f"the published counts of the buckets it reads, which may be all of them: {_count(facts)}, see the next "
            "section; the messages addressed to it",
            "others' messages, who wrote to whom, exact numbers, even if it knows or inserts every other message",
        ),
        (
            "Operator of the relay, with live access",
            "addresses and times of connections; which bucket a connection posts to or reads; which posts of an epoch "
            "come under one token, so how much one member, whom it cannot name, posts under it; how many records "
            f"of a batch are real{_cohort(facts)}",
            "which member a token belongs to (blind signatures), which member reads (all prove the same reading key, "
            "and each round is a new connection), which recipient a record is for, any content",
        ),
        *copies.views(facts),
        *fleets.views(facts),
        (
            "Issuer (IT)",
            "who is a member; when, and from which address, a member's program renews what it holds: at moments drawn "
            "without regard to what the member does, but for a newcomer or somebody who was away and needs a token for "
            "the epoch that is open",
            "which tokens those are, at which relay the member posts, how long somebody was away (every visit asks for "
            "the same), what tokens are used for, any message. It could give one member other parameters: the first "
            "two who talk notice, as every message carries a mark of them, and so does an audit",
        ),
        (
            "Operator and issuer together",
            "both of the above, and the coincidence of addresses and times. An address seen at both names the member "
            "behind a connection, with its tokens and the buckets that it reads. Of a member who got a token for "
            "the open epoch they could guess, until it ends, which connection is theirs",
            "from the tokens themselves, which member one was issued to: the blindness holds against any computing "
            "power. Times are answered by programs that fetch for epochs ahead and use tokens at random times; "
            "addresses only by the network (proxy, NAT, Tor)",
        ),
        (
            fleets.thief(facts),
            f"ciphertext, bucket and round of records still kept; {fleets.tokens(facts)}; the relay's "
            f"keys{_wifi(facts)}; with the reading key, the published counts, until IT takes the relay off the list, "
            "which changes that key",
            f"senders, recipients, content, anything older than {facts.retention_epochs + 1} epochs "
            f"({in_words((facts.retention_epochs + 1) * facts.epoch_seconds)}){_not_erased(facts)}",
        ),
        (
            "Somebody who was a member",
            "what came to them while they were; that relays and service are there",
            "anything sealed after the epoch in which their membership ended: the reading key and the keys to post "
            "and to renew change with a removal, however much of the old ones they kept",
        ),
    ]
    return [
        Table("What each party can and cannot see", Basis.STATED, ("Party", "Can see", "Cannot see"), rows, (3, 9, 8)),
    ]


def _count(facts: Facts) -> str:
    return "a noisy count" if facts.thresholds else "the same number every round"


def _cohort(facts: Facts) -> str:
    """Of offices whose tokens are signed by cohorts."""
    if facts.cohorts == 1:
        return ""
    each = facts.members // facts.cohorts
    return (
        f"; of which cohort of about {each:,} members a session that posts is ({facts.cohorts} cohorts, as the office "
        "is for so many members); of one that reads it learns nothing"
    )


def _wifi(facts: Facts) -> str:
    if facts.server is None:
        return " and, of a board on Wi-Fi, its password"
    return "" if facts.server else " and its Wi-Fi password, if it has one"


def _not_erased(facts: Facts) -> str:
    if facts.server is None:
        return "; of a server only as far as its disk really erased it"
    return ", as far as the server's disk really erased it" if facts.server else ""


def limits(facts: Facts) -> list[Block]:
    """What this annex does not say."""
    return [
        Paragraph("Risks that the mechanism does not answer; an assessment has to treat them by other means:"),
        Bullets(
            [
                "A member's device that is compromised, lost unlocked, or watched: everything on it is readable there.",
                "Internet addresses. The relay and the network see them; hiding them is the network's task (proxy, "
                "NAT, Tor). A party that sees a member's address at the issuer's service and at a relay knows whose "
                "connection it is, even if cryptography links nothing. Flow logs of routers are data of their own.",
                "That a member posts at all, unless its program runs the agent, which sends the same number of "
                "frames every round whether or not there is something to say.",
                "Load and latency of the relay, and “busy” answers, as a signal to somebody who watches them.",
                "The operator's live view: cover records hide numbers from everyone but the relay itself.",
                *_monitoring(facts),
                *([copies.off(facts)] if fleets.some_alone(facts) else []),
                *fleets.limits(facts),
                "Deniability: the recipient of a message can prove who signed it.",
                "Several records of one member in one round and bucket: they shift one count together. Members' "
                "programs send at most one record in a round to each bucket of each relay; a program that somebody "
                "changed could send more.",
                *([] if facts.server else ["Power and radiation of a board that somebody measures from nearby."]),
                *_erasing(facts),
                "Whether the law named above applies, and whether the processing as a whole is lawful. This annex is "
                "technical evidence, not legal advice.",
            ]
        ),
    ]


def _monitoring(facts: Facts) -> list[str]:
    """What figures for Prometheus show; a board has none."""
    if facts.server is False:
        return []
    return [
        "Monitoring of a server: with tessera serve --metrics-load its figures tell everybody who reads them how much "
        "members write. Without that option they tell nothing of it."
    ]


def _erasing(facts: Facts) -> list[str]:
    if facts.server is False:
        return []
    on_a_board = "" if facts.server else "; on a board, the key is physically erased"
    return [f"Erasure on a server (tessera serve) is as good as its file system and disk{on_a_board}."]
