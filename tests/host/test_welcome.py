"""What the issuer's service says to a member, and IT's files: what is read of it is what an issuer can have said."""

from typing import Any

import pytest

from tessera_host.errors import InvalidInput
from tessera_host.protocol import cards
from tessera_host.protocol.limits import MOST_SETS_BESIDE
from tessera_host.protocol.sets_beside import SetBeside, SetsBeside
from tessera_host.protocol.welcome import Welcome

DIGEST, KEY, TIME = b"d" * 32, b"k" * 32, bytes(92)
FIELDS = {"card": "tessera:", "digest": DIGEST, "since": 4, "before": [[3, b"set"]], "reading": [KEY], "time": TIME}


def test_what_is_said_is_read() -> None:
    sets = SetsBeside(DIGEST, 4, [SetBeside(3, b"set")])
    welcome = Welcome("tessera:", sets, [KEY], TIME)
    assert welcome.pack().rstrip(b"\0") == cards.canonical(FIELDS).rstrip(b"\0")
    assert Welcome.read(welcome.pack()) == welcome
    assert SetsBeside.read(sets.card()) == sets
    assert SetsBeside.read(SetsBeside(DIGEST, 0).card()).others == []


WRONG: dict[str, dict[str, Any]] = {
    "too many sets": {"before": [[3, b"set"]] * (MOST_SETS_BESIDE + 1)},
    "too many keys": {"reading": [KEY] * (MOST_SETS_BESIDE + 2)},
    "an epoch that is none": {"since": 1 << 32},
    "an epoch before all": {"since": -1},
    "an epoch that is true": {"since": True},
    "a set of no epoch": {"before": [[1 << 32, b"set"]]},
    "a set without its epoch": {"before": [b"set"]},
    "a set that is text": {"before": [[3, "set"]]},
    "more than a set": {"before": [[3, b"set", 4]]},
    "no list": {"before": None},
    "a short digest": {"digest": DIGEST[1:]},
    "a short key": {"reading": [KEY[1:]]},
    "no card": {"card": b"tessera:"},
    "something else": {"more": 1},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_no_issuer_says_is_refused(wrong: str) -> None:
    fields = FIELDS | WRONG[wrong]
    with pytest.raises(ValueError, match=r"not a welcome|no sets"):
        Welcome.read(cards.canonical(fields))
    of_sets = {name: fields[name] for name in ("digest", "since", "before")}
    if WRONG[wrong].keys() <= of_sets.keys():
        with pytest.raises(ValueError, match="no sets"):
            SetsBeside.of(of_sets)
        with pytest.raises(InvalidInput):
            cards.encode("sets", of_sets)
