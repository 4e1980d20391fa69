"""Keeps the outcome of runs that depends on their inputs alone, in the set-up's cache, by the digest of all inputs:
runs of the emulated board in deterministic mode, of which two are equal in cycles and flash
(emulated/test_emulator.py), and programs that draw their numbers from a seed.

An outcome is taken from there until its image, flash, program, the emulator or one of its sources changes; tests check
it like any other. The long suites run everything.
"""

import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple
from functools import cache
from pathlib import Path
from typing import Any

from tools.emulator import calls, execution
from tools.emulator.calls import Answer, Call
from tools.emulator.execution import CRASH, Execution
from tools.emulator.program import VARIABLE, Cut
from tools.emulator.wifi import Radio

FOLDER = Path(sys.prefix).parent / "runs"
MOST = 400  # that are kept; a `make test` has a quarter of it


def execute(
    image: Path,
    flash: Path,
    program: Path,
    *,
    cut: Cut | None = None,
    seed: int = 1,
    guest_seconds: float | None = None,
    radio: Radio | None = None,
) -> Execution:
    """As tools.emulator.execution's: the flash file is afterwards as after a run."""
    options: dict[str, Any] = {"cut": cut, "seed": seed, "guest_seconds": guest_seconds}
    if radio:
        options["radio"] = radio
    before = flash.read_bytes() if flash.exists() else b""
    inputs = [image.read_bytes(), before, program.read_bytes(), json.dumps(options, default=asdict).encode()]

    def run() -> bytes:
        done = execution.execute(image, flash, program, **options)
        return json.dumps(astuple(done)).encode() + b"\n" + flash.read_bytes()

    def read(outcome: bytes) -> Execution:
        return Execution(*json.loads(outcome.partition(b"\n")[0]))

    outcome = kept(["execute", emulator(), *inputs], run, keeps=lambda outcome: read(outcome).status != CRASH)
    flash.write_bytes(outcome.partition(b"\n")[2])
    return read(outcome)


def call(image: Path, functions: Iterable[Call]) -> list[Answer]:
    """As tools.emulator.calls'."""
    wanted = list(functions)

    def run() -> bytes:
        answers = calls.call(image, wanted)
        return json.dumps([astuple(answer) for answer in answers], default=bytes.hex).encode()

    asked = json.dumps([calls.curve_functions(image), [astuple(each) for each in wanted]], default=bytes.hex).encode()
    outcome = kept(["call", emulator(), image.read_bytes(), asked], run)
    return [_answer(*each) for each in json.loads(outcome)]


def _answer(result: int, cycles: int, stack: int, changed: list[str], read: list[str], code_bytes: int) -> Answer:
    return Answer(result, cycles, stack, tuple(changed), tuple(bytes.fromhex(text) for text in read), code_bytes)


def kept(
    inputs: Iterable[bytes | str], run: Callable[[], bytes], keeps: Callable[[bytes], bool] = lambda outcome: True
) -> bytes:
    """What run() returned for these inputs, now or before. keeps(outcome): whether that is what they come to, and not
    an accident."""
    digest = hashlib.sha256()
    for each in inputs:
        content = each.encode() if isinstance(each, str) else each
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    file = FOLDER / digest.hexdigest()
    try:
        outcome = zlib.decompress(file.read_bytes())
        os.utime(file)
    except (OSError, zlib.error):
        outcome = run()
        if keeps(outcome):
            _keep(file, outcome)
    return outcome


def _keep(file: Path, content: bytes) -> None:
    """In the place of what was not used for longest."""
    file.parent.mkdir(exist_ok=True)
    written = file.with_suffix(f".{os.getpid()}")
    written.write_bytes(zlib.compress(content, 1))
    written.rename(file)
    there = sorted(file.parent.iterdir(), key=_used)
    for old in there[: max(0, len(there) - MOST)]:
        old.unlink(missing_ok=True)


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another worker has removed it
        return 0.0


@cache
def emulator() -> bytes:
    """Digest of the emulator: of its sources, its modules' versions and Node.js."""
    source = Path(os.environ[VARIABLE]).parent
    node = Path(shutil.which("node") or "/").resolve()
    return hashlib.sha256(sources(source) + str((node, node.stat().st_size, node.stat().st_mtime_ns)).encode()).digest()


@cache
def sources(*folders: Path) -> bytes:
    """Digest of the files that lie in these folders, tests left out: no run reads them."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("test_"):
                digest.update(hashlib.sha256(path.name.encode()).digest() + hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()
