"""What the first lines of a module say about other modules: they exist, and the two have to do with each other.

A header says what a module owns and what it leaves to whom. Modules are renamed and cut, so a header may name a module
that is gone, or one that has nothing to do with this one any more. A name counts by its last part: packages may move.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FIRMWARE, HOST = ROOT / "firmware", ROOT / "host"
FILES = sorted(path for folder in (FIRMWARE, HOST) for path in folder.rglob("*.py") if "modules" not in path.parts)

# How headers name modules: sending.py, report/annex.py, report/, `sending`.
FILE = re.compile(r"(?<![\w/<.])((?:[a-z]\w*/)*[a-z_]\w*\.py)\b")
PACKAGE = re.compile(r"(?<![\w/<.])([a-z]\w*)/(?![\w<])")
QUOTED = re.compile(r"`([a-z_][a-z_.]*)`")
PLACE = re.compile(r"([a-z_]+):[a-z_]+")  # a module that is loaded when a command is used
COMMAND = "tessera"  # what `tessera` is in a header of the host, and not the core
ENTRIES = {"_boot", "boot", "main"}  # MicroPython starts these by name, one after the other; nobody imports them
ELSEWHERE = {"ports/esp32/makeimg.py"}  # MicroPython's own


def name_of(path: Path) -> str:
    return path.parent.name if path.name == "__init__.py" else path.stem


PATHS: dict[str, list[Path]] = defaultdict(list)
for _path in FILES:
    PATHS[name_of(_path)].append(_path)


@cache
def imports(path: Path) -> set[str]:
    """The last names of what a module imports: at its top, in functions, for types; and `module:function` (cli)."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[-1] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or path.parent.name).split(".")[-1])
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and (place := PLACE.fullmatch(str(node.value))):
            names.add(place[1])
    return names


def existing() -> set[str]:
    """Also what stands in no package: tools, boards; and what a build generates for the firmware to import."""
    elsewhere = {path.stem for folder in ("boards", "tools", "tests") for path in (ROOT / folder).rglob("*.py")}
    return elsewhere | set(PATHS) | (imports(FIRMWARE / "relay_unix.py") & {"tessera_build"})


def header(path: Path) -> str:
    """The docstring of a module of the host; the comment at the top of one of the firmware, which carries none."""
    text = path.read_text()
    if HOST in path.parents:
        return ast.get_docstring(ast.parse(text)) or ""
    lines = text.split("\n")
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(line.removeprefix("#") for line in lines[:end])


def named(path: Path) -> Iterator[str]:
    """The modules that a header names in words that can mean nothing else."""
    text = header(path)
    for file in FILE.findall(text):
        # With its whole path it is the other end of a cable, which nothing here imports.
        if file not in ELSEWHERE and not (ROOT / file).exists():
            yield Path(file).stem
    yield from PACKAGE.findall(text)
    for quoted in QUOTED.findall(text):
        name = quoted.split(".")[-1]
        # A header of the firmware speaks of the firmware: `status` is a command there.
        if name != COMMAND and any(FIRMWARE not in path.parents or FIRMWARE in each.parents for each in PATHS[name]):
            yield name


def connected(path: Path, other: Path) -> bool:
    """One imports the other, or a module that stands with them imports both: it gives one of them to the other."""
    if name_of(other) in imports(path) or name_of(path) in imports(other):
        return True
    if path.name == "__init__.py" and path.parent == other.parent:
        return True  # a package speaks of its parts
    beside = [each for each in FILES if FIRMWARE in each.parents or each.parent in (path.parent, other.parent)]
    return any({name_of(path), name_of(other)} <= imports(each) for each in beside)


@cache
def said() -> list[tuple[Path, str]]:
    """Headers, and the modules that each names."""
    return [(path, name) for path in FILES for name in sorted(set(named(path)) - {name_of(path)})]


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_module_that_a_header_names_exists() -> None:
    known = existing()
    assert [f"{where(path)} names {name}" for path, name in said() if name not in known] == []


def test_every_module_that_a_header_names_is_connected_with_it() -> None:
    apart = [
        f"{where(path)} has nothing to do with {name}"
        for path, name in said()
        if PATHS[name] and name not in ENTRIES and not name_of(path).startswith("manifest")
        if not any(connected(path, other) for other in PATHS[name])
    ]
    assert apart == []


def test_headers_name_modules_in_the_ways_that_are_looked_for() -> None:
    found = {(name_of(path), name) for path, name in said()}
    assert {("relay", "rounds"), ("device", "board"), ("epochs", "rounds"), ("manifest_unix", "tessera_build")} <= found
