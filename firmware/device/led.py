# What the board's LED shows. pins.csv names its pin; a board without an LED shows nothing.
#
#   starting     fast flicker
#   no-network   one flash, then a pause
#   no-time      two flashes, then a pause
#   serving      lit, with one short gap every three seconds
#   trial        lit, with two short gaps: it serves, with code that is on trial
#   fault        one second lit, one second dark
#   held         lit without a gap: the button is held; when it goes dark again everything was erased
#   radio        dark, or lit as it was: the radio switches the LED and does not answer
#
# If the light does not change in any other case, the board hangs, and the watchdog restarts it within eight seconds.

from tessera.runtime import const, sleep_ms

STEP_MS = const(125)

# Each sign is a step of STEP_MS: # lit, . dark.
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
    """The object whose value(0 or 1) switches the LED: its Pin, or what board.lamp(pin) returns. None without an
    LED."""
    import board
    from machine import Pin

    try:
        pin = Pin("LED", Pin.OUT, value=0)
    except ValueError:
        return None
    return board.lamp(pin) if hasattr(board, "lamp") else pin


class Led:
    """Plays the rhythm of a state on a pin, which is anything with value(0 or 1), or None."""

    def __init__(self, pin):
        self._pin = pin
        self._rhythm = RHYTHMS["dark"]
        self._at = 0
        self._lit = False

    def show(self, state):
        """Change to the rhythm of a state. If that is a different one it starts from its beginning."""
        rhythm = RHYTHMS[state]
        if rhythm is not self._rhythm:
            self._rhythm, self._at = rhythm, 0

    def step(self):
        """Do the next step of the rhythm. Call it every STEP_MS."""
        lit = self._rhythm[self._at] == "#"
        self._at = (self._at + 1) % len(self._rhythm)
        if lit != self._lit and self._pin is not None:
            self._pin.value(1 if lit else 0)
        self._lit = lit

    async def play(self, state):
        """Show the state that state() returns, for ever."""
        while True:
            self.show(state())
            self.step()
            await sleep_ms(STEP_MS)
