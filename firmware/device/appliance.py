# The board as a whole: its state, which `status` tells and the LED shows, its faults, and its restarts. What the parts
# do is the business of the other modules.

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

_FAREWELL_MS = const(300)  # between an answer on the console and a restart, so that the answer can leave


class Appliance:
    """directory: a tessera.files.Directory. config: the content of relay.json.

    relay is None until it has started. fault is None or says what is wrong and what to do.
    """

    def __init__(self, directory):
        self.directory = directory
        self.log = Log(directory)
        self.starts = Starts(directory)
        self.watchdog = Watchdog()
        self.config = {}
        self.relay = None
        self.link = None
        self.keeper = None  # the link's Keeper
        self.button = None
        self.fault = None
        self.passes = False  # whether a restart may repair the fault
        self.serving = False
        self.tested = False
        self._restarting = None

    # -- what is said of it

    @property
    def state(self):
        """One of "starting", "fault", "radio" (it does not answer), "no-network", "no-time" and "serving"."""
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
        """The key in led.RHYTHMS of what the LED shows."""
        if self.button is not None and self.button.held:
            return "held"
        if self.state == "serving" and self.relay.on_trial:
            return "trial"
        return "dark" if self.state == "radio" else self.state

    @property
    def address(self):
        """Our IP address (str), None without a network."""
        return None if self.keeper is None else self.keeper.address

    def figures(self):
        """The answer to `status` (a dict): public figures only, none of which depends on what is stored."""
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
        """Note what keeps the relay from serving. An Error says what to do; any other exception may pass by a
        restart."""
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
        """Restart the board after 0.3 s, in which an answer on the console can leave. why: for the log."""
        self.log.keep("restart: " + why)
        self._restarting = asyncio.create_task(self._restart())

    async def _restart(self):
        await sleep_ms(_FAREWELL_MS)
        slots.restart()

    def factory_reset(self):
        """Erase the keys, then restart. The restart erases everything else, and the board is blank."""
        factoryreset.begin(flash.region("keyring"))
        self.serving = False
        self._restarting = asyncio.create_task(self._restart())


def relay_figures(relay):
    """The figures (a dict) of a relay that has started."""
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
