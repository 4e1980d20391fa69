# What the board's LED shows (pins.csv names it; a board without one shows nothing): rhythms, not colours.
#
#   starting     fast flicker
#   no-network   one flash, then a pause
#   no-time      two flashes, then a pause
#   serving      lit, with one short gap every three seconds
#   trial        lit, with two short gaps: it serves, with code that is still on trial
#   fault        one second lit, one second dark
#   held         lit without a gap: the button is held; dark again: everything was erased
#   radio        dark, or lit as it was: the LED hangs at a radio that does not answer
#
# A light that does not change otherwise is a board that hangs; the watchdog restarts it in eight seconds.

from tessera.runtime import const, sleep_ms

STEP_MS = const(125)

# A sign is a step: # lit, . dark.
RHYTHMS = {
    "starting": "#.",
    "no-network": "#...........",
    "no-time": "#..#............",
    "serving": "#######################.",
    "trial": "#####################.#.",
    "fault": "########........",
    "held": "#",
    "dark": ".",
}


def board_pin():
    """What switches the LED: its pin, or what board.lamp makes of that; None if the board has none."""
    import board
    from machine import Pin

    try:
        pin = Pin("LED", Pin.OUT, value=0)
    except ValueError:
        return None
    return board.lamp(pin) if hasattr(board, "lamp") else pin


class Led:
    """Plays the rhythm of a state on a pin: anything with value(0 or 1)."""

    def __init__(self, pin):
        self._pin = pin
        self._rhythm = RHYTHMS["dark"]
        self._at = 0
        self._lit = False

    def show(self, state):
        """Go over to the rhythm of a state, from its beginning if it is another."""
        rhythm = RHYTHMS[state]
        if rhythm is not self._rhythm:
            self._rhythm, self._at = rhythm, 0

    def step(self):
        """Do the rhythm's next step: call it every STEP_MS."""
        lit = self._rhythm[self._at] == "#"
        self._at = (self._at + 1) % len(self._rhythm)
        if lit != self._lit and self._pin is not None:
            self._pin.value(1 if lit else 0)
        self._lit = lit

    async def play(self, state):
        """Show what state() gives, for ever."""
        while True:
            self.show(state())
            self.step()
            await sleep_ms(STEP_MS)
