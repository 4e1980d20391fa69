# A relay directory is one program's at a time, and what is in it nobody's but its owner's.

import os

from check import raises, skip
from tessera import ownership
from tessera.errors import Error
from tessera.filedevice import FileDevice
from tessera.files import Directory
from tessera.ownership import take
from tessera.runtime import MICROPYTHON
from workfolder import WorkFolder

OTHERS = 0o077
USUAL = 0o022


def _write(path):
    with open(path, "wb") as file:
        file.write(b"{}")


def _modes(path):
    return [os.stat(path)[0] & OTHERS] + [os.stat(path + "/" + name)[0] & OTHERS for name in os.listdir(path)]


def _refusal(path):
    try:
        take(path)
    except Error as error:
        return str(error)
    raise AssertionError("taken")


def test_a_directory_that_is_taken_is_not_taken_again_until_it_is_free():
    with WorkFolder() as path:
        _write(path + "/relay.json")
        held = take(path)
        for _ in range(2):
            assert _refusal(path).startswith("another relay runs on this directory: " + path)
        held.close()
        take(path).close()


def test_a_folder_that_is_no_relays_is_left_alone():
    with WorkFolder() as path:
        mode = os.stat(path)[0]
        assert "no relay directory" in _refusal(path)
        assert "no relay directory" in _refusal(path + "/absent")
        assert os.listdir(path) == [] and os.stat(path)[0] == mode


def test_what_others_may_read_is_taken_from_them():
    ownership._umask(USUAL)
    with WorkFolder() as path:
        for name in ("relay.json", "seed", "keys.flash"):
            _write(path + "/" + name)
        assert all(_modes(path))
        take(path).close()
        assert not any(_modes(path))


def test_what_is_made_in_it_is_its_owners_only():
    ownership._umask(USUAL)
    with WorkFolder() as path:
        _write(path + "/relay.json")
        held = take(path)
        FileDevice(path + "/ring.flash", 2).close()
        directory = Directory(path)
        directory.replace("parameters", b"new")
        directory.append("ledger", b"new")
        assert not any(_modes(path)) and len(os.listdir(path)) == 4
        held.close()
    raises(Error, take, path)


def test_what_a_link_leads_to_is_not_the_relays():
    if MICROPYTHON:
        skip("it makes no links")
    ownership._umask(USUAL)
    with WorkFolder() as path, WorkFolder() as other:
        _write(path + "/relay.json")
        _write(other + "/notes")
        os.symlink(other + "/notes", path + "/notes")
        os.symlink(path + "/nothing", path + "/.#relay.json")  # as an editor leaves one
        take(path).close()
        assert os.stat(other + "/notes")[0] & OTHERS
        os.remove(path + "/notes")
        os.remove(path + "/.#relay.json")


def test_a_directory_of_somebody_else_is_left_alone():
    user = ownership._user
    with WorkFolder() as path:
        _write(path + "/relay.json")
        mode = os.stat(path)[0]
        ownership._user = lambda: 4711
        try:
            assert "belongs to another user" in _refusal(path)
        finally:
            ownership._user = user
        assert os.listdir(path) == ["relay.json"] and os.stat(path)[0] == mode


def test_a_lock_does_not_go_with_a_file_that_somebody_removes():
    with WorkFolder() as path:
        _write(path + "/relay.json")
        held = take(path)
        for name in os.listdir(path):
            if name != "relay.json":
                os.remove(path + "/" + name)
        assert "another relay runs" in _refusal(path)
        held.close()
