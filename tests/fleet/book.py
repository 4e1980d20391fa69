"""What was posted to a fleet, what it was answered and what each gateway published, and what must hold between them.
Knows tokens, rounds, buckets and records; nothing of the product.

Whoever was told a round finds the record there, in every gateway's batch, and nowhere else; of a cell all gateways have
one batch; a token has at most one record a round and its quota an epoch, whatever its member was answered.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

ACKNOWLEDGED = "acknowledged"


@dataclass
class Post:
    """answer: ACKNOWLEDGED, the name of a refusal, or what became of the connection; empty while there is none."""

    token: bytes
    bucket: int
    record: bytes
    offered: bool  # by somebody who keeps to the rules: what may be asked of the fleet
    answer: str = ""
    round: int = -1


@dataclass
class Cell:
    digest: bytes
    records: list[bytes]
    gateways: set[int]


@dataclass
class Book:
    """quota: posts of a token in an epoch. It is for a fleet in which some gateway always has the token key: where all
    stopped once, tokens have a share of their posts again (docs/fleet.md, rule 15), and this book says so."""

    epoch_rounds: int
    quota: int
    posts: list[Post] = field(default_factory=list)
    cells: dict[tuple[int, int], Cell] = field(default_factory=dict)  # by round and bucket
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)  # seconds

    def fault(self, text: str) -> None:
        self.wrong.append(text)

    def took(self, what: str, seconds: float) -> None:
        self.longest[what] = max(seconds, self.longest.get(what, 0.0))

    # -- members

    def post(self, token: bytes, bucket: int, record: bytes, offered: bool) -> Post:
        post = Post(token, bucket, record, offered)
        self.posts.append(post)
        return post

    def withdraw(self, post: Post) -> None:
        """Its member did not send it: its token had no posts left."""
        self.posts.remove(post)
        self.counts["withheld, as the token had no posts left"] += 1

    def void(self, answer: str) -> None:
        """Of a member who had nothing to say."""
        self.counts["voids"] += 1
        self.counts["voids acknowledged"] += answer == ACKNOWLEDGED

    # -- gateways

    def published(self, gateway: int, round_: int, bucket: int, records: list[bytes]) -> None:
        digest = hashlib.sha256(b"".join(records)).digest()
        cell = self.cells.setdefault((round_, bucket), Cell(digest, records, set()))
        cell.gateways.add(gateway)
        self.counts["batches compared"] += 1
        if cell.digest != digest:
            self.fault(
                f"gateways {sorted(cell.gateways)} do not publish one batch of round {round_}, bucket {bucket}: "
                f"{len(set(records) ^ set(cell.records))} records differ"
            )

    @property
    def acknowledged(self) -> int:
        """Of what was offered."""
        return sum(post.offered and post.answer == ACKNOWLEDGED for post in self.posts)

    @property
    def told(self) -> str:
        """What was wrong and what was counted, whole: an assertion of pytest alone shows a part of it."""
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return "\n".join([*self.wrong, counts])

    # -- at the end

    def close(self, gateways: set[int], read: int) -> None:
        """Every gateway was read up to round `read`, which is behind the last that anybody was told; some of them
        further, while others were not."""
        places: dict[bytes, list[tuple[int, int]]] = {}
        for where, cell in self.cells.items():
            for record in cell.records:
                places.setdefault(record, []).append(where)
            if where[0] < read and cell.gateways != gateways:
                self.fault(f"of round {where[0]} only gateways {sorted(cell.gateways)} were read")
        for number, post in enumerate(self.posts):
            self._check_post(number, post, places.get(post.record, []))
        self._check_tokens(places)
        for post in self.posts:
            if not post.answer:
                continue  # broken off at the end of the play
            kind = "offered" if post.offered else "offered too much"
            self.counts[kind] += 1
            self.counts[f"{kind}, {post.answer}"] += 1
            self.counts["in a batch and not acknowledged"] += post.answer != ACKNOWLEDGED and post.record in places

    def _check_post(self, number: int, post: Post, found: list[tuple[int, int]]) -> None:
        if len(found) > 1:
            self.fault(f"post {number} stands in {len(found)} batches: {found}")
        if post.answer != ACKNOWLEDGED:
            return
        if not found:
            self.fault(f"post {number}, acknowledged for round {post.round}, is lost")
        elif found != [(post.round, post.bucket)]:
            self.fault(f"post {number} was acknowledged for {(post.round, post.bucket)} and stands in {found}")

    def _check_tokens(self, places: dict[bytes, list[tuple[int, int]]]) -> None:
        rounds: dict[bytes, list[int]] = {}
        for post in self.posts:
            rounds.setdefault(post.token, []).extend(round_ for round_, _ in places.get(post.record, []))
        for token, found in rounds.items():
            if len(set(found)) < len(found):
                self.fault(f"token {token.hex()[:8]} has two records in one round")
            for epoch, count in Counter(round_ // self.epoch_rounds for round_ in found).items():
                self.counts["most records of a token in an epoch"] = max(
                    count, self.counts["most records of a token in an epoch"]
                )
                if count > self.quota:
                    self.fault(f"token {token.hex()[:8]} has {count} records in epoch {epoch}")
