"""The host's one family of exceptions and the exit codes they stand for.

Raised everywhere in tessera_host; printed in one place, `run` of cli/__init__.py: `error: message`, and `hint: hint`
on a line of its own. The core has its own family (tessera.errors); where a core error reaches a user, the caller
wraps it in one of these.
"""


class TesseraError(Exception):
    """Something the user can be told in a line each: what is wrong, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(TesseraError):
    """The command was called with arguments that do not fit together, or would overwrite something."""

    exit_code = 2


class InvalidInput(TesseraError):
    """Invalid input: a card, file or value that is malformed, from another federation, or wrongly signed."""

    exit_code = 3


class KeystoreError(TesseraError):
    """A keystore that cannot be read, written or locked."""

    exit_code = 4


class WrongPassphrase(KeystoreError):
    """The keystore is undamaged, but the passphrase is wrong."""


class NotPermitted(TesseraError):
    """The rules do not allow it: not on the roster, quota used, session spent."""

    exit_code = 5


class NotOnRoster(NotPermitted):
    """The one who asks is not a member, or no longer one."""


class QuotaUsed(NotPermitted):
    """More tokens were asked for than are left."""


class TryLater(NotPermitted):
    """Not now, but perhaps after `retry_after` seconds."""

    def __init__(self, message: str, hint: str, retry_after: int) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class OutOfDate(NotPermitted):
    """This member lacks a valid token, reading key or settings. A visit to the issuer may help."""


class Unreachable(TesseraError):
    """No relay answers there."""

    exit_code = 6


class RelayRefused(TesseraError):
    """The relay answered with an error frame, or its answers do not belong to this federation."""

    exit_code = 7


class IntegrityError(TesseraError):
    """A proof that does not hold: a signature, a token, a checkpoint, a table."""

    exit_code = 8


class RelayUnwell(TesseraError):
    """A relay needs attention, or its clock and this computer's differ."""

    exit_code = 9


class ClockOff(RelayUnwell):
    """This computer's clock and a relay's differ; the message says which of them is off, and by how much."""


class Interrupted(TesseraError):
    """The user stopped it; what was begun is kept."""

    exit_code = 130


# -- A board on a cable (`tessera flash`). Each class has an exit code of its own, so that a script of IT's can tell a
# cable from a board from an image.


class BoardNotFound(TesseraError):
    """Nothing is plugged in that a relay could be made of, or what was there went away and did not come back."""

    exit_code = 10


class SeveralBoards(TesseraError):
    """More than one board fits: which one is meant has to be said with --port."""

    exit_code = 11


class WrongBoard(TesseraError):
    """The board that is there is not the one asked for: another chip, too little flash; says which one it is."""

    exit_code = 12


class PortDenied(TesseraError):
    """The serial port or the volume may not be opened by this user, or another program has it."""

    exit_code = 13


class BoardSilent(TesseraError):
    """The board is there and stopped answering. Its hint says whether it is safe to unplug it."""

    exit_code = 14


class ImageRejected(TesseraError):
    """The image is not what the root key signed, or not for this board. Nothing was written."""

    exit_code = 15


class FlashFailed(TesseraError):
    """Writing the image failed, or the board does not hold what was written."""

    exit_code = 16


class ProvisioningFailed(TesseraError):
    """The board took the image and refused, or did not keep, what a relay needs."""

    exit_code = 17


class CommissioningFailed(TesseraError):
    """The relay serves, but its cover, its noise table or its self-test is not what it has to be: do not use it."""

    exit_code = 18


class OtherRelay(TesseraError):
    """The board is a relay already: another one than was asked for. It was left as it is."""

    exit_code = 19


class BatchIncomplete(TesseraError):
    """Some relays of a batch are not in service yet; the same command goes on with them."""

    exit_code = 20


# -- What is well today and will not be


class ScheduleEnding(TesseraError):
    """The schedule of keys ends within 30 days, or has ended: IT has to renew it."""

    exit_code = 21
