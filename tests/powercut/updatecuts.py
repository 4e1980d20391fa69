"""Power cuts of the emulated Pico during an update: the shipped image stages a real bundle, restarts into it, and keeps
it; cut in flash operations of all that, it comes up on the code before or the whole code after, serving.

Owns the host's side, with boardcuts.py's ear for what a board says. What runs on the board is board_main.py.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import releasing
from tessera.release import version_number
from tests.powercut.boardcuts import BOARD, IMAGE, TEARS, Said, make_flash
from tests.results import Row, publish
from tests.support import bundles
from tools.build.boards import base, read_board, version
from tools.emulator.execution import DONE, POWER_CUT, RESET, Execution, execute
from tools.emulator.program import Cut

ROOT = Path(__file__).resolve().parent.parent.parent


NEW_VERSION = "0.9.9"
OLD, NEW = version_number(version(ROOT / "firmware" / "tessera")), version_number(NEW_VERSION)
EDGE, STEP = 24, 16  # operations at both ends of the staging that are all cut; and a share of the equal ones between


class UpdateSaid(Said):
    """What is said of the code, too."""

    def __init__(self) -> None:
        super().__init__()
        self.code: list[tuple[int, str]] = []  # (version, "tried" or "kept")

    def _code(self, number: str, how: str, file: str) -> None:
        self.code.append((int(number), how))
        if int(number) not in (OLD, NEW) or file.startswith("/bundle") != (int(number) == NEW):
            self.wrong.append(f"version {number} runs from {file}")


class UpdateCuts:
    """The update in two runs, to the restart and after it; each whole once, and any number of times cut."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self._folder = image, folder
        self._start, self._staged = folder / "start.bin", folder / "staged.bin"
        content = bundles.make(NEW_VERSION)
        made = releasing.release(NEW, content, base=base(read_board(BOARD), ROOT / "firmware"))
        self._now_ms, _ = make_flash(self._start, {"release": made, "bundle.bin": content})
        shutil.copy(self._start, self._staged)
        self._said = UpdateSaid()
        staging = self._run(self._staged, f"stage({self._now_ms})", RESET, self._said)
        self._later_ms = self._said.now_ms
        after = folder / "after.bin"
        shutil.copy(self._staged, after)
        said = UpdateSaid()
        trying = self._run(after, f"try_it({self._later_ms})", DONE, said)
        assert said.code == [(NEW, "tried"), (NEW, "kept")] and not said.wrong, said
        self.staging_operations, self.operations = (
            staging.flash_operations,
            staging.flash_operations + trying.flash_operations,
        )

    def _run(self, flash: Path, call: str, wanted: int, said: Said, cut: Cut | None = None) -> Execution:
        program = flash.with_suffix(".py")
        program.write_text(f"import board_main\nboard_main.{call}\n")
        done = execute(self._image, flash, program, cut=cut, guest_seconds=120)
        said.hear(done.output)
        if done.status != wanted:
            raise AssertionError(f"{call} ended with {done.status}: {done.output}{done.errors}")
        return done

    def cut(self, operation: int, tear: Cut) -> list[str]:
        """What is wrong after a cut in this operation; nothing should be."""
        flash = self._folder / f"cut{operation}.bin"
        said = UpdateSaid()
        first = operation <= self.staging_operations
        shutil.copy(self._start if first else self._staged, flash)
        if not first:
            said.attempted |= self._said.attempted
            said.acknowledged |= self._said.acknowledged
            said.posts += self._said.posts
            operation -= self.staging_operations
        call = f"stage({self._now_ms})" if first else f"try_it({self._later_ms})"
        try:
            self._run(flash, call, POWER_CUT, said, Cut(operation, tear.bytes, tear.rest))
            self._run(flash, f"inspect_code({max(said.now_ms, self._now_ms)})", DONE, said)
            if said.code[-1] == (NEW, "tried"):
                self._run(flash, "tell_code()", DONE, said)
                if said.code[-1] != (OLD, "kept"):
                    said.wrong.append("code that was tried and not kept runs again")
        except AssertionError as error:
            said.wrong.append(str(error))
        if 1000 not in said.acknowledged:
            said.wrong.append("it does not serve")
        flash.unlink()
        return said.wrong

    def cases(self) -> list[tuple[int, Cut]]:
        """Each operation but most of the equal pages of a bundle, in one measure, another one from one to the next."""
        last = self.staging_operations
        between = range(EDGE + 1, last - EDGE, STEP)
        chosen = [*range(1, EDGE + 1), *between, *range(last - EDGE, self.operations + 1)]
        return [(operation, TEARS[number % len(TEARS)]) for number, operation in enumerate(chosen)]


def cut_all(cuts: UpdateCuts, cases: list[tuple[int, Cut]]) -> dict[str, list[str]]:
    """What is wrong, by case."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda case: cuts.cut(*case), cases)
        named = [f"operation {operation}, {tear.bytes} bytes, {tear.rest}" for operation, tear in cases]
        return {name: wrong for name, wrong in zip(named, found, strict=True) if wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut the power of the emulated Pico during an update.")
    parser.add_argument("--least", action="store_true", help="only one cut")
    least = parser.parse_args().least
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tessera-updatecut-") as folder:
        cuts = UpdateCuts(IMAGE, Path(folder))
        cases = cuts.cases()[-1 if least else 0 :]
        wrong = cut_all(cuts, cases)
    for case, found in wrong.items():
        print(f"FAIL  {case}: {'; '.join(found)}")
    text = f"{cuts.operations} operations; {len(cases)} cuts, {len(wrong)} with a broken promise"
    rows = [Row("new code staged, tried and kept", text, "0 broken", not wrong)]
    return 0 if publish("powercut-update", "make test-powercut", rows, time.monotonic() - start, whole=not least) else 1


if __name__ == "__main__":
    sys.exit(main())
