# Takes new code while the relay serves (PROTOCOL §14): a release, then its artifact piece by piece, and starts a trial.
# Where code is written and how it is started is the board's business (places); relay.py lets only the operator send it.
#
# The flash is not touched before the release's signature was verified. Sectors are erased in the window after a seal,
# as for records, and pieces are programmed page by page, like posts. Code on trial is confirmed in a window, too.

from . import nor
from .errors import BadRequest, Busy, Fault, InvalidObject
from .nor import BLANK_PAGE, PAGE_BYTES, SECTOR_BYTES
from .release import Release
from .runtime import const

WAIT, SEND, STAGED, ACTIVATED = const(0), const(1), const(2), const(3)  # states, as in answers to STAGE

_TRIAL_SECONDS = const(900)  # to start and to find network and clock; two rounds are added, to serve one


class Staging:
    """Takes one release at a time into the idle one of a board's two places for code.

    parameters: the ParameterStore. self_test() -> bool. places: the board's (slots.Slots or device.ota.OtaSlots), with
    kind, board, base and version of the running code; on_trial, whether it is on trial; idle, the block device of the
    idle place or None; window_erases, how many of its sectors a window may erase; digest(length) of its first bytes;
    activate(release, seconds), confirm() and restart().
    """

    def __init__(self, places, parameters, self_test=lambda: True):
        self.places = places
        self._parameters = parameters
        self._self_test = self_test
        self._release = None
        self._at = 0  # bytes of the artifact that were taken
        self._staged = False
        self._due = False  # whether it is to be activated at the next seal
        self._owner = None  # the session whose pieces are taken
        self._page = bytearray(PAGE_BYTES)
        self._dirty = self._look()  # sectors that must be erased before pieces are taken

    # -- taking it

    def state(self):
        """(WAIT, SEND, STAGED or ACTIVATED; the offset of the first byte that is missing)."""
        if self._due:
            return ACTIVATED, self._at
        if self._staged:
            return STAGED, self._at
        return WAIT if self._dirty else SEND, self._at

    def begin(self, blob, session):
        """Take a release (bytes) from a session, or go on with the same release. From now on pieces are taken from this
        session only. Returns state(). BadRequest if this board may not run the release, Busy during a trial."""
        if self._release is None or bytes(blob) != self._release.blob:
            if self.places.idle is None or self._due:
                raise Busy("new code is about to be tried", self._parameters.newest.round_seconds)
            release = self._acceptable(blob)
            self._forget()
            self._release = release
        self._owner = session
        return self.state()

    def _acceptable(self, blob):
        """The Release, if this board may run its artifact; BadRequest otherwise. Cheap checks come first."""
        try:
            release = Release(blob)
            parameters = self._parameters.newest
            for right, problem in (
                (release.federation_id == parameters.federation_id, "it is for another federation"),
                (release.board == self.places.board, "it is for another board"),
                (release.kind == self.places.kind, "its kind is no update here: flash it"),
                (release.version > self.places.version, "it is not newer than the running code"),
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
        """Take a piece of the artifact, at an offset, from the session that began. Returns state().

        A piece that was taken before is ignored. BadRequest for another session or a gap, Fault if the flash does not
        keep what is written.
        """
        if self._release is None or self._owner is not session:
            raise BadRequest("send the release first")
        if offset + len(data) <= self._at or self._dirty:
            return self.state()
        if offset != self._at or offset + len(data) > self._release.bytes:
            raise BadRequest("pieces come in order, up to the artifact's end")
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
        """Program the first `length` bytes of _page at the offset `start`, and read them back."""
        self._page[length:] = BLANK_PAGE[length:]
        device = self.places.idle
        block, offset = start // SECTOR_BYTES, start % SECTOR_BYTES
        device.writeblocks(block, self._page, offset)
        back = bytearray(PAGE_BYTES)
        device.readblocks(block, back, offset)
        if back != self._page:
            self._forget()
            raise Fault("the flash for new code does not keep data: replace the board")

    def _finish(self):
        if self.places.digest(self._release.bytes) != self._release.sha256:
            self._forget()
            raise BadRequest("these bytes are not the release's artifact")
        self._staged = True

    def _forget(self):
        """Give up the release. The sectors that were written are erased in the next windows."""
        if self._release is not None:
            self._release = self._owner = None
            self._dirty = self._look()
        self._at, self._staged = 0, False

    # -- trying it

    def activate(self):
        """Order a trial of the staged code: at the next seal it becomes durable and the board restarts. BadRequest if
        no code is staged."""
        if not self._staged:
            raise BadRequest("nothing is staged")
        self._due = True
        return self.state()

    def activate_now(self):
        """Order the trial durably at once. For an operator at the cable, who restarts the board."""
        self.activate()
        self.places.activate(self._release, _TRIAL_SECONDS + 2 * self._parameters.newest.round_seconds)

    def window(self, rounds_served):
        """Do the flash operations that take another time than a post, in the window after a seal.

        Confirm code on trial, start an ordered trial, or erase sectors. rounds_served: since the start.
        """
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
        """Erase up to `most` of the sectors that are not blank. Fault if one does not become blank."""
        device = self.places.idle
        for sector in self._dirty[:most]:
            nor.erase(device, sector)
            if not nor.is_blank(device, sector):
                raise Fault("the flash for new code cannot be erased: replace the board")
        del self._dirty[:most]

    def erase_all(self):
        """Erase all of them, when no round is open whose answers could be late."""
        self.erase(len(self._dirty))

    def _look(self):
        """The sectors of the idle place that are not blank; an empty list if there is no idle place."""
        device = self.places.idle
        if device is None:
            return []
        return [sector for sector in range(nor.sectors(device)) if not nor.is_blank(device, sector)]
