"""An office whose days pass at a word: the real commands, its relay and the issuer's service as processes, all under
Debian's faketime, which reads from a file how far their clocks are ahead.

Owns the clock, what is started anew when it jumps, and the commands of an office's life. What has to hold is for the
tests to say.
"""

import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tessera_host.cli.demo import free_port
from tessera_host.relay.process import RelayProcess
from tests.support.command_line import CommandLine, Running
from tests.support.nursery import Nursery
from tests.support.office_on_disk import ALL_DAY_LONG, PASSPHRASE

DAY_SECONDS = 86400
ROUND_SECONDS = 3600
PLAN = {
    "members": 8,
    "cover": "delivery",
    "epsilon": "1",
    "delta": "1e-6",
    "round-seconds": ROUND_SECONDS,
    "epoch-rounds": DAY_SECONDS // ROUND_SECONDS,
    "retention-epochs": 3,
}


def faketime_environment(offset: Path) -> dict[str, str]:
    """Environment variables that add the seconds in the file `offset` to a process's time. Skips without faketime."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed: `make setup` installs Debian's, or apt-get install faketime")
    told = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^LD_PRELOAD=(.*)$", told, re.MULTILINE)
    assert found, told
    own = {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": found[1], **own}


class _Relay(RelayProcess):
    environment: dict[str, str]

    def _command(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in self.environment.items()), *super()._command()]


class FastOffice:
    """IT, its service, a relay. A context manager that ends them; members' homes have their names."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._offset, self._passed = folder, folder / "offset", 0
        self._offset.write_text("+0\n")
        environment = faketime_environment(self._offset)
        self._nursery = Nursery(**environment)
        self.command = CommandLine(folder, PASSPHRASE, nursery=self._nursery)
        self.command.environment |= environment
        self.json, self.tessera = self.command.json, self.command.tessera
        self.card = folder / "issuer" / "federation.card"
        self._found(free_port())
        self.relay = _Relay(folder / "relay", self._relay_port)
        self.relay.environment = environment
        self.relay_is_on = False
        self._serve()

    def _found(self, service_port: int) -> None:
        options = [word for option, value in PLAN.items() for word in (f"--{option}", value)]
        day = ("--day-epsilon", ALL_DAY_LONG["epsilon"], "--day-delta", ALL_DAY_LONG["delta"])
        self.json("plan", *options, *day, "--allow-small", "-o", "plan.json")
        self.json("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Office")
        self.json("issuer", "service", "issuer", "127.0.0.1", "--port", service_port)
        self._relay_port = free_port()
        address = ("--host", "127.0.0.1", "--port", self._relay_port)
        self.json("relay", "new", "berlin", "relay", "--issuer", "issuer", *address)

    def _serve(self) -> None:
        line = self.command.words("issuer", "serve", "issuer", "--host", "127.0.0.1", "--json")
        self.service = Running(self.command, line)
        self.service.wait_for("serving")

    # -- time

    @property
    def day(self) -> int:
        """Whole days since the office began."""
        return self._passed // DAY_SECONDS

    def switch(self, on: bool) -> None:
        """The relay's power."""
        self.relay_is_on = on
        if on:
            self.relay.start()
        else:
            self.relay.kill()

    def pass_time(self, seconds: int) -> None:
        """Clocks jump. The relay is started anew where it was on, as no clock of a relay that runs is moved so far."""
        self.relay.kill()
        self._passed += seconds
        self._offset.write_text(f"+{self._passed}\n")
        if self.relay_is_on:
            self.relay.start()

    def until_day(self, day: int) -> None:
        """IT's machine is started anew, too: its service looks at the schedule when it starts, and every few hours."""
        self.service.stop(signal.SIGTERM)
        self.pass_time((day - self.day) * DAY_SECONDS)
        self._serve()

    # -- what people type

    def join(self, name: str) -> None:
        self.json("issuer", "invite", "issuer", name, "-o", f"{name}.invitation")
        self.json("join", f"{name}.invitation", "--home", name)

    def meet(self, one: str, other: str) -> None:
        """Four cards go back and forth as files."""
        invite, answer, confirm = (f"{one}-{other}.{kind}" for kind in ("invite", "answer", "confirm"))
        self.json("contact", "add", other, "--home", one, "-o", invite)
        self.json("contact", "add", invite, "--home", other, "-o", answer)
        self.json("contact", "add", answer, "--home", one, "-o", confirm)
        self.json("contact", "add", confirm, "--home", other)

    def send(self, sender: str, receiver: str, text: str) -> int:
        """By one command; the round in which it left."""
        sent = self.json("send", receiver, text, "--home", sender)
        assert sent["state"] == "posted" and sent["records"] == 1, sent
        (round_,) = sent["rounds"]
        return int(round_)

    def read(self, receiver: str) -> list[str]:
        """What is new, by one command."""
        return [message["text"] for message in self.json("inbox", "--home", receiver)["messages"]]

    def talk(self, sender: str, receiver: str) -> None:
        """A message arrives when its round is over."""
        text = f"from {sender} on day {self.day}"
        self.send(sender, receiver, text)
        self.pass_time(ROUND_SECONDS)
        assert text in self.read(receiver)

    def open_round(self) -> int:
        """The relay's, as IT sees it; IT told it the time, as after a rest of days."""
        self.json("relay", "time", "berlin", "--issuer", "issuer")
        (relay,) = self.json("relay", "status", "--federation", self.card)["relays"]
        return int(relay["open_round"])

    def fails(self, *arguments: object) -> str:
        """Run a command that must fail with an error, not with a bug. Returns its text."""
        _, *words = self.command.words(*arguments)
        status, out, error = self._nursery.run(words, self.folder, self.command.environment, "")
        assert status not in (0, 70) and "Traceback" not in error, (words, status, out, error)
        return error

    def audit(self) -> None:
        """Audit, which has to be done now and then, as nobody else keeps the sets. Everything must hold."""
        found = self.json("audit", "--federation", self.card, "--archive", "archive")
        assert found["holds"] and found["issuer"]["holds"], found

    def shown(self) -> dict[str, Any]:
        """What IT sees of its federation."""
        return self.json("issuer", "show", "issuer")

    def close(self) -> None:
        self.relay.kill()
        self.service.stop(signal.SIGKILL)
        self._nursery.end()

    def __enter__(self) -> "FastOffice":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
