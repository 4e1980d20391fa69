"""Core tests as a file system for a board: their modules and the helpers of tests/core, compiled, and the vectors that
they read.

It lies at the end of the flash, where a relay has its record ring, so the image under test is the very one that is
shipped; the rest of a relay's storage is what the tests' simulated flash is made of. What an image has frozen in comes
first, so tests may as well be frozen.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tools.emulator.littlefs_image import FLASH_BYTES, SECTOR_BYTES, make_littlefs
from tools.emulator.program import EmulatorError

ROOT = Path(__file__).resolve().parent.parent.parent
CORE_TESTS, VECTORS, FIRMWARE = ROOT / "tests" / "core", ROOT / "tests" / "vectors", ROOT / "firmware"
VARIABLE = "TESSERA_MPY_CROSS"
ARCHITECTURE = "armv6m"
SIZE = 704 << 10  # at the end of the record ring
OFFSET = FLASH_BYTES - SIZE
_SPARE_BLOCKS = 16  # for directories and what tests write
MOUNT = "/core"
ROW_BYTES = 32 << 10  # a longer row is for computers: it would be most of a board's heap, and of this volume
NAMED = re.compile(r'vectors\("(\w+)"\)')  # as tests name the vectors that they read

# Runs on the board before a test module. Flash counts from the start of the image's storage, which ends with the flash;
# it is taken from the port's C module, as an image need not have the Python part.
PROLOGUE = f"""
import sys, vfs
from _rp2 import Flash
_storage = {FLASH_BYTES} - Flash().ioctl(4, 0) * Flash().ioctl(5, 0)
vfs.mount(vfs.VfsLfs2(Flash(start={OFFSET} - _storage, len={SIZE})), {MOUNT!r})
sys.path.append({MOUNT!r})
_flash, _folder = Flash(start=0, len={OFFSET} - _storage), {MOUNT!r}
"""

# After that, wherever the heap is a board's: _flash is a block device for what tests keep on flash, _folder has files.
IN_A_SMALL_HEAP = """
import check, flashdevice, flashvectors, ramdevice, workfolder
flashdevice.use(_flash)
ramdevice.RamDevice = flashdevice.FlashDevice
flashvectors.folder = _folder + "/vectors"
check.vectors = flashvectors.vectors
check.board = True
workfolder.parent = _folder
"""


def make_test_volume(tests: Iterable[Path], with_core: bool) -> bytes:
    """The file system for test files. with_core: the relay core too, for an image that has it not frozen in."""
    return make_littlefs(_all_files(tests, with_core), SIZE)


def fits(tests: Iterable[Path], with_core: bool) -> bool:
    """Whether these find room in one volume: a file takes whole blocks, and directories have theirs."""
    blocks = sum(-(-len(content) // SECTOR_BYTES) for content in _all_files(tests, with_core).values())
    return (blocks + _SPARE_BLOCKS) * SECTOR_BYTES <= SIZE


def _all_files(tests: Iterable[Path], with_core: bool) -> dict[str, bytes]:
    return files_for(tests, modules_in(FIRMWARE / "tessera") if with_core else {})


def modules_in(package: Path) -> dict[str, Path]:
    return {f"{package.name}/{path.name}": path for path in sorted(package.glob("*.py"))}


def files_for(tests: Iterable[Path], more: dict[str, Path]) -> dict[str, bytes]:
    """By their paths: test files, their helpers and more modules as mpy-cross makes them for a board, and the vectors
    that they read."""
    sources = {path.name: path for path in sorted(CORE_TESTS.glob("*.py")) if not path.name.startswith("test_")}
    sources |= {test.name: test for test in tests} | more
    named = {name for source in sources.values() for name in NAMED.findall(source.read_text())}
    vectors = vector_files([VECTORS / f"{name}.json" for name in sorted(named)], ROW_BYTES)
    return compiled(sources) | dict(vectors)


def compiled(sources: dict[str, Path]) -> dict[str, bytes]:
    """Each module by its path on the board, as mpy-cross makes it for the board's processor."""
    return {name.removesuffix(".py") + ".mpy": compile_module(name, source) for name, source in sources.items()}


@cache
def compile_module(name: str, source: Path) -> bytes:
    compiler = os.environ.get(VARIABLE, "")
    with tempfile.NamedTemporaryFile(suffix=".mpy") as output:
        options = [f"-march={ARCHITECTURE}", "-s", name, "-o", output.name, str(source)]
        try:
            subprocess.run([compiler, *options], check=True, capture_output=True, text=True)
        except OSError:
            raise EmulatorError(f"{VARIABLE} must name mpy-cross (it is {compiler!r}). Run `make setup`.") from None
        except subprocess.CalledProcessError as error:
            raise EmulatorError(f"{source}: {error.stderr.strip()}") from None
        return Path(output.name).read_bytes()


def vector_files(paths: Iterable[Path], row_bytes: int | None = None) -> Iterable[tuple[str, bytes]]:
    """As tests/core/flashvectors.py reads them: one row a line, a file for each list. Without rows of more bytes."""
    for path in paths:
        content = json.loads(path.read_text())
        if isinstance(content, list):
            yield f"vectors/{path.stem}", rows(content, row_bytes)
        else:
            for key, value in content.items():
                yield f"vectors/{path.stem}/{key}", rows(value, row_bytes)


def rows(content: list[object], row_bytes: int | None = None) -> bytes:
    lines = (json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in content)
    return b"".join(line for line in lines if row_bytes is None or len(line) <= row_bytes)
