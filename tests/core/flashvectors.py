# Vectors on a board, whose heap holds no file of them: one row a line, read one at a time. NAME.json is a list: a file
# NAME; it is an object of lists: a folder NAME with a file for each. tools/emulator/testvolume.py writes them so.

import json
import os

folder = "/vectors"

_DIRECTORY = 0x4000
_CHUNK = 512


class Rows:
    """The rows of a file, as far as tests use a list: iterate, index, slice, len(), +."""

    def __init__(self, path):
        self._path = path
        self._starts = None

    def __iter__(self):
        with open(self._path) as file:
            for line in file:
                yield json.loads(line)

    def __len__(self):
        return len(self._index())

    def __getitem__(self, which):
        starts = self._index()[which]
        if isinstance(which, slice):
            return [self._at(start) for start in starts]
        return self._at(starts)

    def __add__(self, other):
        return list(self) + list(other)

    def _at(self, start):
        with open(self._path) as file:
            file.seek(start)
            return json.loads(file.readline())

    def _index(self):
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
            starts.pop()  # after the last row there is none
        return self._starts


def vectors(name):
    """In place of check.vectors: the same rows."""
    path = folder + "/" + name
    if os.stat(path)[0] & _DIRECTORY:
        return {key: Rows(path + "/" + key) for key in os.listdir(path)}
    return Rows(path)
