"""The text form of everything that people pass to each other (PROTOCOL §12): one line, one checksum, one CBOR map.

Owns the text format and which fields a card of each kind has. What the fields mean, and whether their signatures
hold, is for the modules that make and take the cards (`contacts`, `wallet`, the issuer).
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2

from tessera import hashes

from ..errors import InvalidInput
from ..topologies import KINDS, MOST_COPIES
from .limits import MOST_SETS_BESIDE, name_fault

MAX_TEXT = 1 << 21  # a set of 64 relays and 400 epochs, whole
CHECKSUM_BYTES = 4
RETENTION_DAYS_MAX = 3650  # of messages at members
START = "tessera:"

Check = Callable[[Any], bool]


def _octets(length: int) -> Check:
    return lambda value: isinstance(value, bytes) and len(value) == length


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _epoch(value: Any) -> bool:
    return _number(value) and value < 1 << 32


def _bytes(value: Any) -> bool:
    return isinstance(value, bytes)


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()


def _name(value: Any) -> bool:
    """Of a person, a relay or an office."""
    return isinstance(value, str) and name_fault(value) is None


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _at_most(most: int, check: Check) -> Check:
    return lambda value: _list_of(check)(value) and len(value) <= most


def _pair(first: Check, second: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


def _map(**checks: Check) -> Check:
    return lambda value: (
        isinstance(value, dict) and value.keys() == checks.keys() and all(f(value[k]) for k, f in checks.items())
    )


def _at_least(**checks: Check) -> Check:
    """A map that may have more: what later programs say beside what this one knows."""
    return lambda value: isinstance(value, dict) and all(k in value and f(value[k]) for k, f in checks.items())


def _none_or(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _port(value: Any) -> bool:
    return _number(value) and 0 < value < 65536


def _relay_id(value: Any) -> bool:
    return _number(value) and value < 65536


def _offer(value: Any) -> bool:
    """`[epoch, relay id, R0, R1]`."""
    checks = (_number, _relay_id, _POINT, _POINT)
    return isinstance(value, list) and len(value) == len(checks) and all(map(_holds, checks, value))


def _holds(check: Check, value: Any) -> bool:
    return check(value)


def is_decimal(value: Any) -> bool:
    """Tell whether this is a positive number that every implementation reads alike: digits, a point, at most two digits
    of exponent."""
    return isinstance(value, str) and bool(_DECIMAL.fullmatch(value)) and bool(re.search("[1-9]", value.split("e")[0]))


_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?")
_KEY, _POINT, _SIGNATURE, _ID = _octets(32), _octets(33), _octets(64), _octets(16)
_RELAY = _at_least(id=_relay_id, name=_name, host=_text, port=_port)
_SERVICE = _map(host=_text, port=_port, key=_POINT)
_BUDGET = _map(epsilon=is_decimal, delta=is_decimal)
_TOPOLOGY = _map(kind=lambda value: value in KINDS, copies=lambda value: _number(value) and 1 <= value <= MOST_COPIES)

VERSIONS = {"federation": 2, "tokens-request": 2}  # of the others 1

# The rows of the table in PROTOCOL §12; `v` is checked for every kind.
FIELDS: dict[str, dict[str, Check]] = {
    "federation": {
        "params": _bytes,
        "said": _bytes,
    },
    "member": {"name": _name, "key": _KEY, "sig": _SIGNATURE},
    "invitation": {
        "name": _name,
        "office": _name,
        "federation": _ID,
        "root": _KEY,
        "access": _KEY,
        "home": _name,
        "secret": _ID,
        "until": _number,
        "issuer": _none_or(_SERVICE),
        "card": _none_or(_bytes),
    },
    "join": {"invitation": _ID, "name": _name, "key": _KEY, "sig": _SIGNATURE, "proof": _KEY},
    "invite": {
        "federation": _ID,
        "digest": _KEY,
        "epoch": _number,
        "name": _name,
        "key": _KEY,
        "commit": _KEY,
        "mailbox": _ID,
        "relay": _relay_id,
    },
    "answer": {
        "invite": _KEY,
        "name": _name,
        "key": _KEY,
        "x": _KEY,
        "mailbox": _ID,
        "relay": _relay_id,
        "sig": _SIGNATURE,
    },
    "confirm": {"answer": _KEY, "x": _KEY, "nonce": _KEY, "sig": _SIGNATURE},
    "reading": {"member": _KEY, "e": _POINT, "sealed": _list_of(_octets(64))},
    "sets": {"digest": _KEY, "since": _epoch, "before": _at_most(MOST_SETS_BESIDE, _pair(_epoch, _bytes))},
    "tokens-request": {
        "member": _KEY,
        "generation": _number,
        "epoch": _number,
        "time": _number,
        "sig": _SIGNATURE,
    },
    "tokens-offer": {"request": _KEY, "session": _ID, "generation": _number, "offers": _list_of(_offer)},
    "tokens-challenge": {
        "session": _ID,
        "member": _KEY,
        "challenges": _list_of(_pair(_KEY, _KEY)),
        "sig": _SIGNATURE,
    },
    "tokens-answer": {"session": _ID, "answers": _list_of(_pair(lambda value: _number(value) and value < 2, _KEY))},
}

# What a federation card says beside its set, which has the hash of all of it (PROTOCOL §12). Of later programs there
# may be more.
_SAID: dict[str, Check] = {
    "name": _name,
    "relays": _list_of(_RELAY),
    "budget": _BUDGET,
    "issuer": _none_or(_SERVICE),
    "retention_days": lambda value: _number(value) and 0 < value <= RETENTION_DAYS_MAX,
    "partners": lambda value: isinstance(value, list),
    "topology": _none_or(_TOPOLOGY),
}


@dataclass(frozen=True)
class Card:
    """A card that was read: its kind, its payload as it was transmitted, and the fields of the payload."""

    kind: str
    payload: bytes
    fields: dict[str, Any]


def version(kind: str) -> int:
    """The `v` of the cards of this kind."""
    return VERSIONS.get(kind, 1)


def canonical(fields: dict[str, Any]) -> bytes:
    """Encode these fields in the one canonical CBOR encoding (RFC 8949 §4.2.1): what is signed and hashed."""
    return cbor2.dumps(fields, canonical=True)


def without_signature(fields: dict[str, Any]) -> bytes:
    """Encode the fields without `sig`: what `sig` is made over."""
    return canonical({name: value for name, value in fields.items() if name != "sig"})


def encode(kind: str, fields: dict[str, Any]) -> str:
    """Write a card as one line of text. `v` need not be given. Raises InvalidInput if these are not the fields of that
    kind."""
    fields = {"v": version(kind), **fields}
    _check_fields(kind, fields)
    payload = canonical(fields)
    body = base64.urlsafe_b64encode(payload + _checksum(kind, payload)).decode().rstrip("=")
    return f"tessera:{kind}:{body}"


def decode(text: str, kind: str | None = None) -> Card:
    """Read a card, of this kind if one is given. Does not check signatures. Raises InvalidInput."""
    found, body = _split("".join(text.split()))
    if kind is not None and found != kind:
        raise InvalidInput(
            f"this is a card of kind '{found}', but a card of kind '{kind}' is needed here", "look for the other card"
        )
    raw = _unbase64(body)
    payload, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
    if checksum != _checksum(found, payload):
        raise InvalidInput("this card is damaged: its checksum is wrong", "copy the whole line again")
    return Card(found, payload, decode_payload(found, payload))


def decode_payload(kind: str, payload: bytes) -> dict[str, Any]:
    """Read the fields of a card's payload, without the text form around it. Raises InvalidInput."""
    fields = _uncbor(payload)
    _check_fields(kind, fields)
    return fields


def holds(kind: str, fields: dict[str, Any]) -> bool:
    """Tell whether these may be the fields of a card of this kind, without `v`."""
    checks = FIELDS[kind]
    return fields.keys() == checks.keys() and all(check(fields[name]) for name, check in checks.items())


def said(fields: dict[str, Any]) -> bytes:
    """Encode what a federation card says beside its set, as it is hashed. Raises InvalidInput."""
    _check_said(fields)
    return canonical(fields)


def decode_said(payload: bytes) -> dict[str, Any]:
    """Read what a federation card says beside its set; there may be more fields than are known. Raises InvalidInput."""
    fields = _uncbor(payload)
    _check_said(fields)
    return fields


def said_hash(payload: bytes) -> bytes:
    """Compute the hash (32 bytes) by which a parameter set names it."""
    return hashes.tagged("federation-card", payload)


def _split(text: str) -> tuple[str, str]:
    parts = text.split(":")
    if len(parts) != 3 or parts[0] != "tessera" or len(text) > MAX_TEXT:
        raise InvalidInput("this is not a Tessera card", "a card is one line that begins with 'tessera:'")
    if parts[1] not in FIELDS:  # not named: if a part of the line is lacking, this may be anything, and a secret
        raise InvalidInput(
            "this card is of an unknown kind",
            "copy the whole line again; if that does not help, update tessera",
        )
    return parts[1], parts[2]


def _unbase64(body: str) -> bytes:
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            "this card is damaged: it contains characters that no card has", "copy the whole line again"
        ) from None
    return raw


def _checksum(kind: str, payload: bytes) -> bytes:
    digest = hashes.tagged("card", kind.encode() + payload)
    return digest[:CHECKSUM_BYTES]


def _uncbor(payload: bytes) -> dict[str, Any]:
    """Only the canonical encoding is taken, so a payload and its hash stand for one meaning."""
    try:
        fields = cbor2.loads(payload, max_depth=8, allow_indefinite=False)
        if isinstance(fields, dict) and canonical(fields) == payload:
            return fields
    except (cbor2.CBORError, ValueError, TypeError, OverflowError):
        pass
    raise InvalidInput("this card is damaged, or was not made by tessera", "ask its sender for a new one")


def _check_fields(kind: str, fields: dict[str, Any]) -> None:
    checks = FIELDS[kind]
    if type(fields.get("v")) is not int or fields["v"] != version(kind):  # True and 1.0 equal 1 here, not in CBOR
        raise InvalidInput(f"this {kind} card has a version this program does not know", "update tessera")
    if fields.keys() != checks.keys() | {"v"}:
        raise InvalidInput(
            f"this {kind} card does not have the fields of a {kind} card", "ask its sender for a new one"
        )
    for name, check in checks.items():
        if not check(fields[name]):
            raise InvalidInput(f"this {kind} card has an invalid field '{name}'", "ask its sender for a new one")


def _check_said(fields: dict[str, Any]) -> None:
    for name, check in _SAID.items():
        if name not in fields or not check(fields[name]):
            raise InvalidInput(f"the federation card has no valid '{name}'", "ask IT for a new card")
    for unique in ("id", "name"):
        if len({relay[unique] for relay in fields["relays"]}) < len(fields["relays"]):
            raise InvalidInput(f"two relays in the federation card have the same {unique}", "ask IT for a new card")
