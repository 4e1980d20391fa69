# What the cover of a cell must be. Not in office.py: that one takes heap on a board, too, where this is not needed.

from tessera.wire import RECORD_BYTES


def cover_records(epoch_cover, bucket, round_, lost=()):
    """The dummies of a cell, by an EpochCover: its own, and those in the place of lost pages."""
    dummies = epoch_cover.dummies(bucket, round_)
    made = []
    for number in list(range(epoch_cover.noise(bucket, round_))) + [(1 << 27) + page for page in lost]:
        out = bytearray(RECORD_BYTES)
        dummies.make(number, out)
        made.append(bytes(out))
    return made
