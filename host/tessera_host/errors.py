"""The host's one family of exceptions and the exit codes they stand for.

Raised everywhere in tessera_host; printed in one place, `main()` of cli.py, as one line `error: message ; hint`.
The core has its own family (tessera.errors); where a core error reaches a user, the caller wraps it in one of these.
"""


class TesseraError(Exception):
    """Something the user can be told in one line: what is wrong, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ; {self.hint}" if self.hint else self.message


class UsageError(TesseraError):
    """The command was called with arguments that do not fit together, or would overwrite something."""

    exit_code = 2


class InvalidInput(TesseraError):
    """A card, file or value that is malformed, foreign, or not signed by whom it should be."""

    exit_code = 3


class KeystoreError(TesseraError):
    """A keystore that cannot be read, written or locked."""

    exit_code = 4


class WrongPassphrase(KeystoreError):
    """The keystore is sound and the passphrase is not its own."""


class NotPermitted(TesseraError):
    """Well-formed and understood, but the rules say no: not on the roster, quota used, session spent."""

    exit_code = 5


class Unreachable(TesseraError):
    """No relay answers there."""

    exit_code = 6


class RelayRefused(TesseraError):
    """The relay answered with an error frame, or its answers do not belong to this federation."""

    exit_code = 7


class IntegrityError(TesseraError):
    """A proof that does not hold: a signature, a token, a checkpoint, a table."""

    exit_code = 8
