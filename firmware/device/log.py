# What happened on this board, for who reads it at the console. Nothing of it is an address or an identifier, counts
# records, or can be brought about at will by a peer.

from tessera.runtime import const, ticks_diff, ticks_ms

_LINES = const(32)


class Log:
    """A ring of the latest events, each with the seconds since the start."""

    def __init__(self):
        self._lines = []
        self._start = ticks_ms()

    def note(self, text):
        """Add an event, one line of text; it is printed, too."""
        print(text)
        seconds = ticks_diff(ticks_ms(), self._start) // 1000
        self._lines.append("{} s: {}".format(seconds, text))
        if len(self._lines) > _LINES:
            self._lines.pop(0)

    def lines(self):
        """The events, oldest first."""
        return list(self._lines)
