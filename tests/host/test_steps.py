"""Which steps `make test` has, and which it leaves out and names."""

import pytest

from tests import run


def test_without_a_checkout_of_micropython_the_pico_w_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICROPY_DIR", raising=False)
    chosen = [step.name for step in run.choose_steps([])]
    assert [step.name for step in run.STEPS if step.name not in chosen] == list(run.left_out()) == ["radio"]
    assert "make test-radio MICROPY_DIR=" in run.left_out()["radio"]
    assert [step.name for step in run.choose_steps(["radio"])] == ["radio"]


def test_with_a_checkout_every_step_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROPY_DIR", "../micropython")
    assert run.choose_steps([]) == list(run.STEPS) and run.left_out() == {}
