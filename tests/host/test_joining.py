"""From an invitation to tokens, over a real socket and by files: what goes on where it stopped, what is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
from tessera_host.keys.keystore import Keystore
from tessera_host.member import issuer_visit, joining, joining_files, meeting
from tessera_host.member.issuer_visit import VisitReport
from tessera_host.member.renewal import Renewal
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


def begin(office: Office, invitation: Invitation, home: str = "ben") -> joining.Begun:
    return joining.begin(office.folder / home, invitation, PASSPHRASE, office.clock)


async def enter(office: Office, invitation: Invitation, home: str = "ben") -> tuple[MemberState, VisitReport]:
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


def tokens(member: MemberState, relay: int | None = None) -> list[int]:
    """How many there are for the open epoch and those after it."""
    wallet, home, now = member.wallet, relay or member.federation.home.id, member.epoch()
    ahead = int(member.federation.newest.ahead)
    return [len(wallet.of(wallet.key(epoch, home))) for epoch in range(now, now + ahead + 1)]


def all_tokens(member: MemberState) -> list[int]:
    newest = member.federation.newest
    return [int(newest.tokens_per_epoch)] * (int(newest.ahead) + 1)


# -- over the network


async def test_an_invitation_is_all_it_takes(office: Office) -> None:
    invitation = Invitation.read(office.invite("ben").card())
    async with office.serving():
        ben, report = await enter(office, invitation)
    assert report.refusals == []
    assert tokens(ben) == all_tokens(ben)
    moment = issuer_visit.talk_from(ben)
    assert moment is not None and moment <= office.clock()
    assert ben.federation.home.name == "first"
    assert ben.federation.reading_key(ben.federation.newest) is not None
    assert joining.pending(ben) is None
    assert not joining.has_begun(office.folder / "ben")
    assert invitation.secret not in _everything(ben.store.data)
    assert not Renewal(ben).is_due()
    ben.close()


def _everything(value: Any) -> bytes:
    return repr(value).encode().decode("unicode_escape").encode("latin-1", "replace")


async def test_who_joins_later_can_talk_at_once(office: Office) -> None:
    office.clock.now += 5 * DAY
    async with office.serving():
        ben, _ = await enter(office, office.invite("ben"))
    federation, now = ben.federation, ben.epoch()
    assert issuer_visit.talk_from(ben) == federation.round_start(federation.first_round(now))
    ahead = int(federation.newest.ahead)
    assert issuer_visit.access_until(ben) == federation.round_start(federation.first_round(now + ahead + 1))
    ben.close()


async def test_joining_that_was_cut_goes_on_with_the_same_identity(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = office.invite("ben")
    with begin(office, invitation) as begun:
        key = begun.identity.key
        with pytest.raises(Unreachable):  # before the issuer knew of it
            await begun.enter()
    with begin(office, invitation) as begun:
        assert begun.identity.key == key
    async with office.serving():
        with cut_at(monkeypatch, "issue", after=False), pytest.raises(Unreachable, match="cut"):
            await enter(office, invitation)  # it was admitted and has no tokens
        assert not joining.has_begun(office.folder / "ben")
        ben = MemberState.open(office.folder / "ben", PASSPHRASE, office.clock)
        joining.check_same(ben, invitation)
        assert ben.identity.key == key
        await issuer_visit.visit(ben)
        assert tokens(ben) == all_tokens(ben)
        assert (await issuer_visit.visit(ben)).tokens == []
    ben.close()


async def test_join_answer_lost_on_its_way_does_not_use_the_invitation_up(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = office.invite("ben")
    async with office.serving():
        with cut_at(monkeypatch, "join", after=True), pytest.raises(Unreachable, match="cut"):
            await enter(office, invitation)
        assert joining.has_begun(office.folder / "ben")
        ben, _ = await enter(office, invitation)
        assert tokens(ben) == all_tokens(ben)
    ben.close()


async def test_an_invitation_works_once_and_says_so(office: Office) -> None:
    invitation = office.invite("ben")
    async with office.serving():
        thief, _ = await enter(office, invitation, "thief")
        with pytest.raises(NotPermitted, match="used already") as caught:
            await enter(office, invitation)
    assert "tell IT at once" in caught.value.hint
    assert not joining.has_begun(office.folder / "ben")  # these keys will never be a member's
    thief.close()


@pytest.mark.parametrize("used", [False, True])
async def test_what_it_took_back_is_void(office: Office, used: bool) -> None:
    invitation = office.invite("ben")
    if used:
        async with office.serving():
            ben, _ = await enter(office, invitation)
            ben.close()
    with office.it() as issuer:
        if used:
            issuer.remove("ben")
            with pytest.raises(NotPermitted, match="no open invitation"):
                issuer.revoke("ben")
        else:
            issuer.revoke("ben")
    async with office.serving():
        with pytest.raises(NotPermitted, match=r"does not know this invitation|used already"):
            await enter(office, invitation, "again")


async def test_who_was_taken_off_the_roster_is_told_what_that_means(office: Office) -> None:
    async with office.serving():
        ben, _ = await enter(office, office.invite("ben"))
        with office.it() as issuer:
            issuer.remove("ben")
        with pytest.raises(NotOnRoster, match="taken you off") as caught:
            await issuer_visit.visit(ben)
        assert "lets you write until" in caught.value.hint
        office.clock.now += 10 * DAY
        with pytest.raises(NotOnRoster) as caught:
            await issuer_visit.visit(ben)
        assert "you can write no more" in caught.value.hint
    ben.close()


async def test_an_expired_invitation_makes_nothing(office: Office) -> None:
    invitation = office.invite("ben", days=1)
    with begin(office, invitation) as late:
        office.clock.now += DAY + 1
        with pytest.raises(NotPermitted, match="expired"):
            begin(office, invitation, "other")
        async with office.serving():
            with pytest.raises(NotPermitted, match="expired"):
                await late.enter()
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
        with pytest.raises(IntegrityError, match="not those of this invitation"):
            await enter(office, invitation)
    assert not joining.has_identity(office.folder / "ben")


async def test_an_invitation_to_a_relay_that_is_gone_is_to_another_and_says_so(office: Office, tmp_path: Path) -> None:
    invitation = office.invite("ben")
    with office.it() as issuer:
        issuer.add_relay("second", "other.example", 8100, tmp_path / "second")
        issuer.remove_relay("first")
    async with office.serving():
        ben, _ = await enter(office, invitation)
    assert ben.federation.home.name == "second"
    assert ben.remarks == ["The relay first of your invitation is gone: your mailbox is on second."]
    ben.close()


async def test_an_invitation_by_files_to_a_relay_that_is_gone_makes_nothing(office: Office) -> None:
    invitation = replace(Invitation.read(office.invite("ben", by_files=True).card()), home="gone")
    with pytest.raises(InvalidInput, match="'gone' of this invitation is not in service"):
        joining.begin_by_files(office.folder / "ben", invitation, PASSPHRASE, office.clock)
    assert not (office.folder / "ben").exists()


async def test_another_invitation_does_not_touch_an_identity(office: Office) -> None:
    mine, other = office.invite("ben"), office.invite("cleo")
    begin(office, mine).__exit__()
    with pytest.raises(UsageError, match="another invitation"):
        begin(office, other)
    async with office.serving():
        ben, _ = await enter(office, mine)
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
    assert [tokens(ben, relay.id) for relay in ben.federation.relays] == [all_tokens(ben)] * 2
    assert cards.decode(meeting.invite(ben, "ann")).fields["relay"] == second.key
    ben.close()


async def test_a_visit_brings_new_relays_and_settings(office: Office, tmp_path: Path) -> None:
    async with office.serving():
        ben, report = await enter(office, office.invite("ben"))
        assert not report.news
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
    with pytest.raises(IntegrityError, match="exclude each other"):
        federation.refresh(sample.card(other), 0)
    assert federation.digest == digest and federation.budget["epsilon"] != "9"


def test_a_card_with_other_addresses_is_a_set_of_its_own() -> None:
    sample = FakeFederation()
    federation = sample.known()
    moved = [{"id": 1, "name": "relay-0", "host": "moved.example", "port": 1}]
    newer = sample.make_set(2, said={"relays": moved})
    fields = cards.decode(sample.card()).fields | {"said": cards.decode(sample.card(newer)).fields["said"]}
    with pytest.raises(IntegrityError, match="do not name"):
        federation.refresh(cards.encode("federation", fields), 0)
    assert federation.refresh(sample.card(newer), 0)
    assert federation.home.host == "moved.example"


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
    with Keystore.open(path, PASSPHRASE, "issuer") as keystore:
        (entry,) = keystore.data["invitations"]
        assert (entry["key"], entry["secret"]) == (ben.identity.key, None)
        assert invitation.secret not in cbor2.dumps(keystore.data)


def test_an_invitation_fits_a_terminal_s_qr_code(office: Office) -> None:
    assert len(office.invite("alice").card()) < 430
    assert qr.lines(office.invite("bernadette").card(), 80)


def test_invitations_keep_to_the_roster_s_room(office: Office) -> None:
    office.invite("ben")
    with office.it() as issuer:
        with pytest.raises(UsageError, match="open invitation for 'ben'"):
            issuer.invite("ben")
        with pytest.raises(NotPermitted, match="another member 'ann'"):
            issuer.invite("ann")
        issuer.invite("cleo")
        with pytest.raises(NotPermitted, match="2 of them for open invitations"):
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
        with pytest.raises(NotPermitted, match="used already"):
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
    assert kinds(offers) == ["federation", "reading", "tokens-offer"]
    second = trips.step(offers)
    assert second is not None
    assert kinds(second) == ["tokens-challenge"]
    assert trips.step(trips.it(second)) is None
    assert tokens(trips.member) == all_tokens(trips.member)
    assert joining.pending(trips.member) is None
    assert trips.member.federation.reading_key(trips.member.federation.newest) is not None
    with trips.office.it() as issuer:
        assert [member["name"] for member in issuer.roster] == ["ann", "ben"]


def test_who_renews_needs_one_file_each_way_and_the_last_one_in(trips: Trips) -> None:
    """IT begins: `issuer renew --out`."""
    trips.step(trips.it(str(trips.step(trips.it(str(trips.step()))))))
    trips.office.clock.now += 5 * DAY
    with trips.office.it() as issuer:
        offers = {each.member: each.text for each in files.unasked(issuer)}["ben"]
    assert kinds(offers) == ["federation", "reading", "tokens-offer"]
    second = trips.step(offers)
    assert kinds(second) == ["tokens-challenge"]
    assert trips.step(trips.it(str(second))) is None
    assert tokens(trips.member) == all_tokens(trips.member)


def test_every_file_may_be_lost_or_handed_over_twice(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    assert asked(trips.step()) == asked(first)  # lost: made again
    offers = trips.it(first)
    assert asked(trips.it(first)) == asked(offers)
    second = trips.step(offers)
    assert trips.step(offers) == second
    assert trips.step() == second
    assert second is not None
    answers = trips.it(second)
    assert asked(trips.it(second)) == asked(answers)
    assert trips.step(answers) is None
    assert trips.step(answers) is None
    assert trips.step(offers) is None
    assert tokens(trips.member) == all_tokens(trips.member)


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
    trips.office.clock.now += 3 * DAY  # the request is too old
    reply = trips.it(first)
    assert kinds(reply) == ["federation", "reading"]
    assert sum("Refused: " in line for line in reply.splitlines()) == 1
    made = joining_files.step(trips.member, reply)
    assert [remark.split(":")[0] for remark in made.remarks[1:]] == ["Refused"]
    assert kinds(made.text(trips.member)) == ["tokens-request"]
    assert kinds(trips.it(made.text(trips.member))) == ["federation", "reading", "tokens-offer"]


def test_a_card_that_mail_has_broken_into_lines_is_read(trips: Trips) -> None:
    first = trips.step()
    assert first is not None
    lines = first.splitlines()[1:]
    broken = "\n".join(line[at : at + 70] for line in lines for at in range(0, len(line), 70))
    assert kinds(trips.it(broken)) == ["federation", "reading", "tokens-offer"]


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
        text, count = trips.step(trips.it(text)), count + 1
    assert (count, tokens(trips.member)) == (4, all_tokens(trips.member))
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
        federation.live_at("first")
        issuer.remove_relay("first")
        assert federation.refresh(issuer.federation_card, 0)
    assert federation.home.name == "second"
