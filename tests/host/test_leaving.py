"""Who leaves and who was away, as it is typed: keys change by themselves, and one command brings a member back."""

import json
import shutil
from pathlib import Path

from tessera_host.member.state import MemberState
from tests.host.test_cli_join import DAY, Desk
from tests.host.test_cli_join import tessera as tessera
from tests.support.issuer_office import PASSPHRASE

NOT_PERMITTED = 5


def join(tessera: Desk, name: str) -> None:
    tessera.text("issuer", "invite", "issuer", name, "-o", f"{name}.invitation")
    tessera.text("join", f"{name}.invitation", "--home", name)


def rotate(tessera: Desk, name: str) -> None:
    """Somebody joins and is taken off again."""
    join(tessera, name)
    tessera.text("issuer", "remove", "issuer", name)


def reading_keys(tessera: Desk, home: str) -> set[bytes]:
    with MemberState.open(Path(home), PASSPHRASE, tessera.office.clock) as member:
        return set(member.data.federation.reading_keys.values())


def newest_reading_key(tessera: Desk) -> bytes:
    with tessera.office.it() as issuer:
        key: bytes = issuer._store.sets.newest.reading_key
        return key


def test_who_was_removed_gets_nothing_with_anything_it_ever_held(tessera: Desk) -> None:
    """Its keystore of every day, its invitation, and any number of later rotations: no token and no key."""
    with tessera.serving():
        join(tessera, "ben")
        copies = []
        for day in range(3):
            shutil.copytree("ben", f"copy-{day}")
            copies.append(f"copy-{day}")
            tessera.office.clock.now += DAY
            tessera.text("renew", "--home", "ben")
        said = tessera.text("issuer", "remove", "issuer", "ben")
        assert "off the roster" in said and "All keys are new from" in said
        for rotation in range(3):
            for home in (*copies, "ben"):
                before = reading_keys(tessera, home)
                assert "taken you off the list" in tessera.refused(NOT_PERMITTED, "renew", "--home", home)
                assert reading_keys(tessera, home) == before
                assert newest_reading_key(tessera) not in before
            line = tessera.refused(NOT_PERMITTED, "join", "ben.invitation", "--home", f"again-{rotation}")
            assert "already used" in line
            rotate(tessera, f"guest-{rotation}")
            tessera.office.clock.now += DAY
    assert tessera.office.reports == []


def test_a_member_away_over_five_rotations_is_back_with_one_command(tessera: Desk) -> None:
    with tessera.serving():
        join(tessera, "ben")
        for rotation in range(5):
            rotate(tessera, f"guest-{rotation}")
            tessera.office.clock.now += 4 * DAY
        assert newest_reading_key(tessera) not in reading_keys(tessera, "ben")
        tessera.text("renew", "--home", "ben")
        assert newest_reading_key(tessera) in reading_keys(tessera, "ben")
    with MemberState.open(Path("ben"), PASSPHRASE, tessera.office.clock) as ben:
        home, epoch = ben.federation.home.id, ben.epoch()
        assert all(ben.wallet.of(ben.wallet.key(each, home)) for each in range(epoch, epoch + 9))


def test_an_invitation_that_was_made_before_rotations_is_good_until_its_date(tessera: Desk) -> None:
    with tessera.serving():
        tessera.text("issuer", "invite", "issuer", "ben", "--days", "30", "-o", "ben.invitation")
        for rotation in range(3):
            rotate(tessera, f"guest-{rotation}")
            tessera.office.clock.now += 7 * DAY
        tessera.text("join", "ben.invitation", "--home", "ben")
    assert newest_reading_key(tessera) in reading_keys(tessera, "ben")


def test_a_schedule_is_renewed_though_nobody_types_anything(tessera: Desk) -> None:
    """Day 91 and day 400 are days like any other."""
    with tessera.serving():
        join(tessera, "ben")
        for day in (89, 91, 180, 400):
            tessera.office.clock.now = tessera.office.federation.newest.genesis + day * DAY + 3600
            tessera.text("renew", "--home", "ben")
            code, out, _ = tessera("issuer", "show", "issuer", "--json")
            shown = json.loads(out)
            assert (code, shown["warning"]) == (0, None) and shown["last_epoch"] >= day + 30
            with MemberState.open(Path("ben"), PASSPHRASE, tessera.office.clock) as ben:
                assert ben.epoch() == day and ben.wallet.of(ben.wallet.key(day, ben.federation.home.id))
