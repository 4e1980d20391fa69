"""A relay directory for `tessera serve` with the keys of the tests' office (tests/core/office.py): who knows them makes
tokens without an issuer, and as many as wanted.
"""

import json
import os
from pathlib import Path
from typing import Any

import office
from tessera_host.planning.boards import board


def make_server(folder: Path, port: int, **changes: Any) -> None:
    """What `tessera relay new` would write, of a relay that never ran; changes: fields of its set."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parameters").write_bytes(office.parameters(**changes))
    (folder / "seed").write_bytes(os.urandom(32))
    server = board("GATEWAY")
    configuration = {
        "version": 1,
        "name": "server",
        "static_secret": office.STATIC.hex(),
        "ledger_secret": office.LEDGER.hex(),
        "ring_sectors": server.ring_sectors,
        "keyring_sectors": server.keyring_sectors,
        "host": "127.0.0.1",
        "port": port,
    }
    (folder / "relay.json").write_text(json.dumps(configuration))
