"""A thief with every disk: what the gateways' databases and the engine hold opens the open epoch, and none that is over
(docs/fleet.md §6).
"""

import asyncio
from pathlib import Path

import pytest

from office import EPOCH_ROUNDS, records
from tessera_host.fleet.entry import Clear
from tessera_host.fleet.keys import LogKeys
from tests.fleet import thief
from tests.fleet.running import ROUND, Play, played


async def _next_epoch(play: Play) -> None:
    """Members posted in this one."""
    member = play.member(1, token=play.gateways[1].state.epoch)
    await member.admit()
    await member.send(records(1, b"shredded")[0])
    epoch = play.gateways[1].state.epoch
    await play.until(
        lambda: all(gateway.state.epoch > epoch for gateway in play.gateways.values()), 2 * EPOCH_ROUNDS * ROUND
    )
    await asyncio.sleep(2 * ROUND)


def _opened(play: Play) -> set[int]:
    """Epochs of which the thief reads an entry, with all disks as they lie."""
    engine = [entry.entry for entry in play.log.entries]
    disks = thief.disks(*(play.directory(number) for number in play.gateways))
    return thief.opened_epochs(play.log.entries, thief.candidates([*disks, *engine]))


def test_with_all_disks_in_hand_only_the_open_epoch_opens(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.begin(3)
        await play.next_round()
        epoch = play.gateways[1].state.epoch
        assert _opened(play) == {epoch}
        await _next_epoch(play)
        assert {Clear.of(entry.entry).epoch for entry in play.log.entries} == {epoch, epoch + 1}
        assert _opened(play) == {epoch + 1}

    played(story, tmp_path)


def test_gateways_that_keep_their_log_keys_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(LogKeys, "crossed", lambda self, epoch: None)

    async def story(play: Play) -> None:
        await play.begin(1)
        await play.next_round()
        epoch = play.gateways[1].state.epoch
        await _next_epoch(play)
        assert _opened(play) == {epoch, epoch + 1}

    played(story, tmp_path)
