from typing import Any, Protocol

from typing_extensions import Buffer

from .errors import Refusal

class _Set(Protocol):
    @property
    def serial(self) -> int: ...
    @property
    def digest(self) -> bytes: ...

PORT: int
INFO_VERSION: int
STATUS_VERSION: int
SMALL_BYTES: int
CELL_BYTES: int
SEAL_BYTES: int
CLIENT_FRAME_BYTES: int
CELL_FRAME_BYTES: int
RECORD_BYTES: int
CELL_HEADER_BYTES: int
RECORDS_PER_FRAME: int
FETCH_ROUNDS: int
CHUNK_BYTES: int
VOID: int
INFO: int
AUTH: int
POST: int
FETCH: int
PARAMS: int
CHECKPOINT: int
PUSH: int
STATUS: int
STAGE: int
VOIDED: int
INFO_ANSWER: int
ADMITTED: int
ACK: int
CELL: int
PARAMS_ANSWER: int
CHECKPOINT_ANSWER: int
PUSHED: int
STATUS_ANSWER: int
STAGE_ANSWER: int
END: int
ERROR: int
BEGIN: int
PUT: int
ACTIVATE: int
PROVISIONAL: int
COMMISSIONING: int
ON_TRIAL: int
ENDING: int
DAMAGED: int
NO_ROUND: int

CODES: tuple[tuple[int, str, type[Refusal]], ...]

def void() -> bytearray: ...
def info() -> bytearray: ...
def auth(epoch: int, key: Buffer, signature: Buffer, proof: Buffer) -> bytearray: ...
def post(bucket: int, record: Buffer) -> bytearray: ...
def fetch(bucket: int, start: int, end: int, proof: Buffer) -> bytearray: ...
def params(chunk: int) -> bytearray: ...
def checkpoint(epoch: int) -> bytearray: ...
def status() -> bytearray: ...
def push(total: int, chunk: int, data: bytes) -> bytearray: ...
def stage(step: int, offset: int = 0, data: bytes = b"") -> bytearray: ...
def read_request(frame: bytes | bytearray) -> tuple[int, tuple[Any, ...]]: ...
def posted_record(frame: bytes | bytearray) -> memoryview: ...
def answer_void(buffer: bytearray) -> None: ...
def answer_info(
    buffer: bytearray, flags: int, newest: _Set, governing: _Set, open_round: int, first_round: int, tier: str
) -> None: ...
def answer_status(
    buffer: bytearray,
    code: int,
    firmware_digest: bytes,
    uptime_s: int,
    boots: int,
    serial: int,
    open_round: int,
    flags: int,
    board: str,
) -> None: ...
def answer_auth(buffer: bytearray, secret: bytes, posts_left: int) -> None: ...
def answer_post(buffer: bytearray, open_round: int) -> None: ...
def answer_params(buffer: bytearray, total: int, chunk: int, data: bytes) -> None: ...
def answer_checkpoint(buffer: bytearray, data: bytes) -> None: ...
def answer_push(buffer: bytearray, complete: bool) -> None: ...
def answer_stage(buffer: bytearray, state: int, offset: int, wait_seconds: int) -> None: ...
def refusal_name(kind: type[Exception]) -> str | None: ...
def answer_error(buffer: bytearray, error: Exception) -> None: ...
def answer_fetch_error(buffer: bytearray, error: Exception) -> None: ...
def pack_cell(buffer: bytearray, round_: int, count: int, offset: int, records: int) -> None: ...
def pack_end(buffer: bytearray, next_round: int) -> None: ...

# The first is the type, the rest are the fields of PROTOCOL §5 in their order.
def read_answer(plaintext: bytes | bytearray) -> tuple[Any, ...]: ...
def read_cell(plaintext: bytes | bytearray) -> tuple[Any, ...]: ...
