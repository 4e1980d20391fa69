"""An office in fast motion, by the commands that people type, under faketime: it passes day 91, and goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fast_motion import FastOffice


@pytest.fixture
def office(tmp_path: Path, micropython_frozen: Path) -> Iterator[FastOffice]:
    with FastOffice(tmp_path) as made:
        made.switch(on=True)
        for name in ("alice", "bob"):
            made.join(name)
        made.meet("alice", "bob")
        yield made


def newcomer_writes_at_once(office: FastOffice, name: str) -> None:
    """In the round in which she joined: she has a token for the epoch that is open."""
    office.join(name)
    office.meet(name, "alice")
    before = office.open_round()
    assert office.send(name, "alice", f"I am {name}") == before


def test_an_office_passes_day_91_and_a_newcomer_writes_in_the_round_in_which_she_joined(office):
    """Nobody typed a renewal: the service made it when a third of the schedule was left, a member brought it."""
    first = office.shown()
    office.until_day(62)
    office.talk("alice", "bob")
    office.until_day(91)
    office.talk("bob", "alice")
    now = office.shown()
    assert now["serial"] > first["serial"] and now["last_epoch"] > first["last_epoch"]
    newcomer_writes_at_once(office, "carol")


@pytest.mark.long
def test_an_office_lives_for_400_days(office):
    """Its small sister above passes day 91; here are the rest of its troubles."""
    for name in ("dave", "erin", "frank"):
        office.join(name)
    office.meet("dave", "alice")
    office.talk("alice", "bob")

    # Three leave in one week; the relay is off while the last two sets are made.
    office.until_day(35)
    office.talk("dave", "alice")
    office.audit()
    office.json("issuer", "remove", "issuer", "dave")
    office.until_day(37)
    office.talk("alice", "bob")
    office.audit()
    office.switch(on=False)
    for day, name in ((38, "erin"), (41, "frank")):
        office.until_day(day)
        office.json("issuer", "remove", "issuer", name)
    office.until_day(43)
    office.switch(on=True)
    office.read("alice")  # brings the relay what it missed: in force tomorrow
    office.until_day(44)
    office.talk("alice", "bob")
    for name in ("dave", "erin", "frank"):
        office.fails("inbox", "--home", name)
    office.fails("send", "alice", "I am gone", "--home", "dave")
    assert all("I am gone" not in text for text in office.read("alice"))
    office.audit()

    office.until_day(62)
    office.talk("alice", "bob")
    office.audit()
    office.until_day(91)
    office.talk("bob", "alice")
    office.audit()
    newcomer_writes_at_once(office, "carol")

    # Bob is away for three weeks, and comes back with one command.
    office.until_day(100)
    office.talk("carol", "alice")
    office.until_day(112)
    office.send("bob", "alice", "back from the sea")
    office.pass_time(3600)
    assert "back from the sea" in office.read("alice")

    for day in (140, 168, 196, 224, 252, 280, 308, 336, 364, 392, 400):
        office.until_day(day)
        office.talk("alice", "bob")
        office.talk("bob", "alice")
        office.audit()
    assert office.shown()["last_epoch"] > 400 + 30
