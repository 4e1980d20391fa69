"""Getting more tokens than were issued. Members finish a session twice: at once, with another challenge, after the
issuer restarted, from a copy of the card; and they open sessions to leave them. The issuer is the product's, with its
keystore on disk. Bound: no second answer, ever; never more than four sessions open under a key; every opened one is
charged.
"""

import tempfile
from collections import Counter
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from coincurve import PrivateKey

from tessera_host.errors import TesseraError
from tessera_host.issuer.issuance import Key
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tests.results import Row
from tests.support.clock import Clock
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.organisation import Organisation, new_issuer, planned

MEMBERS = 20
# Whatever a board has room for: no relay runs here.
PLAN = planned(epsilon=Fraction("0.5"), members=MEMBERS, tokens_per_epoch=1, retention_epochs=1, board="GATEWAY")
RELAY_KEY = PrivateKey(b"\7" * 32).public_key.format()


class Desk(Organisation):
    """An issuer that can be switched off and on."""

    def __init__(self, folder: Path) -> None:
        clock = Clock()
        super().__init__(folder, new_issuer(folder, PLAN, clock=clock), clock)
        self.issuer.add_relay_keys("first", "relay.example", 8100, RELAY_KEY, RELAY_KEY[1:])

    def offer(self, member: FakeMember) -> str:
        return self.issuer.offer(member.request(1, self.issuer.current_epoch, self.clock.now))


def finish_twice(desk: Desk, member: FakeMember, found: Counter[str]) -> None:
    """One honest finish, then every other that a member could try."""
    offer, newest = desk.offer(member), desk.issuer.parameters
    card, pending = member.challenge(offer, newest)
    other, _ = member.challenge(offer, newest)
    answer = desk.issuer.answer(card)
    found["tokens"] += good_tokens(answer, pending)
    for again in (card, other):
        found["attempts"] += 1
        with suppress(TesseraError):
            found["second answers"] += desk.issuer.answer(again) != answer  # the one that was given may be given again


def open_and_leave(desk: Desk, members: list[FakeMember], found: Counter[str]) -> None:
    """Each asks for sessions it will not finish; patience passes now and then."""
    for number, member in enumerate(members):
        try:
            desk.offer(member)
            found["opened"] += 1
        except TesseraError:
            found["refused to open"] += 1
        found["most open"] = max(found["most open"], desk.issuer._store.issuance.open_sessions(Key(1, 1, RELAY_KEY)))
        desk.clock.now += 1800 if number % 5 == 4 else 1


def play(rounds: int) -> tuple[Counter[str], bool]:
    """(counts, whether every member is charged what it opened)"""
    found: Counter[str] = Counter()
    charged = True
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            desk = Desk(Path(folder))
            members = [desk.admit_fake(f"member {number}") for number in range(MEMBERS)]
            for number, member in enumerate(members[:8]):
                finish_twice(desk, member, found)
                if number % 4 == 3:
                    desk.restart_issuer()
                    found["restarts"] += 1
            open_and_leave(desk, members[8:], found)
            issuance = desk.issuer._store.issuance
            charged &= all(issuance.charged(member.key, 1) == [1] for member in members[:8])
            desk.issuer.close()
    return found, charged


def run(scale: float = 1.0) -> list[Row]:
    found, charged = play(max(1, round(25 * scale)))
    second = f"{found['second answers']} of {found['attempts']:,} attempts, {found['restarts']} restarts between"
    opened = f"at most {found['most open']} open of {found['opened']:,} opened, {found['refused to open']:,} refused"
    return [
        Row("finishing a session twice", second, "0", found["second answers"] == 0),
        Row(
            "sessions opened and left",
            opened,
            f"≤ {OPEN_SESSIONS_PER_KEY}",
            found["most open"] <= OPEN_SESSIONS_PER_KEY,
        ),
        Row("tokens against what was charged", f"{found['tokens']:,} tokens issued", "all charged", charged),
    ]
