"""A second implementation of Tessera Relay, for test vectors and nothing else.

Written from firmware/PROTOCOL.md alone: it shares no code with firmware/tessera, and its sections are the page's.
Speed and side channels do not matter here, so every function is the shortest true transcription of its sentence.
Curve, ciphers and X25519 come from coincurve and cryptography; the noise table uses integers and fractions only.
"""

import base64
import hashlib
import hmac as hmac_module
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import cbor2
from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from mnemonic import Mnemonic

# --- 1. Notation and primitives ---------------------------------------------------------------------------------------

N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NO_AUX = bytes(32)  # vectors must not depend on fresh randomness, so BIP-340's auxiliary input is zero throughout


def u8(value: int) -> bytes:
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def u128(value: int) -> bytes:
    return value.to_bytes(16, "big")


def scalar(value: int) -> bytes:
    """A number modulo n as 32 bytes, the form every secret has here."""
    return (value % N).to_bytes(32, "big")


def integer(data: bytes) -> int:
    return int.from_bytes(data, "big")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tagged(tag: bytes, data: bytes) -> bytes:
    return sha256(sha256(tag) + sha256(tag) + data)


def H(name: str, data: bytes) -> bytes:
    return tagged(b"tessera/1/" + name.encode(), data)


def hmac(key: bytes, data: bytes) -> bytes:
    return hmac_module.digest(key, data, "sha256")


def hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    return HKDFExpand(algorithm=hashes.SHA256(), length=length, info=info).derive(prk)


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    return hkdf_expand(hmac(salt or bytes(32), ikm), info, length)


def cut(data: bytes, *sizes: int) -> list[bytes]:
    """`data` split into fields of these sizes, as in `a(32) ‖ b(16) = …`; nothing may be left over."""
    if sum(sizes) != len(data):
        raise ValueError("sizes do not add up")
    return [data[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]


def point(secret: bytes) -> bytes:
    return PrivateKey(secret).public_key.format()


def even_secret(secret: bytes) -> bytes:
    """The secret of the same x coordinate whose point has even y: what an x-only key's owner computes with."""
    return secret if point(secret)[0] == 2 else scalar(-integer(secret))


def x_only(secret: bytes) -> bytes:
    return point(secret)[1:]


def lift_x(x: bytes) -> bytes:
    return b"\x02" + x


def add(*points: bytes) -> bytes:
    return PublicKey.combine_keys([PublicKey(p) for p in points]).format()


def multiply(secret: bytes, base: bytes) -> bytes:
    return PublicKey(base).multiply(secret).format()


def dh(secret: bytes, other: bytes) -> bytes:
    return sha256(multiply(secret, other))


def sign(secret: bytes, digest: bytes) -> bytes:
    return PrivateKey(secret).sign_schnorr(digest, NO_AUX)


def verify(key: bytes, digest: bytes, signature: bytes) -> bool:
    """BIP-340; a key that is no x coordinate of the curve verifies nothing."""
    try:
        return PublicKeyXOnly(key).verify(signature, digest)
    except ValueError:
        return False


def aes_cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def aes_ecb(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # one block, as a pseudo-random permutation
    return encryptor.update(block) + encryptor.finalize()


def pkcs7(data: bytes) -> bytes:
    missing = 16 - len(data) % 16
    return data + bytes([missing]) * missing


def cbc_hmac(key: bytes, iv: bytes, aad: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
    """AEAD_AES_128_CBC_HMAC_SHA_256 with an explicit IV (RFC 7518 §5.2.3): ciphertext and tag."""
    mac_key, enc_key = cut(key, 16, 16)
    ciphertext = aes_cbc(enc_key, iv, pkcs7(plaintext))
    return ciphertext, hmac(mac_key, aad + iv + ciphertext + u64(8 * len(aad)))[:16]


def seal_iv(key: bytes, counter: int) -> bytes:
    return aes_ecb(key[16:], u128(counter))


def seal(key: bytes, counter: int, aad: bytes, plaintext: bytes) -> bytes:
    ciphertext, tag = cbc_hmac(key, seal_iv(key, counter), aad, plaintext)
    return ciphertext + tag


class HmacDrbg:
    """HMAC_DRBG with SHA-256 (SP 800-90A §10.1.2), without additional input."""

    def __init__(self, entropy: bytes, nonce: bytes, personalization: bytes) -> None:
        self.key, self.value = bytes(32), b"\x01" * 32
        self.update(entropy + nonce + personalization)

    def update(self, data: bytes) -> None:
        # The second pass happens only when there is data (step 3 of HMAC_DRBG_Update).
        for step in (b"\x00", b"\x01") if data else (b"\x00",):
            self.key = hmac(self.key, self.value + step + data)
            self.value = hmac(self.key, self.value)

    def reseed(self, entropy: bytes) -> None:
        self.update(entropy)

    def generate(self, length: int) -> bytes:
        output = b""
        while len(output) < length:
            self.value = hmac(self.key, self.value)
            output += self.value
        self.update(b"")
        return output[:length]


# --- 2. Parameters ----------------------------------------------------------------------------------------------------

DELIVERY, DAY, CONSTANT = 1, 2, 3  # kinds of cover


@dataclass(frozen=True)
class Relay:
    """What a set says of one relay; `column` is its epoch keys, joined."""

    id: int
    static_key: bytes
    ledger_key: bytes
    column: bytes


@dataclass(frozen=True)
class Parameters:
    """The fields of a set; what is a count, a hash or sealed follows from them."""

    serial: int
    federation_id: bytes
    root_key: bytes
    previous: bytes
    genesis: int
    round_seconds: int
    epoch_rounds: int
    retention_epochs: int
    log2_buckets: int
    members: int
    tokens_per_epoch: int
    posts_per_token: int
    ahead: int
    cover: int
    constant: int
    epsilon: int
    delta: int
    deliveries: int
    generation: int
    first_epoch: int
    epochs: int
    access_key: bytes
    reading_key: bytes
    said: bytes
    day_epsilon: int
    day_delta: int
    ephemeral_secret: bytes
    guest_access_keys: Sequence[bytes]
    thresholds: Sequence[int]
    relays: Sequence[Relay]

    def encode_time(self) -> bytes:
        return u64(self.genesis) + u16(self.round_seconds) + u16(self.epoch_rounds) + u8(self.retention_epochs)

    def encode_limits(self) -> bytes:
        limits = u8(self.log2_buckets) + u32(self.members) + u8(self.tokens_per_epoch) + u16(self.posts_per_token)
        return limits + u8(self.ahead)

    def encode_cover(self) -> bytes:
        kind = u8(self.cover) + u16(len(self.thresholds)) + u32(self.constant)
        return kind + u32(self.epsilon) + u64(self.delta) + u16(self.deliveries)

    def encode_schedule(self) -> bytes:
        schedule = u32(self.generation) + u32(self.first_epoch) + u16(self.epochs)
        return schedule + u8(len(self.relays)) + u8(len(self.guest_access_keys)) + u8(0)

    def head(self, rest: bytes | None = None) -> bytes:
        """The 176 bytes that the digest is of; over another rest than this set's, if one is given."""
        start = b"TPR2" + u32(self.serial) + self.federation_id + self.root_key + self.previous
        start += H("params-rest", self.rest() if rest is None else rest)
        return start + self.encode_time() + self.encode_limits() + self.encode_cover() + self.encode_schedule()

    def reading_hash(self) -> bytes:
        return H("reading-key", self.reading_key)

    def sealed(self, relay: Relay) -> bytes:
        """The reading key for one relay."""
        shared = dh(self.ephemeral_secret, relay.static_key)
        key = reading_seal_key(shared, self.federation_id, self.serial, relay.id)
        return seal(key, 0, self.reading_hash(), self.reading_key)

    def encode_relay(self, relay: Relay) -> bytes:
        return u16(relay.id) + relay.static_key + relay.ledger_key + column_hash(relay.column) + self.sealed(relay)

    def rest(self) -> bytes:
        keys = self.access_key + self.reading_hash() + H("federation-card", self.said)
        keys += u32(self.day_epsilon) + u64(self.day_delta) + point(self.ephemeral_secret)
        lists = b"".join(self.guest_access_keys) + b"".join(map(u64, self.thresholds))
        return keys + lists + b"".join(map(self.encode_relay, self.relays))

    def columns(self) -> bytes:
        return b"".join(relay.column for relay in self.relays)


def params_digest(head: bytes) -> bytes:
    return H("params", head)


def column_hash(column: bytes) -> bytes:
    return H("epoch-keys", column)


def reading_seal_key(shared: bytes, federation_id: bytes, serial: int, relay_id: int) -> bytes:
    return hkdf(b"", shared, b"reading-key" + federation_id + u32(serial) + u16(relay_id), 32)


def sign_params(root_secret: bytes, head: bytes, tail: bytes) -> bytes:
    """A set; `tail` is its rest and columns."""
    return head + sign(root_secret, params_digest(head)) + tail


def whole_set(root_secret: bytes, p: Parameters) -> bytes:
    return sign_params(root_secret, p.head(), p.rest() + p.columns())


def relays_copy(root_secret: bytes, p: Parameters, relay: Relay) -> bytes:
    return sign_params(root_secret, p.head(), p.rest() + relay.column)


def pages_needed(p: Parameters) -> int:
    """The smallest ring, in pages, these parameters are valid on."""
    return p.members * p.tokens_per_epoch * p.posts_per_token * (p.retention_epochs + 1) + 32


def largest_cell(p: Parameters) -> int:
    """Records of one cell, if every post of an epoch comes into it."""
    if p.cover == CONSTANT:
        return 2 * p.constant
    return p.members * p.tokens_per_epoch * p.posts_per_token + len(p.thresholds)


def takes_effect(p: Parameters, open_epoch: int) -> int:
    """The first epoch that a set taken in this epoch governs."""
    return max(p.first_epoch, open_epoch + 1)


def time_statement(root_secret: bytes, federation_id: bytes, unix_seconds: int) -> bytes:
    unsigned = b"TTM1" + federation_id + u64(unix_seconds)
    return unsigned + sign(root_secret, H("time", unsigned))


# --- 4. Channel -------------------------------------------------------------------------------------------------------

NOISE_NAME = b"Noise_NKpsk0_secp256k1_AES128CBCHMAC_SHA256"


def noise_hkdf(chaining_key: bytes, ikm: bytes, outputs: int) -> list[bytes]:
    """HKDF as Noise §4.3 defines it, written out with HMAC because Noise does."""
    temporary, result = hmac(chaining_key, ikm), [b""]
    for i in range(1, outputs + 1):
        result.append(hmac(temporary, result[-1] + u8(i)))
    return result[1:]


class Symmetric:
    """Noise §5.2, SymmetricState; `trace` keeps h and ck after every token, so a failing port sees where it parts."""

    def __init__(self, name: bytes) -> None:
        self.h = self.ck = sha256(name)  # the name is longer than 32 bytes
        self.k, self.n = b"", 0
        self.trace: list[dict[str, Any]] = []

    def mix_hash(self, data: bytes) -> None:
        self.h = sha256(self.h + data)

    def mix_key(self, ikm: bytes) -> None:
        self.ck, self.k = noise_hkdf(self.ck, ikm, 2)
        self.n = 0

    def mix_key_and_hash(self, ikm: bytes) -> None:
        self.ck, digest, self.k = noise_hkdf(self.ck, ikm, 3)
        self.n = 0
        self.mix_hash(digest)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = seal(self.k, self.n, self.h, plaintext)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def mix_ephemeral(self, key: bytes) -> None:
        # In a psk pattern `e` goes into the key too (Noise §9.2): nothing is ever sealed under the psk alone.
        self.mix_hash(key)
        self.mix_key(key)

    def note(self, after: str) -> None:
        self.trace.append({"after": after, "h": self.h, "ck": self.ck, "k": self.k})


@dataclass(frozen=True)
class Handshake:
    message_1: bytes
    message_2: bytes
    hello_mac: bytes
    c1: bytes
    c2: bytes
    k1: bytes
    k2: bytes
    handshake_hash: bytes
    trace: list[dict[str, Any]]


def hello_mac(access_key: bytes, nonce: bytes, first: bytes) -> bytes:
    return hmac(access_key, b"hello" + nonce + first)[:16]


def noise_start(access_key: bytes, static_key: bytes, nonce: bytes) -> Symmetric:
    state = Symmetric(NOISE_NAME)
    state.note("name")
    state.mix_hash(b"tessera/1" + nonce)
    state.note("prologue")
    state.mix_hash(static_key)
    state.note("<- s")
    state.mix_key_and_hash(access_key)
    state.note("-> psk")
    return state


def noise_message(state: Symmetric, arrow: str, ephemeral_key: bytes, shared: bytes) -> bytes:
    """One `e, es` or `e, ee` with an empty payload: what both messages have in common."""
    state.mix_ephemeral(ephemeral_key)
    state.note(arrow + " e")
    state.mix_key(shared)
    state.note(arrow + (" es" if arrow == "->" else " ee"))
    sealed = state.encrypt_and_hash(b"")
    state.note(arrow + " payload")
    return sealed


def handshake(access_key: bytes, static_secret: bytes, nonce: bytes, client: bytes, relay: bytes) -> Handshake:
    """A full handshake seen from both ends; `client` and `relay` are the ephemeral secrets."""
    e, re = point(client), point(relay)
    state = noise_start(access_key, point(static_secret), nonce)
    c1 = noise_message(state, "->", e, dh(client, point(static_secret)))
    c2 = noise_message(state, "<-", re, dh(relay, e))
    k1, k2 = noise_hkdf(state.ck, b"", 2)
    mac = hello_mac(access_key, nonce, e)
    return Handshake(e + mac + c1, re + c2, mac, c1, c2, k1, k2, state.h, state.trace)


def resumption_step(secret: bytes) -> list[bytes]:
    """id_j, key_j and secret_{j+1}."""
    return cut(hkdf_expand(secret, b"resume", 80), 16, 32, 32)


@dataclass(frozen=True)
class Resumption:
    r: bytes
    hello_mac: bytes
    proof: bytes
    accept: bytes
    message_1: bytes
    message_2: bytes
    k1: bytes
    k2: bytes


def resume(
    access_key: bytes, nonce: bytes, identity: bytes, key: bytes, client_random: bytes, relay_random: bytes
) -> Resumption:
    r = b"\x00" + identity + client_random
    mac, proof = hello_mac(access_key, nonce, r), hmac(key, b"proof" + nonce + r)
    accept = hmac(key, b"accept" + nonce + r + relay_random)
    k1, k2 = cut(hkdf(nonce, key, b"keys" + r + relay_random, 64), 32, 32)
    return Resumption(r, mac, proof, accept, r + mac + proof, relay_random + accept, k1, k2)


def transport(key: bytes, number: int, plaintext: bytes) -> bytes:
    return seal(key, number, u64(number), plaintext)


# --- 5. Frames --------------------------------------------------------------------------------------------------------

SMALL, LARGE = 255, 1023  # bytes of plaintext


def pad(data: bytes, size: int) -> bytes:
    if len(data) > size:
        raise ValueError("too long")
    return data.ljust(size, b"\x00")


def frame(kind: int, body: bytes = b"", size: int = SMALL) -> bytes:
    return pad(u8(kind) + body, size)


def cell_frames(round_: int, batch: Sequence[bytes]) -> list[bytes]:
    """The CELL frames of one sealed batch; an empty batch is one frame too."""
    return [
        pad(
            pad(u8(0x84) + u32(round_) + u16(len(batch)) + u16(offset) + u8(len(batch[offset : offset + 4])), 63)
            + b"".join(batch[offset : offset + 4]),
            LARGE,
        )
        for offset in range(0, max(1, len(batch)), 4)
    ]


def reading_proof(reading_key: bytes, handshake_hash: bytes) -> bytes:
    """What FETCH shows."""
    return hmac(reading_key, b"read" + handshake_hash)[:16]


# --- 6. Admission -----------------------------------------------------------------------------------------------------

OPERATOR = 0xFFFFFFFF  # the epoch that AUTH names for the operator


def cohorts(members: int) -> int:
    """The smallest power of two that gives cohorts of 16,384 members at most; but 64 at most."""
    return min(64, 1 << (-(-members // 16384) - 1).bit_length())


def cohort_of(federation_id: bytes, member_key: bytes, members: int) -> int:
    return integer(H("cohort", federation_id + member_key)[:2]) % cohorts(members)


def raw_epoch_secret(
    master: bytes, federation_id: bytes, generation: int, epoch: int, relay_id: int, static_key: bytes, cohort: int
) -> bytes:
    """k_{e,j,c} before it is negated for an even K_{e,j,c}."""
    info = federation_id + u32(generation) + u32(epoch) + u16(relay_id) + static_key
    return scalar(integer(hkdf(b"", master, info + (u8(cohort) if cohort else b""), 48)))


def epoch_secret(
    master: bytes, federation_id: bytes, generation: int, epoch: int, relay_id: int, static_key: bytes, cohort: int
) -> bytes:
    return even_secret(raw_epoch_secret(master, federation_id, generation, epoch, relay_id, static_key, cohort))


def operator_message(federation_id: bytes, relay_key: bytes, handshake_hash: bytes) -> bytes:
    return H("operator", federation_id + relay_key + handshake_hash)


def token_message(federation_id: bytes, epoch: int, relay_key: bytes, token_key: bytes) -> bytes:
    return H("token", federation_id + u32(epoch) + relay_key + token_key)


def blind_nonce(nonce_point: bytes, alpha: bytes, beta: bytes, epoch_key: bytes) -> bytes:
    return add(nonce_point, point(alpha), multiply(beta, lift_x(epoch_key)))


def challenge(blinded_nonce: bytes, epoch_key: bytes, message: bytes) -> bytes:
    """c'_i, the challenge BIP-340 itself would compute for the finished signature."""
    return scalar(integer(tagged(b"BIP0340/challenge", blinded_nonce[1:] + epoch_key + message)))


def scalar_sum(a: bytes, b: bytes) -> bytes:
    return scalar(integer(a) + integer(b))


def issuer_answer(nonce: bytes, blinded_challenge: bytes, secret: bytes) -> bytes:
    return scalar(integer(nonce) + integer(blinded_challenge) * integer(secret))


def answer_is_right(s: bytes, nonce_point: bytes, blinded_challenge: bytes, epoch_key: bytes) -> bool:
    return point(s) == add(nonce_point, multiply(blinded_challenge, lift_x(epoch_key)))


def session_message(handshake_hash: bytes) -> bytes:
    return H("session", handshake_hash)


def token_id(token_key: bytes) -> bytes:
    return H("token-id", token_key)[:8]


# --- 7. Records -------------------------------------------------------------------------------------------------------


def epoch_step(root: bytes) -> list[bytes]:
    """root_{e+1} and chain_{e,0}."""
    return cut(hkdf_expand(root, b"epoch", 64), 32, 32)


def chain_step(chain: bytes) -> list[bytes]:
    """key_i, tag_i, seed_i and chain_{e,i+1}."""
    return cut(hkdf_expand(chain, b"step", 104), 32, 8, 32, 32)


def blind_tweak(seed: bytes, epoch: int, index: int) -> bytes:
    return scalar(integer(H("blind", seed + u32(epoch) + u32(index))))


def blinded_secret(secret: bytes, tweak: bytes) -> bytes:
    return scalar_sum(even_secret(secret), tweak)


def blinded_point(public_key: bytes, tweak: bytes) -> bytes:
    return add(lift_x(public_key), point(tweak))


def record_head(message: int, part: int, parts: int, kind: int, payload: bytes) -> bytes:
    return u32(message) + u8(part) + u8(parts) + u8(kind) + u8(len(payload))


def plaintext(head: bytes, payload: bytes) -> bytes:
    """Of a part that is not the last."""
    return head + pad(payload, 208)


def last_plaintext(head: bytes, received: int, seen: bytes, payload: bytes, signature: bytes) -> bytes:
    return head + u32(received) + seen + pad(payload, 136) + signature


def view(seed: bytes, digest: bytes) -> bytes:
    return hmac(seed, b"view" + digest)[:4]


def contents(payloads: list[bytes]) -> bytes:
    return H("contents", b"".join(u8(len(payload)) + payload for payload in payloads))


def signed_message(
    place: tuple[int, int, bytes], message: int, parts: int, kind: int, received: int, seen: bytes, hashed: bytes
) -> bytes:
    """What a message's signature is over; `place` is epoch, index and tag of the record with its last part."""
    epoch, index, tag = place
    fields = u32(message) + u8(parts) + u8(kind) + u32(received) + seen + hashed
    return H("record", u32(epoch) + u32(index) + tag + fields)


def record(key: bytes, tag: bytes, plaintext: bytes) -> bytes:
    return tag + AESGCMSIV(key).encrypt(bytes(12), plaintext, tag)


def bucket(mailbox_id: bytes, buckets: int) -> int:
    return integer(H("bucket", mailbox_id)[:2]) % buckets


# --- 8. Cover traffic -------------------------------------------------------------------------------------------------


def exp_bounds(x: Fraction, bits: int) -> tuple[int, int]:
    """Integers lo < e^x · 2^bits < hi, for 0 < x ≤ 2: the Taylor sum, and that plus a bound of the rest."""
    total, term, k = Fraction(0), Fraction(1), 0
    while term * 2**bits >= 1 or k < 8:
        total, k = total + term, k + 1
        term = term * x / k
    # From here on each term is at most half the one before it, so the rest is at most twice the first of them.
    return int(total * 2**bits), int((total + 2 * term) * 2**bits) + 1


def alpha_powers(epsilon: Fraction, count: int, bits: int) -> tuple[list[int], list[int]]:
    """Bounds of α^0 … α^(count-1) in units of 2^-bits, every product rounded outwards."""
    e_low, e_high = exp_bounds(epsilon, bits)
    low, high = [1 << bits], [1 << bits]
    for _ in range(1, count):
        low.append((low[-1] << bits) // e_high)
        high.append(-(-(high[-1] << bits) // e_low))
    return low, high


def meets_delta(low: list[int], high: list[int], mu: int, delta: Fraction) -> bool:
    """Whether δ(µ) ≤ δ by the formula; both bounds have to agree."""
    one = low[0]
    most = Fraction((one - low[1]) * high[mu], (one + low[1] - 2 * high[mu + 1]) * one)
    least = Fraction((one - high[1]) * low[mu], (one + high[1] - 2 * low[mu + 1]) * one)
    if (most <= delta) != (least <= delta):
        raise ArithmeticError("more bits are needed")
    return most <= delta


def smallest_mu(epsilon: Fraction, delta: Fraction) -> int:
    low, high = alpha_powers(epsilon, 1002, 512)
    return next(mu for mu in range(1, 1001) if meets_delta(low, high, mu, delta))


def cumulative(powers: list[int], mu: int) -> list[int]:
    sums = [0]
    for k in range(2 * mu + 1):
        sums.append(sums[-1] + powers[abs(k - mu)])
    return sums[1:]


def thresholds(epsilon: Fraction, mu: int, bits: int = 256) -> list[int]:
    """T_0 … T_{2µ-1}; doubles the precision until the bounds of every probability have the same floor."""
    low, high = (cumulative(powers, mu) for powers in alpha_powers(epsilon, mu + 1, bits))
    floors = [(c << 64) // high[-1] for c in low[:-1]]
    if floors == [(c << 64) // low[-1] for c in high[:-1]]:
        return floors
    return thresholds(epsilon, mu, 2 * bits)


def e_lower(epsilon: Fraction) -> Fraction:
    """E: e^ε rounded down to 80 binary places (160 are computed, so that the floor is the true one)."""
    low, high = exp_bounds(epsilon, 160)
    if low >> 80 != high >> 80:
        raise ArithmeticError("more bits are needed")
    return Fraction(low >> 80, 1 << 80)


def table_delta(table: Sequence[int], e: Fraction) -> Fraction:
    """δ_table of the integers that are drawn from, whatever formula made them."""
    edges = [0, *table, 1 << 64]
    w = [0, *(b - a for a, b in pairwise(edges)), 0]  # w_{-1} … w_{2µ+1}
    pairs = list(pairwise(w))
    up = sum(max(Fraction(0), this - e * before) for before, this in pairs)
    down = sum(max(Fraction(0), before - e * this) for before, this in pairs)
    return Fraction(max(up, down)) / 2**64


def noise_table(epsilon: Fraction, delta: Fraction) -> tuple[list[int], Fraction]:
    """Thresholds and δ_table for the smallest µ whose table, not only whose formula, meets δ."""
    mu, e = smallest_mu(epsilon, delta), e_lower(epsilon)
    while table_delta(thresholds(epsilon, mu), e) > delta:
        mu += 1
    table = thresholds(epsilon, mu)
    return table, table_delta(table, e)


def sample(table: Sequence[int], draw: int) -> int:
    return sum(threshold <= draw for threshold in table)


def next_cover_state(state: bytes, random: bytes) -> bytes:
    return H("cover-ratchet", state + random)


def cover_key(state: bytes) -> bytes:
    return H("cover-key", state)


def noise_draw(key: bytes, bucket_: int, round_: int) -> int:
    return integer(hmac(key, b"noise" + u16(bucket_) + u32(round_))[:8])


def dummy(key: bytes, bucket_: int, round_: int, j: int) -> bytes:
    return aes_cbc(hmac(key, b"cover" + u16(bucket_) + u32(round_)), u128(j), bytes(240))


def dummies(key: bytes, bucket_: int, round_: int, noise: int) -> list[bytes]:
    return [dummy(key, bucket_, round_, j) for j in range(noise)]


def constant_noise(constant: int, real: int) -> int:
    """N of a cell of a constant batch."""
    if real > constant:
        raise ValueError("FAULT: no such cell comes about")
    return constant - real


def replacement(key: bytes, bucket_: int, round_: int, page_index: int) -> bytes:
    """What a batch has in the place of a page that cannot be read any more."""
    return dummy(key, bucket_, round_, (1 << 27) + page_index)


# --- 10. Flash --------------------------------------------------------------------------------------------------------


def page_keys(page_key: bytes) -> list[bytes]:
    """enc and mac_key."""
    return cut(hkdf_expand(page_key, b"page", 64), 32, 32)


def page_mac(mac_key: bytes, page_index: int, head: bytes, record_: bytes) -> bytes:
    return hmac(mac_key, u32(page_index) + head + record_)[:6]


def page_head(seq: int, copy: bool, round_: int, bucket_: int) -> bytes:
    """The first 10 bytes of a page's header; the MAC is the other six."""
    return u32(copy << 31 | seq) + u32(round_) + u16(bucket_)


def key_ring_page(generation: int, page_index: int, kind: int, body: bytes) -> bytes:
    content = u32(generation) + u8(kind) + u8(len(body)) + u16(0) + pad(body, 232)
    return content + H("keyring", u32(page_index) + content)[:16]


# --- 11. Checkpoints --------------------------------------------------------------------------------------------------


def cover_commitment(key: bytes) -> bytes:
    return H("cover-commit", key)


def checkpoint_link(checkpoint: bytes) -> bytes:
    return H("checkpoint-link", checkpoint)


def sign_checkpoint(ledger_secret: bytes, unsigned: bytes) -> bytes:
    return unsigned + sign(ledger_secret, H("checkpoint", unsigned))


def firmware_digest(files: dict[str, bytes]) -> bytes:
    """`files` maps a name to its content; order of name is order of the encoded bytes."""
    names = sorted((name.encode(), content) for name, content in files.items())
    return sha256(b"".join(u8(len(name)) + name + u32(len(content)) + content for name, content in names))


# --- 12. Cards and contacts -------------------------------------------------------------------------------------------


def canonical(fields: dict[str, Any]) -> bytes:
    """RFC 8949 §4.2.1. cbor2 sorts by length first; for text keys below 24 bytes that is the same order."""
    return cbor2.dumps(fields, canonical=True)


def without_sig(fields: dict[str, Any]) -> bytes:
    return canonical({name: value for name, value in fields.items() if name != "sig"})


def card(kind: str, payload: bytes) -> str:
    checked = payload + H("card", kind.encode() + payload)[:4]
    return f"tessera:{kind}:{base64.urlsafe_b64encode(checked).rstrip(b'=').decode()}"


def mailbox_order(kind: str, mailbox_id: bytes, home: int, ids: Sequence[int]) -> list[int]:
    if kind == "ring":
        return [*(i for i in range(home, 0x10000) if i in ids), *(i for i in range(home) if i in ids)]
    by_hash = {integer(H("fallback", mailbox_id + u16(i))): i for i in ids if i != home}
    return [home] * (home in ids) + [by_hash[number] for number in sorted(by_hash)[::-1]]


def member_message(federation_id: bytes, key: bytes, name: str) -> bytes:
    return H("member", federation_id + key + name.encode())


def sealed_reading_keys(
    ephemeral_secret: bytes, federation_id: bytes, member_key: bytes, keys: Sequence[bytes]
) -> list[bytes]:
    """`sealed` of a `reading` card."""
    shared = dh(ephemeral_secret, lift_x(member_key))
    key = hkdf(b"", shared, b"reading-key" + federation_id + member_key, 32)
    return [seal(key, i, H("reading-key", reading), reading) for i, reading in enumerate(keys)]


def x25519_public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def x25519(secret: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))


def contact_commit(x_a: bytes, nonce: bytes) -> bytes:
    return H("contact-commit", x_a + nonce)


def contact_t1(invite: bytes, answer_without_sig: bytes) -> bytes:
    return H("contact-answer", invite + answer_without_sig)


def contact_t2(t1: bytes, answer_sig: bytes, x_a: bytes, nonce: bytes) -> bytes:
    return H("contact-confirm", t1 + answer_sig + x_a + nonce)


def contact_roots(t2: bytes, shared: bytes) -> list[bytes]:
    """root_{A→B} and root_{B→A}."""
    return cut(hkdf(t2, shared, b"roots", 64), 32, 32)


def contact_words(t2: bytes, digest: bytes) -> list[str]:
    bits = integer(H("contact-words", t2 + digest)) >> (256 - 66)
    wordlist = Mnemonic("english").wordlist
    return [wordlist[bits >> shift & 2047] for shift in range(55, -1, -11)]


# --- 14. Code updates -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """The fields of a release, named as in the page."""

    federation_id: bytes
    version: int
    kind: int
    board: str
    artifact_bytes: int
    sha256: bytes
    firmware_digest: bytes
    base: bytes

    def encode(self) -> bytes:
        board = self.board.encode("ascii")
        head = b"TRL1" + self.federation_id + u32(self.version) + u8(self.kind) + u8(len(board)) + board
        return head + u32(self.artifact_bytes) + self.sha256 + self.firmware_digest + self.base


def sign_release(root_secret: bytes, body: bytes) -> bytes:
    return body + sign(root_secret, H("release", body))


# --- 15. The issuer's service -----------------------------------------------------------------------------------------

ANSWER_BLOCK = 4096  # answers to JOIN, HELLO and CARD are a multiple of it


def member_channel_message(federation_id: bytes, handshake_hash: bytes, key: bytes) -> bytes:
    return H("member-channel", federation_id + handshake_hash + key)


def sets_beside(digest: bytes, since: int, before: Sequence[tuple[int, bytes]]) -> dict[str, object]:
    """The newest set's digest, the first epoch that it governs, and (first epoch, set) of each of the others."""
    return {"digest": digest, "since": since, "before": [list(each) for each in before]}


def welcome(card_text: str, sets: dict[str, object], reading_keys: Sequence[bytes], time: bytes) -> bytes:
    return canonical({"card": card_text, "reading": list(reading_keys), "time": time} | sets)


def padded_answer(message: bytes) -> bytes:
    return pad(message, -(-len(message) // ANSWER_BLOCK) * ANSWER_BLOCK)


def service_frames(kind: int, message: bytes) -> list[bytes]:
    """A message as its frames, in plaintext."""
    total = u8(kind) + u32(len(message))
    pieces = [message[at : at + 240] for at in range(0, max(1, len(message)), 240)]
    return [pad(total + u16(i) + u8(len(piece)) + piece, SMALL) for i, piece in enumerate(pieces)]
