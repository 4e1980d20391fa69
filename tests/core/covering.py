# What the cover of a cell must be. Not in office.py: that one takes heap on a board, too, where this is not needed.

from tessera.wire import RECORD_BYTES


def cover_records(epoch_cover, bucket, round_):
    """The dummies of a cell, by an EpochCover."""
    dummies = epoch_cover.dummies(bucket, round_)
    made = []
    for number in range(epoch_cover.noise(bucket, round_)):
        out = bytearray(RECORD_BYTES)
        dummies.make(number, out, memoryview(out)[-16:])
        made.append(bytes(out))
    return made
