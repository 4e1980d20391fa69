"""Keeps out of an image what may not be in it: tests, their fixed keys, and generators with predictable numbers.

Owns the list, which it reads from tests/core and tests/vectors. image.py asks it before and after the build.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE_TESTS = ROOT / "tests" / "core"

# The least variety of bytes a fixed key has that is searched for: one of 31 zeros and a 7 is in every binary.
_VARIETY = 8
_SECRET_WORDS = ("secret", "seed", "access_key", "page_key", "cover_key", "cover_state", "master")


class ForbiddenContent(Exception):
    """The image holds what no relay may be shipped with: one line that names it."""


def test_modules() -> set[str]:
    """File names of everything in tests/core: the office with its keys, Dice, damaged and simulated flash, tests."""
    return {path.name for path in CORE_TESTS.glob("*.py")}


def check_modules(modules: list[tuple[str, Path]]) -> None:
    """Refuse frozen modules (name in the image, source file) that are tests or hold what tests hold."""
    for name, source in modules:
        if "tests" in source.parts or Path(name).name in test_modules():
            raise ForbiddenContent(f"the manifest freezes '{name}', which is a part of the tests")
        check_bytes(source.read_bytes(), f"the frozen module '{name}'")


def check_bytes(content: bytes, where: str) -> None:
    """Refuse content (a binary, a source file) that holds a fixed key or the name of a test module."""
    for name, secret in fixed_secrets():
        if secret in content or secret.hex().encode() in content:
            raise ForbiddenContent(f"{where} holds a key that every reader of the tests knows ({name})")
    for module in test_modules():
        # How the list of frozen modules in a binary writes a name.
        if b"\0" + module.encode() + b"\0" in content:
            raise ForbiddenContent(f"{where} holds the test module '{module}'")


@cache
def fixed_secrets() -> tuple[tuple[str, bytes], ...]:
    """(where it is from, the bytes) of every fixed key in tests."""
    found = [*_office_secrets(), *_vector_secrets()]
    return tuple((name, secret) for name, secret in found if len(set(secret)) >= _VARIETY)


def _office_secrets() -> Iterator[tuple[str, bytes]]:
    sys.path[:0] = [str(CORE_TESTS), str(ROOT / "firmware")]
    try:
        office = importlib.import_module("office")
    finally:
        del sys.path[:2]
    for name in ("FEDERATION", "ACCESS_KEY", "ROOT", "STATIC", "LEDGER", "RELAY_KEY", "LEDGER_KEY"):
        yield f"tests/core/office.py: {name}", getattr(office, name)
    for epoch in range(office.EPOCHS):
        yield f"tests/core/office.py: epoch_secret({epoch})", office.epoch_secret(epoch)
    for phrase in (b"provisioned seed", b"firmware"):
        yield f"tests/core/office.py: sha256({phrase!r})", office.sha256(phrase)


def _vector_secrets() -> Iterator[tuple[str, bytes]]:
    for path in sorted((ROOT / "tests" / "vectors").glob("*.json")):
        for name, value in _strings(json.loads(path.read_text()), ""):
            if len(value) == 64 and any(word in name for word in _SECRET_WORDS):
                yield f"tests/vectors/{path.name}: {name}", bytes.fromhex(value)


def _strings(node: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _strings(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, name)
    elif isinstance(node, str):
        yield name, node
