"""tools/flash.py in a clone: it finds the environment that `make setup` made, or says how to make it."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(script, **environment):
    return subprocess.run(
        ["/usr/bin/env", "python3", script, "--help"],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | environment,
    )


def test_it_is_tessera_flash_whatever_python_starts_it():
    done = run(ROOT / "tools" / "flash.py")
    assert done.returncode == 0 and "Turn a board on a USB cable" in done.stdout


def test_a_clone_that_is_not_set_up_says_so(tmp_path):
    (tmp_path / "tools" / "build").mkdir(parents=True)
    for name in ("flash.py", "build/setup.sh"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools" / name)
    done = run(tmp_path / "tools" / "flash.py", TESSERA_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 2 and done.stderr.count("\n") == 2
    assert f"make -C {tmp_path} setup" in done.stderr
