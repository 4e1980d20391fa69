"""`tessera flash`, where what it needs is installed; else a command of this name that says what is missing.

Owns that choice: members' programs come without the libraries for boards on a cable (the extra `it`).
"""

import typer

from .. import extras
from .options import Json

_LIBRARIES = ("esptool", "mpremote", "serial")


def register(app: typer.Typer) -> None:
    """Add the command to the main app."""
    try:
        from . import flash
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES:
            raise
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command("flash", context_settings=anything)(_flash)
    else:
        flash.register(app)


def _flash(as_json: Json = False) -> None:
    """Turn a board on a USB cable into a relay in service. Not installed here."""
    raise extras.missing("boards on a cable need", extras.IT)
