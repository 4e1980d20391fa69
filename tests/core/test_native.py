# Native code against its plain version, on random input of every size that matters.

from array import array

from dice import Dice
from tessera import native


def _words(count, dice, bits=30):
    return array("I", [dice.below(1 << bits) for _ in range(count)])


def _both(name, *given):
    """The plain and the native function on equal arguments leave and return the same; what the plain one returned."""
    plain_arguments, arguments = list(map(_copy, given)), list(map(_copy, given))
    expected = getattr(native, "plain_" + name)(*plain_arguments)
    assert getattr(native, name)(*arguments) == expected
    assert list(map(_comparable, arguments)) == list(map(_comparable, plain_arguments))
    return expected


def _copy(argument):
    if isinstance(argument, array):
        return array("I", argument) if _is_words(argument) else array("H", argument)
    return bytearray(argument) if isinstance(argument, bytearray) else argument


def _is_words(numbers):
    return len(memoryview(numbers)) == 0 or len(bytes(numbers)) == 4 * len(numbers)


def _comparable(argument):
    return argument if isinstance(argument, int) else list(argument)


def test_pages_are_found_wherever_they_are():
    dice = Dice(b"find")
    round_ = 1000
    for bucket in (0, 1, 127, 128, 254, 255):
        for first_rounds in ((1000, 1001, 999), (746, 745, 0x3FFFFFFF), (0, 873, 872)):
            for share in (1, 2, 5):
                index, expected = array("H", []), []
                for page in range(48):
                    offset = round_ - first_rounds[page >> 4]
                    index.append(dice.below(1 << 16))
                    if dice.below(share) == 0:
                        index[page] = bucket << 8 | offset & 0xFF
                    if 0 <= offset <= 254 and index[page] == bucket << 8 | offset:
                        expected.append(page)
                cell = index, array("I", first_rounds), 3, bucket, round_
                found = array("I", bytes(4 * 49))
                for room in (0, 7, 48):
                    assert _both("find_pages", *(cell + (array("I", bytes(4 * (room + 1))), room))) == len(expected)
                assert native.find_pages(*(cell + (found, 48))) == len(expected)
                assert list(found)[: len(expected)] == expected


def test_plans_hold_pages_and_then_dummies():
    dice = Dice(b"plan")
    for real, count in ((0, 0), (0, 7), (7, 7), (3, 40), (40, 41)):
        pages = array("I", [dice.below(3392) for _ in range(max(1, real))])
        reads, entries = array("I", bytes(4 * count)), array("I", bytes(4 * count))
        _both("plan", pages, real, count, 20, array("I", bytes(4 * count)), array("I", bytes(4 * count)))
        native.plan(pages, real, count, 20, reads, entries)
        assert list(entries) == list(pages)[:real] + [1 << native.DUMMY_BIT | n for n in range(count - real)]
        assert list(reads)[:real] == list(pages)[:real] and all(page < 3392 for page in reads)
        again, over = array("I", bytes(4 * count)), array("I", list(pages)[:real] + [7] * (count - real))
        _both("plan", over, real, count, 20, again, over)
        native.plan(over, real, count, 20, again, over)
        assert list(over) == list(entries) and list(again) == list(reads)


def test_blocks_are_numbered_and_heads_gathered():
    dice = Dice(b"blocks")
    for first, count in ((0, 0), (0, 1), (250, 12), (65530, 64), (0x01020304, 3)):
        junk = dice.bytes(16 * count)
        _both("number_blocks", bytearray(junk), first, count)
        _both("gather_heads", junk, count, bytearray(8 * (count + 5)), 3)


def test_keys_are_sorted_with_their_places():
    dice = Dice(b"keys")
    for count in (0, 1, 2, 3, 17, 100, 500):
        heads = dice.bytes(8 * count)
        place_bits = 1
        while count >> place_bits:
            place_bits += 1
        _both("make_keys", heads, count, place_bits, array("I", bytes(4 * count)))
        keys = array("I", bytes(4 * count))
        native.make_keys(heads, count, place_bits, keys)
        _both("sort", array("I", keys), count)
        native.sort(keys, count)
        assert list(keys) == sorted(keys)
        entries = _words(count, dice)
        mask = (1 << place_bits) - 1
        picked, over = array("I", bytes(4 * count)), array("I", keys)
        _both("pick", keys, count, mask, entries, picked)
        native.pick(keys, count, mask, entries, picked)
        native.pick(over, count, mask, entries, over)
        assert list(over) == list(picked) == [entries[key & mask] for key in keys]


def test_sort_is_right_on_equal_and_ordered_words():
    for words in ([5] * 9, list(range(40)), list(range(40, 0, -1)), [1 << 29, 0, 1 << 29, 0, (1 << 30) - 1]):
        _both("sort", array("I", words), len(words))


def test_ties_are_found_one_after_the_other():
    keys = array("I", [0x10, 0x20, 0x21, 0x30, 0x38, 0x39, 0x40])
    found = []
    index = _both("next_tie", keys, 1, 7, 4)
    while index < 7:
        found.append(index)
        index = _both("next_tie", keys, index + 1, 7, 4)
    assert found == [2, 4, 5]
    assert _both("next_tie", keys, 1, 7, 0) == 7
    assert _both("next_tie", keys, 1, 0, 4) == 0


def test_thresholds_are_counted_like_numbers():
    dice = Dice(b"thresholds")
    numbers = [0, 1, 255, 256, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    numbers += [int.from_bytes(dice.bytes(8), "big") for _ in range(20)]
    thresholds = b"".join(number.to_bytes(8, "big") for number in numbers)
    for number in numbers:
        for draw in (max(0, number - 1), number, min((1 << 64) - 1, number + 1)):
            expected = len([threshold for threshold in numbers if threshold <= draw])
            assert _both("count_not_above", thresholds, len(numbers), draw.to_bytes(8, "big")) == expected


def test_words_are_read_from_any_place():
    data = Dice(b"words").bytes(40) + b"\xff" * 4 + bytes(4)
    for at in range(45):
        _both("read_u32", data, at)


def test_blocks_are_added():
    dice = Dice(b"add")
    for _ in range(5):
        data, one, other = dice.bytes(40), dice.bytes(16), dice.bytes(16)
        _both("add_blocks", bytearray(data), one, other)


def test_a_number_is_added_to_the_end_of_a_block():
    dice = Dice(b"number")
    for number in (0, 1, 255, 256, (1 << 28) - 1, dice.below(1 << 28)):
        _both("add_number", bytearray(dice.bytes(20)), number)


def test_a_block_is_copied_to_the_start():
    dice = Dice(b"copy")
    for length in (16, 17, 240):
        _both("copy_block", bytearray(dice.bytes(length)), memoryview(dice.bytes(19))[3:])
