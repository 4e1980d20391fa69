"""What a command shows: plain text for people, or with --json exactly one JSON object, on standard output."""

import json
from typing import Any

import typer


def show(result: dict[str, Any], text: str, as_json: bool) -> None:
    """Print the result of a command: `result` as JSON (bytes as hex), or `text`."""
    typer.echo(json.dumps(result, default=_hex) if as_json else text)


def _hex(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
