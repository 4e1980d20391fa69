"""One program on the board in deterministic mode: no socket, no host time; two runs are equal in cycles and flash."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.emulator.program import Cut, EmulatorError, command
from tools.emulator.wifi import Radio

DONE, EXCEPTION, CRASH, RESET, POWER_CUT, TIME_OVER = 0, 1, 3, 75, 76, 77
HOST_SECONDS = 3600


@dataclass(frozen=True)
class Execution:
    """How it went: the emulator's exit status, what the program printed, its traceback, and the counters."""

    status: int
    output: str
    errors: str
    cycles: int
    instructions: int
    flash_operations: int


def execute(
    image: Path,
    flash: Path,
    program: Path,
    *,
    cut: Cut | None = None,
    seed: int = 1,
    guest_seconds: float | None = None,
    radio: Radio | None = None,
    host_seconds: float = HOST_SECONDS,
) -> Execution:
    """Boots the image on the flash file and runs the program (a file; script.mjs) at the raw prompt.

    A power cut or the end of guest_seconds is an outcome (status 76, 77), not an error. EmulatorError if the
    emulator itself fails or takes more than host_seconds.
    """
    options: list[str | Path] = ["--flash", flash, "--exec", program, "--seed", str(seed), "--stats"]
    if cut:
        options += cut.options()
    if radio:
        options += radio.options()
    if guest_seconds is not None:
        options += ["--max-seconds", str(guest_seconds)]
    try:
        process = subprocess.run(
            command(image, *options), stdin=subprocess.DEVNULL, capture_output=True, timeout=host_seconds
        )
    except subprocess.TimeoutExpired:
        raise EmulatorError(f"no end of {program.name} after {host_seconds} s") from None
    return read_outcome(process.returncode, process.stdout, process.stderr)


def read_outcome(status: int, output: bytes, errors: bytes) -> Execution:
    """The counters are the last line of the errors."""
    *lines, last = errors.decode(errors="replace").rstrip("\n").split("\n")
    try:
        # What a program prints without an end of line stands before the counters.
        counters = json.loads(last[last.rindex('{"status"') :])
    except ValueError:
        raise EmulatorError(f"the emulator ended with status {status}: {last}") from None
    lines.append(last[: last.rindex('{"status"')])
    return Execution(
        status,
        output.decode(errors="replace").replace("\r\n", "\n"),
        "\n".join(lines).replace("\r\n", "\n"),
        counters["cycles"],
        counters["instructions"],
        counters["flash_operations"],
    )
