"""Backups: what is in them, and that a restored one uses no key, number or session that may have been used."""

import asyncio
import random
from pathlib import Path

import pytest

from tessera_host.clock import short_local_time
from tessera_host.duration import DAY_SECONDS
from tessera_host.errors import KeystoreError, NotPermitted, WrongPassphrase
from tessera_host.keys.keystore import Keystore
from tessera_host.member import backup, meeting, token_exchange
from tessera_host.member.state import MemberState
from tessera_host.privacy import composition
from tests.host.test_cli_member import Desk
from tests.host.test_cli_member import desk as desk
from tests.host.test_member import Setting
from tests.host.test_member import at as at
from tests.support import correspondence
from tests.support.fake_federation import EPOCH_ROUNDS, PASSPHRASE


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """How deliveries add up is not what these tests are about, and takes seconds."""
    monkeypatch.setattr(composition, "deliveries_within", lambda *_: 100)


def restored(at: Setting, file: Path) -> backup.Restored:
    """Ann's computer is lost; she goes on from the backup on another one."""
    at.ann.close()
    home = at.folder / f"computer {random.getrandbits(64)}"
    found = backup.restore(file, PASSPHRASE, home, clock=at.clock)
    at.members["Ann"] = MemberState.open(home, PASSPHRASE, at.clock)
    return found


def to_epoch(at: Setting, epoch: int) -> None:
    """Both get the tokens of every epoch on the way, one ahead."""
    while at.clock() < at.ann.federation.round_start(epoch * EPOCH_ROUNDS):
        for member in (at.ann, at.bob):
            token_exchange.fetch(member, at.issuer)
        at.clock.next_round()


# -- the file


@pytest.mark.parametrize("passphrase", [None, "another"])
def test_backup_opens_with_its_passphrase_only(at: Setting, passphrase: str | None) -> None:
    file = at.folder / "backup"
    backup.write(at.ann, file, passphrase)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"Bob" not in file.read_bytes()
    with pytest.raises(WrongPassphrase):
        backup.restore(file, "wrong", at.folder / "new", clock=at.clock)
    assert not (at.folder / "new").exists()
    found = backup.restore(file, passphrase or PASSPHRASE, at.folder / "new", "third", clock=at.clock)
    assert (found.name, found.made) == ("Ann", at.clock())
    with MemberState.open(at.folder / "new", "third", at.clock) as again:
        assert again.identity == at.ann.identity
        assert again.contacts.get("Bob").words == at.ann.contacts.get("Bob").words


def test_nothing_is_overwritten_and_kinds_are_told_apart(at: Setting) -> None:
    file = at.folder / "backup"
    backup.write(at.ann, file)
    before = file.read_bytes()
    with pytest.raises(KeystoreError, match="not overwritten"):
        backup.write(at.ann, file)
    at.bob.close()
    with pytest.raises(KeystoreError, match="not overwritten"):
        backup.restore(file, PASSPHRASE, at.folder / "Bob", clock=at.clock)
    with pytest.raises(KeystoreError, match="'member-backup' is needed"):
        backup.restore(at.folder / "Bob" / "member.keystore", PASSPHRASE, at.folder / "new", clock=at.clock)
    with pytest.raises(KeystoreError, match="'member' is needed"):
        Keystore.open(file, PASSPHRASE, "member")
    assert file.read_bytes() == before


# -- what holds afterwards


def test_nothing_is_sent_in_the_epoch_of_the_restore(at: Setting) -> None:
    file = at.folder / "backup"
    at.send("before")
    backup.write(at.ann, file)
    at.send("with the lost computer")
    restored(at, file)
    with pytest.raises(NotPermitted, match="nothing can be sent before"):
        at.send("from the new one")
    stored = len(at.relay.records)
    to_epoch(at, 1)
    at.send("again")
    assert len(at.relay.records) == stored + 2
    at.assert_tags_are_fresh()
    messages = at.fetch("Bob").messages
    assert [message.text for message in messages] == ["before", "with the lost computer", "from the new one", "again"]
    assert [message.restored for message in messages] == [False, False, True, False]
    assert [message.lost for message in messages] == [0, 0, 0, 0]


def test_last_rounds_of_an_epoch_count_to_the_next(at: Setting) -> None:
    """The relay may be ahead, and have taken a record of the lost computer in the next epoch already."""
    file = at.folder / "backup"
    backup.write(at.ann, file)
    at.clock.next_round(EPOCH_ROUNDS - 1)
    restored(at, file)
    with pytest.raises(NotPermitted):
        at.send("waits")
    to_epoch(at, 1)
    with pytest.raises(NotPermitted):
        at.send("waits")
    to_epoch(at, 2)
    assert at.send("now").waiting == 0


def test_hold_counts_from_the_clock_a_relay_confirms(at: Setting) -> None:
    """The computer's clock was behind when the backup was restored: what it says then is not believed."""
    file = at.folder / "backup"
    backup.write(at.ann, file)
    to_epoch(at, 2)
    at.send("with the lost computer, in epoch 2")
    now, at.clock.now = at.clock.now, at.clock.now - 2 * EPOCH_ROUNDS * 10
    restored(at, file)
    assert at.ann.hold.ends_at() is None
    at.clock.now = now
    at.ann.hold.clock_confirmed(at.relay.open_round)  # what every contact with a relay does
    assert at.ann.hold.ends_at() == at.ann.federation.round_start(3 * EPOCH_ROUNDS)
    with pytest.raises(NotPermitted):
        at.ann.hold.check(2)
    at.ann.hold.check(3)


def test_sessions_are_not_taken_up_again(at: Setting) -> None:
    file = at.folder / "backup"
    at.send("opens a session")
    backup.write(at.ann, file)
    restored(at, file)
    at.relay.handshakes.clear()
    with pytest.raises(NotPermitted):
        at.send("waits")
    assert at.relay.handshakes == ["full"]


def test_day_s_budget_counts_as_used(at: Setting) -> None:
    file = at.folder / "backup"
    backup.write(at.ann, file)
    restored(at, file)
    assert at.ann.accountant.budget(at.clock()).left == 0
    assert at.ann.accountant.budget(at.clock() + 86400).used == 0


def test_meetings_under_way_are_dropped(at: Setting) -> None:
    file = at.folder / "backup"
    meeting.invite(at.ann, "Carl")
    backup.write(at.ann, file)
    assert restored(at, file).meetings_dropped == 1
    assert at.ann.contacts.meetings() == []


def test_numbers_of_two_restores_of_one_backup_do_not_meet(at: Setting) -> None:
    file = at.folder / "backup"
    backup.write(at.ann, file)
    for epoch in (1, 3):
        restored(at, file)
        at.issuer.charged.clear()  # what was given to the lost computer is lost otherwise until IT makes a generation
        to_epoch(at, epoch)
        with pytest.raises(NotPermitted):
            at.send(f"restored in {epoch}")
        to_epoch(at, epoch + 1)
        at.send(f"sent in {epoch + 1}")
        at.fetch("Bob")
    found = at.bob.inbox.messages()
    assert [message.text for message in found] == ["restored in 1", "sent in 2", "restored in 3", "sent in 4"]
    assert [message.restored for message in found] == [True, False, True, False]
    # Restored in epochs 0 and 2: PROTOCOL §7.
    assert [message.message >> 18 for message in found] == [1, 1, 3, 3]


def test_what_the_lost_computer_read_is_read_again_while_the_relay_has_it(at: Setting) -> None:
    file = at.folder / "backup"
    backup.write(at.ann, file)
    asyncio.run(correspondence.send(at.bob, "Ann", "hello"))
    at.clock.next_round()
    assert [message.text for message in asyncio.run(correspondence.fetch(at.ann)).messages] == ["hello"]
    restored(at, file)
    assert [message.text for message in asyncio.run(correspondence.fetch(at.ann)).messages] == ["hello"]


@pytest.mark.parametrize("seed", range(6))
def test_whenever_it_is_lost_no_tag_is_used_twice_and_no_message_vanishes(at: Setting, seed: int) -> None:
    """Ann sends, is backed up, loses her computer, in any order; Bob reads every round."""
    dice = random.Random(seed)
    file, number, sent, received = at.folder / "backup", 0, [], []
    backup.write(at.ann, file)
    for _ in range(40):
        action = dice.choice(["send", "send", "round", "round", "back up", "lose"])
        if action == "send":
            number += 1
            try:
                at.send(str(number))
                sent.append(str(number))
            except NotPermitted:
                at.ann.outbox.drop("Bob")  # not to be counted
        elif action == "back up":
            file.unlink()
            backup.write(at.ann, file)
        elif action == "lose":
            restored(at, file)
        else:
            received += at.texts()
            for member in (at.ann, at.bob):
                token_exchange.fetch(member, at.issuer)
    received += at.texts()
    at.assert_tags_are_fresh()
    assert received == sent


# -- the commands


def test_backup_and_restore_as_commands(desk: Desk) -> None:
    desk.ready()
    made = desk.json("ann", "backup", desk.file("backup"))
    assert made == {"path": str(desk.file("backup")), "contacts": 1}
    desk.fails(4, "not overwritten", "ann", "backup", desk.file("backup"))
    desk.fails(4, "there is no file", "new", "restore", desk.file("none"))
    desk.fails(4, "not overwritten", "bob", "restore", desk.file("backup"))
    found = desk.json("new", "restore", desk.file("backup"))
    assert (found["name"], found["contacts"]) == ("ann", 1)
    # Later than the hold ends: the lost computer may have used the day up. `send` says the same.
    assert found["send_from"] == desk.clock() + DAY_SECONDS > desk.federation.parameters.genesis + EPOCH_ROUNDS * 10
    assert f"leaves from {short_local_time(found['send_from'])} on" in desk.run("new", "send", "bob", "hello")[1]
    code, out, _ = desk.run("newer", "restore", desk.file("backup"))
    assert code == 0
    assert "ann is restored from" in out
    assert "You can send again from" in out
    assert "You can read what came since: tessera inbox" in out


def test_restore_without_a_relay_says_what_it_cannot_know(desk: Desk) -> None:
    desk.ready()
    desk.json("ann", "backup", desk.file("backup"))
    desk.relay.rounds_fast = 5  # not to be used
    assert desk.json("new", "restore", desk.file("backup"))["send_from"] is None
    assert "cannot be reached" in desk.run("newer", "restore", desk.file("backup"))[1]
