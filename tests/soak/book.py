"""What was posted, promised and published, and what must hold between them. Knows records, rounds and cover keys;
nothing of sockets or time.

Cover is told from real by computing it: whatever is left of a batch must have been posted.
"""

from collections import Counter
from collections.abc import Mapping

from covering import cover_records
from office import LEDGER_KEY
from tessera.cover import EpochCover, commitment
from tessera.hashes import sha256
from tessera.ledger import Checkpoint
from tests.soak.sets import SignedSet


class Book:
    def __init__(self, thresholds: bytes, epoch_rounds: int, signed: Mapping[bytes, SignedSet] | None = None) -> None:
        self.thresholds, self.epoch_rounds = thresholds, epoch_rounds
        self.signed = signed or {}  # by digest
        self.in_force: list[tuple[int, int]] = []  # serials of sets that the relay took, and the epoch that has them
        self.sent: Counter[bytes] = Counter()  # how often each record went out
        self.promised: dict[bytes, Counter[int]] = {}  # rounds that acknowledgements named
        self.published: dict[bytes, list[int]] = {}  # rounds that real records were found in
        self.digests: dict[int, bytes] = {}  # of the batches read
        self.cover_keys: dict[int, bytes] = {}
        self.checkpoints: dict[int, Checkpoint] = {}
        self.lost = 0
        self.looked_for = 0
        self.wrong: list[str] = []
        self._covers: dict[int, EpochCover] = {}
        self._unchecked: dict[int, list[bytes]] = {}

    # -- posting

    def send(self, record: bytes) -> None:
        """It is about to be posted, perhaps once more."""
        self.sent[record] += 1

    def acknowledge(self, record: bytes, round_: int) -> None:
        self.promised.setdefault(record, Counter())[round_] += 1

    # -- reading

    def read(self, round_: int, batch: list[bytes]) -> bool:
        """A whole batch was read; whether for the first time."""
        digest = sha256(*batch)
        known = self.digests.setdefault(round_, digest)
        if known != digest:
            self.wrong.append(f"round {round_} is not what it was before")
        first = known is digest
        if first:
            self._unchecked[round_] = batch
        return first

    def learn(self, cover_keys: dict[int, bytes]) -> None:
        """Take cover keys, epoch -> cover_e."""
        for epoch, key in cover_keys.items():
            if self.cover_keys.setdefault(epoch, key) != key:
                self.wrong.append(f"the cover of epoch {epoch} changed")
            self._covers[epoch] = self._covers.get(epoch) or EpochCover(key, self.thresholds)

    def check_one(self) -> bool:
        """Check a batch whose cover key is known; False if there is none. Takes some milliseconds."""
        for round_ in self._unchecked:
            cover = self._covers.get(round_ // self.epoch_rounds)
            if cover is not None:
                self._check(round_, self._unchecked.pop(round_), cover_records(cover, 0, round_))
                return True
        return False

    def _check(self, round_: int, batch: list[bytes], dummies: list[bytes]) -> None:
        real = Counter(batch)
        real.subtract(dummies)
        if batch != sorted(batch):
            self.wrong.append(f"round {round_} is not in order")
        if min(real.values(), default=0) < 0:
            self.wrong.append(f"round {round_} lacks cover")
        for record, times in real.items():
            if times > 0:
                self.published.setdefault(record, []).extend([round_] * times)
                if record not in self.sent:
                    self.wrong.append(f"round {round_} has a record that nobody posted")

    def checkpoint(self, epoch: int, blob: bytes) -> None:
        """The relay's statement of an epoch that is over."""
        checkpoint = Checkpoint(blob)
        checkpoint.verify(LEDGER_KEY)
        before = self.checkpoints.get(epoch - 1)
        linked = before is None or checkpoint.previous == before.link()
        if checkpoint.epoch != epoch or not linked or checkpoint.rounds_sealed > self.epoch_rounds:
            self.wrong.append(f"the checkpoint of epoch {epoch} does not follow from the one before")
        self.checkpoints[epoch] = checkpoint

    def taken(self, serial: int, epoch: int) -> None:
        """The relay holds a set: from this epoch on it is in force, or a newer one."""
        self.in_force.append((serial, epoch))

    # -- at the end

    def close(self) -> None:
        """What was promised is where the promise says, and nothing is anywhere else."""
        if self._unchecked:
            self.wrong.append(f"{len(self._unchecked)} rounds were never checked")
        for record, rounds in self.promised.items():
            self.looked_for += len(rounds)
            missing = [round_ for round_ in rounds if self.published.get(record, []).count(round_) != 1]
            if missing:
                self.lost += len(missing)
                self.wrong.append(f"a record acknowledged for {missing} is in rounds {self.published.get(record)}")
        for record, found in self.published.items():
            promised = self.promised.get(record, Counter())
            unanswered = self.sent[record] - promised.total()
            if len(found) > len(set(found)) or len(set(found) - set(promised)) > unanswered:
                self.wrong.append(f"a record posted {self.sent[record]} times is in rounds {found}")
        for epoch, checkpoint in self.checkpoints.items():
            self._compare_set(epoch, self.signed.get(checkpoint.parameter_digest))
            key = self.cover_keys.get(epoch)
            if key is not None and checkpoint.cover_commitment != commitment(key):
                self.wrong.append(f"the checkpoint of epoch {epoch} commits to another cover")

    def _compare_set(self, epoch: int, found: SignedSet | None) -> None:
        if found is None:
            self.wrong.append(f"the checkpoint of epoch {epoch} names a set that nobody signed")
            return
        serial = found.parameters.serial
        least = max((taken for taken, since in self.in_force if since <= epoch), default=1)
        if serial < least or epoch < found.epoch:
            self.wrong.append(f"epoch {epoch} had the set of serial {serial}, not {least} or one signed since")
