"""IT's side of a cable: the issuer's directory with its inventory and journal, this computer's ports, what is shown.

Owns what the other modules here share. What IT reads without a passphrase (parameters, inventory) is apart from the
issuer itself, which lists relays.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tessera.errors import InvalidObject
from tessera.params import Parameters

from .. import files
from ..errors import IntegrityError, UsageError
from ..issuer.issuer import Issuer
from ..issuer.sets import pattern_of
from ..issuer.store import PARAMETERS, SETS
from .finder import Finder
from .inventory import Inventory
from .journal import Journal
from .report import Report


@dataclass
class Desk:
    """issuer is open where relays are listed, None where they are only looked at."""

    directory: Path
    finder: Finder
    report: Report
    inventory: Inventory
    journal: Journal
    issuer: Issuer | None = None
    finished: set[str] = field(default_factory=set)  # places of boards that this command is done with

    @property
    def parameters(self) -> Parameters:
        """The newest signed set, whole. Raises UsageError, IntegrityError."""
        return self.issuer.parameters if self.issuer else read_parameters(self.directory)

    def set_named(self, digest: bytes) -> Parameters:
        """The signed set of a digest (32 bytes). Raises IntegrityError if there is none beside the issuer."""
        newest = self.parameters
        if digest == newest.digest:
            return newest
        for found in map(_read, (self.directory / SETS).glob(pattern_of(digest))):
            if found.digest == digest and found.root_key == newest.root_key:
                return found
        raise IntegrityError(
            f"the relay used a parameter set (digest {digest.hex()[:16]}…) that is not in {self.directory / SETS}",
            "name the issuer's own directory with --issuer; if this is it, do not use the board, and report the error",
        )


def open_desk(directory: Path, finder: Finder, report: Report, issuer: Issuer | None = None) -> Desk:
    """IT's side of the cable for the issuer in this directory. Raises UsageError, InvalidInput."""
    return Desk(directory, finder, report, Inventory(directory), Journal(directory), issuer)


def read_parameters(directory: Path) -> Parameters:
    """The newest set that the issuer in this directory published. Raises UsageError, IntegrityError."""
    path = directory / PARAMETERS
    if not path.is_file():
        raise UsageError(
            f"there is no issuer in {directory}",
            "name the issuer's directory with --issuer; to make an issuer: tessera issuer init",
        )
    return _read(path)


def _read(path: Path) -> Parameters:
    try:
        parameters = Parameters(path.read_bytes())
        parameters.verify()
    except (OSError, InvalidObject) as error:
        raise IntegrityError(
            f"{path} is not what the issuer signed: {error}", "write it anew: tessera issuer show"
        ) from None
    return parameters


def write_log(path: Path, text: str) -> None:
    """A file for people to pass on."""
    files.write(path, text.encode())
