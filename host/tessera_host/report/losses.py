"""ε and δ of a delivery, a message, a day and a month: in numbers, in words, in pictures.

Owns how they are said. Every number is computed from the integers of the noise table, by noise.py and loss.py, and
rounded to the unfavourable side.
"""

import math
from fractions import Fraction

from ..duration import in_words
from ..planning import plan
from ..privacy import loss, noise
from . import plots
from .document import Basis, Block, Figure, Paragraph, Table
from .facts import Facts

_PRIORS = (0.01, 0.1, 0.5)
_SHOWN_PRIOR = 0.5
_STEPS = 8


def sections(facts: Facts, basis: Basis) -> list[Block]:
    """What a published count reveals, and what several deliveries add up to."""
    losses = loss.losses_of(facts.thresholds, facts.epsilon)
    spans = _spans(facts)
    found = {deliveries: losses.of(deliveries) for _, deliveries in spans}
    return [
        *_one_delivery(facts, basis),
        *_several(facts, basis, spans, found),
        *_in_one_cell(facts, basis),
        *_suspicion(facts, basis, spans, found),
        *_pictures(facts, basis, losses),
    ]


def _spans(facts: Facts) -> list[tuple[str, int]]:
    """What is counted, and how many deliveries that is at most."""
    within = facts.day_by_budget
    rows = [("one delivery", 1), (f"the longest message, {plan.MESSAGE_PARTS} parts", plan.MESSAGE_PARTS)]
    used = "a member's day, every token used"
    if within == facts.day_by_tokens:
        used += ", which the office's budget allows"
    elif within:
        rows += [("a member's day within the office's budget", within)]
        rows += [("a month of such days", plan.MONTH_DAYS * within)]
    rows += [(used, facts.day_by_tokens)]
    rows += [("a month of such days", plan.MONTH_DAYS * facts.day_by_tokens)]
    return [row for row in rows if row[1]]


def _one_delivery(facts: Facts, basis: Basis) -> list[Block]:
    epsilon, delta = facts.epsilon, noise.decimal_up(facts.exact_delta)
    factor = _factor(float(epsilon))
    rows = [
        ("ε of one delivery", f"{noise.decimal(epsilon)}, exactly"),
        ("δ of one delivery", f"{delta}, of the integers of the table, rounded up; as a fraction: {facts.exact_delta}"),
        ("A message moved from one cell to another", f"ε ≤ {noise.decimal(2 * epsilon)}, δ ≤ {_moved(facts)}"),
        ("Cover records a cell", f"0 to {2 * facts.mu}, {facts.mu} on average (µ)"),
        ("Length of a round", in_words(facts.round_seconds)),
    ]
    return [
        Paragraph(
            "The relay publishes, for each bucket and round (a cell), how many records it holds: the real ones and a "
            f"random number of cover records, {facts.mu} on average. One real record more or less changes the "
            f"probability of any count that can be published by a factor of at most e^ε = {factor}, but for a "
            f"probability of δ = {delta}. This holds against outsiders and members, whatever else they know, and "
            "against everyone who keeps the counts for ever; it does not hold against the operator of the relay."
        ),
        Table("One delivery", basis, ("Figure", "Value"), rows, (4, 10)),
    ]


def _moved(facts: Facts) -> str:
    delta = facts.exact_delta
    return noise.decimal_up(2 * delta - delta * delta)


def _several(
    facts: Facts, basis: Basis, spans: list[tuple[str, int]], found: dict[int, loss.Composition]
) -> list[Block]:
    rows = [
        (
            what,
            str(deliveries),
            f"ε ≤ {noise.decimal(found[deliveries].basic_epsilon)}, δ ≤ "
            f"{noise.decimal_up(found[deliveries].basic_delta)}",
            loss.in_words(found[deliveries]),
        )
        for what, deliveries in spans
    ]
    return [
        Paragraph(
            "Several deliveries of one member add up. Two bounds are given, and both hold. The first adds ε and δ. "
            "The second follows the whole distribution of the loss (privacy loss distribution, rounded to the "
            "unfavourable side); it needs a somewhat larger δ and gives a much smaller ε over long times. A day's "
            f"budget of the office (ε = {facts.budget[0]}, δ = {facts.budget[1]}, as the federation card or the "
            "default has it) is kept by the members' programs: they queue rather than exceed it. It bounds what a "
            "member sends; a member to whom many others write has the figures of as many deliveries."
        ),
        Table(
            "What deliveries add up to",
            basis,
            ("Of one member", "Deliveries", "By adding up", "By privacy loss distribution"),
            rows,
            (6, 4, 6, 6),
        ),
    ]


def _in_one_cell(facts: Facts, basis: Basis) -> list[Block]:
    rows = []
    for records in (1, 2, 4, plan.MESSAGE_PARTS):
        epsilon, delta = loss.same_cell(facts.thresholds, facts.epsilon, records)
        rows.append((str(records), noise.decimal(epsilon), noise.decimal_up(delta)))
    return [
        Paragraph(
            "The table above counts deliveries in different cells. Records of one member that reach one bucket in one "
            "round shift a single count by their number, which costs more δ than as many rounds would. The members' "
            "programs spread the parts of a message over rounds."
        ),
        Table("Records in one cell", basis, ("Records", "ε at most", "δ at most"), rows, (2, 4, 4)),
    ]


def _suspicion(
    facts: Facts, basis: Basis, spans: list[tuple[str, int]], found: dict[int, loss.Composition]
) -> list[Block]:
    epsilons = [(what, float(facts.epsilon) if n == 1 else _smaller(found[n])) for what, n in spans]
    rows = [(what, *(_percent(loss.posterior(prior, epsilon)) for prior in _PRIORS)) for what, epsilon in epsilons]
    header = ("Of one member", *(f"from {_percent(prior)}" for prior in _PRIORS))
    return [
        Paragraph(
            "In other words: somebody suspects, with some probability, that a member sent (or received) these "
            "deliveries rather than none. After seeing every published count the suspicion can have grown to at most "
            "the value in the table, but for a probability of δ. It can shrink as much."
        ),
        Table("What a suspicion can grow to", basis, header, rows, (7, 3, 3, 3)),
    ]


def _smaller(composition: loss.Composition) -> float:
    basic = composition.basic_epsilon
    return float(basic if composition.epsilon is None else min(basic, composition.epsilon))


def _pictures(facts: Facts, basis: Basis, losses: loss.Losses) -> list[Block]:
    return [_noise_picture(facts, basis), _count_picture(facts, basis), _composition_picture(facts, basis, losses)]


def _noise_picture(facts: Facts, basis: Basis) -> Figure:
    weights = facts.weights
    likely = 100 * max(weights) / noise.DRAWS
    description = (
        f"A peak at {facts.mu} records, where the probability is {likely:.3g} %, falling off evenly to both sides; "
        f"numbers from 0 to {2 * facts.mu} occur, none beyond."
    )
    plot = plots.noise_distribution(weights, noise.DRAWS)
    return Figure("How many cover records a cell gets", basis, description, plot)


def _count_picture(facts: Facts, basis: Basis) -> Figure:
    after = [loss.posterior(_SHOWN_PRIOR, each) for each in loss.losses_by_count(facts.thresholds)]
    inside = [value for value in after if 0 < value < 1]
    description = (
        f"A suspicion of {_percent(_SHOWN_PRIOR)} that one particular record is in the cell stays between "
        f"{_percent(min(inside), up=False)} and {_percent(max(inside))} for every count but the two ends, 0 and "
        f"{len(after) - 1}, which give the answer away and come with a probability of at most δ = "
        f"{noise.decimal_up(facts.exact_delta)}."
    )
    plot = plots.suspicion(after, _SHOWN_PRIOR, facts.mu)
    return Figure("What one published count tells about one record", basis, description, plot)


def _composition_picture(facts: Facts, basis: Basis, losses: loss.Losses) -> Figure:
    within, used = facts.day_by_budget, facts.day_by_tokens
    last = max(plan.MESSAGE_PARTS, plan.MONTH_DAYS * (within or used))
    while last > 1 and losses.of(last).epsilon is None:
        last //= 2
    delta = losses.of(last).delta
    steps = sorted({max(1, last * part // _STEPS) for part in range(_STEPS + 1)})
    rows = [(n, float(n * facts.epsilon), float(losses.epsilon(n, delta) or 0)) for n in steps]
    marks = [(within, "a day's budget")] if within else []
    description = (
        f"Adding up grows in proportion, to {noise.decimal(last * facts.epsilon)} at {last} deliveries; by privacy "
        f"loss distributions, at δ = {noise.decimal_up(Fraction(delta))}, it is {rows[-1][2]:.3g}."
    )
    return Figure("ε against the number of deliveries", basis, description, plots.composition(rows, marks))


def chance(probability: Fraction) -> str:
    """A small probability as people say it, rounded to the unfavourable side."""
    return f"1 in {int(1 / probability):,}"


def _factor(epsilon: float) -> str:
    return f"{math.ceil(math.exp(epsilon) * 10_000) / 10_000:.6g}"


def _percent(probability: float, up: bool = True) -> str:
    """Rounded to the unfavourable side; never 100 %, as nothing here is certain."""
    scaled = probability * 1000
    rounded = math.ceil(scaled - 1e-9) if up else math.floor(scaled + 1e-9)
    if rounded >= 1000:
        return "over 99.9 %"
    return f"{rounded / 10:g} %"
