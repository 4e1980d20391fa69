# The relay core: plain Python, the same on MicroPython 1.25 and CPython 3.11+.
#
# Reading order: wire (frames) -> channel (encryption) -> admission (tokens) -> recordlog, keyring (flash)
# -> cover, batch (what readers see) -> epochs, rounds, handshakes, push -> relay (ties them together) -> server.
# The formats are those of firmware/PROTOCOL.md, quoted as PROTOCOL in the files.

VERSION = "0.1.0"
RELEASED = 1_767_225_600  # unix seconds before which there was no such code: a clock that says less is wrong
