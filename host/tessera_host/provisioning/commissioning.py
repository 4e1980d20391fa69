"""Is a relay's cover what its key and the signed parameters say? Cells of an epoch in which nobody can have posted,
recomputed here byte for byte (PROTOCOL §8).

Owns which cells are looked at and the comparison. The relay's own part is two commands of its
console, commission and batch.
"""

import base64
import binascii
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tessera import cover
from tessera.cover import EpochCover
from tessera.errors import NotAdmitted
from tessera.params import Parameters
from tessera.wire import RECORD_BYTES, refusal_name

from ..clock import utc_now
from ..errors import CommissioningFailed, IntegrityError, TesseraError
from ..protocol.parameter_sets import honest
from .console import CommandRefused, Console

SAMPLED_CELLS = 16
CELL_SECONDS = 120.0
ATTEMPTS = 2
MEMBER_ADMITTED = refusal_name(NotAdmitted)  # the code of `commission` once nothing is disclosed any more
DO_NOT_USE = "do not use this board as a relay; flash it anew, and report the error if it comes again"

Advance = Callable[[int, int], None]
SetNamed = Callable[[bytes], Parameters]


@dataclass(frozen=True)
class Commissioned:
    """What was compared: cells and records of an epoch."""

    epoch: int
    cells: int
    of_cells: int
    records: int

    def told(self) -> dict[str, Any]:
        """For inventory and journal."""
        figures = {"epoch": self.epoch, "cells": self.cells, "of": self.of_cells, "records": self.records}
        return {**figures, "at": utc_now()}


def check(console: Console, set_named: SetNamed, every_cell: bool, advance: Advance) -> Commissioned | None:
    """Compare cells of the commissioning epoch: all of them, or the first, the last and some drawn at random.

    set_named: the signed set of a digest (32 bytes); the relay says by which one it went in that epoch. None if the
    relay discloses nothing any more, because a member was admitted. Raises CommissioningFailed.
    """
    try:
        parameters, epoch, first, end, key = _disclosed(console, set_named)
    except CommandRefused as refusal:
        if refusal.code == MEMBER_ADMITTED:
            return None
        raise
    if not honest(parameters):
        raise CommissioningFailed(
            "the noise table does not have the δ that the parameters claim",
            "make a new plan and sign it: tessera issuer renew --plan",
        )
    expected = cover.EpochCover(key, bytes(parameters.thresholds), parameters.constant)
    every = [(bucket, round_) for round_ in range(first, end) for bucket in range(parameters.buckets)]
    cells = every if every_cell else sample(every, SAMPLED_CELLS)
    records = 0
    for number, cell in enumerate(cells):
        records += _compare(console, expected, *cell)
        advance(number + 1, len(cells))
    return Commissioned(epoch, len(cells), len(every), records)


def sample(cells: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """The first, the last, and others that the relay cannot foresee."""
    if len(cells) <= count:
        return cells
    drawn = secrets.SystemRandom().sample(cells[1:-1], count - 2)
    return [cells[0], *sorted(drawn, key=lambda cell: (cell[1], cell[0])), cells[-1]]


def dummies(expected: EpochCover, bucket: int, round_: int) -> list[bytes]:
    """The cover of a cell in the order in which it is served."""
    made = expected.dummies(bucket, round_)
    record = bytearray(RECORD_BYTES)
    records = []
    for number in range(expected.noise(bucket, round_)):
        made.make(number, record)
        records.append(bytes(record))
    return sorted(records)


def _disclosed(console: Console, set_named: SetNamed) -> tuple[Parameters, int, int, int, bytes]:
    """(set, epoch, first round, round after the last, cover key). A damaged line is asked for once more."""
    failure: TesseraError = CommissioningFailed(
        "the relay's answer about its commissioning epoch is malformed", DO_NOT_USE
    )
    for _ in range(ATTEMPTS):
        told = console.ask("commission").result
        try:
            epoch, first, end = int(told["epoch"]), int(told["first_round"]), int(told["end_round"])
            key, digest = bytes.fromhex(told["cover_key"]), bytes.fromhex(told["parameter_digest"])
        except (KeyError, TypeError, ValueError):
            continue
        try:
            parameters = set_named(digest)
        except IntegrityError as unknown:
            failure = unknown
            continue
        if len(key) == 32 and epoch * parameters.epoch_rounds == first < end <= first + parameters.epoch_rounds:
            return parameters, epoch, first, end, key
    raise failure


def _compare(console: Console, expected: EpochCover, bucket: int, round_: int) -> int:
    """How many records the cell has. A damaged line is asked for once more before the relay is blamed for it."""
    wanted = dummies(expected, bucket, round_)
    for _ in range(ATTEMPTS):
        answer = console.ask("batch", bucket, round_, seconds=CELL_SECONDS)
        if _records(answer.lines) == wanted and answer.result.get("count") == len(wanted):
            return len(wanted)
    raise CommissioningFailed(
        f"the cover of bucket {bucket}, round {round_} does not follow from the relay's key", DO_NOT_USE
    )


def _records(lines: list[bytes]) -> list[bytes] | None:
    try:
        return [base64.b64decode(line, validate=True) for line in lines]
    except binascii.Error:
        return None
