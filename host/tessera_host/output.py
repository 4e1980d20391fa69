"""What a command shows: plain text for people, or with --json exactly one JSON object, on standard output.

Text that another person wrote is made harmless here before a terminal gets to see it.
"""

import json
from typing import Any

import typer

_JOINERS = "\u200c\u200d"  # inside letters and emoji of many languages; change nothing else


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result of a command: `result` as JSON (bytes as hex), or `text`."""
    typer.echo(json.dumps(result, default=_hex) if as_json else text)


def printable(text: str) -> str:
    """The text with everything a terminal might act on written as its code; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" or c in _JOINERS else f"\\u{{{ord(c):x}}}" for c in text)


def _hex(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
