"""A relay that somebody else runs, another department or a third party: its keys are made where it runs, and stay.

Owns the request that leaves that machine, a file of JSON with public keys only, and what the set that comes back has to
be. Leaves to others: the relay's directory (issuer/relay_directory.py), listing it (issuer.py: add_relay_keys), the
relay that runs (server_relay.py). Boards do the same over their cable.

Whoever asks proves that it has the ledger key: the signature is BIP-340's, over everything else. That the request comes
from whom it says two people compare, by the words of its keys.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tessera import curve, hashes
from tessera.errors import InvalidObject
from tessera.params import Parameters
from tessera.wire import PORT

from .. import files
from ..errors import IntegrityError, InvalidInput, UsageError
from ..issuer.relay_directory import CONFIGURATION, PARAMETERS, RelaySecrets, widen, write_parameters
from ..planning import boards
from ..protocol import addresses
from ..protocol.limits import check_name
from .server_relay import identity, read_configuration

VERSION = 1
KIND = "tessera-relay-request"
_FIELDS = ("format", "version", "name", "host", "port", "static_key", "ledger_key", "signature")


@dataclass(frozen=True)
class RelayRequest:
    """static_key has 33 bytes, ledger_key (x-only) 32, signature 64."""

    name: str
    host: str
    port: int
    static_key: bytes
    ledger_key: bytes
    signature: bytes

    def text(self) -> str:
        """The request as a JSON file."""
        said = _said(self.name, self.host, self.port, self.static_key, self.ledger_key)
        return json.dumps(said | {"signature": self.signature.hex()}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a request and check its signature. Raises InvalidInput."""
        try:
            said = json.loads(text)
            fields = [said[name] for name in _FIELDS]
            static_key, ledger_key, signature = (bytes.fromhex(said[name]) for name in _FIELDS[5:])
            found = cls(said["name"], said["host"], said["port"], static_key, ledger_key, signature)
            known = fields[:2] == [KIND, VERSION] and len(said) == len(_FIELDS)
            typed = list(map(type, fields[2:5])) == [str, str, int]
        except (ValueError, KeyError, TypeError, RecursionError):
            known = typed = False
        if not (known and typed):
            raise InvalidInput(
                "this is not a relay's request", "make one on the relay's machine: tessera relay request"
            )
        if (len(static_key), len(ledger_key), len(signature)) != (33, 32, 64) or not curve.verify(
            signature, found._message, ledger_key
        ):
            raise InvalidInput(
                "this request was changed on its way", "ask the relay's operators to send it again, as a file"
            )
        return found

    @property
    def _message(self) -> bytes:
        return _message(_said(self.name, self.host, self.port, self.static_key, self.ledger_key))


def request(name: str, host: str, port: int, directory: Path) -> RelayRequest:
    """Make a relay's directory (new or empty) with its keys, and the request to list it in a federation. host and port
    are the address for members. Raises UsageError."""
    check_name("the relay's name", name)
    addresses.check(host, port, "--host", PORT)
    files.make_directory(directory)
    relay = RelaySecrets.fresh(name, host, port, boards.board("GATEWAY"))
    relay.write(directory)
    static_key, ledger_key = relay.key, relay.ledger_key
    message = _message(_said(name, host, port, static_key, ledger_key))
    signature = curve.sign(relay.ledger_secret, message, secrets.token_bytes(32))
    return RelayRequest(name, host, port, static_key, ledger_key, signature)


def _said(name: str, host: str, port: int, static_key: bytes, ledger_key: bytes) -> dict[str, Any]:
    keys = {"static_key": static_key.hex(), "ledger_key": ledger_key.hex()}
    return {"format": KIND, "version": VERSION, "name": name, "host": host, "port": port} | keys


def _message(said: dict[str, Any]) -> bytes:
    digest: bytes = hashes.tagged("relay-request", json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    return digest


def accept(directory: Path, blob: bytes) -> Parameters:
    """Write the set that IT sent back into the relay's directory, so that the relay can start. Raises InvalidInput,
    IntegrityError; UsageError if the directory has a set already: later ones come over the network."""
    if not (directory / CONFIGURATION).is_file():
        raise UsageError(f"there is no relay in {directory}", "make one first: tessera relay request")
    own = identity(read_configuration(directory))
    if (directory / PARAMETERS).exists():
        raise UsageError(
            f"the relay in {directory} already has its parameters", f"start it: tessera serve --storage {directory}"
        )
    try:
        found = Parameters(blob)
        found.verify()
    except InvalidObject as error:
        raise InvalidInput(
            f"this is not a file of tessera relay admit: {error}", "ask IT to send the answer again"
        ) from None
    keys = own.static[1], own.ledger_key
    places = [place.id for place in found.relays if (place.static_key, place.ledger_key) == keys]
    if not places or found.column(places[0]) is None:
        raise IntegrityError(
            "this answer is for another relay", "send this relay's own request to IT, and use the answer to that one"
        )
    widen(directory, boards.board("GATEWAY"), found)
    write_parameters(directory, blob)
    return found
