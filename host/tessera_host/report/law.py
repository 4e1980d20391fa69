"""Which mechanism in force answers which provision. Quotations are short and marked; the judgement is the reader's.

Owns these words. CCPA section numbers moved when the CPRA took effect on 1 January 2023: § 1798.140(o), the definition
of personal information, is § 1798.140(v) since.
"""

from ..duration import in_words
from ..kinds_of_cover import DELIVERY
from ..planning import figures
from ..privacy import noise
from . import copies, fleets
from .document import Basis, Block, Paragraph, Table
from .facts import Facts, at_most


def mapping(facts: Facts) -> list[Block]:
    """The table."""
    kept = in_words(facts.retention_epochs * facts.epoch_seconds)
    rows = [
        (
            "GDPR Art. 5(1)(c) data minimisation",
            "data “limited to what is necessary”",
            "Records name no sender and no recipient; buckets are read whole; neither tokens nor the reading key name "
            "a member; the relay keeps no addresses. What a message needs to arrive is not stored as data about "
            "persons",
        ),
        (
            "GDPR Art. 25(1) data protection by design",
            "measures “designed to implement data-protection principles”",
            f"{_cover(facts)}, as part of the signed parameters; {_code(facts)}; key erasure ends retention",
        ),
        (
            "GDPR Art. 25(2) data protection by default",
            "“by default, only personal data which are necessary”",
            "Cover cannot be switched off; a member's program sends at most one record in a round to each bucket of "
            f"each relay; {_day(facts)}plans for fewer than 20 members a bucket are refused unless told otherwise",
        ),
        (
            "GDPR Art. 32(1)(a) pseudonymisation and encryption",
            "“the pseudonymisation and encryption of personal data”",
            "End-to-end encryption (AES-256-GCM-SIV) under keys that change with every record; blinded signatures "
            "under pseudonyms only the recipient can resolve; encrypted channel to the relay; encrypted keystores",
        ),
        (
            "GDPR Art. 32(1)(b), (c) confidentiality, integrity, resilience",
            "“confidentiality, integrity, availability and resilience”",
            "A record is acknowledged after it is stored and read back; nothing acknowledged is lost in a power cut; "
            f"records are authenticated end to end{copies.resilience(facts)}{fleets.resilience(facts)}",
        ),
        (
            "GDPR Art. 32(1)(d) regular testing of effectiveness",
            "“a process for regularly testing, assessing and evaluating”",
            "The privacy ledger: for each epoch a signed checkpoint, chained to the one before; tessera audit verifies "
            "it and writes this annex",
        ),
        (
            "ePrivacy Directive 2002/58/EC Art. 5(1) confidentiality of communications and traffic data",
            "no “listening, tapping, storage or other kinds of interception”",
            "Content is readable by the two members only. Of traffic data the relay stores bucket and round of a "
            f"record, for {kept} and the open epoch{_everywhere(facts)}, and {fleets.tokens(facts)}"
            f"{fleets.traffic_data(facts)}. Whether an internal relay is a “publicly available” service is a "
            "legal question",
        ),
        (
            "ePrivacy Directive Art. 5(3) terminal equipment",
            "storage “strictly necessary” for a service requested by the user",
            "The member's program keeps its keystore, and what the member asks for beside it: settings, an entry that "
            "starts the agent at login, backups, saved files. Of the device it reads what the member names, and "
            "nothing is tracked",
        ),
        (
            "CCPA § 1798.140(o) personal information (since the CPRA: § 1798.140(v))",
            "information that “identifies, relates to, describes …” a consumer",
            "The roster (issuer) and addresses of open connections (relay, in memory) can be personal information. "
            "Records, published counts and the ledger contain no identifier of a person."
            f"{fleets.personal_information(facts)} Whether they are personal information in context is for the reader "
            "to judge",
        ),
    ]
    return [
        Paragraph(
            "The table names the mechanism that is in force for the parameters of this annex. It does not say that a "
            "provision applies, nor that it is satisfied: that is an assessment of the processing as a whole."
        ),
        Table("Provisions and mechanisms", Basis.STATED, ("Provision", "Its words", "Mechanism"), rows, (5, 5, 10)),
    ]


def _everywhere(facts: Facts) -> str:
    return f", at each of {facts.copies} relays" if facts.copies > 1 else ""


def _code(facts: Facts) -> str:
    """Of a board its updates are signed; on a server nothing can promise that."""
    board = "boards take no update that the issuer's root key did not sign"
    server = "on a server the code is what its operator installed"
    if facts.server is None:
        return f"{board}; {server}"
    return server if facts.server else board


def _cover(facts: Facts) -> str:
    if not facts.thresholds:
        return f"Cover records that fill every batch up to {facts.constant}, whatever is sent"
    day = f"ε = {noise.decimal(facts.day[0])}, δ = {noise.decimal_up(facts.day[1])}"
    if facts.cover == DELIVERY:
        epsilon, delta = noise.decimal(facts.delivery[0]), noise.decimal_up(facts.delivery[1])
        return (
            f"Cover records in numbers drawn from a table, with which one delivery shows at most ε = {epsilon}, δ = "
            f"{delta}; members' programs keep a day within {day}"
        )
    return f"Cover records in numbers drawn from a table, with which a member's day shows at most {day}"


def _day(facts: Facts) -> str:
    if not facts.thresholds:
        return "nothing that is published depends on what members send, so there is no budget to keep; "
    month = facts.loss(figures.A_MONTH)
    longer = f"; for longer there is no limit, and a month of such days shows {at_most(month)}" if month else ""
    return (
        f"a budget of ε = {noise.decimal(facts.day[0])}, δ = {noise.decimal_up(facts.day[1])} in any 24 hours, "
        f"beyond which the members' programs wait{longer}; "
    )
