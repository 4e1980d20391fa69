"""Two views of a cell. A member fetches a cell, something happens, it fetches the cell again: if a dummy or the count
changed, the intersection of both would show what is real. Between the views: a round's seal, a reboot, a power cut
without a seal, the clock stepped forward and back, programs that fail in other pages. Bound: no byte differs.
"""

from typing import Any

from faultydevice import FaultyDevice
from tests.attacks.branch import Branch
from tests.results import Row

EVENTS = ("a seal", "a reboot", "two reboots", "the clock forward", "the clock back", "page faults")


def happen(branch: Branch, event: str) -> None:
    if event == "a seal":
        branch.sleep()
    elif event == "the clock forward":
        branch.relay.clock.correct(branch.unix_ms + 10**9)
        branch.turn()
    elif event == "the clock back":
        branch.relay.clock.correct(branch.unix_ms - 10**9)
        branch.turn()
    elif event == "page faults":
        _fail_programs(branch)
    else:
        for _ in range(2 if event == "two reboots" else 1):
            branch.boot()


def _fail_programs(branch: Branch) -> None:
    """Posts of which some programs come out wrong, then a start that finds them."""
    device = FaultyDevice(branch.ring)
    device.flipped = dict.fromkeys(range(1, 40, 4), 77)
    branch.relay._log._device = device
    member = branch.new_member()
    for _ in range(5):
        member.post(branch.record())
    branch.boot()


def play(cells: int, seed: object, spoil: Any = None) -> dict[str, tuple[int, int]]:
    """(cells, cells that differ) for each event."""
    found = dict.fromkeys(EVENTS, (0, 0))
    for number in range(cells):
        branch = Branch(f"views {seed} {number}")
        member = branch.new_member()
        for _ in range(branch.dice.randrange(4)):
            member.post(branch.record())
        branch.sleep()
        event = EVENTS[number % len(EVENTS)]
        before = [member.cell(0, bucket) for bucket in (0, 1)]
        happen(branch, event)
        if spoil:
            spoil(branch)
        after = [branch.new_member().cell(0, bucket) for bucket in (0, 1)]
        count, different = found[event]
        found[event] = count + 2, different + sum(one != two for one, two in zip(before, after, strict=True))
    return found


def draw_cover_anew(branch: Branch) -> None:
    """The leak for the control: cover that does not outlive an event."""
    branch.relay._keyring.epochs[0] = (branch.relay._keyring.epochs[0][0], branch.dice.randbytes(32))
    branch.relay._epochs._covers.clear()


def run(scale: float = 1.0) -> list[Row]:
    found = play(int(1200 * scale), "run")
    return [
        Row(f"two views of a cell, {event} between them", f"{different} of {cells:,} cells differ", "0", different == 0)
        for event, (cells, different) in found.items()
    ]
