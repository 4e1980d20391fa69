# The exceptions of the core, one family. wire.py maps refusals to the codes of PROTOCOL §5; no other module knows them.


class Error(Exception):
    """Base of everything that the core raises on purpose. Its text says what is wrong and what to do."""


class Refusal(Error):
    """A request that the relay answers with an error frame. retry_after: seconds, 0 where waiting does not help."""

    def __init__(self, message="", retry_after=0):
        super().__init__(message)
        self.retry_after = retry_after


class BadFrame(Refusal):
    """The bytes are not a frame of this channel. The connection closes."""


class BadRequest(Refusal):
    """The frame is well-formed, but an argument is out of range."""


class NotAdmitted(Refusal):
    """The session has no token, or one that does not verify or belongs to another epoch."""


class QuotaSpent(Refusal):
    """The token has no posts left."""


class NotReady(Refusal):
    """The relay has no clock yet, or its schedule of epoch keys has ended."""


class Busy(Refusal):
    """The relay can answer this after retry_after seconds."""


class TooOld(Refusal):
    """The rounds, or the checkpoint, are no longer kept."""


class Fault(Refusal):
    """The relay needs repair: storage does not read back, a ring is full, or a health test failed."""


class InvalidObject(Error):
    """A signed object (parameters, time statement, release, checkpoint) is malformed, out of range or not signed."""


class Refused(Error):
    """What a client raises for an error frame: code and name as in PROTOCOL §5, retry_after in seconds."""

    def __init__(self, code, name, retry_after):
        super().__init__("the relay answered {}".format(name))
        self.code = code
        self.name = name
        self.retry_after = retry_after
