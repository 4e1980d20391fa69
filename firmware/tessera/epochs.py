# What an epoch has while it is kept: page keys and cover from the key ring, the tokens of the open one, the checkpoint
# of each that is over (PROTOCOL §8 to §11). Which epoch is open, and when keys expire, is rounds.py's business.

from . import cover
from .admission import Admission
from .batch import Batch
from .errors import TooOld
from .page import PageCipher


class Epochs:
    """The kept epochs of a relay that is starting, over its key ring that was read.

    epoch: the open one, None without one; admission: its tokens. ciphers: {epoch: PageCipher} of every epoch with keys.
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
        self.batches = None  # that were made and are kept, on a machine that has room for them
        self.epoch = None
        self.admission = None
        self._rule = None  # of the epoch whose tokens are taken

    # -- opening and closing

    def open(self, epoch):
        """Open an epoch, durably; the ones before are closed, and the keys of those past retention are erased."""
        keyring = self._keyring
        if keyring.epochs and max(keyring.epochs) < epoch:
            self._close(max(keyring.epochs))
        if epoch in keyring.epochs:
            keyring.reopen_epoch(epoch)
        else:
            self._renew_keys(epoch)
        self._follow_keyring()  # also where keys were renewed and what came after it failed
        self._covers.clear()  # of expired epochs, too
        if self.batches is not None:
            self.batches.clear()
        self._parameters.settle(epoch)
        self.begin_admission(epoch)

    def begin_admission(self, epoch):
        """Take an epoch's tokens. Alone it makes nothing durable: of a clock that is provisional there is no more."""
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
        """Another set was taken. Of the open epoch it governs one that a provisional clock names, at most."""
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
        """Keys for every epoch up to this one that has none; those past retention are erased."""
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
        """Of an epoch, by the state before it; None: there was none."""
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
        """The first round kept, a function of the open epoch only."""
        parameters = self._parameters.newest
        return max(0, self.epoch - parameters.retention_epochs) * parameters.epoch_rounds

    @property
    def first_keyed_round(self):
        """Records from here on have keys; sectors with nothing but older ones may be erased."""
        return min(self._keyring.epochs, default=0) * self._parameters.newest.epoch_rounds

    def cover_key(self, epoch):
        """cover_e (32 bytes) of a kept epoch."""
        return cover.cover_key(self._keyring.epochs[epoch][1])

    def batch(self, bucket, round_):
        """The sealed batch of a cell; TooOld if its epoch was dropped meanwhile."""
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
    """Epochs with keys that a bank of the key ring has to have room for: twice those kept, to spare."""
    return 2 * (parameters.retention_epochs + 2)
