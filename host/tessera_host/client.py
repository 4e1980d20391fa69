"""The documented way to a member's client from Python; what it is and does stands in `agent.client`."""

from .agent.client import *  # noqa: F403
from .agent.client import __all__ as __all__
