"""A relay's privacy ledger, asked for over the network: its checkpoints, its parameters, its public figures.

Owns the questions. The federation card is enough for them: no token, no keystore. Whether anything of the answers is to
be believed is `audit.verify`'s business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tessera.errors import InvalidObject
from tessera.ledger import Checkpoint

from ..protocol.federation import Federation, Relay
from ..protocol.relay_connection import FAULT, TOO_OLD, ErrorFrame, RelayConnection, RelayFigures

LEDGER_ENTRIES = 512  # at most so many a relay keeps, at least half of them (PROTOCOL §11)
_EPOCHS_A_CONNECTION = 64  # a relay may give a session's place away after two minutes

Advance = Callable[[int], None]  # epochs asked for so far


@dataclass
class LedgerAnswers:
    """What a relay said: `checkpoints` by the epoch asked for (250 bytes each, unverified), and what it had none of.
    `parameters` is its copy of its newest set, `digest` (32 bytes) names the set that is in force."""

    open_epoch: int
    open_round: int
    parameters: bytes
    newest_digest: bytes
    digest: bytes
    figures: RelayFigures
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    absent: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)


async def ask(federation: Federation, relay: Relay, advance: Advance = lambda _: None) -> LedgerAnswers:
    """Ask a relay for all checkpoints of its ledger, its parameters and figures. advance(epochs asked for so far) is
    called after each. Raises Unreachable, ErrorFrame or IntegrityError."""
    async with await _connected(federation, relay) as connection:
        info = await connection.info()
        parameters = await connection.params()
        figures = await connection.status()
    named = info.newest_digest, info.digest
    answers = LedgerAnswers(federation.epoch_of(info.open_round), info.open_round, parameters, *named, figures)
    epoch = answers.open_epoch - 1
    last = max(0, answers.open_epoch - LEDGER_ENTRIES)
    while epoch >= last and not _begun(answers):
        until = max(last, epoch - _EPOCHS_A_CONNECTION + 1)
        async with await _connected(federation, relay) as connection:
            while epoch >= until and not _begun(answers):
                await _ask_epoch(connection, epoch, answers)
                epoch -= 1
                advance(answers.open_epoch - 1 - epoch)
    return answers


async def _connected(federation: Federation, relay: Relay) -> RelayConnection:
    return await RelayConnection.open(relay.host, relay.port, relay.key, federation.newest.access_key)


async def _ask_epoch(connection: RelayConnection, epoch: int, answers: LedgerAnswers) -> None:
    try:
        answers.checkpoints[epoch] = await connection.checkpoint(epoch)
    except ErrorFrame as refusal:
        if refusal.code not in (TOO_OLD, FAULT):
            raise
        (answers.absent if refusal.code == TOO_OLD else answers.damaged).append(epoch)


def _begun(answers: LedgerAnswers) -> bool:
    """Whether the oldest checkpoint so far says that there is none before it."""
    if not answers.checkpoints:
        return False
    try:
        return not any(Checkpoint(answers.checkpoints[min(answers.checkpoints)]).previous)
    except InvalidObject:
        return False
