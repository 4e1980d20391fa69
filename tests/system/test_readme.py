"""The README's first conversation, executed as printed: with a relay on this computer, and on the emulated Pico."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tessera_host.demo import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


LAST_OF_IT = 2  # lines that the emulated board's take the place of


def blocks() -> list[str]:
    """The shell blocks of the section: the conversation, and what makes its relay an emulated board."""
    section = re.search(r"## A first conversation\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.DOTALL)
    assert section
    return re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL)


def test_the_first_conversation_works_as_printed() -> None:
    assert_conversation(blocks()[0])


def test_the_first_conversation_works_through_the_emulated_pico(board_image: Path, board_network: None) -> None:
    conversation, on_the_board = blocks()
    of_it, of_members = conversation.split("\n\n# Alice and Bob join", 1)
    kept_of_it = of_it.splitlines()[:-LAST_OF_IT]
    assert kept_of_it[-1].startswith("tessera issuer init")
    assert_conversation("\n".join([*kept_of_it, on_the_board, "# Alice and Bob join" + of_members]))


def assert_conversation(script: str) -> None:
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script.replace("8100", str(free_port()))],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")} | kept(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=300)
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
