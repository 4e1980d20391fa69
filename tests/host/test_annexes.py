"""The annex says what its configuration does, and nothing of others: three kinds of cover, on one relay, on a cluster
and on a fleet."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache

import pytest

from tessera_host.cli import audit
from tessera_host.errors import UsageError
from tessera_host.kinds_of_cover import CONSTANT, COVERS, DAY, DELIVERY
from tessera_host.planning import figures, plan
from tessera_host.privacy import noise
from tessera_host.report import annex
from tessera_host.report.document import Document, Table
from tessera_host.report.facts import Facts
from tests.support.fake_federation import FakeFederation
from tests.support.shell import Shell, go_to

MADE = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OF_COVER = {
    CONSTANT: plan.Choice(members=24, round_seconds=120, epoch_rounds=720),
    DAY: plan.Choice(cover=plan.DAY, deliveries=20, members=24, round_seconds=300, epoch_rounds=288),
    DELIVERY: plan.Choice(
        cover=plan.DELIVERY, epsilon=Fraction("0.1"), delta=Fraction("1e-6"), members=24, round_seconds=300,
        epoch_rounds=288,
    ),
}  # fmt: skip
ONE, CLUSTER, FLEET = "one relay", "a cluster", "a fleet"
PLACES = (ONE, CLUSTER, FLEET)
CHANGES = {ONE: {}, CLUSTER: {"relays": 3, "topology": "mesh", "copies": 2}, FLEET: {"board": "GATEWAY"}}
GATEWAYS = {ONE: None, CLUSTER: None, FLEET: 3}
ALL = [(cover, place) for cover in COVERS for place in PLACES]


@cache
def planned(cover: str, place: str) -> plan.Plan:
    return plan.make(replace(OF_COVER[cover], **CHANGES[place]))


@cache
def annex_of(cover: str, place: str) -> Document:
    return annex.of_plan(Facts.of_plan(planned(cover, place), "Berlin office", GATEWAYS[place]), MADE)


def table(document: Document, caption: str) -> dict[str, tuple[str, ...]]:
    """A table's rows by their first cell."""
    (found,) = [
        block
        for section in document.sections
        for block in section.blocks
        if isinstance(block, Table) and block.caption == caption
    ]
    return {row[0]: tuple(row[1:]) for row in found.rows}


def each(condition: Callable[[str, str], bool] = lambda cover, place: True) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("cover", "place"), [pair for pair in ALL if condition(*pair)])


# -- words of one configuration only

OF_FLEETS = ("gateway", "engine", "fleet", "load balancer", "300 bytes")
OF_CLUSTERS = ("copies", "mesh", "relays together", "another relay")
OF_TABLES = ("ε", "δ", "noise", "noisy", "a budget of")
OF_BOARDS = ("wi-fi", "physically erased", "log of a board", "radiation")
OF_SERVERS = ("as well as the server's disk does it", "file system and disk")


@each()
def test_an_annex_has_the_words_of_its_configuration_and_of_no_other(cover: str, place: str) -> None:
    text = annex_of(cover, place).text().lower().replace("board gateway", "board: a server")
    for words, wanted in (
        (OF_FLEETS, place == FLEET),
        (OF_CLUSTERS, place == CLUSTER),
        (OF_TABLES, cover != CONSTANT),
        (OF_BOARDS, place != FLEET),
        (OF_SERVERS, place == FLEET),
    ):
        found = {word: word in text for word in words}
        assert set(found.values()) == {wanted}, (cover, place, found)


@each()
def test_every_annex_names_roles_recipients_partners_and_losses(cover: str, place: str) -> None:
    document = annex_of(cover, place)
    roles = table(document, "Roles and recipients")
    assert roles["Controller (GDPR Art. 4(7))"][0].startswith("Berlin office: it decides")
    assert "a processor (Art. 28)" in roles["Operator of a relay"][0]
    assert "members, of the messages" in roles["Recipients (Art. 4(9))"][0]
    assert roles["Partner organisations"][0].startswith("none: the parameters have one roster")
    lost = table(document, "Lost or stolen")
    assert {"A member's device is lost, unlocked", "The issuer's computer is stolen, unlocked"} <= set(lost)
    assert ("A relay is stolen" in lost) == (place != FLEET) and ("A gateway is stolen" in lost) == (place == FLEET)


@each()
def test_an_annex_says_what_addresses_tell_and_what_there_is_of_tokens(cover: str, place: str) -> None:
    document = annex_of(cover, place)
    parties = table(document, "What each party can and cannot see")
    assert "An address seen at both names the member behind a connection" in parties["Operator and issuer together"][0]
    assert "which posts of an epoch come under one token" in parties["Operator of the relay, with live access"][0]
    thief = parties["Thief of a gateway, switched off" if place == FLEET else "Thief of the relay, switched off"][0]
    lost = table(document, "Lost or stolen")
    stolen = lost["A gateway is stolen" if place == FLEET else "A relay is stolen"][0]
    traffic = next(
        row[1]
        for name, row in table(document, "Provisions and mechanisms").items()
        if "Art. 5(1) confidentiality" in name
    )
    for said in (thief, stolen, traffic):
        assert ("the marks of tokens" if place == FLEET else "8 bytes of a hash of each token that posted") in said


@each()
def test_figures_that_show_load_and_unsigned_code_are_matters_of_servers(cover: str, place: str) -> None:
    text = annex_of(cover, place).text()
    assert ("--metrics-load" in text) == (place == FLEET)
    assert ("the code is what its operator installed" in text) == (place == FLEET)
    assert ("boards take no update that the issuer's root key did not sign" in text) == (place != FLEET)


# -- retention


@each()
def test_retention_is_that_of_the_plan(cover: str, place: str) -> None:
    document = annex_of(cover, place)
    kept, inventory = table(document, "How long what is kept"), table(document, "Data inventory")
    choice = planned(cover, place).choice
    assert choice.retention_epochs * choice.epoch_seconds == 3 * 86400
    assert kept["Records can be fetched for"] == ("3 days and the open epoch",)
    assert kept["A record is at most this old"] == ("4 days",)
    assert inventory["Records"][2].startswith("3 days and the open epoch (1 day)")
    if place == FLEET:
        assert kept["Entries at the engine"][0].startswith("4 days, as ciphertext")
        assert kept["Key that opens the log"][0].startswith("the epoch, 1 day; erased at every gateway")
        assert kept["Key behind the marks of tokens"][0].startswith("in memory, never on a disk")
        assert inventory["Log of the fleet"][2].startswith("as ciphertext 4 days; the key that opens it is erased")
        assert "Use of tokens" not in inventory and "Marks of tokens" in inventory
        assert inventory["Records"][0] == "relay; of a fleet each gateway"
    else:
        assert "Use of tokens" in inventory and "Log of the fleet" not in inventory


# -- the numbers are the planner's


@each()
def test_the_day_and_the_month_are_those_of_the_planner(cover: str, place: str) -> None:
    made, document = planned(cover, place), annex_of(cover, place)
    summary = document.sections[0].text()
    a_day = figures.messages_a_day(made)
    if cover == CONSTANT:
        assert "Every batch has 24 records" in summary and "There is no budget to keep" in summary
        said = table(document, "Constant batches")["Messages of a member and day, at most"][0]
        assert said.startswith(f"{a_day}, as" if place != CLUSTER else f"{a_day} to members of one relay, as that")
        return
    losses = {row.of: row for row in figures.loss_rows(made)}
    day, month = losses[figures.A_DAY], losses[figures.A_MONTH]
    assert f"In a day of {a_day} messages, the most that a member's program sends" in summary
    for loss in (day, month):
        epsilon = math.ceil(loss.epsilon * 1000) / 1000
        assert f"(ε = {epsilon:g}, δ = {noise.decimal_up(loss.delta)})" in summary
    assert day.deliveries == a_day * made.choice.copies
    assert "Members' programs keep to the day; for longer there is no limit." in summary


@each(lambda cover, place: place == CLUSTER)
def test_what_both_copies_show_together_is_one_number_everywhere(cover: str, place: str) -> None:
    text = annex_of(cover, place).text()
    if cover == CONSTANT:
        assert "an observer of both learns nothing" in text
        return
    found = next(row for row in figures.loss_rows(planned(cover, place)) if row.of == figures.COPIES)
    bound = f"ε = {math.ceil(found.epsilon * 1000) / 1000:g}, δ = {noise.decimal_up(found.delta)}"
    assert f"an observer of both learns at most {bound} of it" in text
    assert f"({bound} of its 2 copies together)" in text
    assert f"relays learns of one message at most {bound};" in text


@each(lambda cover, place: place == FLEET)
def test_a_fleet_shows_what_one_relay_does(cover: str, place: str) -> None:
    """One published batch for each cell: every number is that of a relay alone on the same board."""
    alone = annex.of_plan(Facts.of_plan(planned(cover, place), "Berlin office", 1), MADE)
    assert "gateways" not in alone.text()
    of = [
        [s.text() for s in each.sections if s.title == "What published numbers reveal"]
        for each in (alone, annex_of(cover, place))
    ]
    assert of[0] == of[1] and len(of[0]) == 1


# -- what the engine's operator learns


@each(lambda cover, place: place == FLEET)
def test_the_engine_s_operator_learns_times_and_amounts_and_nothing_else(cover: str, place: str) -> None:
    parties = table(annex_of(cover, place), "What each party can and cannot see")
    sees, does_not = parties["Operator of the engine: its programs, disks, backups"]
    assert sees.startswith("for each entry its gateway, epoch, time and number of frames")
    assert ("admissions" in sees) == (cover == CONSTANT)
    assert does_not.startswith("which frame is a post; buckets, records, tokens")
    assert "none serves a batch that differs" in does_not
    stolen = parties["Thief of gateways, switched off, with the engine's data"]
    assert "for the open epoch only" in stolen[0] and "epochs that are over" in stolen[1]


def test_two_gateways_are_not_said_to_bear_a_lying_engine() -> None:
    two = annex.of_plan(Facts.of_plan(planned(CONSTANT, FLEET), None, 2), MADE)
    does_not = table(two, "What each party can and cannot see")["Operator of the engine: its programs, disks, backups"][
        1
    ]
    assert "With two gateways it could make them serve two different batches" in does_not
    assert "the relay is 2 gateways, each with all records" in two.text() and "One gateway and one of the" in two.text()
    assert (
        "the organisation that signs these parameters"
        in table(two, "Roles and recipients")["Controller (GDPR Art. 4(7))"][0]
    )


# -- the law


@each()
def test_the_mapping_names_the_mechanism_in_force(cover: str, place: str) -> None:
    mapping = table(annex_of(cover, place), "Provisions and mechanisms")
    design, default = (
        mapping[f"GDPR Art. 25({n}) data protection by {what}"][1] for n, what in ((1, "design"), (2, "default"))
    )
    if cover == CONSTANT:
        assert design.startswith("Cover records that fill every batch up to 24")
        assert "nothing that is published depends on what members send, so there is no budget" in default
    else:
        assert re.search(r"a budget of ε = 2, δ = 2e-5 in any 24 hours", default)
        month = next(row for row in figures.loss_rows(planned(cover, place)) if row.of == figures.A_MONTH)
        assert f"a month of such days shows at most ε = {math.ceil(month.epsilon * 1000) / 1000:g}, δ = 6e-4" in default
        assert ("one delivery shows at most ε = 0.1, δ = 9.2216e-7" in design) == (cover == DELIVERY)
        assert ("a member's day shows at most ε = 2, δ = 2e-5" in design) == (cover == DAY)
    resilience = mapping["GDPR Art. 32(1)(b), (c) confidentiality, integrity, resilience"][1]
    assert ("every record is on 2 of 3 relays" in resilience) == (place == CLUSTER)
    assert ("the relay is 3 gateways, each with all records" in resilience) == (place == FLEET)
    traffic = next(row[1] for name, row in mapping.items() if "Art. 5(1) confidentiality" in name)
    assert "bucket and round of a record, for 3 days and the open epoch" in traffic
    assert ("at each of 2 relays" in traffic) == (place == CLUSTER)
    assert ("The engine stores of traffic data" in traffic) == (place == FLEET)
    persons = next(row[1] for name, row in mapping.items() if name.startswith("CCPA"))
    assert ("The engine's log has no identifier" in persons) == (place == FLEET)


# -- of signed parameters


def test_an_audit_names_relays_their_hosts_and_the_fleet_that_it_was_told_of() -> None:
    known = FakeFederation(relays=2).known()
    names = [relay.name for relay in known.relays]
    facts = Facts.of_federation(known, known.newest, {names[1]: 3})
    document = annex.of_plan(replace(facts, signed=None), MADE)
    assert facts.fleets == ((names[1], 3),) and facts.server is None
    front = dict(document.facts)
    assert front["Fleet"].startswith(f"relay {names[1]} is 3 gateways") and "not verified" in front["Fleet"]
    assert all(f"{relay.name} ({relay.host})" in front["Relays"] for relay in known.relays)
    inventory = table(document, "Data inventory")
    assert {"Use of tokens", "Marks of tokens"} <= set(inventory), "one relay of two is a fleet"
    assert f"messages {known.retention_days} days" in inventory["Identity, contacts, messages"][2]
    assert "Operators of several relays together" in table(document, "What each party can and cannot see")


def test_where_nothing_bounds_a_month_the_mapping_says_so() -> None:
    """A table and a day that promise next to nothing."""
    loose = replace(
        OF_COVER[DELIVERY],
        epsilon=Fraction(5),
        delta=Fraction("0.1"),
        day_epsilon=Fraction(99),
        day_delta=Fraction("0.5"),
        relays=2,
        copies=2,
    )
    text = annex.of_plan(Facts.of_plan(plan.make(loose)), MADE).text()
    assert "a month of such days shows possibly everything" in text and "at most no bound" not in text


def test_gateways_of_all_relays_are_servers() -> None:
    known = FakeFederation().known()
    facts = Facts.of_federation(known, known.newest, {known.relays[0].name: 3})
    assert facts.server is True
    assert "physically erased" not in annex.of_plan(facts, MADE).text()


def test_a_large_office_is_told_of_its_cohorts_and_of_the_fleet_that_its_plan_needs() -> None:
    large = replace(OF_COVER[DELIVERY], members=100_000, board="GATEWAY", buckets=256)
    document = annex.of_plan(Facts.of_plan(plan.make(large)), MADE)
    operator = table(document, "What each party can and cannot see")["Operator of the relay, with live access"][0]
    assert "of which cohort of about 12,500 members a session that posts is (8 cohorts" in operator
    assert "Fleet" in dict(document.facts)


# -- the commands


@pytest.fixture
def tessera(tmp_path, capsys, monkeypatch) -> Shell:
    go_to(tmp_path, monkeypatch)
    return Shell(tmp_path, capsys)


def test_a_plan_s_annex_has_the_office_s_name_and_its_gateways(tessera) -> None:
    words = ["plan", "--members", "24", "--cover", "constant", "--name", "Berlin office", "--gateways", "3"]
    said = tessera.json(*words, "--board", "GATEWAY", "--report", "annex.html")
    page = (tessera.directory / "annex.html").read_text()
    assert said["written"] == ["annex.html"]
    assert "Berlin office" in page and "the relay is 3 gateways on a log" in page


def test_a_board_is_no_gateway(tessera) -> None:
    code, _, err = tessera("plan", "--members", "24", "--gateways", "3")
    assert code == 2 and "RPI_PICO_W is a board" in err and "--board GATEWAY" in err


def test_gateways_are_told_to_an_audit_by_the_relay_s_name() -> None:
    known = FakeFederation(relays=2).known()
    (name, *_) = (relay.name for relay in known.relays)
    assert audit._fleet(known, f"{name}=3") == (name, 3)
    for wrong in ("3", f"{name}=", f"{name}=0", f"{name}=x", "nowhere=3", f"{name}=70000"):
        with pytest.raises(UsageError):
            audit._fleet(known, wrong)
