# Makes starts that follow each other quickly wait longer each time. Every start erases a part of the key ring, and
# endless restarts (a fault, a loose plug) would wear the flash. The count is a small file, which is written at every
# start and when a start has proved good.

import asyncio

from tessera.runtime import const

_PROVED_SECONDS = const(300)  # of service, after which a start counts as good
_FILE = "starts"
_FREE = const(3)  # starts in a row that do not wait
_MOST = const(12)  # that are counted


class Starts:
    """Counts the starts in a row that were not good. directory: a files.Directory."""

    def __init__(self, directory):
        self._directory = directory
        self.in_a_row = 0

    def begin(self):
        """Count this start. If the file system fails it is not counted."""
        self.in_a_row = min(_number(self._directory.read(_FILE)), _MOST)
        try:
            self._directory.replace(_FILE, b"%d" % min(self.in_a_row + 1, _MOST))
        except OSError:
            pass

    def prove(self):
        """Note that this start was good, so that the next one does not wait."""
        self.in_a_row = 0
        self._directory.remove(_FILE)

    async def outlast(self, link, sleep=asyncio.sleep):
        """Count this start as good after five minutes of service. Returns when the link is dead and it is time for
        another start; the wait gets longer each time that a start did not help."""
        seconds = 0
        while not link.dead:
            await sleep(1)
            seconds += 1
            if seconds == _PROVED_SECONDS:
                self.prove()
        await sleep(self.retry_seconds)

    @property
    def wait_seconds(self):
        """How long to wait before the key ring is written: 0 for the first three starts in a row, then 2, 4, … 512."""
        return 0 if self.in_a_row < _FREE else 2 << min(self.in_a_row - _FREE, 8)

    @property
    def retry_seconds(self):
        """How long to wait before the restart after a fault that may pass: 15, 30, … 3840."""
        return 15 << min(self.in_a_row, 8)


def _number(text):
    return int(text) if text is not None and text.isdigit() else 0
