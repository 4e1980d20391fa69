"""The pages about an office that lives and what is lost, typed as printed, one chapter after the other, in fast motion:
what IT types does what the text says, and members notice nothing but that."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera_host.cli.demo import free_port
from tests.patience import PATIENCE_SECONDS
from tests.support import chapters
from tests.support.command_line import Running, python_module
from tests.support.fast_motion import ROUND_SECONDS, FastOffice

MUNICH = "relay-munich.example.org"
_MORE, _SECOND, _LEAVES = "More members than was planned for", "A second relay", "Somebody leaves"
_DEVICE, _STOLEN, _KEYS, _STATUS = "A device is lost", "A relay is stolen, or broke", "Other keys", "Does it all run?"
PAGES = ("docs/it/office.md", "docs/it/recovery.md")
PEOPLE = {_MORE, _SECOND, _LEAVES, _DEVICE}
_COMMANDS = 5  # a round apart
MACHINES = {_SECOND, _STOLEN, _KEYS, _STATUS}


def printed() -> dict[str, str]:
    """The command block of each chapter that has one."""
    found = {heading: chapters.scripts(text) for page in PAGES for heading, text in chapters.chapters(page).items()}
    assert all(len(blocks) <= 1 for blocks in found.values())
    return {heading: blocks[0] for heading, blocks in found.items() if blocks}


class Life(FastOffice):
    """With a second relay, munich, from its chapter on; what is typed has its own terminal."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._munich_port, self._munich_folder = free_port(), ""
        self._munich: Running | None = None
        self.typed: set[str] = set()

    def type(self, chapter: str) -> str:
        """All that was shown. What was left running is started anew as this test's own."""
        script = printed()[chapter].replace(MUNICH, f"127.0.0.1 --port {self._munich_port}")
        self.typed.add(chapter)
        started = re.search(r"^tessera serve --storage (\S+) &$", script, re.MULTILINE)
        if started:
            self._stop_munich()
        log = self.folder / "typed.log"
        program = " ".join(python_module("tessera_host"))
        environment = self.command.environment | {"BASH_FUNC_tessera%%": f'() {{ {program} "$@"\n}}'}
        with log.open("wb") as output:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            status = shell.wait(PATIENCE_SECONDS)
        finally:
            if started or shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
        said = log.read_text()
        assert status == 0 and "Traceback" not in said, f"{script}\n{said}"
        if started:
            self._munich_folder = started[1]
            self._start_munich()
        return said

    def _start_munich(self) -> None:
        self._munich = Running(self.command, self.command.words("serve", "--storage", self._munich_folder))
        self._munich.wait_for("serving")

    def _stop_munich(self) -> None:
        if self._munich:
            self._munich.stop(signal.SIGKILL)

    def meet(self, one: str, other: str) -> None:
        """Also once more, on a new device. Whoever began with settings of before would be told to renew."""
        for card in self.folder.glob(f"{one}-{other}.*"):
            card.unlink()
        self.json("renew", "--home", one)
        super().meet(one, other)

    def opens_munich(self) -> None:
        """And Carol joins there."""
        self.type(_SECOND)
        self.json("join", "carol.invitation", "--home", "carol")
        self.meet("alice", "carol")
        self.talk("alice", "carol")

    def pass_time(self, seconds: int) -> None:
        self._stop_munich()
        super().pass_time(seconds)
        if self._munich:
            self._start_munich()

    def close(self) -> None:
        self._stop_munich()
        super().close()


@pytest.fixture
def office(tmp_path: Path, micropython_frozen: Path) -> Iterator[Life]:
    with Life(tmp_path) as made:
        made.switch(on=True)
        made.join("alice")
        yield made


def test_every_chapter_is_typed() -> None:
    assert printed().keys() == PEOPLE | MACHINES


def test_an_office_grows_opens_a_second_relay_loses_somebody_and_a_device(office: Life) -> None:
    office.join("bob")
    office.meet("alice", "bob")
    office.type(_MORE)
    assert (office.shown()["members_max"], office.shown()["generation"]) == (25, 2)
    office.until_day(2)  # when the keys for more members are in force
    office.talk("alice", "bob")

    office.opens_munich()
    assert [relay["name"] for relay in office.shown()["relays"]] == ["berlin", "munich"]
    office.talk("carol", "alice")

    office.type(_LEAVES)
    office.until_day(4)
    office.talk("alice", "carol")
    office.fails("inbox", "--home", "bob")
    office.fails("send", "alice", "I am gone", "--home", "bob")

    office.type(_DEVICE)
    shutil.move(office.folder / "carol", office.folder / "lost")
    office.until_day(6)
    office.json("join", "carol-again.invitation", "--home", "carol")
    office.json("contact", "remove", "carol", "--home", "alice")
    office.meet("alice", "carol")
    office.talk("alice", "carol")
    office.fails("inbox", "--home", "lost")
    assert office.typed == PEOPLE


def test_a_relay_is_stolen_and_keys_get_around(office: Life) -> None:
    office.opens_munich()
    office.send("alice", "carol", "before the theft")
    before = office.shown()["relays"][1]
    said = office.type(_STOLEN)
    assert "tessera serve --storage munich-again" in said
    after = office.shown()["relays"][1]
    assert (after["id"], after["host"], after["port"]) == (before["id"], before["host"], before["port"])
    assert after["key"] != before["key"]
    day = office.day
    office.json("renew", "--home", "alice")
    for _ in range(_COMMANDS):  # her program has heard of it, and sends again what the old one may have held
        office.read("alice")
        office.pass_time(ROUND_SECONDS)
        if "before the theft" in office.read("carol"):
            break
    else:
        pytest.fail("what the stolen relay had did not come again")
    office.talk("alice", "carol")
    assert office.day == day, "the new one is written to on the day on which it came"
    office.until_day(2)

    office.json("issuer", "renew", "issuer", "--day-epsilon", "3")
    office.type(_KEYS)  # and brings the relays both sets
    assert office.shown()["budget"]["epsilon"] == "3"
    office.until_day(4)
    office.talk("carol", "alice")

    office.json("relay", "time", "--issuer", "issuer")
    assert "munich" in office.type(_STATUS)
    assert office.typed == MACHINES
