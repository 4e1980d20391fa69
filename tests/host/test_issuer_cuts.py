"""The issuer is killed at every statement of its database: what is on the disk then is the state before or the state
after, and nothing was said that is not in it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from tessera import curve
from tessera_host.issuer.issuer import Issuer
from tessera_host.issuer.store import TABLES
from tessera_host.keys.keystore_database import VALUES, KeystoreDatabase
from tests.support import quick_keystores
from tests.support.clock import Clock
from tests.support.fake_member import FakeMember, good_tokens
from tests.support.issuer_office import PLAN
from tests.support.killed import killed_at
from tests.support.organisation import PASSPHRASE, Organisation, new_issuer

DAY = 86400
POINT = curve.public(bytes(31) + b"\7")
State = dict[str, list[bytes]]
Said = dict[str, Any]


class Desk:
    """An issuer's directory that is put back for every cut, with a member who has had all tokens but the last day's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self.said = folder / "said"
        (folder / "kept").mkdir()
        office = Organisation(folder / "kept", new_issuer(folder / "kept", PLAN, clock=self.clock), self.clock)
        with office:
            office.issuer.add_relay_keys("first", "localhost", 8100, POINT, POINT[1:])
            self.ann, self.ben = office.admit_fake("ann"), office.admit_fake("ben")
            self.parameters = office.issuer.parameters
            card, pending = self.ann.challenge(office.issuer.offer(self.request()), self.parameters)
            assert good_tokens(office.issuer.answer(card), pending) == len(pending)
        self.clock.now += DAY

    def request(self) -> str:
        return self.ann.request(1, self.parameters.epoch_of(self.parameters.round_at(self.clock())), self.clock())

    @property
    def issuer(self) -> Path:
        return self.folder / "issuer"

    def open(self) -> Issuer:
        return Issuer.open(self.issuer, PASSPHRASE, self.clock)

    def put_back(self) -> None:
        for path in (self.issuer, self.said):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copytree(self.folder / "kept" / "issuer", self.issuer)

    def keep(self) -> None:
        """The present directory is the one that is put back from now on."""
        shutil.rmtree(self.folder / "kept" / "issuer")
        shutil.copytree(self.issuer, self.folder / "kept" / "issuer")

    def state(self) -> State:
        """All that is in the keystore, as another program finds it."""
        with KeystoreDatabase.open(self.issuer / "issuer.keystore", PASSPHRASE, "issuer") as store:
            return {name: sorted(map(cbor2.dumps, store.table(name).values())) for name in (VALUES, *TABLES)}

    def cuts(self, work: Callable[[Issuer], Any]) -> Iterator[tuple[State, Said | None]]:
        """The state after a cut at each statement, and what was said before it, if anything; the last is without."""

        def to_its_end() -> None:
            with self.open() as issuer:
                self.said.write_text(json.dumps(work(issuer)))

        statement, killed = 0, True
        while killed:
            self.put_back()
            killed = killed_at(statement, to_its_end)
            yield self.state(), json.loads(self.said.read_text()) if self.said.exists() else None
            statement += 1
        assert statement > 10


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch:
        quick_keystores.use(patch)
        yield Desk(tmp_path)


def test_an_offer_is_charged_before_it_is_said_and_made_once(desk: Desk) -> None:
    desk.put_back()
    before, request, seen = desk.state(), desk.request(), set()
    for state, offer in desk.cuts(lambda issuer: issuer.offer(request)):
        changed = {name for name in state if state[name] != before[name]}
        assert changed in (set(), {"charged", "seen", "open"})
        assert offer is None or changed
        seen.add(bool(changed))
        with desk.open() as issuer:  # and the member who asks again is no worse off
            again = issuer.offer(request)
            assert offer in (None, again)
            challenge, pending = desk.ann.challenge(again, desk.parameters)
            assert good_tokens(issuer.answer(challenge), pending) == 1
            assert issuer._store.issuance.charged(desk.ann.key, pending[0].epoch) == [1]
    assert seen == {False, True}


def test_an_answer_is_said_once_whenever_it_is_cut_short(desk: Desk) -> None:
    desk.put_back()
    with desk.open() as issuer:
        challenge, pending = desk.ann.challenge(issuer.offer(desk.request()), desk.parameters)
    desk.keep()
    before, seen = desk.state(), set()
    for state, answer in desk.cuts(lambda issuer: issuer.answer(challenge)):
        spent = not state["open"]
        assert len(state["answered"]) == len(before["answered"]) + spent
        assert spent or state == before
        assert answer is None or spent
        seen.add(spent)
        with desk.open() as issuer:
            again = issuer.answer(challenge)
        assert answer in (None, again) and good_tokens(again, pending) == 1
    assert seen == {False, True}


@pytest.mark.parametrize(
    ("work", "changed"),
    [
        (lambda issuer, desk: issuer.admit(FakeMember("cleo", desk.parameters.federation_id).card()),
         {"kept", "roster", "roster_names"}),
        (lambda issuer, desk: issuer.remove("ben"), {"kept", "roster", "roster_names", "answered"}),
        (lambda issuer, desk: issuer.renew(), {"kept"}),
        (lambda issuer, desk: issuer.restored().closed_sessions, {"kept", "charged", "seen", "answered"}),
    ],
)  # fmt: skip
def test_what_it_does_is_done_or_not(desk: Desk, work: Callable[[Issuer, Desk], Any], changed: set[str]) -> None:
    """And what was done is published, at the latest when somebody opens it again."""
    desk.put_back()
    before, seen = desk.state(), set()
    for state, said in desk.cuts(lambda issuer: [work(issuer, desk)]):
        found = {name for name in state if state[name] != before[name]}
        assert found in (set(), changed)
        assert said is None or found
        seen.add(bool(found))
        with desk.open() as issuer:
            assert (desk.issuer / "parameters.tpr").read_bytes() == issuer.parameters.blob
            lines = (desk.issuer / "digests.txt").read_text().splitlines()
            assert len(lines) == len(list((desk.issuer / "sets").iterdir())) == issuer.parameters.serial
    assert seen == {False, True}
