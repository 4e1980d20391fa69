# Relays that break a promise on purpose, to show that the suite would notice.

from slots import Slots

from tessera.keyring import KeyRing
from tessera.recordlog import RecordLog


def _acknowledge_before_programming():
    """A record is kept until the next one comes before it is programmed."""
    append = RecordLog.append
    waiting = []

    def late(self, *arguments):
        waiting.append(arguments)
        return append(self, *waiting.pop(0)) if len(waiting) > 1 else 0

    RecordLog.append = late


def _keep_old_keys():
    """A rewrite leaves the old bank as it is, and the window after a seal does, too."""
    rewrite = KeyRing.rewrite

    def careless(self, erase_old=True):
        rewrite(self, False)

    KeyRing.rewrite = careless
    KeyRing.tidy = lambda self: None


def _forget_leases():
    """A lease is noted in RAM only."""

    def lease(self, token_id, leases):
        self.leases[token_id] = leases

    KeyRing.lease = lease


def _use_numbers_again():
    """A boot starts with the number of the newest sector instead of one that was never used."""
    recover = RecordLog.recover

    def again(self, *arguments):
        following = recover(self, *arguments)
        self._number -= 2
        return following - 2

    RecordLog.recover = again


def _try_again_and_again():
    """That code was tried is not noted before it runs."""
    choose = Slots.choose

    def hopeful(self):
        write, self._write = self._write, lambda: None
        chosen = choose(self)
        self._write = write
        return chosen

    Slots.choose = hopeful


BROKEN = {
    "late program": _acknowledge_before_programming,
    "old keys": _keep_old_keys,
    "forgotten leases": _forget_leases,
    "old numbers": _use_numbers_again,
    "endless trials": _try_again_and_again,
}
