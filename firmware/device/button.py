# The button that resets a board: press it within five seconds after the start and hold it for ten. (If it is held while
# power comes on, an RP2 chip waits for an image instead.)

from tessera.runtime import const, sleep_ms, ticks_diff, ticks_ms

_WINDOW_MS = const(5_000)
_HOLD_MS = const(10_000)
_LOOK_MS = const(100)


def board_button():
    """A function pressed() -> bool for this board's button, None if the board has no button.

    RP2 boards have BOOTSEL; others name the button's Pin in board.BUTTON.
    """
    try:
        from _rp2 import bootsel_button

        return lambda: bool(bootsel_button())
    except ImportError:
        pass
    import board

    return (lambda: not board.BUTTON.value()) if hasattr(board, "BUTTON") else None


class Button:
    """held: whether the button is held now, which the LED shows. pressed: from board_button()."""

    def __init__(self, pressed):
        self._pressed = pressed
        self.held = False

    async def watch(self, start_ms):
        """True when the button was held for ten seconds without a break; False if it was not pressed within five
        seconds after start_ms (ticks)."""
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
