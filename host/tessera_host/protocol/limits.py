"""Numbers and names that every side holds to: what an issuer accepts and a member need not try beyond."""

import unicodedata

from ..errors import UsageError

OPEN_SESSIONS_PER_KEY = 4  # tokens under one epoch key that may be in the making at a time (PROTOCOL §6)
MOST_SETS_BESIDE = 16  # sets that the issuer says beside the newest (PROTOCOL §15)
NAME_MAX = 64  # characters
SEPARATORS = "/\\:"  # of folders, and of drives and streams on Windows
_STAND_IN = "_"


def name_fault(name: str) -> str | None:
    """Say what is wrong with a name of a person, a relay or an office (PROTOCOL §12); None for a good one.

    A name stands on one line of a terminal, in commands and in names of files: nothing in it may act there, and what
    looks like one name is one.
    """
    if not 0 < len(name) <= NAME_MAX:
        return f"is empty or longer than {NAME_MAX} characters"
    if not name.isprintable():  # of all blanks the ordinary one is
        return "has control characters, or spaces of an unusual kind"
    if name != name.strip():
        return "begins or ends with a space"
    if any(separator in name for separator in SEPARATORS):
        return "has a slash, a backslash or a colon"
    if name.startswith("."):
        return "begins with a full stop"
    if name != unicodedata.normalize("NFC", name):
        return "is not in Unicode's composed form (NFC)"
    return None


def check_name(what: str, name: str) -> None:
    """Check a name. Raises UsageError."""
    if fault := name_fault(name):
        raise UsageError(f"{what} {fault}", "choose a plain name")


def mended_name(name: str) -> str:
    """Replace what is wrong in a name that was taken before the rule existed."""
    kept = unicodedata.normalize("NFC", name)
    kept = "".join(c if c.isprintable() and c not in SEPARATORS else _STAND_IN for c in kept).strip()
    kept = _STAND_IN + kept[1:] if kept.startswith(".") else kept
    return kept[:NAME_MAX].strip() or _STAND_IN
