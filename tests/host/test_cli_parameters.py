"""Options and arguments that are read without pydantic: to the same values as by typer, and to its words where they are
wrong."""

import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.core
from typer._coercion import build_runtime_param, resolve_type_descriptor
from typer.models import OptionInfo

from tessera_host.cli import parameters


class Runtime(StrEnum):
    ONE = "one"


def outcome(reads: Any, value: Any, many: bool) -> tuple[Any, str]:
    """What a value is read to, or what is said of it."""
    try:
        return reads.coerce(value, param=SimpleNamespace(multiple=many, nargs=1, name="it"), ctx=None), ""
    except Exception as error:
        return type(error), str(error)


TEXTS = (
    "",
    " ",
    "x",
    "-",
    "7",
    "-7",
    "07",
    "+7",
    " 7",
    "7.0",
    "1e3",
    "9" * 30,
    "\u0667",
    "1_000",
    "one",
    "two",
    "a\0b",
)
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (str, {}),
    "texts": (list[str], {}),
    "number": (int, {}),
    "number in a range": (int, {"min": 1, "max": 8}),
    "number that is moved into a range": (int, {"min": 1, "max": 8, "clamp": True}),
    "fraction": (float, {}),
    "choice": (Runtime, {}),
    "path": (Path, {}),
    "file that is there": (Path, {"exists": True, "dir_okay": False}),
    "folder": (Path, {"file_okay": False}),
    "path that is resolved": (Path, {"resolve_path": True}),
    "file or standard input": (Path, {"allow_dash": True}),
    "something parsed": (str, {"parser": str.upper}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_is_what_typer_makes_of_it(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    annotation, told = KINDS[kind]
    (tmp_path / "x").write_text("a file")
    (tmp_path / "one").mkdir()
    descriptor = resolve_type_descriptor(annotation, OptionInfo(**told))
    many = annotation == list[str]
    values = [[], ["x"], ["x", "7"]] if many else [*TEXTS, 7, Path("x"), Runtime.ONE, True]
    for value in (None, *values):
        plainly = parameters._Parameter(descriptor, build_runtime_param)
        assert outcome(plainly, value, many) == outcome(build_runtime_param(descriptor), value, many), value


def test_typer_reads_so_in_every_command() -> None:
    assert isinstance(typer.core.build_runtime_param(None), parameters._Parameter)
    before = typer.core.build_runtime_param
    parameters.read_plainly()
    assert typer.core.build_runtime_param is before


@pytest.mark.parametrize("words", [["contact", "list"], ["send", "bob", "hello", "--home", "nowhere"], ["sent"]])
def test_a_command_loads_no_pydantic(words: list[str], tmp_path: Path) -> None:
    program = f"import sys; from tessera_host import cli; cli.run({words}); sys.exit('pydantic' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.startswith("error: "), done.stderr
