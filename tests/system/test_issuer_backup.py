"""The issuer's computer is lost, and comes back from a backup that was made while it served: IT, its service, a relay
and members as processes. And a relay of somebody else, from its request to its first round.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tessera.params import Parameters
from tessera_host.cli.demo import free_port
from tests.support.command_line import TESSERA, CommandLine, Running, running

PASSPHRASE = "correct horse"
NOT_PERMITTED, REMARKS = 5, 9


class Office:
    """Everything as it is typed, with ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.command = folder, CommandLine(folder, PASSPHRASE)
        self.tessera = self.command.tessera
        self.port, self.relay_port = free_port(), free_port()
        self.tessera("plan", "--members", 24, "--out", "plan.json")
        self.tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Office")
        self.tessera("issuer", "service", "issuer", "127.0.0.1", "--port", self.port)
        self.relay("new", "berlin", "relay", "--host", "127.0.0.1", "--port", self.relay_port)

    def relay(self, *words: object, issuer: str = "issuer") -> str:
        return self.tessera("relay", *words, "--issuer", issuer)

    @contextmanager
    def serving_relay(self, directory: str, port: int) -> Iterator[Running]:
        with running(
            self.command, TESSERA, "serve", "--storage", directory, "--port", port, "--json", until="serving"
        ) as started:
            yield started

    @contextmanager
    def serving(self, directory: str) -> Iterator[Running]:
        line = (TESSERA, "issuer", "serve", directory, "--host", "127.0.0.1", "--json")
        with running(self.command, *line, until="serving") as started:
            yield started

    def join(self, name: str, issuer: str = "issuer") -> None:
        self.tessera("issuer", "invite", issuer, name, "-o", f"{name}.{issuer}")
        self.tessera("join", f"{name}.{issuer}", "--home", name)

    def newest(self, issuer: str) -> Parameters:
        return Parameters((self.folder / issuer / "parameters.tpr").read_bytes())


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_lost_issuer_comes_back_from_a_backup_that_was_made_while_it_served(office: Office) -> None:
    with office.serving_relay("relay", office.relay_port):
        with office.serving("issuer") as service:
            office.join("ann")
            office.tessera("issuer", "invite", "issuer", "ben", "-o", "ben.old")
            made = office.command.json("issuer", "backup", "issuer", "one.backup")
            assert (made["members"], made["relays"]) == (1, 1)
            office.tessera("issuer", "renew", "issuer")
            office.relay("push")
            service.process.send_signal(signal.SIGKILL)
            service.process.wait()
        newest = office.newest("issuer")
        shutil.rmtree(office.folder / "issuer")

        answer = office.command.json("issuer", "restore", "one.backup", "anew")
        after = office.newest("anew")
        assert (after.serial, after.previous) == (newest.serial + 1, newest.digest)  # which the relay knew
        assert after.generation == newest.generation + 1 and answer["invite_again"] == ["ben"]

        with office.serving("anew"):
            office.tessera("renew", "--home", "ann")
            refusal = office.command.refused(NOT_PERMITTED, "join", "ben.old", "--home", "ben")
            assert "does not know this invitation" in refusal
            office.join("ben", "anew")
            shown = office.command.json("issuer", "show", "anew")
            assert [member["name"] for member in shown["members"]] == ["ann", "ben"]
            assert [member["tokens_this_epoch"] for member in shown["members"]] == [0, 0]
            office.tessera("issuer", "backup", "anew", "two.backup")


def test_a_relay_of_somebody_else_serves_from_its_request_on(office: Office) -> None:
    port = free_port()
    office.tessera(
        "relay", "request", "munich", "theirs", "--host", "127.0.0.1", "--port", port, "-o", "munich.request"
    )
    with office.serving("issuer"):
        office.join("ann")
        office.relay("admit", "munich.request", "-o", "for-munich", "--yes")
        office.tessera("relay", "accept", "theirs", "for-munich")
        with office.serving_relay("theirs", port):
            asked = ("relay", "status", "munich", "--federation", "issuer/federation.card")
            (status,) = office.command.json(*asked, code=REMARKS)["relays"]
            assert status["newest_serial"] == office.newest("issuer").serial
            assert status["remarks"] == ["clock"]  # until somebody bears it out
            office.relay("push", "munich")
            office.tessera("renew", "--home", "ann")
            said = office.tessera("token", "list", "--home", "ann")
            assert "munich" in said
