"""The pictures of docs/ that are drawn by hand, as SVG: boxes, arrows, words.

Owns the drawing. Two are drawn from what they show: the flash map from a board's partitions.csv, the packages from the
rule that tests/host/test_import_direction.py holds.
"""

import csv
import textwrap
from collections.abc import Callable, Iterator
from html import escape

from tests.host.test_import_direction import RULES
from tools.docs import ROOT

INK, PALE, LINE, PAPER = "#1b1f24", "#eef1f6", "#8a94a6", "#ffffff"
KNOWN, HIDDEN = "#f7e3d4", "#dcebdd"  # what a party learns, what it does not
LINE_HEIGHT, SMALL, BIG = 15, 11, 13


class Picture:
    """A drawing that grows by calls; coordinates in pixels, y downwards."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._title = title
        self._parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, size: int = SMALL, anchor: str = "start", bold: bool = False
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def lines(self, x: float, y: float, words: list[str], anchor: str = "start") -> None:
        for number, line in enumerate(words):
            self.text(x, y + number * LINE_HEIGHT, line, anchor=anchor)

    def rectangle(self, x: float, y: float, width: float, height: float, fill: str = PALE) -> None:
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}" stroke="{LINE}"/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, title: str, words: list[str], fill: str = PALE
    ) -> None:
        self.rectangle(x, y, width, height, fill)
        self.text(x + 8, y + 18, title, BIG, bold=True)
        self.lines(x + 8, y + 36, words)

    def line(self, x1: float, y1: float, x2: float, y2: float, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{LINE}"{dash}/>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float, words: str = "", above: float = 6) -> None:
        self._parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{INK}" marker-end="url(#end)"/>'
        )
        if words:
            self.text((x1 + x2) / 2, (y1 + y2) / 2 - above, words, anchor="middle")

    def svg(self) -> str:
        width, height = self._size
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="system-ui, sans-serif" fill="{INK}" role="img">\n'
            f"<title>{escape(self._title)}</title>\n"
            f'<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>\n' + "\n".join(self._parts) + "\n</svg>\n"
        )


def parties() -> str:
    """Who is there, and what each learns and does not."""
    picture = Picture(780, 330, "What each party knows")
    learns = {
        "member": (20, 20, ["its own messages and contacts", "sizes of batches: constant, or noisy"]),
        "issuer (IT)": (20, 210, ["who is a member", "when programs renew, from where"]),
        "relay": (290, 20, ["addresses, times of connections", "which bucket each posts to or reads"]),
        "network outside": (540, 20, ["that somebody connects, and when", "that it posts, without the agent"]),
        "auditor": (290, 210, ["a signed checkpoint a day:", "settings, ε and δ, firmware digest"]),
        "thief of the relay": (540, 210, ["ciphertext, bucket and round", "of what is still kept"]),
    }
    hides = {
        "member": ["who else writes, or how much"],
        "issuer (IT)": ["whose tokens those are; messages"],
        "relay": ["members, recipients, content"],
        "network outside": ["content, recipients, numbers"],
        "auditor": ["anything of a single message"],
        "thief of the relay": ["senders, recipients, content"],
    }
    for name, (x, y, known) in learns.items():
        width = 220
        picture.box(x, y, width, 66, name, known, KNOWN)
        picture.rectangle(x, y + 66, width, 26, HIDDEN)
        picture.text(x + 8, y + 83, f"not: {hides[name][0]}")
    picture.arrow(240, 55, 288, 55, "post")
    picture.arrow(288, 85, 242, 85, "read")
    picture.arrow(130, 208, 130, 114)
    picture.text(138, 155, "blind tokens, for all the same,")
    picture.text(138, 170, "fetched at drawn moments")
    picture.arrow(400, 114, 400, 208)
    picture.text(408, 165, "ledger")
    picture.text(20, 322, "Orange: what a party learns. Green: what it does not.")
    return picture.svg()


def round_() -> str:
    """A round on a line of time, with what happens to one record."""
    picture = Picture(780, 250, "A round, a seal, an epoch, and how long a record is kept")
    left, width, rounds = 30, 90, 8
    for number in range(rounds):
        x = left + number * width
        picture.rectangle(x, 60, width, 30, HIDDEN if number < 6 else KNOWN)
        picture.text(x + width / 2, 80, f"round {number}", anchor="middle")
    picture.text(left, 30, "epoch e: 720 rounds of 120 s, a day", BIG, bold=True)
    picture.text(left + 6 * width + 8, 30, "epoch e + 1", BIG, bold=True)
    picture.line(left + 6 * width, 15, left + 6 * width, 200, dashed=True)
    picture.arrow(left + 30, 125, left + 30, 92)
    picture.lines(left, 140, ["POST: written,", "read back,", "acknowledged"])
    picture.arrow(left + width, 125, left + width, 92)
    picture.lines(left + width + 14, 140, ["seal of round 0: from", "here it never changes"])
    picture.arrow(left + 2 * width + 60, 125, left + 2 * width + 60, 92)
    picture.lines(left + 2 * width + 56, 140, ["FETCH of round 0: the whole", "bucket, real and cover, sorted"])
    picture.lines(
        left + 6 * width + 8, 140, ["checkpoint of e is signed;", "new page key, cover key", "and tokens for e + 1"]
    )
    picture.arrow(left, 220, left + rounds * width, 220)
    picture.text(
        left + 4 * width,
        213,
        "kept for the retention (3 epochs) and the open one, then page key and cover are erased",
        anchor="middle",
    )
    picture.text(
        left, 242, "One FETCH asks for at most 16 rounds; a session fetches at most 16 while one round is open."
    )
    return picture.svg()


def token() -> str:
    """Blind issue, then AUTH."""
    picture = Picture(780, 350, "A token: signed blindly, used later")
    member, issuer, relay = 130, 390, 650
    for x, name in ((member, "member"), (issuer, "issuer"), (relay, "relay")):
        picture.rectangle(x - 60, 10, 120, 28)
        picture.text(x, 29, name, BIG, anchor="middle", bold=True)
        picture.line(x, 38, x, 320, dashed=True)
    steps = [
        (member, issuer, 70, "a request that is the same for everybody"),
        (issuer, member, 100, "R0, R1 for each token"),
        (member, issuer, 130, "c0, c1: the token's key, blinded twice"),
        (issuer, member, 160, "b, s: one of the two is answered, once"),
    ]
    for start, end, y, words in steps:
        picture.arrow(start + (4 if end > start else -4), y, end - (4 if end > start else -4), y, words)
    picture.lines(
        member + 10, 185, ["unblinds: (A, σ) is an ordinary", "BIP-340 signature that the issuer", "cannot recognise"]
    )
    picture.text(issuer, 245, "days later, at a moment drawn by the member", anchor="middle")
    picture.arrow(member + 4, 270, relay - 4, 270, "AUTH(epoch, A, σ, proof by A over this very handshake)")
    picture.arrow(relay - 4, 300, member + 4, 300, "admitted: so many posts, and a secret to resume with")
    picture.text(
        20,
        342,
        "The relay sees a valid token, not whose. Issuer and relay together cannot link the two, by any computing.",
    )
    return picture.svg()


def handshake() -> str:
    """A connection: full handshake, or resumption."""
    picture = Picture(780, 330, "Handshake and resumption")
    for base, title in ((0, "full handshake"), (390, "resumption")):
        client, relay = base + 60, base + 330
        picture.text(base + 195, 20, title, BIG, anchor="middle", bold=True)
        for x, name in ((client, "client"), (relay, "relay")):
            picture.rectangle(x - 45, 30, 90, 26)
            picture.text(x, 47, name, anchor="middle")
            picture.line(x, 56, x, 250, dashed=True)
        picture.arrow(relay - 4, 85, client + 4, 85, "nonce, 16 bytes")
        if base == 0:
            picture.arrow(client + 4, 125, relay - 4, 125, "e, check by the access key, ciphertext: 81")
            picture.arrow(relay - 4, 175, client + 4, 175, "e, ciphertext: 65")
            picture.text(base + 195, 215, "AUTH, INFO, FETCH: frames of 272 bytes", anchor="middle")
        else:
            picture.arrow(client + 4, 125, relay - 4, 125, "id, random, check, proof: 81")
            picture.arrow(relay - 4, 175, client + 4, 175, "random, accept: 65")
            picture.text(base + 195, 215, "POST with the quota that is left; never FETCH", anchor="middle")
        picture.arrow(client + 4, 230, relay - 4, 230)
    picture.lines(
        20,
        275,
        [
            "Both first messages have one length and one first check: a MAC by the access key, before any curve work.",
            "Handshake: Noise NKpsk0 over secp256k1. Resumption: keys by HKDF from a secret that lasts for the epoch;",
            "an id is used once. Reading has no resumption: ids that follow one another would name the reader.",
        ],
    )
    return picture.svg()


def partitions(board: str) -> Iterator[tuple[str, int, int]]:
    """(name, offset, KiB) of a board's flash, in its order."""
    text = (ROOT / "boards" / board / "partitions.csv").read_text()
    rows = csv.reader(line for line in text.splitlines() if line and not line.startswith("#"))
    for name, _, _, offset, size in ([field.strip() for field in row] for row in rows):
        yield name, int(offset, 16), int(size.removesuffix("K"))


USES = {
    "code": "the image: MicroPython, the core, what chooses the code",
    "bundle_a": "signed code in place of the frozen",
    "bundle_b": "the next one, while it is written",
    "littlefs": "configuration, parameters, ledger",
    "keyring": "page keys, cover, seed, quota, seals: two banks",
    "ring": "records, one a page of 256 bytes, 16 a sector",
}


def flash() -> str:
    """The flash of a Pico W."""
    rows = list(partitions("RPI_PICO_W"))
    total = sum(size for _, _, size in rows)
    picture = Picture(740, 60 + 36 * len(rows), f"Where what lies in the flash of a Pico W, {total} KiB")
    picture.text(20, 26, f"Flash of a Pico W: {total} KiB (boards/RPI_PICO_W/partitions.csv)", BIG, bold=True)
    largest = max(size for _, _, size in rows)
    for number, (name, offset, size) in enumerate(rows):
        y = 42 + number * 36
        picture.text(20, y + 19, name, bold=True)
        fill = KNOWN if name in ("keyring", "ring") else PALE
        picture.rectangle(90, y, 160 * size / largest, 28, fill)
        picture.text(262, y + 19, f"{offset:#08x}  {size:4} KiB")
        picture.text(390, y + 19, USES[name])
    return picture.svg()


def levels() -> dict[str, int]:
    """How far each package stands from those that import nothing of the others."""
    found: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((level(other) for other in RULES[name]), default=-1)
        return found[name]

    return {name: level(name) for name in RULES if name != "root"}


def packages() -> str:
    """The host's packages in rows: each imports only what stands above it."""
    rows: dict[int, list[str]] = {}
    for name, level in levels().items():
        rows.setdefault(level, []).append(name)
    rows[max(rows) + 1] = ["cli"]
    picture = Picture(700, 70 + 74 * len(rows), "Packages of tessera_host and what they import")
    picture.text(
        20,
        24,
        "Each package imports the core, the root's modules, and what is named in it; never what stands below.",
        BIG,
    )
    for number, level in enumerate(sorted(rows)):
        y = 44 + number * 74
        for place, name in enumerate(rows[level]):
            x = 20 + place * 168
            needs = ", ".join(sorted(RULES.get(name, {"everything"}))) or "nothing"
            picture.box(x, y, 158, 60, name, textwrap.wrap(needs, 24))
    return picture.svg()


PICTURES: dict[str, Callable[[], str]] = {
    "parties": parties,
    "round": round_,
    "token": token,
    "handshake": handshake,
    "flash": flash,
    "packages": packages,
}
