# The privacy ledger: a signed checkpoint for each epoch, chained to the one before (PROTOCOL §11). No other module
# knows the bytes of a checkpoint.

import struct

from . import curve
from .errors import Fault, InvalidObject, TooOld
from .hashes import tagged
from .runtime import const

CHECKPOINT_BYTES = const(250)
_SIGNED_BYTES = const(186)
_VERSION = const(1)
_LAYOUT = ">B16s33sII32s32s32s32s64s"
_FILE = "ledger"
_OLD_FILE = "ledger.old"
_FILE_ENTRIES = const(256)  # checkpoints in each of two files, so that at least the last 256 epochs are kept


class Checkpoint:
    """A checkpoint, read from its 250 bytes. Its attributes are the fields of PROTOCOL §11.

    InvalidObject for a wrong length or version. verify() checks the signature.
    """

    def __init__(self, blob):
        self.blob = bytes(blob)
        if len(self.blob) != CHECKPOINT_BYTES or self.blob[0] != _VERSION:
            raise InvalidObject("this is not a checkpoint of version 1")
        (
            _,
            self.federation_id,
            self.relay_key,
            self.epoch,
            self.rounds_sealed,
            self.parameter_digest,
            self.cover_commitment,
            self.firmware_digest,
            self.previous,
            self._signature,
        ) = struct.unpack(_LAYOUT, self.blob)

    def verify(self, ledger_key):
        """Raise InvalidObject unless ledger_key (32 bytes) signed it."""
        if not curve.verify(self._signature, tagged("checkpoint", self.blob[:_SIGNED_BYTES]), ledger_key):
            raise InvalidObject("the checkpoint is not signed by the relay's ledger key")

    def link(self):
        """What `previous` must be in the next checkpoint (32 bytes)."""
        return tagged("checkpoint-link", self.blob)


class Ledger:
    """The chain of one relay, in two files of a Directory, so that the older half can be dropped.

    federation_id: 16 bytes. relay_key: the static key (33). ledger_secret: a curve.Secret or 32 bytes.
    last_epoch: the epoch of the last checkpoint, -1 if there is none yet.
    """

    def __init__(self, directory, federation_id, relay_key, ledger_secret):
        self._directory = directory
        self._start = struct.pack(">B16s33s", _VERSION, federation_id, relay_key)
        self._secret = ledger_secret
        self._unsure = False  # an append failed, so the end of the file is not known
        self._mend()

    def _mend(self):
        """Cut off what an interrupted append left at the end of the file, and find the last epoch."""
        size = self._directory.size(_FILE)
        if size % CHECKPOINT_BYTES:
            whole = self._directory.read_at(_FILE, 0, size - size % CHECKPOINT_BYTES)
            self._directory.replace(_FILE, whole)
        last = self._last()
        self.last_epoch = -1 if last is None else last.epoch

    def _last(self):
        for name in (_FILE, _OLD_FILE):
            size = self._directory.size(name)
            if size:
                return Checkpoint(self._directory.read_at(name, size - CHECKPOINT_BYTES, CHECKPOINT_BYTES))
        return None

    def append(self, epoch, rounds_sealed, parameter_digest, commitment, firmware_digest, random):
        """Sign the checkpoint of an epoch that is over and keep it, durably. Call it once for each epoch.

        rounds_sealed: a number. The rest are 32 bytes each; random goes into the signature.
        """
        self._be_sure()
        self.keep(self.signed(epoch, rounds_sealed, parameter_digest, commitment, firmware_digest, random))

    def _be_sure(self):
        if self._unsure:  # the append that failed may have left the checkpoint in the file, or a part of it
            self._mend()
            self._directory.append(_FILE, b"")  # makes it durable
            self._unsure = False

    def signed(self, epoch, rounds_sealed, parameter_digest, commitment, firmware_digest, random):
        """The next checkpoint in the chain (250 bytes), not kept yet. Arguments as for append()."""
        last = self._last()
        body = self._start + struct.pack(">II", epoch, rounds_sealed) + parameter_digest + commitment + firmware_digest
        body += bytes(32) if last is None else last.link()
        return body + curve.sign(self._secret, tagged("checkpoint", body), random)

    def keep(self, blob):
        """Append a checkpoint from signed(), durably, unless one of its epoch is there already."""
        self._be_sure()
        epoch = Checkpoint(blob).epoch
        if epoch <= self.last_epoch:
            return
        self._unsure = True
        if self._directory.size(_FILE) >= _FILE_ENTRIES * CHECKPOINT_BYTES:
            self._directory.rename(_FILE, _OLD_FILE)
        self._directory.append(_FILE, blob)
        self.last_epoch = epoch
        self._unsure = False

    def find(self, epoch):
        """The checkpoint of an epoch (250 bytes). TooOld if it is not kept, Fault if it may be a damaged one."""
        damaged = False
        for name in (_FILE, _OLD_FILE):
            for at in range(0, self._directory.size(name), CHECKPOINT_BYTES):
                blob = self._directory.read_at(name, at, CHECKPOINT_BYTES)
                try:
                    if Checkpoint(blob).epoch == epoch:
                        return blob
                except InvalidObject:
                    damaged = True
        if damaged:
            raise Fault("the ledger is damaged")
        raise TooOld("no checkpoint of this epoch")
