"""Keystores of rows: what the file tells without its key, what is refused, who may have it, and what a crash leaves."""

import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera_host.errors import KeystoreError, WrongPassphrase
from tessera_host.keys import keystore, keystore_database
from tessera_host.keys.keystore import Keystore
from tessera_host.keys.keystore_database import Content, KeystoreDatabase
from tests.support import quick_keystores
from tests.support.killed import killed_at

SECRET = b"a name that nobody is to see, and that is nowhere else"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick_keystores.use(patch)
        yield


def filled(store: KeystoreDatabase) -> None:
    store.data["office"] = {"name": "Office"}
    store.table("people").put(SECRET, {"who": SECRET}, until=7, part=2)


def made(folder: Path) -> Path:
    path = folder / "some.keystore"
    KeystoreDatabase.create(path, "phrase", "test", ("people",), filled).close()
    return path


def opened(path: Path, phrase: str = "phrase") -> KeystoreDatabase:
    return KeystoreDatabase.open(path, phrase, "test", lock_wait_seconds=0)


def test_what_was_put_in_is_there(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as store:
        assert store.data["office"] == {"name": "Office"}
        assert store.table("people").get(SECRET) == {"who": SECRET}
        assert store.table("people").get(b"nobody") is None
        with pytest.raises(KeyError):
            store.data["nothing"]


def test_the_file_tells_neither_names_nor_values_and_is_its_owner_s(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert SECRET not in path.read_bytes() and b"Office" not in path.read_bytes()
    assert [each.name for each in tmp_path.iterdir() if not each.name.endswith(".lock")] == [path.name]
    with opened(path) as store:
        with store.change():
            store.table("people").put(b"another", SECRET)
        for each in tmp_path.iterdir():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
            assert SECRET not in each.read_bytes()


def test_two_rows_of_one_value_look_different(tmp_path: Path) -> None:
    path = made(tmp_path)
    with opened(path) as store, store.change():
        for name in (b"one", b"two"):
            store.table("people").put(name, "the same")
    rows = sqlite3.connect(path).execute("SELECT name, value FROM people").fetchall()
    assert len({value[:12] for _, value in rows}) == len({value[12:] for _, value in rows}) == len(rows) == 3


def swap(connection: sqlite3.Connection) -> None:
    (one, first), (two, second) = connection.execute("SELECT name, value FROM people LIMIT 2").fetchall()
    connection.execute("UPDATE people SET value = ? WHERE name = ?", (second, one))
    connection.execute("UPDATE people SET value = ? WHERE name = ?", (first, two))


@pytest.mark.parametrize(
    "forge",
    [
        swap,
        lambda connection: connection.execute("UPDATE people SET until = until + 1"),
        lambda connection: connection.execute("UPDATE people SET part = part + 1"),
        lambda connection: connection.execute("UPDATE people SET value = substr(value, 1, length(value) - 1)"),
        lambda connection: connection.execute("UPDATE people SET value = x''"),
        lambda connection: connection.execute("INSERT INTO kept SELECT name, until, part, value FROM people"),
    ],
)
def test_a_row_that_somebody_put_in_another_s_place_is_not_believed(
    tmp_path: Path, forge: Callable[[sqlite3.Connection], Any]
) -> None:
    path = made(tmp_path)
    with opened(path) as store, store.change():
        store.table("people").put(b"another", "row")
    with sqlite3.connect(path) as connection:
        forge(connection)
    connection.close()
    with opened(path) as store, pytest.raises(KeystoreError, match="damaged"):
        [row for name in ("people", "kept") for row in store.table(name).values()]


def test_a_wrong_passphrase_is_told_from_damage(tmp_path: Path) -> None:
    path = made(tmp_path)
    with pytest.raises(WrongPassphrase, match="wrong passphrase"):
        opened(path, "another")
    with sqlite3.connect(path) as connection:
        connection.execute('UPDATE header SET line = replace(line, \'"check": "\', \'"check": "00\')')
    connection.close()
    with pytest.raises(KeystoreError, match="damaged"):
        opened(path)


@pytest.mark.parametrize("at", [0, 18, 100, 2000, 5000, -1])
def test_a_file_that_was_cut_or_written_over_never_gives_another_value(tmp_path: Path, at: int) -> None:
    path = made(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    for damaged in (bytes(content), bytes(content[: len(content) // 2]), b""):
        path.write_bytes(damaged)
        try:
            with opened(path) as store:
                assert store.data["office"] == {"name": "Office"} and store.table("people").get(SECRET) is not None
        except (KeystoreError, WrongPassphrase):
            pass


def test_another_kind_and_no_keystore_at_all_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path)
    with pytest.raises(KeystoreError, match="kind 'test', but 'issuer' is needed"):
        KeystoreDatabase.open(path, "phrase", "issuer")
    with pytest.raises(KeystoreError, match="there is no test"):
        opened(tmp_path / "none")
    path.write_bytes(b"something else")
    with pytest.raises(KeystoreError, match="not a Tessera keystore"):
        opened(path)


def test_a_keystore_of_the_older_form_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "issuer.keystore"
    Keystore.create(path, "phrase", "issuer", {"version": 2}).close()
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="older version of tessera") as caught:
        KeystoreDatabase.open(path, "phrase", "issuer")
    assert "use that version, or begin anew in another directory" in str(caught.value)
    assert path.read_bytes() == before


def test_costly_parameters_of_a_planted_file_are_not_used(tmp_path: Path) -> None:
    path = made(tmp_path)
    with sqlite3.connect(path) as connection:
        (line,) = connection.execute("SELECT line FROM header").fetchone()
        line = line.replace(b'"n": 32768', b'"n": 1073741824')
        digest = keystore_database.hashlib.sha256(line).digest()
        connection.execute("UPDATE header SET line = ?, digest = ?", (line, digest))
    connection.close()
    with pytest.raises(KeystoreError, match="format this program does not know"):
        opened(path)


def test_one_program_at_a_time_has_it(tmp_path: Path) -> None:
    path = made(tmp_path)
    with opened(path) as store:
        with pytest.raises(KeystoreError, match="in use by another process"):
            opened(path)
        store.release()
        with opened(path) as other, other.change():
            other.data["office"] = {"name": "Other"}
        with pytest.raises(KeystoreError, match="not held"):
            store.data["office"]
        with store.held():
            assert store.data["office"] == {"name": "Other"}
    with pytest.raises(KeystoreError, match="closed"):
        store.data["office"]


def test_a_file_that_was_replaced_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = made(tmp_path)
    with opened(path) as store:
        store.release()
        path.unlink()
        made(tmp_path)
        with pytest.raises(KeystoreError, match="replaced while this program used it"), store.held():
            pass
        assert not store.is_held


def test_the_key_opens_it_without_the_passphrase_until_that_is_another(tmp_path: Path) -> None:
    path = made(tmp_path)
    with opened(path) as store:
        derived = store.derived_key
    KeystoreDatabase.open(path, derived, "test").close()
    assert keystore_database.salt_of(path) == derived.salt
    path.unlink()
    made(tmp_path)
    with pytest.raises(WrongPassphrase, match=r"the passphrase of .*was changed"):
        KeystoreDatabase.open(path, derived, "test")


def test_what_a_change_that_failed_did_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: KeystoreDatabase, broken: type[BaseException]) -> None:
        with store.change():
            store.data["office"]["name"] = "Another"
            store.table("people").clear()
            raise broken

    with opened(made(tmp_path)) as store:
        for broken in (RuntimeError, KeyboardInterrupt):
            with pytest.raises(broken):
                fail(store, broken)
            assert store.data["office"] == {"name": "Office"} and len(store.table("people")) == 1
        with store.change():
            store.table("people").put(b"new", 1)
        assert store.data["office"] == {"name": "Office"} and len(store.table("people")) == 2


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    path = made(tmp_path)
    with opened(path) as store:
        (pages,) = store._run("PRAGMA page_count").fetchone()
        store._run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(KeystoreError, match="make room") as caught, store.change():
            store.table("people").put(b"large", bytes(100_000))
        assert "full" in str(caught.value)
        assert store.table("people").get(b"large") is None


def test_rows_go_when_their_epoch_is_there_so_many_at_a_time(tmp_path: Path) -> None:
    with opened(made(tmp_path)) as store:
        table = store.table("people")
        with store.change():
            table.clear()
            for number in range(10):
                table.put(bytes([number]), number, until=number)
        for epoch, left in ((3, {0, *range(4, 10)}), (9, {0})):
            with store.change():
                table.forget(epoch, 3 if epoch == 3 else 10)
            assert set(table.values()) == left
        with store.change():
            table.put(b"kept", 1, part=1)
            table.keep_part(1)
        assert table.values() == [1]


def test_a_copy_is_one_file_of_another_kind_under_the_same_passphrase(tmp_path: Path) -> None:
    target = tmp_path / "copy"

    def change(copy: KeystoreDatabase) -> None:
        copy.data["made"] = 1

    with opened(made(tmp_path)) as store:
        store.copy_apart(target, "copy", ("people", "more"), Content(("people",), change))
        with pytest.raises(KeystoreError, match="not overwritten"):
            store.copy_apart(target, "copy", ("people",), Content(("people",), change))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy", "some.keystore", "some.keystore.lock"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    target.chmod(0o400)
    with KeystoreDatabase.read_apart(target, "phrase", "copy") as copy:
        assert (copy.data["made"], copy.data["office"]) == (1, {"name": "Office"})
        assert copy.table("people").values() == [{"who": SECRET}] and len(copy.table("more")) == 0
    with pytest.raises(WrongPassphrase):
        KeystoreDatabase.read_apart(target, "another", "copy")


def test_of_two_that_make_one_at_the_same_moment_one_does(tmp_path: Path) -> None:
    """The other has waited for it, and changes nothing."""
    path = tmp_path / "some.keystore"

    def fill(store: KeystoreDatabase) -> None:
        filled(store)
        with pytest.raises(KeystoreError, match="in use"):
            KeystoreDatabase.create(path, "other", "test", ("people",), filled, lock_wait_seconds=0)

    KeystoreDatabase.create(path, "phrase", "test", ("people",), fill).close()
    with pytest.raises(KeystoreError, match="not overwritten"):
        KeystoreDatabase.create(path, "other", "test", ("people",), filled)
    opened(path).close()


def test_a_making_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """At each of its statements: nothing is there under its name before all of it is, and the next try makes it."""
    path, statement = tmp_path / "some.keystore", 0
    while killed_at(statement, lambda: made(tmp_path)):
        if path.exists():
            opened(path).close()
            path.unlink()
        statement += 1
    assert statement > 5
    path.unlink()
    opened(made(tmp_path)).close()


def test_scrypt_is_the_keystore_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    seen = []
    monkeypatch.setattr(keystore, "_derive", lambda phrase, salt: (seen.append((phrase, len(salt))), bytes(32))[1])
    path = made(tmp_path)
    opened(path).close()
    assert seen == [("phrase", 16)] * 2


def test_every_change_is_on_the_disk_when_it_ends(tmp_path: Path) -> None:
    """In this mode of SQLite the log of changes is written before a change counts, and synced at each (2: FULL)."""
    with opened(made(tmp_path)) as store:
        asked = ("journal_mode", "synchronous", "secure_delete", "trusted_schema")
        assert [store._run(f"PRAGMA {name}").fetchone()[0] for name in asked] == ["wal", 2, 1, 0]
        with store.change():
            store.table("people").put(b"another", 1)
        another = sqlite3.connect(f"{tmp_path.as_uri()}/some.keystore?mode=ro", uri=True)
        assert another.execute("SELECT COUNT(*) FROM people").fetchone() == (2,)
        another.close()
