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
    """What IT needs to act as the operator at its relays. `access_keys` are those that a relay may still have, the
    newest first; `relays` are those of the newest set."""

    parameters: Parameters
    relays: list[Relay]
    access_keys: list[bytes]
    signer: ParameterSigner
    clock: Clock

    def relay_named(self, name: str) -> Relay:
        """The relay of this name. Raises UsageError."""
        return self.relays_named(name)[0]

    def relays_named(self, name: str | None) -> list[Relay]:
        """The relay of this name, or all for None. Raises UsageError if there is no such relay."""
        found = [relay for relay in self.relays if name in (None, relay.name)]
        if not found:
            if name is None:
                raise UsageError("the office has no relay yet", "make one first: tessera relay new, or tessera flash")
            raise UsageError(f"there is no relay '{name}'", "tessera issuer show lists the office's relays")
        return found

    def sign(self, message: bytes) -> bytes:
        """The root key's BIP-340 signature (64 bytes) over a message of 32."""
        return self.signer.sign(message)

    def time_statement(self) -> bytes:
        """The time, signed by the root key: 92 bytes (PROTOCOL §2)."""
        return self.signer.time_statement(self.parameters.federation_id, self.clock())
