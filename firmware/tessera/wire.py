# Frames (PROTOCOL §5): no other module packs or unpacks one. Both the client's and the relay's half are here.
# Encryption is channel.py's business, what a request means relay.py's.

import struct

from . import errors
from .runtime import const

PORT = const(8100)
INFO_VERSION = const(2)
STATUS_VERSION = const(1)

SMALL_BYTES = const(255)  # plaintext of a request and of a small answer
CELL_BYTES = const(1023)  # plaintext of an answer to FETCH
SEAL_BYTES = const(17)  # one byte of padding and a tag of 16 bytes
CLIENT_FRAME_BYTES = const(272)  # SMALL_BYTES, sealed
CELL_FRAME_BYTES = const(1040)  # CELL_BYTES, sealed

RECORD_BYTES = const(240)
CELL_HEADER_BYTES = const(63)
RECORDS_PER_FRAME = const(4)
FETCH_ROUNDS = const(16)  # at most in one FETCH
CHUNK_BYTES = const(240)  # of an object in PARAMS, PUSH and STAGE

# Requests
VOID = const(0)
INFO = const(1)
AUTH = const(2)
POST = const(3)
FETCH = const(4)
PARAMS = const(5)
CHECKPOINT = const(6)
PUSH = const(7)
STATUS = const(8)
STAGE = const(9)

# Answers
VOIDED = const(0x80)
INFO_ANSWER = const(0x81)
ADMITTED = const(0x82)
ACK = const(0x83)
CELL = const(0x84)
PARAMS_ANSWER = const(0x85)
CHECKPOINT_ANSWER = const(0x86)
PUSHED = const(0x87)
STATUS_ANSWER = const(0x88)
STAGE_ANSWER = const(0x89)
END = const(0x94)
ERROR = const(0xFF)

# Steps of STAGE
BEGIN = const(0)
PUT = const(1)
ACTIVATE = const(2)

# Flags in an answer to STATUS; an answer to INFO has the first
PROVISIONAL = const(1)  # nothing has borne out the clock yet
COMMISSIONING = const(2)  # the cover key of the open epoch was disclosed, so AUTH has to wait for the next
ON_TRIAL = const(4)  # the running code is on trial
ENDING = const(8)  # the schedule of epoch keys ends within 30 days, or has ended
DAMAGED = const(16)  # a record of a kept round can no longer be read
NO_ROUND = const(0xFFFFFFFF)  # the open round of a relay that has no clock

CODES = (
    (1, "BAD_FRAME", errors.BadFrame),
    (2, "BAD_REQUEST", errors.BadRequest),
    (3, "NOT_ADMITTED", errors.NotAdmitted),
    (4, "QUOTA", errors.QuotaSpent),
    (5, "NOT_READY", errors.NotReady),
    (6, "BUSY", errors.Busy),
    (7, "TOO_OLD", errors.TooOld),
    (8, "FAULT", errors.Fault),
)


def _frame(kind, layout="", *fields):
    frame = bytearray(SMALL_BYTES)
    frame[0] = kind
    struct.pack_into(">" + layout, frame, 1, *fields)
    return frame


# -- requests, client side: each function returns the plaintext of a frame, 255 bytes


def void():
    return _frame(VOID)


def info():
    return _frame(INFO)


def auth(epoch, key, signature, proof):
    """key: the token's, 32 bytes. signature: the issuer's, and proof: the key's, 64 bytes each."""
    return _frame(AUTH, "I32s64s64s", epoch, bytes(key), bytes(signature), bytes(proof))


def post(bucket, record):
    """record: 240 bytes."""
    return _frame(POST, "H240s", bucket, bytes(record))


def fetch(bucket, start, end, proof):
    """Asks for the rounds start ≤ r < end, at most 16. proof: 16 bytes from admission.read_proof()."""
    return _frame(FETCH, "HII16s", bucket, start, end, bytes(proof))


def params(chunk):
    return _frame(PARAMS, "H", chunk)


def checkpoint(epoch):
    return _frame(CHECKPOINT, "I", epoch)


def status():
    return _frame(STATUS)


def push(total, chunk, data):
    """data: up to 240 bytes of an object of `total` bytes, those from byte 240 · chunk on."""
    return _frame(PUSH, "HHB240s", total, chunk, len(data), bytes(data))


def stage(step, offset=0, data=b""):
    """step: BEGIN with a release as data, PUT with up to 240 bytes of its artifact from offset on, or ACTIVATE."""
    return _frame(STAGE, "BIB240s", step, offset, len(data), bytes(data))


# -- requests, relay side

_LAYOUTS = {
    VOID: ">",
    INFO: ">",
    AUTH: ">I32s64s64s",
    POST: ">H",
    FETCH: ">HII16s",
    PARAMS: ">H",
    CHECKPOINT: ">I",
    PUSH: ">HHB240s",
    STATUS: ">",
    STAGE: ">BIB240s",
}


def read_request(frame):
    """(type, fields in PROTOCOL's order) of a request's plaintext. BadFrame for an unknown type.

    The record of a POST is not among the fields, see posted_record().
    """
    layout = _LAYOUTS.get(frame[0])
    if layout is None:
        raise errors.BadFrame("unknown request")
    return frame[0], struct.unpack_from(layout, frame, 1)


def posted_record(frame):
    """A view of the record (240 bytes) in the plaintext of a POST."""
    return memoryview(frame)[3 : 3 + RECORD_BYTES]


# -- answers, relay side: each function writes the plaintext over the first bytes of a buffer. Packing an empty string
# fills with zeros, so that the heap of a board need not hold zeros to copy.


def _answer(buffer, kind, layout=">", *fields):
    struct.pack_into("255s", buffer, 0, b"")
    buffer[0] = kind
    struct.pack_into(layout, buffer, 1, *fields)


def answer_void(buffer):
    _answer(buffer, VOIDED)


def answer_info(buffer, flags, newest, governing, open_round, first_round, tier):
    """newest, governing: have serial and digest, of the newest set and of the one that governs the open epoch."""
    name = tier.encode()
    sets = newest.serial, newest.digest, governing.serial, governing.digest
    fields = (INFO_VERSION, flags) + sets + (open_round, first_round, len(name), name)
    _answer(buffer, INFO_ANSWER, ">BBI32sI32sIIB{}s".format(len(name)), *fields)


def answer_status(buffer, code, firmware_digest, uptime_s, boots, serial, open_round, flags, board):
    """code: the program's version as a number, with patch in the lowest byte. board: its name (str)."""
    name = board.encode()
    fields = (STATUS_VERSION, code, firmware_digest, uptime_s, boots, serial, open_round, flags, len(name), name)
    _answer(buffer, STATUS_ANSWER, ">BI32sIIIIBB{}s".format(len(name)), *fields)


def answer_auth(buffer, secret, posts_left):
    _answer(buffer, ADMITTED, ">32sH", secret, posts_left)


def answer_post(buffer, open_round):
    _answer(buffer, ACK, ">I", open_round)


def answer_params(buffer, total, chunk, data):
    _answer(buffer, PARAMS_ANSWER, ">HHB{}s".format(len(data)), total, chunk, len(data), data)


def answer_checkpoint(buffer, data):
    _answer(buffer, CHECKPOINT_ANSWER, ">250s", data)


def answer_push(buffer, complete):
    _answer(buffer, PUSHED, ">B", 1 if complete else 0)


def answer_stage(buffer, state, offset, wait_seconds):
    _answer(buffer, STAGE_ANSWER, ">BIH", state, offset, wait_seconds)


def refusal_name(kind):
    """The name in PROTOCOL §5 of a class of refusals, like NOT_ADMITTED; None for a class that has no frame."""
    for _, name, known in CODES:
        if issubclass(kind, known):
            return name


def answer_error(buffer, error):
    """Write the error frame for a Refusal (255 bytes)."""
    for code, _, kind in CODES:
        if isinstance(error, kind):
            _answer(buffer, ERROR, ">BI", code, error.retry_after)


def answer_fetch_error(buffer, error):
    """Write the error frame for a Refusal as an answer to FETCH (1023 bytes)."""
    struct.pack_into("1023s", buffer, 0, b"")
    answer_error(buffer, error)


def pack_cell(buffer, round_, count, offset, records):
    """Write all of a CELL frame but its records, which are in place already. Allocates nothing."""
    struct.pack_into(">BIHHB53s", buffer, 0, CELL, round_, count, offset, records, b"")
    while records < RECORDS_PER_FRAME:
        struct.pack_into("240s", buffer, CELL_HEADER_BYTES + records * RECORD_BYTES, b"")
        records += 1


def pack_end(buffer, next_round):
    struct.pack_into(">BI1018s", buffer, 0, END, next_round, b"")


# -- answers, client side

_SMALL_ANSWERS = {
    VOIDED: ">",
    ADMITTED: ">32sH",
    ACK: ">I",
    CHECKPOINT_ANSWER: ">250s",
    PUSHED: ">B",
    STAGE_ANSWER: ">BIH",
}


def read_answer(plaintext):
    """(type, fields in PROTOCOL's order) of a small answer's plaintext. Refused for an error frame, BadFrame for an
    unknown type."""
    kind = plaintext[0]
    if kind == ERROR:
        raise _refused(plaintext)
    if kind == INFO_ANSWER:
        fields = struct.unpack_from(">BBI32sI32sIIB", plaintext, 1)
        return (kind,) + fields[:-1] + (_name(plaintext, 84, fields[-1]),)
    if kind == STATUS_ANSWER:
        fields = struct.unpack_from(">BI32sIIIIBB", plaintext, 1)
        return (kind,) + fields[:-1] + (_name(plaintext, 56, fields[-1]),)
    if kind == PARAMS_ANSWER:
        total, chunk, length = struct.unpack_from(">HHB", plaintext, 1)
        return kind, total, chunk, bytes(plaintext[6 : 6 + length])
    layout = _SMALL_ANSWERS.get(kind)
    if layout is None:
        raise errors.BadFrame("unknown answer")
    return (kind,) + struct.unpack_from(layout, plaintext, 1)


def _name(plaintext, at, length):
    name = bytes(plaintext[at : at + length])
    if any(not 32 <= letter < 127 for letter in name):
        raise errors.BadFrame("a name that is not ASCII")
    return name.decode()


def read_cell(plaintext):
    """(CELL, round, count, offset, [records]) or (END, next round) of an answer to FETCH (plaintext of 1023 bytes).
    Refused for an error frame, BadFrame for an unknown type."""
    kind = plaintext[0]
    if kind == ERROR:
        raise _refused(plaintext)
    if kind == END:
        return (END,) + struct.unpack_from(">I", plaintext, 1)
    if kind != CELL:
        raise errors.BadFrame("unknown answer")
    round_, count, offset, records = struct.unpack_from(">IHHB", plaintext, 1)
    if records > RECORDS_PER_FRAME:
        raise errors.BadFrame("too many records in a frame")
    starts = range(CELL_HEADER_BYTES, CELL_HEADER_BYTES + records * RECORD_BYTES, RECORD_BYTES)
    return kind, round_, count, offset, [bytes(plaintext[at : at + RECORD_BYTES]) for at in starts]


def _refused(plaintext):
    code, retry_after = struct.unpack_from(">BI", plaintext, 1)
    for number, name, _ in CODES:
        if number == code:
            return errors.Refused(code, name, retry_after)
    return errors.Refused(code, "error {}".format(code), retry_after)
