"""What is asked of a relay that starts or serves: its status, and whether clock, keys and self-test are right.

Owns these questions and the waiting for their answers. Who asks them, and what follows, is the callers' business.
"""

import time
from typing import Any

from .. import duration
from ..errors import BoardSilent, CommissioningFailed, OtherRelay, ProvisioningFailed, TesseraError
from . import commissioning, detection
from .console import Console
from .serial_line import SAFE

GONE_SECONDS = 20.0  # in which a board that restarts has its port back
CLOCK_SECONDS = 60.0
JOIN_SECONDS = 30.0


def wait_for_relay(place: str, seconds: float) -> dict[str, Any]:
    """Wait at most `seconds` for a relay that starts, without interrupting it; its status. Raises BoardSilent."""
    end = time.monotonic() + seconds
    seen = time.monotonic()
    while time.monotonic() < end:
        try:
            status = detection.ask_relay(place)
            seen = time.monotonic()
            if status is not None and status.get("state") != "starting":
                return status
        except TesseraError as error:  # it restarts: the port is away
            if time.monotonic() - seen > GONE_SECONDS:
                raise BoardSilent(f"the board at {place} went away while it started", SAFE) from error
        time.sleep(0.2)
    raise BoardSilent(
        f"the relay does not serve after {seconds:.0f} s",
        "it may still be preparing its flash; if its light does not show that it serves, " + SAFE,
    )


def ask_status(place: str) -> dict[str, Any]:
    """The status of a relay that serves."""
    with Console(place) as console:
        return console.status()


def set_clock(place: str, status: dict[str, Any]) -> dict[str, Any]:
    """Tell the time to a relay that has none, and wait until it opens a round; its status. Raises
    CommissioningFailed."""
    end = time.monotonic() + CLOCK_SECONDS
    with Console(place) as console:
        while not status["fault"] and status["open_round"] is None:
            if time.monotonic() > end:
                raise CommissioningFailed(
                    "the relay has the time, but opens no round",
                    "check this computer's clock; if the federation's first round is in the future, wait for it",
                )
            if status["clock"] == "unknown":
                console.ask("clock", time.time_ns() // 1_000_000)
            time.sleep(0.3)
            status = console.status()
    return status


def wait_for_network(place: str) -> dict[str, Any]:
    """Wait until a relay with Wi-Fi has an address, at most 30 s; its status."""
    end = time.monotonic() + JOIN_SECONDS
    status = ask_status(place)
    while not status.get("address") and time.monotonic() < end:
        time.sleep(0.3)
        status = ask_status(place)
    return status


def trouble(status: dict[str, Any]) -> str | None:
    """What keeps a relay from its network, in its words; None if it has an address."""
    return None if status.get("address") else str(status.get("network") or "no address yet")


def rounds_apart(parameters: Any, status: dict[str, Any]) -> int:
    """The number of rounds between the relay's open round and the round of this computer's clock."""
    ours: int = parameters.round_at(int(time.time()))
    return abs(ours - int(status["open_round"]))


def check_round(parameters: Any, status: dict[str, Any]) -> None:
    """Raise CommissioningFailed if members whose clock is this computer's would refuse the relay."""
    if rounds_apart(parameters, status) > 1:
        raise CommissioningFailed(
            f"the relay's clock is about {_apart(parameters, status)} this computer's",
            "set this computer's clock, or check why the relay reaches no time server",
        )


def _apart(parameters: Any, status: dict[str, Any]) -> str:
    """How the relay's clock stands to this computer's, like "3 h behind"."""
    length = duration.about(rounds_apart(parameters, status) * parameters.round_seconds)
    ahead = status["open_round"] > parameters.round_at(int(time.time()))
    return f"{length} {'ahead of' if ahead else 'behind'}"


def check_no_fault(status: dict[str, Any]) -> None:
    """Raise CommissioningFailed with the fault that a relay reports."""
    if status.get("fault"):
        raise CommissioningFailed(f"the relay reports a fault: {status['fault']}", commissioning.DO_NOT_USE)


def check_radio(status: dict[str, Any]) -> None:
    """Raise ProvisioningFailed if the board's radio is dead: it restarts again and again to bring it back."""
    if status.get("state") == "radio":
        raise ProvisioningFailed(
            "the board's radio does not answer",
            "unplug the board, plug it in and repeat the command; if that does not help, use another board",
        )


def check_keys(status: dict[str, Any], listed: dict[str, Any] | None) -> None:
    """Raise OtherRelay unless the relay holds the keys it is listed with."""
    if listed is None:
        raise OtherRelay(
            f"'{status['name']}' is not a relay of this federation", "name its issuer's directory with --issuer"
        )
    if (status["static_key"], status["ledger_key"]) != (listed["key"].hex(), listed["ledger"].hex()):
        raise OtherRelay(
            f"this '{status['name']}' has other keys than the issuer lists", "plug in the board that is listed"
        )


def check_self_test(status: dict[str, Any]) -> None:
    """Raise CommissioningFailed unless the relay passed its own test at its start."""
    if status.get("self_test", "passed") != "passed":
        told = status["self_test"] or "it was not run"
        raise CommissioningFailed(f"the relay did not pass its self-test: {told}", commissioning.DO_NOT_USE)
