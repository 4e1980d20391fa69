# A folder of its own for a test that needs real files; MicroPython has no tempfile.

import os
from binascii import hexlify

# Where folders are made; a board, which has no environment, is told.
parent = (os.getenv("TMPDIR") or "/tmp").rstrip("/") if hasattr(os, "getenv") else "/"


class WorkFolder:
    """`with WorkFolder() as path:` gives an empty folder, removed with the files in it at the end."""

    def __enter__(self):
        self.path = parent + "/tessera-test-" + hexlify(os.urandom(8)).decode()
        os.mkdir(self.path)
        return self.path

    def __exit__(self, *_):
        for name in os.listdir(self.path):
            os.remove(self.path + "/" + name)
        os.rmdir(self.path)
