"""From an invitation to tokens, over a real socket and by files: what goes on where it stopped, what is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tessera_host import qr
from tessera_host.errors import (
    IntegrityError,
    InvalidInput,
    KeystoreError,
    NotOnRoster,
    NotPermitted,
    TesseraError,
    Unreachable,
    UsageError,
)
from tessera_host.issuer import files
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.store import TABLES
from tessera_host.keys.keystore_database import VALUES, KeystoreDatabase
from tessera_host.member import issuer_visit, joining, joining_files, meeting
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.state import MemberState
from tessera_host.protocol import card_files, cards
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.invitation import Invitation, member_fields
from tessera_host.protocol.issuer_connection import IssuerConnection
from tests.support import quick_keystores
from tests.support.fake_federation import FakeFederation
from tests.support.issuer_office import PASSPHRASE, PLAN, Office
from tests.support.issuer_office import office as office
from tests.support.organisation import planned

DAY = 86400
MANY_TOKENS = planned(members=3, tokens_per_epoch=6, retention_epochs=1)


AHEAD = 8


def begin(office: Office, invitation: Invitation, home: str = "ben") -> joining.Begun:
    return joining.begin(office.folder / home, invitation, PASSPHRASE, office.clock)


async def enter(office: Office, invitation: Invitation, home: str = "ben") -> tuple[MemberState, VisitReport]:
    """The command, from its beginning or where it stopped."""
    with begin(office, invitation, home) as begun:
        return await begun.enter()


@contextmanager
def cut_at(monkeypatch: pytest.MonkeyPatch, name: str, *, after: bool) -> Iterator[None]:
    """The connection is cut in every request of this name, before the issuer has it or after."""
    real = getattr(IssuerConnection, name)

    async def cut(self: IssuerConnection, *arguments: Any) -> None:
        if after:
            await real(self, *arguments)
        raise Unreachable("cut")

    with monkeypatch.context() as broken:
        broken.setattr(IssuerConnection, name, cut)
        yield


def reopened(office: Office, member: MemberState) -> MemberState:
    member.close()
    return MemberState.open(office.folder / member.identity.name, PASSPHRASE, office.clock)


def tokens(member: MemberState) -> list[int]:
    """The epochs that there is a token for, at the home relay."""
    wallet, home = member.wallet, member.federation.home.id
    return [epoch for epoch in range(60) if wallet.of(wallet.key(epoch, home))]


def one_each(first: int, last: int) -> list[tuple[int, int]]:
    return [(epoch, 1) for epoch in range(first, last + 1)]


# -- over the network


async def test_an_invitation_is_all_it_takes(office: Office) -> None:
    invitation = Invitation.read(office.invite("ben").card())
    async with office.serving():
        ben, report = await enter(office, invitation)
    assert (report.tokens, report.refusals) == (one_each(0, AHEAD), [])
    assert tokens(ben) == list(range(AHEAD + 1))
    assert issuer_visit.talk_from(ben) == ben.federation.round_start(0) <= office.clock()
    assert ben.federation.home.name == "first"
    assert ben.federation.reading_key(ben.federation.newest) is not None
    assert joining.pending(ben) is None and not joining.has_begun(office.folder / "ben", invitation)
    assert invitation.secret not in _everything(ben.store.data)
    ben.close()


def _everything(value: Any) -> bytes:
    return repr(value).encode().decode("unicode_escape").encode("latin-1", "replace")


async def test_who_joins_writes_in_the_epoch_in_which_it_joins(office: Office) -> None:
    office.clock.now += 5 * DAY
    async with office.serving():
        ben, report = await enter(office, office.invite("ben"))
    assert report.tokens == one_each(5, 5 + AHEAD)
    assert issuer_visit.talk_from(ben) == ben.federation.newest.genesis + 5 * DAY
    assert issuer_visit.access_until(ben) == ben.federation.newest.genesis + (6 + AHEAD) * DAY
    ben.close()


async def test_who_joins_on_the_day_on_which_somebody_left_writes_and_reads_at_once(office: Office) -> None:
    """Though all keys are others from tomorrow on."""
    office.clock.now += 5 * DAY
    with office.it() as issuer:
        issuer.remove("ann")
        first = issuer.parameters.first_epoch
    async with office.serving():
        ben, report = await enter(office, office.invite("ben"))
    assert first == 6 and report.tokens == one_each(5, 5 + AHEAD)
    federation = ben.federation
    in_force = federation.governing(5)
    assert in_force.serial < federation.newest.serial and federation.governing(6) is federation.newest
    assert federation.reading_key(in_force) != federation.reading_key(federation.newest)
    assert None not in (federation.reading_key(in_force), federation.reading_key(federation.newest))
    ben.close()


async def test_joining_that_was_cut_goes_on_with_the_same_identity(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = office.invite("ben")
    with begin(office, invitation) as begun:
        key = begun.identity.key
        with pytest.raises(Unreachable):  # before the issuer knew of it
            await begun.enter()
    async with office.serving():
        with cut_at(monkeypatch, "issue", after=False), pytest.raises(Unreachable, match="cut"):
            await enter(office, invitation)  # it was admitted and has no tokens
        ben = MemberState.open(office.folder / "ben", PASSPHRASE, office.clock)
        joining.check_same(ben, invitation)
        assert (await issuer_visit.visit(ben)).tokens == one_each(0, AHEAD)
        assert (await issuer_visit.visit(ben)).tokens == []
    assert ben.identity.key == key
    ben.close()


async def test_join_answer_lost_on_its_way_does_not_use_the_invitation_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = office.invite("ben")
    async with office.serving():
        with cut_at(monkeypatch, "join", after=True), pytest.raises(Unreachable, match="cut"):
            await enter(office, invitation)
        assert joining.has_begun(office.folder / "ben", invitation)
        ben, report = await enter(office, invitation)
        assert report.tokens == one_each(0, AHEAD)
    ben.close()


async def test_an_invitation_works_once_and_says_so(office: Office) -> None:
    invitation = office.invite("ben")
    async with office.serving():
        thief, _ = await enter(office, invitation, "thief")
        with pytest.raises(NotPermitted, match="already used") as caught:
            await enter(office, invitation)
    assert "tell IT at once" in caught.value.hint
    thief.close()


@pytest.mark.parametrize("used", [False, True])
async def test_what_it_took_back_is_void(office: Office, used: bool) -> None:
    invitation = office.invite("ben")
    if used:
        async with office.serving():
            ben, _ = await enter(office, invitation)
        identity = ben.identity
        ben.close()
    else:
        identity = office.newcomer("ben").identity
    with office.it() as issuer:
        if used:
            issuer.remove("ben")
            with pytest.raises(NotPermitted, match="no open invitation"):
                issuer.revoke("ben")
        else:
            issuer.revoke("ben")
    async with office.serving(), await office.connect() as connection:
        with pytest.raises(NotPermitted, match=r"does not know this invitation|already used"):
            await connection.join(invitation.join_card(identity), identity, office.federation.id)
        with pytest.raises(NotOnRoster):
            await connection.hello(identity, office.federation.id)


async def test_an_invitation_of_before_any_number_of_rotations_works_until_its_date(office: Office) -> None:
    invitation = office.invite("ben", days=30)
    for _ in range(3):
        office.admit_in_the_service("cleo")
        with office.it() as issuer:
            issuer.remove("cleo")
        office.clock.now += 7 * DAY
    async with office.serving():
        ben, report = await enter(office, invitation)
    assert report.tokens == one_each(21, 21 + AHEAD) and ben.federation.newest.access_key != invitation.access
    ben.close()


async def test_a_member_away_over_five_rotations_comes_back_with_one_visit(office: Office) -> None:
    ann = office.member
    async with office.serving():
        assert (await issuer_visit.visit(ann)).tokens == one_each(0, AHEAD)
        for _ in range(5):
            office.admit_in_the_service("cleo")
            with office.it() as issuer:
                issuer.remove("cleo")
            office.clock.now += 5 * DAY
        report = await issuer_visit.visit(ann)
    assert report.news and report.tokens == one_each(25, 25 + AHEAD)
    federation = ann.federation
    assert federation.reading_key(federation.newest) is not None


async def test_who_was_taken_off_the_roster_is_told_what_that_means(office: Office) -> None:
    async with office.serving():
        ben, _ = await enter(office, office.invite("ben"))
        office.clock.now += DAY
        with office.it() as issuer:
            issuer.remove("ben")
        with pytest.raises(NotOnRoster, match="taken you off") as caught:
            await issuer_visit.visit(ben)
        assert "you can write until" in caught.value.hint
        office.clock.now += (AHEAD + 1) * DAY
        with pytest.raises(NotOnRoster) as caught:
            await issuer_visit.visit(ben)
        assert "you can no longer write" in caught.value.hint
    ben.close()


async def test_an_expired_invitation_makes_nothing(office: Office) -> None:
    invitation = office.invite("ben", days=1)
    begun = begin(office, invitation)
    office.clock.now += DAY + 1
    async with office.serving():
        with pytest.raises(NotPermitted, match="expired"):
            begin(office, invitation, "other")
        with begun, pytest.raises(NotPermitted, match="expired"):
            await begun.enter()
    assert not (office.folder / "other").exists()


async def test_an_office_with_another_root_key_is_not_joined(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the service's key and the access key, but not the root key."""
    with Issuer.create(tmp_path / "forged", PASSPHRASE, PLAN, "Office", now=office.clock) as forger:
        forger.add_relay("first", "relay.example", 8100, tmp_path / "forged-relay")
        forged = forger.federation_card
    invitation = office.invite("ben")
    async with office.serving():
        monkeypatch.setattr(Issuer, "federation_card", property(lambda self: forged))
        with pytest.raises(IntegrityError, match="do not match this invitation"):
            await enter(office, invitation)
    assert not joining.has_identity(office.folder / "ben")


async def test_whose_relay_is_gone_by_then_has_another_and_is_told(office: Office, tmp_path: Path) -> None:
    invitation = office.invite("ben")
    with office.it() as issuer:
        issuer.add_relay("second", "other.example", 8100, tmp_path / "second")
        issuer.remove_relay("first")
    async with office.serving():
        ben, _ = await enter(office, invitation)
    assert ben.federation.home.name == "second"
    ben.close()


async def test_another_invitation_does_not_touch_an_identity(office: Office) -> None:
    async with office.serving():
        ben, _ = await enter(office, office.invite("ben"))
        other = office.invite("cleo")
        with pytest.raises(UsageError, match="another identity"):
            joining.check_same(ben, other)
        ben.close()
        with pytest.raises(KeystoreError, match="not overwritten"):
            await enter(office, other, "ben")


async def test_home_relay_is_the_invitation_s(office: Office, tmp_path: Path) -> None:
    with office.it() as issuer:
        second = issuer.add_relay("second", "other.example", 8100, tmp_path / "second")
        with pytest.raises(UsageError, match="several relays"):
            issuer.invite("ben")
        with pytest.raises(UsageError, match="no relay 'third'"):
            issuer.invite("ben", "third")
    async with office.serving():
        ben, _ = await enter(office, office.invite("ben", home="second"))
    ben = reopened(office, ben)
    assert ben.federation.home.key == second.key
    wallet = ben.wallet
    assert [len(wallet.of(wallet.key(1, relay.id))) for relay in ben.federation.relays] == [1, 1]
    assert cards.decode(meeting.invite(ben, "ann")).fields["relay"] == ben.federation.home.id == 2
    ben.close()


async def test_a_visit_brings_new_relays_and_settings(office: Office, tmp_path: Path) -> None:
    async with office.serving():
        ben, _ = await enter(office, office.invite("ben"))
        with office.it() as issuer:
            issuer.add_relay("second", "other.example", 8100, tmp_path / "second")
        assert (await issuer_visit.visit(ben)).news
        ben = reopened(office, ben)
        assert [relay.name for relay in ben.federation.relays] == ["first", "second"]
        assert ben.federation.home.name == "first"
        assert not (await issuer_visit.visit(ben)).news
    ben.close()


# -- the federation card, again


def test_an_older_or_a_foreign_federation_card_changes_nothing(office: Office, tmp_path: Path) -> None:
    older = office.card
    with office.it() as issuer:
        issuer.add_relay("second", "other.example", 8100, tmp_path / "second")
        newer = issuer.federation_card
    federation = Federation(read_card(newer))
    assert not federation.refresh(older, 0)
    assert len(federation.relays) == 2
    with Issuer.create(tmp_path / "foreign", PASSPHRASE, PLAN, "Office", now=office.clock) as foreign:
        for number in range(4):
            foreign.add_relay(f"r{number}", "relay.example", 8100, tmp_path / f"r{number}")
        with pytest.raises(IntegrityError):
            federation.refresh(foreign.federation_card, 0)
    assert [relay.name for relay in federation.relays] == ["first", "second"]


def test_a_card_with_another_set_of_the_same_serial_changes_nothing() -> None:
    sample = FakeFederation()
    federation, digest = sample.known(), sample.parameters.digest
    other = sample.make_set(1, said={"budget": {"epsilon": "9", "delta": "1e-7"}})
    with pytest.raises(IntegrityError, match="contradict each other"):
        federation.refresh(sample.card(other), 0)
    assert federation.digest == digest and federation.budget["epsilon"] != "9"


def test_a_card_says_nothing_that_its_set_does_not_name(office: Office) -> None:
    """Addresses and budget are under the root key's signature, too."""
    federation = Federation(read_card(office.card))
    fields = cards.decode(office.card).fields
    said = cards.decode_said(fields["said"])
    for change in ({"budget": {"epsilon": "9", "delta": "1e-7"}}, {"retention_days": 3650}, {"more": 1}):
        changed = cards.encode("federation", {**fields, "said": cards.said(said | change)})
        with pytest.raises(IntegrityError, match="does not match the settings in it"):
            federation.refresh(changed, 0)
        with pytest.raises(IntegrityError, match="does not match the settings in it"):
            read_card(changed)


def test_what_a_later_program_says_on_a_card_is_kept_and_ignored() -> None:
    sample = FakeFederation()
    later = sample.make_set(2, said={"colour": "green", "relays": [
        {"id": 1, "name": "relay-0", "host": "relay.example", "port": 8100, "copies": [2]}
    ]})  # fmt: skip
    federation = sample.known()
    assert federation.refresh(sample.card(later), 0)
    assert federation.relays == sample.known().relays


# -- invitations


def test_invitations_are_read_as_they_were_written(office: Office) -> None:
    for by_files in (False, True):
        invitation = office.invite(f"ben{by_files}", by_files=by_files)
        assert Invitation.read(invitation.card()) == invitation
        assert (invitation.service is None, invitation.federation_card is not None) == (by_files, by_files)


def test_a_used_invitation_keeps_who_used_it_and_not_its_secret(office: Office) -> None:
    """Whoever gets hold of the issuer's keystore, or of a copy of it, has nothing to join with."""
    invitation, ben = office.invite("ben"), office.create("ben")
    path = office.folder / "issuer" / "issuer.keystore"
    with office.it() as issuer:
        issuer.join(invitation.join_card(ben.identity))
    with KeystoreDatabase.open(path, PASSPHRASE, "issuer") as keystore:
        (entry,) = keystore.table("invitations").values()
        assert (entry["key"], entry["secret"]) == (ben.identity.key, None)
        everything = [keystore.table(name).values() for name in (VALUES, *TABLES)]
        assert invitation.secret not in cbor2.dumps(everything)


def test_an_invitation_fits_a_terminal_s_qr_code(office: Office) -> None:
    assert len(office.invite("alice").card()) < 430
    assert qr.lines(office.invite("bernadette").card(), 80)


def test_invitations_keep_to_the_roster_s_room(office: Office) -> None:
    office.invite("ben")
    with office.it() as issuer:
        with pytest.raises(UsageError, match="open invitation for 'ben'"):
            issuer.invite("ben")
        with pytest.raises(NotPermitted, match="already a member 'ann'"):
            issuer.invite("ann")
        issuer.invite("cleo")
        with pytest.raises(NotPermitted, match="2 of them by open invitations"):
            issuer.invite("dora")
        issuer.revoke("cleo")
        with pytest.raises(UsageError, match="days"):
            issuer.invite("dora", days=0)
        issuer.invite("dora")
    office.clock.now += 8 * DAY
    with office.it() as issuer:
        assert {entry["state"] for entry in issuer.invitations} == {"expired"}
        issuer.invite("ben")
        assert [entry["state"] for entry in issuer.invitations] == ["expired", "open"]


@pytest.mark.parametrize(
    "change",
    [
        {"proof": bytes(32)},
        {"name": "eve"},
        {"key": bytes(31) + b"\1"},
        {"sig": bytes(64)},
        {"invitation": bytes(16)},
    ],
)
def test_a_changed_join_card_admits_nobody_and_uses_nothing_up(office: Office, change: dict[str, Any]) -> None:
    invitation = office.invite("ben")
    ben = office.create("ben")
    card = invitation.join_card(ben.identity)
    with office.it() as issuer:
        with pytest.raises(TesseraError):
            issuer.join(cards.encode("join", cards.decode(card).fields | change))
        assert [member["name"] for member in issuer.roster] == ["ann"]
        assert issuer.join(card) == "ben"
    ben.close()


def test_a_stolen_proof_is_of_no_use_to_another_key(office: Office) -> None:
    """Who sees a join card (a file on its way) cannot join with the key of another."""
    invitation = office.invite("ben")
    ben, eve = office.create("ben"), office.create("eve")
    seen = cards.decode(invitation.join_card(ben.identity)).fields
    own = cards.decode(eve.card()).fields
    with office.it() as issuer:
        with pytest.raises(InvalidInput, match="does not belong"):
            issuer.join(cards.encode("join", seen | {"key": own["key"], "sig": own["sig"], "name": "eve"}))
        as_ben = member_fields(eve.identity._replace(name="ben"), ben.federation.id)
        with pytest.raises(InvalidInput, match="does not belong"):
            issuer.join(cards.encode("join", seen | as_ben))
        assert issuer.join(invitation.join_card(ben.identity)) == "ben"
    ben.close()
    eve.close()


def test_who_was_removed_does_not_join_again_by_the_invitation_of_before(office: Office) -> None:
    invitation, ben = office.invite("ben"), office.create("ben")
    card = invitation.join_card(ben.identity)
    with office.it() as issuer:
        assert issuer.join(card) == issuer.join(card) == "ben"  # an answer that was lost is given again
        issuer.remove("ben")
        with pytest.raises(NotPermitted, match="already used"):
            issuer.join(card)
        assert "ben" not in [member["name"] for member in issuer.roster]
    ben.close()


# -- by files


class Trips:
    """A member and IT who hand each other files."""

    def __init__(self, office: Office, name: str = "ben") -> None:
        self.office = office
        self.invitation = Invitation.read(office.invite(name, by_files=True).card())
        self.member = joining.begin_by_files(office.folder / name, self.invitation, PASSPHRASE, office.clock)

    def step(self, answer: str | None = None) -> str | None:
        """The member takes a file and makes the next; None when nothing is left to ask for."""
        self.member = reopened(self.office, self.member)
        made = joining_files.step(self.member, answer)
        return made.text(self.member) if made.cards else None

    def it(self, text: str) -> str:
        with self.office.it() as issuer:
            return files.answer(issuer, text).text(issuer)


@pytest.fixture
def trips(office: Office) -> Any:
    made = Trips(office)
    yield made
    made.member.close()


def kinds(text: str | None) -> list[str]:
    return [cards.decode(card).kind for card in card_files.read(text or "")[0]]


def asked(text: str | None) -> list[str]:
    """The token cards of a file."""
    return [line for line in (text or "").splitlines() if line.startswith("tessera:tokens")]


def test_two_trips_and_the_member_is_there(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    assert kinds(first) == ["join", "tokens-request"]
    offers = trips.it(first)
    assert kinds(offers) == ["federation", "sets", "reading", "tokens-offer"]
    second = trips.step(offers)
    assert second is not None
    assert kinds(second) == ["tokens-challenge"]
    federation = trips.member.federation
    assert federation.reading_key(federation.newest) is not None
    assert trips.step(trips.it(second)) is None
    assert tokens(trips.member) == list(range(AHEAD + 1))
    assert joining.pending(trips.member) is None
    with trips.office.it() as issuer:
        assert [member["name"] for member in issuer.roster] == ["ann", "ben"]


def unsealed(text: str) -> list[str]:
    """The cards of a file, but the reading card, which is sealed anew each time."""
    return [card for card in card_files.read(text)[0] if not card.startswith("tessera:reading:")]


def test_every_file_may_be_lost_or_handed_over_twice(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    assert asked(trips.step()) == asked(first)  # lost: made again
    offers = trips.it(first)
    assert unsealed(trips.it(first)) == unsealed(offers)
    second = trips.step(offers)
    assert trips.step(offers) == second
    assert trips.step() == second
    assert second is not None
    answers = trips.it(second)
    assert unsealed(trips.it(second)) == unsealed(answers)
    assert trips.step(answers) is None
    assert trips.step(answers) is None
    assert trips.step(offers) is None
    assert tokens(trips.member) == list(range(AHEAD + 1))


def test_with_a_new_set_it_is_one_file_each_way(trips: Trips) -> None:
    """IT makes a file for everybody, with the reading keys and offers; the challenges come back, then the tokens go."""
    answers = trips.it(str(trips.step(trips.it(str(trips.step())))))
    assert trips.step(answers) is None
    trips.office.clock.now += 5 * DAY
    with trips.office.it() as issuer:
        issuer.remove("ann")
        newest = issuer.parameters
        (made,) = files.member_files(issuer)
    assert (made.member, made.offered) == ("ben", True)
    reply = trips.step(made.text)
    assert reply is not None and "tokens-challenge" in kinds(reply)
    trips.step(trips.it(reply))
    federation = trips.member.federation
    assert federation.digest == newest.digest and federation.reading_key(federation.newest) is not None
    held = {(token.generation, token.epoch) for token in trips.member.data.tokens.tokens}
    assert {(newest.generation, epoch) for epoch in range(6, 6 + AHEAD)} <= held


def test_who_joins_by_files_while_new_keys_wait_reads_and_writes_at_once(trips: Trips) -> None:
    trips.office.clock.now += 5 * DAY
    with trips.office.it() as issuer:
        issuer.remove("ann")
        newest = issuer.parameters
    text = trips.step()
    while text:
        text = trips.step(trips.it(text))
    federation, held = trips.member.federation, trips.member.data.tokens.tokens
    in_force = federation.governing(5)
    assert (newest.first_epoch, in_force.serial, federation.digest) == (6, newest.serial - 1, newest.digest)
    assert None not in (federation.reading_key(in_force), federation.reading_key(newest))
    assert {(1, 5), (2, 6)} <= {(token.generation, token.epoch) for token in held}


def test_files_in_the_wrong_hands_are_named(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    offers = trips.it(first)
    with pytest.raises(InvalidInput, match="nothing from IT"):
        trips.step(first)
    with trips.office.it() as issuer:
        with pytest.raises(InvalidInput, match="not for IT"):
            files.answer(issuer, offers)
        with pytest.raises(InvalidInput, match="no cards in this file"):
            files.answer(issuer, "# nothing\n")
        with pytest.raises(InvalidInput, match="tessera issuer admit"):
            files.answer(issuer, trips.member.card())
    with pytest.raises(InvalidInput, match="damaged"):
        trips.step(offers[:-20])
    assert trips.step(offers) is not None


def test_what_it_refuses_of_a_file_is_written_into_the_reply(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    trips.office.clock.now += DAY + 1  # a request is not taken so late
    reply = trips.it(first)
    assert kinds(reply) == ["federation", "sets", "reading"]
    assert sum("Refused: the date of the request" in line for line in reply.splitlines()) == 1
    made = joining_files.step(trips.member, reply)
    assert [remark.split(":")[0] for remark in made.remarks[1:]] == ["Refused"]
    assert kinds(made.text(trips.member)) == ["tokens-request"]
    assert kinds(trips.it(made.text(trips.member))) == ["federation", "sets", "reading", "tokens-offer"]


def test_a_card_that_mail_has_broken_into_lines_is_read(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    lines = first.splitlines()[1:]
    broken = "\n".join(line[at : at + 70] for line in lines for at in range(0, len(line), 70))
    assert kinds(trips.it(broken)) == ["federation", "sets", "reading", "tokens-offer"]


def test_a_request_that_lay_for_half_a_day_is_made_anew(trips: Trips) -> None:
    first = trips.step()
    trips.office.clock.now += 13 * 3600
    again = trips.step()
    assert kinds(again) == kinds(first)
    assert not set(asked(again)) & set(asked(first))


def test_more_tokens_than_one_request_may_ask_for_take_more_trips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_keystores.use(monkeypatch)
    office = Office(tmp_path, MANY_TOKENS)
    trips = Trips(office)
    text, count = trips.step(), 0
    while text:
        text, count = trips.step(trips.it(text)) or trips.step(), count + 1
    wallet, home = trips.member.wallet, trips.member.federation.home.id
    assert [len(wallet.of(wallet.key(epoch, home))) for epoch in (0, AHEAD, AHEAD + 1)] == [6, 6, 0]
    assert count == 4
    trips.member.close()
    office.member.close()


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda text: text.replace("invitation", "join"), str.upper])
def test_a_damaged_invitation_is_none(office: Office, damage: Callable[[str], str]) -> None:
    with pytest.raises(InvalidInput):
        Invitation.read(damage(office.invite("ben").card()))


def test_a_member_whose_home_relay_was_taken_out_of_service_is_not_without_one(office: Office, tmp_path: Path) -> None:
    with office.it() as issuer:
        issuer.add_relay("second", "other.example", 8100, tmp_path / "second")
        federation = Federation(read_card(issuer.federation_card))
        federation.choose_home("first")
        issuer.remove_relay("first")
        assert federation.refresh(issuer.federation_card, 0)
    assert federation.home.name == "second"
