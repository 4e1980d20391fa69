# The serial line while the relay serves. One command: `clock MILLISECONDS` sets the time, for a board whose network has
# no clock. (Ctrl-C ends the relay and gives MicroPython's prompt; who holds the line holds the board.)

import sys
from asyncio import StreamReader

_LONGEST_LINE = 64


async def listen(set_clock):
    """Read commands for ever; set_clock(unix_ms) takes the time."""
    # One byte at a time: sys.stdin.readline() would keep everything waiting for the end of a line.
    reader = StreamReader(sys.stdin.buffer)
    line = b""
    while True:
        byte = await reader.read(1)
        if byte not in (b"\r", b"\n"):
            line = (line + byte)[-_LONGEST_LINE:]
            continue
        obey(line, set_clock)
        line = b""


def obey(line, set_clock):
    """Do what a line (bytes) says and print the outcome; an empty line is nothing."""
    words = line.split()
    if not words:
        return
    if words[0] == b"clock" and len(words) == 2 and words[1].isdigit():
        set_clock(int(words[1]))
        print("clock set")
    else:
        print("commands: clock MILLISECONDS (unix time)")
