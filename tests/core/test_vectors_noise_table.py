# noise_table.json: what the tables promise, in whole numbers, as there are no fractions on a device. That µ is the
# smallest that meets δ is the planner's business and tested on the host.

from check import unhex, vectors
from tessera.cover import sample

_ONE = 1 << 64
_E_BITS = 80  # e_lower is e^epsilon rounded down to so many binary places


def _fraction(text):
    numerator, denominator = text.split("/")
    return int(numerator), int(denominator)


def _decimal(text):
    """The fraction of "0.05", "2" or "1e-6"."""
    mantissa, _, exponent = text.partition("e-")
    whole, _, places = mantissa.partition(".")
    return int(whole + places), 10 ** (len(places) + int(exponent or "0"))


def _thresholds(row):
    return [int(threshold, 16) for threshold in row["thresholds"]]


def _weights(row):
    """w_0 … w_2µ: how many of the 2^64 draws give each number of dummies."""
    edges = [0] + _thresholds(row) + [_ONE]
    return [edges[k + 1] - edges[k] for k in range(len(edges) - 1)]


def _shared(row):
    return row["epsilon"], row["delta"]


def test_all_the_tables_of_the_issue_are_there():
    wanted = [(epsilon, delta) for epsilon in ("0.05", "0.1", "0.25", "0.5", "1", "2") for delta in ("1e-6", "1e-9")]
    assert [_shared(row) for row in vectors("noise_table")] == wanted


def test_tables_have_two_mu_thresholds_that_never_decrease():
    for row in vectors("noise_table"):
        thresholds = _thresholds(row)
        assert len(thresholds) == 2 * row["mu"] and 1 <= row["mu"] <= 1000, _shared(row)
        assert thresholds == sorted(thresholds) and thresholds[0] > 0 and thresholds[-1] < _ONE, _shared(row)


def test_tables_are_symmetric():
    # P(N ≤ k) + P(N ≤ 2µ-1-k) is 1, and each floor takes less than 1 away.
    for row in vectors("noise_table"):
        thresholds = _thresholds(row)
        for k in range(len(thresholds)):
            assert thresholds[k] + thresholds[-1 - k] in (_ONE - 1, _ONE), (_shared(row), k)


def test_e_lower_is_e_to_the_epsilon_rounded_down():
    for row in vectors("noise_table"):
        p, q = _decimal(row["epsilon"])
        # Σ ε^i / i! for i < 80 over the denominator q^80·80!; the rest is below twice the next term, as ε ≤ 2.
        sum_, term = 0, q**80 * _factorial(80)
        denominator = term
        for i in range(1, 81):
            sum_ += term
            term = term * p // (q * i)
        numerator, scale = _fraction(row["e_lower"])
        assert (1 << _E_BITS) % scale == 0, _shared(row)
        unit = (1 << _E_BITS) // scale
        assert numerator * unit * denominator <= sum_ << _E_BITS, _shared(row)
        assert (sum_ + 2 * term) << _E_BITS < (numerator * unit + 1) * denominator, _shared(row)


def _factorial(number):
    product = 1
    for factor in range(2, number + 1):
        product *= factor
    return product


def test_weights_are_those_of_a_truncated_laplace_distribution():
    # Up to the middle each weight is e^ε times the one before; each of the two is right to 1.
    for row in vectors("noise_table"):
        weights = _weights(row)
        numerator, denominator = _fraction(row["e_lower"])
        for k in range(row["mu"]):
            difference = weights[k + 1] * denominator - weights[k] * numerator
            assert abs(difference) < numerator + 2 * denominator, (_shared(row), k)


def test_exact_delta_is_that_of_the_thresholds_and_meets_the_wanted_one():
    for row in vectors("noise_table"):
        e, scale = _fraction(row["e_lower"])
        weights = [0] + _weights(row) + [0]
        up = down = 0
        for k in range(len(weights) - 1):
            up += max(0, weights[k + 1] * scale - e * weights[k])
            down += max(0, weights[k] * scale - e * weights[k + 1])
        numerator, denominator = _fraction(row["exact_delta"])
        assert max(up, down) * denominator == numerator * scale * _ONE, _shared(row)
        wanted, parts = _decimal(row["delta"])
        assert numerator * parts <= wanted * denominator, _shared(row)


def test_samples_change_exactly_at_the_thresholds():
    for row in vectors("noise_table"):
        table = unhex("".join(row["thresholds"]))
        thresholds = _thresholds(row)
        step = 1 if len(thresholds) < 100 else 17
        for k in range(0, len(thresholds), step):
            at = thresholds[k]
            assert sample(table, at.to_bytes(8, "big")) == k + 1, (_shared(row), k)
            assert sample(table, (at - 1).to_bytes(8, "big")) == k, (_shared(row), k)
