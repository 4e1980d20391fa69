# Updates over the cable: the console's commands that bring code and parameters. Which code may be taken, and when, is
# the business of tessera/staging.py.

from binascii import a2b_base64, unhexlify

import slots
from tessera.errors import BadRequest, Error, NotReady
from tessera.staging import WAIT, Staging
from tessera.wire import CHUNK_BYTES

_STATES = ("wait", "send", "staged", "activated")


def staging(relay, self_test):
    """A Staging for this board, None if the board has no place for code. Call it once, at the start."""
    return None if slots.current is None else Staging(slots.current, relay.parameters, self_test)


def handlers(appliance):
    """{name: handler} for Console: for code in pieces, and for parameters or a time statement in chunks."""
    cable = _Cable()
    return {
        "update": lambda arguments: _update(_staging(appliance), appliance.relay, cable, arguments),
        "put": lambda arguments: _put(_staging(appliance), appliance.relay, cable, arguments),
        "activate": lambda arguments: _activate(appliance),
        "push": lambda arguments: _push(appliance.relay, cable, arguments),
    }


class _Cable:
    """Stands for a session in pushes and updates over the cable. A person at the cable is the operator."""

    operator = True
    pushed_ms = 0


def _staging(appliance):
    if appliance.relay is None or appliance.relay.staging is None:
        raise Error("this board takes no update now: flash the whole image")
    return appliance.relay.staging


def _figures(staging, relay):
    state, at = staging.state()
    wait_ms = relay.milliseconds_to_next_round() if state == WAIT else 0
    return {"state": _STATES[state], "next": at, "wait_s": (wait_ms + 999) // 1000}


def _update(staging, relay, cable, arguments):
    """Begin with a release (hex), or go on with it."""
    if len(arguments) != 1:
        raise BadRequest("usage: update RELEASE_HEX")
    staging.begin(_decoded(unhexlify, arguments[0]), cable)
    if relay.open_round is None:  # there are no windows, and no answers that erasing could delay
        staging.erase_all()
    return _figures(staging, relay)


def _put(staging, relay, cable, arguments):
    if len(arguments) != 2 or not arguments[0].isdigit():
        raise BadRequest("usage: put OFFSET BASE64")
    data = _decoded(a2b_base64, arguments[1])
    if len(data) > CHUNK_BYTES:
        raise BadRequest("a piece has {} bytes at most".format(CHUNK_BYTES))
    staging.put(int(arguments[0]), data, cable)
    return _figures(staging, relay)


def _activate(appliance):
    """Start the trial of the staged code: the board restarts."""
    staging = _staging(appliance)
    staging.activate_now()
    appliance.restart_soon("new code")
    return _figures(staging, appliance.relay)


def _push(relay, cable, arguments):
    """Take a chunk of a signed object, as PUSH does (PROTOCOL §5)."""
    if len(arguments) != 3 or not (arguments[0].isdigit() and arguments[1].isdigit()):
        raise BadRequest("usage: push TOTAL CHUNK BASE64")
    if relay is None:
        raise NotReady("the relay does not run: `status` says why")
    data = _decoded(a2b_base64, arguments[2])
    return {"complete": relay.push(cable, int(arguments[0]), int(arguments[1]), len(data), data)}


def _decoded(decode, word):
    try:
        return decode(word)
    except ValueError:
        raise BadRequest("the argument is damaged: send it again") from None
