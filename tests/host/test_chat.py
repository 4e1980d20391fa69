"""The full-screen conversation, driven by textual's Pilot, over a real client whose engine runs in made-up time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tessera_host.agent.client import Client
from tessera_host.cli.chat import Chat, Day, Line
from tessera_host.clock import local_day, short_local_time
from tessera_host.errors import Unreachable
from tessera_host.member import composing
from tessera_host.member.schema import SplitView
from tests.support import correspondence
from tests.support.talking import Office, Time


class Conversation:
    """Ann's screen, with or without her engine running behind it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.office = Office(folder, monkeypatch, **options)
        self.time = Time(self.office.clock)
        self.client = Client(self.office.ann, now=self.time, sleep=self._sleep)
        self.app = Chat(self.client, "Bob")

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.02 * min(seconds, 1.0))
        await self.time.sleep(min(seconds, 1.0))

    def lines(self) -> list[str]:
        return [str(line.render()) for line in self.app.query(Line)]

    def line(self, name: str) -> str:
        return str(self.app.query_one(f"#{name}", Static).render())

    async def until(self, pilot: Pilot[None], wanted: Any) -> None:
        for _ in range(600):
            if wanted():
                return
            await pilot.pause(0.01)
        raise AssertionError((self.lines(), self.line("connection"), self.line("cost")))


@pytest.fixture
def ann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Conversation]:
    conversation = Conversation(tmp_path, monkeypatch)
    yield conversation
    assert conversation.app.failure is None
    for member in conversation.office.members.values():
        member.close()


async def test_what_is_typed_is_posted_and_its_state_is_shown(ann: Conversation) -> None:
    engine = None
    leaves = f"leaves from {short_local_time(ann.office.clock())} on"
    async with ann.app.run_test() as pilot:
        await pilot.press(*"Hi Bob", "enter")
        await ann.until(pilot, lambda: ann.lines())
        await ann.until(pilot, lambda: [line.split(" ·")[0] for line in ann.lines()] == [f"Hi Bob\n… {leaves}"])
        engine = asyncio.create_task(ann.client.run(at_once=True))
        await ann.until(pilot, lambda: any("✓ posted, can be read from " in line for line in ann.lines()))
        assert ann.app.query_one("#line", Input).value == ""
    engine.cancel()


async def test_what_arrives_appears_and_counts_as_read(ann: Conversation) -> None:
    await correspondence.send(ann.office.bob, "Ann", "Hello Ann")
    engine = asyncio.create_task(ann.client.run(at_once=True))
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: any(line.endswith(" Bob: Hello Ann") for line in ann.lines()))
        await ann.until(pilot, lambda: "connected to relay-0" in ann.line("connection"))
    engine.cancel()
    assert await ann.client.inbox(new=True) == []


async def test_the_cost_of_what_is_written_is_shown_as_it_grows(ann: Conversation) -> None:
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: ann.line("cost").startswith("Today: 0 of "))
        ann.app.query_one("#line", Input).value = "x" * 136
        await ann.until(pilot, lambda: ann.line("cost").startswith("1 part · Today: 0 of "))
        ann.app.query_one("#line", Input).value = "ü" * 69
        await ann.until(pilot, lambda: ann.line("cost").startswith("2 parts, about 20 s · Today: 0 of "))


async def test_what_takes_much_of_the_day_is_sent_by_a_second_enter(ann: Conversation) -> None:
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: ann.line("cost").startswith("Today: 0 of "))
        left = (await ann.client.budget()).left
        text = "x" * (136 + (left // 3 + 1) * 208)
        ann.app.query_one("#line", Input).value = text
        await pilot.press("enter")
        await pilot.pause()
        assert ann.lines() == [] and ann.app.query_one("#line", Input).value == text
        await pilot.press("enter")
        await ann.until(pilot, lambda: len(ann.lines()) == 1)


async def test_each_day_has_a_line_of_its_own(ann: Conversation) -> None:
    await correspondence.send(ann.office.bob, "Ann", "Hello Ann")
    ann.office.clock.next_round(2)
    await ann.client.fetch()
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: len(ann.lines()) == 1)
        (day,) = ann.app.query(Day)
        assert str(day.content) == local_day(ann.office.clock())


async def test_that_a_contact_has_other_settings_stands_above_the_line(ann: Conversation) -> None:
    async with ann.client.shared.held() as member:
        member.contacts.get("Bob").split = SplitView(0, True)
        member.save()
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: "Bob was given different settings from yours" in ann.line("connection"))


async def test_a_contact_whose_words_were_not_compared_is_marked(ann: Conversation) -> None:
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: "words not compared yet: tessera contact verify Bob" in ann.line("connection"))


async def test_a_relay_that_is_away_is_said_and_what_was_written_stays(ann: Conversation) -> None:
    ann.office.relay.away = Unreachable("the relay cannot be reached", "check the network")
    async with ann.app.run_test() as pilot:
        await pilot.press(*"Hi", "enter")
        engine = asyncio.create_task(ann.client.run(at_once=True))
        await ann.until(pilot, lambda: "cannot be reached" in ann.line("connection"))
        await ann.until(pilot, lambda: any(line.startswith("Hi\n… ") for line in ann.lines()))
    engine.cancel()


async def test_nothing_is_sent_for_blanks_and_escape_leaves(ann: Conversation) -> None:
    async with ann.app.run_test() as pilot:
        await pilot.press("space", "enter")
        await pilot.pause()
        assert ann.lines() == []
        await pilot.press("escape")
        await pilot.pause()
    assert await ann.client.sent() == []


@pytest.mark.parametrize("text", ["[bold]no markup[/] [/red] \\[", "\x1b[2J\x07", "a\nb", "世界 👩\u200d💻"])
async def test_what_others_write_is_text_and_nothing_else(ann: Conversation, text: str) -> None:
    await correspondence.send(ann.office.bob, "Ann", text)
    ann.office.clock.next_round(2)
    await ann.client.fetch()
    async with ann.app.run_test() as pilot:
        await ann.until(pilot, lambda: len(ann.lines()) == 1)
        (shown,) = ann.lines()
        assert "\x1b" not in shown and "\x07" not in shown
        assert text in shown or "\\u{1b}[2J\\u{7}" in shown


async def test_a_bug_ends_the_screen_without_showing_variables(
    ann: Conversation, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    async with ann.app.run_test():
        ann.client.queue = broken  # type: ignore[method-assign, assignment]
        line = ann.app.query_one("#line", Input)
        line.value = "x"
        await line.action_submit()
        for _ in range(200):
            if ann.app.failure:
                break
            await asyncio.sleep(0.01)
    assert isinstance(ann.app.failure, ZeroDivisionError)
    assert "secret" not in "".join(capsys.readouterr())
    ann.app.failure = None


async def test_a_long_conversation_begins_at_its_end(ann: Conversation) -> None:
    for number in range(30):
        composing.queue(ann.office.bob, "Ann", f"number {number}")
    await correspondence.resend(ann.office.bob)
    ann.office.clock.next_round(2)
    await ann.client.fetch()
    async with ann.app.run_test(size=(60, 20)) as pilot:
        await ann.until(pilot, lambda: len(ann.lines()) == 30)
        said = ann.app.query_one("#said", VerticalScroll)
        await ann.until(pilot, lambda: said.max_scroll_y > 0 and said.scroll_y == said.max_scroll_y)
        await pilot.press("pageup")
        await ann.until(pilot, lambda: said.scroll_y < said.max_scroll_y)
