"""Linking tokens to members. Issuer and relay put their logs together: of two members' sessions all that the issuer
saw (R0, R1, c0, c1, b, s, and its own secrets), of two used tokens all that the relay saw (A, σ). World 1: the first
session made the first token. The algebra: a session and a token fit if blinding values exist that turn the one into
the other; bound: every session fits every token, and guesses by anything else are right half of the time.
"""

import random

from coincurve import PrivateKey, PublicKey

from tessera import hashes
from tessera_host.protocol import blind
from tests.attacks.game import Game, coin
from tests.results import Row

FEDERATION = b"tokens to link!!"
RELAY_KEY = PrivateKey(b"\x07" * 32).public_key.format()
N = blind.ORDER
HALF = 1 << 255


class Transcript:
    """What the issuer saw of one session, and the token that came of it."""

    def __init__(self, secret: bytes, dice: random.Random, blinding: bool = True) -> None:
        def draw() -> int:
            return dice.randrange(1, N)

        self.key = blind.epoch_key(secret)
        nonces = blind.Nonces.fresh(draw)
        self.offer = nonces.offer()
        token_key = PrivateKey(draw().to_bytes(32, "big")).public_key.format()[1:]
        self.message = blind.token_message(FEDERATION, 1, RELAY_KEY, token_key)
        if blinding:
            blinded = blind.blind(self.key, self.message, self.offer, draw)
            self.challenges = blinded.challenges
            self.bit, self.scalar = blind.answer(secret, nonces, self.challenges, dice.getrandbits(1))
            self.signature = blinded.unblind(self.bit, self.scalar)
        else:  # the leak for the control: a member who leaves R and c as they are
            self.challenges = tuple(challenge(each[1:], self.key, self.message) for each in self.offer)
            self.bit, self.scalar = blind.answer(secret, nonces, self.challenges, dice.getrandbits(1))
            self.signature = self.offer[self.bit][1:] + self.scalar


def challenge(nonce_x: bytes, key: bytes, message: bytes) -> bytes:
    """BIP-340's challenge as a scalar, 32 bytes."""
    digest = hashes.sha256(hashes.tag_prefix(b"BIP0340/challenge"), nonce_x, key, message)
    return (int.from_bytes(digest, "big") % N).to_bytes(32, "big")


def fits(session: Transcript, token: Transcript) -> bool:
    """Whether blinding values exist that turn the session into the token: they follow from s' - s and c - c'."""
    nonce_x, scalar = token.signature[:32], int.from_bytes(token.signature[32:], "big")
    alpha = (scalar - int.from_bytes(session.scalar, "big")) % N
    wanted = int.from_bytes(challenge(nonce_x, token.key, token.message), "big")
    beta = (int.from_bytes(session.challenges[session.bit], "big") - wanted) % N
    parts = [PublicKey(session.offer[session.bit])]
    if alpha:
        parts.append(PrivateKey(alpha.to_bytes(32, "big")).public_key)
    if beta:
        parts.append(PublicKey(b"\x02" + session.key).multiply(beta.to_bytes(32, "big")))
    point: bytes = PublicKey.combine_keys(parts).format()
    return point == b"\x02" + nonce_x


def guesses(session: Transcript, token: Transcript) -> dict[str, bool]:
    """Statistics that would find a biased blinding: yes means «this session made this token»."""
    scalar, other = int.from_bytes(session.scalar, "big"), int.from_bytes(token.signature[32:], "big")
    nonce, other_nonce = session.offer[session.bit][1:], token.signature[:32]
    return {
        "both scalars in the same half": (scalar < HALF) == (other < HALF),
        "last bits of the scalars": scalar & 1 == other & 1,
        "first bits of the nonces": nonce[0] >> 7 == other_nonce[0] >> 7,
        "distance of the scalars": (other - scalar) % N < HALF,
    }


def play(games: int, seed: object, blinding: bool = True) -> tuple[dict[str, Game], int, int]:
    """(games by guess, pairs of session and token that fit, pairs)"""
    dice = random.Random(f"tokens {seed}")
    secret = blind.even_secret(dice.randrange(1, N))
    found: dict[str, Game] = {}
    fitting = 0
    for _ in range(games):
        pair = [Transcript(secret, dice, blinding) for _ in range(2)]
        world = coin(dice)
        token = pair[0] if world else pair[1]
        fitting += fits(pair[0], token) + fits(pair[1], token)
        for name, yes in guesses(pair[0], token).items():
            found.setdefault(name, Game()).hear(world, yes)
    return found, fitting, 2 * games


def rows(found: dict[str, Game], fitting: int, pairs: int) -> list[Row]:
    made = [Row("sessions that fit a token, of all", f"{fitting:,} of {pairs:,}", "all", fitting == pairs)]
    for name, game in found.items():
        low, high = game.interval()
        made.append(Row(f"linking tokens to sessions by {name}", str(game), "interval holds 0", low <= 0 <= high))
    return made
