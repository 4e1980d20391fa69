"""A member that is nothing but a key and cards, for tests of the issuer. Signs with coincurve, blinds with blind.py."""

import secrets
from typing import Any

from coincurve import PrivateKey, PublicKeyXOnly

from tessera import hashes
from tessera_host.protocol import blind, cards

RELAY_KEY = PrivateKey(b"\x07" * 32).public_key.format()


class FakeMember:
    def __init__(self, name: str, federation_id: bytes) -> None:
        self.name = name
        self.federation_id = federation_id
        self._private = PrivateKey(secrets.token_bytes(32))
        self.key = self._private.public_key.format()[1:]

    def sign(self, name: str, data: bytes) -> bytes:
        return self._private.sign_schnorr(hashes.tagged(name, data))

    def card(self, **changes: Any) -> str:
        signature = self.sign("member", self.federation_id + self.key + self.name.encode())
        return cards.encode("member", {"name": self.name, "key": self.key, "sig": signature} | changes)

    def signed_card(self, kind: str, fields: dict[str, Any]) -> str:
        signature = self.sign(kind, cards.canonical({"v": 1, **fields}))
        return cards.encode(kind, {**fields, "sig": signature})

    def request(self, epoch: int, count: int, time: int) -> str:
        return self.signed_card("tokens-request", {"member": self.key, "epoch": epoch, "count": count, "time": time})

    def challenge(self, offer: str, epoch_key: bytes) -> tuple[str, list[tuple[bytes, blind.Blinded]]]:
        """The challenge card, and per token its message and blinding."""
        fields = cards.decode(offer, "tokens-offer").fields
        pending = []
        for first, second in fields["offers"]:
            token_key = PrivateKey(secrets.token_bytes(32)).public_key.format()[1:]
            message = blind.token_message(self.federation_id, fields["epoch"], RELAY_KEY, token_key)
            pending.append((message, blind.blind(epoch_key, message, (first, second))))
        return self.challenge_card(fields["session"], [blinded for _, blinded in pending]), pending

    def challenge_card(self, session: bytes, blinded: list[blind.Blinded]) -> str:
        challenges = [list(each.challenges) for each in blinded]
        fields = {"session": session, "member": self.key, "challenges": challenges}
        return self.signed_card("tokens-challenge", fields)


def good_tokens(answer: str, pending: list[tuple[bytes, blind.Blinded]], epoch_key: bytes) -> int:
    """How many of the answered sessions unblind to a signature that libsecp256k1 accepts."""
    answers = cards.decode(answer, "tokens-answer").fields["answers"]
    assert len(answers) == len(pending)
    signatures = [blinded.unblind(b, s) for (_, blinded), (b, s) in zip(pending, answers, strict=True)]
    verify = PublicKeyXOnly(epoch_key).verify
    return sum(verify(sig, message) for sig, (message, _) in zip(signatures, pending, strict=True))
