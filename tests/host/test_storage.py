"""What --storage means: a directory, or a database in one by its URL."""

import os
from pathlib import Path

import pytest

from tessera_host import cli
from tessera_host.errors import UsageError
from tessera_host.relay import storage
from tessera_host.relay.storage import Storage


@pytest.mark.parametrize(
    ("text", "directory", "database"),
    [
        ("berlin", "berlin", "berlin/storage.sqlite"),
        ("/var/lib/tessera", "/var/lib/tessera", "/var/lib/tessera/storage.sqlite"),
        ("sqlite:///var/lib/tessera/relay.db", "/var/lib/tessera", "/var/lib/tessera/relay.db"),
        ("sqlite:////var/lib/tessera/relay.db", "/var/lib/tessera", "/var/lib/tessera/relay.db"),  # as others write it
        ("SQLite:///x.db", "/", "/x.db"),
        ("./sqlite:x", "sqlite:x", "sqlite:x/storage.sqlite"),
        ("C:", "C:", "C:/storage.sqlite"),
    ],
)
def test_a_directory_and_a_url_name_a_directory_and_a_database(text: str, directory: str, database: str) -> None:
    found = storage.read(text)
    assert (found.directory, found.database(found.directory)) == (Path(directory), Path(database))
    assert storage.read(str(found.absolute())) == found.absolute()


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:",
        "sqlite:x.db",
        "sqlite://x.db",
        "sqlite:///",
        "sqlite:///var/lib/",
        "sqlite:///x.db?mode=ro",
        "sqlite:////",
    ],
)
def test_a_url_without_a_whole_path_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        storage.read(text)
    assert "names no database" in refused.value.message
    assert "--storage sqlite:///DIR/NAME.db" in refused.value.hint


@pytest.mark.parametrize("text", ["postgresql://db.example.org/tessera", "file:///tmp/x", "mysql:x"])
def test_an_unknown_scheme_is_refused_and_nothing_is_made(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["serve", "--storage", text, "--cover-traffic-epsilon", "0.1"]) == 2
    assert f"no storage of the kind '{text.partition(':')[0]}:'" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--storage", "nats://127.0.0.1/berlin"], "a gateway also needs its directory"),
        ([], "does not say what to serve"),
        (["."], "is no gateway's directory"),
        (["--storage", "gateway"], "is a gateway of a fleet"),
    ],
)
def test_what_is_to_be_served_is_a_relay_alone_or_a_gateway_and_each_is_named_in_its_way(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "fleet.json").touch()
    assert cli.run(["serve", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory, not a database") as refused:
        storage.read(f"sqlite://{tmp_path}")
    assert f"--storage {tmp_path}" in refused.value.hint


def test_a_unit_gets_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(Storage(Path("berlin")).absolute()) == str(tmp_path / "berlin")
    assert str(storage.read("sqlite:///a/b.db").absolute()) == "sqlite:///a/b.db"
