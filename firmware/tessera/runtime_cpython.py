# What CPython lacks of MicroPython, for runtime.py; not on boards, where each byte of code takes room from an update.

import asyncio
import sys
import time
from os import O_RDONLY, close, fsync
from os import open as open_descriptor

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def const(value):
    return value


def collect():
    """Collect garbage now and not at a moment of the allocator's choice; CPython counts references instead."""


def ticks_ms():
    """Milliseconds of a clock that never steps; compare with ticks_diff only."""
    return time.monotonic_ns() // 1_000_000


async def sleep_ms(milliseconds):
    """Until so many milliseconds of ticks_ms() have begun: when that is depends on the tick of the call alone, and not
    on what work took since it began."""
    await asyncio.sleep(milliseconds / 1000 - time.monotonic_ns() % 1_000_000 / 1e9)


def ticks_diff(later, earlier):
    return later - earlier


def sync(file):
    """Make what was written survive a power cut."""
    file.flush()
    fsync(file.fileno())


def sync_directory(path):
    """Make a directory's names survive a power cut. Windows does so itself, and opens no directories."""
    if sys.platform != "win32":
        directory = open_descriptor(path, O_RDONLY)
        try:
            fsync(directory)
        finally:
            close(directory)


def outgoing(buffer):
    """What a stream may be given of a buffer that will be used again: a copy, as it keeps a reference."""
    return bytes(buffer)


class aes:
    """cryptolib.aes over the library `cryptography`: state runs on from call to call, as on MicroPython."""

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
