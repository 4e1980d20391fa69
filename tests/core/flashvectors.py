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
    """The rows of a file, as far as tests use a list: iterate, index, slice, len(), +."""

    def __init__(self, path):
        self._path = path
        self._starts = None

    def __iter__(self):
        for number in range(len(self)):
            yield self[number]

    def __len__(self):
        return len(self._index()) - 1

    def __getitem__(self, which):
        numbers = range(len(self))[which]
        return [self._row(number) for number in numbers] if isinstance(which, slice) else self._row(numbers)

    def __add__(self, other):
        return list(self) + list(other)

    def _row(self, number):
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
        _files[path] = Rows(path)
    return _files[path]
