# Loops over words and bytes that bytecode is too slow for: native code (viper.py) or C (the module loops) on
# MicroPython, plain Python elsewhere. The plain versions say what is meant, and tests hold the others to them. Nothing
# here checks its arguments.

_BLOCK_BYTES = 16
_HEAD_BYTES = 8
_LONGEST_SPAN = 254  # recordlog's

# The bit of an entry of a batch's order that says: not a page but a dummy's number.
DUMMY_BIT = 28


def plain_find_pages(index, first_rounds, sectors, bucket, round_, found, room):
    """Write the pages of a cell to `found` (array of room + 1 u32, of which the last is no result); how many there are,
    also if they are more than room. index (array of u16, 16 a sector) has bucket << 8 | round - first round of the
    sector, first_rounds (array of u32) the latter. All is looked at, and the time does not tell how many were found."""
    count = 0
    for sector in range(sectors):
        offset = round_ - first_rounds[sector]
        wanted = bucket << 8 | offset if 0 <= offset <= _LONGEST_SPAN else None
        for page in range(sector << 4, (sector + 1) << 4):
            found[min(count, room)] = page
            count += index[page] == wanted
    return count


def plain_plan(pages, real, count, ring_pages, reads, entries):
    """What is read for a batch's order, and what is sorted: arrays of count u32.

    pages (at least one entry, whatever it is) holds the real ones. reads: those, then pages of no interest; entries:
    those, then the numbers of dummies; may be pages itself. The time depends on the count only.
    """
    for place in range(count):
        is_real = (place - real) >> 31  # all ones or none: a server executes this, and branches would take other times
        page = pages[place & is_real] & is_real
        other = ~is_real
        reads[place] = page | place % ring_pages & other
        entries[place] = page | (1 << DUMMY_BIT | (place - real)) & other


def plain_number_blocks(blocks, first, count):
    """Write u32 first, first + 1, … at the end of each of the first count blocks of 16 bytes, whose rest is zeros."""
    for place in range(count):
        blocks[_BLOCK_BYTES * place : _BLOCK_BYTES * (place + 1)] = bytes(12) + (first + place).to_bytes(4, "big")


def plain_gather_heads(blocks, count, out, first):
    """Copy the first 8 bytes of each of count blocks of 16 bytes to the places from `first` on in out, 8 bytes each."""
    for place in range(count):
        at = _HEAD_BYTES * (first + place)
        out[at : at + _HEAD_BYTES] = blocks[_BLOCK_BYTES * place : _BLOCK_BYTES * place + _HEAD_BYTES]


def plain_make_keys(heads, count, place_bits, keys):
    """keys[place] = the first 30 bits of the head (8 bytes) at each place, the last place_bits of them its place."""
    for place in range(count):
        head = int.from_bytes(bytes(heads[_HEAD_BYTES * place : _HEAD_BYTES * place + 4]), "big") >> 2
        keys[place] = head >> place_bits << place_bits | place


def plain_sort(keys, count):
    """Sort the first count of keys (array of u32 below 2^30) in place."""
    for place, key in enumerate(sorted(keys[:count])):
        keys[place] = key


def plain_next_tie(keys, start, count, place_bits):
    """The first index from start (at least 1) on whose key has the head bits of the one before it; count if none."""
    for index in range(start, count):
        if keys[index] >> place_bits == keys[index - 1] >> place_bits:
            return index
    return count


def plain_pick(keys, count, mask, entries, order):
    """order[i] = entries[place of keys[i]]; order may be keys itself"""
    for index in range(count):
        order[index] = entries[keys[index] & mask]


def plain_count_not_above(thresholds, count, draw):
    """How many of the first count thresholds (8 bytes each) are at most draw (8 bytes). All are compared."""
    found = 0
    for at in range(0, 8 * count, 8):
        found += bytes(thresholds[at : at + 8]) <= bytes(draw)
    return found


def plain_read_u32(data, at):
    """The 4 bytes from at on, big-endian."""
    return int.from_bytes(bytes(data[at : at + 4]), "big")


def plain_add_blocks(data, one, other):
    """Add (exclusive or) two blocks of 16 bytes to the first 16 bytes of data."""
    added = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    data[:_BLOCK_BYTES] = (int.from_bytes(data[:_BLOCK_BYTES], "big") ^ added).to_bytes(_BLOCK_BYTES, "big")


def plain_add_number(block, number):
    """Add (exclusive or) a u32 to the last 4 bytes of a block of 16 bytes."""
    added = int.from_bytes(block[12:16], "big") ^ number
    block[12:16] = added.to_bytes(4, "big")


def plain_copy_block(data, block):
    """Copy a block of 16 bytes to the start of data. The native one allocates nothing, unlike a slice assignment."""
    data[:_BLOCK_BYTES] = block


try:
    from .viper import (
        add_blocks,
        add_number,
        copy_block,
        count_not_above,
        gather_heads,
        make_keys,
        next_tie,
        number_blocks,
        pick,
        plan,
        read_u32,
        sort,
    )
except (ImportError, SyntaxError):  # CPython; a processor for which MicroPython has no emitter
    add_blocks = plain_add_blocks
    add_number = plain_add_number
    copy_block = plain_copy_block
    count_not_above = plain_count_not_above
    gather_heads = plain_gather_heads
    make_keys = plain_make_keys
    next_tie = plain_next_tie
    number_blocks = plain_number_blocks
    pick = plain_pick
    plan = plain_plan
    read_u32 = plain_read_u32
    sort = plain_sort

try:
    from loops import find_pages
except ImportError:
    find_pages = plain_find_pages
