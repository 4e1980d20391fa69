"""A relay's directory as IT hands it over: relay.json, seed and parameters, before the relay first runs.

Owns these three files. Leaves to others: making the keys and listing them in the parameters (signer.py), what a relay
adds to the directory when it runs.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from tessera import curve
from tessera.params import Parameters

from .. import files
from ..planning.boards import Board
from ..planning.plan import snapshot_pages
from ..protocol import blind

VERSION = 1
CONFIGURATION = "relay.json"
SEED = "seed"
PARAMETERS = "parameters"
SEED_BYTES = 32


@dataclass(frozen=True)
class RelaySecrets:
    """A new relay's secrets and address. The public keys go into the parameters; the secrets go only to the relay."""

    name: str
    host: str
    port: int
    board: Board
    static_secret: bytes  # of the channel (Noise's s)
    ledger_secret: bytes  # signs checkpoints
    seed: bytes
    time_server: str | None = None  # SNTP, for boards; a relay on a computer has the system's clock
    members: Parameters | None = None  # a set with what they may do, if that is known

    @classmethod
    def fresh(
        cls,
        name: str,
        host: str,
        port: int,
        board: Board,
        time_server: str | None = None,
        members: Parameters | None = None,
    ) -> "RelaySecrets":
        static_secret = blind.random_scalar().to_bytes(32, "big")
        ledger_secret = blind.even_secret(blind.random_scalar())
        seed = secrets.token_bytes(SEED_BYTES)
        return cls(name, host, port, board, static_secret, ledger_secret, seed, time_server, members)

    @property
    def key(self) -> bytes:
        """Static public key, 33 bytes."""
        return curve.public(self.static_secret)

    @property
    def ledger_key(self) -> bytes:
        """x-only, 32 bytes."""
        point = curve.public(self.ledger_secret)
        return point[1:]

    def write(self, directory: Path) -> None:
        """relay.json and seed, mode 0600, into a directory that exists. Raises UsageError if there is a relay in it by
        now: whoever writes relay.json has the directory."""
        configuration = {
            "version": VERSION,
            "name": self.name,
            "static_secret": self.static_secret.hex(),
            "ledger_secret": self.ledger_secret.hex(),
            **sectors(self.board, self.members),
            "host": self.host,
            "port": self.port,
        }
        if self.time_server:
            configuration["sntp"] = self.time_server
        files.write_new(directory / CONFIGURATION, json.dumps(configuration, indent=2).encode() + b"\n")
        files.write(directory / SEED, self.seed)


def widen(directory: Path, board: Board, parameters: Parameters) -> None:
    """Make a relay's rings large enough for the members of this set, before the relay first runs: its keys were made
    before the number of members was known."""
    configuration = json.loads((directory / CONFIGURATION).read_bytes())
    wider = configuration | sectors(board, parameters)
    if wider != configuration:
        files.write(directory / CONFIGURATION, json.dumps(wider, indent=2).encode() + b"\n")


def sectors(board: Board, members: Parameters | None) -> dict[str, int]:
    """The sizes of a relay's rings in sectors, as relay.json has them: for the members of a set, or the board's
    usual sizes if that is None."""
    if members is None:
        return {"ring_sectors": board.ring_sectors, "keyring_sectors": board.keyring_sectors}
    records = members.posts_per_epoch * (members.retention_epochs + 1)
    pages = snapshot_pages(members.retention_epochs, members.members * members.tokens_per_epoch)
    return {
        "ring_sectors": board.ring_sectors_for(records),
        "keyring_sectors": board.keyring_sectors_for(pages),
    }


def write_parameters(directory: Path, blob: bytes) -> None:
    """Write the directory's last file; no relay starts from a directory without it, as its making was cut short."""
    files.write(directory / PARAMETERS, blob)
