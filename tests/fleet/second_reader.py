"""A second reader of a fleet's log, written from docs/fleet.md §3, §4 and §6 alone: it shares nothing with
host/tessera_host/fleet. AES-256-GCM-SIV is that of tests/core/gcm_siv.py, everything else the second implementation's.
"""

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from gcm_siv import unseal
from tools.spec.reference import H, cut, dh, hkdf, hmac, integer, seal, u8, u32, u64

FRAME = 300
KINDS = ["VOID", "PLACE", "RECORD", "FLAGS", "PARAMS", "CHECKPOINT", "EPOCH", "NODE", "TOKENKEY", "SEAL"]  # 1 to 10
SIZES: dict[str, dict[str, int]] = {
    "VOID": {"id": 16},
    "PLACE": {"id": 16, "name": 8, "place": 8},
    "RECORD": {"id": 16, "round": 4, "bucket": 2, "record": 240, "name": 8, "mark": 8},
    "FLAGS": {"what": 1, "epoch": 4},
    "PARAMS": {"object": 16, "number": 2, "length": 2, "data": 279},
    "CHECKPOINT": {"checkpoint": 250},
    "EPOCH": {"object": 16, "number": 2, "length": 2, "data": 279},
    "NODE": {"gateway": 2, "versions": 1, "key": 33},
    "TOKENKEY": {"epoch": 4, "hash": 32},
    "SEAL": {"closes": 4, "opens": 4, "in_time": 1},
}
NUMBERS = {"round", "bucket", "what", "epoch", "number", "length", "gateway", "versions", "closes", "opens", "in_time"}


def frame(data: bytes) -> dict[str, Any]:
    """The fields of a frame, and its kind's name."""
    assert len(data) == FRAME
    kind = KINDS[data[0] - 1]
    sizes = SIZES[kind]
    *fields, padding = cut(data[1:], *sizes.values(), FRAME - 1 - sum(sizes.values()))
    assert not any(padding)
    named: dict[str, Any] = dict(zip(sizes, fields, strict=True))
    return {"kind": kind} | {name: integer(each) if name in NUMBERS else each for name, each in named.items()}


@dataclass
class Read:
    version: int
    epoch: int
    gateway: int
    counter: int
    last: int
    chain: bytes
    frames: list[dict[str, Any]] = field(default_factory=list)


def entry(log_key: bytes, sealed: bytes, quick: bool = False) -> Read:
    """ValueError if it does not open. quick: by the library's AES-GCM-SIV, for thousands of entries."""
    clear, nonce, rest = sealed[:15], sealed[15:27], sealed[27:]
    plain = AESGCMSIV(log_key).decrypt(nonce, rest, clear) if quick else unseal(log_key, nonce, rest, clear)
    version, epoch, gateway, counter = (integer(each) for each in cut(clear, 1, 4, 2, 8))
    last, chain, body = plain[:8], plain[8:40], plain[40:]
    assert len(body) % FRAME == 0
    found = [frame(body[at : at + FRAME]) for at in range(0, len(body), FRAME)]
    return Read(version, epoch, gateway, counter, integer(last), chain, found)


def entry_id(sealed: bytes) -> bytes:
    return H("fleet-entry", sealed)[:16]


def chain(relay_key: bytes, entries: list[bytes], before: bytes = bytes(32)) -> bytes:
    """After these entries, the first of which is at position 1."""
    link = H("fleet-start", relay_key + before)
    for position, sealed in enumerate(entries, 1):
        link = H("fleet-chain", link + u64(position) + sealed)
    return link


def objects(kind: str, frames: list[dict[str, Any]]) -> list[bytes]:
    """The contents of the whole objects of a kind among these frames, in the order of their first pieces."""
    found = []
    of_kind = [each for each in frames if each["kind"] == kind]
    for name in dict.fromkeys(each["object"] for each in of_kind):
        parts = sorted((each["number"], each["data"][: each["length"]]) for each in of_kind if each["object"] == name)
        content = b"".join(part for _, part in parts)
        if H("fleet-object", u8(KINDS.index(kind) + 1) + content)[:16] == name:
            found.append(content)
    return found


def node_name(key: bytes) -> bytes:
    return H("fleet-node", key)[:16]


def epoch_keys(content: bytes, gateway: int, secret: bytes, state: bytes) -> tuple[int, dict[int, bytes], bytes, bytes]:
    """(epoch, names by gateway, its cover state, its log key), as this gateway opens it with its secret and the cover
    state of the epoch before."""
    epoch, commitment, log_hash, ephemeral, count = cut(content[:103], 4, 32, 32, 33, 2)
    rest, names, both = content[103:], {}, b""
    assert len(rest) == 114 * integer(count)
    for at in range(0, len(rest), 114):
        number, name, sealed = cut(rest[at : at + 114], 2, 16, 96)
        names[integer(number)] = name
        if integer(number) == gateway:
            info = b"fleet-epoch" + epoch + number
            key = hkdf(b"", dh(secret, ephemeral), info, 32)
            both = opened(key, content[:101], sealed, 64)
    state = H("cover-ratchet", state + both[:32])
    assert H("cover-commit", H("cover-key", state)) == commitment
    assert H("fleet-log-key", both[32:]) == log_hash
    return integer(epoch), names, state, both[32:]


def opened(key: bytes, aad: bytes, sealed: bytes, length: int) -> bytes:
    """A plaintext of a known length by PROTOCOL §1's seal under counter 0, which is checked by sealing it again."""
    iv = Cipher(algorithms.AES(key[16:]), modes.ECB()).encryptor().update(bytes(16))
    cipher = Cipher(algorithms.AES(key[16:]), modes.CBC(iv)).decryptor()
    plain = cipher.update(sealed[:-16])[:length]
    assert seal(key, 0, aad, plain) == sealed
    return plain


def mark(token_key: bytes, token_id: bytes, round_: int) -> bytes:
    return hmac(token_key, b"round" + token_id + u32(round_))[:8]


def place(token_key: bytes, token_id: bytes) -> bytes:
    return hmac(token_key, b"place" + token_id)[:8]
