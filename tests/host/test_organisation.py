"""An organisation in one directory is made once, by one program, and never over what somebody keeps there."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tessera.params import Parameters
from tessera_host import cli, files
from tessera_host.cli import demo
from tessera_host.errors import Unreachable, UsageError
from tessera_host.issuer import organisation
from tessera_host.issuer.issuer import Issuer
from tessera_host.planning import plan

UNREACHABLE = 6
AT_IT = "another program is making or starting an organisation in"
# Makes an organisation; where it says "here" it waits for a line: with the passphrase written and no issuer yet, with
# everything made and the relay not taken yet.
MAKER = """
import sys
from pathlib import Path
from tessera_host.issuer import organisation
from tessera_host.planning import plan

def here():
    print("here", flush=True)
    sys.stdin.readline()

class Issuer(organisation.Issuer):
    @classmethod
    def create(cls, *arguments, **options):
        here()
        return super().create(*arguments, **options)

organisation.Issuer = Issuer
choice = plan.Choice(members=24, round_seconds=60, epoch_rounds=1440)
with organisation.opened(Path(sys.argv[1]), lambda: plan.make(choice), "Office", 8100):
    here()
"""


def planned() -> plan.Plan:
    return plan.make(plan.Choice(members=24, round_seconds=60, epoch_rounds=1440))


def make(directory: Path) -> bool:
    with organisation.opened(directory, planned, "Office", 8100) as made:
        return made


def assert_whole(directory: Path) -> None:
    """One issuer, that the passphrase opens, signed the parameters of the relay."""
    passphrase = (directory / "passphrase").read_text().strip()
    parameters = Parameters((directory / "relay" / "parameters").read_bytes())
    parameters.verify()
    with Issuer.open(directory / "issuer", passphrase) as issuer:
        assert issuer.parameters.blob == parameters.blob


@contextmanager
def maker(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    words = [sys.executable, "-c", MAKER, str(directory)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_here(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def starts(directory: Path) -> list[int]:
    """What the two programs that make an organisation return."""
    trial = ["--cover-traffic-epsilon", "0.1", "--cover-traffic-delta", "1e-6"]
    serve = ["serve", "--storage", str(directory), "--port", "8100", *trial]
    return [cli.run(serve), demo.main(["run", "--directory", str(directory)])]


def test_a_second_start_leaves_alone_what_another_program_is_making(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "office"
    with maker(directory) as first:
        for _ in range(2):
            until_here(first)
            before = contents(directory)
            assert starts(directory) == [UNREACHABLE] * 2
            said = capsys.readouterr().err
            assert said.count(AT_IT) == said.count("\nhint: ") == said.count("error: ") == said.count("\n") / 2 == 2
            assert contents(directory) == before
            go_on(first)
        assert first.wait() == 0
    assert_whole(directory)
    assert not make(directory)


@pytest.mark.parametrize("whole", [False, True], ids=["half made", "made"])
def test_what_another_start_made_between_two_looks_is_no_stranger(tmp_path: Path, whole: bool) -> None:
    """The first look finds nothing; then the other start makes a part of it, or all."""
    directory = tmp_path / "office"
    with maker(directory) as first:

        def meanwhile() -> plan.Plan:
            until_here(first)
            if whole:
                go_on(first)
                until_here(first)
            return planned()

        with pytest.raises(Unreachable, match=AT_IT), organisation.opened(directory, meanwhile, "Office", 8100):
            pass
        first.stdin.write("\n\n")  # type: ignore[union-attr]
        first.stdin.flush()  # type: ignore[union-attr]
        assert first.wait() == 0
    assert_whole(directory)


def test_what_an_older_version_made_is_not_started_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = tmp_path / "old" / "relay"
    relay.mkdir(parents=True)
    (relay / "parameters").write_bytes(b"TPR1" + bytes(300))
    assert cli.run(["serve", "--storage", str(tmp_path / "old")]) == UsageError.exit_code
    assert "remove it or name another directory" in capsys.readouterr().err
    assert [path.name for path in relay.iterdir()] == ["parameters"]


def test_what_a_killed_program_was_making_is_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "office"
    with maker(directory) as first:
        until_here(first)
        first.kill()
        first.wait()
    (directory / f".{'5e' * 8}.new").write_bytes(b"half of a file")
    assert (directory / "passphrase").exists()
    assert make(directory)
    assert_whole(directory)
    assert not any(files.is_rest(path) or path.name == organisation.UNFINISHED for path in directory.iterdir())


def test_an_issuer_that_somebody_keeps_in_a_directory_is_not_removed(tmp_path: Path) -> None:
    directory = tmp_path / "office"
    assert make(directory)
    for path in (directory / "relay").iterdir():
        path.unlink()
    (directory / "relay").rmdir()  # it was moved to another computer
    before = contents(directory)
    with pytest.raises(UsageError, match="already has other files, such as issuer"):
        make(directory)
    assert contents(directory) == before


def test_a_place_that_is_no_directory_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert starts(tmp_path / "file") == [2, 2]
    said = capsys.readouterr().err
    assert said.count("cannot be used: Not a directory") == said.count("\nhint: ") == said.count("\n") / 2 == 2


@pytest.mark.parametrize("port", ["0", "99999", "-1"])
def test_a_port_that_is_none_makes_no_organisation(port: str, tmp_path: Path) -> None:
    directory = tmp_path / "office"
    assert cli.run(["serve", "--storage", str(directory), "--port", port]) == 2
    assert demo.main(["run", "--directory", str(directory), "--port", port]) == 2
    assert not directory.exists()
