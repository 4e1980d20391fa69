"""The user's settings: config.toml in the platform's directory for such files, or where TESSERA_CONFIG says.

Owns which settings there are and what they may be. Everything has a default, and most people have no such file. Options
on the command line come first, then variables of tessera's own, then this, then what other programs' variables say.
"""

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from . import duration, files
from .errors import InvalidInput, TesseraError

ENVIRONMENT = "TESSERA_CONFIG"
NAME = "config.toml"


@dataclass(frozen=True)
class Config:
    """`unlock_seconds` is for how long `tessera unlock` unlocks, `proxy` a proxy's URL, or `none`."""

    home: Path | None = None
    passphrase_file: Path | None = None
    unlock_seconds: int = 8 * 3600
    proxy: str | None = None


def path() -> Path:
    """Where the file is, if there is one."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else platformdirs.user_config_path("tessera", appauthor=False) / NAME


def load(file: Path | None = None) -> Config:
    """Raises InvalidInput for a file that cannot be read, or says what nobody understands."""
    file = file or path()
    try:
        text = files.decoded(file.read_bytes())
    except FileNotFoundError:
        if os.environ.get(ENVIRONMENT):
            raise InvalidInput(f"there is no file {file}", f"{ENVIRONMENT} names it: correct it, or unset it") from None
        return Config()
    except (OSError, UnicodeDecodeError):
        raise InvalidInput(
            f"{file} cannot be read", f"it is a text file of settings; {ENVIRONMENT} names another"
        ) from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is not TOML: {error}", "a setting is a line like: unlock = '8h'") from None
    return _checked(file, found)


def home() -> Path:
    """The directory of the member's keystore, where neither an option nor TESSERA_HOME names one."""
    return load().home or default_home()


def default_home() -> Path:
    return platformdirs.user_data_path("tessera", appauthor=False)


def _checked(file: Path, found: dict[str, Any]) -> Config:
    values: dict[str, Any] = {}
    for name, value in found.items():
        if name not in _SETTINGS:
            raise InvalidInput(f"{file} has an unknown setting '{name}'", f"the settings are: {', '.join(_SETTINGS)}")
        attribute, read, example = _SETTINGS[name]
        try:
            values[attribute] = read(value)
        except (ValueError, TypeError, TesseraError):
            raise InvalidInput(
                f"the setting '{name}' in {file} has a value that is not valid", f"for example: {example}"
            ) from None
    return Config(**values)


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError
    return Path(value).expanduser()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


_SETTINGS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "home": ("home", _path, "home = '~/tessera'"),
    "passphrase_file": ("passphrase_file", _path, "passphrase_file = '/run/secrets/tessera'"),
    "proxy": ("proxy", _text, "proxy = 'socks5://127.0.0.1:1080', or 'none'"),
    "unlock": ("unlock_seconds", duration.seconds, "unlock = '8h'"),
}
