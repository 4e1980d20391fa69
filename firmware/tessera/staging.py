# New code beside the running one (PROTOCOL §14): takes a release, then its artifact piece by piece, and hands it over
# to be tried. Where it is written and how it is started is the board's (places); who may send it is relay.py's.
#
# Nothing touches the flash before the release's signature was verified. Sectors are erased in the window after a seal,
# like all others; what is programmed between is a page at a time, like a post. So is what confirms code on trial.

from . import nor
from .errors import BadRequest, Busy, Fault, InvalidObject
from .nor import BLANK_PAGE, PAGE_BYTES, SECTOR_BYTES
from .release import Release
from .runtime import const

WAIT, SEND, STAGED, ACTIVATED = const(0), const(1), const(2), const(3)  # states, as in answers

_RELEASES = const(4)  # begun with a token: a member cannot wear the flash with releases that it does not finish
_PATIENCE_MS = const(10_000)  # without a piece that was missing, then a release gives way to another
_LONGEST_MS = const(3_600_000)  # from its beginning with a token, then too; both from the last erase it waited for
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
        self._token = None  # the token it began with; None the console's
        self._began_ms = 0
        self._heard_ms = 0
        self._epoch = None
        self._begun = {}  # {token: releases begun with it in this epoch}, of those who did
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

    def begin(self, blob, epoch, now_ms, session):
        """Take a release (bytes) from a session, or go on with the one under way, if its token is the same: state().
        BadRequest for one that may not be staged, Busy while one is brought with another token.

        epoch bounds how many are begun with the session's token; None does not count (the console's: who has the cable
        has the board).
        """
        under_way = self._release is not None and bytes(blob) == self._release.blob
        if under_way and (self._owner is session or self._staged):
            return self.state()
        if self.places.idle is None or self._due:
            raise Busy("new code is about to be tried", self._parameters.newest.round_seconds)
        token = None if epoch is None else session.token
        if not under_way or token != self._token:  # from the first byte: another could spoil what this one took
            if self._release is not None and not self._gives_way(under_way, now_ms):
                raise Busy("another release is being staged", _PATIENCE_MS // 1000)
            release = self._acceptable(blob)
            self._count(epoch, token)
            self._forget()
            self._release, self._token, self._began_ms = release, token, now_ms
        self._owner, self._heard_ms = session, now_ms
        return self.state()

    def _gives_way(self, under_way, now_ms):
        """Whether what is under way may be given up for another release, or for the same from another token."""
        if under_way and self._owner is None and not self._at:
            return True
        if self._dirty:  # its session waits for windows, without a connection
            return False
        return now_ms - self._heard_ms >= _PATIENCE_MS or now_ms - self._began_ms >= _LONGEST_MS

    def leave(self, session):
        """A session ended: any other may begin with what it was bringing, if nothing was taken."""
        if self._owner is session:
            self._owner = None

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

    def _count(self, epoch, token):
        if epoch is None:
            return
        if epoch != self._epoch:
            self._epoch, self._begun = epoch, {}
        begun = self._begun.get(token, 0)
        if begun >= _RELEASES:
            parameters = self._parameters.newest
            raise Busy("too many releases in this epoch", parameters.round_seconds * parameters.epoch_rounds)
        self._begun[token] = begun + 1

    def put(self, offset, data, now_ms, session):
        """Take the artifact's bytes from offset on, of the session that began; state(). What was taken before is not
        taken again."""
        if self._release is None or not (self._owner is session or self._staged):
            raise BadRequest("begin with the release")
        if offset + len(data) <= self._at or self._dirty:
            return self.state()
        if offset != self._at or offset + len(data) > self._release.bytes:
            raise BadRequest("the pieces come in order and end with the artifact")
        self._heard_ms = now_ms
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

    def window(self, rounds_served, now_ms):
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
            self._began_ms = self._heard_ms = now_ms

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
