"""`tessera issuer cluster`, and what an office's topology does to its set, its card, its plans and its relays."""

import json
import shutil

import pytest

from tessera.params import Parameters
from tessera_host.cli import run
from tessera_host.errors import UsageError
from tessera_host.planning import figures
from tessera_host.protocol.federation import Federation, read_card
from tessera_host.protocol.topology import MESH, RING, Topology
from tests.host.test_cli_operator import PLAN_OPTIONS
from tests.support import quick_keystores
from tests.support.organisation import new_issuer, planned
from tests.support.shell import Shell, go_to

CONSTANT = ["plan", "--cover", "constant", "--members", "24", "--round-seconds", "120"]
TABLE = ["plan", "--cover", "delivery", "--members", "24", "--round-seconds", "300", "--epsilon", "0.1"]


@pytest.fixture
def tessera(tmp_path, capsys, monkeypatch):
    go_to(tmp_path, monkeypatch)
    return Shell(tmp_path, capsys)


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Offices with three relays on disk, by their cover: `constant` has nothing to compute, `table` has a day."""
    folder = tmp_path_factory.mktemp("founded")
    with pytest.MonkeyPatch.context() as patch:
        go_to(folder, patch)
        for name, plan in (("constant", CONSTANT), ("table", PLAN_OPTIONS)):
            (folder / name).mkdir()
            patch.chdir(folder / name)
            assert run([*plan, "--out", "plan.json"]) == 0
            assert run(["issuer", "init", "issuer", "--plan", "plan.json", "--name", "Berlin office"]) == 0
            for relay in ("one", "two", "three"):
                made = ["relay", "new", relay, relay, "--issuer", "issuer", "--host", "127.0.0.1", "--port", "1"]
                assert run(made) == 0
    return folder


@pytest.fixture
def office(tessera, founded):
    shutil.copytree(founded / "constant", ".", dirs_exist_ok=True)
    return tessera


@pytest.fixture
def office_with_a_table(tessera, founded):
    shutil.copytree(founded / "table", ".", dirs_exist_ok=True)
    return tessera


def known(shell):
    return Federation(read_card((shell.directory / "issuer" / "federation.card").read_text()))


def cluster(shell, *options):
    return shell.json("issuer", "cluster", "issuer", *options)


def test_a_topology_is_signed_into_the_next_set(office):
    before = known(office)
    answer = cluster(office, "--topology", "mesh", "--copies", "2")
    after = known(office)
    assert after.topology == Topology(MESH, 2) and before.topology == Topology(RING, 1)
    newest, last = after.newest, before.newest
    assert (newest.serial, newest.previous) == (last.serial + 1, last.digest)
    assert (newest.generation, newest.access_key) == (last.generation, last.access_key), "nobody loses anything"
    assert (answer["changed"], answer["topology"], answer["copies"], answer["relays"]) == (True, "mesh", 2, 3)
    epoch = (answer["since"] - newest.genesis) // (newest.epoch_rounds * newest.round_seconds)
    assert epoch == last.first_epoch + 1, "relays take it for the epoch after the open one"
    assert len(set(after.relays_of(bytes(16), 1, epoch))) == 2


def test_it_says_from_when_on_and_what_it_costs(office_with_a_table):
    _, out, _ = office_with_a_table("issuer", "cluster", "issuer", "--copies", "2")
    first, lost, download, sent, tokens, *rest = out.splitlines()
    assert (
        first.startswith("From ") and "on every record is on 2 of 3 relays (ring); for members who join before" in first
    )
    assert "any 1 relay may be lost" in lost
    assert download == "A member downloads 17.2 MB a day then, now 8.6."
    assert sent == "A member may send 10 short messages a day then, now 21."
    assert tokens == "Tokens stay as they are: 3 in an epoch, 1 for each of 3 relays."
    assert rest[0].startswith(
        "Each member needs a new file: tessera issuer renew issuer --out NEWDIR. Until a member has it"
    )
    assert "tessera relay push --issuer issuer" in rest[-1]


def test_what_is_so_already_signs_nothing(office):
    cluster(office, "--copies", "3")
    serial = known(office).newest.serial
    for options in ((), ("--copies", "3"), ("--topology", "ring", "--copies", "3")):
        answer = cluster(office, *options)
        assert (answer["changed"], answer["serial"], answer["copies"]) == (False, serial, 3)
    _, out, _ = office("issuer", "cluster", "issuer")
    assert out.startswith("Every record is on 3 of 3 relays (ring): nothing is changed.")
    assert cluster(office, "--topology", "mesh")["changed"] and known(office).topology == Topology(MESH, 3)


@pytest.mark.parametrize(
    ("options", "wrong", "hint"),
    [
        (("--copies", "4"), "with 3 relays", "use --copies 3; or make more relays first: tessera relay new"),
        (("--copies", "0"), "0 copies", "use --copies 1"),
        (("--copies", "-1"), "-1 copies", "use --copies 1"),
        (("--topology", "star"), "no topology 'star'", "use --topology ring or mesh"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type(office, options, wrong, hint):
    before = known(office).digest
    code, line = office.refused("issuer", "cluster", "issuer", *options)
    assert code == 2 and wrong in line and hint in line
    assert known(office).digest == before


def test_copies_that_do_not_fit_a_day_are_refused(office_with_a_table):
    office = office_with_a_table
    office("issuer", "renew", "issuer", "--day-epsilon", "0.25", "--day-delta", "2e-6")
    assert cluster(office, "--copies", "2")["messages_a_member_a_day"] == 1
    code, line = office.refused("issuer", "cluster", "issuer", "--copies", "3")
    assert code == 2 and "in 3 copies" in line and "fewer copies" in line


def test_show_and_status_say_it(office):
    assert "copies" not in office("issuer", "show", "issuer")[1]
    cluster(office, "--topology", "mesh", "--copies", "2")
    _, out, _ = office("issuer", "show", "issuer")
    assert "every record is on 2 of 3 relays (mesh)" in out
    shown = office.json("issuer", "show", "issuer")
    assert (shown["topology"], shown["copies"]) == ("mesh", 2)
    code, out, _ = office("relay", "status", "--federation", "issuer/federation.card", "--json")
    asked = json.loads(out)
    assert code == 9 and (asked["topology"], asked["copies"]) == ("mesh", 2)
    _, out, _ = office("relay", "status", "--federation", "issuer/federation.card")
    assert "every record is on 2 of 3 relays (mesh)" in " ".join(out.split())


def test_no_relay_goes_that_copies_need(office):
    cluster(office, "--copies", "2")
    assert office("relay", "remove", "three", "--issuer", "issuer")[0] == 0
    before = known(office).digest
    code, line = office.refused("relay", "remove", "two", "--issuer", "issuer")
    assert code == 2 and "each record is kept on 2 relays, and only 1 would be left" in line
    assert "tessera relay replace 'two' --issuer issuer" in line
    assert "tessera issuer cluster issuer --copies 1" in line
    assert known(office).digest == before and len(known(office).relays) == 2
    cluster(office, "--copies", "1")
    assert office("relay", "remove", "two", "--issuer", "issuer")[0] == 0
    assert office("relay", "remove", "one", "--issuer", "issuer")[0] == 0, "an office may end"


def test_a_relay_that_is_replaced_or_added_leaves_the_topology(office):
    cluster(office, "--topology", "mesh", "--copies", "3")
    order = known(office).relays_of(bytes(16), 2, 5)
    office.json("relay", "replace", "two", "other", "--issuer", "issuer")
    assert known(office).topology == Topology(MESH, 3)
    assert known(office).relays_of(bytes(16), 2, 5) == order, "the number survives"
    office.json("relay", "replace", "two", "--issuer", "issuer")  # a board that comes later
    there = known(office)
    assert there.topology.copies == 3 and there.copies(5) == 2, "on all that there are"
    _, out, _ = office("issuer", "show", "issuer")
    assert "but there are 2 now" in out
    assert cluster(office)["copies"] == 3, "its place is kept"
    office.json("relay", "new", "two", "third", "--issuer", "issuer", "--host", "two.example")
    office.json("relay", "new", "four", "four", "--issuer", "issuer", "--host", "four.example")
    assert known(office).copies(5) == 3 and len(known(office).relays) == 4


def test_a_plan_with_copies_founds_an_office_with_them(tessera):
    assert tessera(*TABLE, "--copies", "2", "--relays", "3", "--topology", "mesh", "--out", "plan.json")[0] == 0
    content = json.loads((tessera.directory / "plan.json").read_text())
    assert [content["choice"][name] for name in ("relays", "topology", "copies")] == [3, "mesh", 2]
    _, out, _ = tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "x")
    assert "Every record is kept on 2 relays (mesh): make at least as many." in out and "send 10 short messages" in out
    tessera("relay", "new", "one", "one", "--issuer", "issuer", "--host", "127.0.0.1")
    assert known(tessera).topology == Topology(MESH, 2) and known(tessera).copies(1) == 1
    assert "but there is 1 now" in tessera("issuer", "show", "issuer")[1]
    tessera("relay", "new", "two", "two", "--issuer", "issuer", "--host", "two.example")
    assert known(tessera).copies(1) == 2


def test_a_plan_for_other_copies_is_refused_with_both_ways_out(office):
    assert office(*CONSTANT, "--copies", "2", "--topology", "mesh", "--out", "two.json")[0] == 0
    code, line = office.refused("issuer", "renew", "issuer", "--plan", "two.json")
    assert code == 2 and "keeps each record on 2 relays (mesh)" in line and "this office on 1 relay (ring)" in line
    assert "plan with --topology ring --copies 1" in line
    assert "tessera issuer cluster issuer --topology mesh --copies 2" in line
    cluster(office, "--topology", "mesh", "--copies", "2")
    assert office("issuer", "renew", "issuer", "--plan", "two.json")[0] == 0
    assert known(office).topology == Topology(MESH, 2)


def test_the_topology_comes_back_from_a_backup(office):
    cluster(office, "--topology", "mesh", "--copies", "2")
    assert office("issuer", "backup", "issuer", "backup")[0] == 0
    code, _, err = office("issuer", "restore", "backup", "anew", "--offline")
    assert code == 0, err
    restored = Federation(read_card((office.directory / "anew" / "federation.card").read_text()))
    assert restored.topology == Topology(MESH, 2)
    assert restored.newest.serial == known(office).newest.serial + 1


def test_renewing_by_itself_keeps_the_topology(tmp_path, monkeypatch):
    quick_keystores.use(monkeypatch)
    with new_issuer(tmp_path, planned(members=24, allow_small=False), epochs=3) as issuer:
        for number in range(2):
            issuer.add_relay(f"relay-{number}", "relay.example", 8100, tmp_path / f"relay-{number}")
        assert issuer.set_topology(Topology(RING, 2)) and not issuer.set_topology(Topology(RING, 2))
        issuer.renew()
        assert issuer.topology == Topology(RING, 2)
        assert Federation(read_card(issuer.federation_card)).topology == Topology(RING, 2)
        assert figures.messages_a_day(issuer.plan_for()) < figures.messages_a_day(issuer.plan_for(topology=Topology()))
        with pytest.raises(UsageError, match="1 would be left"):
            issuer.remove_relay("relay-1")
        assert len(issuer.relays) == 2 and isinstance(issuer.parameters, Parameters)


def test_the_table_of_a_plan_says_what_copies_cost(capsys):
    assert run([*TABLE, "--copies", "2", "--relays", "3"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for row in ("a record is on", "2 of 3, ring", "connections in a round", "2 to read, 3 to", "tokens in an epoch"):
        assert row in out
    assert "This is for each of the 3 relays" in out and "A member reads 2 of them" in out
    assert "Each copy is a delivery" in out
    assert run(TABLE) == 0
    out = capsys.readouterr().out
    assert "copies" not in out and "not shorter" not in out, "a row has something in it"
    assert run([*TABLE, "--copies", "3", "--relays", "2"]) == 2
    assert "use --copies 2, or --relays 3" in capsys.readouterr().err


def test_who_is_invited_to_a_cluster_lives_at_the_relay_with_the_fewest(office):
    cluster(office, "--topology", "ring", "--copies", "2")
    invited = [office.json("issuer", "invite", "issuer", name, "--files") for name in ("ann", "bob", "cleo", "dan")]
    assert [each["home_relay"] for each in invited] == ["one", "two", "three", "one"]
