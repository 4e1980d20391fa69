"""Lengths of time and numbers with their nouns, as people write and read them."""

import pytest

from tessera_host import duration
from tessera_host.errors import UsageError
from tessera_host.text import count


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("2d", 172800)])
def test_lengths_of_time(text: str, length: int) -> None:
    assert duration.seconds(text) == length
    assert duration.seconds(duration.text(length)) == length


@pytest.mark.parametrize("text", ["", "8", "h", "0h", "-1h", "1.5h", "8 h", "367d", "9" * 30 + "d", "8H"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="30m, 8h or 2d"):
        duration.seconds(text)


def test_what_is_waited_for_is_said_roughly_and_is_never_negative() -> None:
    said = [duration.about(seconds) for seconds in (-3, 0.4, 10, 119, 240, 300, 4500, 7200, 86400, 172800, 1e7)]
    assert said == ["0 s", "0 s", "10 s", "119 s", "4 min", "5 min", "75 min", "2 h", "24 h", "2 days", "116 days"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (300, "5 minutes"), (5400, "1.5 hours"),
     (86400, "1 day"), (86401, "1 day"), (172800, "2 days")],
)  # fmt: skip
def test_times_are_said_in_their_unit(seconds: int, said: str) -> None:
    assert duration.in_words(seconds) == said


def test_a_number_has_its_noun_in_the_right_form() -> None:
    assert [count(number, "round") for number in (0, 1, 2, "1", "1.5")] == [
        "0 rounds", "1 round", "2 rounds", "1 round", "1.5 rounds"
    ]  # fmt: skip
