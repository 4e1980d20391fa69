"""tests/RESULTS.md takes the tables of new runs and keeps everything else that stands on it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import results
from tests.results import PAGE, SUITES, Part, Refused, Row, keep_part, kept_part, merged, publish, read_runs

BY_HAND = """\
# Results

What the page is.

## Power cuts

Written above the run.

`make test-powercut` at 1111111: 20 s, beside other work. (tests/powercut)

Written above the table.

| | measured | must be |
|---|---|---|
| seal | 3 cuts (one twice) | 0 broken |

Written below the table.

## Hostile input

`make fuzz MINUTES=10` at 1111111: 30 s. (tests/fuzz)

| | measured | must be |
|---|---|---|
| hello | 5 executions | 0 findings |

## Measured elsewhere

| | measured | must be |
|---|---|---|
| a thing | 1 | 1 |
"""


def _run(commit: str = "2222222", seconds: int = 40, **changes: Any) -> dict[str, Any]:
    rows = [{"what": "post", "measured": "9 cuts", "bound": "0 broken", "good": True}]
    return {"command": "make it", "commit": commit, "seconds": seconds, "rows": rows} | changes


def test_no_run_changes_nothing() -> None:
    assert merged(BY_HAND, {}) == BY_HAND
    page = PAGE.read_text()
    assert merged(page, {}) == page


def test_a_run_replaces_its_line_and_table_only() -> None:
    page = merged(BY_HAND, {"powercut": _run()})
    expected = BY_HAND.replace(
        "`make test-powercut` at 1111111: 20 s, beside other work.", "`make it` at 2222222: 40 s."
    ).replace("| seal | 3 cuts (one twice) | 0 broken |", "| post | 9 cuts | 0 broken |")
    assert page == expected


def test_what_was_written_into_the_table_of_the_same_run_stays() -> None:
    assert merged(BY_HAND, {"powercut": _run("1111111", 20)}) == BY_HAND


def test_a_new_section_stands_in_the_order_of_the_suites_and_none_is_lost() -> None:
    page = merged(BY_HAND, {"powercut-board": _run(), "soak": _run()})
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == [
        *("## Power cuts", "## Power cuts of the emulated Pico", "## Hostile input"),
        *("## Thirty days", "## Measured elsewhere"),
    ]


def test_every_section_of_the_committed_page_survives_new_runs_of_all_suites() -> None:
    page = PAGE.read_text()
    after = merged(page, {suite: _run() for suite in SUITES})
    before = {line for line in page.splitlines() if line.startswith("## ")}
    assert before and before <= set(after.splitlines())
    assert merged(after, {suite: _run() for suite in SUITES}) == after


def test_a_failed_row_says_so() -> None:
    rows = [{"what": "post", "measured": "1 lost", "bound": "0", "good": False}]
    assert "| post | 1 lost **failed** | 0 |" in merged(BY_HAND, {"powercut": _run(rows=rows)})


@pytest.mark.parametrize(
    "page",
    [
        BY_HAND.replace("`make test-powercut` at 1111111: 20 s, beside other work. (tests/powercut)", "It ran."),
        BY_HAND.replace("| | measured | must be |\n|---|---|---|\n| seal | 3 cuts (one twice) | 0 broken |\n", ""),
        BY_HAND + "\n## Power cuts\n",
    ],
)
def test_a_section_that_no_run_wrote_is_not_overwritten(page: str) -> None:
    with pytest.raises(Refused):
        merged(page, {"powercut": _run()})


@pytest.mark.parametrize("commit", ["2222222-dirty", "unknown"])
def test_a_run_of_a_dirty_tree_is_refused(
    commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fuzz.json").write_text(json.dumps(_run(commit)))
    with pytest.raises(Refused, match="Commit, then run `make it` again"):
        read_runs(tmp_path)
    page = tmp_path / "RESULTS.md"
    page.write_text(BY_HAND)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(results, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["results.py"])
    assert results.main() == 1
    assert page.read_text() == BY_HAND
    assert "uncommitted changes" in capsys.readouterr().err


def test_a_whole_run_is_kept_and_a_share_of_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    rows = [Row("post", "9 cuts", "0 broken")]
    assert publish("powercut", "make test-powercut", rows, 1.6, whole=False)
    assert not list(tmp_path.iterdir())
    assert publish("powercut", "make test-powercut", rows, 1.6)
    kept = json.loads((tmp_path / "powercut.json").read_text())
    assert (kept["command"], kept["seconds"], len(kept["rows"])) == ("make test-powercut", 2, 1)
    assert "9 cuts" in capsys.readouterr().out


def test_a_suite_without_rows_or_with_a_bad_one_is_not_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert not publish("fuzz", "make fuzz", [], 1, whole=False)
    assert not publish("fuzz", "make fuzz", [Row("hello", "1 finding", "0", False)], 1, whole=False)


def test_a_part_of_a_long_run_is_kept_for_the_same_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = ["0a1b2c3"]
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(results, "_commit", lambda: commit[0])
    part = Part([Row("a setting", "0 wrong", "0 wrong")], 3.5)
    assert kept_part("cluster", "a setting, 2 copies") is None
    keep_part("cluster", "a setting, 2 copies", part)
    assert kept_part("cluster", "a setting, 2 copies") == part
    assert kept_part("cluster", "a setting, 3 copies") is None
    for commit[0] in ("4d5e6f7", "0a1b2c3-dirty"):
        assert kept_part("cluster", "a setting, 2 copies") is None
        keep_part("cluster", "another", part)
    assert kept_part("cluster", "another") is None, "of a tree with uncommitted changes"
    commit[0] = "0a1b2c3"
    keep_part("cluster", "failed", Part([Row("a setting", "1 wrong", "0 wrong", False)], 3.5))
    assert kept_part("cluster", "failed") is None, "it is played again"
