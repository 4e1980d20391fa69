# A provisioned relay on a board, from power-up on: opens its storage, brings up network and clock, serves.
# Storage, network and clock themselves are the other modules'.

import asyncio
import json
import os
import time

import board
import slots
from tessera_build import BOARD, FIRMWARE_DIGEST

from device import commands, flash, give_room, led, sntp, update
from device.appliance import Appliance
from device.console import Console, Serial
from tessera.announcement import announcement
from tessera.errors import Error
from tessera.files import Directory
from tessera.relay import Identity, Relay
from tessera.runtime import sleep_ms
from tessera.server import Server, Timing
from tessera.wire import PORT

_EPOCH_SECONDS = 946_684_800 if time.gmtime(0)[0] == 2000 else 0  # where time.time() begins on this port
_LINK_MS = 1000  # how often the link is looked at
_NO_LINK_MS = 100  # how often, by what waits for it
_TIME_SECONDS = 64  # between two questions to a network clock


def main(observe=None):
    """Serve until Ctrl-C; return if that is impossible, after saying why on the serial line. observe: as Server's."""
    led.show(False)
    appliance = Appliance()
    try:
        appliance.relay, appliance.config = open_relay()
        give_room()
        asyncio.run(_serve(appliance, observe))
    except KeyboardInterrupt:
        print("stopped: the prompt is MicroPython's, machine.reset() starts the relay again")
    except (Error, OSError, ValueError, KeyError) as error:
        print("tessera relay on {}: {}".format(BOARD, error if isinstance(error, Error) else repr(error)))
        slots.fail()
        print("fix that, then machine.reset(); the prompt is MicroPython's")
    finally:
        led.show(False)
        asyncio.new_event_loop()
        give_room()  # to who works at the prompt


def open_relay():
    """(Relay, its configuration) from what was provisioned; Error if there is nothing or it is not for this board."""
    if flash.problem is not None:
        raise Error(flash.problem)
    directory = Directory("/")
    text = directory.read("relay.json")
    if text is None:
        raise Error("not provisioned: copy relay.json, seed and parameters here (`tessera relay new` makes them)")
    config = json.loads(text)
    ring, keys = _device("ring", config), _device("keyring", config)
    identity = Identity(
        bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"]), _chip_id(), FIRMWARE_DIGEST
    )
    relay = Relay(ring, keys, directory, identity, os.urandom)
    print("starting; the first start fills the record ring, which takes a while")
    relay.start()
    relay.staging = update.staging(relay, lambda: True)
    return relay, config


def _device(name, config):
    device = flash.region(name)
    sectors = device.ioctl(4, 0)
    if config[name + "_sectors"] != sectors:
        raise Error(
            "relay.json was made for another board: it says {}_sectors {}, here are {}".format(
                name, config[name + "_sectors"], sectors
            )
        )
    return device


def _chip_id():
    from machine import unique_id

    return unique_id()


async def _serve(appliance, observe):
    relay, config = appliance.relay, appliance.config
    appliance.link = board.network(config)
    server = Server(relay, Timing(**config.get("timing", {})), config.get("sessions", 4), observe)
    _believe_own_clock(relay)
    tasks = [asyncio.create_task(work) for work in _beside(appliance)]
    try:
        await server.run("0.0.0.0", config.get("port", PORT), lambda: _ready(appliance))
    finally:
        for task in tasks:
            task.cancel()
        appliance.link.end()


def _beside(appliance):
    """What runs beside the server, as coroutines."""
    yield _keep_link(appliance.link, appliance.log)
    handlers = commands.handlers(appliance)
    handlers.update(update.handlers(appliance))
    yield Console(handlers).listen(Serial())
    if appliance.config.get("sntp"):
        yield _follow(appliance.relay, appliance.config["sntp"], appliance.link)


def _ready(appliance):
    relay, config = appliance.relay, appliance.config
    for line in announcement(relay, "{}:{}".format(config.get("host", "?"), config.get("port", PORT))):
        print(line)
    print("  board           {}".format(BOARD))
    if not relay.clock.known:
        print("no clock: send `clock MILLISECONDS` (unix time) on this line")
    print("serving")
    appliance.serving = True
    led.show(True)


# -- network


async def _keep_link(link, log):
    """Bring the link up, say when it comes and goes, and mend it."""
    link.begin()
    before = None
    while True:
        address = link.address()
        if (address is None) != (before is None):
            log.note("link down" if address is None else "link up")
        if address is not None and address != before:
            print("address: {}".format(address))
        before = address
        if address is None:
            link.mend()
        await sleep_ms(_LINK_MS)


# -- clock


def _believe_own_clock(relay):
    """Take the board's own clock if somebody set it (over the prompt, before this start): it then is past genesis."""
    unix_ms = time.time_ns() // 1_000_000 + 1000 * _EPOCH_SECONDS
    if unix_ms > 1000 * relay.parameters.newest.genesis:
        relay.clock.set(unix_ms)


async def _follow(relay, host, link):
    """Correct the clock by a network clock again and again."""
    while True:
        while link.address() is None:
            await sleep_ms(_NO_LINK_MS)
        now = await sntp.unix_ms(host, relay.random)
        if now is not None:
            relay.clock.correct(now)
        await asyncio.sleep(_TIME_SECONDS if relay.clock.known else 2)
