"""README's chapter about an office that lives, typed as printed, one part after the other, in fast motion: what IT
types does what the text says, and members notice nothing but that."""

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
from tests.support.command_line import Running, python_module
from tests.support.fast_motion import FastOffice

ROOT = Path(__file__).resolve().parents[2]
MUNICH = "relay-munich.example.org"


def chapters() -> dict[str, str]:
    """The blocks of the section by the bold words before them."""
    section = re.search(r"## An office that lives\n(.*?)\n### ", (ROOT / "README.md").read_text(), re.DOTALL)
    assert section
    found = re.findall(r"\*\*(.+?)\*\*(?:(?!\*\*).)*?```sh\n(.*?)```", section[1], re.DOTALL)
    return dict(found)


class Life(FastOffice):
    """With a second relay, munich, from its chapter on; what is typed has its own terminal."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._munich_port, self._munich_folder = free_port(), ""
        self._munich: Running | None = None
        self.read_chapters: set[str] = set()

    def type(self, chapter: str) -> str:
        """All that was shown. What was left running is started anew as this test's own."""
        script = chapters()[chapter].replace(MUNICH, f"127.0.0.1 --port {self._munich_port}")
        self.read_chapters.add(chapter)
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
        """Also once more, on a new device."""
        for card in self.folder.glob(f"{one}-{other}.*"):
            card.unlink()
        super().meet(one, other)

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
        for name in ("alice", "bob"):
            made.join(name)
        made.meet("alice", "bob")
        yield made


def test_an_office_lives_by_what_is_printed(office: Life) -> None:
    office.type("More members than was planned for.")
    assert (office.shown()["members_max"], office.shown()["generation"]) == (26, 2)
    office.until_day(2)  # when the keys for more members are in force
    office.talk("alice", "bob")

    office.type("A second relay.")
    assert [relay["name"] for relay in office.shown()["relays"]] == ["berlin", "munich"]
    office.json("join", "carol.invitation", "--home", "carol")
    office.meet("alice", "carol")
    office.talk("alice", "carol")
    office.talk("carol", "alice")

    office.type("Somebody leaves.")
    office.until_day(4)
    office.talk("alice", "carol")
    office.fails("inbox", "--home", "bob")
    office.fails("send", "alice", "I am gone", "--home", "bob")

    office.type("A device is lost.")
    shutil.move(office.folder / "carol", office.folder / "lost")
    office.until_day(6)
    office.json("join", "carol-again.invitation", "--home", "carol")
    office.json("contact", "remove", "carol", "--home", "alice")
    office.meet("alice", "carol")
    office.talk("alice", "carol")
    office.fails("inbox", "--home", "lost")

    office.send("alice", "carol", "before the theft")
    before = office.shown()["relays"][1]
    said = office.type("A relay is stolen, or broke.")
    assert "tessera serve --storage munich-again" in said
    after = office.shown()["relays"][1]
    assert (after["id"], after["host"], after["port"]) == (before["id"], before["host"], before["port"])
    assert after["key"] != before["key"]
    office.until_day(8)
    office.talk("alice", "carol")
    office.talk("carol", "alice")

    office.type("Another budget, other keys.")
    assert office.shown()["budget"]["epsilon"] == "3"
    office.until_day(10)
    office.talk("alice", "carol")

    office.json("relay", "time", "--issuer", "issuer")
    assert "berlin" in office.type("Does it all run?")
    assert office.read_chapters == chapters().keys()
