"""A relay directory whose record ring holds every record that its parameters allow, for benchmarks.

Owns how such a relay is made: the core on CPython lives through its epochs in fast motion. It has the keys of the
tests' office (tests/core/office.py), so a benchmark can make tokens without an issuer.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import office
from check import unhex, vectors
from tessera import curve
from tessera.clock import Clock
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.params import Parameters
from tessera.relay import Identity, Relay
from tessera_host.planning.boards import board

RING_SECTORS, KEYRING_SECTORS = board("RPI_PICO_W").ring_sectors, board("RPI_PICO_W").keyring_sectors
ROUND_SECONDS, EPOCH_ROUNDS, RETENTION = 300, 288, 3
EPOCH_SECONDS = ROUND_SECONDS * EPOCH_ROUNDS
MEMBERS, POSTS = 25, 16
RECORDS_AN_EPOCH = MEMBERS * 2 * POSTS
NOISE_TABLE = 2  # of tests/vectors/noise_table.json: ε = 0.1, δ = 1e-6, µ = 148


@dataclass(frozen=True)
class FullRelay:
    """`directory` holds relay.json, parameters, ring.flash and keys.flash (a seed if it never ran); its clock is past
    genesis by `age_seconds`."""

    directory: Path
    genesis: int
    age_seconds: int

    @property
    def now(self) -> int:
        """Unix seconds in the middle of its open round."""
        return self.genesis + self.age_seconds

    @property
    def open_round(self) -> int:
        return self.age_seconds // ROUND_SECONDS

    @property
    def epoch(self) -> int:
        return self.open_round // EPOCH_ROUNDS


def _parameters(genesis: int, **changes: Any) -> bytes:
    table = unhex("".join(vectors("noise_table")[NOISE_TABLE]["thresholds"]))
    shape = {"round_seconds": ROUND_SECONDS, "epoch_rounds": EPOCH_ROUNDS, "retention_epochs": RETENTION}
    members = {"members": MEMBERS, "posts_per_token": POSTS, "log2_buckets": 0}
    cover = {"thresholds": table, "epsilon": 100_000}
    return office.parameters(**({"genesis": genesis} | shape | members | cover | changes))


def next_set(genesis: int, open_epoch: int, epochs: int, relays: int) -> bytes:
    """What is pushed to the relay next: the set after its own, of so many epochs and relays."""
    filling = [bytes([number]) * 32 * epochs for number in range(relays)]
    ours = (office.epoch_keys()[32 * open_epoch :] + filling[0])[: 32 * epochs]
    listed = [office.relay_fields(2, column=ours)]
    for number in range(1, relays):
        key = curve.public((1000 + number).to_bytes(32, "big"))
        listed.append(office.relay_fields(2, static_key=key, relay_id=office.RELAY_ID + number, column=filling[number]))
    blob = _parameters(genesis, serial=2, first_epoch=open_epoch, relays=listed)
    return bytes(Parameters(blob).copy_for(office.RELAY_ID))


def make_relay(directory: Path, genesis: int, **changes: Any) -> FullRelay:
    """A relay that was provisioned, with these changes of its parameters, and never ran."""
    blob = _parameters(genesis, **changes)
    (directory / "parameters").write_bytes(blob)
    (directory / "seed").write_bytes(os.urandom(32))
    secrets = {"static_secret": office.STATIC.hex(), "ledger_secret": office.LEDGER.hex()}
    sectors = {"ring_sectors": RING_SECTORS, "keyring_sectors": KEYRING_SECTORS}
    (directory / "relay.json").write_text(json.dumps({"version": 1, "name": "bench", **secrets, **sectors}))
    return FullRelay(directory, genesis, EPOCH_SECONDS // 2)


def make_full_relay(directory: Path, genesis: int) -> FullRelay:
    """A relay in the middle of its fourth epoch, every record of the four posted."""
    make_relay(directory, genesis)
    rounds = RETENTION * EPOCH_ROUNDS + EPOCH_ROUNDS // 2 - 2
    per_round = RECORDS_AN_EPOCH / EPOCH_ROUNDS
    full = [  # the last epoch's records fit into its first half
        int((round_ + 1) * per_round * share) - int(round_ * per_round * share)
        for round_ in range(rounds)
        for share in (2 if round_ >= RETENTION * EPOCH_ROUNDS else 1,)
    ]
    return _fill(directory, genesis, full)


def make_cells(directory: Path, genesis: int, records: list[int], **changes: Any) -> FullRelay:
    """A relay with these changes of its parameters and so many records in its first rounds."""
    make_relay(directory, genesis, **changes)
    return _fill(directory, genesis, records)


def _fill(directory: Path, genesis: int, records: list[int]) -> FullRelay:
    now = [0]
    ring = FileDevice(f"{directory}/ring.flash", RING_SECTORS)
    keys = FileDevice(f"{directory}/keys.flash", KEYRING_SECTORS)
    identity = Identity(office.STATIC, office.LEDGER, b"bench", bytes(32))
    clock = Clock(lambda: now[0], lambda later, earlier: later - earlier)
    relay = Relay(ring, keys, Directory(str(directory)), identity, os.urandom, clock)
    relay.start()
    clock.set(1000 * genesis)
    relay.turn()
    statement = office.time_statement(genesis)
    relay.push(office.Cable(), len(statement), 0, len(statement), statement)  # else nothing is sealed under this clock
    for count in records:
        relay.turn()
        relay.maintain()
        for _ in range(count):
            relay._log.append(relay.open_round, 0, os.urandom(240), relay._epochs.ciphers[relay.epoch])
        now[0] += 1000 * ROUND_SECONDS
    ring.close()
    keys.close()
    return FullRelay(directory, genesis, (len(records) + 1) * ROUND_SECONDS + ROUND_SECONDS // 2)
