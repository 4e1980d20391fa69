# What an exception means: one word for programs, one line for people. The message of an unexpected exception is left
# out, as it might contain a secret.

import sys
from io import StringIO

from tessera.errors import Error
from tessera.wire import refusal_name

_PLACES = 3


def code(error):
    """A word that stays the same when texts change: the name of a refusal in PROTOCOL §5, REFUSED for any other Error,
    STORAGE, MEMORY or BUG for other exceptions."""
    if isinstance(error, Error):
        return refusal_name(type(error)) or "REFUSED"
    return "STORAGE" if isinstance(error, OSError) else "MEMORY" if isinstance(error, MemoryError) else "BUG"


def explain(error):
    """One line of text that says what is wrong and what to do. An Error's own text says so."""
    if isinstance(error, Error):
        return str(error).replace("\n", " ")
    if isinstance(error, OSError):
        return "storage or network error {}: restart; if it stays, replace the board".format(error.args[0])
    if isinstance(error, MemoryError):
        return "out of memory: try again, or restart"
    return "internal error ({}): send the output of `log` to your maintainer".format(type(error).__name__)


def places(error):
    """Where in the program an exception was raised, innermost last: up to three lines of a traceback without values."""
    text = StringIO()
    sys.print_exception(error, text)
    found = [line.strip() for line in text.getvalue().split("\n") if line.strip().startswith("File ")]
    return found[-_PLACES:]
