from typing import Any

from .cover import EpochCover

class RecordViews:
    record: memoryview
    page: memoryview
    def __init__(self, buffer: bytearray, at: int) -> None: ...

class CellFrame:
    buffer: bytearray
    page: bytearray
    for_page: list[tuple[RecordViews, RecordViews]]
    for_dummy: list[tuple[RecordViews, RecordViews]]

class Batch:
    round: int
    count: int
    def __init__(self, log: Any, cipher: Any, cover: EpochCover, bucket: int, round_: int) -> None: ...
    def fill(self, frame: CellFrame, offset: int) -> int: ...
