"""Reading keys sealed to one member in a card, for joining and renewing by files (PROTOCOL §12).

Owns that form. Leaves to others: which keys these are (the issuer), which hashes sets name (who opens one), the keys
that sets have for relays (the core).
"""

from collections.abc import Sequence

from tessera import curve, hashes
from tessera.aead import Aead
from tessera.errors import BadFrame
from tessera.params import reading_hash

from ..errors import InvalidInput
from . import blind, cards
from .identity import Identity

KEY_BYTES = 32


def card(reading_keys: Sequence[bytes], federation_id: bytes, member: bytes) -> str:
    """Make a `reading` card for the member of this x-only key (32 bytes): the newest set's key first."""
    ephemeral = blind.random_scalar().to_bytes(32, "big")
    aead = Aead(_member_key(curve.dh(ephemeral, b"\2" + member), federation_id, member))
    sealed = [aead.seal(place, reading_hash(key), key) for place, key in enumerate(reading_keys)]
    return cards.encode("reading", {"member": member, "e": curve.public(ephemeral), "sealed": sealed})


def opened(text: str, identity: Identity, federation_id: bytes, hashes_: Sequence[bytes]) -> list[bytes]:
    """Open the keys in a `reading` card whose hashes signed sets name. Raises InvalidInput if the card is for another
    member, or damaged."""
    fields = cards.decode(text, "reading").fields
    if fields["member"] != identity.key:
        raise InvalidInput("this card is for another member", "look for your own card, or ask IT for it")
    try:
        shared = curve.dh(identity.secret, fields["e"])
    except ValueError:
        raise InvalidInput("this reading card is damaged", "ask IT for a new one") from None
    key = _member_key(shared, federation_id, identity.key)
    found = (_open(key, place, each, hashes_) for place, each in enumerate(fields["sealed"]))
    return [each for each in found if each is not None]


def _open(key: bytes, place: int, sealed: bytes, hashes_: Sequence[bytes]) -> bytes | None:
    for hash_ in hashes_:
        try:
            reading_key = Aead(key).open(place, hash_, sealed)
        except BadFrame:
            continue
        if reading_hash(reading_key) == hash_:
            return reading_key
    return None


def _member_key(shared: bytes, federation_id: bytes, member: bytes) -> bytes:
    return hashes.hkdf(b"", shared, b"reading-key" + federation_id + member, KEY_BYTES)
