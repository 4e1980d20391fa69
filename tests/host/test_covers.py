"""What an auditor recomputes of each set's cover, from the set alone."""

from fractions import Fraction

import pytest

from tessera_host.audit import covers
from tessera_host.cli import audit as commands
from tessera_host.issuer.signer import planned_rules
from tessera_host.planning import plan
from tessera_host.privacy import noise
from tessera_host.protocol import parameter_sets
from tessera_host.protocol.parameter_sets import ParameterSets
from tessera_host.protocol.topology import Topology
from tests.support.fake_federation import FakeFederation
from tests.support.fake_ledger import FakeLedger

OFFICE = plan.Choice(members=24, round_seconds=120, epoch_rounds=720)
ONE = {"epsilon": Fraction("0.1"), "delta": Fraction("1e-6")}


def signed(ledger: FakeLedger, serial: int, **changes: object) -> object:
    """A set of what the issuer signs of a plan, on the rounds of the ledger."""
    rules = planned_rules(plan.make(plan.Choice(**(OFFICE.__dict__ | changes))))
    return ledger.federation.make_set(serial, **rules)


@pytest.fixture(scope="module")
def ledger() -> FakeLedger:
    return FakeLedger()


def test_c_is_the_members_times_their_tokens(ledger):
    found = covers.figures(signed(ledger, 1, tokens_per_epoch=2, posts_per_token=16))
    assert found == {"serial": 1, "cover": "constant", "records": 48, "epsilon": "0", "delta": "0"}
    words = covers.in_words(signed(ledger, 1))
    assert words == "constant batches of 24 × 1 = 24 records, whatever is posted"


def test_a_table_s_epsilon_and_delta_are_those_of_its_integers(ledger):
    made = signed(ledger, 1, cover="delivery", **ONE)
    assert covers.figures(made) == {
        "serial": 1, "cover": "delivery", "records_most": 218, "epsilon": "0.1", "delta": "9.2216e-7",
    }  # fmt: skip
    assert parameter_sets.exact_delta(made) <= Fraction(made.delta, 2**64)


def test_of_a_table_for_a_day_the_day_is_recomputed(ledger):
    made = signed(ledger, 1, cover="day", deliveries=21)
    found = covers.figures(made)
    assert (found["deliveries"], found["day_epsilon"]) == (21, "2")
    assert float(found["day_delta"]) <= 2e-5 < 1.05 * float(found["day_delta"])
    assert parameter_sets.day_delta(made) <= Fraction(made.day_delta, 2**64)
    assert (
        f"a table for a day of 21 deliveries: ε = 2, δ = {found['day_delta']}; ε = {found['epsilon']}"
        in covers.in_words(made)
    )


def test_sets_with_the_same_cover_are_one_line(ledger):
    first = signed(ledger, 1)
    sets = ParameterSets(first)
    for serial, changes in ((2, {}), (3, {"members": 26, "posts_per_token": 28}), (4, {"cover": "delivery", **ONE})):
        sets.add(signed(ledger, serial, **changes).blob)
    assert [line.split(":")[0] for line in commands._covers(sets)] == [
        "cover of serial 1 to 2", "cover of serial 3", "cover of serial 4",
    ]  # fmt: skip


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_what_all_copies_show_is_as_many_times_a_delivery(copies):
    found = FakeFederation(relays=2).parameters
    told = covers.copies(found, Topology("mesh", copies))
    there = min(copies, 2)
    assert (told["copies"], told["relays"], told["topology"]) == (there, 2, "mesh")
    assert told["epsilon"] == noise.decimal(there * parameter_sets.epsilon(found))
    assert told["delta"] == noise.decimal_up(there * parameter_sets.exact_delta(found))
    words = covers.copies_in_words(found, Topology("mesh", copies))
    assert words is None if copies == 1 else words and "every record is on 2 of 2 relays (mesh)" in words
