"""New code for a relay in service on the emulated board: over the network and the cable, kept or gone by itself.

Everything is the product's: bundles as `make image` builds them, releases of `tessera issuer approve`, a member's
connection, the board's console.
"""

import asyncio
import json
from pathlib import Path

import pytest

from tessera.release import version_number
from tessera_host.errors import RelayRefused
from tessera_host.issuer.issuer import Issuer
from tessera_host.protocol import releases, staging
from tessera_host.protocol.federation import Relay
from tessera_host.relay import operating
from tests.support import bundles
from tests.support.board_console import ask, status
from tests.support.office_on_disk import OfficeOnDisk, admitted, read_all
from tests.support.ready_board import in_board_time
from tests.system.test_board import PATIENCE_SECONDS, post, until_it_knows_the_time
from tools.emulator.board import Board
from tools.emulator.provision import wait_until_serving

NEW = "0.9.1"


def approve(
    issuer: Issuer, folder: Path, version: str, kind: str = "good", name: str = bundles.BOARD
) -> tuple[releases.Release, bytes]:
    """A release and its bundle for a board, as IT makes them."""
    approved = issuer.approve(bundles.image_folder(folder, version, kind, name))[0]
    return releases.load(approved.path), approved.artifact.read_bytes()


async def until(board: Board, **wanted: object) -> dict:
    """The board's figures when they are as wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            figures = await asyncio.to_thread(status, board)
            if {name: figures[name] for name in wanted} == wanted:
                return figures
            await asyncio.sleep(1)


async def stage(board: Board, office: OfficeOnDisk, release: releases.Release, bundle: bytes) -> None:
    """Begun over the cable, brought over the network, which is faster, and activated over the cable."""
    cable = staging.ConsoleLine(lambda *words: ask(board, " ".join(words))[1])
    step = await cable.begin_stage(release.blob)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while step.state == staging.WAIT:
            await asyncio.sleep(step.wait_seconds)
            step = await cable.begin_stage(release.blob)
    for _ in range(3):
        step = await cable.put_stage(step.next, bundle[step.next : step.next + 240])
    assert step.next == 720
    async with operating.operator(*line(office.issuer)) as connection:
        step = await staging.stage(connection, release, bundle, lambda *_: None)
    assert step.state == staging.STAGED
    await cable.activate_stage()


def line(issuer: Issuer) -> tuple[Relay, list[bytes], bytes, operating.Sign]:
    """What it takes to be the operator at the office's relay."""
    it = issuer.operator()
    return it.relays[0], it.access_keys, it.parameters.federation_id, it.sign


async def update(issuer: Issuer, release: releases.Release, bundle: bytes) -> int:
    """As `tessera relay update` does it."""
    return await operating.update(*line(issuer), release, bundle, lambda *_: None)


# Daily: core/test_staging.py, test_slots.py, test_device_update.py; emulated/test_bundles.py; host/test_updating.py.
@pytest.mark.long
@in_board_time
async def test_new_code_over_the_network_is_tried_and_kept_and_nothing_is_lost(
    office: OfficeOnDisk, board: Board, tmp_path: Path
) -> None:
    member = office.supply("alice")
    await until_it_knows_the_time(member)
    async with admitted(member) as connection:
        acknowledged = await post(connection, 5)
    release, bundle = approve(office.issuer, tmp_path / "new", NEW)
    before = status(board)
    assert (before["code"], before["on_trial"]) == ("frozen", False)

    await update(office.issuer, release, bundle)
    await asyncio.to_thread(wait_until_serving, board)
    assert (status(board)["version"], status(board)["code"]) == (NEW, "bundle_a")
    board.wait_for_link(PATIENCE_SECONDS)
    await until_it_knows_the_time(member)
    async with admitted(member):
        pass  # an emulated board is so slow to start that it believes its clock only now (PROTOCOL §3)
    await until(board, on_trial=False, code="bundle_a", failed=None)

    ask(board, "restart")
    await asyncio.to_thread(wait_until_serving, board)
    figures = await until(board, state="serving")
    assert (figures["version"], figures["code"], figures["on_trial"]) == (NEW, "bundle_a", False)
    last = max(acknowledged.values())
    rounds = await read_all(member, last + 1)
    for record, round_ in acknowledged.items():
        assert [each for each, records in rounds.items() if record in records] == [round_]
    with pytest.raises(RelayRefused, match="does not take this release"):
        await update(office.issuer, release, bundle)


@pytest.mark.long
@in_board_time
async def test_broken_code_goes_by_itself(office: OfficeOnDisk, board: Board, tmp_path: Path) -> None:
    version = status(board)["version"]
    member = office.supply("alice")
    for number, kind in enumerate(("raises when it starts", "raises at import"), 1):
        new = f"0.9.{number}"
        await until_it_knows_the_time(member)
        await stage(board, office, *approve(office.issuer, tmp_path / new, new, kind))
        said = await asyncio.to_thread(wait_until_serving, board)
        assert "the new code failed" in said
        figures = status(board)
        assert (figures["version"], figures["code"], figures["failed"]) == (version, "frozen", version_number(new))
    await until(board, state="serving")


@pytest.mark.long
@in_board_time
async def test_refused_releases_leave_the_flash_as_it_is(office: OfficeOnDisk, board: Board, tmp_path: Path) -> None:
    member = office.supply("alice")
    await until_it_knows_the_time(member)
    release, bundle = approve(office.issuer, tmp_path / "new", NEW)
    older, _ = approve(office.issuer, tmp_path / "old", "0.0.9")
    tampered = bytearray(release.blob)
    tampered[-1] ^= 1
    described = json.loads((tmp_path / "new" / "image.json").read_text())
    other_board = tmp_path / "other"
    bundles.image_folder(other_board, NEW)
    (other_board / "image.json").write_text(json.dumps(described | {"board": "RPI_PICO_W"}))
    wrong_board = releases.load(office.issuer.approve(other_board)[0].path)
    async with operating.operator(*line(office.issuer)) as connection:
        operations = board.counters().flash_operations
        begun = board.clock.seconds()
        for blob in (bytes(tampered), older.blob, wrong_board.blob):
            with pytest.raises(RelayRefused):
                await connection.begin_stage(blob)
        # A seal writes; none came between.
        if board.clock.seconds() - begun < 1:
            assert board.counters().flash_operations - operations <= 2
    offset = bundles.boards.read_board(bundles.BOARD).partitions["bundle_a"].offset
    board.stop()
    assert set(board.flash.read_bytes()[offset : offset + len(bundle)]) == {0xFF}
