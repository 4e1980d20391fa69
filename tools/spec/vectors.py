#!/usr/bin/env python3
"""Makes tests/vectors/*.json from tools/spec/reference.py, which is written from firmware/PROTOCOL.md alone.

    python -m tools.spec.vectors            writes the files
    python -m tools.spec.vectors --check    exits 1 if a committed file differs from what would be written

Inputs are SHA-256 of labels, so two runs, or two people, get identical files. Byte strings are lower-case hex. So are
counters, draws and thresholds (u64, 16 digits), which many JSON readers would round. Rows taken from a publication
(BIP-340, RFC 4231, 5869, 6979, 7518, NIST CAVP) live in the JSON files only: this tool computes them again, insists on
the result, and keeps them.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from tools.spec import reference as ref

VECTORS = Path(__file__).resolve().parents[2] / "tests" / "vectors"
OWN = "tools/spec/vectors.py"
Row = dict[str, Any]
Rows = list[Row]


def require(holds: bool, what: str) -> None:
    """A vector that is not right must not be written."""
    if not holds:
        raise SystemExit(f"{OWN}: {what} does not hold; fix tools/spec/reference.py or the published row")


def data(label: str, size: int = 32) -> bytes:
    """`size` pseudo-random bytes that anyone can make again."""
    blocks = (
        ref.sha256(f"tessera vectors/{label}{f' block {i}' if i else ''}".encode()) for i in range(size // 32 + 1)
    )
    return b"".join(blocks)[:size]


def secret(label: str, odd: bool | None = None) -> bytes:
    """A curve secret; with `odd`, the first of a series whose point has odd (or even) y."""
    series = (ref.scalar(ref.integer(data(f"{label}{f'/try {i}' if i else ''}"))) for i in range(256))
    return next(s for s in series if odd is None or (ref.point(s)[0] == 3) == odd)


def published(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def from_hex(row: Row, *names: str) -> list[bytes]:
    return [bytes.fromhex(row[name]) for name in names]


# --- Published vectors ------------------------------------------------------------------------------------------------


def check_bip340(row: Row) -> None:
    secret_key, key, aux, message, signature = from_hex(
        row, "secret_key", "public_key", "aux_rand", "message", "signature"
    )
    require(ref.verify(key, message, signature) == row["valid"], f"BIP-340 row {row['index']}")
    if secret_key and len(message) == 32:  # coincurve signs 32-byte messages only; it verifies any
        signed = PrivateKey(secret_key).sign_schnorr(message, aux)
        require(signed == signature, f"BIP-340 signature {row['index']}")


def bip340() -> Rows:
    rows: Rows = published("bip340")
    for row in rows:
        check_bip340(row)
    return rows


def hmac() -> Rows:
    rows: Rows = published("hmac")
    for row in rows:
        key, message, mac = from_hex(row, "key", "message", "mac")
        require(ref.hmac(key, message) == mac, row["source"])
    return rows


def hkdf_row(label: str, salt: bytes, info: bytes, length: int) -> Row:
    ikm = data(f"hkdf/{label}")
    prk = ref.hmac(salt or bytes(32), ikm)
    okm = ref.hkdf(salt, ikm, info, length)
    return {"source": OWN, "ikm": ikm, "salt": salt, "info": info, "length": length, "prk": prk, "okm": okm}


def hkdf() -> Rows:
    rows = [row for row in published("hkdf") if row["source"] != OWN]
    for row in rows:
        ikm, salt, info, prk, okm = from_hex(row, "ikm", "salt", "info", "prk", "okm")
        require(ref.hmac(salt or bytes(32), ikm) == prk, row["source"] + " PRK")
        require(ref.hkdf(salt, ikm, info, row["length"]) == okm, row["source"])
    # The protocol's own lengths: a whole number of blocks, and not.
    return rows + [hkdf_row(str(length), b"", b"step", length) for length in (48, 64, 80, 104)]


def check_aead(row: Row) -> None:
    key, iv, aad, plaintext = from_hex(row, "key", "iv", "aad", "plaintext")
    require([*ref.cbc_hmac(key, iv, aad, plaintext)] == from_hex(row, "ciphertext", "tag"), row["source"])


def seal_row(length: int, counter: int) -> Row:
    label = f"aead/{length}/{counter}"
    # The three kinds of aad the channel has: none, a message number, Noise's h.
    aad = (b"", ref.u64(counter), data(label + "/h"))[length % 3]
    key, plaintext = data(label + "/key"), data(label + "/plaintext", length)
    row = {"source": OWN, "key": key, "counter": ref.u64(counter), "iv": ref.seal_iv(key, counter), "aad": aad}
    return row | {"plaintext": plaintext, "sealed": ref.seal(key, counter, aad, plaintext)}


def aead() -> dict[str, Rows]:
    rows: Rows = published("aead")["published"]
    for row in rows:
        check_aead(row)
    counters = (0, 1, 1 << 32, (1 << 64) - 1)
    own = [seal_row(length, counter) for length in (0, 1, 15, 16, 255, 1023) for counter in counters]
    return {"published": rows, "seal": own}


def drbg_outputs(entropy: bytes, nonce: bytes, personalization: bytes, steps: Rows) -> Rows:
    """`steps` replayed, with the output of every generate step put in."""
    generator, replayed = ref.HmacDrbg(entropy, nonce, personalization), []
    for step in steps:
        if "reseed" in step:
            reseed = step["reseed"]
            generator.reseed(bytes.fromhex(reseed) if isinstance(reseed, str) else reseed)
            replayed.append(step)
        else:
            replayed.append({"generate": step["generate"], "output": generator.generate(step["generate"]).hex()})
    return replayed


def drbg_row(label: str, personalization: bytes, steps: Rows) -> Row:
    """A generator as a relay has it: entropy is seed ‖ os.urandom(32), the nonce u32 boots ‖ chip_id."""
    entropy, nonce = data(f"drbg/{label}/entropy", 64), ref.u32(7) + data("drbg/chip_id", 8)
    row = {"source": OWN, "entropy": entropy, "nonce": nonce, "personalization": personalization}
    return row | {"steps": drbg_outputs(entropy, nonce, personalization, steps)}


def drbg() -> Rows:
    rows = [row for row in published("drbg") if row["source"] != OWN]
    for row in rows:
        entropy, nonce, personalization = from_hex(row, "entropy", "nonce", "personalization")
        require(drbg_outputs(entropy, nonce, personalization, row["steps"]) == row["steps"], row["source"])
    odd_lengths: Rows = [{"generate": length} for length in (1, 31, 32, 33, 100)]
    reseeded: Rows = [{"generate": 32}, {"reseed": data("drbg/reseed", 64)}, {"generate": 32}, {"generate": 48}]
    return [
        *rows,
        drbg_row("boot", b"tessera/1/drbg", odd_lengths),
        drbg_row("reseed", b"tessera/1/drbg", reseeded),
        drbg_row("plain", b"", reseeded),
    ]


# --- 8. Cover traffic -------------------------------------------------------------------------------------------------

TABLES = [(epsilon, delta) for epsilon in ("0.05", "0.1", "0.25", "0.5", "1", "2") for delta in ("1e-6", "1e-9")]


@cache
def table(index: int) -> tuple[list[int], Fraction]:
    epsilon, delta = map(Fraction, TABLES[index])
    return ref.noise_table(epsilon, delta)


def fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def noise_table_row(index: int) -> Row:
    (epsilon, delta), (thresholds, exact_delta) = TABLES[index], table(index)
    require(exact_delta <= Fraction(delta) and thresholds == sorted(thresholds), f"noise table {index}")
    row: Row = {"epsilon": epsilon, "delta": delta, "mu": len(thresholds) // 2}
    row |= {"e_lower": fraction(ref.e_lower(Fraction(epsilon))), "exact_delta": fraction(exact_delta)}
    return row | {"thresholds": [f"{threshold:016x}" for threshold in thresholds]}


def noise_table() -> Rows:
    return [noise_table_row(index) for index in range(len(TABLES))]


def draw_rows(index: int) -> Iterator[Row]:
    """Draws at the edges of the table, which no pseudo-random cell ever meets."""
    thresholds = table(index)[0]
    middle = len(thresholds) // 2
    edges = [0, thresholds[0] - 1, thresholds[0], thresholds[middle] - 1, thresholds[middle], thresholds[-1] - 1]
    for draw in (*edges, thresholds[-1], (1 << 64) - 1):
        yield {"table": index, "draw": f"{draw:016x}", "noise": ref.sample(thresholds, draw)}


def cell(key: bytes, bucket: int, round_: int, index: int) -> tuple[Row, list[bytes]]:
    """What a cell's cover key decides: its noise and its dummies."""
    draw = ref.noise_draw(key, bucket, round_)
    noise = ref.sample(table(index)[0], draw)
    row = {"bucket": bucket, "round": round_, "table": index, "draw": f"{draw:016x}", "noise": noise}
    return {"cover_key": key} | row, ref.dummies(key, bucket, round_, noise)


def cell_row(index: int, bucket: int, round_: int) -> Row:
    state = data(f"cover/state/{index}")
    row, cover = cell(ref.cover_key(state), bucket, round_, index)
    ends = {"first_dummy": cover[0] if cover else b"", "last_dummy": cover[-1] if cover else b""}
    return {"cover_state": state} | row | {"dummies": ref.sha256(b"".join(cover))} | ends


def ratchet_rows(epochs: int) -> Iterator[Row]:
    """A chain of states; cover_key and commitment are those of `state`, the epoch before the step."""
    state = data("cover/ratchet")
    for i in range(epochs):
        random, key = data(f"cover/ratchet/random/{i}"), ref.cover_key(state)
        following = ref.next_cover_state(state, random)
        row = {"state": state, "random": random, "next_state": following, "cover_key": key}
        yield row | {"commitment": ref.cover_commitment(key)}
        state = following


def batch_row(label: str, index: int, real: list[bytes], like_dummy: int = 0) -> Row:
    """A sealed batch; the first `like_dummy` real records get the first dummy's first 8 bytes."""
    row, cover = cell(data(f"cover/batch/{label}"), 3, 4711, index)
    real = [cover[0][:8] + r[8:] if i < like_dummy else r for i, r in enumerate(real)]
    batch = sorted(real + cover)
    digest = ref.sha256(b"".join(batch))
    return {"name": label} | row | {"real": real, "count": len(batch), "batch": digest}


def batch_rows() -> Rows:
    records = [data(f"cover/real/{i}", 240) for i in range(40)]
    plain = [
        batch_row(f"{count} real records", index, records[:count])
        for count, index in zip((0, 1, 5, 40), (2, 10, 6, 2), strict=True)
    ]
    return [
        *plain,
        batch_row("two identical real records", 8, [records[0], records[1], records[0]]),
        batch_row("real records and a dummy share 8 bytes", 10, records[:4], like_dummy=3),
    ]


def cover() -> dict[str, Rows]:
    rounds = (0, 1, 288, 0xFFFFFFFF)
    places = [(index, bucket, round_) for index in (1, 2, 8, 10) for bucket in (0, 1, 7, 127) for round_ in rounds]
    return {
        "draws": [row for index in range(len(TABLES)) for row in draw_rows(index)],
        "cells": [cell_row(*place) for place in places],
        "ratchet": list(ratchet_rows(3)),
        "batches": batch_rows(),
    }


# --- 7. Records -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delivery:
    label: str
    index: int
    payload: bytes
    epoch: int = 30
    odd: bool = False
    message: int = 0
    part: int = 0
    parts: int = 1
    kind: int = 1
    before: tuple[bytes, ...] = ()  # payloads of the parts before a last one
    received: int = 0xFFFFFFFF

    @property
    def is_last(self) -> bool:
        return self.part + 1 == self.parts


def chains(root: bytes, index: int) -> Row:
    """root_e to chain_{e,index}, and what lies between."""
    root_next, first = ref.epoch_step(root)
    chain = first
    for _ in range(index):
        chain = ref.chain_step(chain)[3]
    return {"root": root, "root_next": root_next, "chain": first, "chain_index": chain}


def sender_fields(sender: bytes, tweak: bytes) -> Row:
    key, own = ref.x_only(sender), ref.blinded_secret(sender, tweak)
    blinded = ref.blinded_point(key, tweak)
    require(ref.point(own) == blinded, "blinded secret and blinded key belong together")
    row = {"sender_secret": sender, "sender_key": key, "t": tweak}
    return row | {"blinded_secret": own, "blinded_point": blinded, "blinded_key": blinded[1:]}


def signed_fields(d: Delivery, tag: bytes, seed: bytes, sender: Row) -> Row:
    """What a last part says of its message."""
    settings = data(f"record/{d.label}/digest")
    seen, hashed = ref.view(seed, settings), ref.contents([*d.before, d.payload])
    place = d.epoch, d.index, tag
    signed = ref.signed_message(place, d.message, d.parts, d.kind, d.received, seen, hashed)
    signature = ref.sign(sender["blinded_secret"], signed)
    require(ref.verify(sender["blinded_key"], signed, signature), "the message's signature")
    row = {"digest": settings, "received": d.received, "view": seen, "contents": hashed}
    return row | {"signed": signed, "signature": signature}


def sealed_fields(d: Delivery, key: bytes, tag: bytes, said: Row) -> Row:
    plaintext = ref.record_head(d.message, d.part, d.parts, d.kind, d.payload)
    if d.is_last:
        plaintext = ref.last_plaintext(plaintext, d.received, said["view"], d.payload, said["signature"])
    else:
        plaintext = ref.plaintext(plaintext, d.payload)
    record = ref.record(key, tag, plaintext)
    require(len(plaintext) == 216 and len(record) == 240, "the record's size")
    return {"plaintext": plaintext, "record": record}


def record_row(d: Delivery) -> Row:
    row = chains(data(f"record/{d.label}/root"), d.index)
    key, tag, seed, chain_next = ref.chain_step(row["chain_index"])
    sender = sender_fields(secret(f"record/{d.label}/sender", d.odd), ref.blind_tweak(seed, d.epoch, d.index))
    row = {"name": d.label, "epoch": d.epoch, "index": d.index} | row | {"key": key, "tag": tag, "seed": seed}
    row |= {"chain_next": chain_next} | sender
    row |= {"message": d.message, "part": d.part, "parts": d.parts, "kind": d.kind, "length": len(d.payload)}
    said = signed_fields(d, tag, seed, sender) if d.is_last else {}
    return row | {"payload": d.payload} | said | sealed_fields(d, key, tag, said)


def long_message() -> Iterator[Delivery]:
    """One text in three parts, cut where it comes, through characters too; the parts share one chain, and the last one
    is sealed twice."""
    text = ("Der Schlüssel liegt unter dem dritten Blumentopf – nicht unter dem zweiten. " * 6).encode()
    chunks = [text[i : i + 208] for i in range(0, len(text), 208)]
    require(len(chunks) == 3 and len(chunks[-1]) <= 136, "a text of three parts")
    for part, chunk in enumerate(chunks[:-1]):
        yield Delivery("long", 5 + part, chunk, message=7, part=part, parts=3)
    for index in (7, 8):
        yield Delivery("long", index, chunks[-1], message=7, part=2, parts=3, before=tuple(chunks[:-1]))


def record() -> Rows:
    deliveries = [
        Delivery("first", 0, "Grüße".encode()),
        Delivery("second", 1, b"hello", message=1),
        Delivery("index 31, odd sender", 31, b"x", odd=True, message=2),
        Delivery("empty", 0, b"", odd=True),
        Delivery("full", 2, data("record/full", 136), message=0xFFFFFFFF),
        Delivery("continued", 3, "…".encode() * 45, epoch=0, kind=2, message=3),
        Delivery("full, not the last", 2, data("record/full part", 208), message=8, parts=2),
        Delivery("not the last, not full", 3, b"begun", message=9, parts=2),
        Delivery("nothing left for the last", 4, b"", message=9, part=1, parts=2, before=(b"begun",)),
        Delivery("with a receipt", 6, b"later", message=10, received=4711),
        Delivery("with a share", 6, data("record/share") + b"later", message=11, kind=128 | 1),
        Delivery("file", 4, b"\x08note.txt" + b"Thursday at ten", kind=3, message=5),
        Delivery(
            "last part, last epoch",
            4,
            b"end",
            epoch=0xFFFFFFFF,
            part=15,
            parts=16,
            message=4,
            before=tuple(data(f"record/last/{i}", 208) for i in range(15)),
        ),
        *long_message(),
    ]
    rows = [record_row(delivery) for delivery in deliveries]
    require({row["blinded_point"][0] for row in rows} == {2, 3}, "both parities of a blinded key")
    return rows


def bucket() -> Rows:
    mailboxes = [bytes(16), b"\xff" * 16, *(data(f"bucket/{i}", 16) for i in range(6))]
    sizes = [1 << k for k in range(8)]
    return [{"mailbox_id": m, "buckets": n, "bucket": ref.bucket(m, n)} for m in mailboxes for n in sizes]


# --- 6. Admission -----------------------------------------------------------------------------------------------------

MASTER = data("federation/master")
FEDERATION_ID = data("federation/id", 16)
ROOT_SECRET = secret("federation/root")
ACCESS_KEY = data("federation/access_key")
RELAY_SECRETS = [secret(f"federation/relay/{i}") for i in range(2)]
LEDGER_SECRETS = [secret(f"federation/ledger/{i}") for i in range(2)]
NAMES = ("first", "second")  # clauses, in labels


def odd_epoch(odd: bool) -> int:
    """The first epoch whose k_e is (not) negated."""
    return next(e for e in range(99) if (ref.point(ref.raw_epoch_secret(MASTER, FEDERATION_ID, e))[0] == 3) == odd)


def clause(label: str, epoch_key: bytes, message: bytes) -> Row:
    """One of a session's two clauses up to the blinded challenge; α is drawn again until R' has even y."""
    nonce, beta = secret(label + "/nonce"), secret(label + "/beta")
    nonce_point = ref.point(nonce)
    alphas = (secret(f"{label}/alpha/{i}") for i in range(256))
    alpha = next(a for a in alphas if ref.blind_nonce(nonce_point, a, beta, epoch_key)[0] == 2)
    blinded = ref.blind_nonce(nonce_point, alpha, beta, epoch_key)
    inner = ref.challenge(blinded, epoch_key, message)
    row = {"nonce": nonce, "nonce_point": nonce_point, "alpha": alpha, "beta": beta, "blinded_nonce": blinded}
    return row | {"inner_challenge": inner, "challenge": ref.scalar_sum(inner, beta)}


def finish(b: int, chosen: Row, epoch_secret: bytes, message: bytes) -> Row:
    s = ref.issuer_answer(chosen["nonce"], chosen["challenge"], epoch_secret)
    key = ref.x_only(epoch_secret)
    require(ref.answer_is_right(s, chosen["nonce_point"], chosen["challenge"], key), "the issuer's answer")
    signature = chosen["blinded_nonce"][1:] + ref.scalar_sum(s, chosen["alpha"])
    require(ref.verify(key, message, signature), "the token under BIP-340")
    return {"b": b, "s": s, "signature": signature}


def epoch_fields(epoch: int) -> Row:
    raw, own = (f(MASTER, FEDERATION_ID, epoch) for f in (ref.raw_epoch_secret, ref.epoch_secret))
    row = {"master": MASTER, "federation_id": FEDERATION_ID, "epoch": epoch, "raw_epoch_secret": raw}
    return row | {"negated": raw != own, "epoch_secret": own, "epoch_key": ref.x_only(own)}


def token(label: str, epoch: int, b: int, relay: int = 0) -> Row:
    """A whole issuing session."""
    row, own = epoch_fields(epoch), secret(f"token/{label}/A")
    key, relay_key = ref.x_only(own), ref.point(RELAY_SECRETS[relay])
    message = ref.token_message(FEDERATION_ID, epoch, relay_key, key)
    clauses = [clause(f"token/{label}/{name}", row["epoch_key"], message) for name in NAMES]
    row |= {"relay_key": relay_key, "token_secret": own, "token_key": key, "message": message}
    return (
        row
        | {"clauses": clauses}
        | finish(b, clauses[b], row["epoch_secret"], message)
        | {"token_id": ref.token_id(key)}
    )


def proof(row: Row, handshake_hash: bytes) -> Row:
    signed = ref.session_message(handshake_hash)
    signature = ref.sign(row["token_secret"], signed)
    require(ref.verify(row["token_key"], signed, signature), "the session proof")
    return {"handshake_hash": handshake_hash, "session_message": signed, "proof": signature}


def token_rows() -> Rows:
    cases = [("even, b = 0", False, 0), ("even, b = 1", False, 1), ("odd, b = 0", True, 0), ("odd, b = 1", True, 1)]
    rows = [{"name": name} | token(name, odd_epoch(odd), b, relay=b) for name, odd, b in cases]
    return [row | proof(row, data(f"token/{row['name']}/handshake_hash")) for row in rows]


# --- 2. Parameters ----------------------------------------------------------------------------------------------------


def parameters(index: int, epochs: int, relays: int, **fields: Any) -> ref.Parameters:
    """A set on noise table `index`; δ is that of the table, rounded up, as the page asks."""
    thresholds, exact_delta = table(index)
    epsilon = Fraction(TABLES[index][0]) * 1_000_000
    first_epoch: int = fields["first_epoch"]
    keys = [epoch_fields(e)["epoch_key"] for e in range(first_epoch, first_epoch + epochs)]
    pairs = list(zip(RELAY_SECRETS, LEDGER_SECRETS, strict=True))[:relays]
    return ref.Parameters(
        federation_id=FEDERATION_ID, root_key=ref.x_only(ROOT_SECRET), access_key=ACCESS_KEY, thresholds=thresholds,
        epsilon=int(epsilon), delta=-int(-exact_delta * 2**64 // 1), epoch_keys=keys,
        relays=[ref.Relay(ref.point(static), ref.x_only(ledger)) for static, ledger in pairs], **fields,
    )  # fmt: skip


@cache
def parameter_sets() -> dict[str, tuple[int, ref.Parameters]]:
    """Name to table index and set. `typical` and `wide` fit the 848 KiB ring, `wide` to the page."""
    minimal = parameters(
        8, 1, 0, serial=1, genesis=0, round_seconds=1, epoch_rounds=2, retention_epochs=1, buckets=1,
        members=1, tokens_per_epoch=2, posts_per_token=16, first_epoch=0,
    )  # fmt: skip
    small = parameters(
        10, 4, 2, serial=2, genesis=1_750_000_000, round_seconds=2, epoch_rounds=30, retention_epochs=2, buckets=2,
        members=2, tokens_per_epoch=2, posts_per_token=48, first_epoch=0,
    )  # fmt: skip
    typical = parameters(
        2, 30, 2, serial=3, genesis=1_750_000_000, round_seconds=300, epoch_rounds=288, retention_epochs=3, buckets=4,
        members=12, tokens_per_epoch=2, posts_per_token=32, first_epoch=30,
    )  # fmt: skip
    wide = parameters(
        11, 7, 2, serial=0xFFFFFFFF, genesis=1 << 33, round_seconds=65535, epoch_rounds=65535, retention_epochs=14,
        buckets=128, members=7, tokens_per_epoch=2, posts_per_token=16, first_epoch=65000,
    )  # fmt: skip
    return {"minimal": (8, minimal), "small": (10, small), "typical": (2, typical), "wide": (11, wide)}


def params_row(name: str, index: int, p: ref.Parameters) -> Row:
    unsigned, lists = p.encode(), ("thresholds", "relays")
    row: Row = {"name": name, "root_secret": ROOT_SECRET, "table": index}
    row |= {key: value for key, value in vars(p).items() if key not in lists}
    row |= {"mu": p.mu, "epochs": len(p.epoch_keys), "relays": [vars(relay) for relay in p.relays]}
    row |= {"pages_needed": ref.pages_needed(p), "digest": ref.params_digest(unsigned)}
    return row | {"blob": ref.sign_params(ROOT_SECRET, unsigned)}


def resigned(unsigned: bytes) -> bytes:
    return ref.sign_params(ROOT_SECRET, unsigned)


def small_blob() -> bytes:
    return resigned(parameter_sets()["small"][1].encode())


def flipped(blob: bytes, offset: int) -> bytes:
    changed = bytearray(blob)
    changed[offset] ^= 1
    return bytes(changed)


def damaged_sets() -> list[tuple[str, bytes, str]]:
    """Sets whose signature or framing is what is broken."""
    blob, other = small_blob(), secret("params/other root")
    one_more_mu = blob[:119] + ref.u16(parameter_sets()["small"][1].mu + 1) + blob[121:-64]
    return [
        ("signature bit", flipped(blob, -1), "the last bit of the signature is flipped"),
        ("content bit", flipped(blob, 7), "serial changed after signing"),
        ("other signer", ref.sign_params(other, blob[:-64]), "signed by another key than root_key"),
        ("truncated", blob[:-1], "one byte short"),
        ("fixed part only", blob[:128], "ends before the thresholds"),
        ("empty", b"", "no bytes"),
        ("one byte longer", blob + b"\x00", "a byte follows the signature"),
        ("longer and signed", resigned(blob[:-64] + b"\x00"), "a signed byte follows the last relay"),
        ("magic", resigned(b"TPR2" + blob[4:-64]), "unknown version"),
        ("mu and length differ", resigned(one_more_mu), "µ counts one more than there is"),
    ]


OUT_OF_RANGE = [
    ("round_seconds", 0, "at least 1"),
    ("epoch_rounds", 1, "at least 2"),
    ("retention_epochs", 0, "at least 1"),
    ("retention_epochs", 15, "at most 14"),
    ("buckets", 0, "at least 1"),
    ("buckets", 3, "a power of two"),
    ("buckets", 192, "a power of two, at most 128"),
    ("members", 0, "at least 1"),
    ("tokens_per_epoch", 1, "at least 2"),
    ("posts_per_token", 0, "positive"),
    ("posts_per_token", 24, "a multiple of 16"),
    ("posts_per_token", 4096, "at most 4080"),
]


def wrong_lists() -> list[tuple[str, Row, str]]:
    """Lists of a length, or in an order, that no set may have."""
    p = parameter_sets()["small"][1]
    swapped = [*p.thresholds[:4], p.thresholds[5], p.thresholds[4], *p.thresholds[6:]]
    return [
        ("mu 0", {"thresholds": []}, "µ has to be at least 1"),
        ("mu 1001", {"thresholds": [i << 50 for i in range(2002)]}, "µ has to be at most 1000"),
        ("thresholds", {"thresholds": swapped}, "thresholds decrease once"),
        ("epochs 0", {"epoch_keys": []}, "at least one epoch key"),
        ("epochs 401", {"epoch_keys": [p.epoch_keys[0]] * 401}, "at most 400 epoch keys"),
        ("relays 65", {"relays": [p.relays[0]] * 65}, "at most 64 relays"),
    ]


def changed_sets() -> list[tuple[str, bytes, str]]:
    """Sets that break one rule but are signed and have the length they state."""
    fields = [(f"{name} {value}", {name: value}, f"{name} has to be {why}") for name, value, why in OUT_OF_RANGE]
    small = parameter_sets()["small"][1]
    return [
        (name, resigned(replace(small, **changes).encode()), why) for name, changes, why in [*fields, *wrong_lists()]
    ]


def invalid_sets() -> Iterator[Row]:
    seen = {small_blob()}
    for name, blob, why in [*damaged_sets(), *changed_sets()]:
        require(blob not in seen, f"invalid set {name} differs from every other")
        seen.add(blob)
        yield {"name": name, "blob": blob, "why": why}


def time_row(unix: int) -> Row:
    blob, root_key = ref.time_statement(ROOT_SECRET, FEDERATION_ID, unix), ref.x_only(ROOT_SECRET)
    require(ref.verify(root_key, ref.H("time", blob[:28]), blob[28:]), "the time statement's signature")
    row: Row = {"federation_id": FEDERATION_ID, "root_secret": ROOT_SECRET, "root_key": root_key}
    return row | {"unix": unix, "blob": blob}


def invalid_times() -> Rows:
    unix, other = 1_760_000_000, secret("params/other root")
    blob, foreign = (ref.time_statement(ROOT_SECRET, i, unix) for i in (FEDERATION_ID, data("other federation", 16)))
    cases = [
        ("signature bit", flipped(blob, -1), "the last bit of the signature is flipped"),
        ("content bit", flipped(blob, 27), "time changed after signing"),
        ("other federation", foreign, "another federation_id, well signed"),
        ("other signer", ref.time_statement(other, FEDERATION_ID, unix), "signed by another key than root_key"),
        ("truncated", blob[:-1], "one byte short"),
        ("one byte longer", blob + b"\x00", "a byte follows the signature"),
    ]
    return [{"name": name, "blob": bad, "why": why} for name, bad, why in cases]


def params() -> dict[str, Rows]:
    return {
        "sets": [params_row(name, *entry) for name, entry in parameter_sets().items()],
        "invalid": list(invalid_sets()),
        "time_statements": [time_row(unix) for unix in (0, 1_760_000_000, 1 << 33)],
        "invalid_time_statements": invalid_times(),
    }


# --- 4. Channel, 5. Frames --------------------------------------------------------------------------------------------


@dataclass
class Session:
    """Both directions of a channel; keeps every frame in the order in which it is sent."""

    k1: bytes
    k2: bytes
    sent: dict[str, int] = field(default_factory=lambda: {"client": 0, "relay": 0})
    frames: Rows = field(default_factory=list)

    def send(self, sender: str, name: str, plaintext: bytes) -> None:
        key, number = self.k1 if sender == "client" else self.k2, self.sent[sender]
        sealed = ref.transport(key, number, plaintext)
        require(len(sealed) in (272, 1040), "the size of a frame")
        self.frames.append({"from": sender, "name": name, "number": number, "plaintext": plaintext, "sealed": sealed})
        self.sent[sender] += 1

    def exchange(self, name: str, request: bytes, *answers: bytes) -> None:
        self.send("client", name, request)
        for answer in answers:
            kinds = {0x80: "VOID", 0x84: "CELL", 0x94: "END", 0xFF: "ERROR"}
            self.send("relay", kinds.get(answer[0], name), answer)


def error(code: int, retry_after: int = 0, size: int = ref.SMALL) -> bytes:
    return ref.frame(0xFF, ref.u8(code) + ref.u32(retry_after), size)


def admitted(session: Session, auth: Row, secret_0: bytes) -> None:
    """AUTH, POST, and a FETCH of one round of five records and one empty one."""
    body = ref.u32(auth["epoch"]) + auth["token_key"] + auth["signature"] + auth["proof"]
    session.exchange("AUTH", ref.frame(2, body), ref.frame(0x82, secret_0 + ref.u16(48)))
    post = ref.frame(3, ref.u8(1) + data("channel/posted", 240))
    session.exchange("POST", post, ref.frame(0x83, ref.u32(42)))
    batch = sorted(data(f"channel/record/{i}", 240) for i in range(5))
    cells = [*ref.cell_frames(40, batch), *ref.cell_frames(41, [])]
    fetch = ref.frame(4, ref.u8(1) + ref.u32(40) + ref.u32(43))
    session.exchange("FETCH", fetch, *cells, ref.frame(0x94, ref.u32(42), ref.LARGE))
    session.exchange("VOID", ref.frame(0), ref.frame(0x80))


def stranger(session: Session) -> None:
    """What the channel alone allows, and the refusals of what it does not."""
    p = parameter_sets()["small"][1]
    digest, tier = ref.params_digest(p.encode()), b"plain integers"
    info = ref.u8(1) + digest + ref.u32(p.serial) + ref.u32(42) + ref.u32(0) + ref.u8(len(tier)) + tier
    session.exchange("INFO", ref.frame(1), ref.frame(0x81, info))
    blob = small_blob()
    chunk = ref.u16(len(blob)) + ref.u16(1) + ref.u8(240) + blob[240:480]
    session.exchange("PARAMS", ref.frame(5, ref.u16(1)), ref.frame(0x85, chunk))
    session.exchange("CHECKPOINT", ref.frame(6, ref.u32(30)), ref.frame(0x86, checkpoint_chain()[0]["checkpoint"]))
    session.exchange("POST", ref.frame(3, bytes(241)), error(3))
    session.exchange("FETCH", ref.frame(4, bytes(9)), error(3, size=ref.LARGE))
    board = b"RPI_PICO_W"
    status = ref.u8(1) + ref.u32(0x010203) + data("channel/firmware digest", 32) + ref.u32(86461) + ref.u32(7)
    status += ref.u32(p.serial) + ref.u32(42) + ref.u8(6) + ref.u8(len(board)) + board
    session.exchange("STATUS", ref.frame(8), ref.frame(0x88, status))
    session.exchange("unknown", ref.frame(127), error(1))


def handshake_row(label: str) -> tuple[Row, Session]:
    static = RELAY_SECRETS[0]
    client, relay = secret(f"channel/{label}/client e"), secret(f"channel/{label}/relay e")
    nonce = data(f"channel/{label}/nonce", 16)
    done = ref.handshake(ACCESS_KEY, static, nonce, client, relay)
    require((len(done.message_1), len(done.message_2)) == (81, 65), "the sizes of the handshake")
    row: Row = {"name": label, "access_key": ACCESS_KEY, "relay_secret": static, "relay_key": ref.point(static)}
    row |= {"nonce": nonce, "protocol_name": ref.NOISE_NAME.decode(), "prologue": b"tessera/1" + nonce}
    row |= {"client_ephemeral_secret": client, "client_ephemeral_key": ref.point(client)}
    row |= {"relay_ephemeral_secret": relay, "relay_ephemeral_key": ref.point(relay)}
    row |= {"es": ref.dh(client, ref.point(static)), "ee": ref.dh(client, ref.point(relay))}
    return row | vars(done), Session(done.k1, done.k2)


def admitted_row(secret_0: bytes) -> Row:
    row, session = handshake_row("admitted")
    auth = token("channel", odd_epoch(True), 1)
    auth |= proof(auth, row["handshake_hash"])
    admitted(session, auth, secret_0)
    names = ("epoch", "epoch_key", "token_secret", "token_key", "signature", "session_message", "proof")
    return row | {"token": {name: auth[name] for name in names}, "secret_0": secret_0, "frames": session.frames}


def stranger_row() -> Row:
    row, session = handshake_row("stranger")
    stranger(session)
    return row | {"frames": session.frames}


def resumption_row(j: int, resumption_secret: bytes) -> tuple[Row, Session]:
    identity, key, following = ref.resumption_step(resumption_secret)
    nonce, client_random = data(f"channel/resume/{j}/nonce", 16), data(f"channel/resume/{j}/client", 16)
    relay_random = data(f"channel/resume/{j}/relay", 33)
    done = ref.resume(ACCESS_KEY, nonce, identity, key, client_random, relay_random)
    require((len(done.message_1), len(done.message_2)) == (81, 65), "the sizes of a resumption")
    row: Row = {"j": j, "access_key": ACCESS_KEY, "secret": resumption_secret, "id": identity, "key": key}
    row |= {"secret_next": following, "nonce": nonce, "client_random": client_random, "relay_random": relay_random}
    return row | vars(done), Session(done.k1, done.k2)


def stage_frames(session: Session) -> None:
    """A release that waits for erases, a piece of its artifact, and its activation."""
    blob = release()[0]["release"]
    begin = ref.u8(0) + ref.u32(0) + ref.u8(len(blob)) + blob
    session.exchange("STAGE begin", ref.frame(9, begin), ref.frame(0x89, ref.u8(0) + ref.u32(0) + ref.u16(17)))
    put = ref.u8(1) + ref.u32(240) + ref.u8(60) + data("release/bundle", 300)[240:]
    session.exchange("STAGE put", ref.frame(9, put), ref.frame(0x89, ref.u8(2) + ref.u32(300) + ref.u16(0)))
    session.exchange("STAGE activate", ref.frame(9, ref.u8(2)), ref.frame(0x89, ref.u8(3) + ref.u32(300) + ref.u16(9)))


def resumption_rows(secret_0: bytes) -> Rows:
    first, session = resumption_row(0, secret_0)
    session.exchange("POST", ref.frame(3, ref.u8(0) + data("channel/posted again", 240)), ref.frame(0x83, ref.u32(43)))
    first["frames"] = session.frames
    second, session = resumption_row(1, first["secret_next"])
    statement = ref.time_statement(ROOT_SECRET, FEDERATION_ID, 1_760_000_000)
    push = ref.u16(len(statement)) + ref.u16(0) + ref.u8(len(statement)) + statement
    session.exchange("PUSH", ref.frame(7, push), ref.frame(0x87, ref.u8(1)))
    session.exchange("POST", ref.frame(3, ref.u8(0) + bytes(240)), error(6, 30))
    stage_frames(session)
    return [first, second | {"frames": session.frames}]


def channel() -> dict[str, Rows]:
    secret_0 = data("channel/secret_0")
    return {"handshakes": [admitted_row(secret_0), stranger_row()], "resumptions": resumption_rows(secret_0)}


# --- 10. Flash --------------------------------------------------------------------------------------------------------


def page_row(page_index: int, sector: int, round_: int, bucket_: int, kind: int) -> Row:
    """`sector` is the sector's number in order of use, so seq is 16 × sector + the place in it."""
    label = f"page/{page_index}/{kind}"
    page_key, record_ = data(label + "/key"), data(label + "/record", 240)
    enc, mac_key = ref.page_keys(page_key)
    head = ref.page_head(16 * sector + page_index % 16, round_, bucket_, kind)
    mac = ref.page_mac(mac_key, page_index, head, record_)
    row: Row = {"page_key": page_key, "enc": enc, "mac_key": mac_key, "page_index": page_index}
    row |= {"seq": 16 * sector + page_index % 16, "round": round_, "bucket": bucket_, "kind": kind, "mac": mac}
    return row | {"record": record_, "page": ref.aes_cbc(enc, bytes(16), head + mac + record_)}


def page() -> Rows:
    return [
        page_row(0, 0, 0, 0, 1),
        page_row(1, 0, 1, 1, 1),
        page_row(31, 1, 288, 7, 1),
        page_row(3391, 211, 8640, 127, 1),
        page_row(3375, (1 << 28) - 1, 0xFFFFFFFF, 127, 1),
        # Copies stand on the first page of a sector: of the first, a middle and the last record of the one before.
        page_row(16, 1, 5, 3, 2),
        page_row(32, 2, 6, 3, 2),
        page_row(0, 212, 8641, 0, 2),
    ]


def head_body(flags: int, boots: int, seed: bytes, *numbers: int) -> bytes:
    *words, snapshot_pages = numbers
    return ref.u8(1) + ref.u8(flags) + ref.u32(boots) + seed + b"".join(map(ref.u32, words)) + ref.u16(snapshot_pages)


def head_row(page_index: int, generation: int, flags: int, snapshot_pages: int) -> Row:
    fields: Row = {"version": 1, "flags": flags, "boots": 3, "seed": data("keyring/seed"), "next_sector": 212}
    fields |= {"sealed_next": 8641, "sealed_count": 200, "commissioned": 30, "snapshot_pages": snapshot_pages}
    names = ("next_sector", "sealed_next", "sealed_count", "commissioned", "snapshot_pages")
    numbers = (fields[name] for name in names)
    return key_ring_row(generation, page_index, 1, fields, head_body(flags, 3, fields["seed"], *numbers))


def epochs_row(page_index: int, count: int) -> Row:
    epochs: Rows = [
        {"epoch": e, "page_key": data(f"keyring/page_key/{e}"), "cover_state": data(f"keyring/cover/{e}")}
        for e in range(28, 28 + count)
    ]
    body = b"".join(ref.u32(e["epoch"]) + e["page_key"] + e["cover_state"] for e in epochs)
    return key_ring_row(2, page_index, 2, {"epochs": epochs}, body)


def leases_row(page_index: int, count: int) -> Row:
    tokens: Rows = [{"token_id": data(f"keyring/token/{i}", 8), "leases": 1 + i} for i in range(count)]
    body = ref.u32(30) + b"".join(t["token_id"] + ref.u8(t["leases"]) for t in tokens)
    return key_ring_row(2, page_index, 3, {"epoch": 30, "tokens": tokens}, body)


def key_ring_row(generation: int, page_index: int, kind: int, fields: Row, body: bytes) -> Row:
    page_ = ref.key_ring_page(generation, page_index, kind, body)
    require(len(page_) == 256, "the size of a key ring page")
    row: Row = {"generation": generation, "page_index": page_index, "kind": kind, "fields": fields}
    return row | {"body": body, "page": page_}


def keyring() -> Rows:
    lease = {"epoch": 30, "token_id": data("keyring/token/0", 8), "leases": 255}
    lease_body = ref.u32(30) + data("keyring/token/0", 8) + ref.u8(255)
    mark, flags = {"sealed_next": 8642, "sealed_count": 201}, {"flags": 1, "commissioned": 30}
    return [
        head_row(0, 1, 0, 0),
        head_row(16, 2, 1, 4),
        epochs_row(17, 3),
        epochs_row(18, 1),
        leases_row(19, 25),
        leases_row(20, 0),
        key_ring_row(2, 21, 4, mark, ref.u32(8642) + ref.u32(201)),
        key_ring_row(2, 22, 5, lease, lease_body),
        key_ring_row(0xFFFFFFFF, 31, 6, flags, ref.u8(1) + ref.u32(30)),
    ]


# --- 11. Checkpoints --------------------------------------------------------------------------------------------------

FIRMWARE = {
    "relay.py": b"# a file of the core\n",
    "cover.py": b"",
    "ledger.py": data("checkpoint/ledger.py", 300),
}


def checkpoint_row(epoch: int, rounds_sealed: int, firmware: bytes, previous: bytes) -> Row:
    key, digest = data(f"checkpoint/cover_key/{epoch}"), ref.params_digest(parameter_sets()["typical"][1].encode())
    commitment, relay_key = ref.cover_commitment(key), ref.point(RELAY_SECRETS[0])
    head = ref.u8(1) + FEDERATION_ID + relay_key + ref.u32(epoch) + ref.u32(rounds_sealed)
    blob = ref.sign_checkpoint(LEDGER_SECRETS[0], head + digest + commitment + firmware + previous)
    require(ref.verify(ref.x_only(LEDGER_SECRETS[0]), ref.H("checkpoint", blob[:186]), blob[186:]), "the checkpoint")
    row: Row = {"federation_id": FEDERATION_ID, "relay_key": relay_key, "ledger_secret": LEDGER_SECRETS[0]}
    row |= {"ledger_key": ref.x_only(LEDGER_SECRETS[0]), "epoch": epoch, "rounds_sealed": rounds_sealed}
    row |= {"digest": digest, "cover_key": key, "cover_commitment": commitment, "firmware_digest": firmware}
    return row | {"previous": previous, "checkpoint": blob, "link": ref.checkpoint_link(blob)}


@cache
def checkpoint_chain() -> Rows:
    """Three epochs: a whole one, one in which the relay was off for a while, and one after an update."""
    rows: Rows = []
    updated = FIRMWARE | {"relay.py": b"# a newer file of the core\n"}
    for epoch, sealed, files in ((30, 288, FIRMWARE), (31, 7, FIRMWARE), (32, 288, updated)):
        previous = rows[-1]["link"] if rows else bytes(32)
        rows.append(checkpoint_row(epoch, sealed, ref.firmware_digest(files), previous))
    return rows


def checkpoint() -> dict[str, Rows]:
    files = [{"name": name, "content": content} for name, content in FIRMWARE.items()]
    firmware: Row = {"files": files, "firmware_digest": ref.firmware_digest(FIRMWARE)}
    return {"checkpoints": checkpoint_chain(), "firmware": [firmware]}


# --- 12. Cards and contacts -------------------------------------------------------------------------------------------


def card(kind: str, fields: Row) -> Row:
    payload = ref.canonical(fields)
    return {"kind": kind, "payload": payload, "text": ref.card(kind, payload)}


def signed(own: bytes, digest: bytes, fields: Row) -> Row:
    return fields | {"sig": ref.sign(own, digest)}


def federation_card() -> Row:
    relays = [
        {"name": name, "key": ref.point(static), "host": f"{name}.example", "port": 8100}
        for name, static in zip(("cellar", "attic"), RELAY_SECRETS, strict=True)
    ]
    fields: Row = {"v": 1, "name": "Beispielbund", "params": small_blob(), "relays": relays}
    budget: Row = {"epsilon": "2", "delta": "1e-5"}
    return card("federation", fields | {"budget": budget, "issuer": issuer_service()})


def issuer_service() -> Row:
    return {"host": "issuer.example", "port": 8101, "key": ref.point(secret("contact/issuer service"))}


def joining(name: str, by_files: bool) -> Row:
    """An invitation and the card that its holder joins with."""
    own, one_time = secret(f"contact/{name}"), data(f"contact/{name}/invitation", 16)
    fields: Row = {"v": 1, "name": name, "office": "Beispielbund", "federation": FEDERATION_ID, "home": "cellar"}
    fields |= {"root": ref.x_only(ROOT_SECRET), "access": ACCESS_KEY, "secret": one_time, "until": 1_800_000_000}
    fields |= {"issuer": None if by_files else issuer_service()}
    fields |= {"card": federation_card()["payload"] if by_files else None}
    key = ref.x_only(own)
    shown: Row = {"v": 1, "invitation": ref.H("invitation", one_time)[:16], "name": name, "key": key}
    shown |= {"proof": ref.hmac(one_time, b"join" + FEDERATION_ID + key + name.encode())}
    join = signed(own, ref.member_message(FEDERATION_ID, key, name), shown)
    return {"member_secret": own, "invitation": card("invitation", fields), "join": card("join", join)}


def member_card(name: str) -> Row:
    own = secret(f"contact/{name}")
    key = ref.x_only(own)
    fields = signed(own, ref.member_message(FEDERATION_ID, key, name), {"v": 1, "name": name, "key": key})
    return {"member_secret": own} | card("member", fields)


def invite_card(x_a: bytes, nonce: bytes, digest: bytes) -> Row:
    fields: Row = {"v": 1, "federation": FEDERATION_ID, "digest": digest, "epoch": 2, "name": "Ada"}
    fields |= {"key": ref.x_only(secret("contact/Ada")), "commit": ref.contact_commit(x_a, nonce)}
    return card("invite", fields | {"mailbox": data("contact/Ada/mailbox", 16), "relay": ref.point(RELAY_SECRETS[0])})


def answer_card(invite: bytes, x_b: bytes) -> tuple[Row, bytes, bytes]:
    """The card, T1 and its signature."""
    own = secret("contact/Bjørn")
    fields: Row = {"v": 1, "invite": ref.H("invite", invite), "name": "Bjørn", "key": ref.x_only(own), "x": x_b}
    fields |= {"mailbox": data("contact/Bjørn/mailbox", 16), "relay": ref.point(RELAY_SECRETS[1])}
    t1 = ref.contact_t1(invite, ref.without_sig(fields))
    fields = signed(own, t1, fields)
    return card("answer", fields), t1, fields["sig"]


def confirm_card(answer: bytes, t2: bytes, x_a: bytes, nonce: bytes) -> Row:
    fields = {"v": 1, "answer": ref.H("answer", answer), "x": x_a, "nonce": nonce}
    return card("confirm", signed(secret("contact/Ada"), t2, fields))


def agreement(t2: bytes, x_secret_a: bytes, x_secret_b: bytes, digest: bytes) -> Row:
    shared = ref.x25519(x_secret_a, ref.x25519_public(x_secret_b))
    require(shared == ref.x25519(x_secret_b, ref.x25519_public(x_secret_a)), "the X25519 agreement")
    root_ab, root_ba = ref.contact_roots(t2, shared)
    words = ref.contact_words(t2, digest)
    return {"shared": shared, "root_a_to_b": root_ab, "root_b_to_a": root_ba, "words": words}


def enrolment() -> Row:
    """Ada invites Bjørn."""
    x_secret_a, x_secret_b, nonce = (data(f"contact/{name}") for name in ("X_A", "X_B", "nonce"))
    x_a, digest = ref.x25519_public(x_secret_a), ref.params_digest(parameter_sets()["small"][1].encode())
    invite = invite_card(x_a, nonce, digest)
    answer, t1, answer_sig = answer_card(invite["payload"], ref.x25519_public(x_secret_b))
    t2 = ref.contact_t2(t1, answer_sig, x_a, nonce)
    confirm = confirm_card(answer["payload"], t2, x_a, nonce)
    row: Row = {"member_secret_a": secret("contact/Ada"), "member_secret_b": secret("contact/Bjørn")}
    row |= {"x_secret_a": x_secret_a, "x_secret_b": x_secret_b, "nonce": nonce, "digest": digest, "epoch": 2}
    row |= {"invite": invite, "answer": answer, "confirm": confirm, "t1": t1, "t2": t2}
    return row | agreement(t2, x_secret_a, x_secret_b, digest)


def request_card(own: bytes, epoch: int, count: int) -> Row:
    fields: Row = {"v": 1, "member": ref.x_only(own), "epoch": epoch, "count": count, "time": 1_760_000_000}
    return card("tokens-request", signed(own, ref.H("tokens-request", ref.without_sig(fields)), fields))


def challenge_card(own: bytes, session: bytes, tokens: Rows) -> Row:
    challenges = [[c["challenge"] for c in t["clauses"]] for t in tokens]
    fields: Row = {"v": 1, "session": session, "member": ref.x_only(own), "challenges": challenges}
    return card("tokens-challenge", signed(own, ref.H("tokens-challenge", ref.without_sig(fields)), fields))


def token_cards() -> Row:
    """Two tokens for two relays in one exchange; the tokens are described as in token.json."""
    own, session, epoch = secret("contact/Ada"), data("contact/session", 16), 2
    tokens = [token(f"card/{relay}", epoch, b=relay, relay=relay) for relay in range(2)]
    request = request_card(own, epoch, len(tokens))
    offers = [[c["nonce_point"] for c in t["clauses"]] for t in tokens]
    offer: Row = {"v": 1, "request": ref.H("request", request["payload"]), "session": session, "epoch": epoch}
    answers = [[t["b"], t["s"]] for t in tokens]
    return {
        "member_secret": own,
        "session": session,
        "request": request,
        "offer": card("tokens-offer", offer | {"offers": offers}),
        "challenge": challenge_card(own, session, tokens),
        "answer": card("tokens-answer", {"v": 1, "session": session, "answers": answers}),
        "tokens": tokens,
    }


def contact() -> dict[str, Rows]:
    return {
        "federation_cards": [federation_card()],
        "member_cards": [member_card(name) for name in ("Ada", "Bjørn")],
        "joinings": [joining("Ada", False), joining("Bjørn", True)],
        "enrolments": [enrolment()],
        "token_exchanges": [token_cards()],
    }


# --- 14. Code updates -------------------------------------------------------------------------------------------------


def release_row(label: str, kind: int, board: str, version: tuple[int, int, int], artifact: bytes) -> Row:
    major, minor, patch = version
    number = major << 16 | minor << 8 | patch
    base = data(f"release/{label}/base", 8) if kind == 2 else bytes(8)
    digest = data(f"release/{label}/core")
    fields = ref.Release(FEDERATION_ID, number, kind, board, len(artifact), ref.sha256(artifact), digest, base)
    blob = ref.sign_release(ROOT_SECRET, fields.encode())
    require(ref.verify(ref.x_only(ROOT_SECRET), ref.H("release", blob[:-64]), blob[-64:]), "the release")
    row: Row = {"federation_id": FEDERATION_ID, "root_secret": ROOT_SECRET, "root_key": ref.x_only(ROOT_SECRET)}
    row |= {"version": number, "version_text": f"{major}.{minor}.{patch}", "kind": kind, "board": board}
    row |= {"artifact": artifact, "bytes": len(artifact), "sha256": ref.sha256(artifact)}
    return row | {"firmware_digest": digest, "base": base, "message": ref.H("release", blob[:-64]), "release": blob}


def release() -> Rows:
    return [
        release_row("a bundle", 2, "RPI_PICO_W", (0, 1, 1), data("release/bundle", 300)),
        release_row("an image", 1, "OLIMEX_ESP32_POE", (1, 2, 3), data("release/image", 513)),
        release_row("a slot's image", 3, "ESP32_GENERIC", (1, 2, 4), data("release/slot", 600)),
        release_row("the longest names and numbers", 1, "B" * 16, (0x7FFF, 255, 255), b"\0"),
        release_row("the shortest", 2, "B", (0, 0, 0), b"\xff"),
    ]


# --- The files --------------------------------------------------------------------------------------------------------

FILES: dict[str, Callable[[], Any]] = {
    "bip340": bip340,
    "aead": aead,
    "hkdf": hkdf,
    "hmac": hmac,
    "drbg": drbg,
    "noise_table": noise_table,
    "cover": cover,
    "record": record,
    "bucket": bucket,
    "token": token_rows,
    "channel": channel,
    "page": page,
    "keyring": keyring,
    "params": params,
    "checkpoint": checkpoint,
    "contact": contact,
    "release": release,
}


def text(rows: Any) -> str:
    return json.dumps(rows, default=bytes.hex, indent=1, ensure_ascii=False) + "\n"


def differs(name: str, content: str) -> bool:
    path = VECTORS / f"{name}.json"
    return not path.exists() or path.read_text() != content


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the test vectors in tests/vectors.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a committed file differs")
    check: bool = parser.parse_args().check
    changed = [(name, content) for name, make in FILES.items() if differs(name, content := text(make()))]
    for name, content in changed:
        print(f"{name}.json differs" if check else f"{name}.json written")
        if not check:
            (VECTORS / f"{name}.json").write_text(content)
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
