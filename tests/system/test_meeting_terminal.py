"""Two people at two terminals meet with `tessera contact add`: real processes, what is typed, what is asked."""

import os
from pathlib import Path

import pexpect
import pytest

from tessera_host.member.state import MemberState
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import TESSERA
from tests.support.fake_federation import FakeFederation

PASSPHRASE = "correct horse battery"


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    """Two members of an office whose relay does not run: a meeting needs none."""
    card = FakeFederation().card()
    for name in ("ann", "bob"):
        MemberState.create(tmp_path / name, name, card, PASSPHRASE).close()
    return tmp_path / "ann", tmp_path / "bob"


def terminal(home: Path, *arguments: object) -> "pexpect.spawn[str]":
    environment = {**os.environ, "TESSERA_PASSPHRASE_FILE": "", "COLUMNS": "100", "LINES": "80"}
    line = [*(str(argument) for argument in arguments), "--home", str(home)]
    child = pexpect.spawn(
        str(TESSERA),
        line,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        dimensions=(60, 100),
        env=environment,
        echo=False,
    )
    child.expect_exact("Passphrase: ")
    child.sendline(PASSPHRASE)
    return child


def shown_card(child: "pexpect.spawn[str]", kind: str) -> str:
    child.expect(rf"(tessera:{kind}:[A-Za-z0-9_-]+)\r\n")
    assert child.match is not None
    return str(child.match.group(1))


def finished(child: "pexpect.spawn[str]") -> int:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return int(child.exitstatus)


def test_two_people_at_two_terminals(homes: tuple[Path, Path]) -> None:
    ann = terminal(homes[0], "contact", "add", "bob")
    invite = shown_card(ann, "invite")
    ann.expect_exact("Paste the answer from bob (or a file name): ")
    bob = terminal(homes[1], "contact", "add", invite)
    answer = shown_card(bob, "answer")
    bob.expect_exact("Paste the confirm card from ann (or a file name): ")
    bob.sendline(answer)
    bob.expect_exact("error: this is your own answer card")
    bob.expect_exact("hint: give it to ann")
    ann.sendline(answer)
    confirm = shown_card(ann, "confirm")
    ann.expect(r"Six words:  ([a-z ]+)\r\n")
    assert ann.match is not None
    words = ann.match.group(1)
    bob.sendline(confirm)
    bob.expect(r"Six words:  ([a-z ]+)\r\n")
    assert bob.match is not None
    assert bob.match.group(1) == words
    for child, other in ((ann, "bob"), (bob, "ann")):
        child.expect_exact(f"Does {other} read the same six words? [y/n] ")
        child.sendline("y")
        child.expect_exact(f"{other} is verified.")
        assert finished(child) == 0
