"""IT at its relays: all that it takes to be the operator there, without the keystore being held meanwhile.

Owns which secrets leave the keystore for that: the root key, for as long as a command runs. What is done with them is
relay/pushing.py's and relay/operating.py's.
"""

from dataclasses import dataclass

from tessera.params import Parameters

from ..clock import Clock
from ..errors import UsageError
from ..protocol.federation import Relay
from .signer import ParameterSigner


@dataclass(frozen=True)
class Operator:
    """`access_keys` are those that a relay may still have, newest first; `relays` those of the newest set."""

    parameters: Parameters
    relays: list[Relay]
    access_keys: list[bytes]
    signer: ParameterSigner
    clock: Clock

    def relay_named(self, name: str) -> Relay:
        """Raises UsageError."""
        return self.relays_named(name)[0]

    def relays_named(self, name: str | None) -> list[Relay]:
        """That one, or all. Raises UsageError if there is none."""
        found = [relay for relay in self.relays if name in (None, relay.name)]
        if not found:
            wrong = f"there is no relay '{name}'" if name else "the office has no relay yet"
            raise UsageError(wrong, "tessera issuer show lists them")
        return found

    def sign(self, message: bytes) -> bytes:
        """By the root key, over 32 bytes: 64 bytes."""
        return self.signer.sign(message)

    def time_statement(self) -> bytes:
        """What the time is, signed: 92 bytes."""
        return self.signer.time_statement(self.parameters.federation_id, self.clock())
