"""Every test compares something: it asserts, or calls what does. A test that only runs cannot fail on a wrong value.

Helpers count by their name alone, whichever test they belong to: the rule finds what is forgotten, not what is hidden.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(path for path in TESTS.rglob("*.py") if path.name != "__init__.py")

# pytest's own, check.raises on every runtime, pexpect's expect, and unittest.mock's.
COMPARING = {"raises", "expect", "expect_exact", "fail", "assert_called_once_with"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def called(function: Function) -> set[str]:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def asserts(function: Function) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(function))


def comparing(trees: dict[Path, ast.AST]) -> set[str]:
    """The names of what asserts, or calls what does: the helpers of all tests, to the last caller."""
    helpers = [each for tree in trees.values() for each in functions(tree) if not each.name.startswith("test_")]
    classes = {
        node.name: {each.name for each in functions(node)}
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = COMPARING | {each.name for each in helpers if asserts(each)}
    while more := {each.name for each in helpers if each.name not in found and called(each) & found}:
        found |= more
    # An object made for its call or its block compares where one of its methods of the language does.
    return found | {name for name, methods in classes.items() if methods & found & {"__init__", "__call__", "__exit__"}}


def test_every_test_compares_something() -> None:
    trees: dict[Path, ast.AST] = {path: ast.parse(path.read_text()) for path in FILES}
    names = comparing(trees)
    found = {
        (path.relative_to(TESTS).as_posix(), each.name)
        for path, tree in trees.items()
        if path.name.startswith("test_")
        for each in functions(tree)
        if each.name.startswith("test_") and not asserts(each) and not called(each) & names
    }
    assert found == set()


def test_a_test_that_only_runs_is_found() -> None:
    source = "def _same(a):\n    assert a\ndef test_a():\n    _same(1)\ndef test_b():\n    print(_other(2))\n"
    tree = ast.parse(source)
    names = comparing({Path("made"): tree})
    found = {each.name for each in functions(tree) if not asserts(each) and not called(each) & names}
    assert found == {"test_b"}
