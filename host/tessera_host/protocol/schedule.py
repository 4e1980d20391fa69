"""The end of a schedule of epoch keys: when it is, and that IT has to renew before it.

Owns those words, for every command that shows them. What is renewed by itself, and when, is the issuer's business.
"""

from tessera.params import Parameters

from ..clock import local_time
from ..duration import DAY_SECONDS
from ..errors import ScheduleEnding

WARNING_SECONDS = 30 * DAY_SECONDS

_RENEW = (
    "IT renews it with: tessera issuer renew DIR (the issuer's service does so by itself); then every program that "
    "reaches the service has it"
)


def end(parameters: Parameters) -> int:
    """Compute the unix time from which there is no key to post with."""
    return int(parameters.genesis + parameters.end_epoch * parameters.epoch_rounds * parameters.round_seconds)


def warning(parameters: Parameters, now: float) -> ScheduleEnding | None:
    """Make the warning, from 30 days before a schedule's end on, and after it; None before."""
    moment = end(parameters)
    if now < moment - WARNING_SECONDS:
        return None
    verb = "ends" if now < moment else "ended"
    return ScheduleEnding(f"the schedule of keys {verb} on {local_time(moment)}: nobody can post after that", _RENEW)
