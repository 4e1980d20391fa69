"""The operator's commands as they are typed: what they write, what --json prints, what they refuse and how."""

import io
import json
import shutil
import stat
import sys
import time

import pytest

from tessera.params import Parameters
from tessera_host.cli import run
from tessera_host.issuer import genesis
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.service import IssuerServer
from tessera_host.keys.keystore import Keystore
from tessera_host.privacy import noise
from tessera_host.protocol import card_files, cards
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.shell import Shell, go_to

PLAN_OPTIONS = ["plan", "--cover", "delivery", "--members", "24", "--round-seconds", "300", "--retention-epochs", "3",
                "--posts-per-token", "32", "--epsilon", "0.1", "--delta", "1e-6", "--board", "RPI_PICO_W"]  # fmt: skip


@pytest.fixture
def tessera(tmp_path, capsys, monkeypatch):
    go_to(tmp_path, monkeypatch)
    return Shell(tmp_path, capsys)


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    """A plan takes half a second, and is the same each time."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    assert run([*PLAN_OPTIONS, "--out", str(path)]) == 0
    return path


@pytest.fixture
def office(tessera, plan_file):
    """A federation with one relay, in `issuer` and `relay`."""
    shutil.copy(plan_file, "plan.json")
    assert tessera("issuer", "init", "issuer", "--plan", "plan.json", "--name", "Berlin office")[0] == 0
    assert tessera("relay", "new", "first", "--issuer", "issuer", "--host", "localhost", "relay")[0] == 0
    return tessera


DAY = 86400


def parameters(shell):
    return Parameters((shell.directory / "issuer" / "parameters.tpr").read_bytes())


def member(shell, name):
    made = FakeMember(name, parameters(shell).federation_id)
    (shell.directory / f"{name}.card").write_text(made.card() + "\n")
    return made


def test_plan_shows_three_kinds_side_by_side_and_says_why_it_takes_one(tessera, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = tessera("plan", "--members", "24")
    assert (code, err) == (0, "")
    assert out.startswith("Constant batches, as that is cheapest (24 records a round if everybody sends all;")
    rows = {}
    for line in out.split("\n"):
        if line.startswith(("│", "┃")):
            name, *cells = (cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│"))
            rows[name] = cells
    assert rows[""] == ["constant ✓", "day", "delivery"]
    assert [cells[0] for cells in rows.values() if len(cells) == 3].count(
        "0"
    ) == 4  # ε of a delivery, two days, a month
    assert rows["records in a batch"][0] == "24, always" and rows["MB a day for a member"][0] == "5.3"
    assert rows["messages a day"] == ["32", "32", "21"]
    assert rows["limited by"] == ["record ring", "record ring", "the day's ε, δ"]
    assert rows["ε of a delivery"][2] == "0.1 (δ 9.3e-7)" and rows["ε of a day"][1].endswith("(δ 2e-5)")
    assert rows["1 % guess, after a day"][0] == rows["after a month"][0] == "1 %"
    assert "24 members × 1 token × 32 posts × 4 epochs are 3,072 records; RPI_PICO_W has room for 3,296" in out


def test_plan_s_file_is_what_it_prints_but_for_figures(tessera):
    printed = tessera.json(*PLAN_OPTIONS, "--out", "plan.json")
    kept = json.loads((tessera.directory / "plan.json").read_text())
    assert kept == {name: value for name, value in printed.items() if name not in ("figures", "kinds", "why")}
    assert printed["choice"]["epsilon"] == "0.1" and printed["kinds"]["constant"]["figures"]["epsilon"] == "0"
    thresholds = [int(threshold, 16) for threshold in printed["thresholds"]]
    e_lower = noise.exp_lower(noise.Fraction("0.1"))
    assert noise.Fraction(printed["figures"]["exact_delta"]) == noise.exact_delta(thresholds, e_lower)


@pytest.mark.parametrize(("cover", "messages"), [("constant", 32), ("day", 32), ("delivery", 21)])
def test_the_plan_names_the_number_of_messages_that_members_programs_go_by(tessera, tmp_path, cover, messages):
    out = tmp_path / "named.json"
    planned = tessera.json("plan", "--members", "24", "--cover", cover, "-o", out)["figures"]["messages_a_member_a_day"]
    assert planned == messages
    made = tessera("issuer", "init", tmp_path / "issuer", "--plan", out, "--name", "Office")[1]
    shown = tessera("issuer", "show", tmp_path / "issuer")[1]
    assert f"A member may send {planned} short messages a day" in made
    assert ("ε" in made, "ε" in shown) == ((False, False) if cover == "constant" else (True, True))


def test_another_day_is_another_table_or_another_budget_and_nothing_in_constant_batches(tessera):
    for cover in ("constant", "day", "delivery"):
        tessera("plan", "--members", "24", "--cover", cover, "-o", f"{cover}.json")
        assert tessera("issuer", "init", cover, "--plan", f"{cover}.json", "--name", "Office")[0] == 0
    code, line = tessera.refused("issuer", "renew", "constant", "--day-epsilon", "3")
    assert code == 2 and "show nothing of a member's day" in line
    said = tessera("issuer", "renew", "delivery", "--day-epsilon", "3", "--day-delta", "1e-4")[1]
    assert "A member may send 32 short messages a day." in said
    before = Parameters((tessera.directory / "day" / "parameters.tpr").read_bytes())
    assert tessera("issuer", "renew", "day", "--day-epsilon", "3")[0] == 0
    after = Parameters((tessera.directory / "day" / "parameters.tpr").read_bytes())
    assert (after.day_epsilon, after.deliveries, after.generation) == (3_000_000, 32, before.generation)
    assert 0 < after.candidates < before.candidates
    assert tessera.json("issuer", "show", "day")["budget"] == {"epsilon": "3", "delta": "2e-5"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--members", "19"], "use --members 20, or accept it with --allow-small"),
        (["--members", "26"], "--members 25"),
        (
            ["--members", "29", "--retention-epochs", "1"],
            "heap of RPI_PICO_W has room for 1120\nhint: use --posts-per-token 28",
        ),
        (["--buckets", "3"], "use --buckets 2"),
        (["--posts-per-token", "17"], "use --posts-per-token 16"),
        (["--epsilon", "0.001"], "use --epsilon 0.008336 or more"),
        (["--epsilon", "a lot"], "write --epsilon like 0.1"),
        (["--delta", "2"], "--delta"),
        (["--board", "TOASTER"], "RPI_PICO_W"),
        (["--members", "many"], "--members"),
    ],
)
def test_plan_refuses_in_one_line_that_names_the_option(tessera, changes, words):
    code, line = tessera.refused(*PLAN_OPTIONS, *changes)
    assert code == 2 and words in line


def test_small_federations_need_a_yes(tessera):
    small = ["plan", "--members", "2", "--out", "small.json"]
    assert tessera.refused(*small)[0] == 2
    assert not (tessera.directory / "small.json").exists()
    assert tessera.json(*small, "--allow-small")["choice"]["allow_small"] is True
    assert tessera.json("issuer", "init", "issuer", "--plan", "small.json", "--name", "two")["members_max"] == 2


def test_issuer_init_makes_a_federation_that_verifies(office):
    made = parameters(office)
    made.verify()
    assert (made.serial, made.candidates, made.epochs, made.generation) == (2, 218, 90, 1)
    assert stat.S_IMODE((office.directory / "issuer").stat().st_mode) == 0o700
    fields = cards.decode((office.directory / "issuer" / "federation.card").read_text(), "federation").fields
    assert cards.decode_said(fields["said"])["name"] == "Berlin office" and fields["params"] == made.blob


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_issuer_init_does_not_touch_what_is_there(office):
    before = contents(office.directory / "issuer")
    code, line = office.refused("issuer", "init", "issuer", "--plan", "plan.json", "--name", "again")
    assert code == 2 and "issuer already has an issuer" in line
    assert contents(office.directory / "issuer") == before


@pytest.mark.parametrize(("option", "hours"), [([], 3), (["--epoch-at", "22:30"], 22.5)])
def test_epochs_change_at_night_in_winter_time_or_when_told(tessera, plan_file, option, hours):
    summary = tessera.json("issuer", "init", "issuer", "--plan", plan_file, "--name", "x", *option)
    assert (summary["genesis"] - time.timezone - hours * 3600) % DAY == 0
    assert summary["current_epoch"] == summary["first_epoch"] == 1


@pytest.mark.parametrize("epoch_at", ["24:00", "3:00", "03:60", "noon"])
def test_what_is_no_time_of_day_is_refused(tessera, plan_file, epoch_at):
    options = ["--plan", plan_file, "--name", "x", "--epoch-at", epoch_at]
    code, line = tessera.refused("issuer", "init", "issuer", *options)
    assert code == 2 and "03:00" in line


@pytest.mark.parametrize("west", [0, -3600, 5 * 3600, -19800])
@pytest.mark.parametrize("epoch_seconds", [12, 3600, DAY, 7 * DAY])
@pytest.mark.parametrize("now", [1_800_000_000, 1_800_040_000, 1_800_079_999])
def test_one_whole_epoch_is_over_when_a_federation_begins(now, epoch_seconds, west):
    start = genesis.before(now, epoch_seconds, "03:00", west)
    assert start + epoch_seconds <= now < start + 2 * epoch_seconds
    if epoch_seconds % DAY == 0:
        assert (start - west - 3 * 3600) % DAY == 0


def test_a_federation_begins_one_epoch_ago_so_that_commissioning_discloses_nothing_a_member_will_use(office):
    made = parameters(office)
    assert made.first_epoch == 1 and made.epoch_of(made.round_at(int(time.time()))) == 1


def test_issuer_init_takes_genesis_and_schedule_length(tessera):
    tessera(*PLAN_OPTIONS, "--out", "plan.json")
    options = ["--plan", "plan.json", "--name", "x", "--genesis", "2026-01-01T00:00:00Z", "--days", "400"]
    summary = tessera.json("issuer", "init", "issuer", *options)
    assert summary["genesis"] == 1767225600
    assert summary["last_epoch"] - summary["first_epoch"] == 399
    assert summary["first_epoch"] == max(0, (int(time.time()) - 1767225600) // 86400)
    for wrong in ("yesterday", "2026-01-01T00:00:00", "99999999999999"):
        refused = tessera.refused("issuer", "init", "other", "--plan", "plan.json", "--name", "x", "--genesis", wrong)
        assert refused[0] == 2


def test_a_plan_that_was_edited_is_refused(tessera):
    tessera(*PLAN_OPTIONS, "--out", "plan.json")
    content = json.loads((tessera.directory / "plan.json").read_text())
    content["thresholds"][0] = "0000000000000000"
    (tessera.directory / "plan.json").write_text(json.dumps(content))
    code, line = tessera.refused("issuer", "init", "issuer", "--plan", "plan.json", "--name", "x")
    assert code == 3 and "noise table" in line
    assert not (tessera.directory / "issuer").exists()


def test_relay_new_lists_the_relay_and_names_those_to_update(office):
    answer = office.json("relay", "new", "second", "--issuer", "issuer", "--host", "::1", "--port", "8101", "relay2")
    assert answer["serial"] == 3 and answer["relays_to_update"] == ["first"]
    configuration = json.loads((office.directory / "relay2" / "relay.json").read_text())
    assert (configuration["ring_sectors"], configuration["keyring_sectors"]) == (208, 8)
    assert (configuration["host"], configuration["port"]) == ("::1", 8101)
    assert (office.directory / "relay2" / "parameters").read_bytes() == parameters(office).copy_for(2)
    assert answer["key"] in [relay.static_key.hex() for relay in parameters(office).relays]
    _, out, _ = office("relay", "new", "third", "--issuer", "issuer", "--host", "h", "relay3")
    assert "tessera relay push --issuer issuer" in out


def test_a_relay_is_replaced_by_another_directory_or_by_a_board_later(office):
    before = parameters(office)
    answer = office.json("relay", "replace", "first", "other", "--issuer", "issuer")
    after = parameters(office)
    assert (after.generation, after.relays[0].id) == (1, 1)
    assert after.relays[0].static_key != before.relays[0].static_key
    assert (office.directory / "other" / "parameters").read_bytes() == after.copy_for(1)
    assert answer["directory"] == "other" and answer["first_epoch"] == after.first_epoch == 1, "the open one"
    _, out, _ = office("relay", "replace", "first", "--issuer", "issuer")
    assert "tessera flash --relay 'first' --host localhost:8100 --issuer issuer" in out
    assert "Members can write there once it runs" in out
    assert parameters(office).relays == [] and parameters(office).generation == 1
    assert office.json("issuer", "show", "issuer")["relays_to_be_replaced"] == ["first"]
    assert office.json("relay", "new", "first", "third", "--issuer", "issuer", "--host", "localhost")["serial"] == 5
    assert parameters(office).relays[0].id == 1
    assert office.refused("relay", "replace", "nowhere", "--issuer", "issuer")[0] == 2


def test_now_begins_the_new_keys_with_the_next_epoch(office):
    answer = office.json("relay", "remove", "first", "--issuer", "issuer", "--now")
    assert answer["first_epoch"] == 2 and answer["generation"] == 2
    _, out, _ = office("issuer", "show", "issuer")
    assert "first" not in out


def test_a_set_is_renewed_with_what_changed(office):
    before = parameters(office)
    answer = office.json("issuer", "renew", "issuer", "--days", "200", "--day-delta", "1e-6", "--retention-days", "30")
    after = parameters(office)
    assert (answer["serial"], after.serial, after.previous) == (3, 3, before.digest)
    assert (after.epochs, after.generation, after.access_key) == (200, 1, before.access_key)
    fields = cards.decode((office.directory / "issuer" / "federation.card").read_text(), "federation").fields
    said = cards.decode_said(fields["said"])
    assert said["budget"] == {"epsilon": "2", "delta": "1e-6"} and said["retention_days"] == 30
    for wrong in (["--days", "401"], ["--day-delta", "2"], ["--retention-days", "0"], ["--plan", "nowhere"]):
        assert office.refused("issuer", "renew", "issuer", *wrong)[0] in (2, 3)
    assert parameters(office).serial == 3


def test_a_larger_plan_is_for_new_keys_and_one_with_other_rounds_for_no_federation_that_there_is(office):
    larger = [*PLAN_OPTIONS, "--members", "25"]
    office(*larger, "--out", "larger.json")
    assert office.json("issuer", "renew", "issuer", "--plan", "larger.json")["generation"] == 2
    assert parameters(office).members == 25
    office(*larger, "--round-seconds", "600", "--out", "slower.json")
    code, line = office.refused("issuer", "renew", "issuer", "--plan", "slower.json")
    assert code == 2 and "--round-seconds" in line


def test_without_the_service_every_member_gets_a_file(office):
    anna = member(office, "anna")
    office("issuer", "admit", "issuer", "anna.card")
    answer = office.json("issuer", "renew", "issuer", "--out", "files")
    assert answer["files"] == [{"member": "anna", "path": "files/anna.txt", "tokens": True}]
    found, _ = card_files.read((office.directory / "files" / "anna.txt").read_text())
    assert [cards.decode(card).kind for card in found] == ["federation", "sets", "reading", "tokens-offer"]
    challenge, pending = anna.challenge(found[3], parameters(office))
    (office.directory / "from-anna").write_text(challenge)
    reply = office.json("issuer", "answer", "issuer", "from-anna")["reply"]
    answered = [card for card in card_files.read(reply)[0] if cards.decode(card).kind == "tokens-answer"]
    assert good_tokens(answered[0], pending) == 9
    assert office.refused("issuer", "renew", "issuer", "--out", "files")[0] == 2


def test_restored_needs_a_relay_or_the_word_that_there_is_nothing_newer(office):
    backup = (office.directory / "issuer" / "issuer.keystore").read_bytes()
    card = office.directory / "newer.card"
    office("issuer", "renew", "issuer")
    card.write_bytes((office.directory / "issuer" / "federation.card").read_bytes())
    newer = parameters(office)
    (office.directory / "issuer" / "issuer.keystore").write_bytes(backup)
    code, line = office.refused("issuer", "restored", "issuer")
    assert code == 2 and "--offline" in line
    answer = office.json("issuer", "restored", "issuer", "--offline", "--set", "newer.card")
    assert (answer["serial"], parameters(office).previous) == (newer.serial + 1, newer.digest)
    assert answer["generation"] == 2


def test_show_warns_with_its_exit_status_from_thirty_days_before_the_end(tessera, plan_file):
    tessera("issuer", "init", "issuer", "--plan", plan_file, "--name", "x", "--days", "33")
    assert tessera.json("issuer", "show", "issuer")["warning"] is None
    tessera("issuer", "renew", "issuer", "--days", "29")
    code, out, err = tessera("issuer", "show", "issuer", "--json")
    assert code == 21 and err.startswith("warning: the schedule of keys ends on") and "tessera issuer renew" in err
    assert "ends on" in json.loads(out)["warning"]


def test_relay_new_refuses_a_taken_name_and_a_used_directory(office):
    assert office.refused("relay", "new", "first", "--issuer", "issuer", "--host", "h", "relay2")[0] == 2
    assert office.refused("relay", "new", "second", "--issuer", "issuer", "--host", "h", "relay")[0] == 2
    assert office.refused("relay", "new", "second", "--issuer", "nowhere", "--host", "h", "relay2")[0] == 2
    assert parameters(office).serial == 2


def issued(office, card):
    """What the issuer answers a token card with."""
    with Issuer.open(office.directory / "issuer", "correct horse") as issuer:
        return issuer.issue(card)


def test_show_tells_how_many_tokens_a_member_had(office):
    anna = member(office, "anna")
    admitted = office.json("issuer", "admit", "issuer", "anna.card")
    assert admitted == {"admitted": "anna", "members": 1, "members_max": 24}
    challenge, pending = anna.challenge(issued(office, anna.request(1, 1, int(time.time()))), parameters(office))
    assert good_tokens(issued(office, challenge), pending) == 9
    shown = office.json("issuer", "show", "issuer")
    assert shown["members"] == [{"name": "anna", "key": anna.key.hex(), "tokens_this_epoch": 1, "tokens_next_epoch": 1}]


def test_cards_come_through_stdin_too(office, monkeypatch):
    anna = member(office, "anna")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(anna.card().encode())))
    assert office.json("issuer", "admit", "issuer", "-")["admitted"] == "anna"


def test_admit_and_remove(office):
    member(office, "anna")
    assert office.refused("issuer", "admit", "issuer", "missing.card")[0] == 3
    assert office("issuer", "admit", "issuer", "anna.card")[0] == 0
    assert office.refused("issuer", "admit", "issuer", "anna.card")[0] == 5
    (office.directory / "broken.card").write_text((office.directory / "anna.card").read_text()[:-9])
    assert office.refused("issuer", "admit", "issuer", "broken.card")[0] == 3
    removed = office.json("issuer", "remove", "issuer", "anna")
    assert removed["members"] == 0 and removed["generation"] == 2
    assert removed["access_ends"] == parameters(office).genesis + parameters(office).first_epoch * DAY
    assert office.refused("issuer", "remove", "issuer", "anna")[0] == 5


def test_show_has_no_secrets_and_needs_the_passphrase(office):
    code, out, _ = office("issuer", "show", "issuer")
    assert code == 0 and "Berlin office" in out and "localhost" in out
    assert parameters(office).access_key.hex() not in json.dumps(office.json("issuer", "show", "issuer"))
    (office.directory / "wrong").write_text("incorrect horse")
    code, line = office.refused("issuer", "show", "issuer", "--passphrase-file", "wrong")
    assert code == 4 and "passphrase" in line


def test_no_command_takes_a_passphrase_as_an_argument(tessera):
    for command in (["issuer", "init"], ["issuer", "admit"], ["issuer", "show"], ["relay", "new"]):
        _, out, _ = tessera(*command, "--help")
        assert "--passphrase-file" in out and "--passphrase " not in out


def test_an_issuer_of_an_older_version_is_refused_with_a_way_out(tessera):
    Keystore.create(tessera.directory / "issuer" / "issuer.keystore", "correct horse", "issuer", {"version": 2}).close()
    before = (tessera.directory / "issuer" / "issuer.keystore").read_bytes()
    for command in (
        ("issuer", "show", "issuer"),
        ("issuer", "serve", "issuer"),
        ("issuer", "backup", "issuer", "one.backup"),
        ("unlock", "--issuer", "issuer"),
    ):
        code, line = tessera.refused(*command)
        assert code == 4 and "made by an older version of tessera" in line and "begin anew in another directory" in line
    assert (tessera.directory / "issuer" / "issuer.keystore").read_bytes() == before


# -- what an office does later, one command each


def test_what_init_proposes_next_works_as_it_stands(tessera, plan_file, monkeypatch):
    async def run(server, host, port, ready, report, listen):
        ready()

    monkeypatch.setattr(IssuerServer, "run", run)
    _, out, _ = tessera("issuer", "init", "issuer", "--plan", plan_file, "--name", "Office")
    lines = [line.partition("   (")[0].strip() for line in out.splitlines() if line.startswith("  tessera ")]
    for placeholder, value in (("HOST", "127.0.0.1"), ("RELAYDIR", "berlin"), ("RELAY", "berlin"), ("PERSON", "ann")):
        lines = [line.replace(placeholder, value) for line in lines]
    assert [line.split()[1:3] for line in lines] == [
        ["issuer", "service"],
        ["relay", "new"],
        ["issuer", "serve"],
        ["issuer", "invite"],
    ]
    for line in lines:
        code, _, err = tessera(*line.split()[1:])
        assert code == 0, err


def test_a_25th_member_is_one_command(office):
    before = parameters(office)
    office("issuer", "service", "issuer", "127.0.0.1")
    for number in range(24):
        member(office, f"m{number}")
        office("issuer", "admit", "issuer", f"m{number}.card")
    code, line = office.refused("issuer", "invite", "issuer", "zoe")
    assert code == 5 and "tessera issuer renew DIR --members N" in line
    answer = office.json("issuer", "renew", "issuer", "--members", "25")
    after = parameters(office)
    assert (answer["serial"], after.members, after.generation) == (before.serial + 2, 25, 2)
    assert bytes(after.thresholds) == bytes(before.thresholds) and after.posts_per_token == before.posts_per_token
    assert office("issuer", "invite", "issuer", "zoe")[0] == 0
    for wrong in (["--members", "99999999"], ["--members", "27", "--plan", "plan.json"], ["--members", "20"]):
        assert office.refused("issuer", "renew", "issuer", *wrong)[0] == 2
    assert parameters(office).members == 25


def test_a_new_access_key_is_one_command(office):
    before = parameters(office)
    _, out, _ = office("issuer", "renew", "issuer", "--new-keys")
    after = parameters(office)
    assert "All keys are new from" in out
    assert after.access_key != before.access_key and after.reading_hash != before.reading_hash
    assert after.generation == before.generation + 1 and after.members == before.members


def test_a_second_relay_has_to_be_named_only_as_long_as_no_custom_is_clear(office):
    office("issuer", "service", "issuer", "127.0.0.1")
    assert office.json("issuer", "invite", "issuer", "ann")["home_relay"] == "first"
    office("relay", "new", "second", "--issuer", "issuer", "--host", "localhost", "second")
    _, _, err = office("issuer", "invite", "issuer", "ben")
    assert "The mailbox is on the relay first." in err
    assert office.json("issuer", "invite", "issuer", "cleo", "--relay", "second")["home_relay"] == "second"
    code, line = office.refused("issuer", "invite", "issuer", "dora")
    assert code == 2 and "first, second" in line
