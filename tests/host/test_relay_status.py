"""What `tessera relay status` makes of a relay's figures."""

from dataclasses import replace

import pytest

from tessera_host.protocol.federation import Federation
from tessera_host.relay.status import RelayStatus, ending, remarks
from tests.support.fake_federation import EPOCH_SECONDS, GENESIS, FakeFederation

WELL = RelayStatus(
    relay="berlin",
    board="RPI_PICO_W",
    version="0.1.0",
    firmware_digest=bytes(32),
    uptime_seconds=90_000,
    boots=3,
    newest_serial=1,
    serial=1,
    open_round=100,
    clock_provisional=False,
    commissioning=False,
    on_trial=False,
    schedule_ending=False,
)


@pytest.fixture
def federation() -> Federation:
    return FakeFederation().known()


def test_a_relay_that_is_well_needs_no_remark(federation: Federation) -> None:
    for own_round in (99, 100, 101):
        assert remarks(WELL, federation, own_round) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"open_round": None}, "no clock"),
        ({"open_round": 103}, "3 rounds off"),
        ({"clock_provisional": True}, "not borne out"),
        ({"commissioning": True}, "next one on"),
        ({"on_trial": True}, "on trial"),
        ({"newest_serial": 0, "serial": 0}, "tessera relay push"),
        ({"newest_serial": 99, "serial": 99}, "out of date"),
        ({"serial": 0}, "begin with a later epoch"),
    ],
)
def test_what_is_not_well_is_one_remark_that_says_what_to_do(
    federation: Federation, change: dict[str, object], words: str
) -> None:
    (remark,) = remarks(replace(WELL, **change), federation, 100)  # type: ignore[arg-type]
    assert words in remark


def test_the_schedule_s_end_is_the_card_s_or_that_of_a_set_that_is_out_of_date(federation: Federation) -> None:
    """The card's set has 12 epochs of a minute: it has been ending from its first day on."""
    assert "ends on" in str(ending(WELL, federation, GENESIS))
    assert "ended on" in str(ending(WELL, federation, GENESIS + 12 * EPOCH_SECONDS))
    long = FakeFederation(epochs=400, epoch_rounds=1000).known()  # 46 days
    assert ending(WELL, long, GENESIS) is None
    found = ending(replace(WELL, schedule_ending=True), long, GENESIS)
    assert found is not None and found.exit_code == 21 and "tessera relay push" in found.hint
