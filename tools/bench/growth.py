"""What a relay, a fleet and several relays cost by the number of their members, from a hundred to ten million:
`make bench-growth`.

Owns the model: a few costs of an operation, measured here in CPU seconds, and how often each is done; its table and
plot in docs/growth.md and docs/growth-model.svg; and the proof, a server with ten thousand members' agents at their
rhythm, whose processor and egress the model has to have said within a quarter. Leaves to others: the server and its
members (serving.py, load.py), what the issuer costs (fetching.py).

    python -m tools.bench.growth measure [--seconds S]                 what an operation costs, anew
    python -m tools.bench.growth prove [--members N] [--seconds S]     the run that the model has to predict
    python -m tools.bench.growth fetch                                 a large office fetches its tokens in an hour
    python -m tools.bench.growth write                                 the page and the plot from what was measured

Each of the first three keeps what it found in growth.json beside this file.

What is counted. A member's agent has two sessions a round, as PROTOCOL §13 has it: one that posts (handshake, AUTH,
INFO, then VOID or a record) and one that reads the newest cell of its bucket, with a handshake of its own. Cells have
the cover of ε = 0.1, δ = 10^-6 for one delivery (218 thresholds), and the records that members posted: 16 a day each.
"""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import office
from tessera import wire
from tessera.params import log2_cohorts
from tessera.wire import CELL_FRAME_BYTES, CLIENT_FRAME_BYTES, RECORDS_PER_FRAME
from tessera_host.fleet.entry import LEAST_BYTES
from tessera_host.fleet.frames import FRAME_BYTES
from tessera_host.privacy import noise
from tessera_host.protocol.limits import OPEN_SESSIONS_PER_KEY
from tessera_host.relay.server_relay import ServerRelay
from tests.fleet.gateways import Fleet, constant_set
from tests.support.server_on_disk import make_server
from tools.bench import ROOT, fetching
from tools.bench.serving import ROUND_SECONDS, Serving, serving

KEPT = Path(__file__).with_suffix(".json")
PAGE, PLOT = ROOT / "docs/growth.md", ROOT / "docs/growth-model.svg"
MARKS = "<!-- made by tools/bench/growth.py: begin -->", "<!-- end -->"

DAY_SECONDS = 86_400
POSTS_A_DAY = 16
ROUNDS = 300
LONG_ROUNDS, LONGER = 900, 1800
CROWD = 256  # members of a bucket, about
MOST_BUCKETS = 1 << 16
HALF = 0.5  # of a core is what a process is planned for
MOST_FOR_ALL = 0.8  # of that may go into what every process of a fleet does: with more of them there is hardly more
SEVERAL = 8  # relays
TICKS = 50  # entries a second that a gateway writes at most
PLACES, HELD_SECONDS = OPEN_SESSIONS_PER_KEY, 0.25
MEMBERS = tuple(10**power for power in range(2, 8))

RATE = 20.0  # sessions a second, in which costs are measured
VISITED = 10_000  # the roster of the issuer whose visits are
PROOF_MEMBERS = 10_000
MOST_ERROR = 0.25

# Bytes from a server: nonce and reply of a handshake, and answers to AUTH, INFO and VOID or POST.
_HANDSHAKE_BYTES = 16 + 65
_POSTING_BYTES = _HANDSHAKE_BYTES + 3 * CLIENT_FRAME_BYTES


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the server's process for each, but for `idle`, which is its share of a core."""

    idle: float  # nobody comes
    posting: float  # a session that posts, with VOID
    record: float  # one that goes into the ring
    reading: float  # a session that reads, but for its frames
    frame: float  # of a cell, of a batch that is kept
    made: float  # what a frame is more when its batch is made
    replayed: float  # a frame of a fleet's log, at each gateway; half of them records
    written: float  # a frame that a gateway puts into its entry
    visit: float  # to the issuer, for one epoch's token
    machine: str = ""
    date: str = ""


@dataclass(frozen=True)
class Setting:
    """An office: so many relays, of which a member reads one and posts to all, in `processes` each."""

    members: int
    relays: int = 1
    fleet: bool = False
    round_seconds: int = ROUNDS

    @property
    def buckets(self) -> int:
        """Of each relay: as many as leave its members in crowds."""
        mine = self.members / self.relays / CROWD
        return min(MOST_BUCKETS, 1 << max(0, math.floor(math.log2(mine)) if mine >= 1 else 0))

    @property
    def records_a_cell(self) -> float:
        a_round = self.members * POSTS_A_DAY * self.round_seconds / DAY_SECONDS
        return a_round / self.relays / self.buckets


@dataclass(frozen=True)
class Need:
    """What a setting needs; of a relay where it says so. processes: None if no number of them is enough."""

    frames_a_cell: float
    egress: float  # bytes a second, of all relays
    a_day: float  # bytes that a member receives
    cores: float  # at work, of all relays
    processes: int | None  # of a relay, each at half a core at most
    log_frames: float  # a second, of a relay
    log_a_day: float  # bytes, of a relay, on each node of its engine


@cache
def cover_weights() -> tuple[float, ...]:
    table = noise.table(Fraction("0.1"), Fraction("1e-6"))
    return tuple(weight / noise.DRAWS for weight in table.weights())


@cache
def frames_a_cell(records: float) -> float:
    """On average, of a cell with so many records on average (Poisson) and the cover of the table."""
    return sum(cover * _frames(number, records) for number, cover in enumerate(cover_weights()))


def _frames(cover: int, records: float) -> float:
    """The mean number of frames of a cell with so much cover. With many records their spread does not matter."""
    if records > 400:
        return (cover + records) / RECORDS_PER_FRAME + (RECORDS_PER_FRAME - 1) / 2 / RECORDS_PER_FRAME
    chance, total = math.exp(-records), 0.0
    for number in range(int(records + 12 * math.sqrt(records + 1)) + 12):
        total += chance * max(1, -(-(cover + number) // RECORDS_PER_FRAME))
        chance *= records / (number + 1)
    return total


def need(costs: Costs, setting: Setting) -> Need:
    """The model."""
    relays, sessions = setting.relays, setting.members / setting.round_seconds  # a second, of one kind
    frames = frames_a_cell(setting.records_a_cell)
    per_member = (_POSTING_BYTES * relays + _HANDSHAKE_BYTES + CELL_FRAME_BYTES * (frames + 1)) / setting.round_seconds
    posted = setting.members * POSTS_A_DAY / DAY_SECONDS / relays  # records a second, of a relay
    readers = sessions / relays
    log = sessions if setting.fleet else 0.0  # a frame a session that posts
    work = sessions * costs.posting + readers * (costs.reading + (frames + 1) * costs.frame) + log * costs.written
    made = setting.buckets / setting.round_seconds * frames * costs.made
    every = costs.idle + made + posted * costs.record + log * costs.replayed  # what each process does
    processes: int | None = 1 if work + every <= HALF else None
    if setting.fleet:
        processes = max(3, math.ceil(work / (HALF - every))) if every < MOST_FOR_ALL * HALF else None
    entries = min(log, (processes or 0) * TICKS)
    return Need(
        frames_a_cell=frames,
        egress=setting.members * per_member,
        a_day=per_member * DAY_SECONDS,
        cores=relays * (work + (processes or 1) * every),
        processes=processes,
        log_frames=log,
        log_a_day=DAY_SECONDS * (log * FRAME_BYTES + entries * LEAST_BYTES),
    )


# -- the table and the plot


def settings() -> list[tuple[str, Setting]]:
    """What is in the table, with what it is called."""
    rows: list[tuple[str, Setting]] = []
    for members in MEMBERS:
        rows.append(("alone", Setting(members)))
        rows.append(("fleet", Setting(members, fleet=True)))
        rows.append(
            (
                f"{SEVERAL} fleets" if members >= 10**5 else f"{SEVERAL} relays",
                Setting(members, SEVERAL, members >= 10**5),
            )
        )
        if members >= 10**6:
            rows += [("fleet", Setting(members, fleet=True, round_seconds=rounds)) for rounds in (LONG_ROUNDS, LONGER)]
    return rows


HEADINGS = (
    "members", "", "round, s", "relays × buckets", "a bucket", "cohorts", "frames a cell", "MB a day and member",
    "egress, MB/s", "log frames/s", "log, GB a day", "cores at work", "processes",
    "issuer, cores of a day", "all fetch in",
)  # fmt: skip


def table_rows(costs: Costs) -> list[list[str]]:
    rows = []
    for name, setting in settings():
        found = need(costs, setting)
        cohorts = 1 << log2_cohorts(setting.members)
        rows.append(
            [
                f"{setting.members:,}",
                name,
                str(setting.round_seconds),
                f"{setting.relays} × {setting.buckets:,}",
                f"{setting.members / setting.relays / setting.buckets:,.0f}",
                str(cohorts),
                f"{found.frames_a_cell:.1f}",
                f"{found.a_day / 1e6:.1f}",
                _short(found.egress / 1e6),
                _short(found.log_frames) if setting.fleet else "",
                _short(found.log_a_day / 1e9) if setting.fleet else "",
                _short(found.cores) if found.processes else "",
                _processes(setting, found),
                _short(setting.members * costs.visit / DAY_SECONDS) if setting.relays == 1 else "",
                _duration(fetching_seconds(costs, setting.members)) if setting.relays == 1 else "",
            ]
        )
    return rows


def fetching_seconds(costs: Costs, members: int) -> float:
    """Seconds in which all fetch a token, if none waits for another day: what the issuer's one process takes, or what
    four places of each cohort take, half of them used, each for a quarter of a second."""
    places = PLACES * (1 << log2_cohorts(members))
    return max(members * costs.visit, members * HELD_SECONDS / (places * HALF))


def _processes(setting: Setting, found: Need) -> str:
    if found.processes is None:
        return "no fleet" if setting.fleet else "a fleet"
    each = f"{found.processes:,}"
    return each if setting.relays == 1 else f"{setting.relays} × {each}"


def _short(value: float) -> str:
    if value < 0.001:
        return "< 0.001"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value >= 0.1 else f"{value:.1g}"


def _duration(seconds: float) -> str:
    for unit, length in (("days", DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "1 s"


def markdown(costs: Costs, found: dict[str, Any]) -> str:
    """What stands between the marks in the page."""
    return "\n\n".join(
        [
            MARKS[0],
            _costs_text(costs),
            _markdown(HEADINGS, table_rows(costs)),
            *_proof_text(found),
            *_hour_text(found),
            MARKS[1],
        ]
    )


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(headings), "|".join(["---"] * len(headings)), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _costs_text(costs: Costs) -> str:
    names = {
        "posting": "a session that posts", "record": "a record put into the ring",
        "reading": "a session that reads, without its frames,", "frame": "a frame of a cell",
        "made": "a frame more when its batch is made", "replayed": "a frame of a fleet's log replayed",
        "written": "written", "visit": "a visit to the issuer for one token",
    }  # fmt: skip
    each = ", ".join(f"{name} {_milliseconds(getattr(costs, field))}" for field, name in names.items())
    return (
        f"CPU of one operation, measured on {costs.date} ({costs.machine}): {each}; a server that nobody asks "
        f"{costs.idle:.1%} of a core."
    )


def _proof_text(found: dict[str, Any]) -> list[str]:
    if "proof" not in found:
        return []
    proof = found["proof"]
    rows = []
    for name, what, unit in (("of a core", "cores", 1.0), ("egress, MB/s", "egress", 1e6)):
        said, measured = proof[what]["said"], proof[what]["measured"]
        rows.append([name, f"{said / unit:.3f}", f"{measured / unit:.3f}", f"{said / measured - 1:+.0%}"])
    text = (
        f"The proof: `tessera serve` and {proof['members']:,} members' agents, {proof['seconds']:.0f} s, "
        f"{proof['sessions']:,} sessions, {proof['failed']} failed, p99 {proof['p99_ms']:.0f} ms (half a second of it "
        f"is an agent's own), on {proof['date']}:"
    )
    return [text, _markdown(("", "the model", "measured", ""), rows)]


def _hour_text(found: dict[str, Any]) -> list[str]:
    if "hour" not in found:
        return []
    rows = [fetching.cells(row) for row in found["hour"]]
    text = (
        f"All of an office fetch their tokens (`tools/bench/fetching.py`, on {found['hour'][0]['date']}). Each run is "
        "a minute of visits, as many a second as would take an hour. Who found no place came again a minute later: "
        "that lengthens such a run much, and an hour little."
    )
    return [text, _markdown(fetching.HEADINGS, rows)]


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms" if seconds >= 0.001 else f"{1e6 * seconds:.0f} µs"


def page(found: dict[str, Any]) -> str:
    """The page as it stands, with what was measured in its place."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return before + markdown(costs_of(found), found) + after


def plot(costs: Costs, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "tessera", "font.size": 8})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    sizes = [10 ** (2 + step / 8) for step in range(41)]
    kinds = (
        ("relay alone", lambda members: Setting(members)),
        ("fleet", lambda members: Setting(members, fleet=True)),
        (f"{SEVERAL} fleets", lambda members: Setting(members, SEVERAL, fleet=True)),
        (f"fleet, rounds of {LONG_ROUNDS} s", lambda members: Setting(members, fleet=True, round_seconds=LONG_ROUNDS)),
    )
    for name, made in kinds:
        found = [(size, need(costs, made(round(size)))) for size in sizes]
        possible = [(size, each) for size, each in found if each.processes]
        axes[0].plot([size for size, _ in possible], [each.cores for _, each in possible], label=name)
        axes[1].plot(sizes, [each.egress / 1e6 for _, each in found], label=name)
        axes[2].plot(sizes, [each.a_day / 1e6 for _, each in found], label=name)
    for ax, title in zip(axes, ("cores at work", "egress, MB/s", "MB a day and member"), strict=True):
        ax.set(title=title, xscale="log", xlabel="members")
    axes[0].set(yscale="log")
    axes[1].set(yscale="log")
    axes[2].set(ylim=(0, None))
    axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


# -- what is measured


def measure(seconds: float) -> Costs:
    with serving(1000, 1020) as server:
        idle = _idle(server, seconds / 2)
        posting = _session(server, idle, "posting", seconds, "--posts", 0)
        fresh, frames = _reading(server, idle, seconds, "--fresh")
        few, few_frames = _reading(server, idle, seconds, "--rounds", 1)
        many, many_frames = _reading(server, idle, seconds, "--rounds", 16)
    frame = (many - few) / (many_frames - few_frames)
    reading = few - few_frames * frame
    replayed, written = fleet_costs()
    return Costs(
        idle=idle,
        posting=posting,
        record=record_cost(),
        reading=reading,
        frame=frame,
        made=max(0.0, (fresh - reading) / frames - frame),
        replayed=replayed,
        written=written,
        visit=visit_cost(seconds),
        machine=f"{platform.machine()}, {_cpu_name()}, CPython {platform.python_version()}",
        date=_today(),
    )


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _idle(server: Serving, seconds: float) -> float:
    before = server.cpu_seconds
    time.sleep(seconds)
    return (server.cpu_seconds - before) / seconds


def _session(server: Serving, idle: float, kind: str, seconds: float, *options: object) -> float:
    """Of the server's CPU, a session of this kind."""
    found = server.under(kind, 1000, seconds, "--rate", RATE, *options)
    if found["failed"] or not found["sessions"]:
        sys.exit(f"sessions failed: {found['failed']}")
    return float((found["cpu_seconds"] - idle * found["seconds"]) / found["sessions"])


def _reading(server: Serving, idle: float, seconds: float, *options: object) -> tuple[float, float]:
    """Of a session that reads: CPU, and frames."""
    found = server.under("reading", 1000, seconds, "--rate", RATE, *options)
    if found["failed"] or not found["sessions"]:
        sys.exit(f"sessions failed: {found['failed']}")
    frames = (found["received"] / found["sessions"] - _HANDSHAKE_BYTES) / CELL_FRAME_BYTES
    return float((found["cpu_seconds"] - idle * found["seconds"]) / found["sessions"]), frames


def record_cost(records: int = 400, a_commit: int = 20) -> float:
    """Of a record that is programmed into the ring, so many in a commit, over a VOID."""
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        make_server(Path(folder), 1, genesis=int(time.time()) - 5, round_seconds=3600, members=64, posts_per_token=1020)
        gateway = ServerRelay(Path(folder))
        gateway.start()
        statement = office.time_statement(int(time.time()))
        gateway.relay.push(office.Cable(), len(statement), 0, len(statement), statement)
        member = office.Connection(gateway.relay)
        member.authenticate(office.Token(1, 0))
        took = []
        for made in (wire.void, lambda: wire.post(0, os.urandom(240))):
            begun = time.process_time()
            for _ in range(records // a_commit):
                with gateway.database.deferred():
                    for _ in range(a_commit):
                        member.call(made())
                gateway.database.commit()
            took.append(time.process_time() - begun)
        gateway.close()
    return (took[1] - took[0]) / records


def fleet_costs(entries: int = 200, frames: int = 40) -> tuple[float, float]:
    """Of a frame: replayed by a gateway that did not write it, and put into an entry. Without the engine's client and
    without the ring, which `record` has."""
    fleet = Fleet(3, constant_set(members=entries * frames))
    writer, reader = fleet[1], fleet[2]
    fleet.share_token_key(writer)
    fleet.next_round()
    written = 0.0
    for entry in range(entries):
        for number in range(frames // 2):
            posted = writer.post((entry * frames + number).to_bytes(32, "big"), bytes(240))
            assert isinstance(posted, bytes), posted
            writer.void()
        begun = time.process_time()
        writer.tick()
        written += time.process_time() - begun
        while fleet.engine.flying:
            fleet.engine.land()
        writer.follow()
    begun = time.process_time()
    reader.follow()
    replayed = time.process_time() - begun
    return replayed / entries / frames, written / entries / frames


def visit_cost(seconds: float) -> float:
    """Of the issuer's process: a member who lacks one token."""
    (found,) = fetching.measured(VISITED, RATE, [fetching.Way(1, 0.02)], seconds)
    return float(found["issuer_cpu_ms_a_visit"]) / 1000


def hour(seconds: float) -> list[dict[str, Any]]:
    """A large office after a new generation of keys, and one in which everybody lacks one epoch; over networks that
    take a tenth of a second, and a whole one."""
    ways = [fetching.Way(fetching.AHEAD + 1, 0.1), fetching.Way(1, 0.1), fetching.Way(1, 1.0)]
    rows = fetching.measured(fetching.ROSTER, fetching.ROSTER / fetching.HOUR, ways, seconds)
    return [row | {"date": _today()} for row in rows]


def _today() -> str:
    return datetime.now(tz=UTC).date().isoformat()


# -- the proof


def prove(costs: Costs, members: int, seconds: float, rhythm: float) -> dict[str, Any]:
    """A server with so many members' agents, beside what the model says of it."""
    setting = Setting(members, round_seconds=round(rhythm))
    log2_buckets = setting.buckets.bit_length() - 1
    posts = POSTS_A_DAY * rhythm / DAY_SECONDS
    with serving(members, 32, log2_buckets) as server:
        found = server.under("members", members, seconds, "--rhythm", rhythm, "--posts", posts)
    a_round = (
        members * POSTS_A_DAY * ROUND_SECONDS / DAY_SECONDS / setting.buckets
    )  # records of a cell, once it is full
    shares = [_share_posted(server.genesis, found["began"], second) for second in range(int(found["seconds"]))]
    frames = sum(frames_a_cell(round(share * a_round, 2)) for share in shares) / len(shares)
    sessions = 2 * members / rhythm
    cpu = (
        costs.idle
        + sessions / 2 * (costs.posting + posts * costs.record + costs.reading + (frames + 1) * costs.frame)
        + setting.buckets / ROUND_SECONDS * frames * costs.made
    )
    egress = sessions / 2 * (_POSTING_BYTES + _HANDSHAKE_BYTES + CELL_FRAME_BYTES * (frames + 1))
    return {
        "members": members,
        "seconds": found["seconds"],
        "sessions": found["sessions"],
        "failed": sum(found["failed"].values()),
        "cores": {"said": cpu, "measured": found["cores"]},
        "egress": {"said": egress, "measured": found["received"] / found["seconds"]},
        "p99_ms": found["p99_ms"],
        "date": _today(),
    }


def _share_posted(genesis: int, began: float, second: int) -> float:
    """How much of the round that is the newest to be read, so many seconds after it began, the members were there."""
    now = began + second
    start = now - (now - genesis) % ROUND_SECONDS - ROUND_SECONDS
    return min(1.0, max(0.0, start + ROUND_SECONDS - began) / ROUND_SECONDS)


def shown(found: dict[str, Any]) -> bool:
    """Print it; whether the model was right."""
    sessions = f"{found['sessions']:,} sessions, {found['failed']} failed"
    title = f"{found['members']:,} members' agents, {found['seconds']:.0f} s, {sessions}"
    table = Table("", "the model", "measured", "", title=title)
    right = not found["failed"]
    for name, unit in (("cores", 1.0), ("egress", 1e6)):
        said, measured = found[name]["said"], found[name]["measured"]
        error = said / measured - 1
        right = right and abs(error) <= MOST_ERROR
        table.add_row(
            name if unit == 1 else "egress, MB/s", f"{said / unit:.3f}", f"{measured / unit:.3f}", f"{error:+.1%}"
        )
    Console(width=110).print(table)
    return right


def _keep(found: dict[str, Any]) -> None:
    KEPT.write_text(json.dumps(found, indent=1) + "\n")


def costs_of(found: dict[str, Any]) -> Costs:
    return Costs(**found["costs"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Growth on paper, and its proof.")
    parser.add_argument("what", choices=("measure", "prove", "fetch", "write", "all"))
    parser.add_argument("--members", type=int, default=PROOF_MEMBERS)
    parser.add_argument("--seconds", type=float, default=None, help="of each measurement; of the proof, two rounds")
    parser.add_argument("--rhythm", type=float, default=ROUNDS, help="seconds of a member's round in the proof")
    chosen = parser.parse_args()
    found: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    right = True
    if chosen.what in ("measure", "all"):
        found["costs"] = asdict(measure(chosen.seconds or 20))
        _keep(found)
    if chosen.what in ("prove", "all"):
        seconds = 2 * ROUNDS if chosen.what == "all" or not chosen.seconds else chosen.seconds
        found["proof"] = prove(costs_of(found), chosen.members, seconds, chosen.rhythm)
        _keep(found)
        right = shown(found["proof"])
    if chosen.what in ("fetch", "all"):
        found["hour"] = hour(chosen.seconds or 60)
        _keep(found)
        fetching.show(found["hour"])
    if chosen.what in ("write", "all"):
        PAGE.write_text(page(found))
        plot(costs_of(found), PLOT)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
