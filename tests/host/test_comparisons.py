"""Every test compares something: it asserts, or calls what does. A test that only runs cannot fail on a wrong value.

Helpers count by their name alone, whichever test they belong to: the rule finds what is forgotten, not what is hidden.
"""

import ast
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(path for path in TESTS.rglob("*.py") if path.name != "__init__.py")

# pytest's own, check.raises on every runtime, pexpect's expect, and unittest.mock's.
COMPARING = {"raises", "expect", "expect_exact", "fail", "assert_called_once_with"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Described:
    """A function, with those nested in it: whether it asserts, and the names of what it calls."""

    name: str
    asserts: bool
    called: set[str]


def described(function: Function) -> Described:
    asserts, called = False, set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called.add(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
        asserts = asserts or isinstance(node, ast.Assert)
    return Described(function.name, asserts, called)


@dataclass(frozen=True)
class File:
    functions: list[Described]
    classes: dict[str, set[str]]  # the methods of each


def read(source: str) -> File:
    nodes = list(ast.walk(ast.parse(source)))
    functions = [described(node) for node in nodes if isinstance(node, Function)]
    classes = {
        node.name: {each.name for each in node.body if isinstance(each, Function)}
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }
    return File(functions, classes)


def comparing(files: Collection[File]) -> set[str]:
    """The names of what asserts, or calls what does: the helpers of all tests, to the last caller."""
    helpers = [each for file in files for each in file.functions if not each.name.startswith("test_")]
    found = COMPARING | {each.name for each in helpers if each.asserts}
    while more := {each.name for each in helpers if each.name not in found and each.called & found}:
        found |= more
    # An object made for its call or its block compares where one of its methods of the language does.
    classes = [each for file in files for each in file.classes.items()]
    return found | {name for name, methods in classes if methods & found & {"__init__", "__call__", "__exit__"}}


def comparing_nothing(file: File, names: set[str]) -> set[str]:
    """The tests of a file that neither assert nor call one of these names."""
    tests = [each for each in file.functions if each.name.startswith("test_")]
    return {each.name for each in tests if not each.asserts and not each.called & names}


def test_every_test_compares_something() -> None:
    files = {path: read(path.read_text()) for path in FILES}
    names = comparing(files.values())
    found = {
        (path.relative_to(TESTS).as_posix(), name)
        for path, file in files.items()
        if path.name.startswith("test_")
        for name in comparing_nothing(file, names)
    }
    assert found == set()


def test_a_test_that_only_runs_is_found() -> None:
    file = read("def _same(a):\n    assert a\ndef test_a():\n    _same(1)\ndef test_b():\n    print(_other(2))\n")
    assert comparing_nothing(file, comparing([file])) == {"test_b"}
