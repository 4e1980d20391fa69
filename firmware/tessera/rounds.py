# Which round is open: rounds and epochs turn here, are sealed, and a clock is accepted or not (PROTOCOL §3). What an
# epoch has is epochs.py's business, what a seal is on flash keyring.py's.

from .errors import NotReady
from .runtime import const

_ROUNDS_OF_A_START = const(1)  # missed by a restart; a clock that is further on after a boot is provisional
_PART_LIVED = const(8)  # of the last seal's epoch: so that a token of the next one bears out a clock
_LAST_ROUND = const(0x3FFFFFFE)  # what the record log can keep


class Rounds:
    """The rounds of a relay that started.

    open_round: None before the clock is known. served: rounds since the start, each from its beginning or the start's
    end to its seal.
    """

    def __init__(self, clock, parameters, keyring, log, epochs):
        self._clock = clock
        self._parameters = parameters
        self._keyring = keyring
        self._log = log
        self._epochs = epochs
        self._stated = False  # the clock says what a signed time does
        self.open_round = None
        self.served = 0

    # -- the turn

    def turn(self):
        """Seal what is over and open the round of the clock; True if a round was sealed (a window follows).

        The only place where rounds and epochs change. Durable before it returns.
        """
        if not self._clock.known:
            return False
        open_round = self._wanted()
        turned = open_round != self.open_round
        if turned:
            self._log.settle()
            self._judge(open_round)
            if self._clock.provisional:
                self._epochs.begin_admission(self._epoch_of(open_round))
            else:
                self._seal(open_round, self.open_round is not None)
            self.open_round = open_round
        if self._clock.provisional and (self._stated or self._lasted()):
            self.accept_clock()
        return turned

    def _wanted(self):
        """The round that the clock, where it is known, would have open."""
        return max(self._parameters.newest.round_at(self._clock.now_ms() // 1000), self._earliest())

    def _earliest(self):
        """Rounds never go back: not behind the open one, after a boot not behind the last seal or a record on flash."""
        if self.open_round is not None and not self._clock.provisional:
            return self.open_round
        return max(self.sealed_next, self._log.highest_round)

    def _seal(self, open_round, in_time):
        """Make durable that every round before open_round is sealed, the last one in_time or not, and open its epoch if
        that is another."""
        if open_round > self.sealed_next:
            self.served += in_time
            self._keyring.mark(open_round, self._keyring.sealed_count + in_time)
        epoch = self._epoch_of(open_round)
        if epoch != self._epochs.epoch:
            self._epochs.open(epoch)
            self._clock.allow(1000 * self._parameters.newest.round_seconds)

    def _epoch_of(self, round_):
        return round_ // self._parameters.newest.epoch_rounds

    # -- whether the clock is accepted

    def bound_clock(self):
        """Refuse times before genesis and before the last seal, which a clock may have led by a round, and times whose
        round is none."""
        parameters = self._parameters.newest
        round_ = max(0, self.sealed_next - 1)
        self._clock.not_before(1000 * (parameters.genesis + round_ * parameters.round_seconds))
        self._clock.not_after(1000 * (parameters.genesis + _LAST_ROUND * parameters.round_seconds))

    def _judge(self, open_round):
        """After a boot: whether a round is accepted that is not the one after the last seal. Until then nothing of it
        is made durable, so that an attacker who forges the time of a start gains nothing that a better reading does not
        undo (PROTOCOL §3)."""
        if self.open_round is None or self._clock.provisional:
            soon = self._keyring.epochs and open_round <= self.sealed_next + _ROUNDS_OF_A_START
            self._clock.provisional = not soon
            self.open_round = self._epochs.epoch = None

    def bears_out(self, epoch):
        """Whether a token of this epoch bears out a clock that is in it: tokens are issued ahead, so only that of the
        last seal's epoch does, and of the next one if the relay was there for an eighth of the former: otherwise start
        after start would take it an epoch further. In a relay that never sealed, of the first epoch and the next."""
        last = self.sealed_epoch
        if not self._keyring.epochs:
            return epoch <= self._parameters.rule(last).parameters.first_epoch + 1
        lived = _PART_LIVED * self._keyring.sealed_count >= self._parameters.newest.epoch_rounds
        return epoch <= last + (1 if lived else 0)

    def _lasted(self):
        """Whether the clock has told this time for an epoch."""
        parameters = self._parameters.newest
        epoch_ms = 1000 * parameters.round_seconds * parameters.epoch_rounds
        return self._clock.uptime_ms() - self._clock.told_since_ms >= epoch_ms

    def accept_clock(self):
        """The clock proved itself: what turn() left undone is made durable."""
        if self._clock.provisional:
            self._clock.provisional = False
            open_round = self.open_round
            self.open_round = self._epochs.epoch = None  # as a boot finds them
            self._seal(open_round, False)
            self.open_round = open_round

    def accept_time(self, unix_seconds):
        """Take a signed time. One that is later than the clock's is the clock's from now on; it bears it out, and so
        does one that is earlier by an epoch at most. Others change nothing."""
        clock, parameters = self._clock, self._parameters.newest
        if clock.known and unix_seconds <= clock.now_ms() // 1000:
            age = clock.now_ms() // 1000 - unix_seconds
            self._stated = age <= parameters.round_seconds * parameters.epoch_rounds
        elif clock.possible(1000 * unix_seconds):
            clock.set(1000 * unix_seconds)
            self._stated = True
        self.turn()

    # -- what others ask

    @property
    def sealed_next(self):
        """The first round that is not sealed; sealed ones are served, also under a provisional clock."""
        return self._keyring.sealed_next

    @property
    def sealed_epoch(self):
        """The epoch that the last seal opened: the open one, unless the clock is unknown or provisional."""
        return self._epoch_of(self.sealed_next)

    def require_open(self):
        """NotReady unless a round is open."""
        if self.open_round is None:
            raise NotReady("the clock is not known yet", 5)

    def milliseconds_left(self):
        """Until the clock leaves the open round; 0 if it has."""
        parameters = self._parameters.newest
        end = 1000 * (parameters.genesis + (self.open_round + 1) * parameters.round_seconds)
        return max(0, end - self._clock.now_ms())

    def seconds_to_next(self):
        """Until the next round; a whole one if none is open."""
        if self.open_round is None:
            return self._parameters.newest.round_seconds
        return self.milliseconds_left() // 1000 + 1

    def seconds_until(self, epoch):
        """Until an epoch opens, to a round and at least 1."""
        parameters = self._parameters.newest
        now = self.sealed_next if self.open_round is None else self.open_round
        return max(1, (epoch * parameters.epoch_rounds - now) * parameters.round_seconds)
