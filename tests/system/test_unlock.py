"""A passphrase that is typed once: `tessera unlock`, other commands, `tessera lock`, each a process of its own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tessera_host.member.state import MemberState
from tests.patience import PATIENCE_SECONDS
from tests.support.command_line import TESSERA
from tests.support.fake_federation import FakeFederation

PASSPHRASE = "correct horse battery"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A member, and a user's session of its own."""
    MemberState.create(tmp_path / "ann", "ann", FakeFederation().card(), PASSPHRASE).close()
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:  # short enough for a socket's path
        own = {"TESSERA_HOME": str(tmp_path / "ann"), "XDG_RUNTIME_DIR": runtime, "TESSERA_PASSPHRASE_FILE": ""}
        environment = {**os.environ, **own, "HOME": str(tmp_path)}
        yield environment
        run(environment, "lock")


def run(environment: dict[str, str], *arguments: str, typed: str | None = None) -> str:
    """What the command shows; `typed` is the passphrase it has to ask for, None if it must not ask."""
    child: pexpect.spawn[str] = pexpect.spawn(
        str(TESSERA), list(arguments), encoding="utf-8", timeout=PATIENCE_SECONDS, env=environment, echo=False
    )
    if typed is not None:
        child.expect_exact("Passphrase: ")
        child.sendline(typed)
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before)


def test_passphrase_is_typed_once_until_it_is_locked_again(environment: dict[str, str]) -> None:
    assert "no contacts yet" in run(environment, "contact", "list", typed=PASSPHRASE)
    assert "wrong passphrase" in run(environment, "unlock", typed="wrong")
    assert "(1h). Lock it again with: tessera lock" in run(environment, "unlock", "--for", "1h", typed=PASSPHRASE)
    assert "no contacts yet" in run(environment, "contact", "list")
    assert run(environment, "lock").strip() == "Locked."
    assert run(environment, "lock").strip() == "Nothing was unlocked."
    assert "no contacts yet" in run(environment, "contact", "list", typed=PASSPHRASE)
