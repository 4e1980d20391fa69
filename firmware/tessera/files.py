# Small files of the relay (littlefs on a board, a directory on a computer): read, replace as a whole, append.
# What is in them is the business of parameterstore, ledger and the entry script.

import os
from errno import ENOENT

from .runtime import sync, sync_directory


def _absent(error, path):
    """None if the error says that there is no such file; any other is the caller's caller's, with its name."""
    if error.errno != ENOENT:
        raise OSError(error.errno, path)


class Directory:
    """Files of one directory by name; a replaced file is the old or the new one after a power cut, never a mixture."""

    def __init__(self, path):
        self._path = path.rstrip("/") + "/"

    def read(self, name):
        """The content, None if there is no such file. OSError if there is one that cannot be read."""
        try:
            with open(self._path + name, "rb") as file:
                return file.read()
        except OSError as error:
            return _absent(error, self._path + name)

    def read_at(self, name, offset, length):
        """Up to length bytes from offset."""
        with open(self._path + name, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def size(self, name):
        """Bytes in the file, 0 if there is none."""
        try:
            return os.stat(self._path + name)[6]
        except OSError as error:
            return _absent(error, self._path + name) or 0

    def replace(self, name, *parts):
        """Write the file anew, atomically, from parts that need not be joined in memory."""
        with open(self._path + name + ".new", "wb") as file:
            for part in parts:
                file.write(part)
            sync(file)
        self.rename(name + ".new", name)

    def append(self, name, data):
        """Durable when it returns, as all that changes something is."""
        with open(self._path + name, "ab") as file:
            file.write(data)
            sync(file)
        sync_directory(self._path)  # the file may be a new one

    def rename(self, name, new_name):
        os.rename(self._path + name, self._path + new_name)
        sync_directory(self._path)

    def remove(self, name):
        """Delete the file if it is there."""
        try:
            os.remove(self._path + name)
        except OSError as error:
            return _absent(error, self._path + name)
        sync_directory(self._path)
