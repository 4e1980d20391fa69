"""Ends the endless tasks of a play."""

import asyncio


async def stop(*tasks: "asyncio.Task[None]") -> None:
    """End them; what one of them failed with is raised, with the place where, which awaiting it again would lose."""
    for task in tasks:
        task.cancel()
    for failure in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(failure, Exception):
            raise failure
