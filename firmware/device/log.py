# What happened on this board, for who reads it at the console. Nothing of it is an address or an identifier, or counts
# records. What a peer may bring about, like a link that comes and goes, stays in RAM; only starts, faults, updates and
# resets are written to flash, and of those so few a start that a board which starts over and over does not wear it.

from tessera.runtime import const, ticks_diff, ticks_ms

_LINES = const(32)
_LINE_BYTES = const(120)
_KEPT_A_START = const(8)
_FILE = "log"
_FILE_BYTES = const(2048)


class Log:
    """A ring of the latest events in RAM, and a file of the few that outlive a restart. directory: as files.py's."""

    def __init__(self, directory):
        self._directory = directory
        self._lines = []
        self._start = ticks_ms()
        self._kept = 0

    def note(self, text):
        """Add an event, one line of text; it is printed, too. One that was noted before is moved to the end."""
        line = self._add(text)
        print(line.partition(": ")[2])

    def keep(self, text):
        """Add an event that is to be read after a restart, too. A file system that fails loses it."""
        self.note(text)
        if self._kept < _KEPT_A_START:
            self._kept += 1
            try:
                self._write(_one_line(text).encode() + b"\n")
            except OSError:
                pass

    def lines(self):
        """Text: what was kept, oldest first; then the events since this start."""
        kept = self._directory.read(_FILE) or b""
        for line in kept.split(b"\n")[:-1]:
            yield "kept: " + _readable(line)
        for line in self._lines:
            yield line

    def _add(self, text):
        text = _one_line(text)
        for at in range(len(self._lines)):
            if self._lines[at].partition(": ")[2] == text:
                self._lines.pop(at)
                break
        if len(self._lines) >= _LINES:
            self._lines.pop(0)
        self._lines.append("{} s: {}".format(ticks_diff(ticks_ms(), self._start) // 1000, text))
        return self._lines[-1]

    def _write(self, line):
        """Append a line; of a file that is too long the older half goes."""
        if self._directory.size(_FILE) + len(line) <= _FILE_BYTES:
            self._directory.append(_FILE, line)
            return
        rest = (self._directory.read(_FILE) or b"")[-_FILE_BYTES // 2 :]
        self._directory.replace(_FILE, rest.partition(b"\n")[2] + line)


def _one_line(text):
    return text.replace("\r", " ").replace("\n", " ")[:_LINE_BYTES]


def _readable(line):
    """Bytes of a file as text: a power cut may have left anything."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in line)
