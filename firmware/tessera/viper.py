# Functions of native.py as native code, for every processor for which MicroPython has an emitter. native.py describes
# them and chooses; import them from there.

import micropython


@micropython.viper
def plan(pages: ptr32, real: int, count: int, ring_pages: int, reads: ptr32, entries: ptr32):
    for place in range(count):
        is_real = (place - real) >> 31  # all ones or 0
        page = pages[place & is_real] & is_real
        other = ~is_real
        reads[place] = page | (place % ring_pages) & other
        entries[place] = page | (1 << 28 | (place - real)) & other


@micropython.viper
def number_blocks(blocks: ptr8, first: int, count: int):
    at = 0
    for number in range(first, first + count):
        for zero in range(at, at + 12):
            blocks[zero] = 0
        blocks[at + 12] = number >> 24
        blocks[at + 13] = number >> 16
        blocks[at + 14] = number >> 8
        blocks[at + 15] = number
        at += 16


@micropython.viper
def gather_heads(blocks: ptr8, count: int, out: ptr8, first: int):
    to = first << 3
    at = 0
    for _ in range(count):
        for byte in range(8):
            out[to + byte] = blocks[at + byte]
        to += 8
        at += 16


@micropython.viper
def make_keys(heads: ptr8, count: int, place_bits: int, keys: ptr32):
    at = 0
    for place in range(count):
        head = heads[at] << 22 | heads[at + 1] << 14 | heads[at + 2] << 6 | heads[at + 3] >> 2
        keys[place] = head >> place_bits << place_bits | place
        at += 8


@micropython.viper
def sort(keys: ptr32, count: int):
    gap = 1  # Shell sort with Knuth's gaps: no recursion, no memory
    while gap * 3 < count:
        gap = gap * 3 + 1
    while gap > 0:
        for index in range(gap, count):
            key = keys[index]
            at = index
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key
        gap //= 3


@micropython.viper
def next_tie(keys: ptr32, start: int, count: int, place_bits: int) -> int:
    for index in range(start, count):
        if keys[index] >> place_bits == keys[index - 1] >> place_bits:
            return index
    return count


@micropython.viper
def pick(keys: ptr32, count: int, mask: int, entries: ptr32, order: ptr32):
    for index in range(count):
        order[index] = entries[keys[index] & mask]


@micropython.viper
def count_not_above(thresholds: ptr8, count: int, draw: ptr8) -> int:
    found = 0
    at = 0
    for _ in range(count):
        borrow = 0  # of draw - threshold, byte by byte from the last one; 1 in the end if the threshold is larger
        for byte in range(8):
            borrow = (draw[7 - byte] - thresholds[at + 7 - byte] - borrow) >> 8 & 1
        found += 1 - borrow
        at += 8
    return found


@micropython.viper
def read_u32(data: ptr8, at: int) -> uint:
    return uint(data[at]) << 24 | uint(data[at + 1]) << 16 | uint(data[at + 2]) << 8 | uint(data[at + 3])


@micropython.viper
def add_blocks(data: ptr8, one: ptr8, other: ptr8):
    for at in range(16):
        data[at] ^= one[at] ^ other[at]


@micropython.viper
def add_number(block: ptr8, number: int):
    block[12] ^= number >> 24
    block[13] ^= number >> 16
    block[14] ^= number >> 8
    block[15] ^= number


@micropython.viper
def copy_block(data: ptr8, block: ptr8):
    for at in range(16):
        data[at] = block[at]
