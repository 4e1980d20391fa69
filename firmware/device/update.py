# Updates of a board: where new code goes here, and the console's commands that bring code and parameters by the cable.
# What may be taken, and when, is tessera/staging.py's.

from binascii import a2b_base64, unhexlify

import slots
from tessera.errors import BadRequest, Error, NotReady
from tessera.staging import WAIT, Staging
from tessera.wire import CHUNK_BYTES

_STATES = ("wait", "send", "staged", "activated")


def staging(relay, self_test):
    """A Staging for this board, None without a place for code. Called once, at the start."""
    return None if slots.current is None else Staging(slots.current, relay.parameters, self_test)


def handlers(appliance):
    """{name: handler} for Console: code in pieces, and parameters (or a time statement) as members push them."""
    cable = _Cable()
    return {
        "update": lambda arguments: _update(_staging(appliance), appliance.relay, cable, arguments),
        "put": lambda arguments: _put(_staging(appliance), appliance.relay, cable, arguments),
        "activate": lambda arguments: _activate(appliance),
        "push": lambda arguments: _push(appliance.relay, cable, arguments),
    }


class _Cable:
    """As the relay keeps in mind whose session pushes an object or brings code: who has the cable is the operator."""

    operator = True
    pushed_ms = 0


def _staging(appliance):
    if appliance.relay is None or appliance.relay.staging is None:
        raise Error("this board takes no code in service: flash the whole image")
    return appliance.relay.staging


def _figures(staging, relay):
    state, at = staging.state()
    wait_ms = relay.milliseconds_to_next_round() if state == WAIT else 0
    return {"state": _STATES[state], "next": at, "wait_s": (wait_ms + 999) // 1000}


def _update(staging, relay, cable, arguments):
    """Begin with a release, or go on with it."""
    if len(arguments) != 1:
        raise BadRequest("usage: update RELEASE_HEX")
    staging.begin(_decoded(unhexlify, arguments[0]), cable)
    if relay.open_round is None:  # no windows, and nobody who would see
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
    """Try what is staged: the board restarts."""
    staging = _staging(appliance)
    staging.activate_now()
    appliance.restart_soon("new code")
    return _figures(staging, appliance.relay)


def _push(relay, cable, arguments):
    """A chunk of a signed object, as in PROTOCOL §5."""
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
        raise BadRequest("the argument is damaged") from None
