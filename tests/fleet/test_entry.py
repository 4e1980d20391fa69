"""Entries: what the engine's operator sees of them, and that nothing in them can be changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dice import Dice
from tessera_host.fleet import frames
from tessera_host.fleet.entry import CLEAR_BYTES, MOST_FRAMES, Clear, Contents, entry_id, first_link, next_link, unseal
from tessera_host.fleet.entry import seal as seal_entry

from . import second_reader

KEY, CHAIN = bytes(range(32)), bytes(range(100, 132))
CLEAR = Clear(1, 7, 513, 1 << 40)


def void(number: int) -> bytes:
    return frames.Void(number.to_bytes(16, "big")).pack()


def record(number: int) -> bytes:
    return frames.Record(number.to_bytes(16, "big"), 9, 3, bytes(240), b"a key's.", number.to_bytes(8, "big")).pack()


def sealed(*packed: bytes, seed: bytes = b"entry") -> bytes:
    return seal_entry(KEY, CLEAR, Contents(41, CHAIN, packed), Dice(seed).bytes)


def test_second_reader_opens_an_entry_and_finds_the_same() -> None:
    found = second_reader.entry(KEY, sealed(void(1), record(2)))
    assert (found.version, found.epoch, found.gateway, found.counter) == (1, 7, 513, 1 << 40)
    assert (found.last, found.chain) == (41, CHAIN)
    assert {each["kind"]: int.from_bytes(each["id"], "big") for each in found.frames} == {"VOID": 1, "RECORD": 2}


def test_entries_with_posts_and_with_voids_differ_in_ciphertext_only() -> None:
    posts, voids = sealed(*map(record, range(5))), sealed(*map(void, range(5)))
    assert len(posts) == len(voids) == 27 + 40 + 16 + 5 * 300
    assert posts[:CLEAR_BYTES] == voids[:CLEAR_BYTES]
    assert posts[CLEAR_BYTES:] != voids[CLEAR_BYTES:]


def test_order_of_frames_is_the_generators_and_nothing_else_is_random() -> None:
    many = [void(number) for number in range(8)]
    orders = {tuple(unseal(KEY, sealed(*many, seed=bytes((seed,)))).frames) for seed in range(20)}
    assert len(orders) == 20 and all(sorted(each) == many for each in orders)
    assert sealed(*many) == sealed(*many)


@settings(max_examples=40)
@given(st.integers(0, 27 + 40 + 16 + 300 - 1), st.integers(1, 255))
def test_entry_with_a_changed_byte_does_not_open(place: int, change: int) -> None:
    entry = bytearray(sealed(record(1)))
    entry[place] ^= change
    with pytest.raises(frames.Malformed):
        unseal(KEY, bytes(entry))
    with pytest.raises(ValueError, match="not sealed"):
        second_reader.entry(KEY, bytes(entry))


@pytest.mark.parametrize("entry", [b"", bytes(82), bytes(84), sealed(void(1))[:-1]])
def test_bytes_of_another_length_are_no_entry(entry: bytes) -> None:
    with pytest.raises(frames.Malformed):
        Clear.of(entry)


def test_id_and_chain_are_those_of_the_second_reader() -> None:
    entries = [sealed(void(number)) for number in range(3)]
    assert [entry_id(each) for each in entries] == [second_reader.entry_id(each) for each in entries]
    relay_key = bytes(range(33))
    link = first_link(relay_key)
    for position, each in enumerate(entries, 1):
        link = next_link(link, position, each)
    assert link == second_reader.chain(relay_key, entries)
    assert first_link(relay_key, link) == second_reader.chain(relay_key, [], link)


def test_more_frames_than_an_entry_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 512 frames"):
        sealed(*[void(1)] * (MOST_FRAMES + 1))
    with pytest.raises(ValueError, match="at most 512 frames"):
        sealed(void(1)[:-1])
