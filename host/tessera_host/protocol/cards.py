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
from .limits import name_fault

VERSION = 1
MAX_TEXT = 1 << 20
CHECKSUM_BYTES = 4
START = "tessera:"

Check = Callable[[Any], bool]


def _octets(length: int) -> Check:
    return lambda value: isinstance(value, bytes) and len(value) == length


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()


def _name(value: Any) -> bool:
    """Of a person, a relay or an office."""
    return isinstance(value, str) and name_fault(value) is None


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _pair(first: Check, second: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


def _map(**checks: Check) -> Check:
    return lambda value: (
        isinstance(value, dict) and value.keys() == checks.keys() and all(f(value[k]) for k, f in checks.items())
    )


def _none_or(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _port(value: Any) -> bool:
    return _number(value) and 0 < value < 65536


def is_decimal(value: Any) -> bool:
    """A positive number that any implementation reads alike: digits, a point, at most two digits of exponent."""
    return isinstance(value, str) and bool(_DECIMAL.fullmatch(value)) and bool(re.search("[1-9]", value.split("e")[0]))


_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?(e-?[0-9]{1,2})?")
_KEY, _POINT, _SIGNATURE, _ID = _octets(32), _octets(33), _octets(64), _octets(16)
_RELAY = _map(name=_name, key=_POINT, host=_text, port=_port)
_SERVICE = _map(host=_text, port=_port, key=_POINT)
_BUDGET = _map(epsilon=is_decimal, delta=is_decimal)

# The rows of the table in PROTOCOL §12; `v` is checked for every kind.
FIELDS: dict[str, dict[str, Check]] = {
    "federation": {
        "name": _name,
        "params": lambda value: isinstance(value, bytes),
        "relays": _list_of(_RELAY),
        "budget": _BUDGET,
        "issuer": _none_or(_SERVICE),
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
        "card": _none_or(lambda value: isinstance(value, bytes)),
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
        "relay": _POINT,
    },
    "answer": {
        "invite": _KEY,
        "name": _name,
        "key": _KEY,
        "x": _KEY,
        "mailbox": _ID,
        "relay": _POINT,
        "sig": _SIGNATURE,
    },
    "confirm": {"answer": _KEY, "x": _KEY, "nonce": _KEY, "sig": _SIGNATURE},
    "tokens-request": {"member": _KEY, "epoch": _number, "count": _number, "time": _number, "sig": _SIGNATURE},
    "tokens-offer": {"request": _KEY, "session": _ID, "epoch": _number, "offers": _list_of(_pair(_POINT, _POINT))},
    "tokens-challenge": {
        "session": _ID,
        "member": _KEY,
        "challenges": _list_of(_pair(_KEY, _KEY)),
        "sig": _SIGNATURE,
    },
    "tokens-answer": {"session": _ID, "answers": _list_of(_pair(lambda value: _number(value) and value < 2, _KEY))},
}


@dataclass(frozen=True)
class Card:
    """A card that was read: its kind, its payload as it was transmitted, and what the payload says."""

    kind: str
    payload: bytes
    fields: dict[str, Any]


def canonical(fields: dict[str, Any]) -> bytes:
    """The one CBOR encoding of these fields (RFC 8949 §4.2.1): what is signed and hashed."""
    return cbor2.dumps(fields, canonical=True)


def without_signature(fields: dict[str, Any]) -> bytes:
    """The canonical encoding of the fields but `sig`: what `sig` is made over."""
    return canonical({name: value for name, value in fields.items() if name != "sig"})


def encode(kind: str, fields: dict[str, Any]) -> str:
    """One line of text. `v` need not be given. Raises InvalidInput if these are not the fields of that kind."""
    fields = {"v": VERSION, **fields}
    _check_fields(kind, fields)
    payload = canonical(fields)
    body = base64.urlsafe_b64encode(payload + _checksum(kind, payload)).decode().rstrip("=")
    return f"tessera:{kind}:{body}"


def decode(text: str, kind: str | None = None) -> Card:
    """Read a card, of this kind if one is given. Raises InvalidInput; signatures are not looked at."""
    found, body = _split("".join(text.split()))
    if kind is not None and found != kind:
        raise InvalidInput(
            f"this is a card of kind '{found}', one of kind '{kind}' is wanted here", "look for the other card"
        )
    raw = _unbase64(body)
    payload, checksum = raw[:-CHECKSUM_BYTES], raw[-CHECKSUM_BYTES:]
    if checksum != _checksum(found, payload):
        raise InvalidInput("this card is damaged: its checksum is wrong", "copy the whole line again")
    return Card(found, payload, decode_payload(found, payload))


def decode_payload(kind: str, payload: bytes) -> dict[str, Any]:
    """The fields of a card's payload, without the text form around it. Raises InvalidInput."""
    fields = _uncbor(payload)
    _check_fields(kind, fields)
    return fields


def _split(text: str) -> tuple[str, str]:
    parts = text.split(":")
    if len(parts) != 3 or parts[0] != "tessera" or len(text) > MAX_TEXT:
        raise InvalidInput("this is not a Tessera card", "a card is one line that begins with 'tessera:'")
    if parts[1] not in FIELDS:  # not named: if a part of the line is lacking, this may be anything, and a secret
        raise InvalidInput(
            "this is a card of no kind that there is",
            "copy the whole line again; if that does not help, update tessera",
        )
    return parts[1], parts[2]


def _unbase64(body: str) -> bytes:
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            "this card is damaged: it has letters that no card has", "copy the whole line again"
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
    raise InvalidInput("this card is damaged inside, or tessera did not make it", "ask its sender for a new one")


def _check_fields(kind: str, fields: dict[str, Any]) -> None:
    checks = FIELDS[kind]
    if type(fields.get("v")) is not int or fields["v"] != VERSION:  # True and 1.0 equal 1 here, not in CBOR
        raise InvalidInput(f"this {kind} card has a version this program does not know", "update tessera")
    if fields.keys() != checks.keys() | {"v"}:
        raise InvalidInput(f"this {kind} card has other fields than a {kind} card", "ask its sender for a new one")
    for name, check in checks.items():
        if not check(fields[name]):
            raise InvalidInput(f"this {kind} card has an invalid field '{name}'", "ask its sender for a new one")
