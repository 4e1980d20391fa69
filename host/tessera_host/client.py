"""The documented way to a member's client from Python; what it is and does stands in `agent.client`."""

from .agent.client import (
    Budget,
    Change,
    Client,
    Contact,
    FetchReport,
    Message,
    Posted,
    SendProgress,
    Sent,
    State,
    Status,
    Wait,
    default_home,
)

__all__ = [
    "Budget",
    "Change",
    "Client",
    "Contact",
    "FetchReport",
    "Message",
    "Posted",
    "SendProgress",
    "Sent",
    "State",
    "Status",
    "Wait",
    "default_home",
]
