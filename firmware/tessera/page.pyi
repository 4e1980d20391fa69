from collections.abc import Callable, Mapping

from typing_extensions import Buffer

HEAD_BYTES: int
RECORD_START_BYTES: int
LAST_SEQ: int
ROUND_AT: int
BUCKET_AT: int

class PageBuffer:
    page: bytearray
    head: memoryview
    plain: bytearray
    header: memoryview
    record: memoryview
    record_start: memoryview
    def __init__(self) -> None: ...
    @property
    def round(self) -> int: ...
    @property
    def bucket(self) -> int: ...
    @property
    def is_copy(self) -> bool: ...
    @property
    def seq(self) -> int: ...

class PageCipher:
    def __init__(self, page_key: Buffer) -> None: ...
    def seal(
        self,
        page_index: int,
        seq: int,
        round_: int,
        bucket: int,
        record: Buffer,
        page: bytearray,
        is_copy: bool = False,
    ) -> None: ...
    def open(self, page_index: int, buffer: PageBuffer) -> bool: ...
    def decrypt(self, data: Buffer, out: bytearray | memoryview) -> None: ...

def search(ciphers: Mapping[int, PageCipher], epoch_rounds: int, buffer: PageBuffer) -> Callable[[int], bool]: ...
