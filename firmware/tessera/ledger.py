# The privacy ledger: one signed checkpoint an epoch, chained to the one before (PROTOCOL §11). The only module that
# knows a checkpoint's bytes.

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
_FILE_ENTRIES = const(256)  # two files of this many: at least 256 epochs are kept


class Checkpoint:
    """A checkpoint over its 250 bytes; fields as in PROTOCOL §11. InvalidObject for a wrong length or version."""

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
        if not curve.verify(self._signature, tagged("checkpoint", self.blob[:_SIGNED_BYTES]), ledger_key):
            raise InvalidObject("the checkpoint is not signed by the relay's ledger key")

    def link(self):
        """What the next checkpoint's `previous` must be."""
        return tagged("checkpoint-link", self.blob)


class Ledger:
    """The chain in two files of a Directory, so that the older half can be dropped."""

    def __init__(self, directory, federation_id, relay_key, ledger_secret):
        self._directory = directory
        self._start = struct.pack(">B16s33s", _VERSION, federation_id, relay_key)
        self._secret = ledger_secret
        self._unsure = False  # what the file ends with
        self._mend()

    def _mend(self):
        """Cut off what an append left that a power cut or an error interrupted; find the last epoch."""
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
        """Sign and keep the checkpoint of an epoch that is over; random 32 bytes for the signature. Once an epoch."""
        self._be_sure()
        self.keep(self.signed(epoch, rounds_sealed, parameter_digest, commitment, firmware_digest, random))

    def _be_sure(self):
        if self._unsure:  # the append before failed, and is in the file all the same, or a part of it
            self._mend()
            self._directory.append(_FILE, b"")  # makes durable what is there
            self._unsure = False

    def signed(self, epoch, rounds_sealed, parameter_digest, commitment, firmware_digest, random):
        """The 250 bytes that would be next in the chain."""
        last = self._last()
        body = self._start + struct.pack(">II", epoch, rounds_sealed) + parameter_digest + commitment + firmware_digest
        body += bytes(32) if last is None else last.link()
        return body + curve.sign(self._secret, tagged("checkpoint", body), random)

    def keep(self, blob):
        """Append what signed() gave, durably; nothing if there is one of its epoch."""
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
        """The 250 bytes of an epoch's checkpoint; TooOld if there is none, Fault if it may be one that is damaged."""
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
