# The button that makes a board forget that it was a relay: held for ten seconds, begun within five after the start.
# (Held while power comes on it makes the chip wait for an image instead, so it is pressed just after that.)

from tessera.runtime import const, sleep_ms, ticks_diff, ticks_ms

_WINDOW_MS = const(5_000)
_HOLD_MS = const(10_000)
_LOOK_MS = const(100)


def board_button():
    """pressed() of this board's button, None if it has none. board.BUTTON is its Pin; RP2 boards have BOOTSEL."""
    try:
        from _rp2 import bootsel_button

        return lambda: bool(bootsel_button())
    except ImportError:
        pass
    import board

    return (lambda: not board.BUTTON.value()) if hasattr(board, "BUTTON") else None


class Button:
    """held is whether it is being held now: what the LED shows."""

    def __init__(self, pressed):
        self._pressed = pressed
        self.held = False

    async def watch(self, start_ms):
        """True when it was held for ten seconds without a break; False if that did not begin within five seconds after
        start_ms (ticks)."""
        since = None
        while self._pressed is not None:
            now = ticks_ms()
            self.held = self._pressed()
            if not self.held:
                since = None
                if ticks_diff(now, start_ms) > _WINDOW_MS:
                    break
            elif since is None:
                since = now
            elif ticks_diff(now, since) >= _HOLD_MS:
                return True
            await sleep_ms(_LOOK_MS)
        return False
