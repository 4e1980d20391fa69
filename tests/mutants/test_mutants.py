"""The lists of mutants hold to the tree, and what counts as killed is a failure of a test and nothing else."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import lists, mutant
from tests.mutants.__main__ import rows
from tests.mutants.mutant import AREAS, ROOT, Change, Mutant
from tests.mutants.trial import Ended, Outcome, Verdict, judged, read_report

MUTANTS = lists.everything()


def test_every_old_text_stands_once_in_its_file_and_every_named_test_exists() -> None:
    assert mutant.faults(MUTANTS) == []


def test_every_mutant_is_python() -> None:
    """One that is not cannot be imported, and kills nothing."""
    for each in MUTANTS:
        try:
            ast.parse(each.applied((ROOT / each.file).read_text()))
        except SyntaxError as error:
            pytest.fail(f"{each.name}: {error}")


def test_there_are_enough_of_every_area_and_few_are_let_live() -> None:
    assert len(MUTANTS) >= 150
    assert {each.area for each in MUTANTS} == set(AREAS)
    for area, folder in (("core", "firmware/tessera/"), ("device", "firmware/device/"), ("host", "host/tessera_host/")):
        assert all(each.file.startswith(folder) for each in MUTANTS if each.area == area)
    assert sum(bool(each.change.alive) for each in MUTANTS) <= len(MUTANTS) // 20


# -- what is wrong with a list


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("one = 1\ntwo = 2\ntwice = 1 + 1\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_code.py").write_text("def test_one():\n    pass\n\nasync def test_two():\n    pass\n")
    return tmp_path


GOOD = Mutant("core", "code.py", Change("good", "two = 2", "two = 3", ("test_code.py::test_one",)))


def changed(**what: object) -> Mutant:
    return replace(GOOD, change=replace(GOOD.change, **what))  # type: ignore[arg-type]


def test_a_sound_list_has_no_faults(tree: Path) -> None:
    assert mutant.faults([GOOD, changed(name="other", tests=("test_code.py", "test_code.py::test_two"))], tree) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([GOOD, GOOD], "several of this name"),
        ([changed(old="three = 3")], "stands 0 times in code.py"),
        ([changed(old="1")], "stands 3 times in code.py"),
        ([changed(new="two = 2")], "or nothing is changed"),
        ([changed(tests=())], "it names no test"),
        ([changed(tests=("test_other.py::test_one",))], "there is no tests/test_other.py"),
        ([changed(tests=("test_code.py::test_three",))], "there is no test_three in tests/test_code.py"),
        ([replace(GOOD, file="gone.py")], "gone.py"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tree: Path, wrong: list[Mutant], said: str) -> None:
    (fault,) = mutant.faults(wrong, tree)
    assert said in fault


# -- what kills a mutant


def report(tmp_path: Path, *cases: str) -> dict[str, str]:
    file = tmp_path / "report.xml"
    file.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return read_report(file)


def case(name: str, inside: str = "", module: str = "tests.core.test_x") -> str:
    return f'<testcase classname="{module}" name="{name}">{inside}</testcase>'


def test_a_report_is_read_by_test_with_the_worst_of_its_parameters(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        case("test_a[1]"),
        case("test_a[2]", "<failure/>"),
        case("test_a[3]"),
        case("test_b", "<skipped/>"),
        case("test_c", "<error/>"),
        case("test_d"),
    )
    names = {f"tests/core/test_x.py::test_{letter}": letter for letter in "abcd"}
    assert {names[test]: came for test, came in found.items()} == {
        "a": "failed",
        "b": "skipped",
        "c": "error",
        "d": "passed",
    }


def verdict(tmp_path: Path, status: int | None, *cases: str, error: bool = False) -> Verdict:
    return judged(Ended(status, report(tmp_path, *cases), "what pytest said"), error)[0]


def test_a_test_that_fails_kills_and_passing_lets_live(tmp_path: Path) -> None:
    assert verdict(tmp_path, 1, case("test_a"), case("test_b", "<failure/>")) is Verdict.KILLED
    assert verdict(tmp_path, 0, case("test_a")) is Verdict.ALIVE
    assert verdict(tmp_path, None) is Verdict.TIMEOUT


def test_an_error_a_skip_and_a_run_without_tests_kill_nothing(tmp_path: Path) -> None:
    imported = case("tests.core.test_x", "<error/>", module="")  # as pytest names a file that cannot be imported
    assert verdict(tmp_path, 2, imported) is Verdict.BROKEN
    assert verdict(tmp_path, 2, imported, error=True) is Verdict.BROKEN
    assert verdict(tmp_path, 1, case("test_a", "<error/>")) is Verdict.BROKEN
    assert verdict(tmp_path, 1, case("test_a", "<error/>"), error=True) is Verdict.KILLED
    assert verdict(tmp_path, 0, case("test_a", "<skipped/>")) is Verdict.BROKEN
    assert verdict(tmp_path, 5) is Verdict.BROKEN
    assert verdict(tmp_path, -11, case("test_a")) is Verdict.BROKEN


# -- what is told


def test_a_run_is_good_if_every_mutant_is_what_its_list_says() -> None:
    let_live = changed(name="let live", alive="nobody can tell")

    def good(*outcomes: Outcome) -> list[bool]:
        return [row.good for row in rows(list(outcomes))]

    assert good(Outcome(GOOD, Verdict.KILLED, "test")) == [True]
    assert good(Outcome(GOOD, Verdict.TIMEOUT, "60 s")) == [True, True]
    assert good(Outcome(let_live, Verdict.ALIVE, "1 passed")) == [True, True]
    assert good(Outcome(GOOD, Verdict.ALIVE, "1 passed")) == [False, False]
    assert good(Outcome(GOOD, Verdict.BROKEN, "syntax")) == [False, False]
    assert good(Outcome(let_live, Verdict.KILLED, "test")) == [False]  # it can be told after all
    assert "nobody can tell" in rows([Outcome(let_live, Verdict.ALIVE, "1 passed")])[1].bound
