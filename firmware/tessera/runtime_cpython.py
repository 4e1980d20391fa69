# For runtime.py: what MicroPython has and CPython lacks. It is a module of its own so that boards, which have little
# room for code, need not carry it.

import asyncio
import sys
import time
from os import O_RDONLY, close, fsync
from os import open as open_descriptor

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def const(value):
    """The value. On MicroPython the compiler puts the value in place of the name."""
    return value


def collect():
    """Nothing: CPython counts references. On MicroPython it collects garbage now, not when the allocator chooses to."""


def ticks_ms():
    """Milliseconds of a clock that never jumps. Compare two of them with ticks_diff() only."""
    return time.monotonic_ns() // 1_000_000


async def sleep_ms(milliseconds):
    """Sleep until so many milliseconds of ticks_ms() have begun. The end depends only on the tick in which it was
    called, and not on how much of that tick had passed, which would tell how long work took."""
    await asyncio.sleep(milliseconds / 1000 - time.monotonic_ns() % 1_000_000 / 1e9)


def ticks_diff(later, earlier):
    """later - earlier, in milliseconds. MicroPython's ticks wrap, so it has a function for this."""
    return later - earlier


def sync(file):
    """Make what was written to a file survive a power cut."""
    file.flush()
    fsync(file.fileno())


def sync_directory(path):
    """Make new and changed names in a directory survive a power cut. Windows does so itself."""
    if sys.platform != "win32":
        directory = open_descriptor(path, O_RDONLY)
        try:
            fsync(directory)
        finally:
            close(directory)


def outgoing(buffer):
    """What to give a stream of a buffer that will be used again: a copy, as asyncio's streams keep a reference."""
    return bytes(buffer)


class aes:
    """MicroPython's cryptolib.aes, over the library `cryptography`. The chain runs on from call to call. mode: 1 is
    ECB, 2 is CBC."""

    def __init__(self, key, mode, iv=None):
        chaining = modes.CBC(bytes(iv)) if mode == 2 else modes.ECB()
        self._cipher = Cipher(algorithms.AES(bytes(key)), chaining)
        self._context = None

    def encrypt(self, data, out=None):
        if self._context is None:
            self._context = self._cipher.encryptor()
        return self._update(data, out)

    def decrypt(self, data, out=None):
        if self._context is None:
            self._context = self._cipher.decryptor()
        return self._update(data, out)

    def _update(self, data, out):
        result = self._context.update(data)
        if out is None:
            return result
        out[: len(result)] = result
        return None
