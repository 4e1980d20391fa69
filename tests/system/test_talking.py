"""Talking as a whole, against a relay on MicroPython: the agent as a process, commands beside it, the full-screen
conversation in a terminal, an interrupted send, and the examples of the library as they are in the repository."""

import contextlib
import json
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import TESSERA, CommandLine, Running, leaves_no_dump, running
from tests.support.office_on_disk import PASSPHRASE, ROOT, OfficeOnDisk

EXAMPLES = ROOT / "host" / "examples"


class Talkers:
    """Alice and Bob, who met, with their keystores closed, and a relay that serves; commands in its folder."""

    def __init__(self, folder: Path) -> None:
        self.office = OfficeOnDisk(folder, epochs=400, round_seconds=2, epoch_rounds=36_000, posts_per_token=128)
        self.office.two_who_met()
        for member in self.office.members.values():
            member.close()
        self.command = CommandLine(folder, PASSPHRASE)
        run = folder / "run"
        run.mkdir(mode=0o700)
        self.command.environment["XDG_RUNTIME_DIR"] = str(run)
        self.office.relay.start()

    def json(self, who: str, *words: object, **options: Any) -> dict[str, Any]:
        return self.command.json(*words, "--home", who, **options)

    def read(self, who: str) -> list[str]:
        """The texts, or names of files, that come next."""
        found = self.json(who, "inbox", "--wait")
        return [message["file"] or message["text"] for message in found["messages"]]

    @contextlib.contextmanager
    def agent(self, who: str) -> Iterator[Running]:
        with running(self.command, TESSERA, "agent", "--home", who, until="The agent runs") as process:
            yield process


@pytest.fixture(scope="module")
def talkers(tmp_path_factory: pytest.TempPathFactory, micropython_frozen: Path) -> Iterator[Talkers]:
    talkers = Talkers(tmp_path_factory.mktemp("talkers"))
    yield talkers
    talkers.office.close()


def test_a_long_message_leaves_one_record_a_round_and_arrives(talkers: Talkers) -> None:
    text = "one record a round " * 20
    sent = talkers.json("alice", "send", "bob", text)
    assert len(sent["rounds"]) == 3 and len(set(sent["rounds"])) == 3
    assert talkers.read("bob") == [text]
    (entry,) = talkers.json("alice", "sent")["sent"]
    assert (entry["state"], entry["rounds"]) == ("posted", sent["rounds"])


def test_an_interrupted_send_goes_on_with_resend(talkers: Talkers) -> None:
    text = "interrupted " * 60
    command = Running(talkers.command, [str(TESSERA), "send", "bob", text, "--home", "alice"])
    for _ in range(100):
        time.sleep(0.2)
        entry = talkers.json("alice", "sent")["sent"][-1]
        if entry["text"] == text and entry["rounds"][0] is not None:
            break
    said = command.stop(signal.SIGINT)
    assert said.code == 130 and "tessera resend" in said.error
    assert talkers.json("alice", "budget")["waiting"] > 0
    assert talkers.json("alice", "resend")["waiting"] == 0
    assert talkers.read("bob") == [text]


def test_a_file_arrives_whole(talkers: Talkers) -> None:
    content = bytes(range(256))
    path = talkers.command.folder / "scan.pdf"
    path.write_bytes(content)
    talkers.json("bob", "send", "alice", "--attach", path)
    (message,) = talkers.json("alice", "inbox", "--wait", "--save", "saved")["messages"]
    assert (talkers.command.folder / message["saved"]).read_bytes() == content


def test_with_an_agent_commands_need_no_passphrase_and_other_commands_work(talkers: Talkers) -> None:
    none = {"TESSERA_PASSPHRASE_FILE": ""}
    with talkers.agent("alice") as process:
        assert leaves_no_dump(process.process.pid)
        sent = talkers.json("alice", "send", "bob", "through the agent", **none)
        assert sent["agent"] is True
        assert talkers.read("bob") == ["through the agent"]
        talkers.json("bob", "send", "alice", "back")
        found = talkers.json("alice", "inbox", "--wait", **none)
        assert ([message["text"] for message in found["messages"]], found["agent"]) == (["back"], True)
        for words in (("contact", "list"), ("token", "list"), ("status",)):
            talkers.json("alice", *words)
        state = talkers.json("alice", "agent", "--status", **none)
        assert (state["connected"], state["waiting"]) == (True, 0)
        assert talkers.json("alice", "sent", **none)["sent"][-1]["state"] == "posted"
        again = talkers.command.run(TESSERA, "agent", "--home", "alice", code=4)
        assert "running already" in again.error
        talkers.json("alice", "agent", "--stop", **none)
    assert talkers.json("alice", "inbox")["agent"] is False


def test_an_agent_ends_in_order_when_it_is_told_to(talkers: Talkers) -> None:
    with talkers.agent("bob") as process:
        said = process.stop(signal.SIGTERM)
    assert (said.code, said.error) == (0, "")


class Screen:
    """A program in a terminal of 80 columns, and what the terminal shows."""

    def __init__(self, talkers: Talkers, *words: str) -> None:
        environment = talkers.command.environment | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        self.program = pexpect.spawn(
            words[0],
            list(words[1:]),
            cwd=talkers.command.folder,
            env=environment,
            dimensions=(24, 80),
            timeout=PATIENCE_SECONDS,
        )
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)

    def text(self) -> str:
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            while True:
                self._stream.feed(self.program.read_nonblocking(65536, timeout=0.05))
        return "\n".join(line.rstrip() for line in self._screen.display)

    def until(self, wanted: str, seconds: float = PATIENCE_SECONDS) -> str:
        end = time.monotonic() + seconds
        while wanted not in (shown := self.text()):
            assert time.monotonic() < end, shown
        return shown


@pytest.mark.parametrize("agent", [False, True], ids=["engine inside", "through the agent"])
def test_two_people_talk_full_screen(talkers: Talkers, agent: bool) -> None:
    words = f"Thursday at ten? {agent}"
    with contextlib.ExitStack() as stack:
        if agent:
            stack.enter_context(talkers.agent("alice"))
        alice = Screen(talkers, str(TESSERA), "chat", "bob", "--home", "alice")
        alice.until("connected to relay")
        alice.program.send(words)
        shown = alice.until("1 part · Today:")
        assert "Write to bob" not in shown
        alice.program.send("\r")
        alice.until("✓ posted, can be read from")
        assert talkers.read("bob") == [words]
        talkers.json("bob", "send", "alice", f"Thursday at ten. {agent}")
        assert "bob: Thursday at ten." in alice.until(f"bob: Thursday at ten. {agent}")
        alice.program.send("\x1b")
        alice.program.expect(pexpect.EOF)
        alice.program.close()
        assert alice.program.exitstatus == 0
    assert talkers.json("alice", "inbox")["messages"] == []


def test_chat_without_a_terminal_or_a_contact_says_so(talkers: Talkers) -> None:
    said = talkers.command.run(TESSERA, "chat", "bob", "--home", "alice", code=2)
    assert "needs a terminal" in said.error
    assert talkers.json("alice", "chat", "bob")["contact"] == "bob"
    assert "no contact 'carl'" in talkers.command.refused(2, "chat", "carl", "--home", "alice")


# -- the library's examples


def test_a_script_sends(talkers: Talkers) -> None:
    environment = {"TESSERA_HOME": str(talkers.command.folder / "alice")}
    script = [sys.executable, EXAMPLES / "send_from_script.py", "bob", "The backup is done."]
    assert talkers.command.run(*script, **environment).out.startswith("posted in round ")
    assert talkers.read("bob") == ["The backup is done."]
    said = talkers.command.run(*script[:2], "carl", "hello", code=2, **environment)
    assert said.error.startswith("error: there is no contact 'carl'")


def test_the_probe_reports_each_time_in_a_line_and_fails_when_the_relay_is_away(talkers: Talkers) -> None:
    probe = [sys.executable, EXAMPLES / "probe.py", "--home", "alice", "--contact", "bob", "--mirror-home", "bob"]
    said = talkers.command.run(*probe, "--times", "2", "--every-seconds", "0.1")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["ok"] for line in lines] == [True, True]
    assert all(line["read_seconds"] >= 0 and line["round"] > 0 for line in lines)
    talkers.office.relay.stop()
    try:
        said = talkers.command.run(*probe, "--times", "1", code=1)
        line = json.loads(said.out)
        assert line["ok"] is False and "cannot be reached" in line["error"]
    finally:
        talkers.office.relay.start()
    talkers.json("alice", "resend")
    talkers.read("bob")


def test_a_scanner_s_mail_becomes_a_text_and_a_file(talkers: Talkers) -> None:
    talkers.command.environment["TESSERA_HOME"] = str(talkers.command.folder / "alice")
    words = [sys.executable, str(EXAMPLES / "scan_bridge.py"), "bob", "--port", "0"]
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@branch", "bob@tessera", "Scan 17"
    mail.set_content("from the second floor\n")
    mail.add_attachment(b"%PDF" + bytes(200), maintype="application", subtype="pdf", filename="scan17.pdf")
    try:
        with running(talkers.command, *words, until="goes to bob") as bridge:
            port = int(bridge.lines[-1].split(":")[1].split()[0])
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE_SECONDS) as scanner:
                scanner.send_message(mail)
                mail.add_attachment(bytes(3255), maintype="application", subtype="pdf", filename="photo.pdf")
                with pytest.raises(smtplib.SMTPDataError, match="carries"):
                    scanner.send_message(mail)
            found: list[str] = []
            while len(found) < 2:
                found += talkers.read("bob")
    finally:
        del talkers.command.environment["TESSERA_HOME"]
    assert found == ["Scan 17\nfrom the second floor", "scan17.pdf"]


def test_the_examples_explain_themselves() -> None:
    for name in ("scan_bridge.py", "probe.py"):
        done = subprocess.run([sys.executable, EXAMPLES / name, "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and "usage:" in done.stdout
