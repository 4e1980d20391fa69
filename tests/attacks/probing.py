"""Probing with refusals. Two worlds: the other members posted nothing, or all their quotas allow. The adversary uses
up its own quota, posts on, asks for rounds that are too old, for too many, for buckets that are not there, with a
token of another epoch and a reading key of another set, before and after seals and restarts, and writes down every
answer but the published counts.
Bound: the two transcripts are the same.
"""

from typing import Any

from office import EPOCH_ROUNDS, Connection, Token
from tessera import wire
from tessera.errors import Refused
from tests.attacks.branch import Branch, published_count
from tests.results import Row


def ask(what: list[object], function: Any, *arguments: Any) -> None:
    try:
        what.append(function(*arguments))
    except Refused as refused:
        what.append((refused.name, refused.retry_after))


def rounds_of(member: Any, start: int, end: int) -> list[int]:
    """Which rounds are served; how many records each has is the noise's to hide."""
    return sorted(member.fetch(start, end)[0])


def transcript(seed: object, busy: bool, steps: int) -> list[object]:
    """What the adversary sees; the same seed gives it the same token and records in both worlds."""
    branch = Branch(f"probing {seed}")
    what: list[object] = []
    for step in range(steps):
        branch._token = 0
        if busy and step % EPOCH_ROUNDS == 0:
            for number in (10, 11, 12):
                connection = Connection(branch.relay)
                connection.authenticate(Token(number, branch.relay.epoch))
                for each in range(16):
                    connection.post(branch.record(), each % 2)
        member = Connection(branch.relay)
        what.append(member.authenticate(Token(0, branch.relay.epoch)))
        for number in range(18 if step % EPOCH_ROUNDS == 2 else 2):
            ask(what, member.post, bytes((step, number)) * 120, number % 2)
        open_round, first = branch.relay.open_round, branch.relay.first_round
        for start, end in ((first - 1, first), (0, 1), (first, first + 17), (open_round, open_round + 1)):
            if start >= 0:
                ask(what, rounds_of, member, start, end)
        ask(what, member.post, bytes(240), 2)
        ask(what, member.call, wire.void())
        ask(what, member.call, wire.info())
        ask(what, Connection(branch.relay).authenticate, Token(0, branch.relay.epoch + 1))
        ask(what, Connection(branch.relay).fetch, first, first + 1, 0, b"another set's reading key, 32 by")
        if step % 4 == 3:
            branch.boot()
        branch.sleep()
        if open_round >= first:
            what.append(published_count(Connection(branch.relay), 0, open_round) > 0)
    return what


def compare(seeds: int, steps: int = 3 * EPOCH_ROUNDS) -> tuple[int, int]:
    """(answers compared, answers that differ)"""
    answers = different = 0
    for seed in range(seeds):
        quiet, busy = transcript(seed, False, steps), transcript(seed, True, steps)
        answers += max(len(quiet), len(busy))
        different += sum(one != two for one, two in zip(quiet, busy, strict=True))
    return answers, different


def run(scale: float = 1.0) -> list[Row]:
    answers, different = compare(max(1, round(40 * scale)))
    text = f"{different} of {answers:,} answers differ between an idle and a busy office"
    return [Row("probing with QUOTA, TOO_OLD, BAD_REQUEST, NOT_ADMITTED, VOID, INFO", text, "0", different == 0)]
