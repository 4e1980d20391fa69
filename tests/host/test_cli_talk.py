"""Talking as it is typed: what leaves and when, what is shown, and what a person is told about cost and waiting."""

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import pytest
import typer

from tessera import curve
from tessera.params import Head
from tessera_host import cli, files
from tessera_host.agent.client import Client
from tessera_host.cli import output
from tessera_host.clock import short_local_time
from tessera_host.errors import IntegrityError, ScheduleEnding, UsageError
from tessera_host.member import composing
from tessera_host.member.schema import SplitView, Stored
from tessera_host.member.state import MemberState
from tessera_host.protocol import schedule
from tests.host.test_cli_member import Desk
from tests.host.test_cli_member import desk as desk
from tests.support import correspondence
from tests.support.fake_federation import EPOCH_ROUNDS, GENESIS, LARGE, PASSPHRASE, ROUND_SECONDS

DAY = 86400


Capsys = pytest.CaptureFixture[str]
_made: dict[str, tuple[Path, Any]] = {}


def _prepared(folders: pytest.TempPathFactory, capsys: Capsys, budget: dict[str, str]) -> tuple[Path, Any]:
    """The folder of two who met and have tokens, and their federation: made once for each budget."""
    key = str(budget)
    if key not in _made:
        with pytest.MonkeyPatch.context() as patch:
            desk = Desk(folders.mktemp("prepared"), patch, capsys, budget)
            desk.ready()
            _made[key] = desk.folder, desk.federation
    return _made[key]


def _desk(
    folders: pytest.TempPathFactory, folder: Path, patch: pytest.MonkeyPatch, capsys: Capsys, budget: dict[str, str]
) -> Any:
    prepared, federation = _prepared(folders, capsys, budget)
    desk = Desk(folder, patch, capsys, budget)
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    desk.federation, desk.relay = federation, federation.relay(desk.clock)
    desk.relay.serve(patch)
    return desk


@pytest.fixture
def ready(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> Any:
    """Two who met."""
    return _desk(tmp_path_factory, tmp_path, monkeypatch, capsys, LARGE)


def texts(desk: Desk, who: str = "bob", *options: str) -> list[str]:
    return [message["text"] for message in desk.json(who, "inbox", *options)["messages"]]


# -- sending


def test_message_is_sent_and_read(ready: Desk) -> None:
    sent = ready.json("ann", "send", "bob", "hello\nthere")
    expected = {"contact": "bob", "messages": [0], "records": 1, "rounds": [0], "waiting": 0, "state": "posted"}
    assert {name: sent[name] for name in expected} == expected
    assert (sent["parts"], sent["agent"], sent["used_today"]) == (1, False, 1)
    ready.clock.next_round()
    found = ready.json("bob", "inbox")
    (message,) = found["messages"]
    assert (message["contact"], message["text"], message["round"], message["lost"]) == ("ann", "hello\nthere", 0, 0)
    assert (message["file"], found["rounds"], found["rounds_expired"]) == (None, 1, 0)
    assert texts(ready) == []
    assert texts(ready, "bob", "--all") == ["hello\nthere"]
    assert texts(ready, "bob", "--all", "--offline") == ["hello\nthere"]


def test_parts_leave_one_a_round(ready: Any) -> None:
    sent = ready.json("ann", "send", "bob", "x" * 600)
    assert sent["rounds"] == sorted(set(sent["rounds"])) and len(sent["rounds"]) == 4
    assert len(ready.slept) == 3
    assert all(0 < seconds <= 2 * ROUND_SECONDS for seconds in ready.slept)
    assert ready.json("ann", "sent")["sent"][0]["rounds"] == sent["rounds"]


def test_a_second_message_in_a_round_waits_for_the_next(ready: Any) -> None:
    ready.json("ann", "send", "bob", "one")
    assert ready.json("ann", "send", "bob", "two")["rounds"] != [0]
    assert len(ready.slept) == 1


def test_without_waiting_the_rest_stays_in_the_outbox(ready: Any) -> None:
    sent = ready.json("ann", "send", "bob", "x" * 600, "--no-wait")
    assert (sent["records"], sent["waiting"], sent["state"]) == (1, 3, "waiting")
    assert ready.slept == []
    resent = ready.json("ann", "resend")
    assert (resent["records"], resent["waiting"], resent["agent"]) == (3, 0, False)
    assert resent["rounds"] == sorted(set(resent["rounds"])) and resent["rounds"][0] > sent["rounds"][0]
    ready.clock.next_round()
    assert texts(ready) == ["x" * 600]


def test_the_cost_of_a_long_message_is_said_before_it_leaves(ready: Any) -> None:
    _, _, err = ready.run("ann", "send", "bob", "x" * 600)
    assert "This takes 4 of today's " in err
    assert "one leaves every 10 s, so it takes about 40 s: from " in err
    assert "This takes" not in ready.run("ann", "send", "bob", "short")[2]


def test_interrupted_send_leaves_the_rest_in_the_outbox(ready: Any) -> None:
    async def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    ready.sleep_with(interrupted)
    ready.fails(130, "tessera resend", "ann", "send", "bob", "x" * 600)
    assert ready.json("ann", "status")["waiting"] == 3


def test_unreachable_relay_leaves_the_message_in_the_outbox(ready: Desk) -> None:
    ready.relay.fail_before_store = 1
    ready.fails(6, "leaves with the next command", "ann", "send", "bob", "hello")
    assert ready.json("ann", "status")["waiting"] == 1
    assert [entry["state"] for entry in ready.json("ann", "sent")["sent"]] == ["sealed"]
    assert ready.json("ann", "resend")["waiting"] == 0
    ready.clock.next_round(2)
    assert texts(ready) == ["hello"]


@pytest.mark.parametrize("way", ["--file", "standard input"])
def test_text_from_a_file_or_standard_input(ready: Desk, way: str) -> None:
    text = "Grüße\n" * 50
    ready.file("text").write_text(text + "\n" * (way != "--file"))
    if way == "--file":
        ready.json("ann", "send", "bob", "--file", ready.file("text"))
    else:
        stdin = SimpleNamespace(isatty=lambda: False, buffer=ready.file("text").open("rb"))
        ready.monkeypatch.setattr(sys, "stdin", stdin)
        ready.json("ann", "send", "bob")
    ready.clock.next_round()
    assert texts(ready) == [text]


def test_messages_that_cannot_be_sent_are_refused(ready: Desk) -> None:
    ready.file("binary").write_bytes(b"\xff\x80")
    os.mkfifo(ready.file("pipe"))
    ready.fails(3, "not an ordinary file", "ann", "send", "bob", "--attach", ready.file("pipe"))
    ready.fails(3, "not UTF-8", "ann", "send", "bob", "caf\udce9")
    ready.file("long").write_bytes(bytes(3256))
    ready.fails(3, "--attach", "ann", "send", "bob", "--file", ready.file("binary"))
    ready.fails(2, "cannot be sent together", "ann", "send", "bob", "text", "--file", ready.file("binary"))
    ready.fails(3, "cannot be read", "ann", "send", "bob", "--file", ready.file("none"))
    ready.fails(3, "cannot be read", "ann", "send", "bob", "--attach", ready.file("none"))
    ready.fails(3, "carries at most 3251 bytes", "ann", "send", "bob", "--attach", ready.file("long"))
    ready.fails(2, "empty", "ann", "send", "bob", "")
    ready.fails(2, "no contact 'carl'", "ann", "send", "carl", "text")
    ready.fails(2, "do not go together", "bob", "inbox", "--wait", "--offline")
    assert ready.json("ann", "status")["waiting"] == 0


# -- the budget


@pytest.fixture
def thrifty(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> Any:
    """An office whose members post three records a day."""
    return _desk(tmp_path_factory, tmp_path, monkeypatch, capsys, {"epsilon": "3", "delta": "1e-3"})


def test_what_exceeds_the_day_s_budget_waits_and_says_so(thrifty: Any) -> None:
    sent = thrifty.json("ann", "send", "bob", "x" * (136 + 4 * 208), "--yes")
    assert (sent["records"], sent["waiting"], sent["used_today"], sent["allowed_today"]) == (3, 2, 3, 3)
    code, out, _ = thrifty.run("ann", "budget")
    assert code == 0
    assert out.startswith("Today: 3 of 3 messages.\n") and "(3, 1e-3)-differentially private" in out
    assert "The next one can leave from " in out and "2 records of what you wrote waiting, to leave from " in out
    tomorrow = short_local_time(thrifty.json("ann", "budget")["next_at"])
    _, out, _ = thrifty.run("ann", "send", "bob", "more")
    assert f"For bob, with the next command that reaches the relay: leaves from {later(tomorrow, out)} on" in out
    assert f"3 of 5 parts posted, the rest leaves from {tomorrow} on" in thrifty.run("ann", "sent")[1]
    assert thrifty.json("ann", "resend")["records"] == 0


def test_the_next_day_what_waited_leaves(thrifty: Any) -> None:
    thrifty.json("ann", "send", "bob", "x" * (136 + 4 * 208), "--yes")
    # The tokens of that day are another test's business: the relay's epochs are short, so only the count is looked at.
    before = thrifty.json("ann", "budget")
    thrifty.clock.now += DAY
    after = thrifty.json("ann", "budget")
    assert (before["used"], before["left"], after["used"], after["left"]) == (3, 0, 0, 3)
    assert before["next_at"] <= thrifty.clock.now
    assert after["waiting"] == 2


def later(first: str, out: str) -> str:
    """What waits behind two records leaves two rounds later: perhaps in another minute."""
    found = re.search(r"leaves from (.*) on", out)
    assert found and found[1] >= first
    return found[1]


def test_what_takes_much_of_the_day_is_asked_about(thrifty: Any) -> None:
    cost = "this takes 2 messages, and 3 of today's 3 messages are left"
    thrifty.fails(5, cost, "ann", "send", "bob", "x" * 200)
    assert thrifty.json("ann", "budget")["waiting"] == 0
    code, _, err = thrifty.run("ann", "send", "bob", "x" * 200, "--yes", "--no-wait")
    assert code == 0 and "This takes 2 of today's 3 messages (0 used so far); one leaves every 10 s" in err
    assert thrifty.json("ann", "send", "bob", "x" * 136, "--no-wait")["parts"] == 1  # a single one is never asked about


@pytest.mark.parametrize(("answer", "code", "waiting"), [(True, 0, 1), (False, 5, 0)])
def test_at_a_terminal_it_is_a_question(thrifty: Any, answer: bool, code: int, waiting: int) -> None:
    asked: list[str] = []
    thrifty.monkeypatch.setattr(output, "has_terminal", lambda: True)
    thrifty.monkeypatch.setattr(typer, "confirm", lambda question, **_: [asked.append(question), answer][1])
    assert thrifty.run("ann", "send", "bob", "x" * 200, "--no-wait")[0] == code
    assert asked == ["This takes 2 messages, and 3 of today's 3 messages are left. Send it?"]
    assert thrifty.json("ann", "budget")["waiting"] == waiting


# -- taking back


def test_what_has_not_left_is_taken_back_and_nobody_misses_it(thrifty: Any) -> None:
    thrifty.json("ann", "send", "bob", "x" * 336, "--yes", "--no-wait")  # the first of two parts leaves
    thrifty.json("ann", "send", "bob", "one too many", "--no-wait")
    thrifty.json("ann", "send", "bob", "wanted", "--no-wait")
    texts_of = [one["text"] for one in thrifty.json("ann", "sent")["sent"]]
    assert texts_of == ["x" * 336, "one too many", "wanted"]
    thrifty.monkeypatch.setattr(output, "has_terminal", lambda: True)
    thrifty.monkeypatch.setattr(typer, "confirm", lambda question, **_: "one too many" in question)
    code, out, _ = thrifty.run("ann", "sent", "--cancel")
    assert code == 0 and out.endswith("one too many\n    taken back, nothing had left\n")
    assert [one["text"] for one in thrifty.json("ann", "sent")["sent"]] == ["x" * 336, "wanted"]
    thrifty.clock.next_round()
    assert thrifty.json("ann", "resend")["waiting"] == 0
    thrifty.clock.next_round()
    found = thrifty.json("bob", "inbox")["messages"]
    assert [(message["text"], message["lost"]) for message in found] == [("x" * 336, 0), ("wanted", 0)]


def test_of_what_has_left_in_part_the_rest_is_taken_back(ready: Any) -> None:
    ready.json("ann", "send", "bob", "x" * 600, "--no-wait")
    assert ready.json("ann", "sent", "bob", "--cancel")["cancelled"] == [
        {"contact": "bob", "messages": [0], "posted": 1}
    ]
    (entry,) = ready.json("ann", "sent")["sent"]
    assert (entry["state"], entry["leaves_from"]) == ("cancelled", None)
    assert "1 of 4 parts posted, the rest taken back" in ready.run("ann", "sent")[1]
    assert ready.json("ann", "budget")["waiting"] == 0
    assert ready.run("ann", "sent", "--cancel")[1] == "nothing waits: all of it has left\n"
    ready.json("ann", "send", "bob", "after")
    ready.clock.next_round()
    (message,) = ready.json("bob", "inbox")["messages"]
    assert (message["text"], message["lost"]) == ("after", 1)


def test_parts_that_have_come_are_told_before_the_message_is_whole(ready: Any) -> None:
    ready.json("ann", "send", "bob", "x" * 600, "--no-wait")
    ready.clock.next_round()
    code, out, _ = ready.run("bob", "inbox")
    assert code == 0 and "(1 of 4 parts of a message from ann have arrived; it is shown when all have)" in out
    assert ready.json("bob", "inbox", "--offline")["arriving"] == [{"contact": "ann", "got": 1, "parts": 4}]


# -- what is typed


def test_words_without_quotes_are_one_text_and_blanks_are_none(ready: Any) -> None:
    ready.json("ann", "send", "bob", "two", "words")
    ready.fails(2, "only spaces", "ann", "send", "bob", "   ")
    ready.clock.next_round()
    assert texts(ready) == ["two words"]


def test_a_contact_is_found_whatever_the_capitals_and_a_near_one_is_named(ready: Any) -> None:
    assert ready.json("ann", "send", "BOB", "hello")["contact"] == "bob"
    assert len(ready.json("ann", "sent", "Bob")["sent"]) == 1
    assert ready.json("ann", "contact", "show", "Bob")["name"] == "bob"
    ready.fails(2, "did you mean 'bob'?", "ann", "send", "bop", "hello")
    ready.fails(2, "your contacts: bob", "ann", "inbox", "carol")


def test_output_that_cannot_be_written_is_no_bug(ready: Any) -> None:
    ready.json("ann", "send", "bob", "hello")
    for options in ([], ["--json"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", unwritable("full"))
            ready.capsys.readouterr()
            assert cli.run(["sent", "--home", str(ready.file("ann")), *options]) == 2
            err = ready.capsys.readouterr().err
            with contextlib.suppress(OSError):
                sys.stdout.close()
        assert err.startswith("error: the output cannot be written: No space left on device\nhint: ")


# -- other settings, newer programs


def alarmed(desk: Desk) -> None:
    """Ann's keystore says that Bob was given other settings than she."""
    with MemberState.open(desk.folder / "ann", PASSPHRASE) as ann:
        ann.contacts.get("bob").split = SplitView(0, False)
        ann.save()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (("status",), lambda found: found["split"] == ["bob"]),
        (("contact", "list"), lambda found: found["contacts"][0]["split"] is True),
        (("contact", "show", "bob"), lambda found: found["split"] is True),
        (("inbox",), lambda found: [message["text"] for message in found["messages"]] == ["hello"]),
        (("fetch",), lambda found: [message["text"] for message in found["messages"]] == ["hello"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_while_a_contact_has_other_settings_commands_show_what_they_have_and_end_with_8(
    ready: Desk, command: tuple[str, ...], field: Any
) -> None:
    ready.json("bob", "send", "ann", "hello")
    ready.clock.next_round()
    alarmed(ready)
    for again in (False, True):  # as long as it stands
        code, out, err = ready.run("ann", *command, "--json")
        assert code == IntegrityError.exit_code == 8
        assert "error: your contact bob was given different settings from yours" in err
        assert "tessera contact rekey bob" in err
        if not again:
            assert field(json.loads(out))


def test_whoever_writes_to_a_contact_with_other_settings_is_told(ready: Desk) -> None:
    alarmed(ready)
    code, _, err = ready.run("ann", "send", "bob", "hello")
    assert code == 0 and "bob was given different settings from yours" in err


def test_a_message_of_a_newer_program_is_shown_as_one(ready: Desk) -> None:
    with MemberState.open(ready.folder / "bob", PASSPHRASE) as bob:
        bob.data.inbox.messages.append(Stored("ann", 0, "", 0, 0, None, b"", False, True, True))
        bob.save()
    code, out, _ = ready.run("bob", "inbox", "--offline")
    assert code == 0
    assert "ann: (sent with a newer tessera than yours: update yours, then ask for it again)" in out


# -- files


def test_a_file_is_sent_shown_and_saved(ready: Desk) -> None:
    content = bytes(range(256)) * 2
    ready.file("scan 1.pdf").write_bytes(content)
    ready.json("ann", "send", "bob", "--attach", ready.file("scan 1.pdf"))
    ready.clock.next_round()
    code, out, _ = ready.run("bob", "inbox")
    assert code == 0
    assert "ann: file 'scan 1.pdf', 512 bytes; tessera inbox --all --save DIR keeps it" in out
    (message,) = ready.json("bob", "inbox", "--all", "--save", ready.file("got"))["messages"]
    assert message["saved"] == str(ready.file("got/ann-0-scan 1.pdf"))
    assert ready.file("got/ann-0-scan 1.pdf").read_bytes() == content
    assert (message["file"], message["bytes"], message["text"]) == ("scan 1.pdf", 512, "")
    assert "content" not in message


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "a\x1b[2Jb", "..", ".profile", "n" * 240, "con:aux"])
def test_a_file_s_name_never_leaves_the_directory_nor_acts_on_the_terminal(ready: Desk, name: str) -> None:
    with MemberState.open(ready.file("ann"), PASSPHRASE) as ann:
        composing.queue_file(ann, "bob", name, b"x")
        asyncio.run(correspondence.resend(ann))
    ready.clock.next_round()
    _, out, _ = ready.run("bob", "inbox", "--save", ready.file("got"))
    (saved,) = ready.file("got").iterdir()
    assert saved.name.startswith("ann-0-") and len(saved.name) < 120
    assert "\x1b" not in out + saved.name and ":" not in saved.name


def send_file(desk: Desk, name: str, content: bytes) -> None:
    with MemberState.open(desk.file("ann"), PASSPHRASE) as ann:
        composing.queue_file(ann, "bob", name, content)
        asyncio.run(correspondence.resend(ann))
    desk.clock.next_round()


@pytest.mark.parametrize("name", ["\u4e16" * 80, "\U0001f600" * 60 + ".pdf", "e\u0301" * 80, " .. "])
def test_a_file_of_any_name_that_may_be_sent_is_saved(ready: Desk, name: str) -> None:
    ready.json("bob", "contact", "rename", "ann", "\u4e16" * 64)
    send_file(ready, name, b"x")
    (message,) = ready.json("bob", "inbox", "--save", ready.file("got"))["messages"]
    (saved,) = ready.file("got").iterdir()
    assert message["saved"] == str(saved) and saved.read_bytes() == b"x"
    assert saved.suffix == (".pdf" if name.endswith(".pdf") else "")
    assert texts(ready) == []


def test_what_is_in_the_folder_already_stays_and_is_not_called_saved(ready: Desk) -> None:
    for at, taken in enumerate((b"other", b"content and more")):
        ready.file("got").mkdir(exist_ok=True)
        ready.file(f"got/ann-0-plan{f' ({at + 1})' if at else ''}.txt").write_bytes(taken)
    ready.file("got/ann-0-plan (3).txt").symlink_to(ready.file("elsewhere"))
    send_file(ready, "plan.txt", b"content")
    (message,) = ready.json("bob", "inbox", "--save", ready.file("got"))["messages"]
    assert message["saved"] == str(ready.file("got/ann-0-plan (4).txt"))
    assert ready.file("got/ann-0-plan (4).txt").read_bytes() == b"content"
    assert ready.file("got/ann-0-plan.txt").read_bytes() == b"other"
    assert not ready.file("elsewhere").exists()
    (again,) = ready.json("bob", "inbox", "--all", "--save", ready.file("got"))["messages"]
    assert again["saved"] == message["saved"]
    assert len(list(ready.file("got").iterdir())) == 4


def test_a_file_that_cannot_be_saved_is_one_line_and_stays_new(ready: Desk) -> None:
    send_file(ready, "first.txt", b"1")
    send_file(ready, "second.txt", b"2")
    ready.json("ann", "send", "bob", "hello")
    ready.clock.next_round()
    write = files.write

    def full(path: Path, data: bytes) -> None:
        if data == b"1":
            raise UsageError(f"{path} cannot be written: No space left on device", "make room")
        write(path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "write", full)
        code, out, _ = ready.run("bob", "inbox", "--save", ready.file("got"))
    first, second, text = out.splitlines()
    assert code == 2
    assert "file 'first.txt', 1 byte; not saved: " in first and "No space left" in first
    assert "saved as" in second and text.endswith("ann: hello")
    ready.file("blocked").write_text("a file where a folder is wanted")
    code, out, _ = ready.run("bob", "inbox", "--offline", "--save", ready.file("blocked"), "--json")
    (message,) = json.loads(out)["messages"]
    assert (code, message["file"], message["saved"]) == (2, "first.txt", None)
    assert "cannot be written" in message["not_saved"]
    (message,) = ready.json("bob", "inbox", "--offline", "--save", ready.file("got"))["messages"]
    assert Path(message["saved"]).read_bytes() == b"1"
    assert texts(ready, "bob", "--offline") == []


# -- reading


def unwritable(kind: str) -> TextIO:
    """Standard output that cannot be written to."""
    if kind == "full":
        return open("/dev/full", "w")
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


@pytest.mark.parametrize("command", ["inbox", "fetch"])
@pytest.mark.parametrize(("kind", "code"), [("full", 2), ("closed", 0)])
def test_what_could_not_be_shown_is_new_still(ready: Desk, command: str, kind: str, code: int) -> None:
    ready.json("ann", "send", "bob", "hello")
    ready.clock.next_round()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", unwritable(kind))
        assert cli.run([command, "--home", str(ready.file("bob"))]) == code
        with contextlib.suppress(OSError):  # what could not be written is in its buffer
            sys.stdout.close()
    assert texts(ready, "bob", "--offline") == ["hello"]
    assert texts(ready, "bob", "--offline") == []


def test_a_console_of_few_characters_shows_the_others_by_their_codes(ready: Desk) -> None:
    ready.json("ann", "send", "bob", "Gr\u00fc\u00dfe \U0001f600")
    ready.clock.next_round()
    console = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(console, encoding="cp1252"))
        assert cli.run(["inbox", "--home", str(ready.file("bob"))]) == 0
        assert console.getvalue().decode("cp1252").splitlines()[0].endswith(" ann: Gr\u00fc\u00dfe \\U0001f600")


def test_people_see_messages_a_line_each_with_their_time(ready: Desk) -> None:
    _, out, err = ready.run("ann", "send", "bob", "hello")
    readable = short_local_time(GENESIS + ROUND_SECONDS)
    assert out.startswith(f"Sent to bob: 1 record, posted, can be read from {readable} on.\nToday: 1 of ")
    assert "tessera contact verify bob" in err
    ready.clock.next_round()
    assert ready.run("bob", "inbox")[1].endswith(" ann: hello\n")
    assert ready.run("bob", "inbox")[1] == "nothing new; tessera inbox --all shows everything\n"


def test_inbox_of_one_contact_leaves_the_others_new(ready: Desk) -> None:
    ready.json("ann", "send", "bob", "hello")
    ready.clock.next_round()
    ready.json("bob", "contact", "add", "carl")
    ready.fails(2, "your contacts: ann", "bob", "inbox", "carl")
    assert texts(ready, "bob", "ann") == ["hello"]


def test_waiting_for_an_answer_survives_a_relay_that_is_away(ready: Any) -> None:
    ready.json("ann", "send", "bob", "hello")
    ready.relay.fail_fetch = 1
    found = ready.run("bob", "inbox", "--wait", "--json")
    assert [message["text"] for message in output_of(found)["messages"]] == ["hello"]
    assert len(ready.slept) >= 1


def output_of(run: tuple[int, str, str]) -> Any:
    assert run[0] == 0, run
    return json.loads(run[1])


def test_message_cannot_act_on_the_terminal(ready: Desk) -> None:
    ready.json("ann", "send", "bob", "a\x1b]0;owned\x07b\x9bc\u202ed")
    assert "\x1b" not in ready.run("ann", "sent")[1]
    ready.clock.next_round()
    assert ready.run("bob", "inbox")[1].endswith(" ann: a\\u{1b}]0;owned\\u{7}b\\u{9b}c\\u{202e}d\n")


def test_no_text_or_file_passes_for_another_contact_s_message(ready: Desk) -> None:
    forged = "28 Nov 18:30 carol: the code is 1234"
    ready.json("ann", "send", "bob", f"hello\n{forged}\r\n{forged}\u2028{forged}")
    ready.json("ann", "send", "bob", f"hello\n{forged}")
    send_file(ready, f"a\n{forged}", b"x")
    for command in (["inbox"], ["inbox", "--all"]):
        lines = ready.run("bob", *command)[1].splitlines()
        assert sum(" ann: " in line[:20] for line in lines) == 3
        assert not any(line.startswith(forged) for line in lines)
        assert sum(line.startswith(f"    | {forged}") for line in lines) == 4
    assert not any(line.startswith(forged) for line in ready.run("ann", "sent")[1].splitlines())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_text_from_notepad_is_sent_without_its_mark(ready: Desk, encoding: str) -> None:
    ready.file("note.txt").write_bytes("Grüße\r\nAnn".encode(encoding))
    ready.json("ann", "send", "bob", "--file", ready.file("note.txt"))
    ready.clock.next_round()
    assert texts(ready) == ["Grüße\r\nAnn"]


def test_both_spellings_of_an_accent_are_one_contact(ready: Desk) -> None:
    composed, apart = "Ren\u00e9e", "Rene\u0301e"
    ready.json("ann", "contact", "rename", "bob", apart)
    assert ready.json("ann", "contact", "show", composed)["name"] == composed
    for spelling in (composed, apart):
        ready.json("ann", "send", spelling, "hello")
        assert len(ready.json("ann", "sent", spelling)["sent"]) == (1 if spelling == composed else 2)
    ready.fails(2, "already", "ann", "contact", "add", apart)


def test_a_file_and_a_folder_may_have_names_that_are_not_utf_8(ready: Desk) -> None:
    path = Path(os.fsdecode(os.fsencode(ready.folder) + b"/caf\xe9"))
    path.write_bytes(b"x")
    ready.json("ann", "send", "bob", "--attach", path)
    ready.clock.next_round()
    folder = Path(os.fsdecode(os.fsencode(ready.folder) + b"/f\xfcr mich"))
    code, out, err = ready.run("bob", "inbox", "--save", folder)
    assert (code, err) == (0, "")
    assert "file 'caf\ufffd', 1 byte; saved as " in out and "f\\udcfcr mich" in out
    assert [saved.read_bytes() for saved in folder.iterdir()] == [b"x"]


def test_sent_lists_states_for_people(ready: Desk) -> None:
    assert ready.run("ann", "sent")[1] == "nothing sent yet\n"
    ready.json("ann", "send", "bob", "hello")
    ready.relay.fail_before_store = 1
    ready.fails(6, "leaves with the next command", "ann", "send", "bob", "again")
    _, out, _ = ready.run("ann", "sent", "bob")
    assert " to bob: hello\n    posted, can be read from " in out
    assert " to bob: again\n    sent, but the relay did not acknowledge it; leaves again from " in out


# -- the earlier word, and the relay


def test_fetch_shows_what_was_read(ready: Desk) -> None:
    ready.json("ann", "send", "bob", "hello")
    ready.clock.next_round()
    fetched = ready.json("bob", "fetch")
    assert [message["text"] for message in fetched["messages"]] == ["hello"]
    cover = ready.relay.cover(ready.relay.posted[0][1], 0)
    assert fetched["rounds"] == [{"round": 0, "count": cover + 1}]
    assert fetched["records_matched"] == 1
    assert ready.json("bob", "fetch")["messages"] == []


def test_status_shows_round_digest_tier_and_clocks(desk: Desk) -> None:
    desk.new("ann")
    desk.clock.next_round(9)
    desk.relay.rounds_fast = -1
    found = desk.json("ann", "status")
    assert found["digest"] == found["newest_digest"] == desk.federation.parameters.digest.hex()
    assert (found["open_round"], found["own_round"], found["rounds_apart"], found["epoch"]) == (8, 9, -1, 1)
    assert (found["tier"], found["relay"]) == (curve.TIER, "relay-0")
    _, out, _ = desk.run("ann", "status")
    assert "behind (1 round)" in out
    desk.relay.rounds_fast = 7
    desk.fails(9, "clock", "ann", "status")


def test_status_warns_before_the_schedule_ends(desk: Desk) -> None:
    desk.new("ann")
    desk.monkeypatch.setattr(schedule, "WARNING_SECONDS", 30 * 86400)
    code, out, err = desk.run("ann", "status", "--json")
    assert code == ScheduleEnding.exit_code
    assert json.loads(out)["relay"] == "relay-0"
    assert err.startswith("warning: the schedule of keys ends on ") and "tessera issuer renew" in err


def test_status_has_the_proof_of_two_sets_that_exclude_each_other(desk: Desk) -> None:
    desk.new("ann")
    desk.relay.claimed = desk.federation.make_set(1, epsilon=2_000_000)
    desk.fails(8, "contradict each other", "ann", "status")
    desk.relay.claimed = None
    code, out, err = desk.run("ann", "status", "--json")
    assert code == IntegrityError.exit_code and "show it to your colleagues" in err
    ((one, other),) = json.loads(out)["contradictions"]
    assert Head(bytes.fromhex(one)).serial == Head(bytes.fromhex(other)).serial == 1


def test_what_waits_leaves_with_the_next_command_that_reaches_the_relay(ready: Desk) -> None:
    ready.relay.fail_before_store = 1
    ready.fails(6, "cut", "ann", "send", "bob", "hello")
    ready.clock.next_round(2)
    ready.json("ann", "inbox")
    ready.clock.next_round()
    assert [message["text"] for message in ready.json("bob", "inbox")["messages"]] == ["hello"]


def test_who_waits_for_the_next_epoch_posts_nothing_before(ready: Desk) -> None:
    sent = ready.json("ann", "send", "bob", "hello", "--wait")
    assert sent["rounds"] == [EPOCH_ROUNDS]


def test_follow_goes_on_over_failures_and_holds_no_lock_meanwhile(desk: Desk) -> None:
    desk.ready()
    naps: list[int] = []

    async def nap(client: Client) -> None:
        naps.append(1)
        if len(naps) == 4:
            raise KeyboardInterrupt
        desk.relay.fail_fetch = len(naps) == 2
        MemberState.open(desk.file("bob"), PASSPHRASE).close()
        with MemberState.open(desk.file("ann"), PASSPHRASE) as ann:
            await correspondence.send(ann, "bob", f"number {len(naps)}")
        desk.clock.next_round()

    desk.monkeypatch.setattr(Client, "until_next_fetch", nap)
    code, out, err = desk.run("bob", "fetch", "--follow")
    assert code == 130
    assert [line for line in out.splitlines() if line.startswith("ann: ")] == [f"ann: number {n}" for n in (1, 2, 3)]
    assert "cut in a fetch" in err
