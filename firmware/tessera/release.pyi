from collections.abc import Mapping
from typing import Any

from typing_extensions import Buffer

IMAGE: int
BUNDLE: int
SLOT: int
MAX_BYTES: int
MAX_BOARD_BYTES: int
MIN_BYTES: int

_bytes = bytes  # a release has an attribute of that name

class Release:
    blob: _bytes
    federation_id: _bytes
    version: int
    kind: int
    board: str
    bytes: int
    sha256: _bytes
    firmware_digest: _bytes
    base: _bytes
    def __init__(self, blob: Buffer) -> None: ...
    def verify(self, root_key: _bytes) -> None: ...

def encode(fields: Mapping[str, Any]) -> tuple[bytes, bytes]: ...
def version_number(text: str) -> int: ...
def version_text(number: int) -> str: ...
