from collections.abc import Callable

from .curve import Secret
from .files import Directory
from .machine import Machine
from .params import Head, Parameters

class Rule:
    first: int
    digest: bytes
    serial: int
    log2_buckets: int
    cover: int
    constant: int
    thresholds: bytes
    parameters: Parameters | None
    reading_key: bytes | None
    def __init__(
        self,
        first: int,
        fields: tuple[bytes, int, int, int, int],
        thresholds: bytes = b"",
        parameters: Parameters | None = None,
        relay_id: int | None = None,
        reading_key: bytes | None = None,
    ) -> None: ...
    @property
    def fields(self) -> tuple[bytes, int, int, int, int]: ...
    @property
    def buckets(self) -> int: ...
    def epoch_keys(self, epoch: int) -> bytes | None: ...

class ParameterStore:
    access_keys: list[bytes]
    most_buckets: int
    def __init__(
        self,
        directory: Directory,
        static: tuple[Secret, bytes],
        check_capacity: Callable[[Head], None],
        machine: Machine | type[Machine] = ...,
    ) -> None: ...
    @property
    def newest(self) -> Parameters: ...
    def rule(self, epoch: int) -> Rule: ...
    def check_head(self, first: bytes | bytearray, total: int) -> Head: ...
    def _rule(self, blob: bytes) -> Rule: ...
    def drop_unneeded(self, open_epoch: int) -> None: ...
    def install(self, blob: bytes, open_epoch: int, seconds_until: Callable[[int], int]) -> None: ...
