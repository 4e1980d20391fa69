"""A forged network clock. Somebody on the way answers the relay's questions for the time: while it runs, at its
start, after a power cut, once or for a long time. Bound: while members use it the open round is never more than one
round an epoch ahead of the true one; a start under a forged time leaves nothing behind once the truth is heard, by an
answer or at the next start; no record is lost; answers to another question are not heard.
"""

from device import sntp
from office import EPOCH_ROUNDS, RETENTION, ROUND_SECONDS
from tests.attacks.branch import Branch
from tests.results import Row
from tools.emulator import timeserver

ROUND_MS = 1000 * ROUND_SECONDS
EPOCH_MS = EPOCH_ROUNDS * ROUND_MS
FORGED_MS = (ROUND_MS, EPOCH_MS, 3 * EPOCH_MS, 40 * EPOCH_MS, 10**12)


def lead(branch: Branch) -> int:
    """Rounds that the relay is ahead of the true time."""
    true_round = (branch.unix_ms // 1000 - branch.relay.parameters.newest.genesis) // ROUND_SECONDS
    return int(branch.relay.open_round - true_round)


def while_running(seed: int, rounds: int) -> float:
    """Rounds that forged answers, two a round, moved a relay that members use, for each epoch it has opened."""
    branch = Branch(f"time running {seed}")
    branch.new_member()
    for _ in range(rounds):
        branch.relay.clock.correct(branch.unix_ms + branch.dice.choice(FORGED_MS))
        branch.relay.clock.correct(branch.unix_ms - branch.dice.choice(FORGED_MS))
        branch.sleep()
    return lead(branch) / (branch.relay.epoch + 1)


def at_a_start(seed: int, heal: str) -> tuple[int, int, int]:
    """(acknowledged records, those lost, rounds that the relay is ahead) after starts under a forged time."""
    branch = Branch(f"time at a start {seed} {heal}")
    member = branch.new_member()
    posted = [branch.record() for _ in range(5)]
    for record in posted:
        member.post(record)
    branch.sleep(1 + branch.dice.randrange(EPOCH_ROUNDS * RETENTION - 2))
    true_ms = branch.unix_ms
    for _ in range(1 + branch.dice.randrange(3)):
        branch.unix_ms = true_ms + EPOCH_MS + branch.dice.choice(FORGED_MS)
        branch.boot()
        branch.turn()
    branch.unix_ms = true_ms
    if heal == "an answer":
        branch.relay.clock.correct(true_ms)
        branch.turn()
    else:
        branch.boot()
    batch = branch.new_member().cell(0)
    return len(posted), sum(batch.count(record) != 1 for record in posted), lead(branch)


def not_to_this_question(answers: int) -> int:
    """How many answers with another nonce, or none, are heard."""
    branch = Branch("time nonce")
    heard = 0
    for _ in range(answers):
        asked, other = branch.dice.randbytes(8), branch.dice.randbytes(8)
        reply = timeserver.answer(bytes((0x23,)) + bytes(39) + other, 10**18)
        heard += sntp.read(reply, asked) is not None
    return heard


def run(scale: float = 1.0) -> list[Row]:
    runs = max(2, round(200 * scale))
    worst = max(while_running(seed, 8 * EPOCH_ROUNDS) for seed in range(max(1, runs // 10)))
    rows = [
        Row("forged time while members use the relay", f"{worst:.2f} rounds ahead for each epoch", "≤ 1", worst <= 1)
    ]
    for heal in ("an answer", "a start"):
        found = [at_a_start(seed, heal) for seed in range(runs)]
        posted, lost, ahead = sum(one[0] for one in found), sum(one[1] for one in found), max(one[2] for one in found)
        text = f"{lost} of {posted:,} records lost, {ahead} rounds ahead, in {runs} runs"
        rows.append(Row(f"forged time at starts, the truth by {heal}", text, "0, ≤ 1", lost == 0 and ahead <= 1))
    heard = not_to_this_question(1000)
    return [*rows, Row("answers to another question", f"{heard} of 1,000 heard", "0", heard == 0)]
