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
from itertools import product
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


def constant_row(label: str, constant: int, records: list[bytes], real: list[int]) -> Row:
    """A constant batch; `real` are places in records."""
    key, bucket, round_ = data(f"constant/{label}"), 3, 4711
    cover = ref.dummies(key, bucket, round_, ref.constant_noise(constant, len(real)))
    batch = sorted([records[place] for place in real] + cover)
    require(len(batch) == constant, f"constant batch {label}")
    row: Row = {"name": label, "cover_key": key, "bucket": bucket, "round": round_, "constant": constant}
    return row | {"real": real, "batch": ref.sha256(b"".join(batch))}


def replaced_row(page: int) -> Row:
    """The dummy in the place of a page that cannot be read."""
    key, bucket, round_ = data("constant/replaced"), 3, 4711
    row: Row = {"cover_key": key, "bucket": bucket, "round": round_, "page": page}
    return row | {"dummy": ref.replacement(key, bucket, round_, page)}


def constant() -> dict[str, Any]:
    """Cells of offices with 1, 4 and 24 places. The last records begin like a dummy of the tie's cell, or another."""
    ties = "records share 8 bytes, with a dummy and with each other"
    records = [data(f"constant/record/{i}", 240) for i in range(32)]
    start = ref.dummy(data(f"constant/{ties}"), 3, 4711, 0)[:8]
    records[24:] = [(start if i < 4 else records[0][:8]) + each[8:] for i, each in enumerate(records[24:])]
    counts = [(of, real) for of in (1, 4, 24) for real in sorted({0, 1, of - 1, of})]
    rows = [constant_row(f"{real} real records of {of}", of, records, list(range(real))) for of, real in counts]
    rows.append(constant_row("two identical real records", 24, records, [0, 1, 0]))
    rows.append(constant_row(ties, 24, records, [0, 1, *range(24, 32)]))
    return {"records": records, "batches": rows, "replaced": [replaced_row(page) for page in (0, 255, 3327, 65535)]}


def cover() -> dict[str, Rows]:
    rounds = (0, 1, 288, 0xFFFFFFFF)
    places = [(index, bucket, round_) for index in (1, 2, 8, 10) for bucket in (0, 1, 255, 65535) for round_ in rounds]
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
    sizes = [1 << k for k in (0, 1, 2, 3, 5, 7, 8, 11, 16)]
    return [{"mailbox_id": m, "buckets": n, "bucket": ref.bucket(m, n)} for m in mailboxes for n in sizes]


# --- 6. Admission -----------------------------------------------------------------------------------------------------

MASTER = data("federation/master")
FEDERATION_ID = data("federation/id", 16)
ROOT_SECRET = secret("federation/root")
ACCESS_KEY = data("federation/access_key")
READING_KEY = data("federation/reading_key")
RELAY_IDS = [1, 515, 0]
RELAY_SECRETS = [secret(f"federation/relay/{i}") for i in range(3)]
RELAY_KEYS = [ref.point(each) for each in RELAY_SECRETS]
LEDGER_SECRETS = [secret(f"federation/ledger/{i}") for i in range(3)]
GENERATION = 5
NAMES = ("first", "second")  # clauses, in labels


def raw_epoch_secret(epoch: int, relay: int, generation: int = GENERATION, cohort: int = 0) -> bytes:
    return ref.raw_epoch_secret(MASTER, FEDERATION_ID, generation, epoch, RELAY_IDS[relay], RELAY_KEYS[relay], cohort)


def odd_epoch(odd: bool, relay: int = 0) -> int:
    """The first epoch whose k_{e,j} is (not) negated."""
    return next(e for e in range(99) if (ref.point(raw_epoch_secret(e, relay))[0] == 3) == odd)


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


def epoch_fields(epoch: int, relay: int, generation: int = GENERATION, cohort: int = 0) -> Row:
    raw = raw_epoch_secret(epoch, relay, generation, cohort)
    own = ref.epoch_secret(MASTER, FEDERATION_ID, generation, epoch, RELAY_IDS[relay], RELAY_KEYS[relay], cohort)
    row: Row = {"master": MASTER, "federation_id": FEDERATION_ID, "generation": generation, "epoch": epoch}
    row |= {"cohort": cohort}
    row |= {"relay_id": RELAY_IDS[relay], "relay_key": RELAY_KEYS[relay], "raw_epoch_secret": raw}
    return row | {"negated": raw != own, "epoch_secret": own, "epoch_key": ref.x_only(own)}


def token(label: str, epoch: int, b: int, relay: int = 0) -> Row:
    """A whole issuing session."""
    row, own = epoch_fields(epoch, relay), secret(f"token/{label}/A")
    key = ref.x_only(own)
    message = ref.token_message(FEDERATION_ID, epoch, RELAY_KEYS[relay], key)
    clauses = [clause(f"token/{label}/{name}", row["epoch_key"], message) for name in NAMES]
    row |= {"token_secret": own, "token_key": key, "message": message}
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
    rows = [{"name": name} | token(name, odd_epoch(odd, b), b, relay=b) for name, odd, b in cases]
    return [row | proof(row, data(f"token/{row['name']}/handshake_hash")) for row in rows]


def epoch_key_rows() -> Rows:
    """Keys that differ in one of generation, epoch, relay and cohort; none is another's."""
    places = [(0, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 63)]
    places += [(GENERATION, 30, 1, 0), (0xFFFFFFFF, 0xFFFFFFFF, 2, 0), (GENERATION, 30, 1, 7)]
    rows = [epoch_fields(epoch, relay, generation, cohort) for generation, epoch, relay, cohort in places]
    require(len({row["epoch_key"] for row in rows}) == len(rows), "every epoch key differs")
    return rows


def cohort_rows() -> Rows:
    """How many cohorts there are, at the edges, and in which a member is."""
    rows: Rows = []
    for members in (1, 16384, 16385, 32768, 32769, 100_000, 1 << 20, (1 << 20) + 1, 1 << 24):
        for name in NAMES:
            key = ref.x_only(secret(f"contact/{name}"))
            row: Row = {"federation_id": FEDERATION_ID, "member_key": key, "members": members}
            row |= {"cohorts": ref.cohorts(members), "cohort": ref.cohort_of(FEDERATION_ID, key, members)}
            require(members == 1 << 24 or row["cohorts"] == 1 or members > 8192 * row["cohorts"], "the least cohort")
            rows.append(row)
    return rows


def session_rows() -> Rows:
    """What a session's handshake_hash is proved by, but for tokens: as a reader, as the operator, at the issuer's."""
    rows: Rows = []
    for i in range(2):
        handshake_hash, relay_key = data(f"session/{i}/handshake_hash"), ref.point(RELAY_SECRETS[i])
        message = ref.operator_message(FEDERATION_ID, relay_key, handshake_hash)
        member = secret("contact/Ada")
        channel_message = ref.member_channel_message(FEDERATION_ID, handshake_hash, ref.x_only(member))
        row: Row = {"federation_id": FEDERATION_ID, "relay_key": relay_key, "handshake_hash": handshake_hash}
        row |= {"reading_key": READING_KEY, "reading_proof": ref.reading_proof(READING_KEY, handshake_hash)}
        row |= {"root_secret": ROOT_SECRET, "root_key": ref.x_only(ROOT_SECRET), "operator_message": message}
        row |= {"operator_signature": ref.sign(ROOT_SECRET, message), "member_secret": member}
        row |= {"member_key": ref.x_only(member), "member_message": channel_message}
        rows.append(row | {"member_signature": ref.sign(member, channel_message)})
    return rows


def admission() -> dict[str, Rows]:
    return {"epoch_keys": epoch_key_rows(), "cohorts": cohort_rows(), "sessions": session_rows()}


# --- 2. Parameters ----------------------------------------------------------------------------------------------------


def column(first_epoch: int, epochs: int, relay: int, generation: int, members: int = 1) -> bytes:
    return b"".join(
        epoch_fields(epoch, relay, generation, cohort)["epoch_key"]
        for epoch in range(first_epoch, first_epoch + epochs)
        for cohort in range(ref.cohorts(members))
    )


def set_relays(first_epoch: int, epochs: int, count: int, generation: int, members: int) -> list[ref.Relay]:
    return [
        ref.Relay(
            RELAY_IDS[relay],
            ref.point(RELAY_SECRETS[relay]),
            ref.x_only(LEDGER_SECRETS[relay]),
            column(first_epoch, epochs, relay, generation, members),
        )
        for relay in range(count)
    ]


def table_fields(index: int) -> Row:
    """Kind, thresholds, ε and δ of noise table `index`; δ is that of the table, rounded up, as the page asks."""
    thresholds, exact_delta = table(index)
    epsilon = int(Fraction(TABLES[index][0]) * 1_000_000)
    delta = -int(-exact_delta * 2**64 // 1)
    return {"cover": ref.DELIVERY, "thresholds": thresholds, "epsilon": epsilon, "delta": delta}


def parameters(label: str, relays: int, **fields: Any) -> ref.Parameters:
    """A set of `relays` relays; what is not given is zero, or of the one federation."""
    names = ("constant", "epsilon", "delta", "deliveries", "day_epsilon", "day_delta", "log2_buckets")
    known: Row = dict.fromkeys(names, 0) | {"thresholds": [], "guest_access_keys": [], "generation": GENERATION}
    known |= {"federation_id": FEDERATION_ID, "root_key": ref.x_only(ROOT_SECRET), "previous": bytes(32)}
    known |= {"access_key": ACCESS_KEY, "reading_key": READING_KEY, "said": said(relays)}
    known |= {"genesis": 1_750_000_000, "ephemeral_secret": secret(f"params/{label}/ephemeral")} | fields
    entries = set_relays(known["first_epoch"], known["epochs"], relays, known["generation"], known["members"])
    return ref.Parameters(**(known | {"relays": entries}))


@cache
def parameter_sets() -> dict[str, ref.Parameters]:
    """`typical` fits a ring of 848 KiB; `wide` has the largest numbers but for members, which are one cohort's, and
    fits none; `day` and `constant` have the other kinds of cover; `cohorts` has the most members and cohorts."""
    minimal = parameters(
        "minimal", 0, serial=1, genesis=0, round_seconds=1, epoch_rounds=2, retention_epochs=1, members=1,
        tokens_per_epoch=1, posts_per_token=4, ahead=1, generation=0, first_epoch=0, epochs=1, **table_fields(8),
    )  # fmt: skip
    small = parameters(
        "small", 2, serial=2, previous=ref.params_digest(minimal.head()), round_seconds=2, epoch_rounds=30,
        retention_epochs=2, log2_buckets=1, members=2, tokens_per_epoch=1, posts_per_token=48, ahead=1, first_epoch=0,
        epochs=4, guest_access_keys=[data("params/guest/0")], **table_fields(10),
    )  # fmt: skip
    typical = parameters(
        "typical", 2, serial=3, previous=ref.params_digest(small.head()), round_seconds=300, epoch_rounds=288,
        retention_epochs=3, log2_buckets=2, members=12, tokens_per_epoch=1, posts_per_token=64, ahead=8,
        first_epoch=30, epochs=30, **table_fields(2),
    )  # fmt: skip
    wide = parameters(
        "wide", 3, serial=0xFFFFFFFF, genesis=1 << 33, previous=b"\xff" * 32, round_seconds=65535, epoch_rounds=65535,
        retention_epochs=14, log2_buckets=16, members=1 << 14, tokens_per_epoch=255, posts_per_token=1020, ahead=32,
        generation=0xFFFFFFFF, first_epoch=65000, epochs=7,
        guest_access_keys=[data(f"params/guest/{i}") for i in range(3)], **table_fields(11),
    )  # fmt: skip
    office: Row = {"round_seconds": 120, "epoch_rounds": 720, "retention_epochs": 3, "members": 24, "ahead": 8}
    office |= {"tokens_per_epoch": 1, "posts_per_token": 24, "first_epoch": 1, "epochs": 3}
    shaped = {"thresholds": [1 << 20, 1 << 50, 1 << 62, 1 << 63, (1 << 64) - 1], "epsilon": 850_000, "delta": 7}
    day = parameters(
        "day", 1, serial=4, cover=ref.DAY, deliveries=21, day_epsilon=2_000_000, day_delta=368934881474192, **office,
        **shaped,
    )  # fmt: skip
    constant = parameters("constant", 1, serial=4, cover=ref.CONSTANT, constant=24, **office)
    cohorts = parameters(
        "cohorts", 1, serial=5, **office | {"members": 1 << 24, "posts_per_token": 4, "epochs": 2},
        cover=ref.DAY, deliveries=21, day_epsilon=2_000_000, day_delta=368934881474192, **shaped,
    )  # fmt: skip
    sets = {"minimal": minimal, "small": small, "typical": typical, "wide": wide, "day": day, "constant": constant}
    return sets | {"cohorts": cohorts}


def relay_row(p: ref.Parameters, relay: ref.Relay) -> Row:
    row: Row = vars(relay) | {"column_hash": ref.column_hash(relay.column)}
    shared = ref.dh(p.ephemeral_secret, relay.static_key)
    row |= {"seal_key": ref.reading_seal_key(shared, p.federation_id, p.serial, relay.id)}
    return row | {"sealed": p.sealed(relay)}


def params_row(name: str, p: ref.Parameters) -> Row:
    row: Row = {"name": name, "root_secret": ROOT_SECRET}
    row |= {key: value for key, value in vars(p).items() if key not in ("thresholds", "relays")}
    row |= {"thresholds": b"".join(map(ref.u64, p.thresholds)), "relays": [relay_row(p, relay) for relay in p.relays]}
    row |= {"ephemeral": ref.point(p.ephemeral_secret), "reading_hash": p.reading_hash()}
    row |= {"card_hash": ref.H("federation-card", p.said), "rest_hash": ref.H("params-rest", p.rest())}
    row |= {"pages_needed": ref.pages_needed(p), "largest_cell": ref.largest_cell(p)}
    head, blob = p.head(), whole(p)
    require(len(head) == 176, "the length of a head")
    tables = 240 + 141 + 32 * len(p.guest_access_keys) + 8 * len(p.thresholds)
    column = 32 * p.epochs * ref.cohorts(p.members)
    require(len(blob) == tables + (163 + column) * len(p.relays), "the length of a set")
    return row | {"head": head, "digest": ref.params_digest(head), "blob": blob}


def copy_rows() -> Iterator[Row]:
    """Each set as its relays hold it."""
    for name, p in parameter_sets().items():
        for i, relay in enumerate(p.relays):
            blob = ref.relays_copy(ROOT_SECRET, p, relay)
            require((blob == whole(p)) == (len(p.relays) == 1), "a copy has one column")
            row: Row = {"name": name, "relay_id": relay.id, "static_secret": RELAY_SECRETS[i]}
            yield row | {"reading_key": p.reading_key, "column": relay.column, "blob": blob}


def whole(p: ref.Parameters) -> bytes:
    return ref.whole_set(ROOT_SECRET, p)


def resigned(head: bytes, tail: bytes) -> bytes:
    return ref.sign_params(ROOT_SECRET, head, tail)


def with_rest(p: ref.Parameters, rest: bytes, columns: bytes) -> bytes:
    """A set whose rest is not what its fields make, but signed."""
    return resigned(p.head(rest), rest + columns)


def small_set() -> ref.Parameters:
    return parameter_sets()["small"]


def small_copy() -> bytes:
    """As the first relay holds it."""
    return ref.relays_copy(ROOT_SECRET, small_set(), small_set().relays[0])


def flipped(blob: bytes, offset: int) -> bytes:
    changed = bytearray(blob)
    changed[offset] ^= 1
    return bytes(changed)


def damaged_sets() -> list[tuple[str, str, bytes, str]]:
    """Sets of which signature, framing or a hash is what is broken."""
    p = small_set()
    blob, other, relay, second = whole(p), secret("params/other root"), *p.relays
    head, rest, columns = p.head(), p.rest(), p.columns()
    more = dict(zip(("head", "rest", "columns"), (head, rest, columns), strict=True))
    foreign = ref.relays_copy(ROOT_SECRET, p, replace(relay, column=column(9, 4, 0, GENERATION)))
    minimal = parameter_sets()["minimal"]
    return [
        ("signature bit", "signature", flipped(blob, 239), "the last bit of the signature is flipped"),
        ("content bit", "signature", flipped(blob, 7), "serial changed after signing"),
        ("other signer", "signature", ref.sign_params(other, head, rest + columns), "signed by another than root_key"),
        ("digest of all", "signature", head + ref.sign(ROOT_SECRET, ref.params_digest(head + rest + columns))
         + rest + columns, "signed over more than the head"),
        ("rest bit", "rest", flipped(blob, 240 + 141), "the rest is not that of rest_hash"),
        ("last bit of the rest", "rest", flipped(blob, 239 + len(rest)), "the rest is not that of rest_hash"),
        ("column bit", "rest", flipped(blob, -1), "the second column is not that of its column_hash"),
        ("columns swapped", "rest", resigned(head, rest + second.column + relay.column), "columns in another order"),
        ("one column twice", "rest", resigned(head, rest + relay.column * 2), "two columns of one relay"),
        ("column of nobody", "rest", foreign, "one column, whose hash no relay has"),
        ("no column", "rest", resigned(head, rest), "no column"),
        ("three columns", "rest", resigned(head, more["rest"] + columns + relay.column), "more columns than relays"),
        ("column without a relay", "rest", whole(minimal) + bytes(32), "a column, but no relay"),
        ("truncated", "rest", blob[:-1], "one byte short"),
        ("head only", "rest", blob[:240], "ends behind the signature"),
        ("head without signature", "head", blob[:176], "ends before the signature"),
        ("empty", "head", b"", "no bytes"),
        ("one byte longer", "rest", blob + b"\x00", "a byte follows the last column"),
        ("magic", "head", resigned(b"TPR1" + head[4:], rest + columns), "unknown version"),
        ("byte 175", "head", resigned(head[:175] + b"\x01", rest + columns), "the last byte of the head has to be 0"),
        ("thresholds and length differ", "rest", resigned(
            head[:143] + ref.u16(len(p.thresholds) + 2) + head[145:], rest + columns), "two thresholds too few"),
    ]  # fmt: skip


OUT_OF_RANGE: list[tuple[str, int, str]] = [
    ("round_seconds", 0, "at least 1"),
    ("epoch_rounds", 1, "at least 2"),
    ("retention_epochs", 0, "at least 1"),
    ("retention_epochs", 15, "at most 14"),
    ("log2_buckets", 17, "at most 16"),
    ("members", 0, "at least 1"),
    ("members", (1 << 24) + 1, "at most 2^24"),
    ("tokens_per_epoch", 0, "at least 1"),
    ("posts_per_token", 0, "at least 4"),
    ("posts_per_token", 50, "a multiple of 4"),
    ("posts_per_token", 1024, "at most 1020"),
    ("ahead", 0, "at least 1"),
    ("ahead", 33, "at most 32"),
    ("cover", 0, "at least 1"),
    ("cover", 4, "at most 3"),
    ("constant", 2, "0 unless cover is 3"),
    ("epsilon", 0, "at least 1 unless cover is 3"),
    ("deliveries", 1, "0 unless cover is 2"),
    ("epochs", 0, "at least 1"),
    ("epochs", 401, "at most 400"),
    ("first_epoch", 0xFFFFFFFF // 30 - 3, "so that the last round of the schedule fits u32"),
]


def other_kinds() -> list[tuple[str, ref.Parameters, Row, str]]:
    """Cover fields that do not belong together."""
    small, day, constant = (parameter_sets()[name] for name in ("small", "day", "constant"))
    return [
        ("thresholds 0", small, {"thresholds": []}, "a table for one delivery has at least two thresholds"),
        ("thresholds odd", small, {"thresholds": small.thresholds[:-1]}, "of a table for one delivery they are even"),
        ("thresholds 2002", small, {"thresholds": [i << 50 for i in range(2002)]}, "at most 2000 thresholds"),
        ("day without thresholds", day, {"thresholds": []}, "a table for a day has at least one threshold"),
        ("day with 2001", day, {"thresholds": [i << 50 for i in range(2001)]}, "at most 2000 thresholds"),
        ("day without deliveries", day, {"deliveries": 0}, "a table for a day says for how many deliveries"),
        ("day without epsilon", day, {"epsilon": 0}, "ε of one delivery has to be at least 1"),
        ("day with a constant", day, {"constant": 24}, "the constant is that of cover 3"),
        ("constant with thresholds", constant, {"thresholds": [1 << 60, 1 << 61]}, "a constant batch has no table"),
        ("constant with epsilon", constant, {"epsilon": 1}, "ε of a constant batch is 0"),
        ("constant with delta", constant, {"delta": 1}, "δ of a constant batch is 0"),
        ("constant with deliveries", constant, {"deliveries": 1}, "deliveries are those of cover 2"),
        ("constant of 23", constant, {"constant": 23}, "the constant is members × tokens_per_epoch"),
        ("constant of 0", constant, {"constant": 0}, "the constant is members × tokens_per_epoch"),
    ]


def wrong_lists() -> list[tuple[str, ref.Parameters, Row, str]]:
    """Lists in an order, or with entries, that no set may have."""
    small, day, constant = (parameter_sets()[name] for name in ("small", "day", "constant"))
    first, second = small.relays
    swapped = [*small.thresholds[:4], small.thresholds[5], small.thresholds[4], *small.thresholds[6:]]
    return [
        ("thresholds decrease", small, {"thresholds": swapped}, "thresholds decrease once"),
        ("ids", small, {"relays": [first, replace(second, id=first.id)]}, "two relays have one id"),
        ("static keys", small, {"relays": [first, replace(second, static_key=first.static_key)]}, "one key, twice"),
        ("day epsilon of a delivery's table", small, {"day_epsilon": 1}, "0 unless cover is 2"),
        ("day delta of a constant batch", constant, {"day_delta": 1}, "0 unless cover is 2"),
        ("day epsilon 0", day, {"day_epsilon": 0}, "at least 1 if cover is 2"),
    ]


def counted_sets() -> list[tuple[str, str, bytes, str]]:
    """Counts of relays and guests out of range; the lists are as long as they say."""
    p = small_set()
    many = [replace(p.relays[0], id=i) for i in range(65)]
    blobs = [whole(replace(p, **changes)) for changes in ({"relays": many}, {"guest_access_keys": [bytes(32)] * 4})]
    return [("relays 65", "head", blobs[0], "at most 64 relays"), ("guests 4", "head", blobs[1], "at most 3 guests")]


def changed_sets() -> list[tuple[str, str, bytes, str]]:
    """Sets that break one rule but are signed and have the length they state."""
    small = small_set()
    fields = [(f"{name} {value}", small, {name: value}, f"{name} has to be {why}") for name, value, why in OUT_OF_RANGE]
    found = []
    for where, cases in (("head", [*fields, *other_kinds()]), ("rest", wrong_lists())):
        for name, p, changes, why in cases:
            if "epochs" in changes:
                columns = [(relay.column * 101)[: 32 * changes["epochs"]] for relay in p.relays]
                changes |= {"relays": [replace(r, column=c) for r, c in zip(p.relays, columns, strict=True)]}
            found.append((name, where, whole(replace(p, **changes)), why))
    return found


def invalid_sets() -> Iterator[Row]:
    """`where` says what of a set is enough to refuse it: its head (in 240 bytes), their signature, or the rest."""
    seen = {whole(p) for p in parameter_sets().values()}
    for name, where, blob, why in [*damaged_sets(), *changed_sets(), *counted_sets()]:
        require(blob not in seen, f"invalid set {name} differs from every other")
        seen.add(blob)
        yield {"name": name, "where": where, "blob": blob, "why": why}


def unfit_copies() -> Rows:
    """Sets that are valid, but not on the first relay of the small one."""
    small, wide = small_set(), parameter_sets()["wide"]
    first, second = small.relays
    foreign = replace(first, static_key=ref.point(secret("params/stranger")))
    stranger = replace(small, relays=[foreign, second])
    rest, at = small.rest(), 141 + 32 + 8 * len(small.thresholds) + 99
    other_key = replace(small, reading_key=data("params/other reading key"))
    no_point = rest[:108] + b"\x02" + b"\xff" * 32 + rest[141:]
    wrong_key = rest[:at] + other_key.sealed(first) + rest[at + 64 :]
    early = replace(small, serial=1).sealed(first)
    shared = ref.dh(small.ephemeral_secret, first.static_key)
    seal_key = ref.reading_seal_key(shared, FEDERATION_ID, small.serial, first.id)
    unnamed = ref.seal(seal_key, 0, small.reading_hash(), other_key.reading_key)
    cases = [
        ("not listed", ref.relays_copy(ROOT_SECRET, stranger, foreign), "the relay's static key is not in the set"),
        ("another's copy", ref.relays_copy(ROOT_SECRET, small, second), "the column is the other relay's"),
        ("sealed bit", with_rest(small, flipped(rest, at + 63), first.column), "what is sealed does not verify"),
        ("sealed for serial 1", with_rest(small, rest[:at] + early + rest[at + 64 :], first.column), "another serial"),
        ("another reading key", with_rest(small, wrong_key, first.column), "sealed for another reading_hash"),
        ("not of its hash", with_rest(small, rest[:at] + unnamed + rest[at + 64 :], first.column),
         "sealed for this reading_hash, which is of another key"),
        ("no point", with_rest(small, no_point, first.column), "e is no point"),
        ("buckets", ref.relays_copy(ROOT_SECRET, replace(small, log2_buckets=9), first), "512 buckets are too many"),
        ("wide", ref.relays_copy(ROOT_SECRET, wide, wide.relays[0]), "more records than any ring keeps"),
    ]  # fmt: skip
    row: Row = {"static_secret": RELAY_SECRETS[0], "relay_id": first.id}
    return [row | {"name": name, "blob": blob, "why": why} for name, blob, why in cases]


def successors() -> Iterator[Row]:
    """Copies pushed to the first relay while it holds the small set, `open_epoch` is open: taken or refused."""
    small, other = small_set(), secret("params/other root")
    following = replace(small, serial=3, previous=ref.params_digest(small.head()))
    cases: list[tuple[str, int, Row, str]] = [
        ("next", 1, {"first_epoch": 2}, "the next set, in time"),
        ("far", 1, {"first_epoch": 9}, "a set that waits"),
        ("late", 3, {"first_epoch": 1}, "its first epoch is over: it governs from the next one on"),
        ("in the open epoch", 1, {"first_epoch": 1}, "its first epoch is open: it governs from the next one on"),
        ("after a gap", 1, {"serial": 9, "previous": data("params/missed")}, "its predecessor never came here"),
        ("same serial", 1, {"serial": 2}, "serial has to grow"),
        ("older", 1, {"serial": 1, "previous": bytes(32)}, "serial has to grow"),
        ("federation_id", 1, {"federation_id": data("other federation", 16)}, "of another federation"),
        ("root_key", 1, {"root_key": ref.x_only(other)}, "another root key, which signed it"),
        ("genesis", 1, {"genesis": small.genesis + 1}, "genesis stays"),
        ("round_seconds", 1, {"round_seconds": 3}, "round_seconds stay"),
        ("epoch_rounds", 1, {"epoch_rounds": 31}, "epoch_rounds stay"),
        ("retention_epochs", 1, {"retention_epochs": 3}, "retention_epochs stay"),
    ]
    for name, open_epoch, changes, why in cases:
        p = replace(following, **changes)
        p = replace(p, relays=set_relays(p.first_epoch, p.epochs, 2, p.generation, p.members))
        blob = ref.relays_copy(other if name == "root_key" else ROOT_SECRET, p, p.relays[0])
        taken = cases.index((name, open_epoch, changes, why)) < 5
        row: Row = {"name": name, "open_epoch": open_epoch, "blob": blob, "why": why, "taken": taken}
        yield row | ({"takes_effect": ref.takes_effect(p, open_epoch)} if taken else {})


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
        "sets": [params_row(name, p) for name, p in parameter_sets().items()],
        "copies": list(copy_rows()),
        "invalid": list(invalid_sets()),
        "unfit": unfit_copies(),
        "successors": list(successors()),
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


def admitted(session: Session, auth: Row, secret_0: bytes, reading_proof: bytes) -> None:
    """AUTH, POST, and a FETCH of one round of five records and one empty one."""
    body = ref.u32(auth["epoch"]) + auth["token_key"] + auth["signature"] + auth["proof"]
    session.exchange("AUTH", ref.frame(2, body), ref.frame(0x82, secret_0 + ref.u16(48)))
    post = ref.frame(3, ref.u16(0x0102) + data("channel/posted", 240))
    session.exchange("POST", post, ref.frame(0x83, ref.u32(42)))
    batch = sorted(data(f"channel/record/{i}", 240) for i in range(5))
    cells = [*ref.cell_frames(40, batch), *ref.cell_frames(41, [])]
    fetch = ref.frame(4, ref.u16(0x0102) + ref.u32(40) + ref.u32(43) + reading_proof)
    session.exchange("FETCH", fetch, *cells, ref.frame(0x94, ref.u32(42), ref.LARGE))
    session.exchange("VOID", ref.frame(0), ref.frame(0x80))


def stranger(session: Session) -> None:
    """What the channel alone allows, and the refusals of what it does not."""
    newest, p, tier = parameter_sets()["typical"], small_set(), b"plain integers"
    sets = b"".join(ref.u32(s.serial) + ref.params_digest(s.head()) for s in (newest, p))
    info = ref.u8(2) + ref.u8(1) + sets + ref.u32(42) + ref.u32(0) + ref.u8(len(tier)) + tier
    session.exchange("INFO", ref.frame(1), ref.frame(0x81, info))
    blob = small_copy()
    chunk = ref.u16(len(blob)) + ref.u16(1) + ref.u8(240) + blob[240:480]
    session.exchange("PARAMS", ref.frame(5, ref.u16(1)), ref.frame(0x85, chunk))
    session.exchange("CHECKPOINT", ref.frame(6, ref.u32(30)), ref.frame(0x86, checkpoint_chain()[0]["checkpoint"]))
    session.exchange("POST", ref.frame(3, bytes(242)), error(3))
    session.exchange("FETCH", ref.frame(4, bytes(26)), error(3, size=ref.LARGE))
    board = b"RPI_PICO_W"
    status = ref.u8(1) + ref.u32(0x010203) + data("channel/firmware digest", 32) + ref.u32(86461) + ref.u32(7)
    status += ref.u32(newest.serial) + ref.u32(42) + ref.u8(14) + ref.u8(len(board)) + board
    session.exchange("STATUS", ref.frame(8), ref.frame(0x88, status))
    push = ref.u16(len(blob)) + ref.u16(0) + ref.u8(240) + blob[:240]
    session.exchange("PUSH", ref.frame(7, push), ref.frame(0x87, ref.u8(0)))
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
    reading = {"reading_key": READING_KEY, "reading_proof": ref.reading_proof(READING_KEY, row["handshake_hash"])}
    admitted(session, auth, secret_0, reading["reading_proof"])
    names = ("epoch", "epoch_key", "token_secret", "token_key", "signature", "session_message", "proof")
    row |= {"token": {name: auth[name] for name in names}, "secret_0": secret_0} | reading
    return row | {"frames": session.frames}


def stranger_row() -> Row:
    row, session = handshake_row("stranger")
    stranger(session)
    return row | {"frames": session.frames}


def operator_row() -> Row:
    """IT as itself: a time statement, and a release with a piece of what it is of."""
    row, session = handshake_row("operator")
    message = ref.operator_message(FEDERATION_ID, row["relay_key"], row["handshake_hash"])
    signature = ref.sign(ROOT_SECRET, message)
    auth = ref.u32(ref.OPERATOR) + bytes(32) + signature + bytes(64)
    session.exchange("AUTH", ref.frame(2, auth), ref.frame(0x82, bytes(34)))
    statement = ref.time_statement(ROOT_SECRET, FEDERATION_ID, 1_760_000_000)
    push = ref.u16(len(statement)) + ref.u16(0) + ref.u8(len(statement)) + statement
    session.exchange("PUSH", ref.frame(7, push), ref.frame(0x87, ref.u8(1)))
    stage_frames(session)
    operator = {"federation_id": FEDERATION_ID, "root_secret": ROOT_SECRET, "root_key": ref.x_only(ROOT_SECRET)}
    return row | {"operator": operator | {"message": message, "signature": signature}, "frames": session.frames}


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
    again = ref.frame(3, ref.u16(0) + data("channel/posted again", 240))
    session.exchange("POST", again, ref.frame(0x83, ref.u32(43)))
    first["frames"] = session.frames
    second, session = resumption_row(1, first["secret_next"])
    session.exchange("POST", ref.frame(3, bytes(242)), error(6, 30))
    session.exchange("FETCH", ref.frame(4, bytes(26)), error(3, size=ref.LARGE))
    return [first, second | {"frames": session.frames}]


def channel() -> dict[str, Rows]:
    secret_0 = data("channel/secret_0")
    handshakes = [admitted_row(secret_0), stranger_row(), operator_row()]
    return {"handshakes": handshakes, "resumptions": resumption_rows(secret_0)}


# --- 10. Flash --------------------------------------------------------------------------------------------------------


def page_row(page_index: int, sector: int, round_: int, bucket_: int, copy: bool = False) -> Row:
    """`sector` is the sector's number in order of use, so seq is 16 × sector + the place in it."""
    label = f"page/{page_index}/{2 if copy else 1}"
    page_key, record_ = data(label + "/key"), data(label + "/record", 240)
    enc, mac_key = ref.page_keys(page_key)
    seq = 16 * sector + page_index % 16
    head = ref.page_head(seq, copy, round_, bucket_)
    mac = ref.page_mac(mac_key, page_index, head, record_)
    row: Row = {"page_key": page_key, "enc": enc, "mac_key": mac_key, "page_index": page_index}
    row |= {"seq": seq, "copy": copy, "round": round_, "bucket": bucket_, "head": head, "mac": mac}
    return row | {"record": record_, "page": ref.aes_cbc(enc, bytes(16), head + mac + record_)}


def page() -> Rows:
    return [
        page_row(0, 0, 0, 0),
        page_row(1, 0, 1, 1),
        page_row(31, 1, 288, 7),
        page_row(3391, 211, 8640, 255),
        page_row(3375, (1 << 27) - 1, 0xFFFFFFFF, 65535),
        # Copies stand on the first page of a sector: of the first, a middle and the last record of the one before.
        page_row(16, 1, 5, 3, copy=True),
        page_row(32, 2, 6, 3, copy=True),
        page_row(0, 212, 8641, 0, copy=True),
        page_row(48, (1 << 27) - 1, 8642, 256, copy=True),
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
    key, digest = data(f"checkpoint/cover_key/{epoch}"), ref.params_digest(parameter_sets()["typical"].head())
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


RELAY_NAMES = ("cellar", "attic", "loft")


def said(relays: int, **more: Any) -> bytes:
    """What the federation's card says beside its set."""
    entries = [
        {"id": id_, "name": name, "host": f"{name}.example", "port": 8100}
        for id_, name in list(zip(RELAY_IDS, RELAY_NAMES, strict=True))[:relays]
    ]
    fields: Row = {"name": "Beispielbund", "relays": entries, "budget": {"epsilon": "2", "delta": "1e-5"}}
    fields |= {"issuer": issuer_service(), "retention_days": 90, "partners": [], "topology": None}
    return ref.canonical(fields | more)


def federation_card(p: ref.Parameters) -> Row:
    row: Row = {"digest": ref.params_digest(p.head()), "said": p.said, "card_hash": ref.H("federation-card", p.said)}
    return row | card("federation", {"v": 2, "params": whole(p), "said": p.said})


@cache
def federation_cards() -> Rows:
    """The small set's; and one of a cluster and of a later program, which says more."""
    p = small_set()
    more = {"archive": {"key": data("contact/archive")}, "motto": "Füße trocken halten"}
    later = replace(p, said=said(2, topology={"kind": "mesh", "copies": 2}, **more))
    return [federation_card(p), federation_card(later)]


def mailbox() -> Rows:
    """Where mailboxes are: several, of every home, of one that is gone and of one that never was, with more copies than
    there are relays, too."""
    federations = [[1], [1, 2, 3], [1, 2, 4, 5, 300], [0, 515, 65535], [*range(1, 65)]]
    homes = [0, 1, 3, 5, 400, 65535]
    mailboxes = [bytes(16), b"\xff" * 16, data("contact/Ada/mailbox", 16), data("contact/Bjørn/mailbox", 16)]
    rows: Rows = []
    for number, (ids, home) in enumerate(product(federations, homes)):
        mailbox_id, copies = mailboxes[number % 4], (1, 2, 3, 64)[number % 3 + (number % 5 == 4)]
        for kind in ("ring", "mesh"):
            row: Row = {"kind": kind, "copies": copies, "ids": ids, "mailbox_id": mailbox_id, "home": home}
            order = ref.mailbox_order(kind, mailbox_id, home, ids)
            require(sorted(order) == ids, "an order of all relays")
            rows.append(row | {"order": order, "relays": order[:copies]})
    return rows


def reading_card(label: str, keys: list[bytes]) -> Row:
    own, ephemeral = secret(f"contact/{label}"), secret(f"contact/{label}/reading")
    sealed = ref.sealed_reading_keys(ephemeral, FEDERATION_ID, ref.x_only(own), keys)
    fields = {"v": 1, "member": ref.x_only(own), "e": ref.point(ephemeral), "sealed": sealed}
    row: Row = {"member_secret": own, "ephemeral_secret": ephemeral, "reading_keys": keys}
    row |= {"reading_hashes": [ref.H("reading-key", key) for key in keys], "federation_id": FEDERATION_ID}
    return row | card("reading", fields)


def reading_cards() -> Rows:
    """Of members with odd y and of one with even; two of them wait for a set with another key."""
    keys = [data("federation/next reading key"), READING_KEY]
    rows = [reading_card("Ada", [READING_KEY]), reading_card("Bjørn", keys), reading_card("Ada", keys)]
    labels = [f"Member {i}" for i in range(8)]
    even = next(name for name in labels if ref.point(secret(f"contact/{name}"))[0] == 2)
    return [*rows, reading_card(even, [READING_KEY])]


def welcome_row(reading_keys: list[bytes], since: int, before: list[tuple[int, bytes]]) -> Row:
    """The answer to JOIN and HELLO; the same of the sets in a file for a member."""
    text_ = federation_cards()[0]["text"]
    digest = ref.params_digest(small_set().head())
    time = ref.time_statement(ROOT_SECRET, FEDERATION_ID, 1_760_000_000)
    sets = ref.sets_beside(digest, since, before)
    message = ref.welcome(text_, sets, reading_keys, time)
    padded = ref.padded_answer(message)
    require(len(padded) % 4096 == 0 and 0 <= len(padded) - len(message) < 4096, "the size of an answer")
    frames = ref.service_frames(0xA3, padded)
    row: Row = {"reading_keys": reading_keys, "time": time, "digest": digest, "since": since, "message": message}
    row |= {"before": [{"since": since, "set": blob} for since, blob in before], "sets": card("sets", {"v": 1} | sets)}
    row |= {"padded": len(padded), "frames": len(frames), "first_frame": frames[0], "last_frame": frames[-1]}
    return row | {"frames_digest": ref.sha256(b"".join(frames))}


def welcomes() -> Rows:
    sets = parameter_sets()
    before = [(0, whole(sets["minimal"])), (0xFFFFFFFF, whole(sets["typical"]))]
    next_key = data("federation/next reading key")
    return [welcome_row([READING_KEY], 0, []), welcome_row([next_key, READING_KEY], 41, before)]


def issuer_service() -> Row:
    return {"host": "issuer.example", "port": 8101, "key": ref.point(secret("contact/issuer service"))}


def joining(name: str, by_files: bool) -> Row:
    """An invitation and the card that its holder joins with."""
    own, one_time = secret(f"contact/{name}"), data(f"contact/{name}/invitation", 16)
    fields: Row = {"v": 1, "name": name, "office": "Beispielbund", "federation": FEDERATION_ID, "home": "cellar"}
    fields |= {"root": ref.x_only(ROOT_SECRET), "access": ACCESS_KEY, "secret": one_time, "until": 1_800_000_000}
    fields |= {"issuer": None if by_files else issuer_service()}
    fields |= {"card": federation_cards()[0]["payload"] if by_files else None}
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
    return card("invite", fields | {"mailbox": data("contact/Ada/mailbox", 16), "relay": RELAY_IDS[0]})


def answer_card(invite: bytes, x_b: bytes) -> tuple[Row, bytes, bytes]:
    """The card, T1 and its signature."""
    own = secret("contact/Bjørn")
    fields: Row = {"v": 1, "invite": ref.H("invite", invite), "name": "Bjørn", "key": ref.x_only(own), "x": x_b}
    fields |= {"mailbox": data("contact/Bjørn/mailbox", 16), "relay": RELAY_IDS[1]}
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
    x_a, digest = ref.x25519_public(x_secret_a), ref.params_digest(small_set().head())
    invite = invite_card(x_a, nonce, digest)
    answer, t1, answer_sig = answer_card(invite["payload"], ref.x25519_public(x_secret_b))
    t2 = ref.contact_t2(t1, answer_sig, x_a, nonce)
    confirm = confirm_card(answer["payload"], t2, x_a, nonce)
    row: Row = {"member_secret_a": secret("contact/Ada"), "member_secret_b": secret("contact/Bjørn")}
    row |= {"x_secret_a": x_secret_a, "x_secret_b": x_secret_b, "nonce": nonce, "digest": digest, "epoch": 2}
    row |= {"invite": invite, "answer": answer, "confirm": confirm, "t1": t1, "t2": t2}
    return row | agreement(t2, x_secret_a, x_secret_b, digest)


def request_card(own: bytes, epoch: int) -> Row:
    fields: Row = {"v": 2, "member": ref.x_only(own), "generation": GENERATION, "epoch": epoch, "time": 1_760_000_000}
    return card("tokens-request", signed(own, ref.H("tokens-request", ref.without_sig(fields)), fields))


def challenge_card(own: bytes, session: bytes, tokens: Rows) -> Row:
    challenges = [[c["challenge"] for c in t["clauses"]] for t in tokens]
    fields: Row = {"v": 1, "session": session, "member": ref.x_only(own), "challenges": challenges}
    return card("tokens-challenge", signed(own, ref.H("tokens-challenge", ref.without_sig(fields)), fields))


def token_cards(session_label: str, places: list[tuple[int, int]], asked: bool = True) -> Row:
    """The tokens for these (epoch, relay) in one exchange; each is described as in token.json."""
    own, session = secret("contact/Ada"), data(session_label, 16)
    tokens = [token(f"card/{epoch}/{relay}", epoch, b=relay, relay=relay) for epoch, relay in places]
    request = request_card(own, 2)
    offers = [[t["epoch"], t["relay_id"], *(c["nonce_point"] for c in t["clauses"])] for t in tokens]
    answered = ref.H("request", request["payload"]) if asked else bytes(32)
    offer: Row = {"v": 1, "request": answered, "session": session, "generation": GENERATION, "offers": offers}
    answers = [[t["b"], t["s"]] for t in tokens]
    return {
        "member_secret": own,
        "session": session,
        "request": request,
        "offer": card("tokens-offer", offer),
        "challenge": challenge_card(own, session, tokens),
        "answer": card("tokens-answer", {"v": 1, "session": session, "answers": answers}),
        "tokens": tokens,
    }


def token_exchanges() -> Rows:
    """All that a member may have under the small set, from epoch 2 on; only what was not given before; nothing."""
    return [
        token_cards("contact/session", [(2, 0), (2, 1), (3, 0), (3, 1)]),
        token_cards("contact/second session", [(3, 1)], asked=False),
        token_cards("contact/third session", []),
    ]


def contact() -> dict[str, Rows]:
    return {
        "federation_cards": federation_cards(),
        "member_cards": [member_card(name) for name in ("Ada", "Bjørn")],
        "joinings": [joining("Ada", False), joining("Bjørn", True)],
        "enrolments": [enrolment()],
        "token_exchanges": token_exchanges(),
        "reading_cards": reading_cards(),
        "welcomes": welcomes(),
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
    "constant": constant,
    "record": record,
    "bucket": bucket,
    "token": token_rows,
    "admission": admission,
    "channel": channel,
    "page": page,
    "keyring": keyring,
    "params": params,
    "checkpoint": checkpoint,
    "contact": contact,
    "mailbox": mailbox,
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
