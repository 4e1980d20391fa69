"""Where the emulator's program is, and the command line that runs it; its options are in emulator.mjs."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TESSERA_EMULATOR"


class EmulatorError(Exception):
    """The emulated board cannot do what was asked of it; the text says why and what to do."""


@dataclass(frozen=True)
class Cut:
    """A power cut in the middle of a flash operation: how much of it happened (tear.mjs has the meanings)."""

    at: int
    bytes: int | None = None
    rest: str | None = None

    def options(self) -> list[str]:
        options = ["--cut-at", str(self.at)]
        if self.bytes is not None:
            options += ["--cut-bytes", str(self.bytes)]
        return options + (["--cut-rest", self.rest] if self.rest else [])


def command(image: Path, *options: str | Path, program: str = "emulator.mjs") -> list[str]:
    """The emulator with an image, or another program beside it that takes one."""
    if not image.is_file():
        raise EmulatorError(f"no image at {image}. Run `make image`.")
    return node(program, image, *options)


def node(program: str, *arguments: str | Path) -> list[str]:
    """One of the JavaScript programs of this folder. Its module folder lies in the set-up's cache, beside a link to the
    tree's files."""
    script = os.environ.get(VARIABLE, "")
    if not Path(script).is_file():
        raise EmulatorError(f"{VARIABLE} must name emulator.mjs (it is {script!r}). Run `make setup-emulator`.")
    found = shutil.which("node")
    if found is None:
        raise EmulatorError("Node.js is missing. Run `make setup-emulator`.")
    links = ("--preserve-symlinks", "--preserve-symlinks-main")
    return [found, *links, str(Path(script).parent / program), *map(str, arguments)]
