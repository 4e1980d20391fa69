"""Where a passphrase comes from: a file that was named, a keystore that is unlocked, or a hidden prompt. Never from the
command line.

A command line and an environment are visible to other processes; a file's name in them is not a secret.
"""

import getpass
import os
import sys
import unicodedata
import warnings
from pathlib import Path

from .. import config, files
from ..errors import UsageError
from ..prompting import interruptible
from . import unlocking
from .keystore import Secret, missing

ENVIRONMENT = "TESSERA_PASSPHRASE_FILE"
_TRIES = 3


def secret_for(keystore: Path, path_option: Path | None) -> Secret:
    """Obtain what opens this keystore: the passphrase in the file `path_option`, or in the one that
    TESSERA_PASSPHRASE_FILE or config.toml names; the derived key, if it is unlocked; else ask for the passphrase.
    Raises UsageError; KeystoreError if there is no keystore, before anything is asked."""
    if not keystore.exists():
        raise missing(keystore, keystore.stem)
    if file_of(path_option) is None:
        derived = unlocking.key_for(keystore)
        if derived is not None:
            return derived
    return obtain(path_option, confirm=False)


def obtain(path_option: Path | None, confirm: bool) -> str:
    """Obtain the passphrase from the file `path_option`, else from the one that TESSERA_PASSPHRASE_FILE or config.toml
    names, else ask for it.

    `confirm`: ask twice, for a new passphrase. Raises UsageError if it cannot be had, if it is empty, or if the two
    entries differ.
    """
    path = file_of(path_option)
    phrase = unicodedata.normalize("NFC", _from_file(path) if path else _asked(confirm))
    if not phrase:
        raise UsageError("the passphrase is empty", f"put one line into the file{f' {path}' if path else ''}")
    return phrase


def is_in_file(path_option: Path | None) -> bool:
    """Tell whether `obtain` reads it from a file, and asks nobody."""
    return file_of(path_option) is not None


def ask_anew() -> str:
    """Ask for a new passphrase, typed twice, whatever files there are. Raises UsageError."""
    phrase = unicodedata.normalize("NFC", _asked(confirm=True))
    if not phrase:
        raise UsageError("the passphrase is empty", "choose one: an empty passphrase protects nothing")
    return phrase


def file_of(path_option: Path | None) -> Path | None:
    """Find the file that `obtain` reads it from; None if it is asked for."""
    named = os.environ.get(ENVIRONMENT)
    return path_option or (Path(named) if named else config.load().passphrase_file)


def _from_file(path: Path) -> str:
    """The first line of the file; a line break at its end is not part of it."""
    try:
        lines = files.decoded(path.read_bytes()).splitlines()
    except OSError as error:
        raise UsageError(f"the passphrase file {path} cannot be read: {error.strerror}", "check its name") from None
    except UnicodeDecodeError:
        raise UsageError(f"the passphrase file {path} is not UTF-8 text", "write it again") from None
    return lines[0] if lines else ""


def _asked(confirm: bool) -> str:
    """What was typed; an empty one, or two that differ, are asked for again, a few times."""
    for left in reversed(range(_TRIES)):
        phrase = _prompt("Passphrase: ")
        differs = confirm and phrase and _prompt("Passphrase again: ") != phrase
        if phrase and not differs:
            break
        if left:
            print("The two differ." if differs else "Nothing was typed.", "Once more.", file=sys.stderr)
        elif differs:
            raise UsageError("the two passphrases differ", "try again")
    return phrase


def _prompt(text: str) -> str:
    """Ask on the terminal. Where it cannot be hidden it is not asked for at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            with interruptible():
                return getpass.getpass(text)
    except UnicodeDecodeError:
        raise UsageError("what was typed is not UTF-8 text", "set the encoding of this terminal to UTF-8") from None
    except (getpass.GetPassWarning, EOFError, OSError):
        raise UsageError(
            "there is no terminal to ask for the passphrase on", f"give --passphrase-file or set {ENVIRONMENT}"
        ) from None


def ask_for_code(what: str) -> str:
    """Ask for a secret that was made elsewhere. Raises UsageError."""
    try:
        return _prompt(f"{what}: ")
    except UsageError:
        raise UsageError(
            f"{what} is needed, and there is no terminal to ask for it", "name a file that has it"
        ) from None


WIFI_ENVIRONMENT = "TESSERA_WIFI_PASSWORD_FILE"


def wifi_password(ssid: str, path_option: Path | None) -> str:
    """Obtain the password of a Wi-Fi network: from a file that is named, or by asking. Raises UsageError."""
    path = path_option or (Path(os.environ[WIFI_ENVIRONMENT]) if os.environ.get(WIFI_ENVIRONMENT) else None)
    if path:
        return _from_file(path)
    try:
        return _prompt(f"Password of the Wi-Fi network '{ssid}': ")
    except UsageError:
        raise UsageError(
            "there is no terminal to ask for the Wi-Fi password on",
            f"give --wifi-password-file or set {WIFI_ENVIRONMENT}",
        ) from None
