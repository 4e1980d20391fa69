"""A relay's card for people: address, static key, six words, a QR code. What a technician sticks to the box.

Nothing on it is secret, and nothing of it is needed to use the relay: members have it from the federation card. It is
to compare with.
"""

from dataclasses import dataclass

from tessera import hashes

from .. import qr
from ..protocol import addresses
from ..protocol.words import words


@dataclass(frozen=True)
class RelayCard:
    """static_key has 33 bytes, ledger_key 32."""

    name: str
    host: str
    port: int
    static_key: bytes
    ledger_key: bytes

    @property
    def words(self) -> list[str]:
        """Six words, a fingerprint (66 bits) of both keys, to read out and compare."""
        return words(hashes.tagged("relay-words", self.static_key + self.ledger_key))

    @property
    def text(self) -> str:
        """What the QR code holds."""
        return f"tessera relay {self.name} {addresses.shown(self.host, self.port)} {self.static_key.hex()}"

    def lines(self, with_code: bool) -> list[str]:
        """The card's lines for a terminal. with_code: with the QR code."""
        shown = [
            f"Relay       {self.name}",
            f"Address     {addresses.shown(self.host, self.port)}",
            f"Static key  {self.static_key.hex()}",
            f"Words       {' '.join(self.words)}",
        ]
        return [*shown, "", *self.code()] if with_code else shown

    def code(self) -> list[str]:
        """The QR code, to be stuck to the box."""
        return qr.lines(self.text, error="m")
