"""No two modules need each other: firmware, host package, tools and tests, one graph.

The graph is read from the imports themselves, those in functions and under TYPE_CHECKING included. A bare name is
looked up as the interpreters would: beside the importer, then in the folders that hold modules of a board's.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("firmware", "host", "tools", "tests", "boards")
PATHS = (ROOT, ROOT / "firmware", ROOT / "host", ROOT / "tests" / "core", ROOT / "tests" / "powercut")

Graph = dict[Path, set[Path]]


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if "node_modules" not in path.parts]


@cache
def file_of(place: Path) -> Path | None:
    """The source of the module or package at this path without a suffix."""
    candidates = (place.with_name(place.name + ".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def places(node: ast.ImportFrom, importer: Path) -> list[Path]:
    """Where the module that is imported from may lie, without a suffix."""
    parts = node.module.split(".") if node.module else []
    if not node.level:
        return [base.joinpath(*parts) for base in (importer.parent, *PATHS)]
    return [importer.parents[node.level - 1].joinpath(*parts)]


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All that are in it, and what holds them. Imports are in no expression, which most of a tree is made of."""
    yield tree
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        for node in getattr(tree, name, ()):
            yield from statements(node)


def imported(source: str, importer: Path) -> Iterator[Path]:
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                candidates = (file_of(base.joinpath(*alias.name.split("."))) for base in (importer.parent, *PATHS))
                yield from list(filter(None, candidates))[:1]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found = (file_of(place / alias.name) or file_of(place) for place in places(node, importer))
                yield from list(filter(None, found))[:1]


@cache
def graph() -> Graph:
    return {path: set(imported(path.read_text(), path)) - {path} for path in sources()}


def circles(edges: Graph) -> list[list[str]]:
    """The modules that are left when those that need nobody who is left, or whom nobody needs, are taken away."""
    rest = {module: targets & set(edges) for module, targets in edges.items()}
    while free := {module for module, targets in rest.items() if not targets}:
        rest = {module: targets - free for module, targets in rest.items() if module not in free}
    while unneeded := set(rest) - {target for targets in rest.values() for target in targets}:
        rest = {module: targets for module, targets in rest.items() if module not in unneeded}
    return sorted([str(module), *sorted(map(str, targets & set(rest)))] for module, targets in rest.items())


def test_no_two_modules_need_each_other() -> None:
    found = graph()
    assert len(found) > 300
    assert circles(found) == []


def test_no_import_is_passed_over() -> None:
    """Wherever a statement may stand."""
    source = """
def function():
    async def inner():
        async with x:
            import a1
        for _ in x:
            import a2
        else:
            import a3
class Class:
    try:
        import a4
    except E:
        import a5
    else:
        import a6
    finally:
        import a7
match x:
    case 1 if y:
        import a8
while x:
    if y:
        import a9
    elif z:
        import a10
    else:
        from a import b
try:
    import a11
except* E:
    from . import c
"""
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(imports) == 13
    assert {*imports} <= {*statements(tree)}


def test_graph_sees_the_imports_that_there_are() -> None:
    found = graph()
    firmware, host = ROOT / "firmware", ROOT / "host" / "tessera_host"
    assert firmware / "tessera" / "wire.py" in found[firmware / "tessera" / "relay.py"]
    assert host / "errors.py" in found[host / "keys" / "keystore.py"]
    assert ROOT / "tests" / "core" / "office.py" in found[ROOT / "tools" / "bench" / "full_relay.py"]


@pytest.mark.parametrize(
    ("edges", "circle"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, ["a", "b"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, ["b", "c", "d"]),
    ],
)
def test_circle_is_found(edges: dict[str, set[str]], circle: list[str]) -> None:
    named = {Path(module): {Path(target) for target in targets} for module, targets in edges.items()}
    assert [line[0] for line in circles(named)] == circle
