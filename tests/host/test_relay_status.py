"""What `tessera relay status` makes of a relay's figures."""

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tessera_host.cli import run
from tessera_host.clock import unix_now
from tessera_host.errors import IntegrityError, RelayRefused, TesseraError, Unreachable
from tessera_host.protocol.federation import Federation, Relay
from tessera_host.protocol.relay_connection import HelloRefused
from tessera_host.relay import status
from tessera_host.relay.status import RelayStatus, Remark, remarks
from tests.patience import PATIENCE_SECONDS
from tests.support import quick_keystores
from tests.support.fake_federation import EPOCH_SECONDS, GENESIS, FakeFederation
from tests.support.organisation import Listed, new_issuer, planned

OPEN = 100
NOW = GENESIS + OPEN * 10 + 5  # rounds have 10 s
TRIAL = {"on_trial": True}

WELL = RelayStatus(
    relay="berlin",
    board="RPI_PICO_W",
    version="0.1.0",
    firmware_digest=bytes(32),
    uptime_seconds=90_000,
    boots=3,
    newest_serial=1,
    serial=1,
    open_round=OPEN,
    clock_provisional=False,
    commissioning=False,
    on_trial=False,
    schedule_ending=False,
    damaged=False,
)


@pytest.fixture
def federation() -> Federation:
    return FakeFederation(epochs=400, epoch_rounds=1000).known()  # 46 days: no end is in sight


def codes(found: list[Remark]) -> list[str | None]:
    return [remark.code for remark in found]


def test_a_relay_that_is_well_needs_no_remark(federation: Federation) -> None:
    for off in (-1, 0, 1):
        assert remarks(replace(WELL, open_round=OPEN + off), federation, NOW) == []


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"open_round": None}, "clock", "does not know the time"),
        ({"open_round": OPEN + 3}, "clock", "about 30 s ahead of this computer's"),
        ({"open_round": OPEN - 30}, "clock", "about 5 min behind this computer's"),
        ({"clock_provisional": True}, "clock", "nothing has confirmed"),
        ({"commissioning": True}, "commissioning", "the next on"),
        ({"on_trial": True}, "on-trial", "on trial"),
        ({"schedule_ending": True}, "schedule-ends", "tessera relay push"),
        ({"damaged": True}, "damaged", "tessera relay replace"),
        ({"newest_serial": 0, "serial": 0}, "parameters-behind", "tessera relay push"),
        ({"newest_serial": 99, "serial": 99}, "card-behind", "out of date"),
        ({"serial": 0}, None, "begin with a later epoch"),
    ],
)
def test_what_is_not_well_is_one_remark_that_says_what_to_do(
    federation: Federation, change: dict[str, object], code: str | None, words: str
) -> None:
    (remark,) = remarks(replace(WELL, **change), federation, NOW)  # type: ignore[arg-type]
    assert words in remark.text and remark.code == code


def test_an_ended_schedule_is_never_called_a_clock_error() -> None:
    """Nobody has a token that would bear its clock out: the clock may be the best of all."""
    short = FakeFederation().known()  # 12 epochs of a minute
    over = GENESIS + 12 * EPOCH_SECONDS + 600
    ended = replace(WELL, open_round=short.round_at(over), schedule_ending=True, clock_provisional=True)
    (remark,) = remarks(ended, short, over)
    assert remark.code == "schedule-ends" and "ended on" in remark.text and "clock" not in remark.text
    assert "tessera issuer renew" in remark.text
    assert codes(remarks(replace(ended, open_round=None), short, over)) == ["schedule-ends", "clock"]  # it has none


def test_a_set_that_is_out_of_date_may_be_over_where_the_card_s_is_not(federation: Federation) -> None:
    late = replace(WELL, newest_serial=0, serial=0, schedule_ending=True, clock_provisional=True)
    assert codes(remarks(late, federation, NOW)) == ["schedule-ends", "parameters-behind"]


# -- typed


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """`tessera relay status` in an office of three relays, which answer with these figures or fail with these errors.
    All are asked before one answers."""
    quick_keystores.use(monkeypatch)
    relays = [Listed(name) for name in ("berlin", "munich", "vienna")]
    new_issuer(tmp_path, planned(), *relays, epochs=400).close()

    def ask(answers: Mapping[str, RelayStatus | TesseraError], *words: str) -> tuple[int, dict[str, Any], str]:
        all_asked = asyncio.Barrier(len(answers))

        async def answered(federation: Federation, relay: Relay) -> RelayStatus:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await all_asked.wait()
            answer = answers[relay.name]
            if isinstance(answer, TesseraError):
                raise answer
            now = federation.round_at(unix_now())
            return replace(answer, relay=relay.name, open_round=now, newest_serial=federation.newest.serial, serial=4)

        monkeypatch.setattr(status, "ask", answered)
        output = io.StringIO(), io.StringIO()
        card = str(tmp_path / "issuer" / "federation.card")
        with redirect_stdout(output[0]), redirect_stderr(output[1]):
            code = run(["relay", "status", *words, "--federation", card, "--json"])
        return code, json.loads(output[0].getvalue()), output[1].getvalue()

    return ask


def test_all_relays_of_a_card_are_asked_at_once_and_a_silent_one_hides_no_other(
    three: Callable[..., tuple[int, dict[str, Any], str]],
) -> None:
    well = dict.fromkeys(("berlin", "munich", "vienna"), WELL)
    code, found, error = three(well)
    assert (code, error) == (0, "")
    assert [(each["relay"], each["remarks"]) for each in found["relays"]] == [(name, []) for name in well]
    gone = {"munich": Unreachable("the relay cannot be reached", "check the network"), "vienna": replace(WELL, **TRIAL)}
    code, found, error = three(well | gone)
    assert code == 9
    assert [(each["relay"], each["reached"], each["remarks"]) for each in found["relays"]] == [
        ("berlin", True, []),
        ("munich", False, ["unreachable"]),
        ("vienna", True, ["on-trial"]),
    ]
    assert error.count("\n") == 2 and "2 of 3 relays: munich, vienna" in error


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (HelloRefused("the relay closed the connection", "x"), "unreachable"),
        (RelayRefused("the relay is busy", "x"), "refused"),
        (IntegrityError("this is not the relay it should be", "tell IT"), "integrity"),
    ],
)
def test_whatever_a_relay_does_instead_of_answering_is_a_remark(
    three: Callable[..., tuple[int, dict[str, Any], str]], failure: TesseraError, code: str
) -> None:
    status_, found, _ = three({"munich": failure}, "munich")
    assert (status_, found["relays"][0]["remarks"]) == (9, [code])
    assert failure.message in found["relays"][0]["notes"][0]


def test_a_relay_that_the_card_does_not_name_is_no_relay(
    three: Callable[..., tuple[int, dict[str, Any], str]],
) -> None:
    assert three({"x": WELL}, "paris")[0] == 2
