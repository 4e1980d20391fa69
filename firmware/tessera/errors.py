# The core's one family of exceptions. wire.py maps the refusals to codes; nothing else knows a code.


class Error(Exception):
    """Base of everything the core raises on purpose."""


class Refusal(Error):
    """A request the relay answers with an error frame; retry_after is in seconds, 0 where waiting does not help."""

    def __init__(self, message="", retry_after=0):
        super().__init__(message)
        self.retry_after = retry_after


class BadFrame(Refusal):
    """Bytes that are not a frame of this channel: the connection closes."""


class BadRequest(Refusal):
    """A well-formed frame with an argument out of range."""


class NotAdmitted(Refusal):
    """No token, a token that does not verify, or one of another epoch."""


class QuotaSpent(Refusal):
    """The token has no posts left."""


class NotReady(Refusal):
    """No clock yet, or the schedule of epoch keys has ended."""


class Busy(Refusal):
    """Come back after retry_after seconds."""


class TooOld(Refusal):
    """Rounds (or a checkpoint) that are no longer kept."""


class Fault(Refusal):
    """The relay needs attention: storage that does not read back, a full ring, a failed health test."""


class InvalidObject(Error):
    """A signed object (parameters, time statement, checkpoint) that is malformed, out of range or not signed."""


class Refused(Error):
    """What a client gets for an error frame: code and name as in PROTOCOL §5, retry_after in seconds."""

    def __init__(self, code, name, retry_after):
        super().__init__("the relay answered {}".format(name))
        self.code = code
        self.name = name
        self.retry_after = retry_after
