"""The README's first conversation, executed as it is printed."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tessera_host.demo import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_first_conversation_of_the_readme_works_as_printed() -> None:
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"## A first conversation.*?```sh\n(.*?)```", readme, re.DOTALL)
    assert block
    script = block[1].replace("8100", str(free_port()))
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")} | kept(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=180)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, output
    assert "Thursday at ten?" in output and "Thursday at ten." in output
    words = re.findall(r"\b(?:[a-z]{3,8} ){5}[a-z]{3,8}\b", output)
    assert len(set(words)) < len(words), "both read the same six words:\n" + output


def kept() -> dict[str, str]:
    """Where the set-up's cache is, if the caller moved it."""
    return {name: os.environ[name] for name in ("TESSERA_CACHE",) if name in os.environ}
