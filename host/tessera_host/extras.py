"""What only some people need is installed by them alone: the extras of this package.

Owns what is said to whoever lacks one. Which packages an extra brings stands in pyproject.toml, and from there in what
is installed.
"""

import shlex
import sys
from importlib import metadata

from .errors import UsageError

PACKAGE = "tessera-relay"
FLEET = "fleet"
IT = "it"
REPORT = "report"


def command(extra: str) -> str:
    """The command that installs what an extra brings, by the names under which it is really there."""
    try:
        required = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # it runs from a tree that nobody installed
        required = []
    parts = (line.partition(";") for line in required)
    wanted = [package.strip() for package, _, marker in parts if f'extra == "{extra}"' in marker.replace("'", '"')]
    if not wanted:
        return f"pip install '.[{extra}]', in the folder with tessera's source"
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def missing(what: str, extra: str) -> UsageError:
    """The error for a command whose packages are not installed. what: like "reports need"."""
    return UsageError(f"{what} packages that are not installed", f"install them: {command(extra)}")
