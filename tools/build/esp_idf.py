"""What a build for a chip of Espressif needs besides MicroPython: an ESP-IDF that is set up, and components of a
registry.

Owns the checks before such a build, and what they print. It can be imported without an ESP-IDF.
"""

import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tools.build.boards import Board, BoardError, micropython_version

# What MicroPython 1.25 says it is built with (ports/esp32/README.md), and what its makers build it with (tools/ci.sh).
VERSIONS = ("5.2", "5.3", "5.4")
RECOMMENDED = "5.2.2"
WANTED = f"an ESP-IDF {RECOMMENDED} that is set up (install.sh, then export.sh in this shell)"

COMPILERS = {"esp32": "xtensa-esp32-elf-gcc", "esp32s3": "xtensa-esp32s3-elf-gcc", "esp32c3": "riscv32-esp-elf-gcc"}

REGISTRY = "IDF_COMPONENT_REGISTRY_URL"  # the ESP-IDF's own variable, for another registry than the one it knows
PATIENCE_SECONDS = 20


def version() -> str:
    """The version of the ESP-IDF in IDF_PATH, like "5.2.2"; "" without an ESP-IDF."""
    try:
        text = Path(os.environ["IDF_PATH"], "tools", "cmake", "version.cmake").read_text()
    except (KeyError, OSError):
        return ""
    numbers = dict(re.findall(r"^set\(IDF_VERSION_(MAJOR|MINOR|PATCH) (\d+)\)", text, re.MULTILINE))
    return ".".join(numbers.get(part, "?") for part in ("MAJOR", "MINOR", "PATCH"))


def check(board: Board, micropython: Path) -> None:
    """Says what a build of the board uses and fetches; BoardError if something of that is missing."""
    given, found = os.environ.get("IDF_PATH", ""), version()
    if not given:
        raise BoardError(f"{board.name} needs IDF_PATH=, {WANTED}")
    if not found:
        raise BoardError(f"IDF_PATH: there is no ESP-IDF in {given}: {board.name} needs {WANTED}")
    if found.rpartition(".")[0] not in VERSIONS:
        raise BoardError(
            f"IDF_PATH: {given} is ESP-IDF {found}, and MicroPython {micropython_version()} is built with "
            f"{', '.join(VERSIONS)}: git -C {given} checkout v{RECOMMENDED}, then its install.sh and export.sh"
        )
    missing = [program for program in ("idf.py", COMPILERS[board.mcu]) if not shutil.which(program)]
    if missing:
        raise BoardError(
            f"{board.name} needs {' and '.join(missing)} in PATH: {given}/install.sh {board.mcu}, then "
            f"`. {given}/export.sh` in this shell"
        )
    print(f"image: {board.name} is built with ESP-IDF {found} of {given}", file=sys.stderr)
    check_components(board, micropython / "ports" / "esp32")


def check_components(board: Board, port: Path) -> None:
    """Components that no checkout has (mDNS; on an S3 TinyUSB's) are fetched by the build itself, the first time."""
    if any((port / "managed_components").glob("*mdns*")):
        return
    url = os.environ.get(REGISTRY, "")
    where = f" ({REGISTRY}: {url})" if url else ""
    print(
        f"image: its first build fetches from ESP-IDF's component registry{where}, over the internet", file=sys.stderr
    )
    why = why_no_answer(url) if url else ""
    if why:
        raise BoardError(
            f"{board.name}: the build fetches components from {url}, which cannot be reached ({why}): connect this "
            f"computer to it, or set HTTPS_PROXY, or unset {REGISTRY}"
        )


def why_no_answer(url: str) -> str:
    """Why nobody answers there, "" if somebody does, whatever the answer. By HTTPS_PROXY where that is set."""
    try:
        urllib.request.urlopen(url, timeout=PATIENCE_SECONDS).close()
    except urllib.error.HTTPError:
        pass
    except OSError as error:
        return str(getattr(error, "reason", error))
    return ""
