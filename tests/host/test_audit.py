"""The audit of a relay's ledger: what holds, and that everything that does not is found and said."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera import curve, params
from tessera.errors import Refused
from tessera.params import Parameters
from tessera.release import BUNDLE, encode
from tessera_host.audit import audit, published, verify
from tessera_host.audit.archive import AuditArchive
from tessera_host.audit.verify import Firmware, LedgerAudit
from tessera_host.errors import IntegrityError, InvalidInput
from tessera_host.protocol import blind, parameter_sets
from tessera_host.protocol.relay_connection import ErrorFrame, Info
from tessera_host.relay import ledger as relay_ledger
from tests.support.fake_federation import EPOCH_ROUNDS
from tests.support.fake_ledger import FIRMWARE, FakeLedger, table_fields


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


class Desk:
    """An auditor's desk: one archive, the fake firmware known as approved."""

    def __init__(self, folder: Path, ledger: FakeLedger, parameters: list[Path] | None = None) -> None:
        self.folder, self.ledger = folder, ledger
        self.archive = AuditArchive(folder / "archive")
        self.parameters = parameters or []

    def gathered(self, firmware: bytes = FIRMWARE) -> audit.Gathered:
        found = audit.gather(self.ledger.federation.known(), self.archive, self.parameters, [])
        found.firmware[firmware] = Firmware("approved on paper", True)
        return found

    def judge(self, checkpoints: dict[int, bytes], open_epoch: int, **options: bytes) -> LedgerAudit:
        answers = self.ledger.answers(checkpoints, open_epoch)
        return audit.judge(self.gathered(**options), self.ledger.relay(), answers, answers.open_round)


@pytest.fixture
def desk(tmp_path: Path, ledger: FakeLedger) -> Desk:
    return Desk(tmp_path, ledger)


def broken(found: LedgerAudit) -> str:
    """The one thing that does not hold."""
    (finding,) = [each for each in found.findings if each.broken]
    assert not found.holds
    return finding.text


# -- what holds


def test_a_whole_chain_is_verified_and_says_nothing_else(desk, ledger):
    found = desk.judge(ledger.chain(range(2, 9)), 9)
    assert found.holds and found.findings == [] and found.missing == []
    assert found.verified == [2, 3, 4, 5, 6, 7, 8]
    assert found.parameter_digests() == [(ledger.parameters.digest, found.verified)]
    assert [each.rounds_sealed for each in found.epochs] == [EPOCH_ROUNDS] * 7


def test_a_relay_without_a_checkpoint_yet_is_said_to_have_none(desk, ledger):
    found = desk.judge({}, 3)
    assert found.holds and found.verified == [] and found.epochs == []


def test_epochs_in_which_the_relay_was_off_are_named_and_not_verified(desk, ledger):
    found = desk.judge(ledger.chain([1, 2, 5, 6]), 8)
    assert found.holds
    assert found.missing == [3, 4, 7]
    assert found.verified == [1, 2, 5, 6]
    (finding,) = found.findings
    assert "epochs 3 to 4 and 7" in finding.text


def test_rounds_that_were_not_sealed_cost_availability_only(desk, ledger):
    shown = ledger.chain([0]) | {1: ledger.sign(1, rounds=EPOCH_ROUNDS - 2)}
    found = desk.judge(shown, 2)
    assert found.holds and found.verified == [0, 1]
    assert "epoch 1" in found.findings[0].text and "availability" in found.findings[0].text


def test_a_ledger_that_begins_earlier_than_it_shows_is_said_to(desk, ledger):
    shown = ledger.chain(range(4))
    del shown[0]
    found = desk.judge(shown, 4)
    assert found.holds and "is of epoch 1, not its first" in found.findings[0].text


# -- what does not hold


@pytest.mark.parametrize("at", [0, 1, 20, 50, 57, 70, 100, 140, 180, 186, 249])
def test_a_checkpoint_with_one_bit_changed_is_found(desk, ledger, at):
    shown = ledger.chain(range(3))
    shown[1] = bytes(octet ^ (index == at) for index, octet in enumerate(shown[1]))
    found = desk.judge(shown, 3)
    assert not found.holds
    assert 1 not in found.verified
    assert any("epoch 1" in each.text for each in found.findings if each.broken)
    assert 1 not in desk.archive.checkpoints(ledger.key, desk.gathered().sets.ledger_keys(ledger.key))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret": b"\1" * 32}, "ledger key did not sign"),
        ({"federation": bytes(16)}, "another relay"),
        ({"key": bytes(33)}, "another relay"),
        ({"digest": bytes(32)}, "are not known here"),
        ({"firmware": bytes(32)}, "no approved release is known"),
        ({"rounds": EPOCH_ROUNDS + 1}, "claims"),
        ({"previous": b"\1" * 32}, "chain is broken"),
    ],
)
def test_a_checkpoint_that_says_something_else_is_found(desk, ledger, changes, said):
    """Signed as it stands: what is found is the content."""
    shown = ledger.chain([0]) | {1: ledger.sign(1, **changes)}
    found = desk.judge(shown, 2)
    assert said in broken(found)
    assert 1 not in found.verified


def test_a_checkpoint_shown_for_another_epoch_is_found(desk, ledger):
    shown = ledger.chain(range(3))
    found = desk.judge({**shown, 2: shown[1]}, 3)
    assert "the checkpoint of epoch 1" in broken(found)


def test_a_checkpoint_left_out_is_found_by_the_chain(desk, ledger):
    shown = ledger.chain(range(5))
    del shown[2]
    found = desk.judge(shown, 5)
    assert "the checkpoint of epoch 3 does not follow 1's" in broken(found)
    assert found.missing == [2] and found.verified == [0, 4]


def test_a_ledger_begun_anew_is_found(desk, ledger):
    shown = ledger.chain(range(3))
    ledger.last = None
    found = desk.judge(shown | ledger.chain(range(3, 5)), 5)
    assert "the checkpoint of epoch 3 does not follow 2's" in broken(found)


def test_a_cover_key_used_twice_is_found(desk, ledger):
    shown = ledger.chain([0]) | {1: ledger.sign(1, cover=b"c" * 32), 2: ledger.sign(2, cover=b"c" * 32)}
    assert "the same cover" in broken(desk.judge(shown, 3))


def test_a_damaged_ledger_is_said_to_be_damaged(desk, ledger):
    shown = ledger.chain(range(2))
    answers = ledger.answers(shown, 2)
    answers.damaged.append(1)
    del answers.checkpoints[1]
    found = audit.judge(desk.gathered(), ledger.relay(), answers, answers.open_round)
    assert "ledger is damaged" in broken(found)


def test_a_relay_that_runs_unknown_code_now_is_found(desk, ledger):
    answers = ledger.answers(ledger.chain(range(2)), 2)
    gathered = desk.gathered()
    gathered.firmware[b"other" * 7] = gathered.firmware.pop(FIRMWARE)
    found = audit.judge(gathered, ledger.relay(), answers, answers.open_round)
    said = [each.text for each in found.findings if each.broken]
    assert len(said) == 2 and "says that it runs" in said[0] and "epochs 0 to 1" in said[1]


def test_a_clock_that_is_off_is_a_remark(desk, ledger):
    answers = ledger.answers(ledger.chain(range(2)), 2)
    found = audit.judge(desk.gathered(), ledger.relay(), answers, answers.open_round + 5)
    assert found.holds and "is about 50 s behind" in found.findings[0].text


# -- parameters


def test_a_parameter_change_is_shown_with_what_changed(desk, ledger):
    shown, before = ledger.chain(range(2)), ledger.parameters.digest
    changed = table_fields(Fraction("0.2"), Fraction("1e-6"))
    ledger.parameters = ledger.make_set(2, first_epoch=2, members=60, log2_buckets=1, **changed)
    found = desk.judge(shown | ledger.chain(range(2, 4)), 4)
    assert found.holds and found.parameter_digests() == [(before, [0, 1]), (ledger.parameters.digest, [2, 3])]
    (finding,) = found.findings
    assert "in force from epoch 2 on (serial 1 → 2)" in finding.text
    assert "ε (millionths) 100000 → 200000" in finding.text and "members 40 → 60" in finding.text


def test_two_signed_sets_of_one_serial_are_a_finding_against_the_issuer(tmp_path, ledger):
    """Members were promised ε = 0.1, the relay runs ε = 3, and the root key signed either."""
    told = ledger.federation.parameters = ledger.make_set(2, first_epoch=2)
    first = tmp_path / "first.tpr"
    first.write_bytes(ledger.parameters.blob)
    shown = ledger.chain(range(2))
    ledger.parameters = ledger.make_set(2, first_epoch=2, **table_fields(Fraction(3), Fraction("1e-6")))
    desk = Desk(tmp_path, ledger, [first])
    gathered = desk.gathered()
    answers = ledger.answers(shown | ledger.chain(range(2, 4)), 4)
    found = audit.judge(gathered, ledger.relay(), answers, answers.open_round)
    assert found.verified == [0, 1]
    assert "two different sets of serial 2, and one of them was in force in epochs 2 to 3" in broken(found)
    (against,) = verify.issuer_findings(gathered.sets)
    assert against.broken and "two different sets of serial 2" in against.text
    assert "ε (millionths)" in against.text and "100000" in against.text and "3000000" in against.text
    assert all(each.digest.hex()[:16] in against.text for each in (told, ledger.parameters))
    # The archive tells it for ever, whatever the relay shows later.
    ledger.parameters = ledger.federation.parameters
    assert verify.issuer_findings(Desk(tmp_path, ledger).gathered().sets) == [against]


def test_sets_that_differ_in_what_no_member_is_promised_contradict_each_other_too(tmp_path, ledger):
    """One of them lists a relay that the other does not know."""
    secret = blind.even_secret(blind.random_scalar())
    twin = ledger.make_set(1, members=40, log2_buckets=1, relay_keys={1: ledger.key, 2: curve.public(secret)})
    path = tmp_path / "twin.tpr"
    path.write_bytes(twin.blob)
    (against,) = verify.issuer_findings(Desk(tmp_path, ledger, [path]).gathered().sets)
    assert "differ in nothing that members are promised" in against.text


def test_a_set_signed_once_more_is_the_same_set(tmp_path, ledger):
    once = ledger.parameters.blob
    again = once[:176] + curve.sign(ledger.federation.root, ledger.parameters.digest, b"\1" * 32) + once[240:]
    assert again != once
    path = tmp_path / "again.tpr"
    path.write_bytes(again)
    assert verify.issuer_findings(Desk(tmp_path, ledger, [path]).gathered().sets) == []


def test_what_one_relay_shows_is_held_against_what_another_does(desk, ledger):
    """Each is believed alone; together they are a contradiction, whichever is judged first."""
    twin = ledger.make_set(1, **table_fields(Fraction(3), Fraction("1e-6")))
    answers = ledger.answers(ledger.chain(range(2)), 2)
    other = replace(answers, parameters=twin.blob)
    gathered = desk.gathered()
    for each in (answers, other):
        audit.learn(gathered, each)
    assert not audit.judge(gathered, ledger.relay(), answers, answers.open_round).holds
    audit.learn(gathered, replace(answers, parameters=b"nothing"))  # is for judge to say


def test_old_parameters_come_from_files_and_then_from_the_archive(tmp_path, ledger):
    shown = ledger.chain(range(2))
    old = tmp_path / "old.tpr"
    old.write_bytes(ledger.parameters.blob)
    ledger.parameters = ledger.federation.parameters = ledger.make_set(2, first_epoch=2)  # the card's too
    shown |= ledger.chain(range(2, 3))
    without = Desk(tmp_path / "without", ledger).judge(shown, 3)
    assert without.verified == [2] and all("are not known here" in each.text for each in without.findings)
    assert all("folder 'sets'" in each.text for each in without.findings)
    assert Desk(tmp_path / "folder", ledger, [tmp_path]).judge(shown, 3).verified == [0, 1, 2]
    with pytest.raises(InvalidInput, match="no parameter set in"):
        Desk(tmp_path / "empty", ledger, [Path(__file__).parent]).judge(shown, 3)
    assert Desk(tmp_path, ledger, [old]).judge(shown, 3).verified == [0, 1, 2]
    assert Desk(tmp_path, ledger).judge(shown, 3).verified == [0, 1, 2]


def test_parameters_that_went_back_or_do_not_govern_are_found(desk, ledger):
    older, newer = ledger.parameters, ledger.make_set(2, first_epoch=2)
    shown = ledger.chain([0]) | {1: ledger.sign(1, digest=newer.digest)} | {2: ledger.sign(2, digest=newer.digest)}
    shown |= {3: ledger.sign(3, digest=older.digest)}
    ledger.parameters = newer
    found = desk.judge(shown, 4)
    said = [each.text for each in found.findings if each.broken]
    assert any("epoch 1 names the parameters" in text for text in said)
    assert any("went back from serial 2 to 1" in text for text in said)
    assert found.verified == [0, 2]


@pytest.mark.parametrize(
    ("serial", "follows", "said"),
    [
        (3, 1, "two sets that follow the same one (serials 2 and 3)"),
        (3, 9, "two sets that are not of one chain (serials 2 and 3)"),
        (4, 2, "two sets that are not of one chain (serials 2 and 4)"),
        (4, 3, None),  # the set between is not known here, which is nobody's fault
    ],
)
def test_sets_that_are_not_of_one_chain_are_a_finding_against_the_issuer(tmp_path, ledger, serial, follows, said):
    ledger.parameters = ledger.federation.parameters = ledger.make_set(2)
    shown = ledger.chain(range(2))
    digests = {**ledger.federation.digests, 3: b"3" * 32, 9: b"9" * 32}
    path = tmp_path / "other.tpr"
    path.write_bytes(ledger.make_set(serial, previous=digests[follows]).blob)
    desk = Desk(tmp_path, ledger, [path])
    found = verify.issuer_findings(desk.gathered().sets)
    if said is None:
        assert found == [] and desk.judge(shown, 2).holds
        return
    (against,) = found
    assert against.broken and said in against.text
    assert f"{said}, and one of them was in force in epochs 0 to 1" in broken(desk.judge(shown, 2))


@pytest.mark.parametrize(("of_epsilon", "of_delta", "holds"), [(4, 4, True), (Fraction(1, 2), 0, False)])
def test_a_table_that_does_not_keep_its_day_is_found(tmp_path, ledger, of_epsilon, of_delta, holds):
    """Four deliveries keep 4 ε and 4 δ, whatever the table; half the ε of one, and no δ, nothing keeps."""
    epsilon, delta = int(of_epsilon * ledger.parameters.epsilon), of_delta * ledger.parameters.delta
    day = {"cover": params.DAY, "deliveries": 4, "day_epsilon": epsilon, "day_delta": delta}
    ledger.parameters = ledger.federation.parameters = ledger.make_set(2, **day)
    found = Desk(tmp_path, ledger).judge(ledger.chain(range(2)), 2)
    assert found.holds == holds
    if not holds:
        assert "does not keep the ε and δ" in broken(found) and found.verified == []


def test_constant_batches_have_no_table_to_judge_and_the_change_is_named(desk, ledger):
    shown = ledger.chain(range(2))
    batch = {"cover": params.CONSTANT, "constant": 24, "thresholds": b"", "epsilon": 0, "delta": 0}
    batch |= {"members": 24, "tokens_per_epoch": 1}
    ledger.parameters = ledger.make_set(2, first_epoch=2, **batch)
    found = desk.judge(shown | ledger.chain(range(2, 4)), 4)
    assert found.holds and found.verified == [0, 1, 2, 3]
    said = " ".join(each.text for each in found.findings)
    assert "kind of cover a table for one delivery → constant batches" in said
    assert "records in a constant batch 0 → 24" in said


# -- sets that come late, and those that end


def changed_sets(ledger: FakeLedger, folder: Path, *first_epochs: int) -> list[bytes]:
    """Digests of the ledger's set and of those that follow it, from these epochs on; all are on the desk of whoever
    gathers FOLDER's files, the last in the card."""
    sets = [ledger.parameters, *(ledger.make_set(2 + at, first_epoch=epoch) for at, epoch in enumerate(first_epochs))]
    for each in sets:
        (folder / f"{each.serial}.tpr").write_bytes(each.blob)
    ledger.parameters = ledger.federation.parameters = sets[-1]
    return [each.digest for each in sets]


def signed(ledger: FakeLedger, digests: dict[int, bytes], **changes: object) -> dict[int, bytes]:
    """A checkpoint of each of these epochs, under the set of that digest."""
    return {epoch: ledger.sign(epoch, digest=digest, **changes) for epoch, digest in digests.items()}


def set_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tpr"))


def test_a_relay_that_was_off_for_two_sets_keeps_the_old_one_until_it_is_back(tmp_path, ledger):
    """Off from 3 to 7; in 8 it came back and was given the set that was made in 6: it governs from 9 on."""
    first, _, third = changed_sets(ledger, tmp_path, 4, 6)
    shown = signed(ledger, dict.fromkeys([0, 1, 2, 8], first) | dict.fromkeys([9, 10], third))
    found = Desk(tmp_path, ledger, set_files(tmp_path)).judge(shown, 11)
    assert found.holds and found.verified == [0, 1, 2, 8, 9, 10]
    assert [each.text.split(":")[0].split(", so ")[0] for each in found.findings] == [
        "new parameters are in force from epoch 9 on (serial 1 → 3)",
        "there is no checkpoint of epochs 3 to 7",
    ]


def test_a_relay_that_was_off_for_a_part_of_an_epoch_has_another_to_take_the_set(tmp_path, ledger):
    first, second = changed_sets(ledger, tmp_path, 1)
    shown = signed(ledger, dict.fromkeys(range(3), first))
    shown |= signed(ledger, {3: first}, rounds=EPOCH_ROUNDS - 1) | signed(ledger, {4: first, 5: second})
    found = Desk(tmp_path, ledger, set_files(tmp_path)).judge(shown, 6)
    assert found.holds and not any("brought" in each.text for each in found.findings)


def test_a_set_that_nobody_brought_to_a_running_relay_is_said_to_be_missing(tmp_path, ledger):
    first, second = changed_sets(ledger, tmp_path, 2)
    shown = signed(ledger, dict.fromkeys(range(7), first) | {7: second})
    found = Desk(tmp_path, ledger, set_files(tmp_path)).judge(shown, 8)
    assert found.holds
    (late, _) = [each for each in found.findings if "serial 1" in each.text][::-1]
    assert late.epochs == (4, 5, 6) and not late.broken
    assert "epochs 4 to 6 still had the parameters of serial 1" in late.text
    assert "serial 2 were made for epoch 2 and later" in late.text and "tessera relay push" in late.text


def test_a_set_that_never_came_into_force_as_others_replaced_it_is_not_missed(tmp_path, ledger):
    """Four days in a row somebody left, and each new generation replaced the one that was to begin."""
    first, *_, last = changed_sets(ledger, tmp_path, 4, 5, 6, 7)
    shown = signed(ledger, dict.fromkeys(range(7), first) | {7: last})
    found = Desk(tmp_path, ledger, set_files(tmp_path)).judge(shown, 8)
    assert found.holds and [each.epochs for each in found.findings] == [(7,)]


def test_a_set_that_was_replaced_while_the_relay_was_off_is_not_missed(tmp_path, ledger):
    """Off in 0 and 1, when one was made for 0; back in 2 it was given that for 4, which one for 5 replaced in 3."""
    first, *_ = changed_sets(ledger, tmp_path, 0, 4, 5, 5)
    found = Desk(tmp_path, ledger, set_files(tmp_path)).judge(signed(ledger, dict.fromkeys((2, 3, 4), first)), 5)
    assert found.holds and not any("brought" in each.text for each in found.findings)


def test_a_new_relay_has_its_first_set_before_that_set_s_first_epoch(tmp_path, ledger):
    """A new generation begins an epoch later; whoever replaces a relay puts the new one into service at once."""
    other = curve.public(blind.even_secret(blind.random_scalar()))
    before = ledger.make_set(2, relay_keys={1: other})
    ledger.parameters = ledger.federation.parameters = ledger.make_set(3, first_epoch=2)
    (tmp_path / "before.tpr").write_bytes(before.blob)
    found = Desk(tmp_path, ledger, [tmp_path / "before.tpr"]).judge(ledger.chain(range(1, 4)), 4)
    assert found.holds and found.findings == [] and found.verified == [1, 2, 3]


def test_epochs_after_the_end_of_the_schedule_are_verified_and_named(desk, ledger):
    shown = ledger.chain(range(10, 15))  # the set's schedule has 12 epochs
    found = desk.judge(shown, 15)
    assert found.holds and found.verified == [10, 11, 12, 13, 14]
    (finding,) = found.findings
    assert "in epochs 12 to 14 the schedule of keys had ended" in finding.text


def test_a_relay_that_names_another_set_than_it_shows_is_found(desk, ledger):
    answers = ledger.answers(ledger.chain(range(2)), 2)
    answers.newest_digest = answers.digest = bytes(32)
    found = audit.judge(desk.gathered(), ledger.relay(), answers, answers.open_round)
    assert "names one set as its newest, but shows another" in broken(found)
    assert any("in force at the relay now" in each.text and not each.broken for each in found.findings)


class HonestOffice:
    """IT signs sets when it likes, a relay is given them within an epoch of running, and keeps a ledger meanwhile."""

    def __init__(self) -> None:
        self.ledger = FakeLedger()
        self.sets = [self.ledger.parameters]
        self.force, self.force_from = self.ledger.parameters, 0
        self.newest = self.ledger.parameters
        self.shown: dict[int, bytes] = {}

    def sign_set(self, epoch: int, later: int) -> None:
        first = max(epoch + later, self.sets[-1].first_epoch)
        self.sets.append(self.ledger.make_set(len(self.sets) + 1, first_epoch=first, epochs=30))

    def pushed(self, epoch: int, newest: Parameters) -> None:
        if newest.serial > self.newest.serial:
            self.newest, self.force_from = newest, max(newest.first_epoch, epoch + 1)

    def open(self, epoch: int) -> None:
        if epoch >= self.force_from:
            self.force = self.newest

    def seal(self, epoch: int) -> None:
        self.shown[epoch] = self.ledger.sign(epoch, digest=self.force.digest)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 2), st.booleans()), min_size=3, max_size=16))
def test_honest_renewals_raise_no_alarm_whatever_the_relay_missed(history):
    """Each epoch: whether the relay runs, whether and how far ahead IT signs a set, and whether it is brought at once
    or an epoch later."""
    office = HonestOffice()
    with TemporaryDirectory() as folder:
        for epoch, (runs, sign, later, at_once) in enumerate(history):
            known = office.sets[-1]
            if sign < 4:
                office.sign_set(epoch, later)
            if not runs:
                continue
            office.open(epoch)
            office.pushed(epoch, office.sets[-1] if at_once else known)
            office.seal(epoch)
        office.ledger.parameters = office.newest
        office.ledger.federation.parameters = office.sets[-1]
        for each in office.sets:
            (Path(folder) / f"{each.serial}.tpr").write_bytes(each.blob)
        found = Desk(Path(folder), office.ledger, set_files(Path(folder))).judge(office.shown, len(history))
    assert found.holds and found.verified == sorted(office.shown)
    assert not any("brought" in each.text for each in found.findings)


# -- what others published


def test_a_published_list_is_read_back_and_agrees(tmp_path, ledger):
    changed_sets(ledger, tmp_path, 2, 5)
    gathered = Desk(tmp_path, ledger, set_files(tmp_path)).gathered()
    path = tmp_path / "sets.txt"
    path.write_bytes(published.render(gathered.sets, "Example"))
    assert published.read(path) == published.of(gathered.sets)
    assert len(published.read(path)) == 3 and path.read_text().startswith("# Parameter sets of 'Example'")
    again = audit.gather(ledger.federation.known(), gathered.archive, set_files(tmp_path), [], [path])
    assert again.against_issuer() == []


def test_a_published_list_that_tells_something_else_is_held_against_the_issuer(tmp_path, ledger):
    """Another auditor was shown another set of serial 2; and a third one, which knows more."""
    _, mine = changed_sets(ledger, tmp_path, 2)
    other = published.PublishedSet(2, b"o" * 32, ledger.federation.digests[1], 2)
    newer = published.PublishedSet(9, b"n" * 32, b"8" * 32, 40)
    gathered = Desk(tmp_path, ledger, set_files(tmp_path)).gathered()
    gathered.published = {"berlin.txt": [other], "paris.txt": [newer]}
    against, later = gathered.against_issuer()
    assert against.broken and "berlin.txt names a set of serial 2 (digest 6f6f6f6f6f6f6f6f…)" in against.text
    assert mine.hex()[:16] in against.text
    assert not later.broken and "paris.txt names sets up to serial 9" in later.text


@pytest.mark.parametrize("line", ["1 2 3", "x", "1 " + 2 * ("0" * 63 + " ") + "1", "-1 " + 2 * ("0" * 64 + " ") + "1"])
def test_what_is_no_list_of_sets_is_refused(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"# remark\n\n{line}\n")
    with pytest.raises(InvalidInput, match="line 3"):
        published.read(path)


def test_a_table_worse_than_it_is_signed_for_is_found(tmp_path, ledger):
    lying = table_fields() | {"delta": 1}
    ledger.parameters = ledger.federation.parameters = ledger.make_set(2, **lying)
    found = Desk(tmp_path, ledger).judge(ledger.chain(range(2)), 2)
    assert "does not keep the ε and δ" in broken(found)
    assert found.verified == []


def test_parameters_of_others_are_not_taken(tmp_path, ledger):
    desk = Desk(tmp_path, ledger)
    answers = ledger.answers(ledger.chain(range(2)), 2)
    answers.parameters = FakeLedger().parameters.blob
    found = audit.judge(desk.gathered(), ledger.relay(), answers, answers.open_round)
    assert "from another federation" in broken(found)
    stranger = tmp_path / "stranger.tpr"
    stranger.write_bytes(answers.parameters)
    with pytest.raises(IntegrityError):
        Desk(tmp_path, ledger, [stranger]).gathered()


def test_delta_of_a_set_is_that_of_its_integers(ledger):
    """Recounted here, with e^ε from above: the sum of what one record more makes likelier than e^ε allows."""
    bounds = [0, *parameter_sets.thresholds(ledger.parameters), 2**64]
    counts = [after - before for before, after in pairwise(bounds)]
    e_upper = Fraction(1105170918075648, 10**15)  # e^0.1 = 1.1051709180756476…
    without, with_one = [*counts, 0], [0, *counts]
    more = sum(max(Fraction(0), one - e_upper * other) for one, other in zip(with_one, without, strict=True))
    fewer = sum(max(Fraction(0), one - e_upper * other) for one, other in zip(without, with_one, strict=True))
    recounted = max(more, fewer) / 2**64
    exact = parameter_sets.exact_delta(ledger.parameters)
    assert recounted <= exact <= recounted * (1 + Fraction(1, 10**9))
    assert Fraction("9.2215e-7") < exact < Fraction("9.2216e-7")


# -- the questions


class FakeConnection:
    """A relay that answers from a dict; an epoch that is None in it is damaged."""

    opened = 0

    def __init__(self, ledger: FakeLedger, checkpoints: dict[int, bytes | None], open_epoch: int) -> None:
        self.answers = ledger.answers({}, open_epoch)
        self.checkpoints, self.asked = checkpoints, []

    async def open(self, *_: object) -> "FakeConnection":
        self.opened += 1
        return self

    async def __aenter__(self) -> "FakeConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def info(self) -> Info:
        digest = self.answers.digest
        return Info(2, 0, 1, digest, 1, digest, self.answers.open_round, 0, "fake")

    async def params(self) -> bytes:
        return self.answers.parameters

    async def status(self) -> object:
        return self.answers.figures

    async def checkpoint(self, epoch: int) -> bytes:
        self.asked.append(epoch)
        found = self.checkpoints.get(epoch, b"")
        if not found:
            raise ErrorFrame(Refused(relay_ledger.FAULT if found is None else relay_ledger.TOO_OLD, "fake", 0))
        return found


async def asked(monkeypatch, ledger, checkpoints, open_epoch):
    relay = FakeConnection(ledger, checkpoints, open_epoch)
    monkeypatch.setattr(relay_ledger, "RelayConnection", relay)
    return relay, await relay_ledger.ask(ledger.federation.known(), ledger.relay())


async def test_a_ledger_is_read_back_to_its_first_checkpoint(monkeypatch, ledger):
    shown = ledger.chain([*range(5, 80), *range(85, 150)])
    relay, answers = await asked(monkeypatch, ledger, shown, 151)
    assert answers.checkpoints == shown and answers.open_epoch == 151
    assert relay.asked == list(range(150, 4, -1))
    assert answers.absent == [150, 84, 83, 82, 81, 80]
    assert relay.opened == 1 + 3  # a relay may give a place away after two minutes


async def test_a_relay_s_damage_and_its_age_bound_the_questions(monkeypatch, ledger):
    _, answers = await asked(monkeypatch, ledger, ledger.chain([3]) | {4: None}, 6)
    assert (answers.damaged, answers.absent, list(answers.checkpoints)) == ([4], [5], [3])
    relay, answers = await asked(monkeypatch, ledger, {}, 1000)
    assert len(relay.asked) == relay_ledger.LEDGER_ENTRIES and not answers.checkpoints


async def test_another_refusal_ends_the_questions(monkeypatch, ledger):
    async def refuse(*_: object) -> bytes:
        raise ErrorFrame(Refused(5, "fake", 0))

    monkeypatch.setattr(FakeConnection, "checkpoint", refuse)
    with pytest.raises(ErrorFrame):
        await asked(monkeypatch, ledger, {}, 3)


# -- the archive


def test_what_was_verified_is_kept_and_told_again_without_the_relay(desk, ledger):
    desk.judge(ledger.chain(range(3)), 3)
    found = audit.judge_archived(desk.gathered(), ledger.relay())
    assert found.verified == [0, 1, 2] and "not asked" in found.findings[0].text
    with pytest.raises(InvalidInput, match="has nothing"):
        audit.judge_archived(Desk(desk.folder / "new", ledger).gathered(), ledger.relay())


def test_a_relay_that_tells_another_story_later_is_found(desk, ledger):
    shown = ledger.chain(range(2))
    desk.judge(shown, 2)
    ledger.last = shown[0]
    other = {0: shown[0], 1: ledger.sign(1, rounds=EPOCH_ROUNDS - 1)}
    assert "two different checkpoints for epoch 1" in broken(desk.judge(other, 2))
    kept = desk.archive.checkpoints(ledger.key, desk.gathered().sets.ledger_keys(ledger.key))
    assert kept[1] == shown[1]


def test_a_relay_that_forgot_what_it_showed_is_found(desk, ledger):
    shown = ledger.chain(range(3))
    desk.judge(shown, 3)
    assert "no longer shows epoch 1" in broken(desk.judge({0: shown[0], 2: shown[2]}, 3))


def test_checkpoints_too_old_for_the_relay_are_told_from_the_archive(desk, ledger, monkeypatch):
    monkeypatch.setattr(verify, "KEPT_CHECKPOINTS", 2)
    shown = ledger.chain(range(4))
    desk.judge(shown, 4)
    found = desk.judge({2: shown[2], 3: shown[3]}, 4)
    assert found.holds and found.verified == [0, 1, 2, 3]


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: bytes([*data[:60], data[60] ^ 1, *data[61:]])])
def test_an_archive_that_was_damaged_is_said_to_be_not_the_relay(desk, ledger, spoil):
    desk.judge(ledger.chain(range(3)), 3)
    path = desk.archive.directory / ledger.key.hex() / "ledger"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InvalidInput, match="is damaged"):
        desk.judge(ledger.chain(range(3)), 3)


# -- releases


def release_file(path: Path, ledger: FakeLedger, **changes: object) -> Path:
    fields = {"federation_id": ledger.federation.id, "version": 0x010203, "kind": BUNDLE, "board": "RPI_PICO_W"}
    fields |= {"bytes": 1, "sha256": bytes(32), "firmware_digest": FIRMWARE, "base": bytes(8)} | changes
    body, message = encode(fields)
    path.write_bytes(body + curve.sign(ledger.federation.root, message, bytes(32)))
    return path


def test_firmware_that_a_release_approves_is_known_and_kept(tmp_path, ledger):
    release_file(tmp_path / "bundle.release", ledger)
    archive = AuditArchive(tmp_path / "archive")
    answers = ledger.answers(ledger.chain(range(2)), 2)
    for paths in ([tmp_path / "bundle.release"], [tmp_path], []):
        gathered = audit.gather(ledger.federation.known(), archive, [], paths)
        found = audit.judge(gathered, ledger.relay(), answers, answers.open_round)
        assert found.holds
        assert found.epochs[0].firmware == Firmware("version 1.2.3 for RPI_PICO_W, approved by the issuer", True)


def test_releases_of_others_are_not_taken(tmp_path, ledger):
    stranger = release_file(tmp_path / "a.release", FakeLedger())
    forged = release_file(tmp_path / "b.release", FakeLedger(), federation_id=ledger.federation.id)
    for path in (stranger, forged):
        with pytest.raises(IntegrityError, match="is not valid"):
            audit.gather(ledger.federation.known(), AuditArchive(tmp_path / "archive"), [], [path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no release"):
        audit.gather(ledger.federation.known(), AuditArchive(tmp_path / "archive"), [], [tmp_path / "empty"])


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ([], "no epoch"),
        ([4], "epoch 4"),
        ([4, 5], "epochs 4 to 5"),
        ([1, 2, 3, 7, 9, 10], "epochs 1 to 3, 7 and 9 to 10"),
    ],
)
def test_epochs_are_named_in_runs(epochs, said):
    assert verify.in_words(epochs) == said
