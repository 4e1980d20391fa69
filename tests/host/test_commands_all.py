"""What holds for every command: it is on the map, has --help and --json, and no input makes it show a traceback."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tessera_host import cli, errors
from tessera_host.cli import help as cli_help
from tessera_host.cli import loading
from tessera_host.keys import unlocking
from tessera_host.keys.keystore import Keystore
from tests.host.test_cli_member import Desk
from tests.host.test_cli_member import desk as desk
from tests.support.fake_federation import PASSPHRASE

GARBAGE = "\x1b]0;\u202e{garbage}\n\\"
RUN_ON = {("serve",), ("cluster",)}
# Modules that only some commands need and that take long to load.
HEAVY = ("textual", "matplotlib", "dp_accounting", "scipy", "numpy", "fpdf", "esptool", "aiosmtpd")


TESSERA = typer.main.get_command(cli.app)


def walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words; groups are no commands."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, each in inner.items():
        yield from walk((*words, name), each)


ALL = list(walk((), TESSERA))
EACH = pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine that runs the tests: homes, settings, boards."""
    monkeypatch.setattr(cli, "app", TESSERA)  # typer would build it anew for every test
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passphrase").write_text("phrase")
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    for name in ("TESSERA_HOME", "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@EACH
def test_command_has_json(words: tuple[str, ...], command: Any) -> None:
    (option,) = [parameter for parameter in command.params if "--json" in parameter.opts]
    assert option.is_flag


def test_an_option_that_many_commands_have_has_one_text() -> None:
    texts: dict[str, set[str]] = {name: set() for name in ("--json", "--passphrase-file", "--home", "--federation")}
    for _, command in ALL:
        for parameter in command.params:
            if parameter.opts[0] in texts:
                texts[parameter.opts[0]].add(parameter.help)
    assert all(len(found) == 1 for found in texts.values()), texts


@EACH
def test_what_is_written_is_named_with_out(words: tuple[str, ...], command: Any) -> None:
    for parameter in command.params:
        if {"-o", "--out", "--output"} & {*parameter.opts}:
            assert parameter.opts == ["--out", "-o"]


@EACH
def test_help_begins_with_a_sentence(words: tuple[str, ...], command: Any) -> None:
    first, stop, _ = str(command.help).partition(".")
    assert stop and 3 < len(first) < 110
    assert "Raises" not in command.help


@EACH
@pytest.mark.parametrize("garbage", [GARBAGE, "", "tessera:invite:AAAA", "\udcff\udce4", "a\0b", "A" * 5000])
def test_garbage_is_an_error_of_one_line(
    words: tuple[str, ...],
    command: Any,
    garbage: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For every argument the same garbage; options that it needs have it, too."""
    if words in RUN_ON:
        pytest.skip("needs no argument that is good, and runs until it is stopped")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    line = [*words, "--json"]
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.required:
            line += [parameter.opts[0], garbage]
    line += ["--", *[garbage for parameter in command.params if parameter.param_type_name == "argument"]]
    code = cli.run(line)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert code != cli.BUG, err
    if code != 0:
        assert code in dict(cli_help.codes())
        assert err.startswith("error: ")
        answer = json.loads(out.splitlines()[-1])
        assert answer["exit_code"] == code
        assert answer["hint"]


@EACH
def test_option_that_there_is_not_is_an_error(
    words: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*words, "--no-such-option"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


# -- locked and unlocked


class Homes:
    """Ann's home, who has met Bob and can write to him, and a small process that keeps keys unlocked."""

    def __init__(self, desk: Desk, keys: Path) -> None:
        desk.ready()
        desk.json("ann", "send", "bob", "hello", "--no-wait")
        self.desk = desk
        self._made = desk.folder / "made"
        shutil.copytree(desk.file("ann"), self._made)
        desk.monkeypatch.setattr(unlocking, "address", lambda: keys)

    def run(self, line: list[str]) -> tuple[int, str, str]:
        """With everything as it was before."""
        shutil.rmtree(self.desk.file("ann"))
        shutil.copytree(self._made, self.desk.file("ann"))
        self.desk.capsys.readouterr()
        code = cli.run(line)
        out, err = self.desk.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err


@pytest.fixture
def homes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Homes]:
    with tempfile.TemporaryDirectory(prefix="tessera-") as folder:
        yield Homes(desk, Path(folder, "s"))


@contextmanager
def unlocked(homes: Homes) -> Iterator[None]:
    """The keystore is unlocked, and there is nobody to ask and no file with its passphrase."""
    path, kept = unlocking.address(), unlocking.Keys()
    serving = threading.Thread(target=lambda: asyncio.run(unlocking.serve(path, kept, look_seconds=0.01)))
    serving.start()
    try:
        while not path.exists():
            time.sleep(0.01)
        keystore = homes.desk.file("ann") / "member.keystore"
        with Keystore.open(keystore, PASSPHRASE, "member") as store:
            unlocking.keep(keystore, store.derived_key, 3600)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("TESSERA_PASSPHRASE_FILE")
            patch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for the passphrase"))
            yield
    finally:
        unlocking.forget()
        serving.join()


OF_MEMBERS = [(words, command) for words, command in ALL if any("--home" in each.opts for each in command.params)]
# They make a keystore, or ask for the passphrase of another than the one at home.
NEW_KEYS = {("join",), ("restore",), ("member", "new"), ("token", "fetch"), ("unlock",), ("agent",)}
TALKS = {("send",), ("inbox",), ("sent",), ("budget",), ("resend",), ("chat",), ("status",), ("fetch",)}


@pytest.mark.parametrize(("words", "command"), OF_MEMBERS, ids=[" ".join(words) for words, _ in OF_MEMBERS])
def test_command_does_the_same_locked_and_unlocked(words: tuple[str, ...], command: Any, homes: Homes) -> None:
    """With a contact's name for every argument. Who unlocked is asked for nothing."""
    if words in NEW_KEYS:
        pytest.skip("makes keys, or asks for others")
    line = [*words, "--home", str(homes.desk.file("ann")), "--json"]
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.required:
            line += [parameter.opts[0], "bob"]
    line += ["--", *["bob" for parameter in command.params if parameter.param_type_name == "argument"]]
    homes.run(line)
    locked = homes.run(line)
    with unlocked(homes):
        code, out, err = homes.run(line)
    assert code == locked[0] != cli.BUG, (err, locked)
    assert json.loads(out).keys() == json.loads(locked[1]).keys()
    if words in TALKS:
        assert code == 0, err


def test_nobody_is_asked_for_the_passphrase_of_what_is_not_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESSERA_PASSPHRASE_FILE")
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for the passphrase"))
    desk.fails(4, "there is no member's keystore in", "nobody", "unlock")
    desk.fails(4, "there is no file", "nobody", "restore", desk.file("none"))


@pytest.mark.parametrize("words", [["-h"], ["help"], ["send", "-h"], ["help", "send"], ["help", "contact", "add"]])
def test_help_is_found_however_it_is_asked_for(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 0
    out = capsys.readouterr().out
    assert "Usage: tessera" in out and "(dynamic)" not in out
    assert cli.run(["help", "sedn"]) == 2


# -- the map


def test_map_names_every_command_once_and_only_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    named = [name for names in cli_help.SECTIONS.values() for name in names]
    there = {words[0] for words, _ in ALL}
    assert len(named) == len(set(named))
    assert there <= set(named), there - set(named)
    assert cli.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert "Other:" not in out
    for heading, names in cli_help.SECTIONS.items():
        assert (f"{heading}:" in out) is any(name in there for name in names)
    assert out.index("  join ") < out.index("  contact ") < out.index("  send ")
    assert "tessera exit-codes" in out


def test_examples_of_the_map_are_commands_that_there_are() -> None:
    there = {words[: len(words)] for words, _ in ALL}
    for line in cli_help.EXAMPLES.splitlines():
        if line.startswith("  tessera "):
            words = line.split()[1:3]
            assert (words[0],) in there or tuple(words) in there, line


def test_settings_nobody_understands_do_not_hide_the_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text("nonsense = 1")
    monkeypatch.setenv("TESSERA_CONFIG", str(tmp_path / "config.toml"))
    assert cli.run(["--help"]) == 0
    monkeypatch.delenv("TESSERA_HOME")
    assert cli.run(["contact", "list"]) == 3
    assert "'nonsense'" in capsys.readouterr().err


def test_exit_codes_are_those_of_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["exit-codes", "--json"]) == 0
    codes = json.loads(capsys.readouterr().out)["exit_codes"]
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.TesseraError)
    ]
    assert {int(code) for code in codes} == {each.exit_code for each in classes} | {0, 70, 130}
    assert codes["6"] == "No relay or service answers at that address, or a port cannot be used."


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"tessera {version('tessera-relay')}\n"


def test_start_loads_nothing_that_only_some_commands_need() -> None:
    """Completion starts the program at every press of the key."""
    code = f"import sys, tessera_host.cli; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_command_is_loaded_alone_and_each_is_where_the_tables_say() -> None:
    code = (
        "import sys, tessera_host.cli; print(*(name for name in sys.modules if name.startswith('tessera_host.cli.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert loaded and not {"inbox", "send", "operator"} & {name.rpartition(".")[2] for name in loaded}
    for group in (TESSERA, TESSERA.commands["issuer"], TESSERA.commands["relay"]):
        for name, place in group.places.items():
            assert name in loading.added_by(place), (name, place)
            assert loading.added_by(place).keys() <= group.places.keys(), place


# -- completion


def completed(shell: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    words = line.split(" ")
    monkeypatch.setenv("_TESSERA_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    with pytest.raises(SystemExit) as ended:
        cli.run([])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("tessera con", "contact", "join"),
        ("tessera contact re", "rekey", "verify"),
        ("tessera send --fi", "--file", "--json"),
    ],
)
def test_completing_gives_commands_and_options(
    shell: str,
    line: str,
    wanted: str,
    unwanted: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = completed(shell, line, monkeypatch, capsys)
    assert wanted in out
    assert unwanted not in out
