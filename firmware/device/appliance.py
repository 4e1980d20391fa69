# The board with what runs on it: what `status` says and the LED shows, how a fault is noted, how it starts anew. The
# parts are the other modules'.

import asyncio

from tessera_build import BOARD, FIRMWARE_DIGEST

import slots
from device import factoryreset, flash
from device.explain import explain, places
from device.log import Log
from device.starts import Starts
from device.watchdog import Watchdog
from tessera import VERSION
from tessera.errors import Error
from tessera.runtime import const, sleep_ms

_FAREWELL_MS = const(300)  # for the answer to leave before a restart


class Appliance:
    """relay is None until it started; fault is None or what is wrong, in words."""

    def __init__(self, directory):
        self.directory = directory
        self.log = Log(directory)
        self.starts = Starts(directory)
        self.watchdog = Watchdog()
        self.config = {}
        self.relay = None
        self.link = None
        self.keeper = None  # of the link
        self.button = None
        self.fault = None
        self.passes = False  # whether a restart may mend the fault
        self.serving = False
        self.tested = False
        self._restarting = None

    # -- what is said of it

    @property
    def state(self):
        """starting, fault, radio (it does not answer), no-network, no-time or serving."""
        if self.fault is not None:
            return "fault"
        if not self.serving:
            return "starting"
        if self.link.dead:
            return "radio"
        if self.address is None:
            return "no-network"
        return "no-time" if self.relay.open_round is None else "serving"

    def rhythm(self):
        """What the LED shows (led.py)."""
        if self.button is not None and self.button.held:
            return "held"
        if self.state == "serving" and self.relay.on_trial:
            return "trial"
        return "dark" if self.state == "radio" else self.state

    @property
    def address(self):
        return None if self.keeper is None else self.keeper.address

    def figures(self):
        """What `status` answers: public figures only, none of which depends on what is stored."""
        figures = {
            "board": BOARD,
            "name": self.config.get("name"),
            "version": VERSION,
            "firmware_digest": FIRMWARE_DIGEST.hex(),
            "state": self.state,
            "fault": self.fault,
            "address": self.address,
            "network": None if self.keeper is None else self.keeper.trouble,
            "repl": self.config.get("repl", "open"),
            "self_test": "passed" if self.tested else None,
        }
        if self.relay is not None:
            figures.update(relay_figures(self.relay))
            if self.relay.staging is not None:
                figures.update(self.relay.staging.places.report())
        return figures

    # -- faults

    def fail(self, error):
        """Note what keeps the relay from serving: an Error says itself what to do, all else is ours to mend."""
        self.passes = not isinstance(error, Error)
        self.fault = explain(error)
        self.log.keep("fault: " + self.fault)
        if self.passes:
            for line in places(error):
                self.log.note(line)
        self.serving = False
        self.relay = None

    # -- restarts

    def restart_soon(self, why):
        """Restart the board when an answer on the console had time to leave."""
        self.log.keep("restart: " + why)
        self._restarting = asyncio.create_task(self._restart())

    async def _restart(self):
        await sleep_ms(_FAREWELL_MS)
        slots.restart()

    def factory_reset(self):
        """Erase the keys; the restart that follows erases everything else, and the board was never provisioned."""
        factoryreset.begin(flash.region("keyring"))
        self.serving = False
        self._restarting = asyncio.create_task(self._restart())


def relay_figures(relay):
    """The figures of a relay that started."""
    newest = relay.parameters.newest
    clock = relay.clock
    return {
        "static_key": relay.static_key.hex(),
        "ledger_key": relay.ledger_key.hex(),
        "serial": newest.serial,
        "parameter_digest": newest.digest.hex(),
        "open_round": relay.open_round,
        "epoch": relay.epoch,
        "uptime_s": clock.uptime_ms() // 1000,
        "boots": relay.boots,
        "clock": "unknown" if not clock.known else "provisional" if clock.provisional else "known",
        "unreadable_pages": relay.unreadable_pages,
    }
