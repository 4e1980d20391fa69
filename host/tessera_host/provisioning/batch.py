"""Many relays, one after the other: a CSV file, boards plugged in one at a time or all at once.

Owns the order and what is skipped; each relay's own steps are relay_setup's. The journal knows which are done, so the
same command goes on after anything.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import BatchIncomplete, BoardNotFound, SeveralBoards, TesseraError
from ..text import count
from . import detection
from .desk import Desk
from .relay_setup import InService, RelaySetup
from .settings import Row
from .setup_steps import Request

POLL_SECONDS = 0.5


class Batch:
    """The rows of a batch at a desk. ask_for(row) tells the technician to plug in the next board."""

    def __init__(
        self, desk: Desk, rows: list[Row], template: Request, ask_for: Callable[[Row], None], patience_seconds: float
    ) -> None:
        self._desk = desk
        self._rows = rows
        self._template = template
        self._ask_for = ask_for
        self._patience_seconds = patience_seconds

    @property
    def open_rows(self) -> list[Row]:
        """The rows whose relay is not in service yet."""
        return [row for row in self._rows if not self._desk.journal.did(row.settings.name, "recorded")]

    def run(self) -> list[InService]:
        """Put every relay of the open rows into service. Raises BatchIncomplete if that failed for some of them."""
        done, failed = [], {}
        for row in self.open_rows:
            try:
                done.append(self._one(row))
                if done[-1].trouble:
                    self._desk.report.note(f"{done[-1].name} is not on its Wi-Fi network yet: {done[-1].trouble}")
            except TesseraError as error:
                failed[row.settings.name] = error
                self._desk.report.note(f"{row.settings.name}: {error}")
                if row.device is None:  # the board in question is still plugged in: the next row must not take it
                    break
        if failed or self.open_rows:
            missing = ", ".join(row.settings.name for row in self.open_rows)
            first = next(iter(failed.values()))
            raise BatchIncomplete(f"not in service yet: {missing}; {first.message}", first.hint)
        return done

    def _one(self, row: Row) -> InService:
        if row.device is None:
            self._wait_for_board(row)
        request = replace(
            self._template,
            settings=row.settings,
            board=row.board or self._template.board,
            place=row.device or self._template.place,
        )
        return RelaySetup(self._desk, request).run()

    def _wait_for_board(self, row: Row) -> None:
        """Until a board is there that this command is not done with. One that was unplugged may be another now."""
        asked, end = False, time.monotonic() + self._patience_seconds
        while True:
            there = {detection.place_of(each) for each in detection.candidates(self._desk.finder)}
            self._desk.finished &= there
            try:
                detection.choose(self._desk.finder, None, frozenset(self._desk.finished))
                return
            except BoardNotFound:
                if time.monotonic() > end:
                    raise
            except SeveralBoards as several:
                raise SeveralBoards(
                    several.message, "unplug others, or name each board's device in the column `device`"
                ) from None
            if not asked:
                self._ask_for(row)
                asked = True
            time.sleep(POLL_SECONDS)


def summary(done: list[InService], rows: list[Row], path: Path) -> str:
    """One line for a person."""
    earlier = len(rows) - len(done)
    return f"{path}: {count(len(done), 'relay')} put into service" + (
        f", {earlier} in service before" if earlier else ""
    )
