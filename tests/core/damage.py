# Damaged copies of byte strings, for tests that show that no change goes unnoticed.

import check

_BOARD_STEP = 11


def changed(data, at):
    """A copy with the lowest bit of byte `at` flipped."""
    copy = bytearray(data)
    copy[at] ^= 1
    return bytes(copy)


def changes(data, step=1):
    """Copies, each with one bit flipped in another byte; every byte is met, or every step-th and the last.

    On a board fewer are.
    """
    step *= check.board_step(_BOARD_STEP)
    for at in range(0, len(data), step):
        yield changed(data, at)
    if data and (len(data) - 1) % step:
        yield changed(data, len(data) - 1)
