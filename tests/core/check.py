# What core tests use in place of pytest, which MicroPython does not have: expected errors, vectors, skipping.

import gc
import json
from binascii import unhexlify as unhex  # noqa: F401  (tests import it from here)

try:
    from unittest import SkipTest as Skipped  # pytest knows this one
except ImportError:

    class Skipped(Exception):
        pass


# Where vectors() reads; a board image that carries its vectors elsewhere sets it.
vectors_folder = (__file__.rsplit("/", 1)[0] if "/" in __file__ else ".") + "/../vectors"

# True on a board (tools/emulator/testvolume.py), whose processor is a thousand times slower than a computer's.
board = False

# True in a board's share of `make test`; `make test-board` runs everything.
quick = False
_QUICK_STEP = 4

_loaded = {}


def raises(exception, function, *arguments, **named):
    """Calls the function, which must raise the exception; returns what was raised."""
    try:
        function(*arguments, **named)
    except exception as error:
        return error
    raise AssertionError("%s was not raised" % exception.__name__)


async def async_raises(exception, awaitable):
    """Awaits, which must raise the exception; returns what was raised."""
    try:
        await awaitable
    except exception as error:
        return error
    raise AssertionError("%s was not raised" % exception.__name__)


def skip(reason):
    """Ends the test as skipped: for what only one runtime has."""
    raise Skipped(reason)


def heap_only():
    """Ends the test as skipped on CPython, which counts no heap: a comparison would hold whatever the code does."""
    if not hasattr(gc, "mem_alloc"):
        skip("CPython counts no heap")


def not_on_a_board(reason):
    """Ends the test as skipped on a board: for what takes more memory or time than it has."""
    if board:
        skip(reason)


def share(items, step):
    """The items, on a board every step-th of them from the first on: for what is tried in very many ways."""
    step = board_step(step)
    some = items[::step] if hasattr(items, "__getitem__") else list(items)[::step]
    assert len(some), "a loop over nothing compares nothing"
    return some


def board_step(step):
    """1 on computers, step on a board, more if it has to be quick."""
    if not board:
        return 1
    return step * _QUICK_STEP if quick else step


def vectors(name):
    """The content of tests/vectors/NAME.json, read once a process."""
    if name not in _loaded:
        with open(vectors_folder + "/" + name + ".json") as file:
            _loaded[name] = json.load(file)
    assert _loaded[name], "a loop over nothing compares nothing"
    return _loaded[name]
