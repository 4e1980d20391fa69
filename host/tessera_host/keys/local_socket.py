"""How two programs of one user talk on one computer: one JSON object a line, both ways, over a socket of theirs alone.

Owns where the socket is, who may connect and how a line is framed. What the objects say belongs to whoever serves:
`unlocking` (keys of open keystores) and `agent` (everything else).

What serves a home has its lock and the address of its socket in that home: whoever names the home finds it, whatever
the environment says, and there is one. The socket itself lies elsewhere, because its path may have 100 bytes only.

Unix: a socket of mode 0600 in a directory of mode 0700, and each side asks the kernel who the other one is. Windows
has neither: there it is a loopback port, and a file that only its user can read holds a cookie. Both sides prove that
they know it before either trusts the other, so whoever got the port after the server's end learns nothing.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
import stat
import struct
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import filelock
import platformdirs

from .. import files
from ..errors import KeystoreError, TesseraError, Unreachable

MAX_LINE_BYTES = 1 << 22
MAX_PATH_BYTES = 100  # of a Unix socket: 104 on macOS, 108 on Linux
ANSWER_SECONDS = 10.0
ADDRESS_BYTES = 4096  # of the file in a home, at most
COOKIE_BYTES = NONCE_BYTES = 32
LOOPBACK = sys.platform == "win32"
# What reading values from JSON raises if they are not there, or are others: int(1e999), lists without end.
_NO_VALUES = (ValueError, KeyError, TypeError, OverflowError, RecursionError)

Handler = Callable[["Connection"], Awaitable[None]]


class Disconnected(Unreachable):
    """The other side ended the conversation, or sent something that is not a message."""


class Silent(Unreachable):
    """The other side is there and does not answer: it is suspended, or has too much to do."""


def address(purpose: str, home: Path) -> Path:
    """Find where the server for this purpose and this home listens. Makes its directory; raises KeystoreError if that
    cannot be trusted."""
    name = f"{purpose}-{hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]}"
    with warnings.catch_warnings(action="ignore"):  # that there is no XDG_RUNTIME_DIR: the place it takes then will do
        path = platformdirs.user_runtime_path("tessera", appauthor=False) / name
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        path = Path("/tmp", f"tessera-relay-{_user()}", name)
    _own_directory(path.parent)
    return path


def _beside(purpose: str, home: Path, what: str) -> Path:
    return home.resolve() / f"{purpose}.{what}"


def _own_directory(directory: Path) -> None:
    """Make it, mode 0700. In a shared place somebody else could have made it before."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = directory.lstat()
    except OSError as error:
        raise KeystoreError(
            f"the directory {directory} cannot be made: {error.strerror}", "set XDG_RUNTIME_DIR"
        ) from None
    if LOOPBACK:
        return  # the user's own part of the profile
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user() or found.st_mode & 0o077:
        raise KeystoreError(f"other users can open {directory}", "remove it, or set XDG_RUNTIME_DIR")


def _user() -> int:
    if sys.platform == "win32":
        return 0
    return os.getuid()


class Connection:
    """One conversation. Lines are JSON objects; `receive` returns None when the other side has ended it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: dict[str, Any]) -> None:
        """Send one JSON object. Raises Disconnected."""
        try:
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()
        except OSError:
            raise _gone() from None

    async def receive(self) -> dict[str, Any] | None:
        """Receive one JSON object; None at the end. Raises Disconnected for a line that is too long or is not one JSON
        object."""
        try:
            line = await self._reader.readline()
        except OSError:
            return None
        except ValueError:
            raise Disconnected("a local message is too long", "update tessera") from None
        return _object(line) if line.endswith(b"\n") else None

    async def ask(self, message: dict[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Send a JSON object and wait for the next line. Raises Disconnected; Silent if it does not come in time."""
        try:
            async with asyncio.timeout(seconds):
                await self.send(message)
                answer = await self.receive()
        except TimeoutError:
            raise Silent("the service on this computer does not answer", "stop it and start it again") from None
        if answer is None:
            raise _gone()
        return answer

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while (message := await self.receive()) is not None:
            yield message

    async def close(self) -> None:
        """End the conversation."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Server:
    """A server that listens: made by `serve`. `close` ends the listening and every conversation."""

    def __init__(
        self, path: Path, server: asyncio.Server, lock: filelock.BaseFileLock, cut: Callable[[], None]
    ) -> None:
        self.path = path
        self._server = server
        self._lock = lock
        self._cut = cut
        self._files = [path]

    def announce(self, file: Path) -> None:
        """Write down, until it is closed, where it listens and which process it is."""
        files.write(file, json.dumps({"socket": str(self.path), "process": os.getpid()}).encode())
        self._files.insert(0, file)

    async def close(self) -> None:
        """End the listening and every conversation."""
        self._server.close()
        self._cut()
        await self._server.wait_closed()
        for file in self._files:
            file.unlink(missing_ok=True)
        self._lock.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def serve_home(purpose: str, home: Path, handler: Handler) -> Server:
    """Serve a home, which has to exist; `handler` has each conversation. Raises KeystoreError if another process
    already does, wherever it listens."""
    server = await serve(address(purpose, home), handler, lock_file=_beside(purpose, home, "lock"))
    try:
        server.announce(_beside(purpose, home, "address"))
    except BaseException:
        await server.close()
        raise
    return server


async def serve_beside(purpose: str, directory: Path, handler: Handler) -> Server:
    """Serve as serve_home does, for a service of a server: the socket is in its directory if the path is not too long
    for one, because such a service sees no other directory; and root may connect, too, because the service runs as a
    user of its own."""
    path = directory.resolve() / f"{purpose}.socket"
    if LOOPBACK or len(os.fsencode(path)) > MAX_PATH_BYTES:
        path = address(purpose, directory)
    server = await serve(path, handler, lock_file=_beside(purpose, directory, "lock"), root=True)
    try:
        server.announce(_beside(purpose, directory, "address"))
    except BaseException:
        await server.close()
        raise
    return server


async def connect_home(purpose: str, home: Path, root: bool = False) -> Connection:
    """Connect to what serves this home. root: that user may ask a service of another user. Raises Unreachable if
    nothing serves this home."""
    return await connect(Path(_announced(purpose, home)["socket"]), root=root)


def process_of(purpose: str, home: Path) -> int:
    """Find the number of the process that serves this home. Raises Unreachable."""
    return int(_announced(purpose, home)["process"])


def _announced(purpose: str, home: Path) -> dict[str, Any]:
    try:
        with _beside(purpose, home, "address").open("rb") as file:
            found = json.loads(file.read(ADDRESS_BYTES))
        return {"socket": str(found["socket"]), "process": int(found["process"])}
    except (OSError, *_NO_VALUES):
        raise Unreachable("no such service is running on this computer", "start it first") from None


async def serve(
    path: Path, handler: Handler, loopback: bool = LOOPBACK, lock_file: Path | None = None, root: bool = False
) -> Server:
    """Listen at a path that `address` gave; `handler` has each conversation, which ends when it returns. root: that
    user may connect, too.

    Raises KeystoreError if another process already serves there (or has `lock_file`). What a process that was killed
    left is replaced.
    """
    lock = filelock.FileLock(lock_file or path.with_name(path.name + ".lock"), timeout=0, mode=0o600)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise KeystoreError("this is running already", "stop the other one first") from None
    talks: set[asyncio.Task[None]] = set()
    try:
        path.unlink(missing_ok=True)
        talk = _keeping(talks, handler)
        server = await (
            _serve_loopback(path, talk) if loopback else _serve_unix(path, talk, _or_root if root else _same_user)
        )
    except BaseException:
        lock.release()
        raise
    return Server(path, server, lock, lambda: _cancel(talks))


def _cancel(talks: set[asyncio.Task[None]]) -> None:
    for talk in talks:
        talk.cancel()


Admit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
Serve = Callable[[Admit], Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]]


def _keeping(talks: set[asyncio.Task[None]], handler: Handler) -> Serve:
    """The callback of a listening socket: who is admitted has its conversation with `handler`."""

    def with_admission(admit: Admit) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.add(task)
            connection = Connection(reader, writer)
            try:
                if await admit(reader, writer):
                    await handler(connection)
            except (TesseraError, OSError, asyncio.CancelledError):
                pass  # the conversation is over, nothing else is
            finally:
                talks.discard(task)
                await connection.close()

        return talk

    return with_admission


async def connect(path: Path, loopback: bool = LOOPBACK, root: bool = False) -> Connection:
    """Connect to the server at this path. Raises Unreachable if nobody serves there, or another user does."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await (_connect_loopback(path) if loopback else _connect_unix(path, root))
    except (OSError, ValueError, OverflowError, TimeoutError, asyncio.IncompleteReadError):  # no path or port is so
        raise Unreachable("no such service is running on this computer", "start it first") from None


def ask(path: Path, message: dict[str, Any], loopback: bool = LOOPBACK) -> dict[str, Any]:
    """Ask one question and wait for the answer, in a thread of its own: a keystore may be opened inside an event loop,
    which allows no other. Raises Unreachable."""

    async def conversation() -> dict[str, Any]:
        async with await connect(path, loopback) as connection:
            return await connection.ask(message)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, conversation()).result()


def _object(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Disconnected("a local message is not a JSON object", "update tessera")
    return message


def _gone() -> Disconnected:
    return Disconnected("the service on this computer ended the conversation", "start it again")


# -- Unix: a socket in the file system


async def _serve_unix(path: Path, talk: Serve, admit: Admit) -> asyncio.Server:
    if sys.platform == "win32":
        raise NotImplementedError
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))  # in a directory of mode 0700: nobody is quicker than the next line
        os.chmod(path, 0o600)
        return await asyncio.start_unix_server(talk(admit), sock=listening, limit=MAX_LINE_BYTES)
    except BaseException:
        listening.close()
        raise


async def _connect_unix(path: Path, root: bool) -> Connection:
    if sys.platform == "win32":
        raise NotImplementedError
    reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_LINE_BYTES)
    if not (root and _user() == 0) and not await _same_user(reader, writer):
        writer.close()
        raise Unreachable(f"{path} is served by another user", "remove it")
    return Connection(reader, writer)


async def _same_user(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    return peer_user(writer.get_extra_info("socket")) == _user()


async def _or_root(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    return peer_user(writer.get_extra_info("socket")) in (_user(), 0)


def peer_user(connected: Any, platform: str = sys.platform) -> int:
    """Ask the kernel for the user id of the process at the other end of a Unix socket."""
    if platform == "linux":
        _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, 17, 12))  # SO_PEERCRED: struct ucred
    else:
        _, user = struct.unpack("2I", connected.getsockopt(0, 1, 76)[:8])  # SOL_LOCAL, LOCAL_PEERCRED: struct xucred
    return int(user)


# -- Windows: a loopback port, and a file with a cookie


async def _serve_loopback(path: Path, talk: Serve) -> asyncio.Server:
    cookie = secrets.token_bytes(COOKIE_BYTES)

    async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _greet(reader, writer, cookie, b"server", b"client")
        except (TimeoutError, asyncio.IncompleteReadError):
            return False

    server = await asyncio.start_server(talk(admit), "127.0.0.1", 0, limit=MAX_LINE_BYTES)
    port = server.sockets[0].getsockname()[1]
    files.write(path, json.dumps({"port": port, "cookie": cookie.hex()}).encode())
    return server


async def _connect_loopback(path: Path) -> Connection:
    try:
        found = json.loads(path.read_bytes())
        port, cookie = int(found["port"]), bytes.fromhex(found["cookie"])
    except _NO_VALUES:
        raise Unreachable(f"{path} is damaged", "remove it") from None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_LINE_BYTES)
    if not await _greet(reader, writer, cookie, b"client", b"server"):
        writer.close()
        raise Unreachable("another program listens at this port", "start the service again")
    return Connection(reader, writer)


async def _greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cookie: bytes, own: bytes, other: bytes
) -> bool:
    """Both sides prove that they know the cookie, without showing it: a nonce each way, then a proof over both."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    writer.write(nonce)
    theirs = await reader.readexactly(NONCE_BYTES)
    nonces = {own: nonce, other: theirs}
    terms = nonces[b"client"] + nonces[b"server"]
    writer.write(hmac.digest(cookie, own + terms, "sha256"))
    proof = await reader.readexactly(32)
    return hmac.compare_digest(proof, hmac.digest(cookie, other + terms, "sha256"))
