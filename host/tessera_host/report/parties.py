"""Which data there is, where and for how long, and what each party can see of it: the tables a DPIA begins with.

Owns these words. They follow DESIGN §1, §6, §8 and docs/privacy/threat-model.md: a change of what a part keeps changes
them here.
"""

from ..duration import in_words
from . import copies
from .document import Basis, Block, Bullets, Paragraph, Table
from .facts import Facts


def inventory(facts: Facts) -> list[Block]:
    """What is kept, by whom, what for, until when."""
    kept = in_words(facts.retention_epochs * facts.epoch_seconds)
    epoch = in_words(facts.epoch_seconds)
    rows = [
        (
            "Records",
            copies.keepers(facts),
            "240 bytes each, end-to-end encrypted; beside it the bucket and the round. No sender, no recipient",
            f"{kept} and the open epoch ({epoch}); then the key is erased",
        ),
        (
            "Cover records",
            "relay",
            "not stored: recomputed from a secret of the epoch, which is erased with the epoch's records",
            "as records",
        ),
        (
            "Use of tokens",
            "relay",
            "8 bytes of a hash of each token that posted and how much of its quota was used. Tokens are blind: they "
            "name no member. Reading leaves nothing",
            f"the open epoch ({epoch})",
        ),
        (
            "Internet addresses",
            "relay, in memory",
            "of connections that are open; the relay cannot tell whose they are",
            "the connection; written nowhere",
        ),
        (
            "Internet addresses",
            "issuer's service, in memory",
            "of members who join or renew what they hold: they sign what they ask for, so the service knows whose "
            "address it sees, and when. The agent comes at drawn moments, whatever its member does",
            "the connection; written nowhere",
        ),
        (
            "Log",
            "relay",
            "starts, faults, updates. No addresses, no identifiers, no counts",
            "about 2 KB, oldest first out",
        ),
        (
            "Privacy ledger",
            "relay, auditors",
            "a signed checkpoint an epoch; public figures only",
            "at least 256 epochs",
        ),
        ("Roster", "issuer", "name and public key of each member", "until removed from the roster"),
        (
            "Invitations",
            "issuer",
            "name and home relay; until it is used, a secret that lets one person join",
            "a month after it has expired",
        ),
        (
            "Token counts",
            "issuer",
            "for each epoch and relay whether a member was given its tokens; not which, and every member gets the same",
            "until that epoch is over",
        ),
        (
            "Identity, contacts, messages",
            "the member's own device",
            "keys, tokens, the office's signed settings, names of contacts, messages sent and received, times of own "
            "posts within a day; encrypted with a passphrase",
            "as the member wishes",
        ),
    ]
    return [
        Paragraph(
            "These are all the data that the relay, the issuer and the members' programs keep. The content of "
            "messages exists in readable form on the two members' devices only. Connection data beyond it (for "
            "example flow logs of the office's network or of an internet provider) is outside the system: see “What "
            "is not covered”."
        ),
        Table("Data inventory", Basis.STATED, ("Data", "Kept by", "What it is", "Kept for"), rows, (4, 3, 9, 5)),
    ]


def views(facts: Facts) -> list[Block]:
    """Party by party."""
    rows = [
        (
            "Outsider on the network",
            "that somebody connects to the relay, when, and from which address; how much is downloaded, which is "
            f"{_count(facts)}; how many frames are sent, unless the member's program runs its steady agent",
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
            "addresses and times of connections; that a connection posts a record, and into which bucket; that one "
            "reads, and which bucket",
            "which member a token belongs to (blind signatures), which member reads (all prove the same key, and come "
            "anew each round), which recipient a record is for, any content. It can see past the cover, which "
            "protects against everyone else",
        ),
        *copies.views(facts),
        (
            "Issuer (IT)",
            "who is a member; when, and from which address, a member's program renews what it holds: at moments drawn "
            "without regard to what the member does, but for a newcomer or somebody who was away and needs a token for "
            "the epoch that is open",
            "which tokens those are, from which relay one is wanted, how long somebody was away (every visit asks for "
            "the same), what tokens are used for, any message. It could give one member other settings than the rest: "
            "the first two who talk notice, as every message carries a mark of the settings, and so does an audit",
        ),
        (
            "Operator and issuer together",
            "both of the above, and the coincidence of times: who asked for tokens when, and when tokens are used. Of "
            "a member who got a token for the open epoch they could guess, until it ends, which connection is theirs",
            "a link between a token and the member it was issued to: the blindness holds against any computing power. "
            "Times are answered by programs that fetch for epochs ahead and use tokens at random times",
        ),
        (
            "Thief of the relay, switched off",
            "ciphertext, bucket and round of records still kept, the relay's keys and its Wi-Fi password; with the key "
            "to read, the published counts, until IT takes the relay off the list, which changes that key",
            f"senders, recipients, content, anything older than {facts.retention_epochs + 1} epochs "
            f"({in_words((facts.retention_epochs + 1) * facts.epoch_seconds)})",
        ),
        (
            "Somebody who was a member",
            "what came to them while they were; that relays and service are there",
            "anything sealed after the epoch in which their membership ended: keys to read, to post and to renew "
            "change with a removal, however much of the old ones they kept",
        ),
    ]
    return [
        Table("What each party can and cannot see", Basis.STATED, ("Party", "Can see", "Cannot see"), rows, (4, 8, 8)),
    ]


def _count(facts: Facts) -> str:
    return "a noisy count" if facts.thresholds else "the same number every round"


def limits() -> list[Block]:
    """What this annex does not say."""
    return [
        Paragraph("Risks that the mechanism does not answer; an assessment has to treat them by other means:"),
        Bullets(
            [
                "A member's device that is compromised, lost unlocked, or watched: everything on it is readable there.",
                "Internet addresses. The relay and the network see them; hiding them is the network's task (proxy, "
                "NAT, Tor). Flow logs of routers are data of their own.",
                "That a member posts at all, unless its program runs the steady agent, which sends the same number of "
                "frames every round whether or not there is something to say.",
                "Load and latency of the relay, and “busy” answers, as a signal to somebody who watches them.",
                "The operator's live view: cover records hide numbers from everyone but the relay itself.",
                "A relay that is switched off or unplugged: messages wait at their senders.",
                "Deniability: the recipient of a message can prove who signed it.",
                "Several records of one member in one round and bucket: they shift one count together. The programs "
                "send one at most; a program that somebody changed could send more.",
                "Power and radiation of a board that somebody measures from nearby.",
                "Erasure on a server (tessera serve) is as good as its file system and disk; on a board, the key is "
                "physically erased.",
                "Whether the law named above applies, and whether the processing as a whole is lawful. This annex is "
                "technical evidence, not legal advice.",
            ]
        ),
    ]
