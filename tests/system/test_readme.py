"""The page of the first conversation, typed as printed in a fresh clone: with a relay on this computer, and on an
emulated Pico. Nothing of it may lie in the working tree afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tessera_host.cli.demo import free_port
from tests.patience import PATIENCE_SECONDS
from tests.support import chapters
from tools.emulator.clock import Clock

ROOT = Path(__file__).resolve().parent.parent.parent
RELAY_PORT, SERVICE_PORT, OFFICE = "8100", "8101", "tessera-office"  # a folder of IT's home
PROMPT = "\N{RIGHTWARDS ARROW} "

# What a person answers to what a command asks.
ANSWERS = {"Passphrase: ": "keeps this", "Passphrase again: ": "keeps this", "[y/n] ": "y"}


def blocks() -> list[str]:
    """The shell blocks of the page: IT's, Alice's, Bob's, and what makes IT's relay an emulated board."""
    return chapters.scripts(chapters.text("docs/first-conversation.md"))


def on_the_board(of_it: str, of_board: str) -> str:
    """IT's lines with those about the relay replaced."""
    computer = r"tessera relay new .*\nmicropython-tessera .*\n"
    changed, count = re.subn(computer, lambda _: of_board, of_it)
    assert count == 1
    return changed


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """This tree as somebody would clone it, with what is not committed yet. `make setup` finds there what this tree's
    has made, as the contents are the same."""
    subprocess.run([ROOT / "tools" / "build" / "setup.sh"], check=True)
    folder = tmp_path / "tessera-relay"
    git("clone", "--quiet", "--shared", ROOT, folder)
    names = git("-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        (folder / name).unlink(missing_ok=True)
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    where = [folder / "tools" / "build" / "setup.sh", "--where"]
    told = subprocess.run(where, env=environment(), check=True, capture_output=True, text=True).stdout
    state = Path(told.strip())
    state.symlink_to(Path(sys.prefix).parent)
    before = git("-C", folder, "status", "--porcelain")
    try:
        yield folder
        assert git("-C", folder, "status", "--porcelain") == before, "keys or passphrases lie in the working tree"
    finally:
        state.unlink()


def git(*words: object) -> str:
    return subprocess.run(["git", *map(str, words)], check=True, capture_output=True, text=True).stdout


def test_the_first_conversation_works_as_printed(tmp_path: Path, clone: Path) -> None:
    of_it, of_alice, of_bob, _ = blocks()
    assert_conversation(tmp_path, clone, of_it, of_alice, of_bob)


@pytest.mark.long
def test_the_first_conversation_works_through_the_emulated_pico(
    tmp_path: Path, clone: Path, board_image: Path, board_network: None
) -> None:
    """Daily the same page is typed with a relay on this computer, above; test_flash.py and test_board.py have members
    who talk through the emulated Pico, and emulated/test_emulate.py has what `make emulate` makes of a relay."""
    of_it, of_alice, of_bob, of_board = blocks()
    in_time = in_board_time(Clock(tmp_path / "clock"))
    assert_conversation(tmp_path, clone, on_the_board(of_it, of_board), of_alice, of_bob, **in_time)


def in_board_time(clock: Clock) -> dict[str, str]:
    """What has `make emulate` keep a time of its own, and every `tessera …` live in it: a function of the shell, which
    goes before the command of this name."""
    program = f'PYTHONPATH="{ROOT}" "{sys.executable}" -m tools.emulator.hostprogram "{clock.path}" tessera_host'
    return {"EMULATE": f"--clock {clock.path}", "BASH_FUNC_tessera%%": f'() {{ {program} "$@"\n}}'}


def assert_conversation(folder: Path, clone: Path, *scripts: str, **added: str) -> None:
    """`folder` is everybody's home."""
    ports = {port: str(free_port()) for port in (RELAY_PORT, SERVICE_PORT)}
    of_it, *of_members = [placed(script, ports) for script in scripts]
    added |= {"HOME": str(folder)}
    assert all(commands(script) == 3 for script in of_members), "a member has three commands"
    with it_at_work(folder, clone, of_it, added), ThreadPoolExecutor() as people:
        talks = [people.submit(typed, clone, script, added) for script in of_members]
        alice, bob = [talk.result() for talk in talks]
    assert re.search(r"alice: Thursday at ten\?", bob), bob
    words = [re.search(r"Six words:  ((?:[a-z]+ ){5}[a-z]+)", said) for said in (alice, bob)]
    assert words[0] and words[1] and words[0][1] == words[1][1]


def commands(script: str) -> int:
    return sum(line.startswith("tessera ") for line in script.splitlines())


def placed(script: str, ports: dict[str, str]) -> str:
    """The script with ports of this test's own."""
    for printed, own in ports.items():
        script = re.sub(rf"\b{printed}\b", own, script)
    return script


@contextmanager
def it_at_work(folder: Path, clone: Path, script: str, added: dict[str, str]) -> Iterator[None]:
    """IT's terminal until its last command has ended; what it left running goes with the context."""
    log = folder / "it.log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script + "touch ready\nwait\n"],
            cwd=clone,
            env=environment() | added,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(shell, folder / OFFICE / "ready", log)
        yield
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def wait_until_ready(shell: "subprocess.Popen[bytes]", ready: Path, log: Path) -> None:
    for _ in range(10 * PATIENCE_SECONDS):
        if ready.exists():
            return
        try:
            status = shell.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"IT's commands ended with {status}:\n{log.read_text()}")
    raise AssertionError(f"IT's commands do not end:\n{log.read_text()}")


def typed(clone: Path, script: str, added: dict[str, str]) -> str:
    """Type a member's lines into a terminal, answer what is asked; all that was shown."""
    shell = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "--noediting"],
        cwd=str(clone),
        env=environment() | added | {"PS1": PROMPT},
        encoding="utf-8",
        dimensions=(60, 200),
        timeout=PATIENCE_SECONDS,
    )
    shown = ""
    try:
        shell.expect_exact(PROMPT)
        for line in filter(None, script.splitlines()):
            shell.sendline(line)
            shown += answered(shell)
            shell.sendline("echo status $?")
            shell.expect(r"\nstatus (\d+)\r\n")
            assert isinstance(shell.match, re.Match) and shell.match[1] == "0", f"{line}\n{shown}"
            shell.expect_exact(PROMPT)
    except (pexpect.TIMEOUT, pexpect.EOF):
        raise AssertionError(f"this came last:\n{shown}{shell.before}") from None
    finally:
        shell.close(force=True)
    return shown


def answered(shell: "pexpect.spawn[str]") -> str:
    """What a command shows until the shell prompts again."""
    shown = ""
    waited_for = [PROMPT, *ANSWERS]
    while True:
        found = shell.expect_exact(waited_for)
        shown += f"{shell.before}{shell.after}"
        if found == 0:
            return shown
        shell.sendline(ANSWERS[waited_for[found]])


def environment() -> dict[str, str]:
    """This one, without what tests set for themselves; where the set-up's cache is, as the home is another."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    return kept | {"TESSERA_CACHE": str(Path(sys.prefix).parent.parent)}


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's unlocked keys or agents are in reach."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
