"""What several tests of the log need: entries that tell their number, and a log that another process can open too."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from tessera_host.fleet.log import ID_BYTES, Entry, Log
from tessera_host.fleet.sqlite_log import SqliteLog
from tests.patience import PATIENCE_SECONDS

RELAY = bytes(range(33))  # a static key


def entry_of(number: int) -> bytes:
    return b"entry %d" % number


def id_of(number: int) -> bytes:
    return number.to_bytes(ID_BYTES, "big")


def said_of(kind: str, **settings: Any) -> str:
    """A log as an argument of a program."""
    return json.dumps({"kind": kind, **settings})


async def open_log(said: str) -> Log:
    settings = json.loads(said)
    settings["relay"] = bytes.fromhex(settings["relay"])
    if settings.pop("kind") == "sqlite":
        return SqliteLog(Path(settings["path"]), settings["relay"])
    from tests.fleet.nats import open_nats  # only where there is a client of it

    return await open_nats(**settings)


async def read(log: Log, position: int, count: int) -> list[Entry]:
    """So many entries from there on; waits until they are there."""
    found: list[Entry] = []
    async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(log.follow(position)) as entries:
        async for entry in entries:
            found.append(entry)
            if len(found) == count:
                break
    return found


async def read_all(log: Log) -> list[Entry]:
    """What is there now."""
    last = await log.last()
    return await read(log, 1, last) if last else []
