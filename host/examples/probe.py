"""A monitoring probe: posts to itself once an hour and fetches until it is back. One JSON line a time.

    probe.py --home probe --contact mirror            # for ever
    probe.py --home probe --contact mirror --times 1  # once, for a monitoring system that starts it itself

The probe is two members of its own, who met: `--home` posts to `--contact`, whose keystore is in `--mirror-home`. The
line says how long posting took, in which round the record went and after how many seconds it was read. Exit status 1
if any of the times failed, and the line has the error.
"""

import argparse
import asyncio
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from tessera_host.client import Client
from tessera_host.errors import TesseraError


class NotDelivered(TesseraError):
    """What was posted did not come back in time."""


async def probe(home: Path, contact: str, mirror_home: Path, limit_seconds: float) -> dict[str, Any]:
    """Post a text that nobody can guess, and read it. Raises TesseraError."""
    text = secrets.token_hex(8)
    started = time.monotonic()
    async with await Client.open(home) as client, await Client.open(mirror_home) as mirror:
        sent = await client.send(contact, text)
        if sent.rounds[-1] is None:
            raise NotDelivered("the day's budget is used up", "probe less often")
        posted = time.monotonic()
        try:
            async with asyncio.timeout(limit_seconds):
                async for message in mirror.messages():
                    if message.text == text:
                        break
        except TimeoutError:
            raise NotDelivered(f"nothing came back within {limit_seconds:.0f} s", "ask IT about the relay") from None
    read = time.monotonic()
    return {
        "round": sent.rounds[-1],
        "posted_seconds": round(posted - started, 2),
        "read_seconds": round(read - posted, 2),
    }


async def once(options: argparse.Namespace) -> bool:
    """One line; whether it went well."""
    line: dict[str, Any] = {"time": int(time.time()), "ok": True}
    try:
        line |= await probe(options.home, options.contact, options.mirror_home, options.limit_seconds)
    except TesseraError as error:
        line |= {"ok": False, "error": error.message, "hint": error.hint}
    print(json.dumps(line), flush=True)
    return bool(line["ok"])


async def repeat(options: argparse.Namespace) -> bool:
    went_well = True
    done = 0
    while True:
        went_well &= await once(options)
        done += 1
        if done == options.times:
            return went_well
        await asyncio.sleep(options.every_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--contact", required=True)
    parser.add_argument("--mirror-home", type=Path, required=True)
    parser.add_argument("--times", type=int, default=0, help="0: for ever")
    parser.add_argument("--every-seconds", type=float, default=3600)
    parser.add_argument("--limit-seconds", type=float, default=1800)
    options = parser.parse_args()
    try:
        return 0 if asyncio.run(repeat(options)) else 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
