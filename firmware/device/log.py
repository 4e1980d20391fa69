# Events on this board, which the console's `log` shows. They contain no addresses or identifiers and no counts of
# records. Events that others can cause, like a link that comes and goes, stay in RAM. Only starts, faults, updates and
# resets are written to flash, and at most eight after each start, so that endless restarts do not wear the flash.

from tessera.runtime import const, ticks_diff, ticks_ms

_LINES = const(32)
_LINE_BYTES = const(120)
_KEPT_A_START = const(8)
_FILE = "log"
_FILE_BYTES = const(2048)


class Log:
    """The latest 32 events in RAM, and a file with events that survive a restart. directory: a files.Directory."""

    def __init__(self, directory):
        self._directory = directory
        self._lines = []
        self._start = ticks_ms()
        self._kept = 0

    def note(self, text):
        """Add an event, one line of text, and print it. If the same text is there already it moves to the end."""
        line = self._add(text)
        print(line.partition(": ")[2])

    def keep(self, text):
        """Add an event that survives a restart. If the file system fails it is lost with the restart."""
        self.note(text)
        if self._kept < _KEPT_A_START:
            self._kept += 1
            try:
                self._write(_one_line(text).encode() + b"\n")
            except OSError:
                pass

    def lines(self):
        """The lines of the log: first the kept events, oldest first, then the events since this start."""
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
        """Append a line. If the file is too long its older half is dropped."""
        if self._directory.size(_FILE) + len(line) <= _FILE_BYTES:
            self._directory.append(_FILE, line)
            return
        rest = (self._directory.read(_FILE) or b"")[-_FILE_BYTES // 2 :]
        self._directory.replace(_FILE, rest.partition(b"\n")[2] + line)


def _one_line(text):
    return text.replace("\r", " ").replace("\n", " ")[:_LINE_BYTES]


def _readable(line):
    """Bytes of the file as text, with ? for what is not printable: a power cut may have left anything."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in line)
