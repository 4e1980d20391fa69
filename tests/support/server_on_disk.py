"""A relay directory for `tessera serve` with the keys of the tests' office (tests/core/office.py), with which a test
makes any number of tokens without an issuer.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import office
from tessera.params import Parameters, log2_cohorts
from tessera_host.issuer.relay_directory import sectors
from tessera_host.planning.boards import KEYRING_SECTORS, board

# A server's rings have room for what its members need, here as everywhere, but not for the tens of thousands that one
# usually has room for: each start looks at every sector, of a ring of 1 GiB for a quarter of a second.
_BOARD = replace(board("GATEWAY"), ring_sectors=256, keyring_sectors=KEYRING_SECTORS)


def make_server(folder: Path, port: int, **changes: Any) -> None:
    """What `tessera relay new` would write, of a relay that never ran; changes: fields of its set. In a large office
    all cohorts have the keys of the first, unless they are given."""
    keys, cohorts = office.epoch_keys(), 1 << log2_cohorts(changes.get("members", 1))
    if cohorts > 1 and "epoch_keys" not in changes:
        changes["epoch_keys"] = b"".join(keys[at : at + 32] * cohorts for at in range(0, len(keys), 32))
    folder.mkdir(parents=True, exist_ok=True)
    parameters = Parameters(office.parameters(**changes))
    (folder / "parameters").write_bytes(parameters.blob)
    (folder / "seed").write_bytes(os.urandom(32))
    configuration = {
        "version": 1,
        "name": "server",
        "static_secret": office.STATIC.hex(),
        "ledger_secret": office.LEDGER.hex(),
        **sectors(_BOARD, parameters),
        "host": "127.0.0.1",
        "port": port,
    }
    (folder / "relay.json").write_text(json.dumps(configuration))
