"""`tessera chat`: one conversation, full screen.

Owns the screen: what was said, how far each own message got, the line that is being written with its cost, the line
about the connection. Everything comes from and goes to a `Talk`; this module knows neither relays nor keystores.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.widgets import Input, Static

from .. import duration
from ..agent.interface import State, Talk
from ..clock import local_day, local_time_of_day
from ..errors import TesseraError
from ..member import views
from ..member.accountant import Budget
from ..member.history import Sent
from ..member.inbox import Message, Place
from ..protocol.records import records_of
from ..text import count, printable
from . import attachments
from .output import NEWER
from .sent_text import all_until, in_words, mark, takes_much, waiting_before

SHOWN = 200  # the newest of a long conversation


class Line(Static):
    """One message, own or the contact's."""


class Day(Static):
    """What comes after it was said on this day."""


class Chat(App[None]):
    """The conversation with one contact."""

    CSS = """
    #said { height: 1fr; padding: 0 1; }
    Line { margin: 0 8 1 0; width: 100%; }
    Line.own { margin: 0 0 1 8; text-align: right; color: $text-success; }
    Day { margin: 0 0 1 0; text-align: center; color: $text-muted; }
    #line { dock: bottom; }
    #cost, #connection { height: 1; padding: 0 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    #connection.trouble { color: $text-error; }
    """
    ENABLE_COMMAND_PALETTE = False  # it would offer a picture of what was said
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,escape", "quit", "Leave", priority=True),
        Binding("pageup", "older", "Older"),
        Binding("pagedown", "newer", "Newer"),
    ]

    def __init__(self, talk: Talk, contact: str, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._talk = talk
        self._contact = contact
        self._now = now
        self._verified, self._split = True, False
        self._budget: Budget | None = None
        self._lines: list[tuple[str, str]] = []
        self._on_screen: set[Place] = set()
        self._showing = asyncio.Lock()
        self._remark = ""
        self._round_seconds = 0
        self._meant = ""  # a text that takes much of the day, of which this was said
        self.failure: Exception | None = None

    def compose(self) -> ComposeResult:
        yield VerticalScroll(id="said")
        yield Static(id="connection")
        yield Static(id="cost")
        yield Input(placeholder=f"Write to {self._contact}, Enter sends, Esc leaves", id="line")

    async def on_mount(self) -> None:
        self.title = f"Tessera: {self._contact}"
        await self._show()
        self.query_one("#line", Input).focus()
        self._follow()

    @work(exclusive=True)
    async def _follow(self) -> None:
        """Show anew whenever something changes. The agent may end meanwhile."""
        try:
            async for _ in self._talk.changes():
                await self._show()
            self._say_trouble("the agent ended: leave with Esc and type tessera chat again")
        except TesseraError as error:
            self._say_trouble(str(error))
        except NoMatches:
            pass  # the screen was left meanwhile

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        text = event.value
        if not text.strip() or not self._is_meant(text):
            return
        event.input.clear()
        try:
            await self._talk.queue(self._contact, text)
        except TesseraError as error:
            event.input.value = text
            self.notify(str(error), severity="error")
            return
        await self._show()

    def _is_meant(self, text: str) -> bool:
        """Of what takes much of the day it is said first; the next Enter sends it."""
        parts = records_of(len(text.encode()))
        if self._budget is None or not takes_much(parts, self._budget) or text == self._meant:
            return True
        self._meant = text
        left = f"{self._budget.left} of today's {count(self._budget.allowed, self._budget.unit)}"
        takes = f"This takes {parts * self._budget.copies} of the {left} that are left"
        self.notify(f"{takes}. Press Enter again to send it.", severity="warning")
        return False

    def on_input_changed(self, event: Input.Changed) -> None:
        self._say_cost(event.value)

    def action_older(self) -> None:
        self.query_one("#said", VerticalScroll).scroll_page_up()

    def action_newer(self) -> None:
        self.query_one("#said", VerticalScroll).scroll_page_down()

    def _handle_exception(self, error: Exception) -> None:
        """A bug. Textual would show it with the values of all variables: messages, and worse."""
        self.failure = error
        self.exit()

    # -- showing

    async def _show(self) -> None:
        async with self._showing:
            await self._show_all()

    async def _show_all(self) -> None:
        state = await self._talk.state()
        self._round_seconds = state.round_seconds
        met = [contact for contact in await self._talk.contacts() if contact.name == self._contact]
        self._verified, self._split = any(each.verified for each in met), any(each.split for each in met)
        new = await self._talk.inbox(self._contact, new=True, take=False)
        entries = [_received(message, state) for message in await self._talk.inbox(self._contact)]
        own = await self._talk.sent()
        before = waiting_before(own)
        entries += [
            _own(sent, state, parts) for sent, parts in zip(own, before, strict=True) if sent.contact == self._contact
        ]
        await self._show_lines(_with_days(_in_order(entries)[-SHOWN:]))
        self._on_screen |= {message.place for message in new}
        await self._mark_read()
        self._budget = await self._talk.budget()
        self._say_cost(self.query_one("#line", Input).value)
        self._say_connection(state)
        if state.remark not in ("", self._remark):
            self._remark = state.remark
            self.notify(state.remark)

    async def _mark_read(self) -> None:
        """What is on the screen is not new any more."""
        if self._on_screen:
            await self._talk.mark_read(self._on_screen)
            self._on_screen = set()

    async def on_unmount(self) -> None:
        """The screen may be left between showing and marking."""
        with contextlib.suppress(TesseraError):
            await self._mark_read()

    async def _show_lines(self, lines: list[tuple[str, str]]) -> None:
        """Only if they are others than before: who reads further up is not disturbed without need."""
        if lines == self._lines:
            return
        self._lines = lines
        said = self.query_one("#said", VerticalScroll)
        at_end = said.max_scroll_y - said.scroll_y < 2
        with self.batch_update():
            await said.remove_children()
            made = (Day(text) if kind == "day" else Line(Content(text), classes=kind) for kind, text in lines)
            await said.mount(*made)
        if at_end:
            self.call_after_refresh(said.scroll_end, animate=False)

    def _say_cost(self, text: str) -> None:
        parts = records_of(len(text.encode()))
        takes = f", about {duration.about(parts * self._round_seconds)}" if parts > 1 else ""
        cost = f"{count(parts, 'part')}{takes} · " if text else ""
        self.query_one("#cost", Static).update(Content(f"{cost}{self._budget or ''}"))

    def _say_connection(self, state: State) -> None:
        if self._split or state.trouble:
            self._say_trouble(str(views.alarm(self._contact)) if self._split else state.trouble)
            return
        words = "connecting" if state.connected is None else f"connected to {state.relay}"
        words += f" · {', '.join(state.away)} away" if state.away else ""
        waiting = f" · {state.waiting} waiting, to leave {all_until(state)}" if state.waiting else ""
        unverified = "" if self._verified else f"words not compared yet: tessera contact verify {self._contact} · "
        line = self.query_one("#connection", Static)
        line.remove_class("trouble")
        line.update(Content(unverified + words + waiting))

    def _say_trouble(self, text: str) -> None:
        line = self.query_one("#connection", Static)
        line.add_class("trouble")
        line.update(Content(text))


def _in_order(entries: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """By time; what has the same time stays in its order."""
    return sorted(entries, key=lambda entry: entry[0])


def _with_days(entries: list[tuple[float, str, str]]) -> list[tuple[str, str]]:
    """What is shown, with a line of its own before the first of each day."""
    lines, day = [], ""
    for at, kind, text in entries:
        if local_day(at) != day:
            day = local_day(at)
            lines.append(("day", day))
        lines.append((kind, text))
    return lines


def _received(message: Message, state: State) -> tuple[float, str, str]:
    at = state.time_of(message.round + 1)  # it could be read when its round was over
    lost = f"({message.lost} lost before this) " if message.lost else ""
    lost += f"({message.missing} before this one not arrived yet) " if message.missing else ""
    restored = "(restored from a backup) " if message.restored else ""
    late = "(late) " if message.late else ""
    head = f"{local_time_of_day(at)} {message.contact}: {restored}{lost}{late}"
    if message.newer:
        return at, "theirs", head + NEWER
    if message.file is not None:
        return at, "theirs", head + attachments.described(message.file, len(message.content))
    return at, "theirs", head + printable(message.text)


def _own(sent: Sent, state: State, before: int) -> tuple[float, str, str]:
    what = printable(sent.text) if sent.file is None else attachments.described(sent.file, sent.bytes)
    how_far = f"{mark(sent)} {in_words(sent, state, before)}"
    return sent.queued, "own", f"{what}\n{how_far} · {local_time_of_day(sent.queued)}"
