# The lines that a relay prints when it starts, on the console of a computer or the serial line of a board. They contain
# no secrets.

import sys

from . import VERSION, curve
from .params import CONSTANT

READY = "serving"  # the line after them, which programs wait for that started the relay


def runtime_name():
    """The name of the Python that runs, like "micropython 1.25.0 (linux)"."""
    version = "{}.{}.{}".format(*sys.implementation.version[:3])
    return "{} {} ({})".format(sys.implementation.name, version, sys.platform)


def address(host, port):
    """host and port as one text, like 127.0.0.1:8100, or [::1]:8100 (RFC 3986 §3.2.2)."""
    return "{}:{}".format("[{}]".format(host) if ":" in host else host, port)


def announcement(relay, where):
    """The lines (a list of str) about a started Relay that listens at the address `where` (str)."""
    parameters = relay.parameters.newest
    open_round = "unknown: no clock yet" if relay.open_round is None else relay.open_round
    seconds = parameters.round_seconds * parameters.epoch_rounds
    epoch = "{} s".format(seconds) if seconds % 3600 else "{} h".format(seconds // 3600)
    lines = [
        "tessera relay {} on {}".format(VERSION, runtime_name()),
        "  address         {}".format(where),
        "  relay key       {}".format(relay.static_key.hex()),
        "  parameters      serial {}, digest {}".format(parameters.serial, parameters.digest.hex()[:16]),
        "  cover traffic   {}".format(_cover(parameters)),
        "  rounds          {} s, {} in an epoch of {}".format(parameters.round_seconds, parameters.epoch_rounds, epoch),
        "  open round      {}".format(open_round),
        "  curve tier      {}".format(curve.TIER),
    ]
    if relay.unreadable_pages:
        lines.append("  unreadable      {} pages, torn by a power cut or damaged".format(relay.unreadable_pages))
    return lines


def _cover(parameters):
    """The kind of cover of a parameter set and the size of its batches; for noise, also ε of one delivery."""
    if parameters.cover == CONSTANT:
        return "constant, {} records in each batch".format(parameters.constant)
    return "epsilon {}, at most {} dummies".format(_millionths(parameters.epsilon), parameters.candidates)


def _millionths(number):
    """A number of millionths as a decimal, without floating point: 100000 gives 0.1."""
    text = "{}.{:06d}".format(number // 1_000_000, number % 1_000_000)
    return text.rstrip("0").rstrip(".")
