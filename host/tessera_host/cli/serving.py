"""What a relay alone and a gateway of a fleet have in common while they serve: how they are watched, what is logged,
and the warning that a clock is wrong.

Owns these. What is served is serve's and serve_gateway's.
"""

import contextlib
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from .. import duration
from ..errors import TesseraError, UsageError
from ..protocol import addresses
from ..relay import server_relay
from ..relay.health import Health
from ..relay.log import Log
from ..relay.server_relay import ServerRelay
from .output import say_wrong


class LogForm(enum.StrEnum):
    """How what happens is told."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True)
class Watching:
    """How it is watched, by its options. Raises UsageError."""

    metrics: str | None
    load: bool
    log: LogForm

    def __post_init__(self) -> None:
        if self.load and self.at is None:
            raise UsageError("--metrics-load needs --metrics", "also give, for example: --metrics 127.0.0.1:9100")

    @property
    def at(self) -> tuple[str, int] | None:
        return None if self.metrics is None else addresses.listening(self.metrics, "127.0.0.1")

    def words(self) -> list[str]:
        """The options again, as they were given."""
        shown = [] if self.metrics is None else ["--metrics", self.metrics]
        return [*shown, *["--metrics-load"] * self.load, *(["--log", self.log] if self.log is not LogForm.TEXT else [])]


@contextlib.contextmanager
def failures_logged(log: Log) -> Iterator[None]:
    """With lines of JSON on standard error the end of a relay is one, too."""
    try:
        yield
    except TesseraError as error:
        if not log.as_json:
            raise
        log.event("failed", level="error", message=error.message, hint=error.hint, exit_code=error.exit_code)
        raise typer.Exit(error.exit_code) from None


def looked_at(opened: ServerRelay, log: Log) -> Callable[[], int]:
    """This computer's time for the relay's clock, which warns once when the two do not agree any more."""
    health = Health(opened)
    warned = False

    def look() -> int:
        nonlocal warned
        off = health.clock_far_off
        if off is not None and not warned:
            which = f"{duration.about(abs(off))} {'ahead of' if off > 0 else 'behind'} the relay's"
            hint = "members refuse a relay whose clock is wrong: set this computer's clock, then start the relay again"
            warn(log, "clock", f"this computer's clock is {which}", hint)
        warned = off is not None
        return server_relay.unix_ms()

    return look


def warn(log: Log, event: str, message: str, hint: str) -> None:
    if log.as_json:
        log.event(event, level="warning", message=message, hint=hint)
    else:
        say_wrong(message, hint, "warning")
