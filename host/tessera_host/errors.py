"""The host's one family of exceptions and the exit codes they stand for.

Raised everywhere in tessera_host; printed in one place, `run` of cli/__init__.py: `error: message`, and `hint: hint`
on a line of its own. The core has its own family (tessera.errors); where a core error reaches a user, the caller
wraps it in one of these.
"""


class TesseraError(Exception):
    """An error for the user: the message says what is wrong, the hint what to do, one line each."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(TesseraError):
    """The command's arguments do not fit together, or would overwrite something."""

    exit_code = 2


class InvalidInput(TesseraError):
    """Invalid input: a card, file or value that is malformed, from another federation, or wrongly signed."""

    exit_code = 3


class KeystoreError(TesseraError):
    """A keystore cannot be read, written or locked."""

    exit_code = 4


class WrongPassphrase(KeystoreError):
    """The keystore is sound, but this is not its passphrase."""


class NotPermitted(TesseraError):
    """The rules do not permit it: not on the roster, quota used, session spent."""

    exit_code = 5


class NotOnRoster(NotPermitted):
    """The one who asks is not a member, or no longer."""


class QuotaUsed(NotPermitted):
    """More tokens were asked for than are left."""


class TryLater(NotPermitted):
    """It is not possible now, but may be after `retry_after` seconds."""

    def __init__(self, message: str, hint: str, retry_after: int) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class OutOfDate(NotPermitted):
    """This member lacks a token, a reading key or settings that are needed. Fetching from the issuer may help."""


class Unreachable(TesseraError):
    """No relay or service answers at that address, or a port cannot be used."""

    exit_code = 6


class RelayRefused(TesseraError):
    """The relay answered with an error frame, or its answers do not belong to this federation."""

    exit_code = 7


class IntegrityError(TesseraError):
    """A proof is not valid: a signature, a token, a checkpoint, a table."""

    exit_code = 8


class RelayUnwell(TesseraError):
    """A relay needs attention, or its clock and this computer's do not agree."""

    exit_code = 9


class ClockOff(RelayUnwell):
    """This computer's clock and a relay's do not agree; the message says which of them is off and by how much."""


class Interrupted(TesseraError):
    """The user stopped the command; what it had done is kept."""

    exit_code = 130


# -- A board on a cable (`tessera flash`). Each class has an exit code of its own, so that a script of IT's can tell a
# cable from a board from an image.


class BoardNotFound(TesseraError):
    """No usable board is plugged in, or the board went away and did not come back."""

    exit_code = 10


class SeveralBoards(TesseraError):
    """Several boards are plugged in: choose one with --port."""

    exit_code = 11


class WrongBoard(TesseraError):
    """The board is not the one that was asked for: another chip, or too little flash. The error says what it is."""

    exit_code = 12


class PortDenied(TesseraError):
    """This user may not open the serial port or the volume, or another program has it open."""

    exit_code = 13


class BoardSilent(TesseraError):
    """The board stopped answering. The hint says whether it is safe to unplug it."""

    exit_code = 14


class ImageRejected(TesseraError):
    """The image is not signed by the root key, or not for this board. Nothing was written."""

    exit_code = 15


class FlashFailed(TesseraError):
    """Writing the image failed, or the board did not keep what was written."""

    exit_code = 16


class ProvisioningFailed(TesseraError):
    """The board has the image, but did not take or keep what a relay needs."""

    exit_code = 17


class CommissioningFailed(TesseraError):
    """The relay serves, but its cover, its noise table or its self-test is wrong: do not use it."""

    exit_code = 18


class OtherRelay(TesseraError):
    """The board is a different relay from the one that was asked for. It was left as it is."""

    exit_code = 19


class BatchIncomplete(TesseraError):
    """Some relays of a batch are not in service yet; repeat the command to go on with them."""

    exit_code = 20


# -- What is well today and will not be


class ScheduleEnding(TesseraError):
    """The schedule of keys ends within 30 days, or has ended: IT has to renew it (tessera issuer renew)."""

    exit_code = 21
