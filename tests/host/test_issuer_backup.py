"""A backup of the issuer and what becomes of it: as it is typed, beside the service, and when the lost one went on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tessera.params import Parameters
from tessera_host.errors import KeystoreError, NotPermitted
from tessera_host.issuer import backup
from tessera_host.issuer.issuer import Issuer
from tessera_host.protocol.federation import contradict
from tests.host.test_cli_join import Desk
from tests.host.test_cli_join import tessera as tessera
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.issuer_office import PASSPHRASE, Office

DAY = 86400
AHEAD = 8


@pytest.fixture
def office(tessera: Desk) -> Office:
    return tessera.office


def restored(office: Office, folder: str = "anew") -> Issuer:
    return Issuer.open(office.folder / folder, PASSPHRASE, office.clock)


def test_a_backup_is_written_while_the_service_answers(office: Office, tessera: Desk) -> None:
    """At any moment of a request; the service notices nothing."""
    with tessera.serving():
        offer = asyncio.run(_ask(office, office.request(office.ann)))
        answer = tessera.json("issuer", "backup", "issuer", "one.backup")
        assert (answer["members"], answer["relays"], answer["serial"]) == (1, 1, office.federation.newest.serial)
        challenge, pending = office.ann.challenge(offer, office.federation.newest)
        assert good_tokens(asyncio.run(_ask(office, challenge)), pending) == AHEAD + 1
        tessera.text("issuer", "backup", "issuer", "two.backup")
    assert office.reports == []
    assert sorted(path.name for path in office.folder.glob("*.backup*")) == ["one.backup", "two.backup"]


async def _ask(office: Office, card: str) -> str:
    async with await office.connect() as connection:
        await connection.hello(office.member.identity, office.federation.id)
        return await connection.issue(card)


def test_a_backup_tells_nothing_without_the_passphrase_and_has_no_session_in_it(office: Office, tessera: Desk) -> None:
    with office.it() as issuer:
        issuer.offer(office.request(office.ann))
        secrets = [bytes(issuer._store.data[name]) for name in ("root_secret", "master", "reading_key")]
        (batch,) = issuer._store.keystore.table("open").values()
    tessera.text("issuer", "backup", "issuer", "one.backup")
    content = (office.folder / "one.backup").read_bytes()
    nonces = [bytes(nonce) for offer in batch["offers"] for nonce in offer[2:]]
    assert not any(secret in content for secret in (*secrets, *nonces, b"ann", office.ann.key))
    with restored_backup(office) as found:
        assert {name: len(found.table(name)) for name in ("roster", "roster_names", "files")} == {
            "roster": 1,
            "roster_names": 1,
            "files": len(list((office.folder / "issuer" / "sets").iterdir())),
        }
        with pytest.raises(KeystoreError):
            found.table("open").values()


def restored_backup(office: Office) -> Any:
    return backup.KeystoreDatabase.read_apart(office.folder / "one.backup", PASSPHRASE, backup.KIND)


def test_nothing_is_written_over(office: Office, tessera: Desk) -> None:
    (office.folder / "one.backup").write_text("mine")
    assert "not overwritten" in tessera.refused(4, "issuer", "backup", "issuer", "one.backup")
    assert (office.folder / "one.backup").read_text() == "mine"
    tessera.text("issuer", "backup", "issuer", "two.backup")
    before = (office.folder / "issuer" / "issuer.keystore").read_bytes()
    assert "issuer already has an issuer" in tessera.refused(
        2, "issuer", "restore", "two.backup", "issuer", "--offline"
    )
    assert (office.folder / "issuer" / "issuer.keystore").read_bytes() == before


def test_a_restored_issuer_goes_on_with_new_keys_and_says_whom_to_invite_again(office: Office, tessera: Desk) -> None:
    """The lost one issued, invited and signed after the backup."""
    office.invite("cleo")
    (office.folder / "issuer" / "inventory.json").write_text('{"version": 1, "relays": []}')
    tessera.text("issuer", "backup", "issuer", "one.backup")
    ann, old = office.ann, office.federation.newest
    with office.it() as issuer:
        challenge, pending = ann.challenge(issuer.offer(office.request(ann)), old)
        assert good_tokens(issuer.answer(challenge), pending) == AHEAD + 1
        issuer.renew()
        issuer.remove("ann")
        newest = issuer.parameters
        issuer.invite("dora")
    (office.folder / "newest.tpr").write_bytes(newest.blob)
    text = tessera.text("issuer", "restore", "one.backup", "anew", "--offline", "--set", "newest.tpr")
    assert "Invite again: cleo." in text and "invitations, members who joined or left" in text
    with restored(office) as issuer:
        after = issuer.parameters
        assert (after.serial, after.previous) == (newest.serial + 1, newest.digest)
        assert after.generation > newest.generation and after.first_epoch == office.issuer_epoch() + 1
        assert after.access_key not in (old.access_key, newest.access_key) and newest.access_key in issuer.access_keys
        assert not contradict(newest, after)
        assert [member["name"] for member in issuer.roster] == ["ann"] and issuer.invitations == []
        with pytest.raises(NotPermitted, match="session is not open"):
            issuer.answer(challenge)
        for generation in range(1, after.generation):
            with pytest.raises(NotPermitted, match="restored from a backup"):  # nothing for the open epoch
                issuer.offer(ann.request(generation, office.issuer_epoch(), office.clock()))
        offer = issuer.offer(ann.request(after.generation, office.issuer_epoch(), office.clock()))
        challenge, pending = ann.challenge(offer, after)
        assert min(each.epoch for each in pending) == after.first_epoch
        assert good_tokens(issuer.answer(challenge), pending) == len(pending)
    kept = {path.name for path in (office.folder / "anew" / "sets").iterdir()}
    assert {Parameters((office.folder / "anew" / "sets" / name).read_bytes()).serial for name in kept} >= {
        *range(1, old.serial + 1),
        after.serial,
    }
    assert (office.folder / "anew" / "parameters.tpr").read_bytes() == after.blob
    assert (office.folder / "anew" / "inventory.json").read_text() == '{"version": 1, "relays": []}'


def test_a_restored_issuer_says_nothing_before_it_was_told(office: Office, tessera: Desk) -> None:
    """No relay answers, so nobody knows what is newer; the next command goes on where this one stopped."""
    tessera.text("issuer", "backup", "issuer", "one.backup")
    line = tessera.refused(2, "issuer", "restore", "one.backup", "anew")
    assert "tessera issuer restored anew" in line and "--offline" in line
    with restored(office) as issuer:
        for attempt in (
            lambda: issuer.offer(office.request(office.ann)),
            lambda: issuer.offer_unasked(office.ann.key),
            lambda: issuer.welcome(office.ann.key),
            lambda: issuer.join(office.ann.card()),
            lambda: issuer.invite("cleo"),
            issuer.renew,
            lambda: issuer.remove("ann"),
            lambda: issuer.back_up(office.folder / "two.backup"),
        ):
            with pytest.raises(KeystoreError, match="tessera issuer restored"):
                attempt()
    assert not (office.folder / "anew" / "parameters.tpr").exists()
    answer = tessera.json("issuer", "restored", "anew", "--offline")
    assert answer["generation"] == 2 and answer["made"] == office.clock() and answer["invite_again"] == []
    assert tessera.json("issuer", "show", "anew")["serial"] == answer["serial"]
    tessera.text("issuer", "backup", "anew", "two.backup")


def test_a_backup_goes_back_where_what_it_published_is_still_there(office: Office, tessera: Desk) -> None:
    """The disk took the keystore only: what was published after the backup is gone on after, without being named."""
    tessera.text("issuer", "backup", "issuer", "one.backup")
    with office.it() as issuer:
        issuer.renew()
        newest = issuer.parameters
    (office.folder / "issuer" / "issuer.keystore").unlink()
    tessera.text("issuer", "restore", "one.backup", "issuer", "--offline")
    with office.it() as issuer:
        assert issuer.parameters.previous == newest.digest


@pytest.mark.parametrize("content", ["another federation", "no set"])
def test_a_directory_with_other_files_is_refused(office: Office, tessera: Desk, tmp_path: Path, content: str) -> None:
    tessera.text("issuer", "backup", "issuer", "one.backup")
    (office.folder / "anew").mkdir()
    other = b"something"
    if content == "another federation":
        (tmp_path / "other").mkdir()
        with Office(tmp_path / "other"):
            other = (tmp_path / "other" / "issuer" / "parameters.tpr").read_bytes()
    (office.folder / "anew" / "parameters.tpr").write_bytes(other)
    assert "name a new directory" in tessera.refused(2, "issuer", "restore", "one.backup", "anew", "--offline")
    assert [path.name for path in (office.folder / "anew").iterdir()] == ["parameters.tpr"]


def test_what_is_no_backup_is_refused(office: Office, tessera: Desk) -> None:
    (office.folder / "text").write_text("not a backup")
    assert "not a Tessera keystore" in tessera.refused(4, "issuer", "restore", "text", "anew")
    assert "there is no file" in tessera.refused(4, "issuer", "restore", "nothing", "anew")
    line = tessera.refused(4, "issuer", "restore", "issuer/issuer.keystore", "anew")
    assert "'issuer-backup' is needed" in line
    tessera.text("issuer", "backup", "issuer", "one.backup")
    (office.folder / "passphrase").write_text("incorrect horse")
    assert "wrong passphrase" in tessera.refused(4, "issuer", "restore", "one.backup", "anew")
    assert not (office.folder / "anew").exists()


def test_what_another_version_made_is_refused_and_left(office: Office, tessera: Desk) -> None:
    with office.it() as issuer:
        with issuer._store.change():
            issuer._store.data["version"] += 1
        issuer.back_up(office.folder / "one.backup")
    for words in ("show", "issuer"), ("restore", "one.backup", "anew"):
        assert "has an issuer of another version of tessera" in tessera.refused(4, "issuer", *words)
    assert not (office.folder / "anew").exists()


def test_who_joined_after_the_backup_joins_again(office: Office, tessera: Desk) -> None:
    tessera.text("issuer", "backup", "issuer", "one.backup")
    cleo = office.admit_in_the_service("cleo")
    tessera.text("issuer", "restore", "one.backup", "anew", "--offline")
    with restored(office) as issuer:
        with pytest.raises(NotPermitted, match="roster"):
            issuer.offer(cleo.request(2, office.issuer_epoch(), office.clock()))
        invitation = issuer.invite("cleo")
        assert issuer.join(invitation.join_card(cleo.identity)) == "cleo"
        assert isinstance(cleo, FakeMember) and len(issuer.roster) == 2
