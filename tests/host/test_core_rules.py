"""What the core's source must keep to (DESIGN §2, §11), read from the source itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parent.parent.parent / "firmware"
CORE = FIRMWARE / "tessera"
FILES = sorted(CORE.glob("*.py"))
MODULES = {path.stem: path for path in [*FIRMWARE.glob("*.py"), *FIRMWARE.glob("device/*.py"), *FILES]}

# What MicroPython has, with what only the two thin layers may use on CPython.
ALLOWED = {"array", "asyncio", "binascii", "collections", "errno", "hashlib", "os", "struct", "sys"}
RUNTIME = {"runtime", "runtime_cpython"}  # what differs between MicroPython and CPython
ALLOWED_IN = {
    "runtime.py": {"time", "gc", "cryptolib", "micropython"},
    "runtime_cpython.py": {"time", "cryptography"},
    "viper.py": {"micropython"},
    "curve_coincurve.py": {"coincurve"},
    "curve.py": {"secp256k1"},
    "aead.py": {"mbedcrypto"},
    "cover.py": {"mbedcrypto"},
    "hashes.py": {"mbedcrypto"},
    "native.py": {"loops"},
    "page.py": {"mbedcrypto"},
    "ownership.py": {"fcntl", "ffi", "msvcrt"},
}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_core_imports_nothing_but_what_micropython_has(path: Path) -> None:
    names = set(imported(ast.parse(path.read_text())))
    assert names <= ALLOWED | ALLOWED_IN.get(path.name, set())


def test_no_two_modules_of_the_firmware_need_each_other() -> None:
    """Imports inside functions count: a module that is replaced while another holds it is no less of a circle."""
    needs = {name: set(firmware_imports(path)) - {name} for name, path in MODULES.items()}
    assert {"recordlog", "keyring", "rounds"} <= needs["relay"] and {"flash", "ota"} <= needs["slots"]
    while free := {name for name, needed in needs.items() if not needed & needs.keys()}:
        needs = {name: needed for name, needed in needs.items() if name not in free}
    assert not needs, "a circle among these, or on the way to one"


def firmware_imports(path: Path) -> Iterator[str]:
    """The modules of the firmware that a file imports, by their last names."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        yield from (name.split(".")[-1] for name in names if name.split(".")[-1] in MODULES)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem not in RUNTIME], ids=lambda path: path.name)
def test_core_uses_no_floating_point(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Div), "true division"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), "a floating point constant"
        assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float"), "float()"


def test_only_the_generator_and_its_start_touch_a_source_of_random_bytes() -> None:
    users = {path.name for path in FILES if re.search(r"\burandom\b|import random|getrandbits", path.read_text())}
    assert users <= {"drbg.py"}


def test_only_the_key_ring_changes_what_it_makes_durable() -> None:
    field = r"keyring\.(flags|boots|seed|next_sector|sealed_\w+|commissioned|epochs|lease_epoch|leases)"
    changes = re.compile(rf"{field}(\[[^\]]*\])?( [+|&-]?= |\.(update|pop|clear)\b)|del .*{field}")
    assert changes.search("self._keyring.epochs[new] = (") and changes.search("keyring.boots += 1")
    for path in FILES:
        assert not changes.search(path.read_text()), path.name


def test_every_core_file_says_what_it_owns() -> None:
    for path in FILES:
        assert path.read_text().startswith("# "), path.name


def test_no_file_is_a_drawer() -> None:
    for path in [*FILES, *(CORE.parent.parent / "host" / "tessera_host").rglob("*.py")]:
        assert path.stem not in {"utils", "util", "common", "helpers", "misc"}
