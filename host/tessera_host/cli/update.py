"""The command that brings new code to a relay over the network: `tessera relay update`.

Owns what is typed and shown. How the relay gets it is relay/operating.py's.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from tessera.release import version_text

from ..protocol import releases
from ..relay import operating
from .opening import open_issuer
from .options import IssuerDirectory, Json, PassphraseFile, RelayName
from .output import show


def register(relay_app: typer.Typer) -> None:
    """Add the command to `tessera relay`."""
    relay_app.command("update")(relay_update)


def relay_update(
    name: RelayName,
    release_file: Annotated[Path, typer.Option("--release", help="bundle.release or slot.release, from IT.")],
    issuer: IssuerDirectory,
    artifact_file: Annotated[
        Path | None, typer.Option("--artifact", help="bundle.bin or slot.bin. Default: beside the release.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Bring new code to a relay in service. The relay tries it when a round ends, and keeps it if it serves one."""
    release = releases.load(release_file)
    artifact = releases.read_artifact(artifact_file or releases.artifact_of(release_file, release))
    with open_issuer(issuer, passphrase_file) as it:
        operator = it.operator()
    relay, parameters = operator.relay_named(name), operator.parameters
    releases.check(release, artifact, parameters.federation_id, parameters.root_key, release.board)
    with Progress(disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(f"{name}: code", total=len(artifact))
        wait = asyncio.run(
            operating.update(
                relay,
                operator.access_keys,
                parameters.federation_id,
                operator.sign,
                release,
                artifact,
                lambda done, _: progress.update(task, completed=done),
            )
        )
    version = version_text(release.version)
    text = [
        f"{name} has received version {version} and tries it in about {wait} s. If it serves no round with it, it",
        "returns to the old version by itself. Parameters and records stay as they are.",
    ]
    show({"relay": name, "version": version, "bytes": len(artifact), "tried_in_s": wait}, "\n".join(text), as_json)
