"""The plots of a report, drawn by matplotlib from numbers that are handed in.

Owns how they look. A plot is drawn in named inks, so that a page that is light or dark can give each its colour; the
same numbers give the same bytes. Leaves to others: the numbers (loss.py, verify.py).
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Named inks, and stand-ins for them that no other colour of a drawing equals: a page replaces these by its own.
INK, FAINT, FIRST, SECOND = "ink", "faint", "first", "second"
STAND_INS = {INK: "#010101", FAINT: "#020202", FIRST: "#030303", SECOND: "#040404"}
ON_PAPER = {INK: "#1b1f24", FAINT: "#c9ced6", FIRST: "#1f5fae", SECOND: "#b4540a"}

SIZE_INCHES = (7.2, 2.9)
_DOTS_PER_INCH = 220
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "tessera",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "path.simplify": False,
}

Inks = Mapping[str, str]
Draw = Callable[[Any, Inks], None]  # draws on matplotlib axes


@dataclass(frozen=True)
class Plot:
    """A drawing that has not been made yet. `name` distinguishes it within a document."""

    name: str
    draw: Draw

    def svg(self, colours: Inks) -> str:
        """An svg element in these colours, to stand in a page: no prologue, every id its own."""
        out = io.StringIO()
        self._render(out, STAND_INS, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        text = out.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{self.name}-", text)
        text = text.replace("'DejaVu Sans'", "system-ui, sans-serif")
        for ink, colour in colours.items():
            text = text.replace(STAND_INS[ink], colour)
        return text

    def png(self) -> bytes:
        """A picture for paper."""
        out = io.BytesIO()
        self._render(out, ON_PAPER, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        return out.getvalue()

    def _render(self, out: Any, inks: Inks, **options: Any) -> None:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        style: Any = {key: inks.get(str(value), value) for key, value in _STYLE.items()}
        with matplotlib.rc_context(style):
            figure = Figure(figsize=SIZE_INCHES, layout="constrained")
            FigureCanvasAgg(figure)
            self.draw(figure.subplots(), inks)
            figure.savefig(out, **options)


# -- the plots


def noise_distribution(weights: Sequence[int], draws: int) -> Plot:
    """How likely each number of cover records is."""

    def draw(axes: Any, ink: Inks) -> None:
        probabilities = [weight / draws for weight in weights]
        axes.fill_between(range(len(weights)), probabilities, color=ink[FIRST], alpha=0.25, linewidth=0)
        axes.plot(range(len(weights)), probabilities, color=ink[FIRST], linewidth=1.6)
        axes.set_xlabel("cover records added to one bucket in one round")
        axes.set_ylabel("probability")
        axes.set_xlim(0, len(weights) - 1)
        axes.set_ylim(0, None)

    return Plot("noise", draw)


def guess(rows: Sequence[tuple[int, float]], prior: float) -> Plot:
    """What a guess of `prior` becomes: rows of (days, what it can have grown to, 0 to 1)."""

    def draw(axes: Any, ink: Inks) -> None:
        days = [0, *(row[0] for row in rows)]
        axes.plot(days, [100 * prior, *(100 * row[1] for row in rows)], color=ink[FIRST], linewidth=1.8, marker="o")
        axes.axhline(100 * prior, color=ink[INK], linewidth=0.8, linestyle=":")
        axes.annotate("before", (days[-1], 100 * prior), xytext=(0, 4), textcoords="offset points", ha="right")
        axes.set_xlabel("days of one member")
        axes.set_ylabel("guess at most, %")
        axes.set_xlim(0, days[-1])
        axes.set_ylim(0, 105)

    return Plot("guess", draw)


def suspicion(counts: Sequence[float], prior: float, mu: int) -> Plot:
    """What a suspicion of `prior` becomes when count k was published (counts[k], 0 to 1)."""

    def draw(axes: Any, ink: Inks) -> None:
        axes.plot(range(len(counts)), [100 * value for value in counts], color=ink[FIRST], linewidth=1.8)
        axes.axhline(100 * prior, color=ink[INK], linewidth=0.8, linestyle=":")
        axes.annotate("suspicion before", (mu / 2, 100 * prior), xytext=(0, 4), textcoords="offset points", ha="center")
        axes.set_xlabel("published count of a cell")
        axes.set_ylabel("suspicion after, %")
        axes.set_xlim(0, len(counts) - 1)
        axes.set_ylim(0, 100)

    return Plot("suspicion", draw)


def rounds_sealed(
    name: str, epochs: Sequence[tuple[int, int]], rounds: int, missing: Sequence[int], broken: Sequence[int]
) -> Plot:
    """Rounds sealed in each epoch (epoch, rounds); epochs without a checkpoint; epochs that were not verified."""

    def draw(axes: Any, ink: Inks) -> None:
        whole = [each for each in epochs if each[0] not in broken]
        spoilt = [each for each in epochs if each[0] in broken]
        if whole:
            axes.bar(*zip(*whole, strict=True), color=ink[FIRST], width=0.8, label="verified")
        if spoilt:
            axes.bar(*zip(*spoilt, strict=True), color=ink[SECOND], width=0.8, hatch="//", label="not verified")
        if missing:
            axes.plot(missing, [rounds * 0.02] * len(missing), "x", color=ink[INK], label="no checkpoint")
        axes.axhline(rounds, color=ink[INK], linewidth=0.8, linestyle=":")
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"rounds sealed, of {rounds}")
        axes.set_ylim(0, rounds * 1.25)
        _whole_numbers(axes, [each for each, _ in epochs] + list(missing))
        axes.legend(loc="upper left", ncols=3)

    return Plot(name, draw)


def _whole_numbers(axes: Any, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if epochs:
        axes.set_xlim(min(epochs) - 0.6, max(epochs) + 0.6)
