"""Which contact somebody means by what was typed."""

import difflib
from collections.abc import Iterable

from ..errors import UsageError


def known_name(typed: str, names: Iterable[str]) -> str:
    """Find the contact of this name, or the only one that differs in capitals alone. Raises UsageError."""
    known = list(names)
    if typed in known:
        return typed
    folded = [name for name in known if name.casefold() == typed.casefold()]
    if len(folded) != 1:
        raise unknown(typed, known)
    return folded[0]


def unknown(typed: str, names: Iterable[str]) -> UsageError:
    """Make the error for a name that no contact has; its hint names a similar one."""
    known = sorted(names)
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(typed.casefold(), folded, 1)
    there_are = (
        f"your contacts: {', '.join(known)}"
        if known
        else "you have no contacts yet; begin with: tessera contact add NAME"
    )
    return UsageError(f"there is no contact '{typed}'", f"did you mean '{folded[near[0]]}'?" if near else there_are)
