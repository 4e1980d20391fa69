from typing import Any

from .admission import Token
from .channel import Channel
from .curve import Secret
from .parameterstore import ParameterStore

class Session:
    channel: Channel
    epoch: int | None
    token: Token | None
    push: bytearray | None
    push_at: int
    def __init__(self, channel_: Channel) -> None: ...
    def mark(self, bucket: int, record: bytes | memoryview) -> bytes: ...
    def repeats(self, round_: int, mark: bytes) -> bool: ...
    def remember(self, mark: bytes) -> None: ...

class Handshakes:
    def __init__(
        self,
        generator: Any,
        static: tuple[Secret, bytes],
        parameters: ParameterStore,
        epochs: Any,
    ) -> None: ...
    def nonce(self) -> bytes: ...
    def prepare(self) -> bool: ...
    def check_hello(self, hello: bytes, nonce: bytes) -> bytes: ...
    def greet(self, hello: bytes, nonce: bytes, access_key: bytes) -> tuple[Session, bytes]: ...
