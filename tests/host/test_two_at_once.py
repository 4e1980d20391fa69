"""Two commands that make the same directory at the same moment: one does, the other says so and changes nothing."""

import json
import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tessera.params import Parameters
from tessera_host import cli, files
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.store import IssuerStore
from tests.patience import PATIENCE_SECONDS
from tests.support import quick_keystores
from tests.support.organisation import PASSPHRASE, new_issuer, planned

Barrier = threading.Barrier


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quick_keystores.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    (tmp_path / "plan.json").write_text(json.dumps(planned().as_json()))
    return tmp_path


def at_once(lines: list[list[str]], meet: Callable[[Barrier], object]) -> list[tuple[int, str]]:
    """(exit code, standard error) of commands that run at once, each in a process of its own. meet(barrier) puts the
    barrier where none of them is to come first."""
    barrier: Any = multiprocessing.get_context("fork").Barrier(len(lines), timeout=PATIENCE_SECONDS)
    children = []
    for number, line in enumerate(lines):
        child = os.fork()
        if child == 0:
            code = 99
            try:
                with Path(f"said {number}").open("w") as said, redirect_stdout(said), redirect_stderr(said):
                    meet(barrier)
                    code = cli.run(line)
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return [(code, Path(f"said {number}").read_text()) for number, code in enumerate(codes)]


def after(owner: Any, name: str, barrier: Barrier) -> None:
    """Both have done what this function does before either goes on."""
    done = getattr(owner, name)

    def and_meet(*arguments: Any) -> Any:
        result = done(*arguments)
        barrier.wait()
        return result

    setattr(owner, name, and_meet)


def test_of_two_issuers_in_one_directory_there_is_one(folder: Path) -> None:
    lines = [["issuer", "init", "issuer", "--plan", "plan.json", "--name", name] for name in ("One", "Two")]
    said = at_once(lines, lambda barrier: after(IssuerStore, "check_new", barrier))
    (winner,) = [number for number, (code, _) in enumerate(said) if code == 0]
    code, line = said[1 - winner]
    assert code == 4 and "issuer.keystore exists already and is not overwritten" in line
    with Issuer.open(folder / "issuer", PASSPHRASE) as issuer:
        assert issuer.name == ("One", "Two")[winner] and issuer.parameters.serial == 1
        assert (folder / "issuer" / "parameters.tpr").read_bytes() == issuer.parameters.blob
        assert [path.read_bytes() for path in (folder / "issuer" / "sets").iterdir()] == [issuer.parameters.blob]


def test_of_two_relays_in_one_directory_there_is_one(folder: Path) -> None:
    """Of two offices: one keystore's lock does not help."""
    for name in ("one", "two"):
        (folder / name).mkdir()
        new_issuer(folder / name, planned()).close()
    lines = [
        ["relay", "new", "first", "relay", "--issuer", f"{name}/issuer", "--host", "localhost"]
        for name in ("one", "two")
    ]
    said = at_once(lines, lambda barrier: after(files, "make_directory", barrier))
    (winner,) = [number for number, (code, _) in enumerate(said) if code == 0]
    code, line = said[1 - winner]
    assert code == 2 and "relay.json exists already and is not overwritten" in line
    listed = []
    for name in ("one", "two"):
        with Issuer.open(folder / name / "issuer", PASSPHRASE) as issuer:
            listed.append((issuer.parameters.serial, [relay["key"] for relay in issuer.relays]))
    assert listed[1 - winner] == (1, [])
    own = Parameters((folder / "relay" / "parameters").read_bytes())
    assert listed[winner] == (2, [own.relays[0].static_key])
    assert own.reading_key(bytes.fromhex(json.loads((folder / "relay" / "relay.json").read_text())["static_secret"]), 1)
    assert not [path for path in (folder / "relay").iterdir() if path.name not in ("relay.json", "seed", "parameters")]


def test_of_two_relays_of_one_office_under_one_name_there_is_one(folder: Path) -> None:
    new_issuer(folder, planned()).close()
    lines = [["relay", "new", "first", where, "--issuer", "issuer", "--host", "localhost"] for where in ("one", "two")]
    said = at_once(lines, lambda barrier: barrier.wait())
    (winner,) = [number for number, (code, _) in enumerate(said) if code == 0]
    code, line = said[1 - winner]
    assert code == 2 and "there is already a relay 'first'" in line
    assert not (folder / ("one", "two")[1 - winner]).exists()
    with Issuer.open(folder / "issuer", PASSPHRASE) as issuer:
        assert (issuer.parameters.serial, len(issuer.relays)) == (2, 1)


def test_of_two_requests_in_one_directory_there_is_one(folder: Path) -> None:
    lines = [["relay", "request", name, "relay", "--host", "localhost", "-o", f"{name}.request"] for name in "ab"]
    said = at_once(lines, lambda barrier: after(files, "make_directory", barrier))
    (winner,) = [number for number, (code, _) in enumerate(said) if code == 0]
    assert said[1 - winner][0] == 2 and "relay.json exists already" in said[1 - winner][1]
    assert json.loads((folder / "relay" / "relay.json").read_text())["name"] == "ab"[winner]
    assert [path.name for path in folder.glob("*.request")] == [f"{'ab'[winner]}.request"]
