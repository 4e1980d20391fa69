# Relays that break a promise on purpose, to show that the suite would notice. Each keeps all promises while the power
# stays on, so that only a cut gives it away, and stands with what the suite must then say.

from slots import Slots
from tessera.keyring import KeyRing
from tessera.recordlog import RecordLog
from tessera.relay import Relay


def _acknowledge_before_programming():
    """A record waits in RAM until another one comes, or until someone reads or sectors are erased."""
    append = RecordLog.append

    def program(self):
        arguments, self.waiting = getattr(self, "waiting", None), None
        if arguments:
            append(self, *arguments)

    def late(self, round_, bucket, record, cipher, is_copy=False):
        program(self)
        self.waiting = round_, bucket, record, cipher, is_copy
        return 0

    def in_time(method):
        def after_programming(self, *arguments):
            program(self)
            return method(self, *arguments)

        return after_programming

    RecordLog.append = late
    for name in ("pages_of", "erase_ahead"):
        setattr(RecordLog, name, in_time(getattr(RecordLog, name)))


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
    """A boot takes the number after the newest sector's, which a sector of torn pages may have."""
    recover = RecordLog.recover

    def again(self, *arguments):
        following = recover(self, *arguments)
        self._number -= 1
        return following - 1

    RecordLog.recover = again


def _try_again_and_again():
    """That code was tried is noted only once the relay has started."""
    choose, start = Slots.choose, Relay.start
    writes = []

    def hopeful(self):
        write, self._write = self._write, lambda: None
        chosen = choose(self)
        self._write = write
        writes[:] = [write]
        return chosen

    def note_then(self):
        start(self)
        while writes:
            writes.pop()()

    Slots.choose, Relay.start = hopeful, note_then


# Name -> what breaks the relay, the workload whose cuts show it, every which operation is cut, and what the suite says.
BROKEN = {
    "late program": (_acknowledge_before_programming, "post across sectors", 5, "an acknowledged record is lost"),
    "old keys": (_keep_old_keys, "change of epoch", 5, "an erased key is still on the flash"),
    "forgotten leases": (_forget_leases, "leases", 5, "quota came back"),
    "old numbers": (_use_numbers_again, "seal a round", 1, "is used twice under one key"),
    "endless trials": (_try_again_and_again, "update", 40, "code is tried twice"),
}
