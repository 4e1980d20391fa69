"""New code that IT brings to a relay over the network: releases, pieces of them, from several sessions at once."""

from office import FEDERATION, Connection, Token, epoch_secret
from releasing import BOARD, CONTENT, VERSION, Places, Restarted, release
from tessera import wire
from tessera.errors import BadRequest, Busy, NotAdmitted, Refusal
from tessera.hashes import sha256
from tessera.nor import PAGE_BYTES, SECTOR_BYTES
from tessera.release import IMAGE
from tessera.staging import ACTIVATED, SEND, STAGED, WAIT, Staging
from tests.fuzz.smalloffice import RamDirectory, SmallOffice, WatchedDevice, lived
from tests.fuzz.target import Intake, Target, must

SECTORS = 2
SESSIONS = 3  # two of the operator's and a member's
MEMBER = 2


class Pieces(Target):
    """Releases and pieces of them from two sessions of the operator and one of a member, in any order, over rounds and
    restarts.

    Pieces are taken of the session that began, in order; another's change nothing, and a member's never do. What is
    staged is byte for byte what the root key signed, and nothing else is ever tried. An input is steps: u8 which (its
    two highest bits: the session), then its numbers.
    """

    name = "pieces"
    runs = 300
    longest = 400
    _MOST_STEPS = 60

    def __init__(self) -> None:
        self._office = SmallOffice(lived())
        self._connections = [Connection(self._office.relay) for _ in range(SESSIONS)]
        for connection in self._connections[:MEMBER]:
            connection.operate()
        self._connections[MEMBER].authenticate(Token(1, self._office.relay.epoch))
        # Larger than a sector; smaller; smaller than a page; and a few that only count.
        self._contents = [CONTENT, CONTENT[::-1][:700], sha256(b"small")[:20], *(b"%d" % n for n in range(4))]
        self._releases = [release(VERSION + 1 + n, content) for n, content in enumerate(self._contents)]
        self._refused = [
            *(release(VERSION), release(board=BOARD + "_W"), release(base=bytes(8)), release(kind=IMAGE)),
            *(release(root=epoch_secret(0)), release(federation_id=FEDERATION[::-1])),
            release(bytes=SECTORS * SECTOR_BYTES + 1),
        ]

    def seeds(self) -> list[bytes]:
        def whole(session: int, number: int) -> bytes:
            pieces = -(-len(self._contents[number]) // wire.CHUNK_BYTES)
            return bytes((session << 6, number)) + bytes((session << 6 | 1,)) * pieces

        activate, leave, seal, wait, restart = b"\3", b"\4", b"\5", b"\6", b"\7"
        return [
            *(whole(session, number) + activate + seal for session in range(SESSIONS) for number in (1, 2)),
            whole(0, 0) + activate + seal + seal + whole(1, 1) + restart + whole(2, 2),
            whole(0, 1)[:4] + whole(1, 2) + whole(0, 1),
            whole(0, 1)[:3] + b"\x40\1\x41\x41" + leave + b"\x40\1" + whole(1, 1)[3:] + b"\x43" + seal,
            whole(0, 1)[:3] + wait + b"\x0b" + b"\x40\2" + seal + whole(1, 2) + activate + restart,
            b"\0\1\2\0\0\xf0\x09" + b"\x42\0\0\x10\1" + b"\x82\0\xf0\x10\2" + b"\2\0\0\xff\3",
            b"".join(bytes((0, n, 6, 12)) for n in range(7)),
            *(bytes((0, 128 + n)) for n in range(len(self._refused))),
            whole(0, 1)[:3] + restart + whole(0, 1) + seal + whole(0, 1) + activate + whole(1, 2),
            b"\0\2\2\0\0\x14\5" + b"\0\2",
        ]

    def run(self, data: bytes) -> None:
        self._intake = Intake(data)
        self._files, self._devices = RamDirectory(), [WatchedDevice(SECTORS), WatchedDevice(SECTORS)]
        self._start()
        steps = (self._begin, self._next_piece, self._any_piece, self._activate)
        steps += (self._leave, self._seal, self._wait, self._start)
        for _ in range(self._MOST_STEPS):
            if not self._intake:
                break
            choice = self._intake.number(1)
            self._session = (choice >> 6) % SESSIONS
            steps[(choice & 63) % len(steps)]()
            self._judge()

    def _start(self) -> None:
        """Power off and on: what was under way is forgotten, what is on the flash is not."""
        self._places = Places(self._files, self._devices)
        self._places.choose()
        self._staging = Staging(self._places, self._office.relay.parameters)
        self._office.relay.staging = self._staging
        self._due = False
        self._forget()

    def _forget(self) -> None:
        self._number: int | None = None  # of the release under way
        self._owner: int | None = None  # the session whose pieces are taken
        self._taken = b""
        idle = self._places.idle
        self._dirty = idle is not None and idle.get(0, SECTORS * SECTOR_BYTES).strip(b"\xff") != b""

    # -- steps, each with what must come of it

    def _ask(self, *step: object) -> tuple[int, int] | Refusal:
        """(state, offset), or the refusal."""
        return self._send(wire.stage(*step))

    def _send(self, frame: bytes) -> tuple[int, int] | Refusal:
        out = bytearray(wire.CLIENT_FRAME_BYTES)
        try:
            self._office.relay.answer(self._connections[self._session].session, bytes(frame), out)
        except Refusal as refusal:
            must(str(refusal), "a refusal without a text")
            return refusal
        return wire.read_answer(bytes(out[: wire.SMALL_BYTES]))[1:3]

    def _is_strange(self, answer: object, before: list[int]) -> bool:
        """Whether the session is the member's; nothing came of what it asked for then."""
        if self._session != MEMBER:
            return False
        must(isinstance(answer, NotAdmitted) and before == self._flash(), "a member brought code")
        return True

    def _begin(self) -> None:
        number = self._intake.number(1)
        good = number < 128
        number %= len(self._releases if good else self._refused)
        same = good and number == self._number
        blob = (self._releases if good else self._refused)[number]
        before = self._flash()
        answer = self._ask(wire.BEGIN, 0, blob)
        must(before == self._flash(), "the beginning of a release changed the flash")
        if self._is_strange(answer, before):
            return
        if not same and (self._places.idle is None or self._due):
            must(isinstance(answer, Busy), "a release was taken while other code is about to be tried")
        elif not same and not (good and VERSION + 1 + number > self._places.version):
            must(isinstance(answer, BadRequest), "a release was taken that this board may not run")
        else:
            if not same:
                self._forget()
                self._number = number
            self._owner = self._session
            must(answer == self._state(), "a good release was refused, or begins in its middle")

    def _next_piece(self) -> None:
        content = self._contents[self._number or 0]
        at = len(self._taken)
        self._put(at, content[at : at + wire.CHUNK_BYTES])

    def _any_piece(self) -> None:
        offset, length, filler = (self._intake.number(width) for width in (2, 1, 1))
        if length <= wire.CHUNK_BYTES:
            self._put(offset, bytes((filler,)) * length)
            return
        frame = bytearray(wire.stage(wire.PUT, offset, bytes(wire.CHUNK_BYTES)))
        frame[_LENGTH_AT] = length
        refusal = NotAdmitted if self._session == MEMBER else BadRequest
        must(isinstance(self._send(frame), refusal), "a piece was taken that no frame holds")

    def _put(self, offset: int, piece: bytes) -> None:
        before, at, end = self._flash(), len(self._taken), offset + len(piece)
        answer = self._ask(wire.PUT, offset, piece)
        if self._is_strange(answer, before):
            return
        if self._number is None or self._owner != self._session:
            must(isinstance(answer, BadRequest), "a piece was taken from a session that did not begin")
        elif end <= at or self._dirty:
            must(answer == self._state(), "a piece that is there already changed something")
        elif offset != at or end > len(self._contents[self._number]):
            must(isinstance(answer, BadRequest), "a piece was taken out of its order")
        else:
            self._taken += piece
            if end == len(self._contents[self._number]) and not self._is_staged:
                must(isinstance(answer, BadRequest), "bytes were staged that the release is not of")
                self._forget()
            else:
                must(answer == self._state(), "a good piece was not taken")
            return
        must(before == self._flash(), "a piece that was not taken changed the flash")

    def _activate(self) -> None:
        before = self._flash()
        answer = self._ask(wire.ACTIVATE)
        if self._is_strange(answer, before):
            return
        if self._is_staged:
            self._due = True
            must(answer == self._state(), "what is staged cannot be tried")
        else:
            must(isinstance(answer, BadRequest), "something is tried that is not staged")

    def _leave(self) -> None:
        """The connection ends and another takes its place; what it brought can be gone on with."""
        self._office.relay.leave(self._connections[self._session].session)

    def _seal(self) -> None:
        """The window after it; a restart with the new code if that is due."""
        was_on_trial = self._places.on_trial
        try:
            self._staging.window(1)
        except Restarted:
            must(self._due, "the board restarted into something that nobody activated")
            content = self._contents[self._number or 0]
            tried = self._places.idle or self._devices[self._files_place()]
            self._start()
            must(self._places.on_trial and tried.get(0, len(content)) == content, "other code is tried than was signed")
            return
        must(not self._due, "what is due was not tried")
        if was_on_trial:
            self._forget()  # there is an idle place again
        self._dirty = self._dirty and was_on_trial

    def _files_place(self) -> int:
        """Which place is about to be tried."""
        return 0 if b'"place": 0' in (self._files.read("code") or b"").partition(b'"trial"')[2] else 1

    def _wait(self) -> None:
        self._office.ticks += 1000 * self._intake.number(1) * (100 if self._session == SESSIONS - 1 else 1)

    # -- what must hold

    @property
    def _is_staged(self) -> bool:
        return self._number is not None and self._taken == self._contents[self._number]

    def _state(self) -> tuple[int, int]:
        """What the relay has to answer."""
        if self._is_staged:
            return ACTIVATED if self._due else STAGED, len(self._taken)
        return WAIT if self._dirty else SEND, len(self._taken)

    def _flash(self) -> list[int]:
        """Programs and erases so far."""
        return [device.changes for device in self._devices]

    def _judge(self) -> None:
        idle, whole = self._places.idle, len(self._taken) // PAGE_BYTES * PAGE_BYTES
        if idle is not None and self._taken:
            kept = len(self._taken) if self._is_staged else whole
            must(idle.get(0, kept) == self._taken[:kept], "what was taken is not what is on the flash")


_LENGTH_AT = 6  # of the piece, in a STAGE frame: type, step, u32 offset

TARGETS = (Pieces,)
