# What MicroPython and CPython do differently, and nothing else: const, AES, ticks, durable writes. The other modules of
# the core import these names from here, so their code is the same on both.

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
        """Make what was written to a file survive a power cut. On a computer MicroPython's flush() calls fsync();
        littlefs syncs when the file is closed."""
        file.flush()

    def sync_directory(path):
        """Make new and changed names in a directory survive a power cut. littlefs does so itself."""
        if sys.platform in ("linux", "darwin"):
            try:
                with open(path, "rb") as directory:
                    directory.flush()
            except OSError as error:
                if error.errno != _EISDIR:  # littlefs that is mounted on a computer opens no directories
                    raise

    def outgoing(buffer):
        """What to give a stream of a buffer that will be used again: the buffer, as MicroPython's streams copy what
        they cannot send at once."""
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
    """AES on single blocks of 16 bytes, key of 16 or 32 bytes. An object either encrypts or decrypts."""
    return _aes(key, 1)


def aes_cbc(key, iv=_ZERO_IV):
    """AES-CBC without padding, key of 16 or 32 bytes. The chain runs on from one call to the next."""
    return _aes(key, 2, iv)
