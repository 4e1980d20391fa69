# Which round is open (PROTOCOL §3): seals rounds, opens rounds and epochs, and decides whether the clock is accepted.
# What an epoch has is epochs.py's business, how a seal is kept on flash keyring.py's.
#
# After a boot the clock may be wrong. It is provisional until something bears it out: a token, a signed time, the
# console, or having run for an epoch. Under a provisional clock a round is open, but nothing becomes durable.

from .errors import NotReady
from .runtime import const

_ROUNDS_OF_A_START = const(1)  # that a restart may miss; if the clock is further ahead after a boot it is provisional
_PART_LIVED = const(8)  # of an epoch, one eighth, that a relay must have served for the next epoch's tokens to count
_LAST_ROUND = const(0x3FFFFFFE)  # that the record log can keep


class Rounds:
    """The rounds of a relay, made when it starts.

    open_round: None before the clock is known. served: how many rounds were sealed in time since the start.
    """

    def __init__(self, clock, parameters, keyring, log, epochs):
        self._clock = clock
        self._parameters = parameters
        self._keyring = keyring
        self._log = log
        self._epochs = epochs
        self._stated = False  # whether a signed time agrees with the clock
        self.open_round = None
        self.served = 0

    # -- the turn

    def turn(self):
        """Seal the rounds that are over and open the clock's round, durably. True if the open round changed: a window
        for erases follows. Rounds and epochs change here and nowhere else.
        """
        if not self._clock.known:
            return False
        open_round = self._wanted()
        turned = open_round != self.open_round
        if turned:
            self._log.void_doubtful()
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
        """The round that the clock, which is known, would have open."""
        return max(self._parameters.newest.round_at(self._clock.now_ms() // 1000), self._earliest())

    def _earliest(self):
        """The lowest round that may open, as rounds never go back: the open one; after a boot the first one that is not
        sealed, or the highest one of a record on flash if that is later."""
        if self.open_round is not None and not self._clock.provisional:
            return self.open_round
        return max(self.sealed_next, self._log.highest_round)

    def _seal(self, open_round, in_time):
        """Make it durable that every round before open_round is sealed, and open its epoch if that is not open yet.

        in_time: whether the last of them was open until now.
        """
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
        """Refuse times before genesis, times before the last seal (less a round, by which that clock may have been
        ahead), and times after the last possible round."""
        parameters = self._parameters.newest
        round_ = max(0, self.sealed_next - 1)
        self._clock.not_before(1000 * (parameters.genesis + round_ * parameters.round_seconds))
        self._clock.not_after(1000 * (parameters.genesis + _LAST_ROUND * parameters.round_seconds))

    def _judge(self, open_round):
        """After a boot: make the clock provisional unless at most one round was missed since the last seal.

        Nothing becomes durable under a provisional clock. So an attacker who forges the time at a start gains nothing
        that a better reading does not undo (PROTOCOL §3).
        """
        if self.open_round is None or self._clock.provisional:
            soon = self._keyring.epochs and open_round <= self.sealed_next + _ROUNDS_OF_A_START
            self._clock.provisional = not soon
            self.open_round = self._epochs.epoch = None

    def bears_out(self, epoch):
        """Whether a valid token of this epoch proves that a clock in this epoch is right.

        Tokens are issued ahead, so only tokens of the last seal's epoch prove it, and those of the next epoch if the
        relay has served an eighth of the former; otherwise each start could take the relay an epoch further. If the
        relay never sealed a round, tokens of the schedule's first two epochs prove it.
        """
        last = self.sealed_epoch
        if not self._keyring.epochs:
            return epoch <= self._parameters.rule(last).parameters.first_epoch + 1
        lived = _PART_LIVED * self._keyring.sealed_count >= self._parameters.newest.epoch_rounds
        return epoch <= last + (1 if lived else 0)

    def _lasted(self):
        """Whether the clock has shown the present time for an epoch."""
        parameters = self._parameters.newest
        epoch_ms = 1000 * parameters.round_seconds * parameters.epoch_rounds
        return self._clock.uptime_ms() - self._clock.told_since_ms >= epoch_ms

    def accept_clock(self):
        """The clock is borne out: make durable what turn() left undone."""
        if self._clock.provisional:
            self._clock.provisional = False
            open_round = self.open_round
            self.open_round = self._epochs.epoch = None  # as a boot finds them
            self._seal(open_round, False)
            self.open_round = open_round

    def accept_time(self, unix_seconds):
        """Take a signed time in Unix seconds.

        A later time than the clock's sets the clock and bears it out. An earlier time bears the clock out if it is at
        most an epoch behind, and otherwise changes nothing.
        """
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
        """The first round that is not sealed. Sealed rounds are served, also under a provisional clock."""
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
        """Milliseconds until the clock leaves the open round; 0 if it has."""
        parameters = self._parameters.newest
        end = 1000 * (parameters.genesis + (self.open_round + 1) * parameters.round_seconds)
        return max(0, end - self._clock.now_ms())

    def seconds_to_next(self):
        """Seconds until the next round; the length of a round if none is open."""
        if self.open_round is None:
            return self._parameters.newest.round_seconds
        return self.milliseconds_left() // 1000 + 1

    def seconds_until(self, epoch):
        """Seconds until an epoch opens, in whole rounds; at least 1."""
        parameters = self._parameters.newest
        now = self.sealed_next if self.open_round is None else self.open_round
        return max(1, (epoch * parameters.epoch_rounds - now) * parameters.round_seconds)
