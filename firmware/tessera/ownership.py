# Protects a relay's directory on a computer: one program uses it at a time, and only its owner can read it. What is in
# it is the business of filedevice.py, files.py and the programs. A board has no other programs or users.

import os
import sys

from .errors import Error
from .runtime import MICROPYTHON

_MARK = "relay.json"  # every relay directory has it, and it is never replaced or removed, so it is what is locked
_WINDOWS_LOCK = "lock"  # locked instead on Windows, where a locked file cannot be read
_OTHERS = 0o077  # permission bits of group and others

if MICROPYTHON:
    import ffi

    _libc = ffi.open(None)
    _flock = _libc.func("i", "flock", "ii")
    _umask = _libc.func("i", "umask", "i")
    _chmod_c = _libc.func("i", "chmod", "si")
    _readlink = _libc.func("i", "readlink", "spi")
    _user = _libc.func("i", "geteuid", "")

    def _chmod(path, mode):
        if _chmod_c(path, mode):
            raise OSError(os.errno())

    def _is_link(path):
        return _readlink(path, bytearray(1), 1) >= 0

    def _lock(file):
        if _flock(file.fileno(), 2 | 4):  # LOCK_EX | LOCK_NB
            raise OSError(os.errno())

elif sys.platform == "win32":
    import msvcrt

    _umask, _chmod, _is_link, _user = os.umask, os.chmod, os.path.islink, None

    def _lock(file):
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    _umask, _chmod, _is_link, _user = os.umask, os.chmod, os.path.islink, os.geteuid

    def _lock(file):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take(path):
    """Lock a relay directory; call it before anything in it is read. Returns an open file that holds the lock.

    No other program can take the directory until the file is closed or this program ends, in whatever way. From now on
    new files of this program can be read by their owner only, and the directory and its files are tightened to that.
    Error if it is no relay directory, if another program has it, or if it belongs to another user.
    """
    mark = path + "/" + _MARK
    try:
        os.stat(mark)
    except OSError:
        raise Error("{} is no relay directory: make one with `tessera relay new`".format(path)) from None
    owner = os.stat(path)[4]
    if _user and owner != _user():
        raise Error("{} belongs to another user ({}): start the relay as that user".format(path, owner))
    _umask(_OTHERS)
    try:
        file = open(mark, "rb") if _user else open(path + "/" + _WINDOWS_LOCK, "ab")
    except OSError as error:
        raise Error("{} cannot be used: {}".format(path, error)) from None
    try:
        _lock(file)
    except OSError as error:
        file.close()
        raise _not_taken(path, error) from None
    try:
        _tighten(path)
        for name in os.listdir(path):
            if not _is_link(path + "/" + name):  # the target of a link does not belong to the relay
                _tighten(path + "/" + name)
    except OSError as error:
        file.close()
        raise Error("{} may be read by others: run `chmod -R go= {}` ({})".format(path, path, error)) from None
    return file


def _not_taken(path, error):
    if error.errno in (11, 13, 35):  # EAGAIN, EACCES of Windows, EAGAIN of macOS
        return Error("another relay runs on this directory: {}; stop that one first".format(path))
    return Error("{} cannot be locked against other programs: {}".format(path, error))


def _tighten(path):
    mode = os.stat(path)[0]
    if mode & _OTHERS and sys.platform != "win32":
        _chmod(path, mode & 0o700)
