"""Which package of tessera_host may import which: what stands in RULES, and nothing else.

The rule reads the imports themselves, those under TYPE_CHECKING and inside functions too, so that a name that is only
an annotation counts like a call.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "host" / "tessera_host"

# Each package may import the root's modules, itself, and these.
RULES: dict[str, set[str]] = {
    "root": set(),
    "privacy": set(),
    "protocol": {"privacy"},
    "keys": set(),
    "planning": {"privacy"},
    "issuer": {"privacy", "protocol", "keys", "planning"},
    "member": {"privacy", "protocol", "keys"},
    "agent": {"privacy", "protocol", "keys", "member"},
    "relay": {"privacy", "protocol", "keys", "planning", "issuer"},
    "cluster": {"protocol", "keys", "planning", "issuer", "relay"},
    "fleet": {"keys", "issuer", "relay"},
    "audit": {"privacy", "protocol", "relay"},
    "report": {"privacy", "protocol", "planning", "audit"},
    "provisioning": {"privacy", "protocol", "keys", "planning", "issuer"},
}
TOP = "cli"  # imports everything, and nobody imports it
# The documented API's address, and `python -m tessera_host`.
EXCEPTIONS = {("tessera_host.client", "agent"), ("tessera_host.__main__", TOP)}


def modules() -> dict[str, Path]:
    """Every module of the host package by its dotted name."""
    found = {}
    for path in HOST.rglob("*.py"):
        parts = path.relative_to(HOST.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (HOST / parts[1]).is_dir() else "root"


def imports(module: str, source: str, *, is_package: bool) -> Iterator[str]:
    """The modules of the host package that this source imports, wherever the import stands."""
    base = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "tessera_host")
        elif isinstance(node, ast.ImportFrom):
            above = base[: len(base) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            if origin.split(".")[0] == "tessera_host":
                names = {f"{origin}.{alias.name}" for alias in node.names}
                yield from (name if name in MODULES else origin for name in names)


def edges() -> set[tuple[str, str]]:
    return {
        (module, target)
        for module, path in MODULES.items()
        for target in imports(module, path.read_text(), is_package=path.name == "__init__.py")
        if target != module
    }


def back_edges(found: set[tuple[str, str]]) -> list[str]:
    return sorted(
        f"{importer} imports {target}"
        for importer, target in found
        if package(target) not in {"root", package(importer)}
        and (importer, package(target)) not in EXCEPTIONS
        and package(importer) != TOP
        and package(target) not in RULES[package(importer)]
    )


def test_each_package_imports_only_what_stands_above_it() -> None:
    assert back_edges(edges()) == []


def test_rules_name_every_package_and_have_no_circle() -> None:
    folders = {path.name for path in HOST.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders | {"root"} == set(RULES) | {TOP}
    done = {"root"}
    while ready := {name for name, above in RULES.items() if name not in done and above <= done}:
        done |= ready
    assert done == set(RULES)


def test_imports_in_functions_and_under_type_checking_count() -> None:
    source = "def f():\n    from ..cli import output\nif TYPE_CHECKING:\n    from ..member.inbox import Inbox\n"
    found = {
        ("tessera_host.keys.keystore", target)
        for target in imports("tessera_host.keys.keystore", source, is_package=False)
    }
    assert [line.split()[-1] for line in back_edges(found)] == ["tessera_host.cli.output", "tessera_host.member.inbox"]


@pytest.mark.parametrize(
    ("importer", "target"),
    [
        ("tessera_host.text", "tessera_host.keys.keystore"),
        ("tessera_host.member.wallet", "tessera_host.issuer.issuance"),
    ],
)
def test_back_edge_is_found(importer: str, target: str) -> None:
    assert {importer, target} <= set(MODULES)
    assert back_edges({(importer, target)}) == [f"{importer} imports {target}"]
