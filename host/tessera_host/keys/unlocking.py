"""Keystores that stay unlocked for a while: a small process of the user's own keeps their derived keys in memory.

Owns that process (`python -m tessera_host.keys.unlocking`) and how others ask it. It has no passphrase, only what
scrypt made of one, gives it to processes of the same user over a local socket, and ends when the time is over, when
it is told to, or when the user logs out. Whoever runs programs as this user could read what is typed, too: it protects
against others and against a disk that is read later, not against those.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import duration
from ..errors import TesseraError, Unreachable
from . import local_socket
from .keystore import KEY_BYTES, SALT_BYTES, DerivedKey
from .keystore_database import salt_of
from .local_socket import Connection
from .memory import keep_out_of_dumps

START_SECONDS = 15.0
START_POLL_SECONDS = 0.05
LOOK_SECONDS = 1.0


def address() -> Path:
    """Find the socket of the process that serves all keystores of a user."""
    return local_socket.address("unlock", Path.home())


# -- for those who ask


def key_for(keystore: Path) -> DerivedKey | None:
    """Ask for the key of this keystore; None if it is not unlocked, or its passphrase was changed."""
    try:
        at = address()
        answer = local_socket.ask(at, {"ask": "key", "keystore": _name(keystore)}) if at.exists() else {}
    except TesseraError:
        return None
    try:
        found = _key_in(answer)
    except (KeyError, TypeError, ValueError):  # it has none, or another version of that process answers
        return None
    return found if found.salt == salt_of(keystore) else None


def keep(keystore: Path, derived: DerivedKey, for_seconds: int) -> None:
    """Have the key kept for so many seconds, by a process that is started if it does not run. Raises Unreachable."""
    message: dict[str, Any] = {"ask": "keep", "keystore": _name(keystore), "seconds": for_seconds}
    message |= _fields(derived)
    try:
        local_socket.ask(address(), message)
    except Unreachable:
        _start()
        local_socket.ask(address(), message)


def forget(keystore: Path | None = None) -> bool:
    """Lock one keystore, or all of them, and tell whether there was anything to lock."""
    message = {"ask": "lock", "keystore": None if keystore is None else _name(keystore)}
    try:
        return bool(local_socket.ask(address(), message)["locked"])
    except (Unreachable, KeyError):
        return False


def _name(keystore: Path) -> str:
    return str(keystore.resolve())


def _fields(derived: DerivedKey) -> dict[str, str]:
    """A key as it goes over the socket."""
    return {"salt": derived.salt.hex(), "key": derived.key.hex()}


def _key_in(fields: dict[str, Any]) -> DerivedKey:
    """Read a key from the fields of a message. Raises KeyError, TypeError or ValueError."""
    salt, key = (bytes.fromhex(fields[name]) for name in ("salt", "key"))
    if (len(salt), len(key)) != (SALT_BYTES, KEY_BYTES):
        raise ValueError("salt or key has a length that no keystore has")
    return DerivedKey(salt, key)


def _start() -> None:
    """Start the process and wait until it serves. It outlives this one and its terminal."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True
    subprocess.Popen([sys.executable, "-m", "tessera_host.keys.unlocking"], cwd=Path.home().anchor, **options)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(Unreachable):
            local_socket.ask(address(), {"ask": "nothing"})
            return
        time.sleep(START_POLL_SECONDS)
    raise Unreachable("the process that keeps keystores unlocked does not start", "use --passphrase-file meanwhile")


# -- the process


class Keys:
    """The keys that are kept: by keystore, its salt and key and until when. Two clocks, because one stands still while
    the computer sleeps and the other can be set back."""

    def __init__(self, clocks: tuple[Callable[[], float], ...] = (time.time, time.monotonic)) -> None:
        self._clocks = clocks
        self._kept: dict[str, tuple[DerivedKey, list[float]]] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer one request. Raises KeyError, TypeError or ValueError for one that makes no sense."""
        self.forget_old()
        if message["ask"] == "keep":
            self._keep(message["keystore"], _key_in(message), message["seconds"])
        elif message["ask"] == "key" and message["keystore"] in self._kept:
            return _fields(self._kept[message["keystore"]][0])
        elif message["ask"] == "lock":
            return {"locked": self._lock(message["keystore"])}
        return {}

    def _keep(self, keystore: Any, derived: DerivedKey, seconds: Any) -> None:
        if type(keystore) is not str or type(seconds) is not int or not 0 <= seconds <= duration.MAX_SECONDS:
            raise ValueError("no keystore's name, or no length of time")
        self._kept[keystore] = derived, [clock() + seconds for clock in self._clocks]

    def _lock(self, keystore: str | None) -> bool:
        names = [name for name in self._kept if keystore in (None, name)]
        for name in names:
            del self._kept[name]
        return bool(names)

    def forget_old(self) -> None:
        """Forget the keys whose time is over."""
        now = [clock() for clock in self._clocks]
        over = [name for name, (_, ends) in self._kept.items() if any(n >= e for n, e in zip(now, ends, strict=True))]
        for name in over:
            del self._kept[name]

    def __len__(self) -> int:
        return len(self._kept)


async def serve(path: Path, keys: Keys, look_seconds: float = LOOK_SECONDS) -> None:
    """Serve until nothing is kept any more, or the socket is gone: a logout removes the directory it is in."""
    asked = asyncio.Event()

    async def handle(connection: Connection) -> None:
        async for message in connection:
            try:
                answer = keys.answer(message)
            except (KeyError, TypeError, ValueError):
                return
            await connection.send(answer)
            asked.set()

    async with await local_socket.serve(path, handle):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):  # for the first key
                while not keys:
                    await asked.wait()
                    asked.clear()
        while keys and path.exists():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), look_seconds)
            asked.clear()
            keys.forget_old()


def main() -> None:
    keep_out_of_dumps()
    os.umask(0o077)
    with contextlib.suppress(TesseraError, KeyboardInterrupt):  # another one serves already
        asyncio.run(serve(address(), Keys()))


if __name__ == "__main__":
    main()
