"""The privacy ledger of a relay on MicroPython, audited by the command as an auditor types it."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from tessera_host.issuer.signer import Content, ListedRelay, ParameterSigner, rules_of
from tests.patience import PATIENCE_SECONDS
from tests.support import chapters
from tests.support.command_line import TESSERA, CommandLine, one_object
from tests.support.nursery import Nursery
from tests.support.office_on_disk import PASSPHRASE, OfficeOnDisk

EPOCH_ROUNDS = 3  # seconds
BROKEN, UNREACHABLE = 8, 6
REPORTS = ("annex", "html", "pdf")  # modules that draw: each command that reports would load them anew, for seconds
ENDING = 21  # all is well, but for a schedule of keys that has twenty minutes


class Auditor:
    """An office whose relay has epochs of three seconds, and somebody with its federation card."""

    def __init__(self, folder: Path) -> None:
        self.office = OfficeOnDisk(folder / "office", epochs=400, epoch_rounds=EPOCH_ROUNDS)
        drawing = (f"tessera_host.report.{name}" for name in REPORTS)
        self.nursery = Nursery(*drawing, "matplotlib.figure", "matplotlib.backends.backend_agg")
        self.command = CommandLine(folder, PASSPHRASE, nursery=self.nursery)
        self.folder = folder

    def audit(self, *options: object, code: int = ENDING, **environment: str) -> dict[str, Any]:
        card = self.folder / "office" / "issuer" / "federation.card"
        words = ("audit", "--federation", card, "--archive", "archive", "--json", *options)
        return one_object(self.command.run(TESSERA, *words, code=code, **environment))

    def wait_for_epochs(self, count: int) -> dict[str, Any]:
        """Audit until so many epochs were verified."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            found = self.audit()
            if len(found["relays"][0]["verified"]) >= count:
                return found
            time.sleep(1)
        raise AssertionError(found)


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory, micropython_frozen: Path) -> Iterator[Auditor]:
    """The relay ran for two epochs, was off for one or two, and runs again. Its ledger was not audited yet."""
    found = Auditor(tmp_path_factory.mktemp("audit"))
    with found.office:
        with found.office.relay.start() as relay:
            time.sleep(2.5 * EPOCH_ROUNDS)
            relay.stop()
        time.sleep(2.2 * EPOCH_ROUNDS)
        with found.office.relay.start():
            time.sleep(1.5 * EPOCH_ROUNDS)
            yield found
    found.nursery.end()


def test_a_ledger_is_verified_reported_and_archived(auditor: Auditor) -> None:
    found = auditor.audit("--html", "annex.html", "--pdf", "annex.pdf")
    (relay,) = found["relays"]
    assert found["holds"] and relay["holds"] and not any(each["broken"] for each in relay["findings"])
    parameters = auditor.office.issuer.parameters
    assert len(relay["verified"]) >= 2 and relay["missing"]
    assert relay["verified"] == [each["epoch"] for each in relay["checkpoints"]]
    for each in relay["checkpoints"]:
        assert each["parameter_digest"] == parameters.digest.hex() and each["serial"] == parameters.serial
        assert each["rounds_sealed"] <= EPOCH_ROUNDS
    assert any("nothing was verified for that time" in each["text"] for each in relay["findings"])
    page = (auditor.folder / "annex.html").read_text()
    assert "NOT VERIFIED" not in page and "the same source as the core" in page and parameters.digest.hex() in page
    assert len(pypdfium2.PdfDocument(auditor.folder / "annex.pdf")) > 5
    kept = auditor.folder / "archive" / relay["key"] / "ledger"
    assert len(kept.read_bytes()) == 250 * len(relay["verified"])
    assert kept.stat().st_mode & 0o077 == 0


def test_a_report_can_be_made_again_without_the_relay(auditor: Auditor) -> None:
    when = {"SOURCE_DATE_EPOCH": "1800000000"}
    auditor.wait_for_epochs(2)
    for name in ("one", "two"):
        said = auditor.audit("--offline", "--html", f"{name}.html", "--pdf", f"{name}.pdf", **when)
        assert "not asked" in said["relays"][0]["findings"][0]["text"]
    for kind in ("html", "pdf"):
        one, two = ((auditor.folder / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two and len(one) > 10_000
    assert "2027-01-15" in (auditor.folder / "one.html").read_text()


def test_what_a_person_reads(auditor: Auditor) -> None:
    card = auditor.folder / "office" / "issuer" / "federation.card"
    said = auditor.command.tessera("audit", "--federation", card, "--archive", "archive", code=ENDING)
    assert said.startswith("relay: its ledger holds. Verified: epoch")


def test_the_commands_of_the_officer_s_page_write_the_annex(auditor: Auditor) -> None:
    (block,) = chapters.scripts(chapters.text("docs/privacy/officer.md"))
    install, plan, audit = [line.partition("  #")[0].strip() for line in block.splitlines()]
    assert install == "pip install '.[report]'"
    reports = [auditor.folder / name for name in ("annex.html", "annex.pdf")]
    for line, code in ((plan, 0), (audit, ENDING)):
        program, *words = shlex.split(line.replace("issuer/", "office/issuer/"))
        assert program == "tessera"
        auditor.command.run(TESSERA, *words, code=code)
        for report in reports:
            assert report.stat().st_size > 1000
            report.unlink()


def test_two_sets_of_one_serial_are_a_finding_against_the_issuer(auditor: Auditor) -> None:
    auditor.wait_for_epochs(1)
    issuer = auditor.office.issuer
    present, data = issuer.parameters, issuer._store.data
    content = Content(
        serial=present.serial,
        previous=present.previous,
        generation=present.generation,
        first_epoch=present.first_epoch,
        epochs=present.epochs,
        access_key=present.access_key,
        reading_key=data["reading_key"],
        said=b"said to somebody else",
        relays=[ListedRelay(relay.id, relay.static_key, relay.ledger_key) for relay in present.relays],
    )
    signer = ParameterSigner(data["root_secret"], data["master"])
    twin = signer.signed(rules_of(present) | {"epsilon": 3_000_000}, content)
    (auditor.folder / "twin.tpr").write_bytes(twin)
    card = auditor.folder / "office" / "issuer" / "federation.card"
    words = ("audit", "--federation", card, "--archive", "archive", "--offline", "--parameters", "twin.tpr")
    said = auditor.command.run(TESSERA, *words, "--html", "twin.html", code=BROKEN)
    assert said.out.startswith("issuer: CONTRADICTS ITSELF.\n  broken: the issuer signed two different sets of serial")
    assert said.error.startswith("error: the issuer contradicts itself and the ledger of relay does not hold\nhint: ")
    assert "the issuer signed two different sets of serial" in (auditor.folder / "twin.html").read_text()
    found = json.loads(auditor.command.run(TESSERA, *words, "--json", code=BROKEN).out)
    assert not found["holds"] and not found["issuer"]["holds"] and found["relays"][0]["verified"] == []
    assert auditor.audit()["issuer"] == {"holds": True, "findings": []}


def test_a_ledger_that_was_cut_is_found_and_reported_all_the_same(auditor: Auditor) -> None:
    """On the relay's disk, as whoever holds it could: the relay serves what is left, the archive knows better."""
    before = auditor.wait_for_epochs(3)["relays"][0]["verified"]
    relay = auditor.office.relay
    relay.stop()
    ledger = relay.directory / "ledger"
    ledger.write_bytes(ledger.read_bytes()[250:])
    relay.start()
    card = auditor.folder / "office" / "issuer" / "federation.card"
    words = ("audit", "--federation", card, "--archive", "archive", "--html", "broken.html", "--json")
    said = auditor.command.run(TESSERA, *words, code=BROKEN)
    found = json.loads(said.out)["relays"][0]
    assert not found["holds"]
    assert any(f"no longer shows epoch {before[0]}" in each["text"] for each in found["findings"] if each["broken"])
    assert said.error.startswith("error: the ledger of relay does not hold\nhint: ") and said.error.count("\n") == 2
    assert "Does not hold" in (auditor.folder / "broken.html").read_text()


def test_a_relay_that_is_away_is_said_to_be(auditor: Auditor) -> None:
    auditor.office.relay.stop()
    card = auditor.folder / "office" / "issuer" / "federation.card"
    error = auditor.command.refused(UNREACHABLE, "audit", "--federation", card, "--archive", "archive")
    assert "cannot be reached" in error and "--offline" in error
