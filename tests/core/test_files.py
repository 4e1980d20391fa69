# Small files in a real folder: read, replaced as a whole, appended to.

import os

from check import raises, skip
from tessera import files
from tessera.files import Directory
from tessera.runtime import MICROPYTHON
from workfolder import WorkFolder


def test_what_is_replaced_is_read_back():
    with WorkFolder() as path:
        directory = Directory(path)
        for data in (b"first", b"a longer second one", b"", bytes(range(256)) * 20):
            directory.replace("name", data)
            assert directory.read("name") == data and directory.size("name") == len(data)
        assert os.listdir(path) == ["name"]


def test_a_folder_may_be_named_with_a_slash():
    with WorkFolder() as path:
        Directory(path + "/").replace("name", b"data")
        assert Directory(path).read("name") == b"data"


def test_a_missing_file_is_none_and_empty():
    with WorkFolder() as path:
        directory = Directory(path)
        assert directory.read("name") is None and directory.size("name") == 0
        directory.remove("name")
        raises(OSError, directory.read_at, "name", 0, 1)
        raises(OSError, directory.rename, "name", "other")


def test_what_is_appended_follows_what_is_there():
    with WorkFolder() as path:
        directory = Directory(path)
        for part in (b"one ", b"two ", b"three"):
            directory.append("name", part)
        assert directory.read("name") == b"one two three"


def test_parts_are_read_as_far_as_the_file_goes():
    with WorkFolder() as path:
        directory = Directory(path)
        directory.replace("name", bytes(range(100)))
        assert directory.read_at("name", 0, 3) == b"\x00\x01\x02"
        assert directory.read_at("name", 98, 10) == b"\x62\x63"
        assert directory.read_at("name", 100, 10) == b""


def test_a_file_moves_over_another():
    with WorkFolder() as path:
        directory = Directory(path)
        directory.replace("old", b"old")
        directory.replace("new", b"new")
        directory.rename("new", "old")
        assert directory.read("old") == b"new" and directory.read("new") is None


def test_a_removed_file_is_gone():
    with WorkFolder() as path:
        directory = Directory(path)
        directory.replace("name", b"data")
        directory.remove("name")
        assert directory.read("name") is None and os.listdir(path) == []


def test_a_replacement_that_was_cut_off_leaves_the_old_file():
    with WorkFolder() as path:
        directory = Directory(path)
        directory.replace("name", b"the old content")
        with open(path + "/name.new", "wb") as file:  # as far as it came
            file.write(b"the new con")
        directory = Directory(path)
        assert directory.read("name") == b"the old content"
        directory.replace("name", b"short")
        assert directory.read("name") == b"short" and os.listdir(path) == ["name"]


def test_what_changed_is_synced_and_then_its_name():
    noted = []
    real = files.sync, files.sync_directory
    with WorkFolder() as path:
        directory = Directory(path)

        def note(what):
            noted.append((what, directory.read("name"), directory.read("other")))

        files.sync = lambda file: (real[0](file), note("data"))
        files.sync_directory = lambda of: (real[1](of), note("names"))
        try:
            directory.replace("name", b"1")
            directory.append("name", b"2")
            directory.rename("name", "other")
            directory.remove("other")
            directory.remove("other")  # nothing changes
        finally:
            files.sync, files.sync_directory = real
    assert noted == [
        ("data", None, None),
        ("names", b"1", None),
        ("data", b"12", None),
        ("names", b"12", None),
        ("names", None, b"12"),
        ("names", None, None),
    ]


def test_on_cpython_a_sync_asks_the_system_for_it():
    if MICROPYTHON:
        skip("there it is the runtime's own")
    from tessera import runtime_cpython as runtime

    sizes, real = [], runtime.fsync

    def noting(descriptor):
        sizes.append(os.fstat(descriptor).st_size)
        real(descriptor)

    runtime.fsync = noting
    try:
        with WorkFolder() as path:
            with open(path + "/name", "wb") as file:
                file.write(b"data")
                runtime.sync(file)
            assert sizes == [4], "what was written was not the system's yet"
            runtime.sync_directory(path)
    finally:
        runtime.fsync = real
    assert len(sizes) == 2


def test_what_cannot_be_read_is_not_missing():
    with WorkFolder() as path:
        os.mkdir(path + "/name")
        Directory(path + "/name").replace("inside", b"")  # littlefs would remove an empty folder
        directory = Directory(path)
        raises(OSError, directory.read, "name")
        raises(OSError, directory.remove, "name")
        os.remove(path + "/name/inside")
        os.rmdir(path + "/name")
