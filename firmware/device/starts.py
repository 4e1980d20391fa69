# Starts that follow each other quickly wait longer and longer, so that a board which starts over and over (a fault, a
# loose plug) does not wear its key ring, of which every start erases a part. The count is a small file; it is written
# once a start and once when the start proved good.

import asyncio

from tessera.runtime import const

_SETTLED_SECONDS = const(300)  # of service, then a start was good
_FILE = "starts"
_FREE = const(3)  # starts in a row that do not wait
_MOST = const(12)


class Starts:
    """How many starts before this one were not good."""

    def __init__(self, directory):
        self._directory = directory
        self.in_a_row = 0

    def begin(self):
        """Count this start; a file system that fails counts nothing."""
        self.in_a_row = min(_number(self._directory.read(_FILE)), _MOST)
        try:
            self._directory.replace(_FILE, b"%d" % min(self.in_a_row + 1, _MOST))
        except OSError:
            pass

    def settle(self):
        """This start was good: the next one does not wait."""
        self.in_a_row = 0
        self._directory.remove(_FILE)

    async def outlast(self, link, sleep=asyncio.sleep):
        """Settle in time. Returns when the link is dead and it is time for another start, later each time that one did
        not help."""
        seconds = 0
        while not link.dead:
            await sleep(1)
            seconds += 1
            if seconds == _SETTLED_SECONDS:
                self.settle()
        await sleep(self.retry_seconds)

    @property
    def wait_seconds(self):
        """Before the key ring is written: 0 for the first few starts in a row, then 2, 4, … 512."""
        return 0 if self.in_a_row < _FREE else 2 << min(self.in_a_row - _FREE, 8)

    @property
    def retry_seconds(self):
        """After a fault that may pass: 15, 30, … 3840."""
        return 15 << min(self.in_a_row, 8)


def _number(text):
    return int(text) if text is not None and text.isdigit() else 0
