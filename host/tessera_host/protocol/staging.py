"""Bringing new code to a relay: the dialog of PROTOCOL §14, over whatever line.

Owns its order. Leaves to others: the line (a relay's connection, or a console on a cable), whether a release may be
used (callers have checked it; the relay checks again), and what the relay does with it.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tessera.release import Release
from tessera.staging import ACTIVATED, SEND, STAGED, WAIT
from tessera.wire import CHUNK_BYTES

from ..errors import IntegrityError

_CONSOLE_STATES = {"wait": WAIT, "send": SEND, "staged": STAGED, "activated": ACTIVATED}

Advance = Callable[[int, int], None]  # (bytes there, bytes in all)


@dataclass(frozen=True)
class StagingStep:
    """What a relay answers: its state, the first byte it lacks, and how long until it is worth asking again."""

    state: int
    next: int
    wait_seconds: int


class Line(Protocol):
    """A relay that new code is brought to. All methods raise what the line raises."""

    async def begin_stage(self, release: bytes) -> StagingStep:
        """Begin with a release, or continue with it."""

    async def put_stage(self, offset: int, data: bytes) -> StagingStep:
        """Send at most 240 bytes of the artifact."""

    async def activate_stage(self) -> StagingStep:
        """Have the new code tried."""


async def stage(line: Line, release: Release, artifact: bytes, advance: Advance) -> StagingStep:
    """Bring as much of the artifact as the relay takes now; its last answer is STAGED, or WAIT for a later attempt.

    Raises IntegrityError if its answers make no sense.
    """
    step = await line.begin_stage(release.blob)
    advance(step.next, len(artifact))
    while step.state == SEND:
        at = step.next
        step = await line.put_stage(at, artifact[at : at + CHUNK_BYTES])
        if step.state == SEND and step.next <= at:
            raise IntegrityError("the relay does not go on with the update", "try again; tell IT")
        advance(step.next, len(artifact))
    if step.state not in (WAIT, STAGED, ACTIVATED):
        raise IntegrityError(
            "the relay's answer cannot be understood", "update tessera; if that does not help, tell IT"
        )
    return step


class ConsoleLine:
    """A relay on a cable. ask(name, *arguments) -> the figures of the console's answer."""

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    async def begin_stage(self, release: bytes) -> StagingStep:
        """Begin with a release, or continue with it."""
        return _step(self._ask("update", release.hex()))

    async def put_stage(self, offset: int, data: bytes) -> StagingStep:
        """Send at most 240 bytes of the artifact."""
        return _step(self._ask("put", str(offset), base64.b64encode(data).decode()))

    async def activate_stage(self) -> StagingStep:
        """Have the new code tried. The relay restarts when it has answered."""
        return _step(self._ask("activate"))


def _step(figures: dict[str, Any]) -> StagingStep:
    try:
        return StagingStep(_CONSOLE_STATES[figures["state"]], int(figures["next"]), int(figures["wait_s"]))
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(
            "the relay's answer cannot be understood", "update tessera; if that does not help, tell IT"
        ) from None
