"""What earlier audits verified, kept so that a relay cannot contradict it later unnoticed.

Owns a directory of public, signed objects: anybody may read them (but for parameters, which carry the access key: the
files are for the owner only), nobody can change them unnoticed, as every one is verified again when it is read.

    <relay's static key in hex>/ledger      its checkpoints of 250 bytes, in order of epochs
    parameters/<digest>.tpr                 parameter sets
    releases/<sha256 of the file>.release   approved releases
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tessera.errors import InvalidObject
from tessera.ledger import CHECKPOINT_BYTES, Checkpoint
from tessera.release import Release

from .. import files
from ..errors import InvalidInput, UsageError
from ..protocol.parameter_sets import ParameterSets

_LEDGER, _PARAMETERS, _RELEASES = "ledger", "parameters", "releases"
_MEND = "restore this file from a backup, or move it away and audit again"


class AuditArchive:
    """A view of the directory, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def checkpoints(self, relay_key: bytes, ledger_keys: Iterable[bytes]) -> dict[int, bytes]:
        """The relay's checkpoints by epoch. Raises InvalidInput if one of them is not what was written."""
        path = self._ledger(relay_key)
        data = _read(path)
        keys = list(ledger_keys)
        found: dict[int, bytes] = {}
        for at in range(0, len(data), CHECKPOINT_BYTES):
            blob = data[at : at + CHECKPOINT_BYTES]
            found[_epoch_of(path, blob, relay_key, keys)] = blob
        return found

    def keep_checkpoints(self, relay_key: bytes, verified: Iterable[bytes]) -> None:
        """Replace the relay's ledger by these checkpoints."""
        ordered = sorted(verified, key=lambda blob: int(Checkpoint(blob).epoch))
        self._write(self._ledger(relay_key), b"".join(ordered))

    def add_parameters(self, sets: ParameterSets) -> None:
        """Add the kept sets to these. Raises IntegrityError for one that was tampered with."""
        for path in sorted((self.directory / _PARAMETERS).glob("*.tpr")):
            sets.add(_read(path))

    def keep_parameters(self, sets: ParameterSets) -> None:
        for each in sets:
            self._write(self.directory / _PARAMETERS / f"{each.digest.hex()}.tpr", each.blob)

    def releases(self) -> list[Path]:
        return sorted((self.directory / _RELEASES).glob("*.release"))

    def keep_release(self, release: Release) -> None:
        name = f"{hashlib.sha256(release.blob).hexdigest()}.release"
        self._write(self.directory / _RELEASES / name, release.blob)

    def _ledger(self, relay_key: bytes) -> Path:
        return self.directory / relay_key.hex() / _LEDGER

    def _write(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"the archive {self.directory} cannot be written: {error.strerror}", "name another one with --archive"
            ) from None
        if not path.exists() or path.read_bytes() != data:
            files.write(path, data)


def _read(path: Path) -> bytes:
    if not path.exists():
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}", "check its owner and its access rights"
        ) from None


def _epoch_of(path: Path, blob: bytes, relay_key: bytes, ledger_keys: list[bytes]) -> int:
    try:
        checkpoint = Checkpoint(blob)
    except InvalidObject:
        raise InvalidInput(f"the archive file {path} is damaged", _MEND) from None
    if checkpoint.relay_key != relay_key or not any(_holds(checkpoint, key) for key in ledger_keys):
        raise InvalidInput(f"the archive file {path} is damaged at epoch {checkpoint.epoch}", _MEND)
    return int(checkpoint.epoch)


def _holds(checkpoint: Checkpoint, key: bytes) -> bool:
    try:
        checkpoint.verify(key)
    except InvalidObject:
        return False
    return True
