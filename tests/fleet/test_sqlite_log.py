"""The log of one process: what all back ends promise, and what only this one can get wrong."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tessera_host.fleet import sqlite_log
from tessera_host.fleet.log import LogBroken, LogRefused, LogUnavailable
from tessera_host.fleet.sqlite_log import SqliteLog
from tests.fleet.conformance import Conformance, Engine, fill, numbered, opened
from tests.fleet.logs import RELAY, entry_of, id_of, read, read_all, said_of


class _File(Engine):
    def __init__(self, path: Path) -> None:
        self.path = path

    def said(self, relay: bytes = RELAY) -> str:
        return said_of("sqlite", path=str(self.path), relay=relay.hex())


@pytest.fixture
def engine(tmp_path: Path) -> _File:
    return _File(tmp_path / "log.sqlite")


@pytest.fixture
def short_patience() -> None:
    """It is not patient: what its disk says is so."""


class TestConformance(Conformance):
    pass


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM entry WHERE position = 3", "shows 4 where 3 comes next"),
        ("DELETE FROM entry WHERE position >= 4", "lacks its entries 4 to 5"),
        ("UPDATE entry SET id = x'00' WHERE position = 2", "appended by no gateway"),
        ("UPDATE sqlite_sequence SET seq = 3", "ends at 3"),
    ],
)
async def test_what_was_taken_out_of_the_file_is_noticed(engine: _File, statement: str, said: str) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 5)
    change(engine.path, statement)
    async with opened(engine) as log:
        with pytest.raises(LogBroken, match=said) as broken:
            await read(log, 6 if "sequence" in statement else 1, 6)
        assert "leave the engine's disks as they are" in str(broken.value)


async def test_second_process_is_refused(engine: _File) -> None:
    async with opened(engine):
        with pytest.raises(LogRefused, match=r"locked.*the program that has it open"):
            await engine.open()


async def test_file_that_is_no_log_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    change(path, "CREATE TABLE mine (one INTEGER)")
    before = path.read_bytes()
    for content in (before, b"some text that somebody wrote, longer than a header" * 20):
        path.write_bytes(content)
        with pytest.raises(LogRefused) as refused:
            SqliteLog(path, RELAY)
        assert refused.value.hint
        assert path.read_bytes() == content
    with pytest.raises(LogRefused, match="make its directory first"):
        SqliteLog(tmp_path / "nowhere" / "log.sqlite", RELAY)


async def test_what_was_trimmed_is_nowhere_in_its_files(engine: _File) -> None:
    mark = b"a mark that nothing else has"
    async with opened(engine) as log:
        await log.append(mark, id_of(0))
        await fill(log, 1, 3)
        assert any(mark in path.read_bytes() for path in engine.path.parent.iterdir())
        await log.trim(2)
        assert not any(mark in path.read_bytes() for path in engine.path.parent.iterdir())


async def test_full_disk_loses_nothing_and_is_over_when_there_is_room(engine: _File) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 2)
        assert isinstance(log, SqliteLog)
        (pages,) = log._connection.execute("PRAGMA page_count").fetchone()
        log._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(LogUnavailable, match=r"full.*make room"):
            await log.append(bytes(100_000), id_of(2))
        await fill(log, 0, 2)
        log._connection.execute(f"PRAGMA max_page_count={pages + 100}")
        await log.append(entry_of(2), id_of(2))
        assert await read_all(log) == numbered(0, 3)


async def test_commit_that_fails_is_taken_back_whole(engine: _File) -> None:
    async with opened(engine) as log:
        await fill(log, 0, 1)
        assert isinstance(log, SqliteLog)
        log._connection.execute(
            "CREATE TEMP TRIGGER fails BEFORE INSERT ON entry WHEN NEW.position = 4"
            " BEGIN SELECT RAISE(ABORT, 'a disk that fails'); END"
        )
        appends = (log.append(entry_of(number), id_of(number)) for number in range(1, 5))
        for result in await asyncio.gather(*appends, return_exceptions=True):
            assert isinstance(result, LogUnavailable)
            assert "a disk that fails" in str(result)
        assert await log.last() == 1
        log._connection.execute("DROP TRIGGER fails")
        await fill(log, 1, 5)
        assert await read_all(log) == numbered(0, 5)


async def test_appends_that_come_while_one_is_written_share_a_commit(engine: _File, monkeypatch) -> None:
    sizes = []
    write = SqliteLog._write

    def counted(self: SqliteLog, batch: list) -> list[int]:
        sizes.append(len(batch))
        return write(self, batch)

    monkeypatch.setattr(sqlite_log.SqliteLog, "_write", counted)
    async with opened(engine) as log:
        await asyncio.gather(*(log.append(entry_of(number), id_of(number)) for number in range(100)))
    assert sum(sizes) == 100
    assert len(sizes) <= 3
