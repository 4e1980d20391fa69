from collections.abc import Mapping
from typing import Any

from typing_extensions import Buffer

MAX_BYTES: int
HEADER_BYTES: int
SPARE_PAGES: int

class Parameters:
    blob: bytes
    digest: bytes
    serial: int
    federation_id: bytes
    root_key: bytes
    access_key: bytes
    genesis: int
    round_seconds: int
    epoch_rounds: int
    retention_epochs: int
    buckets: int
    members: int
    tokens_per_epoch: int
    posts_per_token: int
    epsilon: int  # millionths
    delta: int  # of 2^64
    mu: int
    first_epoch: int
    epochs: int
    def __init__(self, blob: Buffer) -> None: ...
    @property
    def thresholds(self) -> memoryview: ...
    @property
    def relays(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def end_epoch(self) -> int: ...
    def verify(self) -> None: ...
    def check_capacity(self, pages: int) -> None: ...
    def epoch_key(self, epoch: int) -> bytes | None: ...
    def round_at(self, unix_seconds: int) -> int: ...
    def epoch_of(self, round_: int) -> int: ...

def digest(body: Buffer) -> bytes: ...
def encode(fields: Mapping[str, Any]) -> bytes: ...

class TimeStatement:
    blob: bytes
    federation_id: bytes
    unix_seconds: int
    def __init__(self, blob: Buffer) -> None: ...
    def verify(self, root_key: bytes) -> None: ...

def encode_time(federation_id: bytes, unix_seconds: int) -> tuple[bytes, bytes]: ...
def whole_bytes(head: bytes | bytearray | memoryview) -> int: ...
def is_time_statement(head: bytes | bytearray | memoryview) -> bool: ...
