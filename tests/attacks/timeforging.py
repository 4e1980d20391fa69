"""A forged network clock. Somebody on the way answers the relay's questions for the time: while it runs, at its
start, after a power cut, once or for a long time; a member helps with its tokens for the open epoch and the eight after
it, or time statements of IT's are shown again. Bound: while members use it the open round is never more than one
round an epoch ahead of the true one; a start under a forged time leaves nothing behind once the truth is heard, by an
answer or at the next start, and no record is lost; with a member's help it is ahead by no more than the rest of the
epoch after that of the last seal; answers to another question are not heard, and nothing is posted meanwhile.
"""

from contextlib import suppress
from typing import NamedTuple

from device import sntp
from office import EPOCH_ROUNDS, READING_KEY, RETENTION, ROUND_SECONDS, Connection, Token, time_statement
from tessera import wire
from tessera.errors import Refused
from tests.attacks.branch import Branch
from tests.results import Row
from tools.emulator import timeserver

ROUND_MS = 1000 * ROUND_SECONDS
EPOCH_MS = EPOCH_ROUNDS * ROUND_MS
FORGED_MS = (ROUND_MS, EPOCH_MS, 3 * EPOCH_MS, 8 * EPOCH_MS, 40 * EPOCH_MS, 10**12)
AHEAD = 8  # epochs that members have tokens for in advance


class Aftermath(NamedTuple):
    """What starts under a forged time left behind."""

    posted: int
    lost: int
    ahead: int  # rounds, once the truth was heard
    allowed: int  # rounds to the end of the epoch after the last seal's
    posts: int  # acknowledged while the clock was provisional


def lead(branch: Branch) -> int:
    """Rounds that the relay is ahead of the true time for good: of one that waits for a time that its last seal allows,
    by that seal."""
    relay = branch.relay
    return int((relay.open_round if relay.clock_accepted else relay._rounds.sealed_next) - true_round(branch))


def true_round(branch: Branch) -> int:
    return int((branch.unix_ms // 1000 - branch.relay.parameters.newest.genesis) // ROUND_SECONDS)


def while_running(seed: int, rounds: int) -> float:
    """Rounds that forged answers, two a round, moved a relay that members use, for each epoch it has opened."""
    branch = Branch(f"time running {seed}")
    branch.new_member()
    for _ in range(rounds):
        branch.relay.clock.correct(branch.unix_ms + branch.dice.choice(FORGED_MS))
        branch.relay.clock.correct(branch.unix_ms - branch.dice.choice(FORGED_MS))
        branch.sleep()
    return lead(branch) / (branch.relay.epoch + 1)


def help_from_a_member(branch: Branch, true_epoch: int) -> int:
    """A member that wants the relay in the future shows what it has: its token for the relay's epoch, then a post; how
    many of its posts were taken before anything bore the clock out."""
    connection, epoch = Connection(branch.relay), branch.relay.epoch
    taken = 0
    for prepare in (True, False):
        provisional = branch.relay.clock.provisional
        with suppress(Refused):
            if prepare and epoch <= true_epoch + AHEAD:
                connection.authenticate(Token(20, epoch))
                provisional = branch.relay.clock.provisional
            connection.post(branch.record())
            taken += provisional
    return taken


def show_statement_again(branch: Branch, statement: bytes) -> None:
    """A time statement that a member pushed long ago: everybody who has the channel saw it."""
    with suppress(Refused):
        Connection(branch.relay).push(statement)


def at_a_start(seed: int, heal: str, helped: bool) -> Aftermath:
    """After starts under a forged time, and the truth."""
    branch = Branch(f"time at a start {seed} {heal} {helped}")
    member = branch.new_member()
    posted = [branch.record() for _ in range(5)]
    for record in posted:
        member.post(record)
    statement = time_statement(branch.unix_ms // 1000)
    branch.sleep(1 + branch.dice.randrange(EPOCH_ROUNDS * RETENTION - 2))
    true_ms, true_epoch = branch.unix_ms, branch.relay.epoch
    allowed = (true_epoch + 2) * EPOCH_ROUNDS - 1 - true_round(branch)
    posts = 0
    for _ in range(1 + branch.dice.randrange(3)):
        branch.unix_ms = true_ms + EPOCH_MS + branch.dice.choice(FORGED_MS)
        branch.boot()
        branch.turn()
        show_statement_again(branch, statement)
        if helped:
            posts += help_from_a_member(branch, true_epoch)
            branch.turn()
    branch.unix_ms = true_ms
    if heal == "an answer":
        branch.relay.clock.correct(true_ms)
        branch.turn()
    else:
        branch.boot()
    if helped:
        return Aftermath(len(posted), 0, lead(branch), allowed, posts)
    batch = branch.new_member().cell(0)
    return Aftermath(len(posted), sum(batch.count(record) != 1 for record in posted), lead(branch), 1, posts)


def held_back(seed: int) -> int:
    """Rounds that a relay is behind which was off for days and hears, at its start, the time of its last seal and
    nothing else: once a member, whose own clock is right, pushed a time statement."""
    branch = Branch(f"time held back {seed}")
    branch.sleep(1 + branch.dice.randrange(EPOCH_ROUNDS))
    sealed_ms = branch.unix_ms
    branch.boot()
    branch.unix_ms = sealed_ms + branch.dice.randrange(40) * EPOCH_MS
    Connection(branch.relay).push(time_statement(branch.unix_ms // 1000))
    branch.turn()
    return -lead(branch)


def served_while_provisional(seed: int) -> tuple[int, int]:
    """(sealed cells that a member reads, cells that it asks for) of a relay that waits for the truth."""
    branch = Branch(f"time provisional {seed}")
    record = branch.record()
    branch.new_member().post(record)
    branch.sleep(2)
    branch.pass_time(2 * EPOCH_MS - ROUND_MS)  # off meanwhile
    branch.boot()
    reader = Connection(branch.relay)
    assert branch.relay.clock.provisional and reader.call(wire.info())[2] & wire.PROVISIONAL
    rounds, next_round = reader.fetch(0, 16, 0, READING_KEY)
    return sum(record in batch for batch in rounds.values()) + (next_round == 2), 2


def not_to_this_question(answers: int) -> int:
    """How many answers with another nonce, or none, are heard."""
    branch = Branch("time nonce")
    heard = 0
    for _ in range(answers):
        asked, other = branch.dice.randbytes(8), branch.dice.randbytes(8)
        reply = timeserver.answer(bytes((0x23,)) + bytes(39) + other, 10**18)
        heard += sntp.read(reply, asked) is not None
    return heard


def starts(runs: int, heal: str, helped: bool) -> Row:
    found = [at_a_start(seed, heal, helped) for seed in range(runs)]
    posted, lost, posts = (sum(one[at] for one in found) for at in (0, 1, 4))
    beyond = max(one.ahead - one.allowed for one in found)
    text = (
        f"{lost} of {posted:,} records lost, {max(one.ahead for one in found)} rounds ahead, {posts} posts, in {runs}"
    )
    name = f"forged time at starts{', with a member' if helped else ''}, the truth by {heal}"
    bound = "≤ the next epoch's end, no post" if helped else "0, ≤ 1, no post"
    return Row(name, text + " runs", bound, lost == 0 and beyond <= 0 and posts == 0)


def run(scale: float = 1.0) -> list[Row]:
    runs = max(2, round(200 * scale))
    worst = max(while_running(seed, 8 * EPOCH_ROUNDS) for seed in range(max(1, runs // 10)))
    rows = [
        Row("forged time while members use the relay", f"{worst:.2f} rounds ahead for each epoch", "≤ 1", worst <= 1)
    ]
    rows += [starts(runs, heal, helped) for helped in (False, True) for heal in ("an answer", "a start")]
    behind = max(held_back(seed) for seed in range(runs))
    rows.append(Row("held at the last seal, then a time statement", f"{behind} rounds behind", "≤ 0", behind <= 0))
    served = [served_while_provisional(seed) for seed in range(max(1, runs // 10))]
    read, asked = sum(one for one, _ in served), sum(one for _, one in served)
    rows.append(Row("sealed cells under a provisional clock", f"{read} of {asked} answers right", "all", read == asked))
    heard = not_to_this_question(1000)
    return [*rows, Row("answers to another question", f"{heard} of 1,000 heard", "0", heard == 0)]
