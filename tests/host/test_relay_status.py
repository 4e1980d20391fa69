"""What `tessera relay status` makes of a relay's figures."""

from dataclasses import replace

import pytest

from tessera_host.protocol.federation import Federation
from tessera_host.relay.status import RelayStatus, remarks
from tests.support.fake_federation import FakeFederation

WELL = RelayStatus(
    relay="berlin",
    board="RPI_PICO_W",
    version="0.1.0",
    firmware_digest=bytes(32),
    uptime_seconds=90_000,
    boots=3,
    serial=1,
    open_round=100,
    clock_provisional=False,
    commissioning=False,
    on_trial=False,
)


@pytest.fixture
def federation() -> Federation:
    return FakeFederation().known()


def test_a_relay_that_is_well_needs_no_remark(federation: Federation) -> None:
    well = replace(WELL, serial=federation.newest.serial)
    for own_round in (99, 100, 101):
        assert remarks(well, federation, own_round) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"open_round": None}, "no clock"),
        ({"open_round": 103}, "3 rounds off"),
        ({"clock_provisional": True}, "proves itself"),
        ({"commissioning": True}, "next one on"),
        ({"on_trial": True}, "on trial"),
        ({"serial": 0}, "push them"),
        ({"serial": 99}, "out of date"),
    ],
)
def test_what_is_not_well_is_one_remark_that_says_what_to_do(
    federation: Federation, change: dict[str, object], words: str
) -> None:
    (remark,) = remarks(replace(WELL, **{"serial": federation.newest.serial} | change), federation, 100)  # type: ignore[arg-type]
    assert words in remark
