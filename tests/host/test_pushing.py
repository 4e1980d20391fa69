"""IT at its relays: sets and the time are pushed by the operator, whatever the relay missed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tessera import curve
from tessera.params import Parameters
from tessera_host.cli import run
from tessera_host.errors import Unreachable
from tessera_host.protocol import blind
from tessera_host.relay import pushing
from tests.support import quick_keystores
from tests.support.clock import Clock
from tests.support.fake_member import FakeMember
from tests.support.memory_relay import MemoryRelay
from tests.support.organisation import PASSPHRASE, Organisation, keystore_content, new_issuer, planned

DAY = 86400
SECRET = blind.even_secret(4711)


class Office(Organisation):
    """An issuer and one relay, which runs in memory; an hour into epoch 5."""

    def __init__(self, folder: Path) -> None:
        clock = Clock()
        super().__init__(folder, new_issuer(folder, planned(), clock=clock), clock)
        key = curve.public(SECRET)
        self.issuer.add_relay_keys("berlin", "relay.example", 8100, key, key[1:])
        self.relay = MemoryRelay(self.issuer.parameters, SECRET, clock)
        clock.now = self.issuer.parameters.genesis + 5 * DAY + 3600
        assert self.held == 2  # it is switched on with the set of now

    def rotate(self) -> Parameters:
        """Somebody comes and goes."""
        made = FakeMember("cleo", self.issuer.parameters.federation_id)
        self.issuer.admit(made.card())
        self.issuer.remove("cleo")
        newest: Parameters = self.issuer.parameters
        return newest

    async def push(self) -> pushing.Outcome:
        operator = self.issuer.operator()
        (outcome,) = await pushing.push(operator, operator.relays)
        return outcome

    @property
    def held(self) -> int:
        return int(self.relay.core.parameters.newest.serial)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    quick_keystores.use(monkeypatch)
    made = Office(tmp_path)
    made.relay.serve(monkeypatch)
    yield made
    made.close()


async def test_the_newest_set_is_pushed_once_and_is_in_force_when_its_generation_begins(office: Office) -> None:
    newest = office.rotate()
    assert await office.push() == pushing.Outcome("berlin", before=2, now=3)
    assert await office.push() == pushing.Outcome("berlin", before=3, now=3)
    assert office.relay.pushed[0] == b"TPR2" and office.relay.pushed.count(b"TPR2") == 1
    core = office.relay.core
    assert core.parameters.newest.digest == newest.digest and core.parameters.rule(5).serial == 2
    office.clock.now += DAY
    core = office.relay.core
    assert core.parameters.rule(core.epoch).digest == newest.digest


async def test_a_relay_that_missed_any_number_of_rotations_is_reached_by_an_older_access_key(office: Office) -> None:
    for _ in range(4):
        newest = office.rotate()
    assert await office.push() == pushing.Outcome("berlin", before=2, now=newest.serial)
    assert office.relay.core.parameters.newest.digest == newest.digest


async def test_a_relay_whose_keys_nobody_knows_any_more_is_an_error_and_not_a_success(office: Office) -> None:
    office.rotate()
    office.clock.now += 401 * DAY
    for _ in range(2):
        office.rotate()
    outcome = await office.push()
    assert isinstance(outcome.refusal, Unreachable) and office.held == 2


async def test_a_relay_that_was_replaced_and_runs_still_is_not_called_out_of_date(office: Office) -> None:
    """It closes the connection, as the hello is for another key than its own."""
    office.issuer.replace_relay("berlin", office.folder / "another")
    refusal = (await office.push()).refusal
    assert isinstance(refusal, Unreachable) and "tessera renew" not in refusal.hint
    assert "if another relay runs at relay.example" in refusal.hint


async def test_the_time_is_told_by_the_operator(office: Office) -> None:
    operator = office.issuer.operator()
    assert await pushing.push_time(operator, operator.relays) == [pushing.Outcome("berlin", before=2, now=2)]
    assert office.relay.pushed == [b"TTM1"]


async def test_another_key_than_the_root_s_is_not_the_operator(office: Office) -> None:
    operator = office.issuer.operator()
    stranger = type(operator.signer)(blind.even_secret(99), operator.signer.master)
    forged = type(operator)(operator.parameters, operator.relays, operator.access_keys, stranger, operator.clock)
    (outcome,) = await pushing.push(forged, forged.relays)
    assert outcome.refusal is not None and "did not accept" in str(outcome.refusal)


async def test_an_issuer_whose_relay_has_a_newer_set_was_restored_and_goes_on_after_that(office: Office) -> None:
    keystore = office.folder / "issuer" / "issuer.keystore"
    backup = keystore_content(keystore)
    for _ in range(3):
        newest = office.rotate()
        await office.push()
        office.clock.now += 2 * DAY
    office.issuer.close()
    keystore.write_bytes(backup)
    office.issuer = office.open_issuer()  # which knows none of the access keys that the relay still takes
    assert isinstance((await office.push()).refusal, Unreachable)
    ((_, answer),) = await pushing.newest_sets(office.issuer.operator(restored=True), [])
    assert isinstance(answer, bytes) and Parameters(answer).digest == newest.digest
    office.issuer.restored([answer])
    assert office.issuer.parameters.previous == newest.digest
    assert await office.push() == pushing.Outcome("berlin", before=5, now=6)


def test_relay_push_and_time_as_they_are_typed(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (office.folder / "passphrase").write_text(PASSPHRASE)
    monkeypatch.setenv("TESSERA_PASSPHRASE_FILE", str(office.folder / "passphrase"))
    at = ["--issuer", str(office.folder / "issuer")]
    office.issuer.renew()
    office.issuer.close()
    assert run(["relay", "push", *at, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"relays": [{"relay": "berlin", "serial_before": 2, "serial": 3, "error": None}]}
    assert run(["relay", "time", "berlin", *at]) == 0
    assert capsys.readouterr().out == "berlin: was told the time\n"
    office.relay.away = Unreachable("the relay at relay.example port 8100 cannot be reached", "check the network")
    assert run(["relay", "push", *at]) == 6
    assert run(["relay", "push", "nowhere", *at]) == 2
    assert capsys.readouterr().out == ""
    office.issuer = office.open_issuer()
