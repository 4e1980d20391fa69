"""Single functions of an image on the emulated chip, with chosen memory: results, exact cycles, stack, registers.

For tests and measurements of what Python on the board cannot reach. Addresses are those of image.json; what a call
means on the side of the emulator is in call.mjs.
"""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tools.emulator.program import EmulatorError, command

RAM = 0x20000000
SCRATCH = 0x20030000  # RAM that nothing uses before MicroPython starts: its heap, 60 KiB up to the stack


@dataclass(frozen=True)
class Call:
    """A call by name, or of what was written to an address; words beyond the fourth go onto the stack. write: (address,
    bytes); read: (address, length)."""

    function: str | int
    arguments: tuple[int, ...] = ()
    write: tuple[tuple[int, bytes], ...] = ()
    read: tuple[tuple[int, int], ...] = ()
    trace: bool = False

    def traced(self) -> "Call":
        """The same call, with code_bytes in its answer."""
        return replace(self, trace=True)


@dataclass(frozen=True)
class Answer:
    """r0, the cycles, how far the stack went down in bytes, and which of r4 to r11 and sp were not kept.

    code_bytes, if the call was traced: how much flash it ran from, in lines of the cache.
    """

    result: int
    cycles: int
    stack: int
    changed: tuple[str, ...]
    read: tuple[bytes, ...] = ()
    code_bytes: int = 0


def curve_functions(image: Path) -> dict[str, dict[str, int]]:
    """What image.json says of an image's functions: address and bytes, by name."""
    functions: dict[str, dict[str, int]] = json.loads((image.parent / "image.json").read_text())["curve"]
    return functions


def call(image: Path, calls: Iterable[Call]) -> list[Answer]:
    """Runs the calls, one after the other, on a board that has just reached main(). EmulatorError if one fails."""
    functions = curve_functions(image)
    addresses = {name: each["address"] for name, each in functions.items()}
    lines = [
        _line(addresses[each.function] if isinstance(each.function, str) else each.function, each) for each in calls
    ]
    program = command(image, str(functions["main"]["address"]), program="call.mjs")
    done = subprocess.run(program, input="\n".join(lines), capture_output=True, text=True)
    if done.returncode:
        raise EmulatorError(f"the calls failed: {done.stderr.strip()}")
    return [_answer(line) for line in done.stdout.splitlines()]


def _line(address: int, each: Call) -> str:
    return json.dumps(
        {
            "function": address,
            "arguments": each.arguments,
            "write": [(pointer, content.hex()) for pointer, content in each.write],
            "read": each.read,
            "trace": each.trace,
        }
    )


def _answer(line: str) -> Answer:
    found = json.loads(line)
    read = tuple(bytes.fromhex(text) for text in found["read"])
    return Answer(found["result"], found["cycles"], found["stack"], tuple(found["changed"]), read, found["code"])
