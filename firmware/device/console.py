# The serial line while the relay runs: commands, one in each line, from the operator at the cable. What they do is the
# business of commands.py and update.py.
#
#   host   name argument argument
#   board  -name text         any number of data lines,
#          =name {json}       then one line, if the command was done,
#          !name CODE words   or this one, if not. Programs read the code (explain.py), people the words. The name is ?
#                             if the line is no command; the code is then UNKNOWN or TOO_LONG.
#
# Other lines are for people to read. Ctrl-C gives MicroPython's prompt, unless relay.json closes it.

import json
import select
import sys
from asyncio import StreamReader

from device.explain import code, explain
from tessera.runtime import const

_LONGEST_LINE = const(512)
_AT_ONCE = const(64)  # bytes that are read before other tasks run


class Serial:
    """The USB line as a source of bytes."""

    def __init__(self):
        self._line = sys.stdin.buffer
        self._reader = StreamReader(self._line)
        self._poll = select.poll()
        self._poll.register(self._line, select.POLLIN)
        self._one = bytearray(1)
        self._data = bytearray(_AT_ONCE)

    async def read(self):
        """The bytes that have arrived, at least one. (Reading more bytes than there are would block all tasks, and
        making an object for each byte would keep the garbage collector busy.)"""
        self._data[0] = (await self._reader.read(1))[0]
        count = 1
        while count < _AT_ONCE and self._ready():
            self._line.readinto(self._one)
            self._data[count] = self._one[0]
            count += 1
        return bytes(memoryview(self._data)[:count])

    def _ready(self):
        for _ in self._poll.ipoll(0):
            return True
        return False


def say(name, text):
    """Print a data line of the command `name`."""
    print("-{} {}".format(name, text))


class Console:
    """Runs the commands in lines by handlers {name (str): handler(arguments)}.

    A handler gets a list of bytes and returns the figures of the answer (a dict), or an awaitable of them. It prints
    data lines with say(). An exception is an answer, too (explain.py). during(handler, arguments) calls a handler,
    which may take long.
    """

    def __init__(self, handlers, during=lambda handler, arguments: handler(arguments)):
        self._handlers = handlers
        self._during = during
        self._line = b""

    async def listen(self, source):
        """Run the commands that source.read() brings, for ever."""
        while True:
            await self.take(await source.read())

    async def take(self, data):
        """Run the commands of all lines that end in data (bytes), and keep the beginning of the next line."""
        pieces = data.replace(b"\r", b"\n").split(b"\n")
        self._add(pieces[0])
        for piece in pieces[1:]:
            line, self._line = self._line, b""
            if len(line) > _LONGEST_LINE:
                print("!? TOO_LONG the line is too long: {} bytes at most".format(_LONGEST_LINE))
            else:
                await self._obey(_printable(line))
            self._add(piece)

    def _add(self, piece):
        if len(self._line) <= _LONGEST_LINE:  # a longer line is refused, so its rest is not kept
            self._line += piece

    async def _obey(self, line):
        words = line.split()
        if not words:
            return
        handler = self._handlers.get(_text(words[0]))
        if handler is None:
            print("!? UNKNOWN commands: {}".format(" ".join(sorted(self._handlers))))
            return
        name = _text(words[0])
        try:
            figures = self._during(handler, words[1:])
            if not isinstance(figures, dict):
                figures = await figures
            print("={} {}".format(name, json.dumps(figures)))
        except Exception as error:
            print("!{} {} {}".format(name, code(error), explain(error)))


def _printable(line):
    """The line (bytes) without control characters, which a program sends that wants a prompt."""
    if line and min(line) < 32:
        return bytes([byte for byte in line if byte >= 32])
    return line


def _text(word):
    """A word (bytes) as a str; empty if it is not ASCII, as such a word is no command."""
    return "" if any(byte > 126 for byte in word) else word.decode()
