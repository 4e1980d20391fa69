"""`make soak`: thirty days of an office of fifty, in fast motion, against the relay on MicroPython in its 192 KB heap.

Members post all that their quotas allow, by sessions that are made, resumed and dropped in every way a bad Wi-Fi
knows (members.py); one of them reads every round as soon as it is sealed, and many again (reader.py). Once a day the
power fails, often twice; the network clock is wrong for hours, at the start too; connections fall silent; strangers
knock (trouble.py). IT signs a new set every few days, which members bring to the relay, and a member comes back after
days (renewals.py). What must hold (book.py): every acknowledged record is in the round its answer named, once; a batch
is that and its cover, to the byte; a round that was read stays as it was; a token has the posts left that it should.
Then days without a power cut follow, with all the rest: the heap does not grow, and does not fall into smaller pieces.

Owns the office's days and the figures made of them. Time, dice and network are not the same in a second run with the
same seed, what the dice decide is.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import scipy

from tests.results import Row, publish
from tests.soak.book import Book
from tests.soak.course import Course
from tests.soak.fastrelay import MEMBERS, POSTS, SPEED, TOKENS, FastRelay, Look, Wear
from tests.soak.members import Members
from tests.soak.office_time import MOST_A_STEP_SECONDS, Follower
from tests.soak.reader import Reader
from tests.soak.renewals import Away, Renewals
from tests.soak.trouble import HalfOpen, NetworkClock, Power, Strangers
from tests.support.tasks import stop

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent


EPOCH_ROUNDS = 288  # of 300 s
DAYS, CALM_DAYS = 30, 24
LEAST = 3, 1, 50  # days, calm days, rounds of an epoch
CYCLES = 100_000  # erases that a sector of the Pico's flash is good for at least (W25Q16JV, data sheet)
CONFIDENCE = 0.99
_SETTLED_LOOKS = 3  # epochs after a start until every kept one has its ciphers and its cover
_CLOSED = (-0.02, 0.03)  # of a day, around its turn: nobody is there, so that the heap can be looked at
_LAST_SECONDS = 300  # for what was posted last to be read: an overall limit, no measure


class Soak:
    """`days` with a power cut a day, then calm_days without; an epoch is a day."""

    def __init__(self, folder: Path, seed: str, days: int, calm_days: int, epoch_rounds: int = EPOCH_ROUNDS) -> None:
        self.days, self.calm_days = days, calm_days
        relay = FastRelay(folder, epoch_rounds)
        book = Book(relay.thresholds, epoch_rounds, relay.sets.signed)
        self.course = Course(relay, random.Random(seed), book)
        self.members = Members(self.course)
        self.reader = Reader(self.course, self.members)
        self.wear: list[dict[str, Wear]] = []  # after the first start, the days with cuts, all days

    async def run(self) -> None:
        course = self.course
        passing = asyncio.create_task(course.relay.time.run(self._followers()))
        await course.relay.start()
        self._note_wear()
        course.doors.set()
        power = asyncio.create_task(Power(course, self.reader).fail_daily(self.days))
        members = [asyncio.create_task(self.members.post_all_the_time()) for _ in range(2)]
        others = [
            asyncio.create_task(each)
            for each in (
                NetworkClock(course).mislead(),
                Strangers(course).knock(),
                HalfOpen(course, self.members).fall_silent(),
                Renewals(course).renew(),
                Away(course).come_and_go(),
                self._check_batches(),
            )
        ]
        reading = asyncio.create_task(self.reader.read_all_the_time())
        watch = (passing, power, reading, *members, *others)
        try:
            for day in range(1, self.days + 1):
                await self._pass_day(day, watch)
            await power
            self._note_wear()
            for day in range(self.days + 1, self.days + self.calm_days + 1):
                await self._pass_day(day, watch, calm=True)
            await stop(*members, *others)
            await self._read_the_rest(reading)
        finally:
            course.over = True
            await stop(*watch)
            course.relay.cut()
        self._note_wear()
        self.course.book.learn(self.course.relay.cover_keys())
        while self.course.book.check_one():
            pass
        self._judge()

    def _followers(self) -> list[Follower]:
        """Whom the office's time waits for, so that a busy computer makes the days longer and not emptier."""
        relay = self.course.relay

        def busy() -> bool:
            return relay.is_there() and self.course.doors.is_set() and not self.course.over

        return [
            Follower(relay.time.relay_turns, relay.is_there, MOST_A_STEP_SECONDS),
            Follower(lambda: self.members.turns, busy, 2 * MOST_A_STEP_SECONDS),
            Follower(lambda: self.reader.turns, busy, 6 * MOST_A_STEP_SECONDS),
        ]

    async def _pass_day(self, day: int, watch: tuple[asyncio.Task[None], ...], calm: bool = False) -> None:
        """Until the end of a day, the first one is 1; with a calm turn of the epoch if asked for."""
        await self._until(day + calm * _CLOSED[0], watch)
        if calm:
            self.course.doors.clear()
            await self._until(day + _CLOSED[1], watch)
            self.course.doors.set()
        counts = ", ".join(f"{number:,} {name}" for name, number in sorted(self.course.counts.items()))
        print(f"day {day}: {counts}; {len(self.course.book.wrong)} wrong", flush=True)

    async def _until(self, day: float, watch: tuple[asyncio.Task[None], ...]) -> None:
        """Wait, unless one of those at work has failed."""
        while self.course.relay.day() < day:
            for task in watch:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)

    async def _read_the_rest(self, reading: "asyncio.Task[None]") -> None:
        last = max((max(rounds) for rounds in self.course.book.promised.values()), default=0)
        for _ in range(100 * _LAST_SECONDS):
            if self.reader.next_round > last or reading.done():
                break
            await asyncio.sleep(0.01)

    async def _check_batches(self) -> None:
        """Little by little, as all of us are one thread."""
        while not self.course.over:
            self.course.book.learn(self.course.relay.cover_keys())
            await asyncio.sleep(0.2)
            while self.course.book.check_one():
                await asyncio.sleep(0)

    def _note_wear(self) -> None:
        self.wear.append({ring: self.course.relay.wear(ring) for ring in ("ring", "keys")})

    def _judge(self) -> None:
        book, counts = self.course.book, self.course.counts
        book.close()
        missing = set(range(self.days + self.calm_days - 1)) - set(book.checkpoints)
        if missing:
            book.wrong.append(f"no checkpoint of the epochs {sorted(missing)}")
        if counts["FAULT"]:
            book.wrong.append(f"{counts['FAULT']} times the relay answered FAULT")
        book.wrong += [f"the relay said: {line}" for line in self.course.relay.complaints()]


# -- figures


def quiet_looks(looks: list[Look], days: int) -> dict[int, Look]:
    """For each epoch without a power cut but the first ones: the heap before anybody came, the best of its looks.

    The collector keeps what looks like a pointer on the C stack, a buffer more or less each time; nothing else may
    differ.
    """
    quiet: dict[int, Look] = {}
    for look in looks:
        if look.epoch > days + _SETTLED_LOOKS and not look.tokens and not look.connections:
            best = quiet.get(look.epoch, look)
            quiet[look.epoch] = min(best, look, key=lambda each: (each.used_bytes, -each.largest_free_bytes))
    return quiet


def trend_row(name: str, quiet: dict[int, Look], value: Callable[[Look], int], worse: int) -> Row:
    """How a value changes from day to day. worse: 1 if more is worse, -1 if less is."""
    values = [value(look) for look in quiet.values()]
    fit = scipy.stats.linregress(list(quiet), values)
    margin = float(scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 2)) * float(fit.stderr)
    text = f"{min(values):,} to {max(values):,} bytes in {len(values)} epochs, {fit.slope:+,.0f} ± {margin:,.0f} a day"
    return Row(name, text, "interval holds 0 or better", worse * float(fit.slope) - margin <= 0)


def heap_rows(looks: list[Look], days: int) -> list[Row]:
    quiet = quiet_looks(looks, days)
    rows = []
    if len(quiet) > 3:
        rows = [
            trend_row("heap in use before anybody comes, days without a cut", quiet, lambda look: look.used_bytes, 1),
            trend_row("largest free block then", quiet, lambda look: look.largest_free_bytes, -1),
        ]
    text = (
        f"{max(look.used_bytes for look in looks):,} bytes in use at most, largest free block "
        f"{min(look.largest_free_bytes for look in looks):,} bytes at least; up to "
        f"{max(look.tokens for look in looks)} tokens and {max(look.connections for look in looks)} connections"
    )
    return [*rows, Row(f"heap in {len(looks):,} looks at any time", text)]


def wear_row(name: str, wear: Wear, days: float) -> Row:
    ordered = sorted(wear.erases)
    a_day = ordered[-1] / days
    life = f"{CYCLES / a_day / 365:,.0f} years to {CYCLES:,} erases" if a_day else "no erase"
    each = "each " + ", ".join(map(str, wear.erases)) if len(ordered) < 9 else ""
    spread = each or f"{ordered[0]} / {ordered[len(ordered) // 2]} / {ordered[-1]} (least, median, most)"
    text = f"{spread} erases in {days:g} days, {sum(wear.programs) / days:,.0f} programs a day; {life}"
    return Row(f"wear of the {name}, {len(ordered)} sectors", text)


def wear_rows(soak: Soak) -> list[Row]:
    rows = []
    for ring, name in (("ring", "record ring"), ("keys", "key ring")):
        fresh, with_cuts, all_days = (noted[ring] for noted in soak.wear)
        if soak.days:
            rows.append(wear_row(f"{name} with a cut a day", with_cuts.since(fresh), soak.days))
        if soak.calm_days:
            rows.append(wear_row(f"{name} without cuts", all_days.since(with_cuts), soak.calm_days))
    return rows


def rows(soak: Soak) -> list[Row]:
    counts, book = soak.course.counts, soak.course.book

    def say(*names: str) -> str:
        return ", ".join(f"{counts[name]:,} {name}" for name in names)

    share = book.looked_for / (soak.days + soak.calm_days) / MEMBERS / TOKENS / POSTS
    again = say("again after a cut", "again before they expired", "again at any time")
    return [
        Row(
            f"{soak.days} days with power cuts, {soak.calm_days} without, {MEMBERS} members",
            f"{book.looked_for:,} acknowledged posts looked for ({share:.0%} of all quotas)"
            f", {book.lost} lost; {len(book.wrong)} things wrong",
            "0 lost, 0 wrong",
            not book.lost and not book.wrong,
        ),
        Row("rounds, to the byte", f"{say('rounds read')}; {again}; {len(book.checkpoints)} checkpoints in a chain"),
        Row(
            "sessions",
            say(
                "full handshakes", "resumptions", "connections lost", "broken off", "repetitions", "fetches left unread"
            ),
        ),
        Row("strangers", say("strangers", "half-open connections ended")),
        Row(
            "sets",
            f"{len(soak.course.relay.sets.signed)} signed; "
            + say(
                *("sets taken", "sets brought once more", "pushes broken off"),
                *("members back", "old reading keys refused"),
            ),
            "each taken",
            counts["sets taken"] >= len(soak.course.relay.sets.signed) - 2,  # the last may still be on its way
        ),
        Row(
            "trouble",
            say("power cuts", "starts with a wrong clock", "wrong clocks while it ran")
            + f"; {soak.course.relay.starts} starts; at most {say('rounds ahead')} of the office's clock",
        ),
        Row(
            "refusals",
            say("QUOTA", "BUSY", "NOT_ADMITTED", "NOT_READY", "TOO_OLD", "BAD_REQUEST", "FAULT"),
            "no FAULT, no BAD_REQUEST",
            not counts["FAULT"] and not counts["BAD_REQUEST"],
        ),
        *heap_rows(soak.course.relay.looks(), soak.days),
        *wear_rows(soak),
    ]


def play(seed: str, days: int, calm_days: int = 0, epoch_rounds: int = EPOCH_ROUNDS) -> tuple[list[Row], Soak]:
    """So many days of epoch_rounds rounds each."""
    with tempfile.TemporaryDirectory(prefix="tessera-soak-") as folder:
        soak = Soak(Path(folder), seed, days, calm_days, epoch_rounds)
        try:
            asyncio.run(soak.run())
            return rows(soak), soak
        finally:
            soak.course.relay.cut()


def main() -> int:
    parser = argparse.ArgumentParser(description="Days of an office in fast motion.")
    parser.add_argument("--days", type=int, default=DAYS, help="with a power cut a day")
    parser.add_argument("--calm-days", type=int, help=f"without one; {CALM_DAYS} after {DAYS} or more")
    parser.add_argument("--least", action="store_true", help="three short days and a calm one")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    chosen = parser.parse_args()
    calm_days = chosen.calm_days if chosen.calm_days is not None else CALM_DAYS * (chosen.days >= DAYS)
    days, epoch_rounds = chosen.days, EPOCH_ROUNDS
    if chosen.least:
        days, calm_days, epoch_rounds = LEAST
    print(f"seed {chosen.seed}, {SPEED} times as fast")
    start = time.monotonic()
    found, soak = play(chosen.seed, days, calm_days, epoch_rounds)
    for wrong in soak.course.book.wrong[:20]:
        print(f"FAIL  {wrong}")
    whole = days >= DAYS and calm_days >= CALM_DAYS
    return 0 if publish("soak", "make soak", found, time.monotonic() - start, whole=whole) else 1


if __name__ == "__main__":
    sys.exit(main())
