# The relay's small files, on littlefs or in a directory of a computer: read, replace as a whole, append. What is in
# them is the business of parameterstore, ledger and the program that runs the relay.

import os
from errno import ENOENT

from .runtime import sync, sync_directory


def _absent(error, path):
    """None if the OSError says that there is no such file. Any other error is raised, with the path in it."""
    if error.errno != ENOENT:
        raise OSError(error.errno, path)


class Directory:
    """The files of one directory, by name. Changes are durable when a method returns; OSError if one fails.

    After a power cut a replaced file is the old one or the new one, never a mixture.
    """

    def __init__(self, path):
        self._path = path.rstrip("/") + "/"

    def read(self, name):
        """The content (bytes), None if there is no such file. OSError if there is one that cannot be read."""
        try:
            with open(self._path + name, "rb") as file:
                return file.read()
        except OSError as error:
            return _absent(error, self._path + name)

    def read_at(self, name, offset, length):
        """Up to `length` bytes, from byte `offset` on. OSError if there is no such file."""
        with open(self._path + name, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def size(self, name):
        """How many bytes the file has, 0 if there is no such file."""
        try:
            return os.stat(self._path + name)[6]
        except OSError as error:
            return _absent(error, self._path + name) or 0

    def replace(self, name, *parts):
        """Write the file anew, atomically. Its parts (bytes) need not be joined in memory."""
        with open(self._path + name + ".new", "wb") as file:
            for part in parts:
                file.write(part)
            sync(file)
        self.rename(name + ".new", name)

    def append(self, name, data):
        """Write data (bytes) at the end of the file, which is made if it is missing. A power cut may leave a part."""
        with open(self._path + name, "ab") as file:
            file.write(data)
            sync(file)
        sync_directory(self._path)  # the file may be a new one

    def rename(self, name, new_name):
        """Give the file another name; a file of that name is replaced."""
        os.rename(self._path + name, self._path + new_name)
        sync_directory(self._path)

    def remove(self, name):
        """Delete the file if there is one."""
        try:
            os.remove(self._path + name)
        except OSError as error:
            return _absent(error, self._path + name)
        sync_directory(self._path)
