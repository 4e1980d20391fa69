"""The protocol implemented a second time, from firmware/PROTOCOL.md alone, and the test vectors that it makes."""
