"""MicroPython's raw prompt over the socket of the board's console: run programs, read what they print.

Time limits are seconds of the board, whose time passes while they are waited for.
"""

import select
import socket
from pathlib import Path

from tools.emulator.clock import Clock

ENTER = b"\r\x03\x03\r\x01"  # interrupt whatever runs, then the raw prompt
BANNER = b"raw REPL; CTRL-B to exit\r\n>"
SOFT_RESET = b"\x04"
ATTEMPT_SECONDS = 2.0
READ_BYTES = 65536


class GuestError(Exception):
    """The program on the board ended with an exception; the text is its traceback."""


class Repl:
    def __init__(self, path: Path, clock: Clock) -> None:
        """Connects to the console's Unix socket."""
        self._clock = clock
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._unread = b""

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Types this, for a program that reads the console."""
        self._socket.sendall(data)

    def until(self, token: bytes, timeout: float = 60) -> bytes:
        """What the board prints before the token. TimeoutError with the last of it if the token does not come."""
        self._wait_for((token,), timeout)
        before, _, self._unread = self._unread.partition(token)
        return before

    def until_one_of(self, tokens: tuple[bytes, ...], timeout: float = 60) -> bytes:
        """The first of the tokens that the board prints."""
        self._wait_for(tokens, timeout)
        first = min((token for token in tokens if token in self._unread), key=self._unread.index)
        self._unread = self._unread.partition(first)[2]
        return first

    def read(self) -> bytes:
        """What the board prints next, as it comes; b"" when it is switched off."""
        if not self._unread:
            return self._socket.recv(READ_BYTES)
        data, self._unread = self._unread, b""
        return data

    def _wait_for(self, tokens: tuple[bytes, ...], timeout: float) -> None:
        def look(real_seconds: float) -> bool | None:
            if any(token in self._unread for token in tokens):
                return True
            if select.select([self._socket], [], [], real_seconds)[0]:
                data = self._socket.recv(READ_BYTES)
                if not data:
                    raise ConnectionError("the emulator ended")
                self._unread += data
            return None

        if self._clock.wait_for(look, timeout) is None:
            wanted = " or ".join(map(repr, tokens))
            raise TimeoutError(f"no {wanted} after {timeout} s: …{self._unread[-300:]!r}")

    def interrupt(self, token: bytes, timeout: float = 60) -> bytes:
        """Types Ctrl-C until the token comes; what was printed before it. The port loses one that meets a callback."""
        end = self._clock.seconds() + timeout
        while True:
            self._socket.sendall(b"\x03")
            try:
                return self.until(token, ATTEMPT_SECONDS)
            except TimeoutError:
                if self._clock.seconds() > end:
                    raise

    def enter(self, timeout: float = 60) -> None:
        """Interrupts what runs and enters the raw prompt; asks again until the board has booted so far."""
        end = self._clock.seconds() + timeout
        while True:
            self._socket.sendall(ENTER)
            try:
                self.until(BANNER, ATTEMPT_SECONDS)
                return
            except TimeoutError:
                if self._clock.seconds() > end:
                    raise

    def start(self, source: str) -> None:
        """Starts a program that does not end by itself; read what it prints with until()."""
        self._socket.sendall(source.encode() + b"\x04")
        self.until(b"OK")

    def exec(self, source: str, timeout: float = 300) -> str:
        """Runs a program at the raw prompt and returns what it printed. GuestError with its traceback."""
        self.start(source)
        output = self.until(b"\x04", timeout)
        traceback = self.until(b"\x04>", timeout)
        if traceback:
            raise GuestError(traceback.decode(errors="replace"))
        return output.decode(errors="replace").replace("\r\n", "\n")

    def soft_reset(self) -> None:
        """Leaves the raw prompt and starts the image's program anew (boot.py, main.py), as Ctrl-D does."""
        self._socket.sendall(b"\x02" + SOFT_RESET)
