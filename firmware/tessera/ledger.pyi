from typing_extensions import Buffer

from .curve import Secret
from .files import Directory

CHECKPOINT_BYTES: int

class Checkpoint:
    blob: bytes
    federation_id: bytes
    relay_key: bytes
    epoch: int
    rounds_sealed: int
    parameter_digest: bytes
    cover_commitment: bytes
    firmware_digest: bytes
    previous: bytes
    def __init__(self, blob: Buffer) -> None: ...
    def verify(self, ledger_key: bytes) -> None: ...
    def link(self) -> bytes: ...

class Ledger:
    last_epoch: int
    def __init__(
        self, directory: Directory, federation_id: bytes, relay_key: bytes, ledger_secret: Secret | Buffer
    ) -> None: ...
    def append(
        self,
        epoch: int,
        rounds_sealed: int,
        parameter_digest: bytes,
        commitment: bytes,
        firmware_digest: bytes,
        random: bytes,
    ) -> None: ...
    def signed(
        self,
        epoch: int,
        rounds_sealed: int,
        parameter_digest: bytes,
        commitment: bytes,
        firmware_digest: bytes,
        random: bytes,
    ) -> bytes: ...
    def keep(self, blob: bytes) -> None: ...
    def find(self, epoch: int) -> bytes: ...
