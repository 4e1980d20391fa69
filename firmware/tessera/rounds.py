# Which round is open: rounds and epochs turn here, are sealed, and a clock is accepted or not (PROTOCOL §3). What an
# epoch has is epochs.py's business, what a seal is on flash keyring.py's.

from .errors import BadRequest, NotReady
from .runtime import const

_ROUNDS_OF_A_START = const(1)  # missed by a restart; a clock that is further on after a boot is provisional


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
        self._accepted_ms = None  # uptime at which the clock of this boot is accepted without further proof
        self._held_until_ms = None  # soft expiry: uptime before which expired keys are kept
        self._schedule_ended = False
        self.open_round = None
        self.served = 0

    # -- the turn

    def turn(self):
        """Seal what is over and open the round of the clock; True if a round was sealed (a window follows).

        The only place where rounds and epochs change. Durable before it returns.
        """
        if not self._clock.known:
            return False
        parameters = self._parameters.newest
        last = parameters.end_epoch * parameters.epoch_rounds - 1
        clock_round = parameters.round_at(self._clock.now_ms() // 1000)
        self._schedule_ended = clock_round > last
        open_round = max(min(clock_round, last), self._earliest())
        turned = open_round != self.open_round
        if turned:
            self._log.settle()
            self._judge(open_round)
            if self._clock.provisional:
                self._epochs.begin_admission(open_round // parameters.epoch_rounds)
            else:
                self._seal(open_round)
            self.open_round = open_round
        self._pass_time()
        return turned

    def _earliest(self):
        """Rounds never go back: not behind the open one, after a boot not behind the last seal or a record on flash."""
        if self.open_round is not None and not self._clock.provisional:
            return self.open_round
        return max(self._keyring.sealed_next, self._log.highest_round)

    def _seal(self, open_round):
        """Make durable that every round before open_round is sealed, and open its epoch if that is another."""
        if open_round > self._keyring.sealed_next:
            in_time = 0 if self.open_round is None else 1
            self.served += in_time
            self._keyring.mark(open_round, self._keyring.sealed_count + in_time)
        epoch = open_round // self._parameters.newest.epoch_rounds
        if epoch != self._epochs.epoch:
            self._epochs.open(epoch, self._held_until_ms is not None)
            self._clock.allow(1000 * self._parameters.governing(epoch).round_seconds)

    # -- whether the clock is accepted

    def bound_clock(self):
        """Refuse times before genesis and before the last seal, which a clock may have led by a round."""
        parameters = self._parameters.newest
        round_ = max(0, self._keyring.sealed_next - 1)
        self._clock.not_before(1000 * (parameters.genesis + round_ * parameters.round_seconds))

    def _judge(self, open_round):
        """After a boot: whether so late a round is accepted. Until then nothing of it is made durable, so that an
        attacker who forges the time of a start gains nothing that a better reading does not undo (PROTOCOL §3)."""
        if self.open_round is None or self._clock.provisional:
            parameters = self._parameters.newest
            self._clock.provisional = (
                open_round > self._keyring.sealed_next + _ROUNDS_OF_A_START
                if self._keyring.epochs
                else self._schedule_ended
            )
            if self._accepted_ms is None:
                epoch_ms = 1000 * parameters.round_seconds * parameters.epoch_rounds
                self._accepted_ms = self._clock.uptime_ms() + epoch_ms
            self.open_round = self._epochs.epoch = None
            self._hold_expired(open_round // parameters.epoch_rounds)

    def accept_clock(self):
        """The clock proved itself: what turn() left undone is made durable."""
        if self._clock.provisional:
            self._clock.provisional = False
            open_round = self.open_round
            self.open_round = self._epochs.epoch = None  # as a boot finds them
            self._seal(open_round)
            self.open_round = open_round

    def accept_time(self, unix_seconds):
        """Take a signed time; it ends a soft expiry if it says the same as the clock. BadRequest for an early one."""
        if not self._clock.possible(1000 * unix_seconds):
            raise BadRequest("this time is over: it is before the last seal")
        self._clock.set(1000 * unix_seconds)
        if self._held_until_ms is not None and self._parameters.newest.round_at(unix_seconds) >= self.open_round - 1:
            self._held_until_ms = self._clock.uptime_ms()

    def _hold_expired(self, epoch):
        """After a boot far past the last seal: keep expired keys until the clock has proved itself (soft expiry)."""
        parameters = self._parameters.newest
        self._held_until_ms = None
        if not self._keyring.epochs:
            return
        sealed_epoch = self._keyring.sealed_next // parameters.epoch_rounds
        held_before = min(self._keyring.epochs) < sealed_epoch - parameters.retention_epochs
        if epoch > sealed_epoch + 1 or held_before:
            self._held_until_ms = self._accepted_ms

    def _pass_time(self):
        """Accept a clock that was right for an epoch; end a soft expiry whose time has come."""
        believable = self._keyring.epochs or not self._schedule_ended
        if believable and self._accepted_ms is not None and self._clock.uptime_ms() >= self._accepted_ms:
            self.accept_clock()
        if self._held_until_ms is not None and self._clock.uptime_ms() >= self._held_until_ms:
            self._epochs.drop_expired()
            self._held_until_ms = None

    # -- what requests ask

    def require_open(self):
        """NotReady unless a round is open and its schedule goes on."""
        if self.open_round is None:
            raise NotReady("the clock is not known yet", 5)
        if self._schedule_ended:
            raise NotReady("the schedule of epoch keys has ended")

    def milliseconds_left(self):
        """Until the clock leaves the open round; 0 if it has."""
        parameters = self._parameters.newest
        end = 1000 * (parameters.genesis + (self.open_round + 1) * parameters.round_seconds)
        return max(0, end - self._clock.now_ms())

    def milliseconds_left_of_epoch(self):
        """Until the clock leaves the open epoch."""
        parameters = self._parameters.newest
        rounds = (self._epochs.epoch + 1) * parameters.epoch_rounds - self.open_round - 1
        return self.milliseconds_left() + 1000 * rounds * parameters.round_seconds
