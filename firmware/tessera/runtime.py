# What differs between MicroPython and CPython, and nothing else: const, AES, ticks, durable writes.
# Every other core module imports these names from here and is then the same on both.

import sys

_EISDIR = 21
MICROPYTHON = sys.implementation.name == "micropython"

if MICROPYTHON:
    from asyncio import sleep_ms
    from gc import collect
    from time import ticks_diff, ticks_ms

    from cryptolib import aes as _aes
    from micropython import const

    def sync(file):
        """Make what was written survive a power cut: on a computer flush() is fsync(), littlefs does it at close()."""
        file.flush()

    def sync_directory(path):
        """Make a directory's names survive a power cut. littlefs does so itself, and opens no directories."""
        if sys.platform in ("linux", "darwin"):
            try:
                with open(path, "rb") as directory:
                    directory.flush()
            except OSError as error:
                if error.errno != _EISDIR:  # littlefs, mounted on a computer
                    raise

    def outgoing(buffer):
        """What a stream may be given of a buffer that will be used again: it copies what it cannot send at once."""
        return buffer

else:
    from .runtime_cpython import aes as _aes
    from .runtime_cpython import (  # noqa: F401
        collect,
        const,
        outgoing,
        sleep_ms,
        sync,
        sync_directory,
        ticks_diff,
        ticks_ms,
    )


_ZERO_IV = bytes(16)


def aes_ecb(key):
    """AES on single 16-byte blocks; key 16 or 32 bytes. One object encrypts or decrypts, never both."""
    return _aes(key, 1)


def aes_cbc(key, iv=_ZERO_IV):
    """AES-CBC without padding; the chain runs on from one call to the next."""
    return _aes(key, 2, iv)
