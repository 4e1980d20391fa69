# Runs a provisioned relay on a board: opens its storage, brings up network and clock, and serves. With a fault it stays
# up and says what is wrong. Storage, network, clock, LED and the rest are the business of the other modules.

import asyncio
import json
import os
import time

import board
import network
from micropython import kbd_intr
from tessera_build import BOARD, FIRMWARE_DIGEST

import slots
from device import button, commands, flash, give_room, led, sntp, update
from device.appliance import Appliance
from device.console import Console, Serial
from device.explain import explain
from device.faultpage import FaultPage, page
from device.link import Keeper
from tessera import RELEASED, nor, selftest
from tessera.announcement import READY, announcement
from tessera.errors import Error
from tessera.files import Directory
from tessera.machine import Machine
from tessera.relay import Identity, Relay
from tessera.runtime import ticks_ms
from tessera.server import Server, Timing
from tessera.wire import PORT

_EPOCH_SECONDS = 946_684_800 if time.gmtime(0)[0] == 2000 else 0  # Unix time at which time.time() begins on this port
_AGAIN_SECONDS = 10  # after which a task beside the server that failed is started again
_CTRL_C = 3
_CELL_RECORDS = 1120  # of the largest cell that four members can fetch at once (tests/core/test_memory.py)


class _Board(Machine):
    cell_records = _CELL_RECORDS


def main(observe=None):
    """Serve until Ctrl-C. Returns at once if this board is not provisioned. observe: see Server."""
    appliance = Appliance(Directory("/"))
    light = led.Led(led.board_pin())
    if not _provisioned(appliance):
        return
    closed = appliance.config.get("repl", "open") == "closed"
    kbd_intr(-1 if closed else _CTRL_C)
    appliance.watchdog.start()
    try:
        asyncio.run(_live(appliance, light, observe))
    except KeyboardInterrupt:
        print("stopped; at this MicroPython prompt machine.reset() starts the relay again")
    except Exception as error:  # in the code that handles faults
        print(explain(error))
        slots.restart()
    finally:
        if closed:
            slots.restart()
        _leave(appliance, light)


def _leave(appliance, light):
    """Leave the board to a person at the prompt. The watchdog stays fed."""
    appliance.watchdog.hold()
    light.show("dark")
    light.step()
    if appliance.link is not None:
        appliance.link.end()
    asyncio.new_event_loop()
    give_room()


def _provisioned(appliance):
    """Read relay.json. False if there is none; that is printed."""
    text = appliance.directory.read("relay.json")
    if text is None and slots.problem is None:
        print("tessera relay on {}: not provisioned; `tessera flash` makes a relay of it".format(BOARD))
        print("this is MicroPython's prompt")
        return False
    try:
        config = json.loads(text or "")
    except ValueError:
        config = None
    if isinstance(config, dict):  # otherwise open_relay() finds nothing in it and says so
        appliance.config = config
    return True


# -- the states of a relay: it starts, then serves; if either fails it has a fault


async def _live(appliance, light, observe):
    loop = asyncio.get_event_loop()
    loop.set_exception_handler(lambda _, context: appliance.log.note("a task failed: " + explain(context["exception"])))
    tasks = [asyncio.create_task(_always(appliance.log, work)) for work in _beside(appliance, light)]
    try:
        await _start_and_serve(appliance, light, observe)
    except Exception as error:
        appliance.fail(error)
        slots.fail()  # ends a trial: the code before runs again
    appliance.watchdog.hold()
    try:
        await _stay_up(appliance)
    finally:
        for task in tasks:
            task.cancel()


def _beside(appliance, light):
    """The tasks that run in every state, as functions that return a coroutine."""
    yield lambda: light.play(appliance.rhythm)
    handlers = commands.handlers(appliance)
    handlers.update(update.handlers(appliance))
    yield lambda: Console(handlers, appliance.watchdog.during).listen(Serial())
    yield lambda: _mind_button(appliance)


async def _always(log, work):
    """Run work() again whenever it fails."""
    while True:
        try:
            await work()
            return
        except Exception as error:
            log.note("a task failed: " + explain(error))
        await asyncio.sleep(_AGAIN_SECONDS)


async def _start_and_serve(appliance, light, observe):
    appliance.starts.begin()
    if appliance.starts.wait_seconds:
        appliance.log.note("waiting {} s after several starts in a row".format(appliance.starts.wait_seconds))
        await asyncio.sleep(appliance.starts.wait_seconds)
    light.show("starting")
    appliance.watchdog.hold(light.step)  # no other task runs during a start
    _set_clock(appliance.config)
    if hasattr(board, "prepare"):
        board.prepare()
    appliance.relay = open_relay(appliance)
    appliance.watchdog.hold()
    appliance.log.keep("start {}: {}".format(appliance.relay.boots, _reset_cause()))
    give_room()
    await _serve(appliance, observe)


def _set_clock(config):
    """Run at the MHz that relay.json asks for. By default the processor keeps the first of board.MHZ."""
    mhz = config.get("mhz")
    if mhz is not None:
        if mhz not in getattr(board, "MHZ", ()):
            raise Error("relay.json asks for {} MHz, which this board cannot do: provision it anew".format(mhz))
        import machine

        machine.freq(1_000_000 * mhz)


def open_relay(appliance):
    """The provisioned Relay, started. Error if it cannot start or relay.json belongs to another board."""
    if slots.problem is not None:
        raise Error(slots.problem)
    selftest.run()
    appliance.tested = True
    config = appliance.config
    try:
        ring, keys = _device("ring", config), _device("keyring", config)
        secrets = bytes.fromhex(config["static_secret"]), bytes.fromhex(config["ledger_secret"])
    except (KeyError, ValueError):
        raise Error("relay.json cannot be read: provision the relay anew") from None
    identity = Identity(*secrets, _chip_id(), FIRMWARE_DIGEST, BOARD)
    relay = Relay(ring, keys, appliance.directory, identity, os.urandom, machine=_Board)
    print("starting; the first start fills the record ring, which takes a while")
    relay.start()
    relay.clock.not_before(1000 * RELEASED)
    relay.staging = update.staging(relay, lambda: appliance.tested)
    return relay


def _device(name, config):
    device = flash.region(name)
    sectors = nor.sectors(device)
    if config[name + "_sectors"] != sectors:
        raise Error(
            "relay.json is another board's ({}_sectors {}, here {}): provision this one anew".format(
                name, config[name + "_sectors"], sectors
            )
        )
    return device


def _chip_id():
    from machine import unique_id

    return unique_id()


def _reset_cause():
    import machine

    cause = machine.reset_cause()
    for name in ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET"):
        if cause == getattr(machine, name, None):
            return {"PWRON_RESET": "power on", "WDT_RESET": "watchdog or restart"}.get(name, name)
    return "reset {}".format(cause)


async def _serve(appliance, observe):
    relay, config = appliance.relay, appliance.config
    keeper = _join(appliance)
    timing = Timing(**config.get("timing", {}))
    sessions = config.get("sessions")
    if hasattr(board, "sessions"):
        sessions = board.sessions(sessions or relay.machine.sessions)
    server = Server(relay, timing, sessions, observe, appliance.watchdog.report, keeper.heard)
    _accept_own_clock(relay)
    tasks = [asyncio.create_task(_always(appliance.log, work)) for work in _with_network(appliance)]
    try:
        await server.run("0.0.0.0", config.get("port", PORT), lambda: _ready(appliance))
    finally:
        for task in tasks:
            task.cancel()
        appliance.link.end()


def _join(appliance):
    """The Keeper of this board's link. Error if relay.json does not describe a network that it can join."""
    try:
        if "hostname" in appliance.config:
            network.hostname(appliance.config["hostname"])
        appliance.link = board.network(appliance.config)
    except KeyError as error:
        raise Error("relay.json has no {}: provision the relay anew".format(error.args[0])) from None
    except ValueError:
        raise Error("relay.json describes a network that this board cannot join: provision the relay anew") from None
    appliance.keeper = Keeper(appliance.link, appliance.log)
    return appliance.keeper


def _with_network(appliance):
    """The tasks that run beside the server, as functions that return a coroutine."""
    yield appliance.keeper.keep
    yield lambda: _prove_start(appliance)
    if appliance.config.get("sntp"):
        yield lambda: _follow(appliance, appliance.config["sntp"])


def _ready(appliance):
    relay, config = appliance.relay, appliance.config
    for line in announcement(relay, "{}:{}".format(config.get("host", "?"), config.get("port", PORT))):
        print(line)
    print("  board           {}".format(BOARD))
    if not relay.clock.known:
        first = "wait for the network clock or " if config.get("sntp") else ""
        print("no clock yet: {}send `clock MILLISECONDS` (unix time)".format(first))
    print(READY)
    appliance.serving = True
    appliance.watchdog.release()


async def _prove_start(appliance):
    await appliance.starts.outlast(appliance.link)
    appliance.restart_soon(appliance.keeper.trouble)


async def _stay_up(appliance):
    """Say on the console and to browsers what the fault is. Restart after a while if the fault may pass."""
    print("tessera relay on {}: {}".format(BOARD, appliance.fault))
    print("out of service; commands: status, log, restart, factory-reset")
    retry_seconds = appliance.starts.retry_seconds if appliance.passes else None
    tasks = []
    try:
        keeper = _join(appliance)
        visitors = FaultPage(page(appliance.fault, retry_seconds))
        tasks = [asyncio.create_task(_always(appliance.log, work)) for work in (keeper.keep, visitors.serve)]
    except Exception as error:
        appliance.log.note("no network: " + explain(error))
    try:
        while retry_seconds is None:
            await asyncio.sleep(3600)
        await asyncio.sleep(retry_seconds)
        slots.restart()
    finally:
        for task in tasks:
            task.cancel()


async def _mind_button(appliance):
    appliance.button = button.Button(button.board_button())
    if await appliance.button.watch(ticks_ms()):
        appliance.factory_reset()


# -- clock


def _accept_own_clock(relay):
    """Take the time of the board's own clock. If nobody set that over the prompt before, it is refused as too early."""
    relay.clock.set(time.time_ns() // 1_000_000 + 1000 * _EPOCH_SECONDS)


async def _follow(appliance, host):
    server = sntp.TimeServer(host, lambda name: appliance.watchdog.during(sntp.look_up, name))
    await sntp.follow(server, appliance.relay, appliance.keeper)
