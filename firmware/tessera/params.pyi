from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from typing_extensions import Buffer

from .curve import Secret

MOST_RELAY_BYTES: int
MOST_CARD_BYTES: int
FIRST_BYTES: int
HEAD_BYTES: int
TIME_BYTES: int
SPARE_PAGES: int
RELAY_BYTES: int
FIXED_REST_BYTES: int
DELIVERY: int
DAY: int
CONSTANT: int

class RelayEntry(NamedTuple):
    id: int
    static_key: bytes
    ledger_key: bytes
    column_hash: bytes
    sealed: bytes

class Head:
    digest: bytes
    signature: bytes
    serial: int
    federation_id: bytes
    root_key: bytes
    previous: bytes
    rest_hash: bytes
    genesis: int
    round_seconds: int
    epoch_rounds: int
    retention_epochs: int
    log2_buckets: int
    buckets: int
    log2_cohorts: int
    members: int
    tokens_per_epoch: int
    posts_per_token: int
    ahead: int
    cover: int
    candidates: int  # thresholds of the noise table
    constant: int
    epsilon: int  # millionths
    delta: int  # of 2^64
    deliveries: int
    generation: int
    first_epoch: int
    epochs: int
    relay_count: int
    guests: int
    def __init__(self, first: bytes | bytearray | memoryview) -> None: ...
    def verify(self) -> None: ...
    @property
    def rest_bytes(self) -> int: ...
    def size(self, columns: int) -> int: ...
    @property
    def column_bytes(self) -> int: ...
    @property
    def end_epoch(self) -> int: ...
    @property
    def posts_per_epoch(self) -> int: ...
    @property
    def largest_cell(self) -> int: ...
    def check_capacity(self, pages: int) -> None: ...
    def round_at(self, unix_seconds: int) -> int: ...
    def epoch_of(self, round_: int) -> int: ...

class Parameters(Head):
    length: int
    part: Callable[[int, int], bytes]  # of its bytes, from start to end
    access_key: bytes
    reading_hash: bytes
    card_hash: bytes
    day_epsilon: int  # millionths
    day_delta: int  # of 2^64
    ephemeral: bytes
    def __init__(self, blob: Buffer) -> None: ...
    @property
    def blob(self) -> bytes: ...
    @property
    def thresholds(self) -> bytes: ...
    @property
    def guest_access_keys(self) -> list[bytes]: ...
    @property
    def relays(self) -> list[RelayEntry]: ...
    def relay_with(self, static_key: bytes) -> RelayEntry | None: ...
    def column(self, relay_id: int) -> bytes | None: ...
    def epoch_keys(self, relay_id: int, epoch: int) -> bytes | None: ...
    def epoch_key(self, relay_id: int, epoch: int, cohort: int = 0) -> bytes | None: ...
    def copy_for(self, relay_id: int) -> bytes: ...
    def reading_key(self, static_secret: Secret | Buffer, relay_id: int) -> bytes: ...

def log2_cohorts(members: int) -> int: ...
def digest(head: Buffer) -> bytes: ...
def reading_hash(reading_key: Buffer) -> bytes: ...
def column_hash(column: Buffer) -> bytes: ...
def seal_reading_key(
    ephemeral_secret: Secret | Buffer,
    static_key: Buffer,
    federation_id: bytes,
    serial: int,
    relay_id: int,
    reading_key: Buffer,
) -> bytes: ...
def encode(fields: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]: ...

class TimeStatement:
    blob: bytes
    federation_id: bytes
    unix_seconds: int
    def __init__(self, blob: Buffer) -> None: ...
    def verify(self, root_key: bytes) -> None: ...

def encode_time(federation_id: bytes, unix_seconds: int) -> tuple[bytes, bytes]: ...
def is_time_statement(first: bytes | bytearray | memoryview) -> bool: ...
