"""Trying mutants: a copy of the tree in which one is applied, its own tests run in it, what came of that.

Owns the copies and the verdict. The tree itself is never written to. A copy is whole, because tests read files of the
tree beside importing from it; its packages come first on the path, also in processes that tests start.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree

from tests.mutants.mutant import ROOT, Mutant

# Far above what the tests of one mutant take beside another's: one that takes so long waits for what never comes.
LIMIT_SECONDS = 60
_NOT_COPIED = shutil.ignore_patterns(
    *(".git", "build", "dist", "node_modules", "__pycache__", "*.egg-info", ".hypothesis", ".*_cache")
)
_PACKAGES = ("firmware", "host")


class Verdict(Enum):
    """`KILLED`: a test failed. `TIMEOUT`: its tests did not end. `ALIVE`: they passed. `BROKEN`: neither, as when a
    file cannot be imported: that says nothing of the tests."""

    KILLED = "killed"
    TIMEOUT = "killed by the time limit"
    ALIVE = "alive"
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    mutant: Mutant
    verdict: Verdict
    by: str  # the test that failed, or what pytest said

    @property
    def as_listed(self) -> bool:
        """Whether it is what its list says."""
        killed = self.verdict in (Verdict.KILLED, Verdict.TIMEOUT)
        return self.verdict is Verdict.ALIVE if self.mutant.change.alive else killed


@dataclass(frozen=True)
class Ended:
    """A run of pytest: its exit status (None if it was ended), what each test came to, what it said."""

    status: int | None
    tests: dict[str, str]  # passed, failed, error or skipped, by the name without parameters: the worst of them
    output: str


class Copy:
    """A copy of the tree, for one mutant at a time. Use as a context manager."""

    def __init__(self, root: Path = ROOT) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tessera-mutants-")
        self.root = Path(self._folder.name, "tree")
        shutil.copytree(root, self.root, ignore=_NOT_COPIED)
        # Compiled once, and believed only while the source is the same: a change within a second, of the same length,
        # would not be seen otherwise.
        compile_all = ("-m", "compileall", "-q", "--invalidation-mode", "checked-hash", *_PACKAGES)
        subprocess.run((sys.executable, *compile_all), cwd=self.root, check=True, stdout=subprocess.DEVNULL)
        self._check_imports()

    def __enter__(self) -> "Copy":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _environment(self) -> dict[str, str]:
        packages = os.pathsep.join(str(self.root / package) for package in _PACKAGES)
        return os.environ | {"PYTHONPATH": packages}

    def _check_imports(self) -> None:
        """That what is mutated is what runs."""
        program = "import tessera, slots, tessera_host; print(tessera.__file__, slots.__file__, tessera_host.__file__)"
        command = (sys.executable, "-c", program)
        said = subprocess.run(command, env=self._environment(), cwd="/", check=True, capture_output=True, text=True)
        elsewhere = [file for file in said.stdout.split() if not Path(file).is_relative_to(self.root)]
        assert not elsewhere, f"these would run instead of the copy: {elsewhere}"

    def run(self, tests: Iterable[str], *, first_only: bool = True, seconds: float = LIMIT_SECONDS) -> Ended:
        """pytest over these tests, up to the first that fails, or all of them."""
        report = self.root.parent / "report.xml"
        report.unlink(missing_ok=True)
        options = ("-q", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}", *(("-x",) if first_only else ()))
        process = subprocess.Popen(
            (sys.executable, "-m", "pytest", *options, *tests),
            cwd=self.root,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that what its tests started ends with it
        )
        try:
            output, _ = process.communicate(timeout=seconds)
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            output, status = "", None
        finally:
            _end(process)
        return Ended(status, read_report(report) if report.exists() else {}, output)

    def try_out(self, mutant: Mutant) -> Outcome:
        """Apply it, run its tests, take it back."""
        path = self.root / mutant.file
        text = path.read_text()
        path.write_text(mutant.applied(text))
        try:
            ended = self.run(mutant.tests)
        finally:
            path.write_text(text)
        return Outcome(mutant, *judged(ended, mutant.change.error))


def _end(process: "subprocess.Popen[str]") -> None:
    """The process and whatever it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


_WORST = ("passed", "skipped", "error", "failed")


def read_report(report: Path) -> dict[str, str]:
    """What each test came to, by file and function: the worst of its parameters."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        module, function = case.get("classname", ""), case.get("name", "").partition("[")[0]
        name = f"{module.replace('.', '/')}.py::{function}" if module else function
        came = "passed"
        for element, word in (("skipped", "skipped"), ("error", "error"), ("failure", "failed")):
            came = word if case.find(element) is not None else came
        found[name] = max(came, found.get(name, came), key=_WORST.index)
    return found


def judged(ended: Ended, error_counts: bool = False) -> tuple[Verdict, str]:
    """The verdict on a mutant, and by which test or why. A test that fails counts; an error while one is set up, or
    while a file is imported, does not."""
    if ended.status is None:
        return Verdict.TIMEOUT, f"{LIMIT_SECONDS} s"
    counting = ("failed", "error") if error_counts else ("failed",)
    for name, came in ended.tests.items():
        if came in counting and "::" in name:
            return Verdict.KILLED, name
    if ended.status == 0 and ended.tests and set(ended.tests.values()) == {"passed"}:
        return Verdict.ALIVE, f"{len(ended.tests)} passed"
    return Verdict.BROKEN, ended.output.strip()[-600:]
