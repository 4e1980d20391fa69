# heap: 4m
# Sealed batches of many cells against the protocol's own words (§8, §9): the real records and the dummies, sorted.

import struct

import check
from check import share, unhex, vectors
from dice import Dice
from ramdevice import RamDevice
from tessera.batch import Batch, CellFrame
from tessera.cover import EpochCover
from tessera.hashes import hmac_sha256
from tessera.page import PageCipher
from tessera.recordlog import RecordLog
from tessera.runtime import aes_cbc

_SECTORS = 24
_ROUND = 1000
_MOST = (20 if check.quick else 60) if check.board else 300  # records of one kind in a cell
_COVER_KEY = b"cover key of a test, 32 bytes lo"
_NEVER = b"\xff" * 8
_ALWAYS = bytes(8)


def _cell(purpose, bucket):
    return hmac_sha256(_COVER_KEY, purpose, struct.pack(">HI", bucket, _ROUND))


def _dummies(thresholds, bucket):
    """The dummies of a cell, made one by one as the protocol has them."""
    draw = int.from_bytes(_cell(b"noise", bucket)[:8], "big")
    table = [int.from_bytes(thresholds[at : at + 8], "big") for at in range(0, len(thresholds), 8)]
    count = len([threshold for threshold in table if threshold <= draw])
    key = _cell(b"cover", bucket)
    return [aes_cbc(key, number.to_bytes(16, "big")).encrypt(bytes(240)) for number in range(count)]


def _table(index):
    return unhex("".join(vectors("noise_table")[index]["thresholds"]))


def _fixed(noise, candidates):
    """A table by which every cell has this noise."""
    return _ALWAYS * noise + _NEVER * (candidates - noise)


def _served(real, thresholds, bucket):
    """The records of the batch as they leave in frames."""
    cipher = PageCipher(b"page key of a test, 32 bytes lon")
    log = RecordLog(RamDevice(_SECTORS))
    log.erase_ahead(_SECTORS, 0)
    for place, record in enumerate(real):
        log.append(_ROUND, bucket, record, cipher)
        if place % 50 == 0:
            log.append(_ROUND, bucket ^ 1, record, cipher)
    batch = Batch(log, cipher, EpochCover(_COVER_KEY, thresholds), bucket, _ROUND)
    frame = CellFrame()
    served = []
    for offset in range(0, batch.count, 4):
        here = batch.fill(frame, offset)
        served += [bytes(frame.for_page[place][0].record) for place in range(here)]
    return served


def _assert_sorted(real, thresholds, bucket):
    expected = sorted(real + _dummies(thresholds, bucket))
    assert _served(real, thresholds, bucket) == expected, (len(real), bucket)


def test_batches_of_any_size_are_the_sorted_records_and_dummies():
    dice = Dice(b"sizes")
    for bucket in share(range(24), 7):
        table = _table(10 if check.board else (10, 6, 2, 0)[bucket & 3])
        real = [dice.bytes(240) for _ in range(dice.below(_MOST + 1))]
        _assert_sorted(real, table, bucket)


def test_empty_and_single_cells_are_sorted():
    dice = Dice(b"small")
    cells = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (4, 4), (3, 0), (0, 5))
    for bucket, (real, noise) in enumerate(share(cells, 1)):
        _assert_sorted([dice.bytes(240) for _ in range(real)], _fixed(noise, 6), bucket)


def test_cells_without_dummies_and_without_records_are_sorted():
    dice = Dice(b"one kind")
    _assert_sorted([dice.bytes(240) for _ in range(_MOST)], _fixed(0, 16), 0)
    _assert_sorted([], _fixed(_MOST, _MOST), 1)
    _assert_sorted([dice.bytes(240) for _ in range(_MOST // 3)], _fixed(_MOST // 2, _MOST), 2)


def test_records_that_begin_like_dummies_or_each_other_are_sorted_by_all_their_bytes():
    dice = Dice(b"ties")
    for bucket, common in enumerate(share((1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 239, 240), 4)):
        dummies = _dummies(_fixed(20, 24), bucket)
        heads = [dummies[dice.below(20)] for _ in range(8)] + [dice.bytes(240) for _ in range(3)]
        real = []
        for _ in range(50 + dice.below(30)):
            head = heads[dice.below(len(heads))]
            real.append(head[:common] + dice.bytes(240 - common))
        _assert_sorted(real, _fixed(20, 24), bucket)


def test_records_that_share_all_but_one_bit_are_sorted():
    dice = Dice(b"bits")
    for bucket in share(range(6), 3):
        record = _dummies(_fixed(3, 4), bucket)[dice.below(3)]
        real = []
        for _ in range(60):
            changed = bytearray(record)
            changed[dice.below(240) if bucket & 1 else dice.below(12)] ^= 1 << dice.below(8)
            real.append(bytes(changed))
        _assert_sorted(real, _fixed(3, 4), bucket)


def test_equal_records_stand_side_by_side_as_often_as_they_were_posted():
    dice = Dice(b"equal")
    for bucket in share(range(4), 1):
        kinds = [dice.bytes(240) for _ in range(3)] + _dummies(_fixed(9, 9), bucket)[:2]
        real = [kinds[dice.below(5)] for _ in range(40)]
        _assert_sorted(real, _fixed(9, 9), bucket)


def test_a_mix_of_few_first_bytes_is_sorted():
    # Heads of 3 bytes out of 4 values, then of 8 bytes out of 4 values: long runs of ties in random order.
    dice = Dice(b"runs")
    for bucket, length in enumerate((3, 8) if check.board else (3, 8, 3, 8)):
        heads = [dice.bytes(length) for _ in range(4)]
        real = [heads[dice.below(4)] + dice.bytes(240 - length) for _ in range(_MOST // 2)]
        _assert_sorted(real, _table(10), bucket)
