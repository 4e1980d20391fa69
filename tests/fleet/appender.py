"""A program that appends to a log until it is killed: `python -m tests.fleet.appender LOG FIRST`.

Prints a number when its entry was acknowledged. Sixteen are under way at once; the number is the entry, and its id.
"""

import asyncio
import sys

from tests.fleet.logs import entry_of, id_of, open_log

UNDER_WAY = 16


async def main(said: str, first: int) -> None:
    log = await open_log(said)
    numbers = iter(range(first, 1 << 30))

    async def append() -> None:
        for number in numbers:
            await log.append(entry_of(number), id_of(number))
            print(number, flush=True)

    await asyncio.gather(*(append() for _ in range(UNDER_WAY)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
