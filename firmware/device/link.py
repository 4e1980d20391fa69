# Keeps the network up: joins it, notices that it is gone or dead, and joins again. How that is done on Wi-Fi, Ethernet
# or PPP is the business of wlan, lan and ppp.

from tessera.runtime import const, sleep_ms, ticks_diff, ticks_ms

_LOOK_MS = const(1000)
_LOOK_DOWN_MS = const(250)  # without a link: a Pico W says only for a moment that a password is wrong
_SILENCES = const(5)  # questions without an answer, after which a link counts as dead
_QUIET_MS = const(600_000)  # members come every round; after so long without any the time server is asked
_FIRST_WAIT_MS = const(1000)  # between two attempts to join, twice as long each time
_LONGEST_WAIT_MS = const(60_000)
_FIRST_TRUST_MS = const(60_000)  # for which a dead link that was joined again is left alone, twice as long each time
_LONGEST_TRUST_MS = const(3_600_000)


class Link:
    """Base of a board's network, which also has begin(), address() and end(). dead: only a restart brings it back."""

    dead = False

    def trouble(self, waited_ms):
        """In words why the link does not come up, waited_ms after the last attempt; None if that is not known."""

    def mend(self, waited_ms):
        """Called without an address, waited_ms after the last attempt. True if it began another attempt."""

    def renew(self):
        """Take down a link that says it is up, and bring it up again."""
        self.end()
        self.begin()


class Keeper:
    """Keeps a Link up. log: a Log. now, diff: ticks in milliseconds, and their difference.

    address: our IP address (str), None without a link. trouble: in words why the link does not come up, or None.
    """

    def __init__(self, link, log, now=ticks_ms, diff=ticks_diff):
        self._link = link
        self._log = log
        self._now = now
        self._diff = diff
        self._silences = 0
        self._wait_ms = _FIRST_WAIT_MS
        self._trust_ms = 0
        self._tried = self._joined = self._heard = now()
        self.address = None
        self.trouble = None

    async def keep(self):
        """Bring the link up and keep it up, for ever."""
        self._tried = self._joined = self._now()
        self._link.begin()
        while True:
            self.look()
            await sleep_ms(_LOOK_MS if self.address else _LOOK_DOWN_MS)

    def look(self):
        """Log when the link comes or goes, and mend it. Called several times a second."""
        address = self._link.address()
        if address != self.address:
            self._changed(address)
        if address is None:
            self._mend()

    def _changed(self, address):
        if address is None:
            self._log.note("link down")
            self._tried = self._now()
        else:
            if self.address is None:
                self._log.note("link up")
            print("address {}".format(address))
            self._wait_ms, self.trouble = _FIRST_WAIT_MS, None
        self.address = address

    def _mend(self):
        now = self._now()
        waited = self._diff(now, self._tried)
        trouble = self._link.trouble(waited)
        if trouble not in (None, self.trouble):
            self.trouble = trouble
            self._log.note("no network: " + trouble)
        if waited >= self._wait_ms and self._link.mend(waited):
            self._wait_ms = min(2 * self._wait_ms, _LONGEST_WAIT_MS)
            self._tried = now

    # -- a link that says it is up

    @property
    def quiet(self):
        """Whether nothing was heard for so long that the time server should be asked whether the network lives."""
        return self._diff(self._now(), self._heard) >= _QUIET_MS

    def heard(self):
        """Note that somebody answered or sent something."""
        self._heard = self._now()
        self._silences = self._trust_ms = 0

    def silent(self):
        """Note a question without an answer. After five of them the link is taken down and joined again, and then left
        alone for longer each time."""
        if self.address is None:
            return
        self._silences += 1
        now = self._now()
        if self._silences < _SILENCES or self._diff(now, self._joined) < self._trust_ms:
            return
        self._log.note("nobody answers: joining the network anew")
        self._silences = 0
        self._trust_ms = min(2 * self._trust_ms, _LONGEST_TRUST_MS) or _FIRST_TRUST_MS
        self.address = None
        self._joined = self._tried = now
        self._link.renew()
