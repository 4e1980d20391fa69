"""A member's identity: what its cards bear and what it signs with."""

import secrets
from typing import NamedTuple

from tessera import curve


class Identity(NamedTuple):
    """A member's identity: its name, its secret and x-only key (32 bytes each), its mailbox id (16)."""

    name: str
    secret: bytes
    key: bytes
    mailbox: bytes

    def __repr__(self) -> str:
        return f"Identity({self.name!r}, {self.key.hex()})"

    def sign(self, message: bytes) -> bytes:
        """Sign a message: a BIP-340 signature (64 bytes)."""
        return curve.sign(self.secret, message, secrets.token_bytes(32))
