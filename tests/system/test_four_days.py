"""Four days of two members without agents, a weekend among them, by the commands that they type, under faketime."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fast_motion import ROUND_SECONDS, FastOffice

UNREACHABLE = 6


@pytest.fixture
def office(tmp_path: Path, micropython_frozen: Path) -> Iterator[FastOffice]:
    with FastOffice(tmp_path) as made:
        made.switch(on=True)
        for name in ("alice", "bob"):
            made.join(name)
        made.meet("alice", "bob")
        yield made


def sent(office: FastOffice, who: str) -> list[tuple[str, str]]:
    return [(entry["text"], entry["state"]) for entry in office.json("sent", "--home", who)["sent"]]


def texts_with(office: FastOffice, who: str, text: str) -> None:
    """One round later it is there."""
    office.pass_time(ROUND_SECONDS)
    assert office.read(who) == [text]


def test_two_members_without_agents_live_through_four_days(office: FastOffice) -> None:
    # Friday: they talk.
    office.talk("alice", "bob")
    office.talk("bob", "alice")

    # In the evening the relay is off. What Alice writes waits, and is said to, with the time from which on it can go.
    office.switch(on=False)
    said = office.command.json("send", "bob", "see you on Monday", "--home", "alice", code=UNREACHABLE)
    assert "the message waits in the outbox and leaves with the next command that can" in said["hint"]
    assert sent(office, "alice")[-1] == ("see you on Monday", "waiting")
    assert "    leaves from " in office.tessera("sent", "--home", "alice").splitlines()[-1]
    office.switch(on=True)

    # It leaves with the next thing that she types, whatever that is for.
    office.pass_time(2 * ROUND_SECONDS)
    assert office.read("alice") == []
    assert sent(office, "alice")[-1] == ("see you on Monday", "posted")

    # Saturday and Sunday nobody types anything. On Monday each has access with the first command.
    office.until_day(3)
    assert office.read("bob") == ["see you on Monday"]
    for writer, reader in (("bob", "alice"), ("alice", "bob")):
        office.send(writer, reader, f"{writer} is back")
        texts_with(office, reader, f"{writer} is back")

    # A long message: what it takes is said before it leaves, one part a round leaves with whatever is typed.
    long = "a part " * 50
    said = office.command.run(*office.command.words("send", "bob", long, "--no-wait", "--yes", "--home", "alice"))
    assert "This takes 3 of today's " in said.error and "one leaves every 60 min, so it takes about 3 h" in said.error
    for command in ("inbox", "status"):
        office.pass_time(ROUND_SECONDS)
        office.json(command, "--home", "alice")
        assert office.read("bob") == []
    (entry,) = [each for each in office.json("sent", "--home", "alice")["sent"] if each["text"] == long]
    assert entry["state"] == "posted" and len(set(entry["rounds"])) == 3
    texts_with(office, "bob", long)

    # What was one too many is taken back before it left.
    office.json("send", "bob", "first", "--no-wait", "--home", "alice")
    office.json("send", "bob", "one too many", "--no-wait", "--home", "alice")
    assert [each["messages"] for each in office.json("sent", "--cancel", "--home", "alice")["cancelled"]]
    texts_with(office, "bob", "first")

    # A newcomer writes in the round in which she joins.
    office.join("carol")
    office.meet("carol", "bob")
    office.send("carol", "bob", "I am new")
    texts_with(office, "bob", "I am new")
