# Keeps the network up: joins, notices that it went away, or that it is there but dead, and joins anew. How that is done
# on Wi-Fi, Ethernet or PPP is wlan's, lan's and ppp's business.

from tessera.runtime import const, sleep_ms, ticks_diff, ticks_ms

_LOOK_MS = const(1000)
_SILENCES = const(5)  # questions without an answer, then a link is taken for dead
_FIRST_WAIT_MS = const(1000)  # between two attempts to join
_LONGEST_WAIT_MS = const(60_000)
_FIRST_TRUST_MS = const(60_000)  # a link that was joined anew because it was silent is left alone for so long
_LONGEST_TRUST_MS = const(3_600_000)


class Keeper:
    """Over a link: begin(), mend(), address(), end(). Times are ticks in milliseconds."""

    def __init__(self, link, log, now=ticks_ms, diff=ticks_diff):
        self._link = link
        self._log = log
        self._now = now
        self._diff = diff
        self._silences = 0
        self._wait_ms = _FIRST_WAIT_MS
        self._mended = None
        self._trust_ms = 0
        self._joined = None
        self.address = None

    async def keep(self):
        """Bring the link up and keep it so, for ever."""
        self._link.begin()
        self._joined = self._now()
        while True:
            self.look()
            await sleep_ms(_LOOK_MS)

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
        else:
            if self.address is None:
                self._log.note("link up")
            print("address {}".format(address))
            self._wait_ms, self._mended = _FIRST_WAIT_MS, None
        self.address = address

    def _mend(self):
        now = self._now()
        if self._mended is not None:
            if self._diff(now, self._mended) < self._wait_ms:
                return
            self._wait_ms = min(2 * self._wait_ms, _LONGEST_WAIT_MS)
        self._mended = now
        self._link.mend()

    # -- a link that says it is up

    def heard(self):
        """Somebody answered, or spoke to us."""
        self._silences = 0
        self._trust_ms = 0

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
        self._link.end()
        self._link.begin()
        self._joined = now
        self.address = None
