# The serial line while the relay serves: commands, one a line, from whoever holds the cable. What they do is
# commands.py's business, and update's.
#
#   host   name argument argument
#   board  -name text         any number of data lines,
#          =name {json}       then one line: it is done,
#          !name message      or it is not. `!? commands: …` if there is no such command.
#
# All else on the line is for people to read. Ctrl-C gives MicroPython's prompt, unless relay.json closes it.

import json
import select
import sys
from asyncio import StreamReader

from device.explain import explain
from tessera.runtime import const

_LONGEST_LINE = const(512)
_AT_ONCE = const(64)  # bytes read before others get their turn


class Serial:
    """The USB line as a source of bytes."""

    def __init__(self):
        self._reader = StreamReader(sys.stdin.buffer)
        self._poll = select.poll()
        self._poll.register(sys.stdin.buffer, select.POLLIN)

    async def read(self):
        """What has come, at least a byte of it. (A read of more bytes than there are keeps everything waiting.)"""
        data = await self._reader.read(1)
        while len(data) < _AT_ONCE and self._poll.poll(0):
            data += sys.stdin.buffer.read(1)
        return data


def say(name, text):
    """Print a data line of the command `name`."""
    print("-{} {}".format(name, text))


class Console:
    """Obeys lines by handlers {name (str): handler(arguments)}.

    A handler gets a list of bytes and gives the figures of the answer (a dict), or an awaitable of them; it says data
    lines with say(). What it raises is the answer, too: an Error in its own words.
    """

    def __init__(self, handlers):
        self._handlers = handlers
        self._line = b""
        self._too_long = False

    async def listen(self, source):
        """Obey what source.read() brings, for ever."""
        while True:
            await self.take(await source.read())

    async def take(self, data):
        """Obey the lines that end in data (bytes); what begins in it is kept."""
        for at in range(len(data)):
            byte = data[at : at + 1]
            if byte in b"\r\n":
                line, self._line = self._line, b""
                too_long, self._too_long = self._too_long, False
                await self._obey(b"" if too_long else line)
                if too_long:
                    print("!? the line is too long: {} bytes at most".format(_LONGEST_LINE))
            elif byte < b" ":
                pass  # control characters, as of who asks for a prompt
            elif len(self._line) < _LONGEST_LINE:
                self._line += byte
            else:
                self._too_long = True

    async def _obey(self, line):
        words = line.split()
        if not words:
            return
        handler = self._handlers.get(_text(words[0]))
        if handler is None:
            print("!? commands: {}".format(" ".join(sorted(self._handlers))))
            return
        name = _text(words[0])
        try:
            figures = handler(words[1:])
            if not isinstance(figures, dict):
                figures = await figures
            print("={} {}".format(name, json.dumps(figures)))
        except Exception as error:
            print("!{} {}".format(name, explain(error)))


def _text(word):
    """A word as a string; what is no ASCII is no command."""
    return "" if any(byte > 126 for byte in word) else word.decode()
