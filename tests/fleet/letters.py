"""What people with agents write to each other over a fleet: whatever was posted is read, once. tests/cluster/book.py's
book of letters without relays that burn, so nothing excuses a loss; how long it takes is not this play's subject.
"""

from tests.cluster.book import Book, Letter


class Letters(Book):
    """over: nothing more is written."""

    over = False

    @property
    def unread(self) -> list[str]:
        """What is still to come, by its text."""
        return [text for text, letter in self.letters.items() if letter.read is None]

    def _check_delay(self, text: str, letter: Letter) -> None:
        pass
