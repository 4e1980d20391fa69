"""Numbers and names that every side holds to: what an issuer accepts and a member need not try beyond."""

from ..errors import UsageError

OPEN_SESSIONS_PER_KEY = 4  # tokens under one epoch key that may be in the making at a time (PROTOCOL §7)
NAME_MAX = 64  # characters
CLOCK_ROUNDS = 1  # a relay's clock may be so far off a member's (PROTOCOL §7)


def check_name(what: str, name: str) -> None:
    """Names appear on one line of a terminal. Raises UsageError."""
    if not 0 < len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise UsageError(
            f"{what} is empty, longer than {NAME_MAX} characters or has control characters or outer blanks",
            "choose a plain one",
        )
