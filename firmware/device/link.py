# Keeps the network up: joins, notices that it went away, or that it is there but dead, and joins anew. How that is done
# on Wi-Fi, Ethernet or PPP is wlan's, lan's and ppp's business.

from tessera.runtime import const, sleep_ms, ticks_diff, ticks_ms

_LOOK_MS = const(1000)
_LOOK_DOWN_MS = const(250)  # without a link: a Pico W's says only for a moment that a password is wrong
_SILENCES = const(5)  # questions without an answer, then a link is taken for dead
_QUIET_MS = const(600_000)  # nobody spoke for so long, though members come every round: somebody is to be asked
_FIRST_WAIT_MS = const(1000)  # between two attempts to join
_LONGEST_WAIT_MS = const(60_000)
_FIRST_TRUST_MS = const(60_000)  # a link that was joined anew because it was silent is left alone for so long
_LONGEST_TRUST_MS = const(3_600_000)


class Link:
    """What a board's network has besides begin(), address() and end(). dead: nothing but a restart brings it back."""

    dead = False

    def trouble(self, waited_ms):
        """What keeps it from coming up, so long after the last attempt, in words; None if that is not known."""

    def mend(self, waited_ms):
        """Without an address so long after the last attempt: True if another one was begun."""

    def renew(self):
        """Tear it down, though it says that it is up, and bring it up again."""
        self.end()
        self.begin()


class Keeper:
    """Over a Link. Times are ticks in milliseconds.

    address: ours (str), None without a link. trouble: what keeps the link from coming up, in words, or None.
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
        """Bring the link up and keep it so, for ever."""
        self._tried = self._joined = self._now()
        self._link.begin()
        while True:
            self.look()
            await sleep_ms(_LOOK_MS if self.address else _LOOK_DOWN_MS)

    def look(self):
        """Say when the link comes and goes, mend it."""
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
        """Whether nobody was heard for so long that somebody should be asked."""
        return self._diff(self._now(), self._heard) >= _QUIET_MS

    def heard(self):
        """Somebody answered, or spoke to us."""
        self._heard = self._now()
        self._silences = self._trust_ms = 0

    def silent(self):
        """A question had no answer. After a few the link is torn down and joined anew, then left alone for longer."""
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
