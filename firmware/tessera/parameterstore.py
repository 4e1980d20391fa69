# The parameter sets a relay holds: the newest and the one before, which governs its own epochs until they expire
# (PROTOCOL §2). A set's bytes are params.py's business.

from .errors import BadRequest, Busy, InvalidObject
from .params import HEADER_BYTES, Parameters

_NEWEST = "parameters"
_PREVIOUS = "parameters.previous"


class ParameterStore:
    """Verified sets over a Directory; InvalidObject if the one there cannot be used.

    check_capacity(parameters) raises InvalidObject for a set that this relay has no room for.
    """

    def __init__(self, directory, relay_key, check_capacity):
        self._directory = directory
        self._relay_key = relay_key
        self._check_capacity = check_capacity
        blob = directory.read(_NEWEST)
        if blob is None:
            raise InvalidObject("there are no parameters: provision the relay")
        self.newest = self._verified(blob)
        self._previous = None
        blob = directory.read(_PREVIOUS)
        if blob is not None:
            previous = self._verified(blob)
            # A power cut between the two writes of a push leaves the same set twice.
            self._previous = previous if previous.serial < self.newest.serial else None
        self._tables = {}
        self._note_access_keys()

    def _verified(self, blob):
        parameters = Parameters(blob)
        parameters.verify()
        self._check_capacity(parameters)
        if self._relay_key not in [static for static, _ in parameters.relays]:
            raise InvalidObject("the parameters do not list this relay")
        return parameters

    def governing(self, epoch):
        """The set in force in an epoch."""
        if self._previous is not None and epoch < self.newest.first_epoch:
            return self._previous
        return self.newest

    def epoch_key(self, epoch):
        """K_e, None outside the schedule."""
        return self.governing(epoch).epoch_key(epoch)

    def thresholds(self, epoch):
        """The noise table in force in an epoch, bytes; one copy a set."""
        parameters = self.governing(epoch)
        if parameters.serial not in self._tables:
            self._tables[parameters.serial] = bytes(parameters.thresholds)
        return self._tables[parameters.serial]

    @property
    def most_buckets(self):
        """The buckets a kept round may have: the larger number while two sets govern kept rounds."""
        sets = (self.newest, self._previous or self.newest)
        return max(parameters.buckets for parameters in sets)

    def _note_access_keys(self):
        """access_keys: those of the newest and the previous set, which are asked for by every stranger."""
        self.access_keys = [self.newest.access_key]
        if self._previous is not None and self._previous.access_key not in self.access_keys:
            self.access_keys.append(self._previous.access_key)

    def check_head(self, head, open_epoch):
        """Refuse a set by its first 128 bytes: BadRequest unless its serial is later, Busy if it would be a third."""
        if len(head) < HEADER_BYTES or int.from_bytes(head[4:8], "big") <= self.newest.serial:
            raise BadRequest("not newer than the parameters here")
        if not self._pending(open_epoch) and self._previous_needed(open_epoch):
            raise Busy("an earlier set still governs kept rounds", self.newest.round_seconds)

    def _pending(self, open_epoch):
        return self.newest.first_epoch > open_epoch

    def _previous_needed(self, open_epoch):
        return self._previous is not None and open_epoch - self.newest.retention_epochs < self.newest.first_epoch

    def install(self, blob, open_epoch):
        """Verify a pushed set and keep it; BadRequest if it may not follow the ones here."""
        self.check_head(blob[:HEADER_BYTES], open_epoch)
        try:
            new = Parameters(blob)
            self._check_follows(new, open_epoch)
            new = self._verified(blob)
        except InvalidObject as error:
            raise BadRequest(str(error)) from None
        previous = self._previous
        if not self._pending(open_epoch):
            previous = self.newest
            self._directory.replace(_PREVIOUS, previous.blob)
        self._directory.replace(_NEWEST, new.blob)
        self._previous, self.newest = previous, new
        self._note_access_keys()

    def _check_follows(self, new, open_epoch):
        now = self.newest
        for name in ("federation_id", "root_key", "genesis", "round_seconds", "epoch_rounds", "retention_epochs"):
            if getattr(new, name) != getattr(now, name):
                raise InvalidObject("{} cannot be changed in service".format(name))
        if new.first_epoch <= open_epoch:
            raise InvalidObject("a new set must begin with a later epoch")
