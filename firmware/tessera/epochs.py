# What the relay holds for each epoch: page keys and cover from the key ring while it is kept, tokens while it is open,
# a checkpoint when it is over (PROTOCOL §8 to §11). When an epoch opens is rounds.py's business.

from . import cover
from .admission import Admission
from .batch import Batch
from .errors import TooOld
from .page import PageCipher


class Epochs:
    """The kept epochs of a relay, made at its start when its KeyRing was loaded.

    epoch: the open epoch, or None. admission: its Admission, or None. ciphers: {epoch: PageCipher} for every epoch that
    has keys. batches: keeps the batches that were made, on a machine that has room for them; None elsewhere.
    """

    admission_class = Admission

    def __init__(self, parameters, keyring, log, ledger, generator, identity):
        self._parameters = parameters
        self._keyring = keyring
        self._log = log
        self._ledger = ledger
        self._generator = generator
        self._identity = identity
        self.ciphers = {epoch: PageCipher(keys[0]) for epoch, keys in keyring.epochs.items()}
        self._covers = {}
        self.batches = None
        self.epoch = None
        self.admission = None
        self._rule = None  # the Rule of the epoch that admission is for

    # -- opening and closing

    def open(self, epoch):
        """Open an epoch, durably: sign the checkpoint of the one before, make keys, and erase those past retention."""
        keyring = self._keyring
        if keyring.epochs and max(keyring.epochs) < epoch:
            self._close(max(keyring.epochs))
        if epoch in keyring.epochs:
            keyring.reopen_epoch(epoch)
        else:
            self._renew_keys(epoch)
        self._follow_keyring()  # also in a second attempt, after the keys were renewed and a later step failed
        self._covers.clear()  # with those of expired epochs
        if self.batches is not None:
            self.batches.clear()
        self._parameters.drop_unneeded(epoch)
        self.begin_admission(epoch)

    def begin_admission(self, epoch):
        """Accept the tokens of an epoch. Makes nothing durable; under a provisional clock nothing else happens."""
        self.epoch = epoch
        self._rule = rule = self._parameters.rule(epoch)
        self.admission = self.admission_class(
            self._keyring,
            epoch,
            rule.epoch_keys(epoch),
            rule.parameters.federation_id,
            self._identity.static[1],
            rule.parameters.posts_per_token,
            rule.constant,
        )

    def follow_parameters(self):
        """Go by the parameter set that was just installed. It may govern the open epoch only while the clock is
        provisional."""
        if self.epoch is not None and self._rule is not self._parameters.rule(self.epoch):
            self.begin_admission(self.epoch)

    def _close(self, epoch):
        """Sign the checkpoint of an epoch that is over."""
        self._ledger.append(
            epoch,
            self._keyring.sealed_count,
            self._parameters.rule(epoch).digest,
            cover.commitment(self.cover_key(epoch)),
            self._identity.firmware_digest,
            self._generator.random(32),
        )

    def _renew_keys(self, epoch):
        """Make keys for every kept epoch up to this one that has none; erase the keys of epochs past retention."""
        parameters = self._parameters.newest
        first = max(0, epoch - parameters.retention_epochs)
        kept = self._keyring.epochs
        newest = max(kept) if kept else None
        state = kept[newest][1] if kept else None
        made = {}
        for new in range(first if newest is None else max(first, newest + 1), epoch + 1):
            state = self._cover_state(state, new)
            made[new] = (self._generator.random(32), state)
        self._keyring.open_epoch(epoch, made, first, self._generator.new_seed())

    def _cover_state(self, state, _epoch):
        """The cover state of an epoch, from the state of the one before; None if this is the first."""
        fresh = self._generator.random(32)
        return fresh if state is None else cover.next_state(state, fresh)

    def _follow_keyring(self):
        keys = self._keyring.epochs
        for epoch in keys:
            if epoch not in self.ciphers:
                self.ciphers[epoch] = PageCipher(keys[epoch][0])
        for epoch in [epoch for epoch in self.ciphers if epoch not in keys]:
            del self.ciphers[epoch]

    # -- what is kept

    @property
    def first_round(self):
        """The first round that readers may fetch. It depends on the open epoch only."""
        parameters = self._parameters.newest
        return max(0, self.epoch - parameters.retention_epochs) * parameters.epoch_rounds

    @property
    def first_keyed_round(self):
        """The first round whose records can be decrypted. Sectors with older records only may be erased."""
        return min(self._keyring.epochs, default=0) * self._parameters.newest.epoch_rounds

    def cover_key(self, epoch):
        """cover_e (32 bytes) of a kept epoch."""
        return cover.cover_key(self._keyring.epochs[epoch][1])

    def batch(self, bucket, round_):
        """The Batch of a cell (bucket, round); TooOld if its epoch is no longer kept."""
        epoch = round_ // self._parameters.newest.epoch_rounds
        if epoch not in self.ciphers or round_ < self.first_round:
            raise TooOld("rounds before the first one kept")
        if epoch not in self._covers:
            rule = self._parameters.rule(epoch)
            self._covers[epoch] = cover.EpochCover(self.cover_key(epoch), rule.thresholds, rule.constant)

        def make():
            return Batch(self._log, self.ciphers[epoch], self._covers[epoch], bucket, round_)

        return make() if self.batches is None else self.batches.get(bucket, round_, make)


def most_epochs(parameters):
    """How many epochs with keys a bank of the key ring must have room for: twice those that are kept."""
    return 2 * (parameters.retention_epochs + 2)
