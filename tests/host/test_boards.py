"""Board folders: partition tables that overlap or disagree are refused, and so is what may not be in an image."""

import ast
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tessera.nor import SECTOR_BYTES
from tessera_host.planning.boards import BOARDS
from tools.build import boards, esp_idf, image, image_guard

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = "# Name, Type, SubType, Offset, Size\n"


@pytest.fixture
def change(tmp_path):
    """change(board, file, old, new): the board after one edit of one of its files."""

    def edit(name, file, old, new):
        shutil.copytree(ROOT / "boards" / name, tmp_path / name)
        text = (tmp_path / name / file).read_text()
        assert text.count(old) == 1
        (tmp_path / name / file).write_text(text.replace(old, new))
        return boards.read_board(name, tmp_path)

    return edit


def refused(board):
    with pytest.raises(boards.BoardError) as caught:
        boards.check_partitions(board)
    return str(caught.value)


@pytest.mark.parametrize("name", boards.names())
def test_every_board_is_sound_and_has_the_rings_that_plans_are_made_with(name):
    board = boards.read_board(name)
    boards.check_partitions(board)
    assert board.partitions["ring"].length == BOARDS[name].ring_sectors * SECTOR_BYTES
    assert board.partitions["keyring"].length == BOARDS[name].keyring_sectors * SECTOR_BYTES


@pytest.mark.parametrize("name", boards.names())
def test_a_board_has_the_clocks_that_its_relays_may_ask_for(name):
    """The RP2040 alone has two, and its image begins with the one that is there for who asks for none."""
    folder, clocks = ROOT / "boards" / name, BOARDS[name].mhz
    said = re.search(r"^MHZ = (\(.*?\))", (folder / "board.py").read_text(), re.MULTILINE)
    fastest = "/../clock200.c" in (folder / "mpconfigboard.cmake").read_text()
    assert ast.literal_eval(said[1]) == clocks == (200, 125) if fastest else not said and not clocks
    assert fastest == (BOARDS[name].mcu == "rp2040")


def test_planning_knows_these_boards_and_a_server():
    assert set(boards.names()) == set(BOARDS) - {"GATEWAY"}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("partitions.csv", "0x128000, 32K", "0x127000, 32K", "'keyring' begins before 'littlefs' ends"),
        (
            "partitions.csv",
            "0x128000, 32K",
            "0x128000, 28K",
            "partition 'keyring' has 7 sectors, planning.boards says 8",
        ),
        ("partitions.csv", "0x130000, 832K", "0x130000, 836K", "ends behind the flash"),
        (
            "partitions.csv",
            "0x130000, 832K",
            "0x130000, 828K",
            "partition 'ring' has 207 sectors, planning.boards says 208",
        ),
        ("partitions.csv", "0x0,      832K", "0x800,    830K", "'code' is not in whole units of 4096 bytes"),
        ("partitions.csv", "0x100000, 160K", "0x100000, 156K", "do not follow each other"),
        ("partitions.csv", "keyring, ", "keys,    ", "no partition 'keyring'"),
        ("partitions.csv", "bundle_b, ", "bundle_c, ", "no partition 'bundle_b'"),
        ("partitions.csv", "0xd0000,  96K", "0xd0000,  92K", "do not follow each other"),
        ("mpconfigboard.h", "(1216 * 1024)", "(1408 * 1024)", "MICROPY_HW_FLASH_STORAGE_BYTES to (1216 * 1024)"),
    ],
)
def test_a_wrong_rp2_table_is_refused(change, file, old, new, words):
    assert words in refused(change("RPI_PICO", file, old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("partitions.csv", "0x190000, 1536K", "0x191000, 1532K", "'ota_1' is not in whole units of 65536 bytes"),
        ("partitions.csv", "0x9000,   16K", "0x8000,   16K", "overlaps the boot loader"),
        ("partitions.csv", "0x340000, 768K", "0x340000, 772K", "ends behind the flash"),
        ("sdkconfig.board", "FLASHSIZE_4MB=y", "FLASHSIZE_8MB=y", "does not set a flash of 4 MB"),
        ("board.json", '"0x1000"', '"0"', "flash_offset is 0x0 in board.json, 0x1000 in"),
        ("board.json", '"esp32"', '"esp32s3"', "mcu is 'esp32s3' in board.json, 'esp32' in planning.boards"),
        ("partitions.csv", "app,  ota_0,", "app,  factory,", "ota_0 before ota_1"),
        ("partitions.csv", "data, ota, ", "data, 0x42,", "must have otadata"),
    ],
)
def test_a_wrong_esp32_table_is_refused(change, file, old, new, words):
    assert words in refused(change("ESP32_GENERIC", file, old, new))


def test_a_line_that_is_no_partition_is_named(tmp_path):
    (tmp_path / "partitions.csv").write_text(TABLE + "code, app, factory, 0x0\n")
    with pytest.raises(boards.BoardError, match="line 2"):
        boards.read_partitions(tmp_path / "partitions.csv")


@pytest.mark.parametrize(
    ("name", "before_code"), [("RPI_PICO2_W", 0), ("ESP32_GENERIC", 0xF000), ("ESP32_GENERIC_S3", 0x10000)]
)
def test_an_image_may_fill_its_code_partition_and_no_more(name, before_code, tmp_path, monkeypatch):
    board = boards.read_board(name)
    boards.stage(board, tmp_path / "stage")
    monkeypatch.setattr(image, "part_sizes", lambda path: {})
    monkeypatch.setattr(image, "symbols", lambda elf: {"__GcHeapStart": (0, 0), "__GcHeapEnd": (0, 0)})
    binary = tmp_path / "firmware.bin"
    binary.write_bytes(bytes(before_code + board.code.length))
    described = image.describe_image(board, tmp_path, tmp_path, tmp_path, [], False)
    assert described["flash"]["code_free_bytes"] == 0
    binary.write_bytes(bytes(before_code + board.code.length + 1))
    with pytest.raises(boards.BoardError, match="its partition"):
        image.describe_image(board, tmp_path, tmp_path, tmp_path, [], False)


def test_an_image_without_room_is_refused():
    board = boards.read_board("RPI_PICO")
    free = boards.check_room(board, 0)
    assert boards.check_room(board, free) == 0
    with pytest.raises(boards.BoardError, match="too large"):
        boards.check_room(board, free + 1)


def test_the_firmware_gets_the_partitions_and_the_digest_of_what_is_frozen(tmp_path):
    board = boards.read_board("RPI_PICO")
    boards.stage(board, tmp_path / "stage")
    told = {}
    exec((tmp_path / "stage" / "firmware" / "tessera_build.py").read_text(), told)
    assert told["BOARD"] == "RPI_PICO"
    assert told["PARTITIONS"] == {
        "bundle_a": (0xD0000, 96 * 1024),
        "bundle_b": (0xE8000, 96 * 1024),
        "littlefs": (0x100000, 160 * 1024),
        "keyring": (0x128000, 32 * 1024),
        "ring": (0x130000, 832 * 1024),
    }
    core = tmp_path / "stage" / "firmware" / "tessera"
    before = told["FIRMWARE_DIGEST"]
    (core / "page.py").write_text((core / "page.py").read_text() + "\n")
    exec(boards.build_module(board, core), told)
    assert told["FIRMWARE_DIGEST"] != before


@pytest.mark.parametrize("name", boards.names())
def test_a_board_freezes_the_core_and_one_network(name, tmp_path):
    board = boards.read_board(name)
    modules = boards.frozen_modules(board, boards.stage(board, tmp_path / "stage"), boards.programs()[0])
    names = [name for name, _, _ in modules]
    core = {f"tessera/{path.name}" for path in (ROOT / "firmware" / "tessera").glob("*.py")}
    only_computers = ("curve_coincurve", "filedevice", "ownership", "runtime_cpython")
    assert core - set(names) == {f"tessera/{name}.py" for name in only_computers}
    assert {"_boot.py", "boot.py", "main.py", "board.py", "tessera_build.py"} <= set(names)
    assert len({"device/ppp.py", "device/wlan.py", "device/lan.py"} & set(names)) == 1
    assert len(names) == len(set(names))
    image_guard.check_modules([(name, source) for name, source, _ in modules])


def test_the_order_of_frozen_modules_is_not_the_folders(tmp_path):
    board = boards.read_board("RPI_PICO")
    modules = boards.frozen_modules(board, boards.stage(board, tmp_path / "stage"), boards.programs()[0])
    names = [name for name, _, _ in modules if name.startswith("tessera/")]
    assert names == sorted(names)


# -- what may not be in an image


def test_a_test_module_cannot_be_frozen():
    with pytest.raises(image_guard.ForbiddenContent, match="part of the tests"):
        image_guard.check_modules([("office.py", ROOT / "tests" / "core" / "office.py")])
    with pytest.raises(image_guard.ForbiddenContent, match="part of the tests"):
        image_guard.check_modules([("dice.py", ROOT / "elsewhere" / "dice.py")])


def test_a_copy_of_test_keys_under_another_name_cannot_be_frozen(tmp_path):
    copy = tmp_path / "provision.py"
    copy.write_text('KEY = b"access key of the small office.."\n')
    with pytest.raises(image_guard.ForbiddenContent, match="ACCESS_KEY"):
        image_guard.check_modules([("provision.py", copy)])


@pytest.mark.parametrize("form", [bytes, lambda secret: secret.hex().encode()])
def test_a_binary_with_a_fixed_key_is_refused(form):
    secrets = image_guard.fixed_secrets()
    assert len(secrets) > 100
    for name, secret in secrets:
        with pytest.raises(image_guard.ForbiddenContent):
            image_guard.check_bytes(bytes(1000) + form(secret) + bytes(1000), name)
    image_guard.check_bytes(bytes(range(256)) * 10, "a binary without")


def test_a_binary_that_lists_a_test_module_is_refused():
    with pytest.raises(image_guard.ForbiddenContent, match=r"office\.py"):
        image_guard.check_bytes(b"\0main.py\0office.py\0boot.py\0", "a binary")


def test_a_manifest_with_tests_stops_the_build_before_it_begins(tmp_path, monkeypatch):
    board = boards.read_board("RPI_PICO")
    stage = boards.stage

    def with_tests(board, folder):
        manifest = stage(board, folder)
        image.add_manifest(manifest, tmp_path / "extra.py")
        return manifest

    (tmp_path / "extra.py").write_text(f'module("office.py", base_path={str(ROOT / "tests" / "core")!r})\n')
    monkeypatch.setattr(boards, "stage", with_tests)
    monkeypatch.setattr(image, "compile_image", lambda *_: pytest.fail("built"))
    with pytest.raises(image_guard.ForbiddenContent, match="office"):
        image.make_image(board, tmp_path / "out", tmp_path / "work", [], again=True)


@pytest.mark.parametrize(
    ("name", "words"), [("RPI_PICO_W", "cyw43"), ("RPI_PICO2_W", "MICROPY_DIR="), ("ESP32_GENERIC", "IDF_PATH=")]
)
def test_a_board_that_no_package_can_build_says_what_to_give(name, words, monkeypatch):
    monkeypatch.delenv("MICROPY_DIR", raising=False)
    with pytest.raises(boards.BoardError, match=re.escape(words)):
        image.micropython_tree(boards.read_board(name))


def a_checkout(folder: Path, version: str = "", prerelease: int = 0, lacks: str = "") -> Path:
    """What of a checkout of MicroPython is looked at, of the version that images are made of if not told another."""
    numbers = zip(("MAJOR", "MINOR", "MICRO"), (version or boards.micropython_version()).split("."), strict=True)
    lines = [f"#define MICROPY_VERSION_{part} {number}" for part, number in (*numbers, ("PRERELEASE", prerelease))]
    for name in ("py", "tools", *(f"lib/{name}" for name in image.SUBMODULES["rp2"])):
        (folder / name).mkdir(parents=True)
    (folder / "py" / "mpconfig.h").write_text("\n".join(lines))
    (folder / "tools" / "manifestfile.py").touch()
    for name in image.SUBMODULES["rp2"]:
        if name != lacks:
            (folder / "lib" / name / "LICENSE").touch()
    return folder


@pytest.mark.parametrize(
    ("checkout", "words"),
    [
        ({}, ""),
        ({"version": "1.24.1"}, "is MicroPython 1.24.1, and images are made of"),
        ({"prerelease": 1}, "-preview, and images are made of"),
        ({"lacks": "cyw43-driver"}, "submodule update --init lib/cyw43-driver"),
    ],
)
def test_a_checkout_is_of_the_version_that_bundles_rely_on_and_whole(checkout, words, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROPY_DIR", str(a_checkout(tmp_path, **checkout)))
    board = boards.read_board("RPI_PICO_W")
    if words:
        with pytest.raises(boards.BoardError, match=re.escape(words)):
            image.micropython_tree(board)
    else:
        assert image.micropython_tree(board) == tmp_path


def an_esp_idf(folder: Path, version: str = "5.2.2", lacks: str = "") -> Path:
    """What of an ESP-IDF is looked at, and in bin what its export.sh puts into PATH."""
    major, minor, patch = version.split(".")
    (folder / "tools" / "cmake").mkdir(parents=True)
    (folder / "tools" / "cmake" / "version.cmake").write_text(
        f"set(IDF_VERSION_MAJOR {major})\nset(IDF_VERSION_MINOR {minor})\nset(IDF_VERSION_PATCH {patch})\n"
    )
    (folder / "bin").mkdir()
    for name in {"idf.py", "riscv32-esp-elf-gcc"} - {lacks}:
        (folder / "bin" / name).write_text("")
        (folder / "bin" / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("idf", "reached", "words"),
    [
        ({}, True, ""),
        ({"version": "5.4.1"}, True, ""),
        ({"version": "5.0.5"}, True, "is ESP-IDF 5.0.5, and MicroPython 1.25.0 is built with 5.2, 5.3, 5.4: git -C"),
        ({"version": "5.10.0"}, True, "is ESP-IDF 5.10.0"),
        ({"lacks": "idf.py"}, True, "needs idf.py in PATH"),
        ({"lacks": "riscv32-esp-elf-gcc"}, True, "install.sh esp32c3"),
        ({}, False, "which cannot be reached (no such name): connect"),
    ],
)
def test_a_build_for_an_esp32_says_what_it_needs_before_it_starts(idf, reached, words, tmp_path, monkeypatch, capsys):
    board, port = boards.read_board("ESP32_GENERIC_C3"), tmp_path / "ports" / "esp32"
    folder = an_esp_idf(tmp_path / "esp-idf", **idf)
    monkeypatch.setenv("IDF_PATH", str(folder))
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setenv("IDF_COMPONENT_REGISTRY_URL", "https://components.example")
    monkeypatch.setattr(esp_idf, "why_no_answer", lambda url: "" if reached else "no such name")
    if words:
        with pytest.raises(boards.BoardError, match=re.escape(words)):
            esp_idf.check(board, tmp_path)
    else:
        esp_idf.check(board, tmp_path)
        said = capsys.readouterr().err
        assert (
            f"ESP-IDF {idf.get('version', '5.2.2')}" in said
            and "component registry (IDF_COMPONENT_REGISTRY_URL: https://components.example)" in said
        )
    if not reached:  # the one that the ESP-IDF knows is the build's business, and what was fetched before is enough
        monkeypatch.delenv("IDF_COMPONENT_REGISTRY_URL")
        esp_idf.check(board, tmp_path)
        assert "ESP-IDF's component registry, over the internet" in capsys.readouterr().err
        monkeypatch.setenv("IDF_COMPONENT_REGISTRY_URL", "https://components.example")
        (port / "managed_components" / "espressif__mdns").mkdir(parents=True)
        esp_idf.check(board, tmp_path)


def test_an_esp_idf_that_is_none_is_named(tmp_path, monkeypatch):
    board = boards.read_board("ESP32_GENERIC")
    monkeypatch.delenv("IDF_PATH", raising=False)
    with pytest.raises(boards.BoardError, match="needs IDF_PATH="):
        esp_idf.check(board, tmp_path)
    monkeypatch.setenv("IDF_PATH", str(tmp_path))
    with pytest.raises(boards.BoardError, match="there is no ESP-IDF in"):
        esp_idf.check(board, tmp_path)


def test_a_registry_that_does_not_answer_is_told_with_the_reason():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "refused" in esp_idf.why_no_answer(f"http://127.0.0.1:{port}")


def date_of(source: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "tools" / "build" / "micropython.sh"
    return subprocess.run(["bash", script, "date", source], capture_output=True, text=True)


def test_a_build_bears_the_date_of_the_commit_however_old_the_checkout_is(tmp_path: Path) -> None:
    """Two checkouts of one commit are one source: 16 April 2025 is when MicroPython 1.25.0 was committed."""
    committed = "1744727310"
    first, second = tmp_path / "first", tmp_path / "second"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@invalid", "-c", "commit.gpgsign=false"]
    dates = {"GIT_COMMITTER_DATE": f"{committed} +1000", "GIT_AUTHOR_DATE": "1000000000 +0000"}
    (a_checkout(first) / "lib" / "README").touch()
    subprocess.run(["git", "init", "-q", first], check=True)
    subprocess.run([*git, "-C", first, "add", "."], check=True)
    subprocess.run([*git, "-C", first, "commit", "-q", "-m", "x"], check=True, env={**os.environ, **dates})
    subprocess.run(["git", "clone", "-q", first, second], check=True)
    for tree, age in (first, 1_500_000_000), (second, 1_600_000_000):
        os.utime(tree / "py" / "mpconfig.h", (age, age))
        assert date_of(tree).stdout == f"{committed}\n"
    shutil.rmtree(second / ".git")
    assert date_of(second).stdout == "1600000000\n"  # the archive of a release
    shutil.rmtree(first / ".git" / "refs")
    damaged = date_of(first)
    assert damaged.returncode and not damaged.stdout  # and no other date in its place


def test_a_finished_image_takes_the_place_of_the_one_before_file_by_file(tmp_path: Path) -> None:
    """Who uses the image meanwhile misses no file, and image.json never speaks of files that are not there yet."""
    finished, output = tmp_path / "finished", tmp_path / "output"
    for folder, content in (finished, "new"), (output, "old"):
        folder.mkdir()
        for name in "image.json", "firmware.uf2":
            (folder / name).write_text(content)
    (output / "flash.bin").write_text("of somebody's emulated board")
    seen = []
    replace = Path.replace

    def watch(path: Path, target: Path) -> Path:
        there = {each.name: each.read_text() for each in output.iterdir() if not each.name.startswith(".")}
        seen.append(there)
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", watch)
        image.put_in_place(finished, output)
    kept = {"flash.bin": "of somebody's emulated board"}
    assert seen == [
        {"image.json": "old", "firmware.uf2": "old", **kept},
        {"image.json": "old", "firmware.uf2": "new", **kept},
    ]
    assert {each.name: each.read_text() for each in output.iterdir()} == {
        "image.json": "new",
        "firmware.uf2": "new",
        **kept,
    }
    assert not finished.exists()
