"""What a mutant is: one change of the code that some test has to notice. And what may be wrong with one.

Owns the form of the lists. Leaves to others: the lists (core.py, slots.py, device.py, host.py, fleet.py; all of them:
lists.py), trying them (trial.py), the command (__main__.py).
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
AREAS: Final = ("core", "slots", "device", "host", "fleet")


@dataclass(frozen=True)
class Change:
    """A mutant as a list has it: `old` stands once in the file, `new` takes its place. At least one of `tests` has to
    fail then: test files below tests/, or a function of one after `::`. An error while such a test is set up counts
    only with `error`. `alive` is the reason why no test can notice it."""

    name: str
    old: str
    new: str
    tests: tuple[str, ...]
    error: bool = False
    alive: str = ""


Changes = dict[str, tuple[Change, ...]]  # of each file, named from the tree's root


def tests_in(folder: str) -> Callable[..., tuple[str, ...]]:
    """of(file, *names): tests of a folder by the names of their file and functions, without the `test_` of each."""

    def of(file: str, *names: str) -> tuple[str, ...]:
        path = f"{folder}/test_{file}.py"
        return tuple(f"{path}::test_{name}" for name in names) or (path,)

    return of


@dataclass(frozen=True)
class Mutant:
    area: str
    file: str
    change: Change

    @property
    def name(self) -> str:
        return self.change.name

    @property
    def tests(self) -> tuple[str, ...]:
        """As pytest names them, from the tree's root."""
        return tuple(f"tests/{test}" for test in self.change.tests)

    def applied(self, text: str) -> str:
        """The file's text with the change. Raises ValueError if what it replaces does not stand there once."""
        times = text.count(self.change.old)
        if times != 1 or self.change.new == self.change.old:
            raise ValueError(f"{self.name}: its old text stands {times} times in {self.file}, or nothing is changed")
        return text.replace(self.change.old, self.change.new)


def faults(mutants: list[Mutant], root: Path = ROOT) -> list[str]:
    """What is wrong with the lists themselves: a name twice, an old text that is gone, a test that there is not."""
    twice = [name for name, times in Counter(mutant.name for mutant in mutants).items() if times > 1]
    found = [f"{name}: there are several of this name" for name in twice]
    for mutant in mutants:
        found += _faults_of(mutant, root)
    return found


def _faults_of(mutant: Mutant, root: Path) -> Iterator[str]:
    path = root / mutant.file
    try:
        mutant.applied(path.read_text())
    except (OSError, ValueError) as error:
        yield f"{error}"
    if not mutant.tests:
        yield f"{mutant.name}: it names no test"
    for test in mutant.tests:
        file, _, function = test.partition("::")
        if not (root / file).is_file():
            yield f"{mutant.name}: there is no {file}"
        elif function and function not in _functions(root / file):
            yield f"{mutant.name}: there is no {function} in {file}"


@cache
def _functions(file: Path) -> frozenset[str]:
    """The tests of a file."""
    body = ast.parse(file.read_text()).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
