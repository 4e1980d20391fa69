"""The C modules as somebody has them who has nothing else of this repository: built by modules/example, then run."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.kept_runs import call
from tools.build.field_programs import library
from tools.build.image import symbols
from tools.emulator.calls import RAM, Call

MODULES = Path(__file__).resolve().parents[2] / "firmware" / "modules"
FOLDERS = ("aes", "example", "secp256k1", "sha256")


def test_the_example_builds_from_its_folders_and_finds_all_three_right(board_image: Path, tmp_path: Path) -> None:
    for name in FOLDERS:
        shutil.copytree(MODULES / name, tmp_path / "modules" / name)
    program = tmp_path / "example.elf"
    environment = os.environ | {"SECP256K1": str(library()), "TMPDIR": str(tmp_path)}
    subprocess.run([tmp_path / "modules" / "example" / "build.sh", program], check=True, env=environment)
    memory = tmp_path / "example.bin"
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", program, memory], check=True)
    main, _ = symbols(program)["main"]
    (answer,) = call(board_image, [Call(main, write=((RAM, memory.read_bytes()),))])
    assert answer.result == 0
    assert answer.changed == ()
