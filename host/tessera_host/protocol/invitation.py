"""An invitation: what IT hands to one person so that this person's computer can join by itself (PROTOCOL §12, §15).

Owns what is in it, the join card that is shown for it, and the proof of its secret. Leaves to others: which
invitations are open (invitations.py, the issuer's side), the order of a member's joining (joining.py).

Whoever holds an unused invitation can join in that person's name, so it is a secret; it works once and not for long.
"""

from dataclasses import dataclass
from typing import Any, Self

from tessera import hashes

from ..errors import IntegrityError
from . import cards
from .federation import Federation, IssuerService
from .identity import Identity

SECRET_BYTES = 16
ID_BYTES = 16


@dataclass(frozen=True)
class Invitation:
    """What IT gives to one person. `service` is None for an office whose issuer is not on a network; then
    `federation_card` is there."""

    name: str  # on the roster
    office: str  # the federation's name
    federation: bytes  # federation_id (16)
    root: bytes  # root key (32)
    access: bytes  # access key (32)
    home: str  # name of the home relay
    secret: bytes  # 16 bytes
    until: int  # unix seconds
    service: IssuerService | None
    federation_card: str | None

    @property
    def id(self) -> bytes:
        """The invitation's id (16 bytes), which is no secret."""
        return id_of(self.secret)

    def card(self) -> str:
        """Write the invitation as a card."""
        service = self.service
        fields = {name: getattr(self, name) for name in ("name", "office", "federation", "root", "access", "home")}
        fields |= {"secret": self.secret, "until": self.until}
        fields["issuer"] = {"host": service.host, "port": service.port, "key": service.key} if service else None
        fields["card"] = cards.decode(self.federation_card, "federation").payload if self.federation_card else None
        return cards.encode("invitation", fields)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read an invitation's card. Raises InvalidInput."""
        fields = cards.decode(text, "invitation").fields
        kept = {name: value for name, value in fields.items() if name not in ("v", "issuer", "card")}
        service = IssuerService(**fields["issuer"]) if fields["issuer"] else None
        card = fields["card"]
        federation_card = cards.encode("federation", cards.decode_payload("federation", card)) if card else None
        return cls(**kept, service=service, federation_card=federation_card)

    def check(self, federation: Federation) -> None:
        """Check that this is the federation of the invitation. Raises IntegrityError."""
        if (federation.id, federation.newest.root_key) != (self.federation, self.root):
            raise IntegrityError(
                "the office's settings do not match this invitation", "do not go on; tell IT, and show them this"
            )

    def join_card(self, identity: Identity) -> str:
        """Make the join card, for which the issuer admits the member."""
        return cards.encode(
            "join", {"invitation": self.id, **member_fields(identity, self.federation)} | self._proved(identity.key)
        )

    def _proved(self, key: bytes) -> dict[str, Any]:
        return {"proof": proof(self.secret, self.federation, key, self.name)}


def member_fields(identity: Identity, federation_id: bytes) -> dict[str, Any]:
    """Make name, key and signature: the fields of a member card, and of a join card among others."""
    message = hashes.tagged("member", federation_id + identity.key + identity.name.encode())
    return {"name": identity.name, "key": identity.key, "sig": identity.sign(message)}


def id_of(secret: bytes) -> bytes:
    """Compute the id (16 bytes) of an invitation's secret (16 bytes)."""
    digest = hashes.tagged("invitation", secret)
    return digest[:ID_BYTES]


def proof(secret: bytes, federation_id: bytes, key: bytes, name: str) -> bytes:
    """Prove that the holder of this key was invited by this name (32 bytes)."""
    return hashes.hmac_sha256(secret, b"join", federation_id, key, name.encode())
