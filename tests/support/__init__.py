"""What tests of several folders share. On CPython only: what MicroPython runs too lies in tests/core."""
