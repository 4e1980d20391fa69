# Vectors on a board, whose heap holds no file of them: one row a line, read one at a time. NAME.json is a list: a file
# NAME; it is an object of lists: a folder NAME with a file for each. tools/emulator/testvolume.py writes them so.

import gc
import io
import json
import os

folder = "/vectors"

_DIRECTORY = 0x4000
_CHUNK = 512
_SHORT = 30000  # of a row, in bytes

_files = {}  # Rows by path: where their rows start is found once


class _Part(io.IOBase):
    """The next `length` bytes of a file as a stream."""

    def __init__(self, file, length):
        self._file = file
        self._left = length

    def readinto(self, buffer):
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def read(self):
        """All of it, for CPython's json."""
        return self._file.read(self._left)


class Rows:
    """Rows, as far as tests use a list of them: iterate, index, slice, len(), +. Each is read when it is asked for, of
    a slice or a sum too: a board's heap has room for a few."""

    def __init__(self, source, numbers=None):
        self._source = source  # source[number] is a row, len(source) says how many there are
        self._numbers = numbers  # those that are meant (a range); all of them are counted when they are wanted

    def _chosen(self):
        if self._numbers is None:
            self._numbers = range(len(self._source))
        return self._numbers

    def __iter__(self):
        for number in self._chosen():
            yield self._source[number]

    def __len__(self):
        return len(self._chosen())

    def __getitem__(self, which):
        chosen = self._chosen()[which]
        return Rows(self._source, chosen) if isinstance(which, slice) else self._source[chosen]

    def __add__(self, other):
        return Rows(_Both(self, other))


class _Both:
    """The rows of one and then of another."""

    def __init__(self, first, second):
        self._first, self._second = first, second

    def __len__(self):
        return len(self._first) + len(self._second)

    def __getitem__(self, number):
        past = number - len(self._first)
        return self._first[number] if past < 0 else self._second[past]


class _File:
    """The rows of a file."""

    def __init__(self, path):
        self._path = path
        self._starts = None

    def __len__(self):
        return len(self._index()) - 1

    def __getitem__(self, number):
        start, end = self._index()[number : number + 2]
        with open(self._path, "rb") as file:
            if end - start <= _SHORT:
                try:
                    gc.collect()
                    file.seek(start)
                    return json.loads(file.read(end - start))
                except MemoryError:
                    pass  # no room for its text in one piece
            gc.collect()
            file.seek(start)
            return json.load(_Part(file, end - start))  # without its text, which would be a quarter of the heap

    def _index(self):
        """Where each row starts, and where the last one ends."""
        if self._starts is None:
            starts = self._starts = [0]
            with open(self._path, "rb") as file:
                position, chunk = 0, file.read(_CHUNK)
                while chunk:
                    at = chunk.find(b"\n")
                    while at >= 0:
                        starts.append(position + at + 1)
                        at = chunk.find(b"\n", at + 1)
                    position += len(chunk)
                    chunk = file.read(_CHUNK)
        return self._starts


def vectors(name):
    """In place of check.vectors: the same rows."""
    path = folder + "/" + name
    if os.stat(path)[0] & _DIRECTORY:
        return {key: _rows(path + "/" + key) for key in os.listdir(path)}
    return _rows(path)


def _rows(path):
    if path not in _files:
        _files[path] = Rows(_File(path))
    return _files[path]
