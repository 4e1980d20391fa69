# The board with what runs on it: what `status` says and the LED shows, and how it is started anew. The parts are the
# other modules'.

import asyncio

from tessera_build import BOARD, FIRMWARE_DIGEST

from device import factoryreset, flash
from device.log import Log
from tessera import VERSION
from tessera.runtime import const, sleep_ms

_FAREWELL_MS = const(300)  # for the answer to leave before a restart


class Appliance:
    """relay is None until it started; fault is None or what is wrong, in words."""

    def __init__(self):
        self.log = Log()
        self.relay = None
        self.config = {}
        self.link = None
        self.fault = None
        self.serving = False
        self._restarting = None

    # -- what is said of it

    @property
    def state(self):
        """starting, fault, no-network, no-time or serving."""
        if self.fault is not None:
            return "fault"
        if not self.serving:
            return "starting"
        if self.address() is None:
            return "no-network"
        return "no-time" if self.relay.open_round is None else "serving"

    def address(self):
        return None if self.link is None else self.link.address()

    def figures(self):
        """What `status` answers: public figures only, none of which depends on what is stored."""
        figures = {
            "board": BOARD,
            "name": self.config.get("name"),
            "version": VERSION,
            "firmware_digest": FIRMWARE_DIGEST.hex(),
            "state": self.state,
            "fault": self.fault,
            "address": self.address(),
            "repl": self.config.get("repl", "open"),
        }
        if self.relay is not None:
            figures.update(relay_figures(self.relay))
            if self.relay.staging is not None:
                figures.update(self.relay.staging.places.report())
        return figures

    # -- restarts

    def restart_soon(self):
        """Restart the board when an answer on the console had time to leave."""
        self._restarting = asyncio.create_task(self._restart())

    async def _restart(self):
        await sleep_ms(_FAREWELL_MS)
        restart()

    def factory_reset(self):
        """Erase the keys, then everything else, and restart as a board that was never provisioned."""
        factoryreset.begin(flash.region("keyring"))
        self.restart_soon()


def restart():
    """Restart the board at once."""
    from machine import reset

    reset()


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
