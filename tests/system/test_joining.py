"""Joining with real processes: the issuer's service, members at terminals, relays on MicroPython, IT beside."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tessera_host.cli.demo import free_port
from tessera_host.keys.keystore import Keystore
from tessera_host.keys.keystore_database import KeystoreDatabase
from tessera_host.member.state import MemberState
from tessera_host.relay.process import RelayProcess
from tests.patience import PATIENCE_SECONDS
from tests.support import correspondence
from tests.support.command_line import TESSERA, CommandLine, Running, leaves_no_dump
from tests.support.office_on_disk import PASSPHRASE, QUICK
from tests.support.organisation import Listed, introduce, new_issuer, planned

RELAYS = ("berlin", "munich")
CHOSEN = "a passphrase that ben chose"


class Office:
    """IT's directory with two relays, and its service as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = CommandLine(folder, PASSPHRASE)
        self.port = free_port()
        # The schedule of keys is longer than commands warn of.
        made = planned(**QUICK | {"epoch_rounds": 36_000, "tokens_per_epoch": 3, "posts_per_token": 16})
        listed = [Listed(name, "127.0.0.1", free_port()) for name in RELAYS]
        self.relays = [RelayProcess(folder / relay.name, relay.port) for relay in listed]
        issuer = new_issuer(folder, made, *listed, passphrase=PASSPHRASE, service_port=self.port, epochs=400)
        for entry in issuer.relays:  # the first was made before the second was listed
            (folder / entry["name"] / "parameters").write_bytes(issuer.parameters.copy_for(entry["id"]))
        issuer.close()
        line = [TESSERA, "issuer", "serve", "issuer", "--host", "127.0.0.1", "--json"]
        self.service = Running(self.command, [str(word) for word in line])

    def stop(self) -> str:
        """What it wrote to standard error; it has to end in order."""
        said = self.service.stop(signal.SIGTERM)
        assert said.code == 0, said
        return said.error


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    try:
        made.service.wait_for("serving")
        assert leaves_no_dump(made.service.process.pid)
        yield made
    finally:
        made.service.stop(signal.SIGKILL)
        for relay in made.relays:
            relay.kill()


def terminal(office: Office, *arguments: object) -> "pexpect.spawn[str]":
    environment = office.command.environment | {"TESSERA_PASSPHRASE_FILE": "", "COLUMNS": "100"}
    return pexpect.spawn(
        str(TESSERA),
        [str(argument) for argument in arguments],
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        dimensions=(60, 100),
        env=environment,
        cwd=str(office.folder),
    )


def ended(child: "pexpect.spawn[str]") -> int:
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def test_a_person_at_a_terminal_joins_with_what_it_gave_them(office: Office) -> None:
    office.command.tessera("issuer", "invite", "issuer", "ben", "--relay", "berlin", "-o", "ben.invitation")
    ben = terminal(office, "join", "ben.invitation", "--home", "ben")
    ben.expect_exact("You are joining Office as ben.")
    ben.expect_exact("Choose a passphrase")
    ben.expect_exact("Passphrase: ")
    ben.sendline(CHOSEN)
    ben.expect_exact("Passphrase again: ")
    ben.sendline("another")
    ben.expect_exact("The two differ. Once more.")
    ben.expect_exact("Passphrase: ")
    ben.sendline("")
    ben.expect_exact("Nothing was typed. Once more.")
    ben.expect_exact("Passphrase: ")
    ben.sendintr()
    ben.expect_exact("error: interrupted")
    assert ended(ben) == 130
    ben = terminal(office, "join", "--home", "ben")
    ben.expect_exact("Paste the invitation (or a file name): ")
    ben.sendline((office.folder / "ben.invitation").read_text().strip())
    for prompt in ("Passphrase: ", "Passphrase again: "):
        ben.expect_exact(prompt)
        ben.sendline(CHOSEN)
    ben.expect_exact("You have joined Office as ben. Your mailbox is on the relay berlin.")
    ben.expect_exact("You can talk now.")
    assert ended(ben) == 0
    Keystore.open(office.folder / "ben" / "member.keystore", CHOSEN, "member").close()
    shown = office.command.json("issuer", "show", "issuer")  # beside the service
    assert [member["name"] for member in shown["members"]] == ["ben"]
    office.command.tessera("issuer", "remove", "issuer", "ben")
    assert office.stop() == ""


def test_an_invitation_is_shown_as_a_code_with_its_own_light_background(office: Office) -> None:
    it = terminal(office, "issuer", "invite", "issuer", "ben", "--relay", "berlin", "--qr")
    it.expect_exact("Passphrase: ")
    it.sendline(PASSPHRASE)
    it.expect_exact("48;5;231m")
    assert ended(it) == 0


def test_members_of_two_relays_write_to_each_other(office: Office) -> None:
    """Each fetches at home and posts where the other lives; a contact is met after the tokens were fetched."""
    for name, home in (("ann", "berlin"), ("ben", "munich")):
        office.command.tessera("issuer", "invite", "issuer", name, "--relay", home, "-o", f"{name}.invitation")
        joined = office.command.json("join", f"{name}.invitation", "--home", name)
        assert joined["home_relay"] == home
    for relay in office.relays:
        relay.start()
    with (
        MemberState.open(office.folder / "ann", PASSPHRASE) as ann,
        MemberState.open(office.folder / "ben", PASSPHRASE) as ben,
    ):
        for member in (ann, ben):
            counts = {(count["relay"], count["tokens"]) for count in member.wallet.counts()}
            assert counts == {(name, 3) for name in RELAYS}
        introduce(ann, ben)
        asyncio.run(_exchange(ann, ben))


async def _exchange(ann: MemberState, ben: MemberState) -> None:
    await correspondence.send(ann, "ben", "from Berlin")
    await correspondence.send(ben, "ann", "from Munich")
    texts: dict[str, list[Any]] = {"ann": [], "ben": []}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(texts.values()) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        for member in (ann, ben):
            texts[member.identity.name] += [message.text for message in (await correspondence.fetch(member)).messages]
    assert texts == {"ann": ["from Munich"], "ben": ["from Berlin"]}


def test_secrets_of_joining_stay_where_they_belong(office: Office) -> None:
    office.command.tessera("issuer", "invite", "issuer", "ben", "--relay", "berlin", "-o", "ben.invitation")
    with KeystoreDatabase.open(office.folder / "issuer" / "issuer.keystore", PASSPHRASE, "issuer") as issuer:
        one_time = issuer.table("invitations").values()[0]["secret"]
        service = issuer.data["service"]["secret"]
    office.command.tessera("join", "ben.invitation", "--home", "ben")
    said = "".join(office.command.transcript) + office.stop()
    for secret in (one_time, service):
        assert secret.hex() not in said
        for path in office.folder.rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes(), path
    with Keystore.open(office.folder / "ben" / "member.keystore", PASSPHRASE, "member") as store:
        assert store.data["joining"]["card"] is None
    with KeystoreDatabase.open(office.folder / "issuer" / "issuer.keystore", PASSPHRASE, "issuer") as issuer:
        assert issuer.table("invitations").values()[0]["secret"] is None
