"""Builds the image of a board (`make image BOARD=…`) into build/<BOARD>/: firmware.uf2, firmware.bin,
bundle.bin (RP2: an update in service) or slot.bin (ESP32: the same), and image.json.

Usage: python -m tools.build.image BOARD [--output FOLDER] [--work FOLDER] [--freeze MANIFEST] [--library-field]
                                     [--again]

  --output   instead of build/<BOARD>
  --work     where to compile (default: beside the virtual environment); nothing of its name reaches the image
  --freeze   freeze this manifest's modules too: a development image, which may hold tests; build/<BOARD>-development
  --library-field   with the libraries' own field, AES and SHA-256, to compare; build/<BOARD>-library-field
  --again    even if the same content was built before, here or in another tree

MICROPY_DIR names a MicroPython with its submodules, for boards that need parts that no package has. Owns the order of
the steps and image.json. Leaves to others: how MicroPython is built (micropython.sh), what is frozen (boards.py), what
may not be frozen (image_guard.py), what boards with a chip of Espressif need besides, with IDF_PATH (esp_idf.py).
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tessera.firmware import digest_of_files
from tools.build import boards, bundle, esp_idf, image_guard
from tools.build.boards import ROOT, Board, BoardError

HERE = Path(__file__).resolve().parent
STATE = Path(sys.prefix).parent
BUILT = STATE.parent / "images"  # finished images by their content, of all trees
KEPT = 8
SUBMODULES = {
    "rp2": ("cyw43-driver", "lwip", "mbedtls", "micropython-lib", "pico-sdk", "tinyusb"),
    "esp32": ("berkeley-db-1.xx", "micropython-lib", "tinyusb"),
}
_NO_SETTINGS = (".py", ".pyi", ".md")
ARTIFACTS = ("firmware.*", "bundle.bin", "slot.bin")
UF2_FAMILIES = {"rp2040": "0xe48bff56", "rp2350": "0xe48bff59"}  # 2350: ARM, secure
FLASH_ADDRESS = 0x10000000
FLASH_SECTIONS = (".boot2", ".text", ".rodata", ".binary_info", ".data", ".ram_vector_table")

# Of the linker's map: whose an object is, by its path. The first that matches counts.
PARTS = (
    ("frozen modules", r"/frozen_content\.c"),
    ("AES and SHA-256", r"/modules/(aes|sha256)/|/(aes_rp2040|sha256_m0)\.s|/mbedtls/library/(aes|sha256)\.c"),
    ("libsecp256k1 and its module", r"/firmware/modules/|usermod_secp256k1|/field_m0\.s"),
    ("lwIP", r"/lwip/"),
    ("mbedTLS", r"/mbedtls/"),
    ("TinyUSB", r"/tinyusb/"),
    ("radio driver", r"cyw43"),
    ("file systems", r"/lib/(littlefs|oofatfs)/"),
    ("Pico SDK", r"pico-sdk|/boot2|/bs2_"),
    ("C library", r"/lib[a-z_]+\.a\("),
    ("MicroPython", r""),
)


# --- What goes in ----------------------------------------------------------------------------------------------------


def micropython_tree(board: Board) -> Path:
    """MicroPython's source for this board; BoardError that says what to give if packages do not suffice."""
    given = os.environ.get("MICROPY_DIR")
    if board.name != "RPI_PICO" and not given:
        missing = "the cyw43 driver with its firmware" if board.port == "rp2" else "ESP-IDF"
        raise BoardError(
            f"{board.name} needs {missing}, which is in no package: give MICROPY_DIR=, a checkout of MicroPython "
            f"{boards.micropython_version()} with its submodules"
            + ("" if board.port == "rp2" else f", and IDF_PATH=, {esp_idf.WANTED}")
        )
    tree = Path(given).resolve() if given else boards.programs()[0]
    if given:
        check_checkout(board, tree)
    if board.port == "esp32":
        esp_idf.check(board, tree)
    return tree


def check_checkout(board: Board, tree: Path) -> None:
    """Raises BoardError if it is not the MicroPython that bundles rely on, or lacks submodules of the port."""
    wanted, header = boards.micropython_version(), tree / "py" / "mpconfig.h"
    if not (tree / "tools" / "manifestfile.py").exists() or not header.exists():
        raise BoardError(f"MICROPY_DIR: there is no MicroPython in {tree}")
    numbers = dict(re.findall(r"^#define MICROPY_VERSION_(\w+) (\d+)$", header.read_text(), re.MULTILINE))
    found = ".".join(numbers.get(part, "?") for part in ("MAJOR", "MINOR", "MICRO"))
    found += "-preview" if numbers.get("PRERELEASE", "0") != "0" else ""
    if found != wanted:
        raise BoardError(
            f"MICROPY_DIR: {tree} is MicroPython {found}, and images are made of {wanted}, as updates in service rely "
            f"on it: git -C {tree} checkout v{wanted}"
        )
    missing = [f"lib/{name}" for name in SUBMODULES[board.port] if not any((tree / "lib" / name).glob("*"))]
    if missing:
        raise BoardError(
            f"MICROPY_DIR: {tree} lacks {', '.join(missing)}: git -C {tree} submodule update --init {' '.join(missing)}"
        )


def add_manifest(manifest: Path, extra: Path) -> None:
    """Let a staged manifest freeze what another one does."""
    with manifest.open("a") as file:
        file.write(f'include("{extra.resolve()}")\n')


def content_key(board: Board, stage: Path, extra: list[Path], tree: Path) -> str:
    """A digest of all that decides what the image is: two builds of one key are the same."""
    # The toolchain and its sources are micropython.sh's: the set-up made them from exactly this content.
    files = [HERE / name for name in ("image.py", "boards.py", "bundle.py", "image_guard.py", "micropython.sh")]
    staged = sorted(path for path in stage.rglob("*") if path.is_file())
    given = describe(tree) or str(tree) if os.environ.get("MICROPY_DIR") else ""
    given += esp_idf.version() if board.port == "esp32" else ""
    return digest_of([*staged, *extra, *files], stage, given)


def digest_of(files: list[Path], stage: Path, rest: str = "") -> str:
    """Of names and contents, in this order; what is staged goes by its path there."""
    digest = hashlib.sha256()
    for path in files:
        name = str(path.relative_to(stage) if path.is_relative_to(stage) else path.name).encode()
        digest.update(b"%d %s %d " % (len(name), name, path.stat().st_size) + path.read_bytes())
    digest.update(rest.encode())
    return digest.hexdigest()


def describe(tree: Path) -> str:
    """The state of a git checkout; "" if the folder is not a checkout."""
    trusted = f"safe.directory={tree}"  # git reads nothing of another user's checkout without it
    command = ["git", "-c", trusted, "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 and (tree / ".git").exists() else ""


# --- Building --------------------------------------------------------------------------------------------------------


def forget_other_configuration(stage: Path, tree: Path, build: Path) -> None:
    """Remove a build that was made with other settings, C modules or another MicroPython. The makefiles rebuild changed
    sources only, and do not notice that a setting in a header changes the list of names."""
    configured = build.parent / "configuration"
    settings = sorted(path for path in stage.rglob("*") if path.is_file() and path.suffix not in _NO_SETTINGS)
    key = f"{digest_of([*settings, HERE / 'micropython.sh'], stage)} {tree}"
    if not configured.exists() or configured.read_text() != key:
        shutil.rmtree(build, ignore_errors=True)
        configured.write_text(key)


def compile_image(board: Board, tree: Path, manifest: Path, build: Path) -> None:
    """Run MicroPython's own build; its output goes to a log that is shown if it fails."""
    log = build.parent / "build.log"
    cache = boards.programs()[0].parent
    command = ["bash", HERE / "micropython.sh", board.port, cache, manifest.parent, manifest, build]
    given = {"MICROPY_DIR": str(tree)} if os.environ.get("MICROPY_DIR") else {}
    with log.open("w") as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **given}
        )
    if done.returncode:
        print("".join(f"  | {line}\n" for line in log.read_text(errors="replace").splitlines()[-30:]), file=sys.stderr)
        raise BoardError(f"{board.name}: the build failed (whole log: {log})")


def make_uf2(board: Board, tree: Path, binary: Path, output: Path) -> None:
    command = [sys.executable, tree / "tools" / "uf2conv.py", "--family", UF2_FAMILIES[board.mcu]]
    subprocess.run(
        [*command, "--base", hex(FLASH_ADDRESS), "-c", "-o", output, binary], check=True, capture_output=True
    )


# --- image.json ------------------------------------------------------------------------------------------------------


def part_sizes(map_file: Path) -> dict[str, int]:
    """Bytes of flash by the part they belong to, from the linker's map; what the sum lacks is alignment."""
    text = map_file.read_text(errors="replace")
    text = text[text.index("Linker script and memory map") :]
    sizes: Counter[str] = Counter()
    in_flash, end, limit = False, 0, 0
    # An output section is ".name  0xaddress  0xsize", an input section " .name  0xaddress  0xsize  file", with a line
    # break after a long name.
    numbers = r"\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)"
    pattern = re.compile(rf"^(\.\S+){numbers}|^ (?:\S+)?{numbers} (\S.*)$", re.MULTILINE)
    for found in pattern.finditer(text):
        if found[1]:
            in_flash, end, limit = found[1] in FLASH_SECTIONS, 0, int(found[2], 16) + int(found[3], 16)
        elif in_flash and int(found[4], 16):
            start = int(found[4], 16)
            # Strings that several objects share lie over each other: they are the first one's, which may seem to have
            # more than the section.
            stop = min(limit, start + int(found[5], 16))
            sizes[next(part for part, path in PARTS if re.search(path, found[6]))] += max(0, stop - max(start, end))
            end = max(end, stop)
    return dict(sizes.most_common())


def symbols(elf: Path) -> dict[str, tuple[int, int]]:
    """Address and size of every function and variable; 0 for the size of what has none."""
    listing = subprocess.run(["arm-none-eabi-nm", "-S", elf], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return {row[-1]: (int(row[0], 16), int(row[1], 16) if len(row) == 4 else 0) for row in rows if len(row) >= 3}


def heap_bytes(found: dict[str, tuple[int, int]]) -> int:
    """RAM that is left for MicroPython's heap."""
    return found["__GcHeapEnd"][0] - found["__GcHeapStart"][0]


def curve_functions(found: dict[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    """Where the code of curve and ciphers is, and main(): tools/emulator/calls.py calls single functions."""
    named = re.compile(
        r"main|tessera_(m0|rp2040|aes|sha256|fe|gej|scalar)_\w+|(mod)?secp256k1_\w+|prepared_key_\w+|mbedtls_(aes|internal)_\w+"
    )
    return {
        name: {"address": address, "bytes": size}
        for name, (address, size) in sorted(found.items())
        if named.fullmatch(name)
    }


def versions(board: Board, tree: Path) -> dict[str, str]:
    """Of every source and of the compiler, as the packages name them."""
    found = {"tessera-relay": describe(ROOT) or "unknown"}
    if os.environ.get("MICROPY_DIR"):
        found["micropython"] = describe(tree)
    else:
        cache = tree.parent
        for package in [
            *cache.glob("download/*.dsc"),
            *cache.glob("rp2-download/*/*.dsc"),
            *cache.glob("rp2-download/*/*.deb"),
        ]:
            name, version = package.stem.split("_")[:2]
            found[name] = version.replace("%3a", ":")
    if board.port == "esp32":
        found["esp-idf"] = esp_idf.version()
    if compiler := shutil.which(esp_idf.COMPILERS.get(board.mcu, "arm-none-eabi-gcc")):
        found["gcc"] = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    return dict(sorted(found.items()))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe_image(board: Board, tree: Path, work: Path, output: Path, frozen: list[str], development: bool) -> dict:
    """The content of image.json."""
    build, core = work / "build", work / "stage" / "firmware" / "tessera"
    binary = output / "firmware.bin"
    # An ESP32's image begins with boot loader and partition table, in front of the partition for code.
    size = board.image_offset + binary.stat().st_size - board.code.offset
    if size > board.code.length:
        raise BoardError(f"{board.name}: the code has {size} bytes, its partition {board.code.length}")
    modules = {name: (build / "frozen_mpy" / name).with_suffix(".mpy") for name in frozen}
    described = {
        "board": board.name,
        "development": development,
        "version": boards.version(core),
        "firmware_digest": digest_of_files(str(core)).hex(),
        "base": boards.base(board, core.parent).hex(),
        "versions": versions(board, tree),
        "image": {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(output.glob("*.*"))
        },
        "flash": {
            "bytes": board.flash_bytes,
            "code_bytes": board.code.length,
            "code_free_bytes": board.code.length - size,
            "partitions": {p.name: {"offset": p.offset, "bytes": p.length} for p in board.partitions.values()},
        },
        "frozen": {
            name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for name, path in sorted(modules.items())
            if path.exists()
        },
    }
    if board.port == "rp2":
        described["parts"] = part_sizes(build / "firmware.elf.map")
        found = symbols(build / "firmware.elf")
        described["heap_bytes"] = heap_bytes(found)
        described["curve"] = curve_functions(found)
    return described


# --- The steps -------------------------------------------------------------------------------------------------------


def choose_library_field(stage: Path) -> None:
    """Tell the modules' micropython.cmake and rp2.cmake, which include this file if there is one."""
    (stage / "firmware" / "modules" / "library_field.cmake").write_text("set(TESSERA_LIBRARY_FIELD ON)\n")


def make_image(
    board: Board, output: Path, work: Path, extra: list[Path], again: bool = False, library_field: bool = False
) -> str:
    """Build what is not built yet; a line about the image."""
    boards.check_partitions(board)
    tree = micropython_tree(board)
    stage, build = work / "stage", work / "build"
    manifest = boards.stage(board, stage)
    if library_field:
        choose_library_field(stage)
    for path in extra:
        add_manifest(manifest, path)
    modules = boards.frozen_modules(board, manifest, tree)
    if not extra:
        image_guard.check_modules([(name, source) for name, source, _ in modules])
    sources = [source for _, source, _ in modules if not source.is_relative_to(stage)]
    key = content_key(board, stage, sources, tree)
    stamp = output / "image.json"
    if not again and is_made_of(key, output):
        renew_versions(stamp, board, tree)
        return f"{board.name}: {output / 'firmware.bin'} is up to date"
    finished = work / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    if not again and is_made_of(key, BUILT / key):
        shutil.copytree(BUILT / key, finished)
        renew_versions(finished / "image.json", board, tree)
        put_in_place(finished, output)
        return f"{board.name}: {output} has an image that was built earlier from the same sources"
    finished.mkdir(parents=True)
    forget_other_configuration(stage, tree, build)
    compile_image(board, tree, manifest, build)
    shutil.copyfile(build / "firmware.bin", finished / "firmware.bin")
    if not extra:
        image_guard.check_bytes((finished / "firmware.bin").read_bytes(), "the image")
    if board.port == "rp2":
        make_uf2(board, tree, finished / "firmware.bin", finished / "firmware.uf2")
        (finished / "bundle.bin").write_bytes(bundle.make(board, modules, boards.programs()[1]))
    else:
        shutil.copyfile(build / "micropython.bin", finished / "slot.bin")
    development = bool(extra) or library_field
    described = describe_image(board, tree, work, finished, [name for name, _, _ in modules], development)
    write_description({**described, "content": key}, finished / "image.json")
    keep(finished, key)
    put_in_place(finished, output)
    flash = described["flash"]
    used = flash["code_bytes"] - flash["code_free_bytes"]
    return f"{board.name}: {output} has a new image: {used} bytes, {flash['code_free_bytes']} free"


def put_in_place(finished: Path, output: Path) -> None:
    """Replace file by file, image.json last, so that a program that uses the image meanwhile finds every file."""
    output.mkdir(parents=True, exist_ok=True)
    names = sorted((path.name for path in finished.iterdir()), key=lambda name: (name == "image.json", name))
    for name in names:
        replace(output / name, (finished / name).read_bytes())
    shutil.rmtree(finished)


def keep(finished: Path, key: str) -> None:
    """Put a finished image where other trees find it; the oldest ones make room."""
    copy = BUILT / f"{key}.{os.getpid()}"
    shutil.copytree(finished, copy)
    shutil.rmtree(BUILT / key, ignore_errors=True)
    copy.rename(BUILT / key)
    for old in sorted(BUILT.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def write_description(described: dict, path: Path) -> None:
    replace(path, (json.dumps(described, indent=2) + "\n").encode())


def renew_versions(path: Path, board: Board, tree: Path) -> None:
    """In the description of an image that was made: the same content may by now be another commit's."""
    write_description({**json.loads(path.read_text()), "versions": versions(board, tree)}, path)


def replace(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader gets the old content or the new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def is_made_of(key: str, output: Path) -> bool:
    """Whether the finished image of this content is there, its files still what image.json says."""
    if not (output / "image.json").exists():
        return False
    described = json.loads((output / "image.json").read_text())
    files = described["image"]
    return described["content"] == key and all(
        (output / name).exists() and sha256(output / name) == file["sha256"] for name, file in files.items()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the image of a board.")
    parser.add_argument("board")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--freeze", type=Path, action="append", default=[])
    parser.add_argument("--library-field", action="store_true")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.board + ("-development" if arguments.freeze else "")
    folder += "-library-field" if arguments.library_field else ""
    output = arguments.output or ROOT / "build" / folder
    work = arguments.work or STATE / "image" / folder
    if arguments.board == "RPI_PICO":
        os.environ.pop("MICROPY_DIR", None)  # all that it needs is in packages, also beside an image that needs more
    try:
        board = boards.read_board(arguments.board)
        where = output.resolve(), work.resolve()
        print(make_image(board, *where, arguments.freeze, arguments.again, arguments.library_field))
    except (BoardError, image_guard.ForbiddenContent) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
