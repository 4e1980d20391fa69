"""The audit of a relay's ledger: what holds, and that everything that does not is found and said."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tessera import curve
from tessera.errors import Refused
from tessera.release import BUNDLE, encode
from tessera_host.audit import audit, verify
from tessera_host.audit.archive import AuditArchive
from tessera_host.audit.verify import Firmware, LedgerAudit
from tessera_host.errors import IntegrityError, InvalidInput
from tessera_host.protocol import parameter_sets
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
    assert found.serials() == [(1, found.verified)]
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
    assert found.holds and "is that of epoch 1, not its first" in found.findings[0].text


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
        ({"federation": bytes(16)}, "another relay's"),
        ({"key": bytes(33)}, "another relay's"),
        ({"digest": bytes(32)}, "in no set that was given"),
        ({"firmware": bytes(32)}, "none that was approved or given"),
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
    assert "that of epoch 1" in broken(found)


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
    assert len(said) == 2 and "runs now" in said[0] and "epochs 0 to 1" in said[1]


def test_a_clock_that_is_off_is_a_remark(desk, ledger):
    answers = ledger.answers(ledger.chain(range(2)), 2)
    found = audit.judge(desk.gathered(), ledger.relay(), answers, answers.open_round + 5)
    assert found.holds and "5 rounds off" in found.findings[0].text


# -- parameters


def test_a_parameter_change_is_shown_with_what_changed(desk, ledger):
    shown = ledger.chain(range(2))
    changed = table_fields(Fraction("0.2"), Fraction("1e-6"))
    ledger.parameters = ledger.make_set(2, first_epoch=2, members=60, buckets=2, **changed)
    found = desk.judge(shown | ledger.chain(range(2, 4)), 4)
    assert found.holds and found.serials() == [(1, [0, 1]), (2, [2, 3])]
    (finding,) = found.findings
    assert "from epoch 2 on other parameters govern (serial 1 → 2)" in finding.text
    assert "ε (millionths) 100000 → 200000" in finding.text and "members 40 → 60" in finding.text


def test_old_parameters_come_from_files_and_then_from_the_archive(tmp_path, ledger):
    shown = ledger.chain(range(2))
    old = tmp_path / "old.tpr"
    old.write_bytes(ledger.parameters.blob)
    ledger.parameters = ledger.federation.parameters = ledger.make_set(2, first_epoch=2)  # the card's too
    shown |= ledger.chain(range(2, 3))
    without = Desk(tmp_path / "without", ledger).judge(shown, 3)
    assert without.verified == [2] and all("in no set that was given" in each.text for each in without.findings)
    assert Desk(tmp_path, ledger, [old]).judge(shown, 3).verified == [0, 1, 2]
    assert Desk(tmp_path, ledger).judge(shown, 3).verified == [0, 1, 2]


def test_parameters_that_went_back_or_do_not_govern_are_found(desk, ledger):
    older, newer = ledger.parameters, ledger.make_set(2, first_epoch=2)
    shown = ledger.chain([0]) | {1: ledger.sign(1, digest=newer.digest)} | {2: ledger.sign(2, digest=newer.digest)}
    shown |= {3: ledger.sign(3, digest=older.digest)}
    ledger.parameters = newer
    found = desk.judge(shown, 4)
    said = [each.text for each in found.findings if each.broken]
    assert any("do not govern epoch 1" in text for text in said)
    assert any("went back from serial 2 to 1" in text for text in said)
    assert found.verified == [0, 2]


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
    assert "another federation's" in broken(found)
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
        return Info(1, bytes(32), 1, self.answers.open_round, 0, "fake")

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
        with pytest.raises(IntegrityError, match="cannot be believed"):
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
