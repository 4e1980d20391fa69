"""Keystores: secret, whole, one at a time."""

import fcntl
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tessera_host.errors import KeystoreError, UsageError, WrongPassphrase
from tessera_host.keys import keystore as module
from tessera_host.keys import passphrase
from tessera_host.keys.keystore import Keystore

DATA = {"secret": b"\x01\x02", "numbers": {5: [1, "two", b"three", None, True]}}


def made(tmp_path: Path, data: dict[str, Any] | None = None) -> Path:
    path = tmp_path / "a" / "x.keystore"
    Keystore.create(path, "phrase", "test", dict(data or DATA)).close()
    return path


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    path = made(tmp_path)
    with Keystore.open(path, "phrase", "test") as store:
        assert store.data == DATA
        store.data["more"] = 1
        store.save()
        store.data["never"] = 1
    with Keystore.open(path, "phrase", "test") as store:
        assert store.data == DATA | {"more": 1}


def test_file_is_what_the_format_says(tmp_path: Path) -> None:
    """Read with the primitives alone."""
    raw = made(tmp_path).read_bytes()
    line, _, rest = raw.partition(b"\n")
    header = json.loads(line)
    assert header["format"] == "tessera-keystore"
    assert (header["version"], header["kind"], header["kdf"]) == (1, "test", "scrypt")
    assert (header["n"], header["r"], header["p"]) == (32768, 8, 1)
    key = Scrypt(salt=bytes.fromhex(header["salt"]), length=32, n=32768, r=8, p=1).derive(b"phrase")
    plaintext = AESGCM(key).decrypt(bytes.fromhex(header["nonce"]), rest[:-32], line + b"\n")
    assert cbor2.loads(plaintext) == DATA


def test_every_save_has_its_own_nonce(tmp_path: Path) -> None:
    path = made(tmp_path)
    with Keystore.open(path, "phrase", "test") as store:
        nonces = set()
        for _ in range(20):
            store.save()
            nonces.add(json.loads(path.read_bytes().partition(b"\n")[0])["nonce"])
    assert len(nonces) == 20


def test_every_keystore_has_its_own_salt(tmp_path: Path) -> None:
    one, other = made(tmp_path), made(tmp_path / "other")
    assert len({module.salt_of(one), module.salt_of(other)} - {None}) == 2


def test_wrong_passphrase_is_said_to_be_that(tmp_path: Path) -> None:
    with pytest.raises(WrongPassphrase, match="wrong passphrase"):
        Keystore.open(made(tmp_path), "Phrase", "test")


@pytest.mark.parametrize("place", ["format", "salt", "body", "digest", "cut", "empty"])
def test_damage_is_not_called_a_wrong_passphrase(tmp_path: Path, place: str) -> None:
    path = made(tmp_path)
    raw = bytearray(path.read_bytes())
    at = {"format": 5, "salt": raw.index(b'"salt"') + 12, "body": len(raw) - 40, "digest": len(raw) - 1}.get(place, 0)
    raw[at] ^= 1
    path.write_bytes({"cut": bytes(raw[:-50]), "empty": b""}.get(place, bytes(raw)))
    with pytest.raises(KeystoreError) as caught:
        Keystore.open(path, "phrase", "test")
    assert not isinstance(caught.value, WrongPassphrase)


def test_header_is_authenticated(tmp_path: Path) -> None:
    """A forger who mends the digest still cannot make one kind of keystore into another."""
    path = made(tmp_path)
    content = path.read_bytes()[:-32].replace(b'"kind": "test"', b'"kind": "gift"')
    path.write_bytes(content + module.hashlib.sha256(content).digest())
    with pytest.raises(WrongPassphrase):
        Keystore.open(path, "phrase", "gift")


def test_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="kind 'test', but 'issuer' is needed"):
        Keystore.open(made(tmp_path), "phrase", "issuer")


def test_costly_parameters_of_a_planted_file_are_not_used(tmp_path: Path) -> None:
    path = made(tmp_path)
    content = path.read_bytes()[:-32].replace(b'"n": 32768', b'"n": 1073741824')
    path.write_bytes(content + module.hashlib.sha256(content).digest())
    with pytest.raises(KeystoreError, match="format"):
        Keystore.open(path, "phrase", "test")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = made(tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="not overwritten"):
        Keystore.create(path, "phrase", "test", {})
    assert path.read_bytes() == before


def test_a_dangling_link_is_not_followed_by_create(tmp_path: Path) -> None:
    path = tmp_path / "x.keystore"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeystoreError, match="not overwritten"):
        Keystore.create(path, "phrase", "test", {})


def test_behind_a_link_the_file_itself_is_replaced_and_locked(tmp_path: Path) -> None:
    path = made(tmp_path)
    link = tmp_path / "b" / "x.keystore"
    link.parent.mkdir()
    link.symlink_to(path)
    with Keystore.open(link, "phrase", "test") as store:
        store.data["more"] = 1
        store.save()
        with pytest.raises(KeystoreError, match="in use"):
            Keystore.open(path, "phrase", "test", 0)
        store.release()
        store.reacquire()
        store.data["again"] = 2
        store.save()
    assert link.is_symlink() and [each.name for each in link.parent.iterdir()] == ["x.keystore"]
    with Keystore.open(path, "phrase", "test") as store:
        assert store.data == DATA | {"more": 1, "again": 2}


def test_a_file_system_without_locks_is_no_warning(tmp_path: Path) -> None:
    """On such a one a file is the lock."""
    program = (
        "import errno, fcntl, os\n"
        "def flock(file, how): raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))\n"
        "fcntl.flock = flock\n"
        "from tessera_host.keys.keystore import Keystore\n"
        "from pathlib import Path\n"
        "Keystore.create(Path('x.keystore'), 'phrase', 'test', {'a': 1}).close()\n"
        "with Keystore.open(Path('x.keystore'), 'phrase', 'test') as store: store.save()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_missing_file_and_empty_passphrase(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="there is no test's keystore in"):
        Keystore.open(tmp_path / "none", "phrase", "test")
    with pytest.raises(KeystoreError, match="empty passphrase"):
        Keystore.create(tmp_path / "x", "", "test", {})
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with Keystore.open(path, "phrase", "test") as store:
        store.save()
    assert path.stat().st_mode & 0o777 == 0o600


def test_second_opening_waits_and_then_gives_up(tmp_path: Path) -> None:
    path = made(tmp_path)
    with Keystore.open(path, "phrase", "test"), pytest.raises(KeystoreError, match="in use"):
        Keystore.open(path, "phrase", "test", lock_wait_seconds=0.1)
    Keystore.open(path, "phrase", "test", lock_wait_seconds=0).close()


def test_failed_opening_gives_the_lock_back(tmp_path: Path) -> None:
    path = made(tmp_path)
    for _ in range(2):
        with pytest.raises(WrongPassphrase):
            Keystore.open(path, "wrong", "test", lock_wait_seconds=0)
    with pytest.raises(KeystoreError):
        Keystore.create(path, "phrase", "test", {})
    Keystore.open(path, "phrase", "test", lock_wait_seconds=0).close()


def _count_up(path: Path, times: int) -> None:
    for _ in range(times):
        with Keystore.open(path, "phrase", "test", lock_wait_seconds=60) as store:
            store.data["count"] += 1
            store.save()


def test_two_processes_do_not_interleave(tmp_path: Path) -> None:
    path = made(tmp_path, {"count": 0})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count_up, args=(path, 5)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with Keystore.open(path, "phrase", "test") as store:
        assert store.data["count"] == 15


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_failed_save_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    path = made(tmp_path)
    store = Keystore.open(path, "phrase", "test")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        store.data["more"] = 1
        with pytest.raises(KeystoreError, match="No space left"):
            store.save()
    store.close()
    with Keystore.open(path, "phrase", "test") as again:
        assert again.data == DATA


def test_save_syncs_the_file_before_it_replaces_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    calls: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(file: int) -> None:
        calls.append("directory" if os.path.isdir(f"/proc/self/fd/{file}") else "file")
        real_sync(file)

    def replace(*names: Any) -> None:
        calls.append("replace")
        real_replace(*names)

    with Keystore.open(path, "phrase", "test") as store:
        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", replace)
        store.save()
    assert calls == ["file", "replace", "directory"]


def test_closed_keystore_holds_nothing(tmp_path: Path) -> None:
    store = Keystore.open(made(tmp_path), "phrase", "test")
    store.close()
    store.close()
    assert store.data == {}
    with pytest.raises(KeystoreError, match="is closed"):
        store.save()
    with pytest.raises(KeystoreError, match="is closed"):
        _ = store.derived_key
    with pytest.raises(KeystoreError, match="is closed"):
        store.reacquire()


def test_secrets_stay_out_of_reprs_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.keystore"
    with Keystore.create(path, "phrase-abc", "test", {"secret": "plain-xyz"}) as store:
        shown = repr(store) + str(store)
        key = store._key
        assert key is not None
        assert "phrase-abc" not in shown
        assert "plain-xyz" not in shown
        assert repr(key) not in shown
    with pytest.raises(WrongPassphrase) as caught:
        Keystore.open(path, "phrase-def", "test")
    assert "phrase-def" not in str(caught.value)


def test_lock_is_an_flock_on_the_file_beside(tmp_path: Path) -> None:
    path = made(tmp_path)
    with (
        Keystore.open(path, "phrase", "test"),
        (path.parent / "x.keystore.lock").open() as beside,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(beside, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- where the passphrase comes from


def test_passphrase_is_the_first_line_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option, environment = tmp_path / "option", tmp_path / "environment"
    option.write_text("from option\nsecond line\n")
    environment.write_text("from environment")
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(environment))
    assert passphrase.obtain(option, confirm=True) == "from option"
    assert passphrase.obtain(None, confirm=True) == "from environment"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_passphrase_file_may_come_from_notepad(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes("Käse\r\nmore\r\n".encode(encoding))
    assert passphrase.obtain(file, confirm=False) == "Käse"


def test_passphrase_is_one_however_it_was_typed(tmp_path: Path) -> None:
    path = tmp_path / "phrase"
    path.write_text("Gru\u0308\u00dfe")
    assert passphrase.obtain(path, confirm=False) == "Gr\u00fc\u00dfe"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_file_without_a_passphrase_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "phrase"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        passphrase.obtain(path, confirm=False)
    with pytest.raises(UsageError, match="cannot be read"):
        passphrase.obtain(tmp_path / "none", confirm=False)


def test_passphrase_is_asked_for_twice_if_it_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESSERA_PASSPHRASE_FILE", raising=False)
    answers = iter(["one", "one", "three"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    assert passphrase.obtain(None, confirm=True) == "one"
    assert passphrase.obtain(None, confirm=False) == "three"


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [(["one", "two"], "differ"), ([""], "is empty")],
    ids=["two that differ", "an empty one"],
)
def test_a_passphrase_that_was_typed_wrong_is_asked_for_again_a_few_times(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], wrong: str
) -> None:
    monkeypatch.delenv("TESSERA_PASSPHRASE_FILE", raising=False)
    answers = iter([*typed, "three", "three", *(3 * typed)])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    assert passphrase.obtain(None, confirm=True) == "three"
    with pytest.raises(UsageError, match=wrong):
        passphrase.obtain(None, confirm=True)
    assert next(answers, None) is None


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESSERA_PASSPHRASE_FILE", raising=False)

    def no_terminal(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", no_terminal)
    with pytest.raises(UsageError, match="no terminal"):
        passphrase.obtain(None, confirm=False)


# -- released and taken again


def test_released_keystore_is_another_s_and_is_seen_anew_without_the_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path)
    with Keystore.open(path, "phrase", "test") as store:
        store.release()
        assert not store.is_held
        assert store.data == {}
        with Keystore.open(path, "phrase", "test", 0) as other:
            other.data["more"] = 1
            other.save()
        with monkeypatch.context() as without_scrypt:
            without_scrypt.delattr(module, "_derive")
            store.reacquire()
        assert store.data == DATA | {"more": 1}
        store.reacquire()  # held already: nothing happens
        store.data["mine"] = 2
        store.save()
    with Keystore.open(path, "phrase", "test") as store:
        assert store.data == DATA | {"more": 1, "mine": 2}


def test_released_keystore_cannot_be_saved(tmp_path: Path) -> None:
    store = Keystore.open(made(tmp_path), "phrase", "test")
    store.release()
    store.release()
    with pytest.raises(KeystoreError, match="not held"):
        store.save()
    with store.held():
        store.save()
    assert not store.is_held
    store.close()
    with pytest.raises(KeystoreError, match="closed"):
        store.reacquire()
    with pytest.raises(KeystoreError, match="closed"):
        store.save()


def test_taking_again_waits_for_who_has_it_and_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = made(tmp_path)
    store = Keystore.open(path, "phrase", "test")
    store.release()
    with Keystore.open(path, "phrase", "test"), pytest.raises(KeystoreError, match="in use"):
        store.reacquire(0)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    with pytest.raises(KeystoreError, match="damaged"):
        store.reacquire(0)
    path.write_bytes(raw)
    store.reacquire(0)
    assert store.data == DATA


def test_keystore_that_was_replaced_meanwhile_is_not_taken_for_the_same(tmp_path: Path) -> None:
    path = made(tmp_path)
    store = Keystore.open(path, "phrase", "test")
    store.release()
    path.unlink()
    Keystore.create(path, "phrase", "test", {"other": 1}).close()
    with pytest.raises(KeystoreError, match="replaced"):
        store.reacquire(0)


# -- two threads of one program


def test_two_threads_hold_it_one_after_the_other(tmp_path: Path) -> None:
    """Each counts up in the file; whoever saw what the other had not saved yet, or saved for it, would lose one."""
    store = Keystore.open(made(tmp_path, {"count": 0}), "phrase", "test")
    store.release()
    inside: list[int] = []

    def count() -> None:
        for _ in range(10):
            with store.held():
                inside.append(1)
                seen = store.data["count"]
                time.sleep(0.001)
                assert len(inside) == 1
                store.data["count"] = seen + 1
                store.save()
                inside.clear()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count) for _ in range(4)]:
            done.result()
    assert not store.is_held
    with store.held():
        assert store.data == {"count": 40}


def test_who_waited_too_long_for_another_thread_is_refused_and_takes_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_WAIT_SECONDS", 0.0)
    store = Keystore.open(made(tmp_path), "phrase", "test")
    with ThreadPoolExecutor(1) as pool:

        def refused() -> None:
            with pytest.raises(KeystoreError, match="in use"), store.held():
                pass

        pool.submit(refused).result()
    assert store.is_held and store.data == DATA


def test_a_lock_is_given_back_after_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment it is free another thread has it, and what follows would be done to the keystore that it opened."""
    store = Keystore.open(made(tmp_path), "phrase", "test")
    release = module.Lock.release

    def released(lock: Any) -> None:
        release(lock)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(store.reacquire).result()

    with monkeypatch.context() as patch:
        patch.setattr(module.Lock, "release", released)
        store.release()
    assert store.is_held and store.data == DATA
    store.save()


def test_what_is_empty_is_not_saved(tmp_path: Path) -> None:
    path = made(tmp_path)
    before = path.read_bytes()
    with Keystore.open(path, "phrase", "test") as store:
        store.data = {}
        with pytest.raises(KeystoreError, match="would erase all"):
            store.save()
    assert path.read_bytes() == before
    with pytest.raises(KeystoreError):
        Keystore.create(tmp_path / "new" / "store", "phrase", "test", {})
    assert not (tmp_path / "new" / "store").exists()
