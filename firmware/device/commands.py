# The console's commands for the relay: status, log, clock, commissioning, restart and reset. How a line becomes a
# command is console.py's business, commands for updates are update.py's.

from binascii import b2a_base64

from device.console import say
from tessera.batch import CellFrame
from tessera.errors import BadRequest, NotReady
from tessera.runtime import sleep_ms
from tessera.wire import CELL_HEADER_BYTES, RECORD_BYTES


def handlers(appliance):
    """{name: handler} for Console."""
    return {
        "status": lambda arguments: appliance.figures(),
        "clock": lambda arguments: _clock(_relay(appliance), arguments),
        "log": lambda arguments: _log(appliance.log),
        "commission": lambda arguments: _commission(_relay(appliance)),
        "batch": lambda arguments: _batch(_relay(appliance), arguments),
        "restart": lambda arguments: _restart(appliance),
        "factory-reset": lambda arguments: _factory_reset(appliance, arguments),
    }


def _relay(appliance):
    if appliance.relay is None:
        raise NotReady("the relay does not run: `status` says why")
    return appliance.relay


def _numbers(arguments, count, usage):
    if len(arguments) != count or not all(argument.isdigit() for argument in arguments):
        raise BadRequest("usage: " + usage)
    return [int(argument) for argument in arguments]


def _clock(relay, arguments):
    """Take the time from the operator at the line: the first time of the relay, or a correction within its bounds."""
    (unix_ms,) = _numbers(arguments, 1, "clock MILLISECONDS (unix time)")
    if not relay.clock.possible(unix_ms):
        raise BadRequest("impossible time: before genesis, the last seal or this release; send the present one")
    moved_ms = relay.clock.correct(unix_ms)
    return {"unix_ms": relay.clock.now_ms(), "moved_ms": moved_ms}


async def _log(log):
    count = 0
    for line in log.lines():
        say("log", line)
        count += 1
        await sleep_ms(0)  # so that other tasks run, also if nobody reads the line
    return {"lines": count}


def _commission(relay):
    epoch, key = relay.commissioning_key()
    rounds = relay.parameters.newest.epoch_rounds
    end = min((epoch + 1) * rounds, relay.open_round)
    digest = bytes(relay.parameters.rule(epoch).digest).hex()
    return {
        "epoch": epoch,
        "parameter_digest": digest,
        "cover_key": key.hex(),
        "first_round": epoch * rounds,
        "end_round": end,
    }


async def _batch(relay, arguments):
    """Say a sealed batch of the commissioning epoch, one record (base64) in each line."""
    bucket, round_ = _numbers(arguments, 2, "batch BUCKET ROUND")
    batch = relay.commissioning_batch(bucket, round_)
    frame = CellFrame()
    offset = 0
    while offset < batch.count:
        here = batch.fill(frame, offset)
        for place in range(here):
            at = CELL_HEADER_BYTES + place * RECORD_BYTES
            say("batch", b2a_base64(frame.buffer[at : at + RECORD_BYTES], newline=False).decode())
        offset += here
        await sleep_ms(0)
    return {"bucket": bucket, "round": round_, "count": batch.count}


def _restart(appliance):
    appliance.restart_soon("asked for at the console")
    return {"restarting": True}


def _factory_reset(appliance, arguments):
    name = appliance.config.get("name") or "relay"
    if [name.encode()] != arguments:
        raise BadRequest(
            "usage: factory-reset NAME, the name of this relay ({}): its keys are erased for good".format(name)
        )
    appliance.factory_reset()
    return {"restarting": True}
