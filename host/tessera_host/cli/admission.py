"""The commands by which somebody else's relay comes into a federation: `tessera relay request` and `accept` on its
machine, `tessera relay admit` on IT's.

Owns what is typed and shown. The request and its answer are `relay.admission`'s, the list of relays `issuer`'s.
"""

from pathlib import Path
from typing import Annotated

import typer

from tessera.wire import PORT

from .. import files
from ..errors import NotPermitted
from ..protocol import addresses
from ..provisioning.card import RelayCard
from ..relay import admission
from ..relay.admission import RelayRequest
from .card_exchange import check_new_file
from .opening import open_issuer
from .options import IssuerDirectory, Json, PassphraseFile, ReachedHost, ReachedPort, Yes, composed
from .output import confirmation, show
from .renewing import members_get_it

NewFile = Annotated[Path, typer.Option("--out", "-o", help="New file for the answer to the relay's operators.")]


def register(relay_app: typer.Typer) -> None:
    """Add the commands of this module to `tessera relay`."""
    relay_app.command("request")(relay_request)
    relay_app.command("admit")(relay_admit)
    relay_app.command("accept")(relay_accept)


def relay_request(
    name: Annotated[str, typer.Argument(help="Name of the relay, for people.", callback=composed)],
    relay_directory: Annotated[Path, typer.Argument(metavar="RELAYDIR", help="New directory for the relay.")],
    host: ReachedHost,
    out: Annotated[Path, typer.Option("--out", "-o", help="New file for the request, which goes to IT.")],
    port: ReachedPort = None,
    as_json: Json = False,
) -> None:
    """Ask the IT of an office to list a relay that you run: its keys are made here and never leave this computer.

    The request has public keys only. IT answers with a file for `tessera relay accept`.
    """
    check_new_file(out)
    made = admission.request(name, *addresses.typed(host, port, PORT), relay_directory)
    files.write(out, made.text().encode())
    words = _card(made).words
    text = [
        f"Relay '{name}' is in {relay_directory}, the only place with its secrets. Send {out} to the office's IT.",
        f"Read these words to them, by telephone or in person: {' '.join(words)}",
        f"When they send a file back: tessera relay accept {relay_directory} FILE",
    ]
    result = {"relay": name, "directory": str(relay_directory), "path": str(out), "key": made.static_key.hex()}
    show(result | {"words": words}, "\n".join(text), as_json)


def relay_admit(
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The file that tessera relay request wrote.")],
    issuer_directory: IssuerDirectory,
    out: NewFile,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """List a relay that somebody else runs, by its request, and write the parameters that it needs to start.

    The same request again changes nothing and writes the newest parameters. A request with the name of a relay that is
    to be replaced puts the new relay in its place.
    """
    check_new_file(out)
    asked = RelayRequest.read(files.read_text(request))
    words = " ".join(_card(asked).words)
    question = (
        f"'{asked.name}' at {addresses.shown(asked.host, asked.port)}. Do its operators read you these words: {words}?"
    )
    with open_issuer(issuer_directory, passphrase_file) as issuer:
        issuer.check_not_restored()
        if not confirmation(yes, as_json)(question):
            raise NotPermitted(
                f"'{asked.name}' is not listed: its words were not compared", "compare them, then repeat with --yes"
            )
        added = issuer.add_relay_keys(asked.name, asked.host, asked.port, asked.static_key, asked.ledger_key)
        files.write(out, issuer.copy_for(asked.name))
        serial, service = issuer.parameters.serial, issuer.service
    text = [
        f"Relay '{asked.name}' is listed{'' if added else ' already'}. Parameters have serial {serial} now.",
        f"Give {out} to its operators and to nobody else. They type: tessera relay accept RELAYDIR {out.name}",
        members_get_it(service, issuer_directory),
        f"The other relays get the new parameters from members, or at once: tessera relay push --issuer "
        f"{issuer_directory}",
    ]
    result = {"relay": asked.name, "host": asked.host, "port": asked.port, "key": asked.static_key.hex()}
    show(result | {"added": added, "serial": serial, "path": str(out), "words": words}, "\n".join(text), as_json)


def relay_accept(
    relay_directory: Annotated[Path, typer.Argument(metavar="RELAYDIR", help="The relay's directory.")],
    answer: Annotated[Path, typer.Argument(metavar="FILE", help="What tessera relay admit wrote.")],
    as_json: Json = False,
) -> None:
    """Complete a relay with the file that IT sent back for its request; then it can start."""
    found = admission.accept(relay_directory, files.read(answer))
    text = (
        f"The relay in {relay_directory} now belongs to federation {found.federation_id.hex()}, with parameters of "
        f"serial {found.serial}.\nStart it: tessera serve --storage {relay_directory} --host ADDRESS"
    )
    result = {"directory": str(relay_directory), "federation_id": found.federation_id.hex(), "serial": found.serial}
    show(result | {"root_key": found.root_key.hex()}, text, as_json)


def _card(asked: RelayRequest) -> RelayCard:
    return RelayCard(asked.name, asked.host, asked.port, asked.static_key, asked.ledger_key)
