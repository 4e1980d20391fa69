"""A member that is nothing but a key and cards, for tests of the issuer. Signs with coincurve, blinds with blind.py."""

import secrets
from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey, PublicKeyXOnly

from tessera import hashes
from tessera.params import Parameters
from tessera_host.protocol import blind, cards
from tessera_host.protocol.identity import Identity


@dataclass(frozen=True)
class Pending:
    """A token in the making: for which relay and epoch, under which key (x-only, 32 bytes)."""

    relay: int
    epoch: int
    key: bytes
    message: bytes
    blinded: blind.Blinded


class FakeMember:
    def __init__(self, name: str, federation_id: bytes, secret: bytes | None = None) -> None:
        """With a secret (32 bytes) it is the member that has it."""
        self.name = name
        self.federation_id = federation_id
        self._private = PrivateKey(secret or secrets.token_bytes(32))
        self.key = self._private.public_key.format()[1:]

    @property
    def identity(self) -> Identity:
        """As the product's code has it."""
        secret = blind.even_secret(int.from_bytes(self._private.secret, "big"))
        return Identity(self.name, secret, self.key, bytes(16))

    def sign(self, name: str, data: bytes) -> bytes:
        return self._private.sign_schnorr(hashes.tagged(name, data))

    def card(self, **changes: Any) -> str:
        signature = self.sign("member", self.federation_id + self.key + self.name.encode())
        return cards.encode("member", {"name": self.name, "key": self.key, "sig": signature} | changes)

    def signed_card(self, kind: str, fields: dict[str, Any]) -> str:
        signature = self.sign(kind, cards.canonical({"v": cards.version(kind), **fields}))
        return cards.encode(kind, {**fields, "sig": signature})

    def request(self, generation: int, epoch: int, time: int) -> str:
        fields = {"member": self.key, "generation": generation, "epoch": epoch, "time": time}
        return self.signed_card("tokens-request", fields)

    def challenge(self, offer: str, parameters: Parameters) -> tuple[str, list[Pending]]:
        """(the challenge card, what is pending for each offer), with the keys of the set."""
        fields = cards.decode(offer, "tokens-offer").fields
        assert fields["generation"] == parameters.generation
        static_keys = {relay.id: relay.static_key for relay in parameters.relays}
        pending = []
        for epoch, relay, first, second in fields["offers"]:
            key = parameters.epoch_key(relay, epoch, blind.cohort(parameters, self.key))
            assert key is not None
            token_key = PrivateKey(secrets.token_bytes(32)).public_key.format()[1:]
            message = blind.token_message(self.federation_id, epoch, static_keys[relay], token_key)
            pending.append(Pending(relay, epoch, key, message, blind.blind(key, message, (first, second))))
        return self.challenge_card(fields["session"], pending), pending

    def challenge_card(self, session: bytes, pending: list[Pending]) -> str:
        challenges = [list(each.blinded.challenges) for each in pending]
        fields = {"session": session, "member": self.key, "challenges": challenges}
        return self.signed_card("tokens-challenge", fields)


def good_tokens(answer: str, pending: list[Pending]) -> int:
    """How many of the answered sessions unblind to a signature that libsecp256k1 accepts."""
    answers = cards.decode(answer, "tokens-answer").fields["answers"]
    assert len(answers) == len(pending)
    signatures = [each.blinded.unblind(b, s) for each, (b, s) in zip(pending, answers, strict=True)]
    verified = zip(signatures, pending, strict=True)
    return sum(PublicKeyXOnly(each.key).verify(signature, each.message) for signature, each in verified)
