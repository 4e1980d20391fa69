from collections.abc import Callable
from typing import Any

from .relay import Relay

SEAL: int
SERVE: int

class Timing:
    ack_ms: int
    lead_ms: int
    tick_ms: int
    window_ms: int
    slot_ms: int
    def __init__(
        self, ack_ms: int = 20, lead_ms: int = 30, tick_ms: int = 4, window_ms: int = 60, slot_ms: int = 120_000
    ) -> None: ...

class Server:
    turned_away: int
    def __init__(
        self,
        relay: Relay,
        timing: Timing | None = None,
        sessions: int | None = None,
        observe: Callable[[], None] | None = None,
        alive: Callable[[int], None] | None = None,
        heard: Callable[[], None] | None = None,
    ) -> None: ...
    async def run(
        self,
        host: str,
        port: int,
        ready: Callable[[], None] | None = None,
        begin: Callable[[], None] | None = None,
        listen: Callable[..., Any] | None = None,
    ) -> None: ...
