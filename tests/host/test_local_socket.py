"""Local sockets: one user's programs talk, nobody else does, on both kinds of platform."""

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tessera_host.errors import KeystoreError, Unreachable
from tessera_host.keys import local_socket
from tessera_host.keys.local_socket import Connection, Disconnected, Server

KINDS = pytest.mark.parametrize("loopback", [False, True], ids=["unix", "loopback"])


async def echo(connection: Connection) -> None:
    async for message in connection:
        await connection.send({"you said": message})


@pytest.fixture(params=[False, True], ids=["unix", "loopback"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Server, bool]]:
    loopback = bool(request.param)
    async with await local_socket.serve(tmp_path / "s", echo, loopback) as server:
        yield server, loopback


async def test_objects_go_both_ways(served: tuple[Server, bool]) -> None:
    server, loopback = served
    async with await local_socket.connect(server.path, loopback) as connection:
        for message in ({"a": 1}, {"long": "x" * 300_000}):
            assert await connection.ask(message) == {"you said": message}


async def test_question_without_an_event_loop(served: tuple[Server, bool]) -> None:
    server, loopback = served
    answer = await asyncio.to_thread(local_socket.ask, server.path, {"q": "ü"}, loopback)
    assert answer == {"you said": {"q": "ü"}}


async def test_file_is_for_its_user_only(served: tuple[Server, bool]) -> None:
    mode = served[0].path.stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_one_serves_at_a_time_and_the_next_one_after_it(served: tuple[Server, bool]) -> None:
    server, loopback = served
    with pytest.raises(KeystoreError, match="running already"):
        await local_socket.serve(server.path, echo, loopback)
    await server.close()
    assert not server.path.exists()
    async with (
        await local_socket.serve(server.path, echo, loopback),
        await local_socket.connect(server.path, loopback) as connection,
    ):
        assert await connection.ask({}) == {"you said": {}}


@KINDS
async def test_what_a_killed_server_left_is_replaced(tmp_path: Path, loopback: bool) -> None:
    path = tmp_path / "s"
    if loopback:
        path.write_text(json.dumps({"port": 1, "cookie": "00" * 32}))
    else:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(path))
        left.close()
    with pytest.raises(Unreachable):
        await local_socket.connect(path, loopback)
    async with (
        await local_socket.serve(path, echo, loopback),
        await local_socket.connect(path, loopback) as connection,
    ):
        assert await connection.ask({}) == {"you said": {}}


@KINDS
def test_nobody_there_is_said(tmp_path: Path, loopback: bool) -> None:
    with pytest.raises(Unreachable, match="no such service"):
        local_socket.ask(tmp_path / "s", {}, loopback)


@pytest.mark.parametrize(
    "left",
    [b"", b"{}", b"[" * 3000, b'{"port": 1e999, "cookie": ""}', b'{"port": 70000, "cookie": ""}', b'{"port": 1}'],
)
async def test_a_file_that_says_no_port_is_said(left: bytes, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_bytes(left)
    with pytest.raises(Unreachable):
        await local_socket.connect(path, loopback=True)


@pytest.mark.parametrize("line", [b"[1]\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n", b"x" * (1 << 22) + b"xx\n"])
async def test_line_that_is_no_object_ends_that_conversation_only(tmp_path: Path, line: bytes) -> None:
    async with await local_socket.serve(tmp_path / "s", echo) as server:
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(line)
        assert await reader.read() == b""
        writer.close()
        async with await local_socket.connect(server.path) as connection:
            assert await connection.ask({}) == {"you said": {}}


async def test_end_of_the_server_ends_conversations(served: tuple[Server, bool]) -> None:
    server, loopback = served
    async with await local_socket.connect(server.path, loopback) as connection:
        await connection.ask({})
        await server.close()
        assert await connection.receive() is None
        with pytest.raises(Disconnected):
            await connection.ask({})


async def test_other_user_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await local_socket.serve(tmp_path / "s", echo) as server:
        monkeypatch.setattr(local_socket, "peer_user", lambda _: os.getuid() + 1)
        with pytest.raises(Unreachable):
            await local_socket.connect(server.path)
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(b"{}\n")
        with contextlib.suppress(ConnectionResetError):  # it did not even read the line
            assert await reader.read() == b""
        writer.close()


class FakeSocket:
    """What getsockopt answers on each platform."""

    def __init__(self, expected: tuple[int, int, int], answer: bytes) -> None:
        self.expected, self.answer = expected, answer

    def getsockopt(self, *arguments: int) -> bytes:
        assert arguments == self.expected
        return self.answer


def test_peer_is_read_as_each_kernel_tells_it() -> None:
    linux = FakeSocket((socket.SOL_SOCKET, socket.SO_PEERCRED, 12), struct.pack("3i", 4711, 501, 20))
    assert local_socket.peer_user(linux, "linux") == 501
    # sys/ucred.h of macOS: u_int version, uid_t, short, 16 × gid_t
    darwin = FakeSocket((0, 1, 76), struct.pack("IIh2x16I", 0, 501, 2, 20, 12, *[0] * 14))
    assert local_socket.peer_user(darwin, "darwin") == 501


async def test_client_without_the_cookie_is_not_answered(tmp_path: Path) -> None:
    async with await local_socket.serve(tmp_path / "s", echo, loopback=True) as server:
        found = json.loads(server.path.read_text())
        other = tmp_path / "other"
        other.write_text(json.dumps(found | {"cookie": "00" * 32}))
        with pytest.raises(Unreachable):
            await local_socket.connect(other, loopback=True)


async def test_stranger_at_the_port_learns_nothing_and_is_not_believed(tmp_path: Path) -> None:
    """It even gives back what it was sent: the client's own proof is not the server's."""
    seen = bytearray()

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(4096):
            seen.extend(piece)
            writer.write(piece)
        writer.close()

    async with await asyncio.start_server(mirror, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        cookie = bytes(range(32))
        (tmp_path / "s").write_text(json.dumps({"port": port, "cookie": cookie.hex()}))
        with pytest.raises(Unreachable, match="another program"):
            await local_socket.connect(tmp_path / "s", loopback=True)
    assert cookie not in seen


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user runtime directory; pytest's own paths are too long for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


def test_address_is_in_the_user_s_own_directory(runtime: Path, tmp_path: Path) -> None:
    one, other = (local_socket.address("agent", tmp_path / home) for home in ("a", "b"))
    assert one != other
    assert one == local_socket.address("agent", tmp_path / "b" / ".." / "a")
    assert one.parent.parent == runtime
    assert stat.S_IMODE(one.parent.stat().st_mode) == 0o700


def test_directory_that_others_can_use_is_refused(runtime: Path) -> None:
    local_socket.address("agent", runtime).parent.chmod(0o755)
    with pytest.raises(KeystoreError, match="other users can open"):
        local_socket.address("agent", runtime)


def test_long_runtime_directory_is_replaced_by_a_short_one(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / ("long" * 30)))
    path = local_socket.address("agent", runtime)
    assert len(str(path)) < 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["berlin", "x" * 120])
async def test_a_service_of_a_server_has_its_socket_in_its_directory_if_the_path_is_not_too_long(
    tmp_path: Path, name: str
) -> None:
    directory = tmp_path / name
    directory.mkdir()
    async with await local_socket.serve_beside("gateway", directory, echo) as server:
        short = len(os.fsencode(directory / "gateway.socket")) <= local_socket.MAX_PATH_BYTES
        assert (server.path == directory / "gateway.socket") == short
        async with await local_socket.connect_home("gateway", directory, root=True) as connection:
            assert await connection.ask({}) == {"you said": {}}
    assert [path.name for path in directory.iterdir()] in ([], ["gateway.lock"])
    with pytest.raises(Unreachable):
        await local_socket.connect_home("gateway", directory, root=True)


@pytest.mark.skipif(local_socket.LOOPBACK, reason="no users of Unix")
@pytest.mark.parametrize(("user", "same", "or_root"), [(1000, True, True), (0, False, True), (1001, False, False)])
async def test_root_may_ask_a_service_of_a_server_and_no_other_user_s(
    monkeypatch: pytest.MonkeyPatch, user: int, same: bool, or_root: bool
) -> None:
    monkeypatch.setattr(local_socket, "_user", lambda: 1000)
    monkeypatch.setattr(local_socket, "peer_user", lambda *_: user)
    writer: Any = SimpleNamespace(get_extra_info=lambda _: None)
    assert await local_socket._same_user(asyncio.StreamReader(), writer) is same
    assert await local_socket._or_root(asyncio.StreamReader(), writer) is or_root
