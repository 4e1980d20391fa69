# What an exception means: to a program in one word, to people in one line, without what a caller put into the message
# of an unexpected one.

import sys
from io import StringIO

from tessera.errors import Error
from tessera.wire import refusal_name

_PLACES = 3


def code(error):
    """A word that stays when the words for people change: a refusal's name in PROTOCOL §5; REFUSED for any other Error;
    STORAGE, MEMORY or BUG for what is none."""
    if isinstance(error, Error):
        return refusal_name(type(error)) or "REFUSED"
    return "STORAGE" if isinstance(error, OSError) else "MEMORY" if isinstance(error, MemoryError) else "BUG"


def explain(error):
    """One line of text; an Error says itself what is wrong and what to do."""
    if isinstance(error, Error):
        return str(error).replace("\n", " ")
    if isinstance(error, OSError):
        return "the storage or the network fails ({}): if that stays, replace the board".format(error.args[0])
    if isinstance(error, MemoryError):
        return "the memory is full"
    return "an error of the program ({}): tell who maintains it what `log` says".format(type(error).__name__)


def places(error):
    """Where in the program an exception came up, innermost last: lines without values."""
    text = StringIO()
    sys.print_exception(error, text)
    found = [line.strip() for line in text.getvalue().split("\n") if line.strip().startswith("File ")]
    return found[-_PLACES:]
