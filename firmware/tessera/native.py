# Loops over words and bytes for which bytecode is too slow. On MicroPython they are native code (viper.py) or C (the
# module loops), elsewhere plain Python. The plain versions define what each does, and tests hold the others to them.
# Nothing here checks its arguments.

_BLOCK_BYTES = 16
_HEAD_BYTES = 8
_LONGEST_SPAN = 254  # recordlog's

# Set in an entry of a batch's order that is the number of a dummy; otherwise the entry is the number of a page.
DUMMY_BIT = 28


def plain_find_pages(index, first_rounds, sectors, bucket, round_, found, room):
    """Write the pages of a cell to found[0 … room - 1]; found[room] is scratch. Returns how many the cell has, also if
    they are more than room.

    index: array of u16, for each page bucket << 8 | (round - first round of its sector). first_rounds: array of u32,
    the first round of each sector. found: array of room + 1 u32. The whole index is looked at, and the time does not
    tell how many pages were found.
    """
    count = 0
    for sector in range(sectors):
        offset = round_ - first_rounds[sector]
        wanted = bucket << 8 | offset if 0 <= offset <= _LONGEST_SPAN else None
        for page in range(sector << 4, (sector + 1) << 4):
            found[min(count, room)] = page
            count += index[page] == wanted
    return count


def plain_plan(pages, real, count, ring_pages, reads, entries):
    """Fill two arrays of count u32 for a batch with `real` records: what is read, and what is sorted.

    pages: the pages of the records (at least one entry, of whatever value). reads: these pages, then arbitrary ones.
    entries: these pages, then the numbers of dummies; it may be the same array as pages. The time depends only on
    count.
    """
    for place in range(count):
        is_real = (place - real) >> 31  # all ones or 0; branches would show in a server's time
        page = pages[place & is_real] & is_real
        other = ~is_real
        reads[place] = page | place % ring_pages & other
        entries[place] = page | (1 << DUMMY_BIT | (place - real)) & other


def plain_number_blocks(blocks, first, count):
    """Fill count blocks of 16 bytes with the numbers first, first + 1, …, big-endian."""
    for place in range(count):
        blocks[_BLOCK_BYTES * place : _BLOCK_BYTES * (place + 1)] = bytes(12) + (first + place).to_bytes(4, "big")


def plain_gather_heads(blocks, count, out, first):
    """Copy the first 8 bytes of each of count blocks of 16 bytes into out, from byte 8 · first on."""
    for place in range(count):
        at = _HEAD_BYTES * (first + place)
        out[at : at + _HEAD_BYTES] = blocks[_BLOCK_BYTES * place : _BLOCK_BYTES * place + _HEAD_BYTES]


def plain_make_keys(heads, count, place_bits, keys):
    """keys[place] = the first 30 bits of head number `place` (8 bytes), with the last place_bits replaced by place."""
    for place in range(count):
        head = int.from_bytes(bytes(heads[_HEAD_BYTES * place : _HEAD_BYTES * place + 4]), "big") >> 2
        keys[place] = head >> place_bits << place_bits | place


def plain_sort(keys, count):
    """Sort the first count of keys (array of u32 below 2^30) in place."""
    for place, key in enumerate(sorted(keys[:count])):
        keys[place] = key


def plain_next_tie(keys, start, count, place_bits):
    """The first index ≥ start ≥ 1 whose key has the same head bits as the key before it; count if there is none."""
    for index in range(start, count):
        if keys[index] >> place_bits == keys[index - 1] >> place_bits:
            return index
    return count


def plain_pick(keys, count, mask, entries, order):
    """order[i] = entries[place in keys[i]]. mask: the bits of the place. order may be the same array as keys."""
    for index in range(count):
        order[index] = entries[keys[index] & mask]


def plain_count_not_above(thresholds, count, draw):
    """How many of count thresholds (8 bytes each, joined) are ≤ draw (8 bytes). All are compared."""
    found = 0
    for at in range(0, 8 * count, 8):
        found += bytes(thresholds[at : at + 8]) <= bytes(draw)
    return found


def plain_read_u32(data, at):
    """The number in the 4 bytes from `at` on, big-endian."""
    return int.from_bytes(bytes(data[at : at + 4]), "big")


def plain_add_blocks(data, one, other):
    """XOR two blocks of 16 bytes into the first 16 bytes of data."""
    added = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    data[:_BLOCK_BYTES] = (int.from_bytes(data[:_BLOCK_BYTES], "big") ^ added).to_bytes(_BLOCK_BYTES, "big")


def plain_add_number(block, number):
    """XOR a u32 into bytes 12 to 15 of a block, big-endian."""
    added = int.from_bytes(block[12:16], "big") ^ number
    block[12:16] = added.to_bytes(4, "big")


def plain_copy_block(data, block):
    """Copy a block of 16 bytes to the start of data. Unlike a slice assignment the native one allocates nothing."""
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
except (ImportError, SyntaxError):  # CPython, or a processor for which MicroPython has no native emitter
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
