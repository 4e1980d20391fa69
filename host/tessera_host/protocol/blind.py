"""Clause blind Schnorr (Fuchsbauer, Plouviez, Seurin, EUROCRYPT 2020; PROTOCOL §6): the arithmetic of both sides.

Owns epoch keys from the master, which of them a member's tokens are under, the two nonces of a session, blinding, the
issuer's answer, unblinding to a BIP-340 signature. Leaves to others: who may have a session, and that one is never
finished twice (issuance.py); which message is signed and where a token is kept (wallet.py).

Secret scalars go through libsecp256k1 (coincurve), not through Python integers, except the member's one-time blinding
values, which protect nobody once the token is shown.
"""

import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Self

from coincurve import PrivateKey, PublicKey

from tessera import hashes
from tessera.params import Parameters

from ..errors import IntegrityError, InvalidInput

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Draw = Callable[[], int]


def random_scalar() -> int:
    """Draw a uniform integer in 1 … n - 1."""
    return secrets.randbelow(ORDER - 1) + 1


def cohort(parameters: Parameters, member: bytes) -> int:
    """Compute the cohort of the member with this key (32 bytes) under a set. A hash decides, so nobody can choose
    it."""
    drawn = hashes.tagged("cohort", parameters.federation_id + member)
    return int.from_bytes(drawn[:2], "big") % (1 << parameters.log2_cohorts)


def epoch_secret(
    master: bytes,
    federation_id: bytes,
    generation: int,
    epoch: int,
    relay_id: int,
    static_key: bytes,
    cohort_number: int = 0,
) -> bytes:
    """Derive k_{e,j,c} (32 bytes), normalised to even Y, of a cohort and the relay that has this static key (33 bytes).
    Every key is derived from the master: a blind signer under keys that differ by a known amount would sign for all of
    them."""
    info = federation_id + struct.pack(">IIH", generation, epoch, relay_id) + static_key
    wide = hashes.hkdf(b"", master, info + (bytes([cohort_number]) if cohort_number else b""), 48)
    return even_secret(int.from_bytes(wide, "big") % ORDER)


def even_secret(secret: int) -> bytes:
    """Choose the one of secret and n - secret whose public point has even y, 32 bytes."""
    key = PrivateKey.from_int(secret)
    return (secret if key.public_key.format()[0] == 2 else ORDER - secret).to_bytes(32, "big")


def epoch_key(secret: bytes) -> bytes:
    """Compute K_{e,j} = x(k_{e,j}·G), 32 bytes."""
    return PrivateKey(secret).public_key.format()[1:]


def token_message(federation_id: bytes, epoch: int, relay_key: bytes, token_key: bytes) -> bytes:
    """Compute m of PROTOCOL §6 (32 bytes), for the relay's static key (33 bytes) and the token's x-only key A (32
    bytes)."""
    return hashes.tagged("token", federation_id + epoch.to_bytes(4, "big") + relay_key + token_key)


@dataclass(frozen=True)
class Nonces:
    """The issuer's half of one unfinished session: two secret scalars. Anyone who holds two answers made with the same
    nonce can compute the epoch key."""

    r0: bytes
    r1: bytes

    @classmethod
    def fresh(cls, draw: Draw = random_scalar) -> Self:
        """Draw two nonces (32 bytes each)."""
        return cls(draw().to_bytes(32, "big"), draw().to_bytes(32, "big"))

    def offer(self) -> tuple[bytes, bytes]:
        """Compute R0, R1 (33 bytes each)."""
        return PrivateKey(self.r0).public_key.format(), PrivateKey(self.r1).public_key.format()


def check_challenge(challenge: bytes) -> None:
    """Check that a challenge is a scalar in 1 … n - 1 in 32 bytes, before a session is spent on it. Raises
    InvalidInput."""
    if len(challenge) != 32 or not 0 < int.from_bytes(challenge, "big") < ORDER:
        raise InvalidInput(
            "this challenge card is damaged: a number in it is out of range", "make the challenge card again"
        )


def answer(secret: bytes, nonces: Nonces, challenges: tuple[bytes, bytes], bit: int | None = None) -> tuple[int, bytes]:
    """Finish a session: (b, s) with s = r_b + c_b·k, 32 bytes. The caller must have marked the session spent durably:
    b is drawn here, and a second call with the same nonces gives the key away. `bit` is for test vectors only."""
    for challenge in challenges:
        check_challenge(challenge)
    chosen = secrets.randbits(1) if bit is None else bit
    nonce = (nonces.r0, nonces.r1)[chosen]
    return chosen, PrivateKey(secret).multiply(challenges[chosen]).add(nonce).secret


@dataclass(frozen=True)
class Blinded:
    """The member's half of one session between challenge and answer. All of it is kept secret until the answer is in;
    `pack` and `unpack` are for keeping it in a keystore meanwhile (322 bytes)."""

    key: bytes  # K_{e,j}
    offer: tuple[bytes, bytes]  # R0, R1
    challenges: tuple[bytes, bytes]  # c0, c1, to be sent
    blinded_x: tuple[bytes, bytes]  # x(R'0), x(R'1)
    alpha: tuple[bytes, bytes]
    message: bytes  # m

    def pack(self) -> bytes:
        """Write it as 322 bytes."""
        return b"".join((self.key, *self.offer, *self.challenges, *self.blinded_x, *self.alpha, self.message))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what `pack` wrote. Raises ValueError for other bytes."""
        if len(data) != 322:
            raise ValueError("not a blinded session")
        cut = [0, 32, 65, 98, 130, 162, 194, 226, 258, 290, 322]
        part = [data[start:end] for start, end in pairwise(cut)]
        return cls(part[0], (part[1], part[2]), (part[3], part[4]), (part[5], part[6]), (part[7], part[8]), part[9])

    def unblind(self, bit: int, scalar: bytes) -> bytes:
        """Compute σ (64 bytes): a BIP-340 signature under K_{e,j} over the message. Raises IntegrityError if the
        issuer's answer does not satisfy s·G = R_b + c_b·K."""
        if bit not in (0, 1) or len(scalar) != 32 or not 0 < int.from_bytes(scalar, "big") < ORDER:
            raise IntegrityError("the issuer's answer is malformed", "type tessera renew; if it recurs, tell IT")
        expected = _sum(_point(self.offer[bit]), _lift_x(self.key).multiply(self.challenges[bit]))
        if PrivateKey(scalar).public_key != expected:
            raise IntegrityError(
                "the issuer's answer does not match its offer", "type tessera renew; if it recurs, tell IT"
            )
        blinded = (int.from_bytes(scalar, "big") + int.from_bytes(self.alpha[bit], "big")) % ORDER
        return self.blinded_x[bit] + blinded.to_bytes(32, "big")


def blind(key: bytes, message: bytes, offer: tuple[bytes, bytes], draw: Draw = random_scalar) -> Blinded:
    """Blind one message (32 bytes) for both clauses of a session: key is K_{e,j} (32), offer is R0, R1 (33 each).

    Draws β, then α until R' has even y; clause 0 first. Raises InvalidInput if the offer or the key is off the curve.
    """
    first = _blind_clause(key, message, offer[0], draw)
    second = _blind_clause(key, message, offer[1], draw)
    return Blinded(key, offer, (first[0], second[0]), (first[1], second[1]), (first[2], second[2]), message)


def _blind_clause(key: bytes, message: bytes, nonce_point: bytes, draw: Draw) -> tuple[bytes, bytes, bytes]:
    beta = draw()
    base = _sum(_point(nonce_point), _lift_x(key).multiply(beta.to_bytes(32, "big")))
    while True:
        alpha = draw().to_bytes(32, "big")
        blinded = _sum(base, PrivateKey(alpha).public_key).format()
        if blinded[0] == 2:  # BIP-340 knows only points with even y
            break
    challenge = int.from_bytes(_challenge_hash(blinded[1:] + key + message), "big") + beta
    return (challenge % ORDER).to_bytes(32, "big"), blinded[1:], alpha


def _challenge_hash(data: bytes) -> bytes:
    tag = sha256(b"BIP0340/challenge").digest()
    return sha256(tag + tag + data).digest()


def _point(data: bytes) -> PublicKey:
    if len(data) != 33 or data[0] not in (2, 3):
        raise InvalidInput("the issuer's offer is damaged: a number in it is out of range", "ask IT for a new offer")
    try:
        return PublicKey(data)
    except ValueError:
        raise InvalidInput(
            "the issuer's offer is damaged: a number in it is out of range", "ask IT for a new offer"
        ) from None


def _lift_x(key: bytes) -> PublicKey:
    try:
        return PublicKey(b"\x02" + key)
    except ValueError:
        raise InvalidInput(
            "your office's settings are damaged: a key in them is not valid", "ask IT for the newest settings"
        ) from None


def _sum(left: PublicKey, right: PublicKey) -> PublicKey:
    return PublicKey.combine_keys([left, right])
