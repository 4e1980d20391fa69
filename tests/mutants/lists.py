"""All mutants."""

from tests.mutants import core, device, fleet, host, slots
from tests.mutants.mutant import AREAS, Changes, Mutant


def everything() -> list[Mutant]:
    """All lists, in order."""
    lists: dict[str, Changes] = {
        "core": core.CHANGES,
        "slots": slots.CHANGES,
        "device": device.CHANGES,
        "host": host.CHANGES,
        "fleet": fleet.CHANGES,
    }
    return [Mutant(area, file, change) for area in AREAS for file, changes in lists[area].items() for change in changes]
