"""How a command gets at a keystore: the member's, or the issuer's. The passphrase comes from wherever it can."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..keys import passphrase
from ..keys.keystore import Secret
from ..member.state import KEYSTORE_NAME, MemberState

if TYPE_CHECKING:
    from ..issuer.issuer import Issuer


def open_member(home: Path, passphrase_file: Path | None) -> MemberState:
    return MemberState.open(home, passphrase.secret_for(home / KEYSTORE_NAME, passphrase_file))


def member_opener(home: Path, passphrase_file: Path | None) -> Callable[[], MemberState]:
    """For commands that open the keystore several times: the passphrase is obtained once, at the first."""
    known: list[Secret] = []

    def opened() -> MemberState:
        if not known:
            known.append(passphrase.secret_for(home / KEYSTORE_NAME, passphrase_file))
        return MemberState.open(home, known[0])

    return opened


def open_issuer(directory: Path, passphrase_file: Path | None) -> "Issuer":
    """Raises UsageError if it does not exist."""
    from ..issuer.issuer import Issuer  # no member's command waits for it
    from ..issuer.store import KEYSTORE

    if not (directory / KEYSTORE).is_file():
        raise UsageError(f"there is no issuer in {directory}", "tessera issuer init makes one")
    return Issuer.open(directory, passphrase.secret_for(directory / KEYSTORE, passphrase_file))
