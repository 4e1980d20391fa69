"""The board's console as a pseudo-terminal, for programs that want a serial port (mpremote, a terminal emulator)."""

import os
import selectors
import socket
import threading
import tty
from pathlib import Path

READ_BYTES = 4096


class Terminal:
    """A terminal that is connected to the console's socket until close()."""

    def __init__(self, console: Path, link: Path | None = None) -> None:
        """`link` becomes a symbolic link to the terminal."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(console))
        self._board_side, self._user_side = os.openpty()  # ours stays open: without it reading fails between two users
        tty.setraw(self._user_side)
        os.set_blocking(self._board_side, False)
        self.path = Path(os.ttyname(self._user_side))
        self._link = link
        if link:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)
        self._stop_reading, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stop)
        self._thread.join()
        self._socket.close()
        for descriptor in (self._board_side, self._user_side, self._stop_reading):
            os.close(descriptor)
        if self._link:
            self._link.unlink(missing_ok=True)

    def _copy(self) -> None:
        with selectors.DefaultSelector() as selector:
            for source in (self._socket, self._board_side, self._stop_reading):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if not self._copy_from(key.fileobj):
                        return

    def _copy_from(self, source: object) -> bool:
        if source is self._socket:
            data = self._socket.recv(READ_BYTES)
            self._show(data)
            return bool(data)
        if source == self._board_side:
            self._socket.sendall(os.read(self._board_side, READ_BYTES))
            return True
        return False

    def _show(self, data: bytes) -> None:
        """A terminal that nobody reads fills up; what comes then is lost, as on a serial port."""
        try:
            while data:
                data = data[os.write(self._board_side, data) :]
        except BlockingIOError:
            pass
