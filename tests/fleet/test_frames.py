"""Frames: one size whatever they say, one form for one meaning, and a second reader that finds the same in them."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dice import Dice
from tessera_host.fleet import frames

from . import second_reader

U8, U16, U32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))


def exactly(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


FRAMES = st.one_of(
    st.builds(frames.Void, exactly(16)),
    st.builds(frames.Place, exactly(16), exactly(8), exactly(8)),
    st.builds(frames.Record, exactly(16), U32, U16, exactly(240), exactly(8), exactly(8)),
    st.builds(frames.Flags, U8, U32),
    st.builds(frames.Checkpoint, exactly(250)),
    st.builds(frames.Node, U16, U8, exactly(33)),
    st.builds(frames.TokenKeyNamed, U32, exactly(32)),
    st.builds(frames.Seal, U32, U32, U8),
    st.builds(frames.Piece, st.sampled_from(frames.OBJECTS), exactly(16), U16, st.binary(max_size=279)),
)


@settings(max_examples=60)
@given(FRAMES)
def test_frame_has_300_bytes_and_both_readers_find_what_was_written(frame: frames.Frame) -> None:
    packed = frame.pack()
    assert len(packed) == 300 and frames.read(packed) == frame
    said = second_reader.frame(packed)
    assert second_reader.KINDS.index(said.pop("kind")) + 1 == frame.kind == packed[0]
    if isinstance(frame, frames.Piece):
        said["data"] = said["data"][: said.pop("length")]
    ours = {name: value for name, value in vars(frame).items() if name != "kind"}
    assert said == ours


@settings(max_examples=30)
@given(FRAMES, st.integers(1, 255), st.integers(0, 299))
def test_frame_with_something_in_its_padding_is_none(frame: frames.Frame, change: int, back: int) -> None:
    packed = frame.pack()
    length = 21 + len(frame.data) if isinstance(frame, frames.Piece) else 1 + frame.layout.size
    if length < len(packed):
        place = 299 - back % (len(packed) - length)
        with pytest.raises(frames.Malformed):
            frames.read(packed[:place] + bytes((change,)) + packed[place + 1 :])


@pytest.mark.parametrize("packed", [b"", bytes(300), bytes((11,)) + bytes(299), bytes((1,)) + bytes(298)])
def test_bytes_of_no_kind_or_another_length_are_no_frame(packed: bytes) -> None:
    with pytest.raises(frames.Malformed):
        frames.read(packed)


@settings(max_examples=30)
@given(st.integers(1, 2000), st.randoms(use_true_random=False))
def test_object_is_whole_in_any_order_of_its_pieces_and_not_without_one(length: int, chance: Random) -> None:
    content = Dice(b"object").bytes(length)
    parts = frames.pieces(frames.EPOCH, content)
    assert len(parts) == -(-len(content) // 279)
    chance.shuffle(parts)
    assert frames.whole(parts) == [(frames.EPOCH, content)]
    assert second_reader.objects("EPOCH", [second_reader.frame(part.pack()) for part in parts]) == [content]
    assert frames.whole(parts[1:]) == []


def test_pieces_of_two_objects_do_not_mix() -> None:
    first, second = (frames.pieces(frames.PARAMS, each * 300) for each in (b"a", b"b"))
    mixed = [piece for pair in zip(first, second, strict=True) for piece in pair]
    assert frames.whole(mixed) == [(frames.PARAMS, b"a" * 300), (frames.PARAMS, b"b" * 300)]
    assert frames.whole([first[0], second[1]]) == []
