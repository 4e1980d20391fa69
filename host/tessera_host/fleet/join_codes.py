"""Join codes: what somebody who may add a gateway to a fleet carries to the new host, beside the relay's secrets.

Owns how a code is written, what it proves, and how long a running gateway takes it. Whoever stole the relay's secrets
has no code, whoever read a code over somebody's shoulder has no secrets; with both there is one gateway a code, which
`tessera fleet status` shows. Codes are in memory: a start forgets them.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tessera.hashes import hkdf, tagged

from ..errors import InvalidInput
from .entry import Random
from .keys import KEY_BYTES, NAME_BYTES

GOOD_SECONDS = 3600.0
SECRET_BYTES = 16
_CHECK_BYTES = 2
_WRITTEN = struct.Struct(f">H{SECRET_BYTES}s")
_GROUP = 4  # letters between hyphens


@dataclass(frozen=True)
class Code:
    """gateway: the one that made it, and knows it; secret: SECRET_BYTES."""

    gateway: int
    secret: bytes

    def __str__(self) -> str:
        """32 letters and digits of base32, in groups: with a check, so that a slip is told from a code that is used
        up."""
        body = _WRITTEN.pack(self.gateway, self.secret)
        letters = base64.b32encode(body + _check(body)).decode().lower()
        return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises InvalidInput."""
        letters = "".join(text.split()).replace("-", "").upper()
        try:
            found = base64.b32decode(letters)
            body, check = found[: _WRITTEN.size], found[_WRITTEN.size :]
            if len(check) == _CHECK_BYTES and hmac.compare_digest(check, _check(body)):
                return cls(*_WRITTEN.unpack(body))
        except (binascii.Error, ValueError):
            pass
        raise InvalidInput("this is no join code, or a letter of it is wrong", "type what tessera fleet invite showed")

    @property
    def name(self) -> bytes:
        """NAME_BYTES, which tell nothing of the secret."""
        return tagged("fleet-code", self.secret)[:NAME_BYTES]

    def key(self, static_secret: bytes) -> bytes:
        """What a gateway that joins proves: whoever has the code or the relay's secret (32 bytes) alone lacks it."""
        return hkdf(static_secret, self.secret, b"fleet-join", KEY_BYTES)


def _check(body: bytes) -> bytes:
    return tagged("fleet-code-check", body)[:_CHECK_BYTES]


@dataclass
class _Open:
    code: Code
    until: float
    node_key: bytes = b""  # whose it became


class JoinCodes:
    """Those that one running gateway made. now: seconds of a clock that is never set."""

    def __init__(self, gateway: int, static_secret: bytes, random: Random, now: Callable[[], float]) -> None:
        self._gateway = gateway
        self._static_secret = static_secret
        self._random = random
        self._now = now
        self._open: dict[bytes, _Open] = {}

    def make(self) -> Code:
        code = Code(self._gateway, self._random(SECRET_BYTES))
        self._forget()
        self._open[code.name] = _Open(code, self._now() + GOOD_SECONDS)
        return code

    def key(self, name: bytes) -> bytes | None:
        """What a question by the code with this name is sealed with; None if there is no such code now."""
        self._forget()
        found = self._open.get(name)
        return None if found is None else found.code.key(self._static_secret)

    def use(self, name: bytes, node_key: bytes) -> bool:
        """Whether the gateway with this node key (33 bytes) joins by the code: nobody else does from then on. The same
        one may ask again, as an answer may be lost."""
        self._forget()
        found = self._open.get(name)
        if found is None or found.node_key not in (b"", node_key):
            return False
        found.node_key = node_key
        return True

    def _forget(self) -> None:
        now = self._now()
        self._open = {name: each for name, each in self._open.items() if each.until > now}
