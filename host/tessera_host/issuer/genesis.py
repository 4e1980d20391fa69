"""When a federation's round 0 begins, so that its epochs change at night (PROTOCOL §15).

Owns that arithmetic. Everything else counts from genesis on and knows no time of day.
"""

import re
import time

from ..duration import DAY_SECONDS
from ..errors import UsageError

EPOCH_AT = "03:00"


def before(now: int, epoch_seconds: int, epoch_at: str = EPOCH_AT, west_seconds: int | None = None) -> int:
    """The start of the epoch before the open one, in unix seconds, if epochs of one or more days change at epoch_at:
    HH:MM in this computer's winter time, all the year. west_seconds: seconds west of UTC, by default this computer's.

    There is one whole epoch before the open one, in which nobody can have posted: new relays disclose its cover to
    whoever commissions them (PROTOCOL §8). Raises UsageError.
    """
    found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", epoch_at)
    if not found:
        raise UsageError(
            f"'{epoch_at[:40]}' is not a time of day", f"write it as HH:MM, for example: --epoch-at {EPOCH_AT}"
        )
    west = time.timezone if west_seconds is None else west_seconds
    of_day = int(found[1]) * 3600 + int(found[2]) * 60 + west
    changed = now - (now - of_day) % DAY_SECONDS
    return changed + (now - changed) // epoch_seconds * epoch_seconds - epoch_seconds
