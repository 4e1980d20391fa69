# New code beside the running one (PROTOCOL §14): takes a release, then its artifact piece by piece, and hands it over
# to be tried. Where it is written and how it is started is the board's (places); that IT alone sends it is relay.py's.
#
# Nothing touches the flash before the release's signature was verified. Sectors are erased in the window after a seal,
# like all others; what is programmed between is a page at a time, like a post. So is what confirms code on trial.

from . import nor
from .errors import BadRequest, Busy, Fault, InvalidObject
from .nor import BLANK_PAGE, PAGE_BYTES, SECTOR_BYTES
from .release import Release
from .runtime import const

WAIT, SEND, STAGED, ACTIVATED = const(0), const(1), const(2), const(3)  # states, as in answers

_TRIAL_SECONDS = const(900)  # to start, find the network and its clock; two rounds more to serve one


class Staging:
    """One release at a time, on its way into the idle place of a board.

    places: kind, board, base and version of what runs; on_trial; idle, a block device or None, and the sectors of it
    that a window may erase (window_erases); digest(length) of what is in it; activate(release, seconds); confirm();
    restart(). parameters: a ParameterStore. self_test() -> bool.
    """

    def __init__(self, places, parameters, self_test=lambda: True):
        self.places = places
        self._parameters = parameters
        self._self_test = self_test
        self._release = None
        self._at = 0  # bytes of it that were taken
        self._staged = False
        self._due = False  # activated at the next seal
        self._owner = None  # the session whose pieces are taken
        self._page = bytearray(PAGE_BYTES)
        self._dirty = self._look()

    # -- taking it

    def state(self):
        """(WAIT, SEND, STAGED or ACTIVATED; offset of the first byte that is missing)."""
        if self._due:
            return ACTIVATED, self._at
        if self._staged:
            return STAGED, self._at
        return WAIT if self._dirty else SEND, self._at

    def begin(self, blob, session):
        """Take a release (bytes) from a session, or go on with the one under way; its pieces are the session's from now
        on: state(). BadRequest for one that may not be staged."""
        if self._release is None or bytes(blob) != self._release.blob:
            if self.places.idle is None or self._due:
                raise Busy("new code is about to be tried", self._parameters.newest.round_seconds)
            release = self._acceptable(blob)
            self._forget()
            self._release = release
        self._owner = session
        return self.state()

    def _acceptable(self, blob):
        """The release, if this board may run what it is of; what is cheap to check comes first."""
        try:
            release = Release(blob)
            parameters = self._parameters.newest
            for right, problem in (
                (release.federation_id == parameters.federation_id, "it is another federation's"),
                (release.board == self.places.board, "it is for another board"),
                (release.kind == self.places.kind, "it is of another kind than this board takes in service"),
                (release.version > self.places.version, "it is not newer than what runs"),
                (release.base == self.places.base, "it needs another base: flash the whole image"),
                (release.bytes <= nor.sectors(self.places.idle) * SECTOR_BYTES, "it is too large"),
            ):
                if not right:
                    raise InvalidObject("this release cannot be used: " + problem)
            release.verify(parameters.root_key)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        return release

    def put(self, offset, data, session):
        """Take the artifact's bytes from offset on, of the session that began; state(). What was taken before is not
        taken again."""
        if self._release is None or self._owner is not session:
            raise BadRequest("begin with the release")
        if offset + len(data) <= self._at or self._dirty:
            return self.state()
        if offset != self._at or offset + len(data) > self._release.bytes:
            raise BadRequest("the pieces come in order and end with the artifact")
        self._take(data)
        return self.state()

    def _take(self, data):
        taken = 0
        while taken < len(data):
            place = self._at % PAGE_BYTES
            piece = min(PAGE_BYTES - place, len(data) - taken)
            self._page[place : place + piece] = data[taken : taken + piece]
            taken += piece
            self._at += piece
            if self._at % PAGE_BYTES == 0 or self._at == self._release.bytes:
                self._program(self._at - place - piece, place + piece)
        if self._at == self._release.bytes:
            self._finish()

    def _program(self, start, length):
        """Program the page at `start`, of which so many bytes are meant, and read it back."""
        self._page[length:] = BLANK_PAGE[length:]
        device = self.places.idle
        block, offset = start // SECTOR_BYTES, start % SECTOR_BYTES
        device.writeblocks(block, self._page, offset)
        back = bytearray(PAGE_BYTES)
        device.readblocks(block, back, offset)
        if back != self._page:
            self._forget()
            raise Fault("the flash for new code does not keep what is written")

    def _finish(self):
        if self.places.digest(self._release.bytes) != self._release.sha256:
            self._forget()
            raise BadRequest("these bytes are not those the release is of")
        self._staged = True

    def _forget(self):
        """Give up what is under way: its sectors are erased in the windows to come."""
        if self._release is not None:
            self._release = self._owner = None
            self._dirty = self._look()
        self._at, self._staged = 0, False

    # -- trying it

    def activate(self):
        """Have the staged code tried: durable at the next seal, then the board restarts. BadRequest without any."""
        if not self._staged:
            raise BadRequest("nothing is staged")
        self._due = True
        return self.state()

    def activate_now(self):
        """The same at once, for who has the cable and restarts the board."""
        self.activate()
        self.places.activate(self._release, _TRIAL_SECONDS + 2 * self._parameters.newest.round_seconds)

    def window(self, rounds_served):
        """What may take flash operations of another length than a post's. rounds_served: since the start."""
        if self.places.on_trial:
            if rounds_served and self._self_test():
                self.places.confirm()
                self._dirty = self._look()
        elif self._due:
            self.activate_now()
            self.places.restart()
        elif self._dirty:
            self.erase(self.places.window_erases)

    def erase(self, most):
        """Erase up to so many of the sectors that were written to before."""
        device = self.places.idle
        for sector in self._dirty[:most]:
            nor.erase(device, sector)
            if not nor.is_blank(device, sector):
                raise Fault("the flash for new code cannot be erased")
        del self._dirty[:most]

    def erase_all(self):
        """For who need not wait for windows."""
        self.erase(len(self._dirty))

    def _look(self):
        """The sectors of the idle place that are not blank; none if there is no idle place."""
        device = self.places.idle
        if device is None:
            return []
        return [sector for sector in range(nor.sectors(device)) if not nor.is_blank(device, sector)]
