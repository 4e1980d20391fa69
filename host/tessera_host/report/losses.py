"""What is shown of a delivery, a day and a month: in numbers, in words, in pictures.

Owns how they are said. Every number is computed from the integers of the noise table, by noise.py and composition.py,
and rounded to the unfavourable side; where every batch has as many records, there is none to compute.
"""

import math
from fractions import Fraction

from ..duration import in_words
from ..kinds_of_cover import DAY
from ..planning import figures
from ..planning.figures import GUESS, Loss, percent
from ..privacy import composition, loss, noise
from ..privacy.composition import Part
from ..text import count
from . import copies, plots
from .document import Basis, Block, Figure, Paragraph, Table
from .facts import Facts, epsilon_in_words

_PRIORS = (GUESS, 0.1, 0.5)
_SHOWN_PRIOR = 0.5
_DAYS_SHOWN = (1, 3, 7, 14, figures.MONTH_DAYS)
_RECEIVED = 100
_FLOORS = 1e-9  # the floors of a table's integers move what a suspicion becomes by less


def sections(facts: Facts, basis: Basis) -> list[Block]:
    """What published counts reveal: of a member's day and month, of a single delivery, of several at once."""
    if not facts.thresholds:
        return [*_constant(facts, basis), _guess_picture(facts, basis)]
    return [
        *_day(facts, basis),
        *_suspicion(facts, basis),
        _guess_picture(facts, basis),
        *_one_delivery(facts, basis),
        *_at_once(facts, basis),
        _noise_picture(facts, basis),
        _count_picture(facts, basis),
    ]


def becomes(facts: Facts, of: str) -> str:
    """What a guess of 1 % can grow to, for people."""
    found = facts.loss(of)
    return percent(loss.posterior(GUESS, float(found.epsilon))) if found else percent(GUESS)


def _constant(facts: Facts, basis: Basis) -> list[Block]:
    tokens = facts.tokens_per_epoch
    rows = [
        ("Records in every batch", f"{facts.constant} = {facts.members} members × {tokens} token{'s' * (tokens > 1)}"),
        ("What a guess of 1 % becomes", "it stays 1 %, after a delivery, a day, a month"),
        ("Messages of a member and day, at most", _messages(facts)),
        ("Length of a round", in_words(facts.round_seconds)),
    ]
    return [
        Paragraph(
            f"{'Each' if facts.relays > 1 else 'The'} relay publishes {facts.constant} records for each round, always: "
            "cover records fill up what members posted. "
            "A token posts one record in a round at most and a relay takes as many tokens as a batch has records, so "
            "there are never more real ones. What is published is the same however many are real. So neither outsiders "
            "nor members learn it, not even all other members together. There is no budget to "
            "keep, for a day or for longer. It does not hold against the operator of the relay."
        ),
        *copies.seen(facts),
        Table("Constant batches", basis, ("Figure", "Value"), rows, (5, 9)),
    ]


def _messages(facts: Facts) -> str:
    """What limits them where no privacy does."""
    if facts.messages_a_day == facts.messages_to_one:
        return f"{facts.messages_a_day}, as the relay keeps no more"
    return (
        f"{facts.messages_to_one} to members of one relay, as that keeps no more; {facts.messages_a_day} through all "
        f"{facts.relays} relays"
    )


def _day(facts: Facts, basis: Basis) -> list[Block]:
    rows = [
        (_what(facts, each), str(each.deliveries), _epsilon(each), noise.decimal_up(each.delta))
        for each in facts.losses
    ]
    header = ("Of one member", "Deliveries", "ε at most", "at δ")
    promised = f"ε = {noise.decimal(facts.day[0])}, δ = {noise.decimal_up(facts.day[1])}"
    if facts.cover == DAY:
        kept = (
            f"The noise table is made so that {facts.deliveries} deliveries, a member's day, stay within {promised}; "
            "members' programs send no more in any 24 hours."
        )
    else:
        kept = f"Members' programs send no more in any 24 hours than stays within {promised}, as the parameters say."
    return [
        Paragraph(
            "The relay publishes, for each bucket and round (a cell), how many records it holds: the real ones and a "
            f"random number of cover records, {float(facts.cover_mean):.3g} on average. What several deliveries of one "
            "member show adds up, each in a cell of its own. The sums are exact: they follow the whole distribution of "
            f"what a count can show, rounded to the unfavourable side. {kept} For longer there is no limit: days "
            "add up, as the row of a month says. A day is compared with a day without any delivery of that member, and "
            "also with a day of as many others."
        ),
        *copies.seen(facts),
        Table("What deliveries add up to", basis, header, rows, (7, 3, 3, 3)),
    ]


def _what(facts: Facts, each: Loss) -> str:
    if each.of == figures.LONGEST:
        return f"the {figures.LONGEST}, {figures.MESSAGE_PARTS} parts"
    return f"{each.of}, {facts.messages_a_day} messages" if each.of == figures.A_DAY else each.of


def _epsilon(each: Loss) -> str:
    return epsilon_in_words(each.epsilon) if each.bounded else "no bound"


def _suspicion(facts: Facts, basis: Basis) -> list[Block]:
    rows = [
        (each.of, *(percent(loss.posterior(prior, float(each.epsilon))) for prior in _PRIORS)) for each in facts.losses
    ]
    header = ("Of one member", *(f"from {percent(prior)}" for prior in _PRIORS))
    return [
        Paragraph(
            "In other words: somebody suspects, with some probability, that a member sent (or received) these "
            "deliveries rather than none. After seeing every published count the suspicion can have grown to at most "
            "the value in the table; outcomes that say more are together likelier than that bound allows by no more "
            "than the δ of the table above. It can shrink as much."
        ),
        Table("What a suspicion can grow to", basis, header, rows, (7, 3, 3, 3)),
    ]


def _one_delivery(facts: Facts, basis: Basis) -> list[Block]:
    epsilon, delta = facts.delivery
    moved = figures.loss_of(facts.thresholds, 1, max(delta, Fraction(1, noise.DRAWS)), True)
    rows = [
        ("ε of one delivery", noise.decimal(epsilon)),
        (
            "δ of one delivery",
            f"{noise.decimal_up(delta)}, of the table's integers, rounded up; as a fraction: {delta}",
        ),
        (
            "A delivery in another cell instead",
            f"ε ≤ {epsilon_in_words(moved[0])}, δ ≤ {noise.decimal_up(moved[1])}",
        ),
        ("Cover records a cell", f"0 to {len(facts.thresholds)}, {float(facts.cover_mean):.4g} on average"),
        ("Length of a round", in_words(facts.round_seconds)),
    ]
    return [
        Paragraph(
            "One real record more or less changes the probability of any count that can be published by a factor of at "
            f"most e^ε = {_factor(float(epsilon))}, beyond which probabilities add up to at most δ = "
            f"{noise.decimal_up(delta)}. This holds "
            "against outsiders and members, whatever else they know, and against everyone who keeps the counts for "
            "ever; it does not hold against the operator of the relay."
        ),
        Table("One delivery", basis, ("Figure", "Value"), rows, (4, 10)),
    ]


def _at_once(facts: Facts, basis: Basis) -> list[Block]:
    day_epsilon, thresholds = facts.day[0], facts.thresholds
    cases = [
        (f"{count(records, 'record')} of a member in one cell", [Part(thresholds, records, 1)])
        for records in (1, 2, 3, 4)
    ]
    cases.append((f"a day in which {_RECEIVED} records come for a member", [Part(thresholds, 1, _RECEIVED)]))
    rows = [(what, noise.decimal_up(composition.delta_of(parts, day_epsilon))) for what, parts in cases]
    return [
        Paragraph(
            "Records of one member that reach one bucket in one round shift a single count by their number, which "
            "shows more than as many rounds would. Members' programs send at most one record in a round to each bucket "
            "of each relay. Nobody counts what a member receives; it shows as much as what one sends. The table has "
            f"the δ of such cases for the ε of a day, {noise.decimal(day_epsilon)}."
        ),
        Table("Beyond the day", basis, ("Case", f"δ at ε = {noise.decimal(day_epsilon)}"), rows, (8, 4)),
    ]


def _guess_picture(facts: Facts, basis: Basis) -> Figure:
    """What a guess of 1 % becomes, day by day, at the δ of so many days."""
    rows = []
    for days in _DAYS_SHOWN:
        delta = min(days * facts.day[1], Fraction(1))
        epsilon, _ = figures.loss_of(facts.thresholds, days * max(facts.deliveries_a_day, 1), delta, False)
        rows.append((days, loss.posterior(GUESS, float(epsilon))))
    if facts.thresholds:
        description = (
            f"A guess of {percent(GUESS)} that a member sends {facts.messages_a_day} messages every day can have "
            f"grown to {percent(rows[0][1])} after a day and to {percent(rows[-1][1])} after {rows[-1][0]} days, at "
            f"a δ of {noise.decimal_up(facts.day[1])} a day."
        )
    else:
        description = (
            f"A guess of {percent(GUESS)} that a member sends messages every day is {percent(GUESS)} after a day and "
            f"after {rows[-1][0]} days: the published numbers are the same whether it does or not."
        )
    return Figure(f"What a guess of {percent(GUESS)} becomes", basis, description, plots.guess(rows, GUESS))


def _noise_picture(facts: Facts, basis: Basis) -> Figure:
    weights = facts.weights
    likely = 100 * max(weights) / noise.DRAWS
    peak = weights.index(max(weights))
    description = (
        f"A peak at {peak} records, where the probability is {likely:.3g} %, falling off to both sides; numbers from 0 "
        f"to {len(facts.thresholds)} occur, none beyond."
    )
    plot = plots.noise_distribution(weights, noise.DRAWS)
    return Figure("How many cover records a cell gets", basis, description, plot)


def _count_picture(facts: Facts, basis: Basis) -> Figure:
    after = [loss.posterior(_SHOWN_PRIOR, each) for each in loss.losses_by_count(facts.thresholds)]
    most = loss.posterior(_SHOWN_PRIOR, float(facts.delivery[0]))
    inside = [1 - most - _FLOORS <= value <= most + _FLOORS for value in after]
    tells = max(_drawn(facts, inside, 0), _drawn(facts, inside, 1))
    description = (
        f"A suspicion of {percent(_SHOWN_PRIOR)} that one particular record is in the cell stays between "
        f"{percent(1 - most, up=False)} and {percent(most)} for all counts but some towards the ends, 0 and "
        f"{len(after) - 1}, which tell more and come with a probability of {noise.decimal_up(tells)}."
    )
    plot = plots.suspicion(after, _SHOWN_PRIOR, int(facts.cover_mean))
    return Figure("What one published count tells about one record", basis, description, plot)


def _drawn(facts: Facts, inside: list[bool], records: int) -> Fraction:
    """The probability of a count that is not inside, with so many real records in the cell."""
    weights = [0] * records + facts.weights
    return Fraction(sum(w for w, within in zip(weights, inside, strict=False) if not within), noise.DRAWS)


def _factor(epsilon: float) -> str:
    return f"{math.ceil(math.exp(epsilon) * 10_000) / 10_000:.6g}"
