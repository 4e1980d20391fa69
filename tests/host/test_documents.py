"""What stands in the documents holds: commands that exist, blocks that a test types, a README of one screen, links, and
sentences without the forms that readers stumble over. `python -m tools.docs --check` compares generated pages."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tessera_host import config
from tessera_host.client import Client
from tests.support import chapters
from tools.docs import ROOT, commands, exchange, measurements, words

README = "README.md"
CLI_PAGE = "docs/reference/cli.md"
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in (README, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)
LINES, WIDTH = 105, 120  # of the README: about a screen

# Who types the command blocks of the pages for users: a file of tests that reads the page, or, after "as", one that
# gives the same commands where the block needs what no test has (another computer, a board, root).
TYPED = {
    README: "tests/system/test_make_targets.py",
    "docs/first-conversation.md": "tests/system/test_readme.py",
    "docs/it/office.md": "tests/system/test_office_life.py",
    "docs/it/recovery.md": "tests/system/test_office_life.py",
    "docs/it/http.md": "tests/system/test_http_chapter.py",
    "docs/it/cluster.md": "tests/system/test_cluster.py",
    "docs/it/install.md": "as tests/system/test_flash.py",
    "docs/it/server.md": "tests/system/test_serve.py",
    "docs/privacy/officer.md": "tests/system/test_audit.py",
    "docs/fleet-operation.md": "tests/system/test_fleet_operation.py",
}


def tree() -> dict[tuple[str, ...], Any]:
    return dict(commands.walk(commands.tree()))


def named(page: str) -> Iterator[list[str]]:
    """The words after `tessera` of every command that a page shows, in blocks and within sentences."""
    text = chapters.text(page)
    lines = [line for block in chapters.scripts(text) for line in re.split(r"\n|&&|; do |;", block)]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    for line in lines:
        found = re.match(r"(?:until |sudo |\(?)?(?:ssh \S+ )?(?:tessera |(tools/flash\.py) )(.*)", line.strip())
        if found:
            said = re.sub(r"\s#.*|[|>&].*", "", found[2])
            try:
                yield [*(["flash"] if found[1] else []), *shlex.split(said)]
            except ValueError:
                yield [*(["flash"] if found[1] else []), *said.split()]


def wrong_with(said: list[str]) -> str:
    """What is wrong with a command line, as far as the tree tells: a command or an option that there is not."""
    known, command, path = tree(), commands.tree(), []
    for word in said:
        if word.startswith("-") and len(word) > 1 and word != "-":
            options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
            if word.partition("=")[0] not in options | {"--help", "-h"}:
                return f"'tessera {' '.join(path)}' has no option {word}"
        elif (*path, word) in known:
            path.append(word)
            command = known[tuple(path)]
        elif not path and not word.startswith(("socks5://", "http://")):
            return f"there is no command '{word}'"
    return ""


def below(page: str) -> set[tuple[str, ...]]:
    """The commands that a page names."""
    known, found = tree(), set()
    for said in named(page):
        path = tuple(word for word in said if re.fullmatch(r"[a-z-]+", word))
        found |= {path[:length] for length in (1, 2) if path[:length] in known}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_that_a_page_names_exist(page: str) -> None:
    assert [fault for said in named(page) if (fault := wrong_with(said))] == []


def test_a_command_or_an_option_that_does_not_exist_is_noticed() -> None:
    assert wrong_with(["relay", "push", "berlin", "--issuer", "issuer"]) == ""
    assert "no command" in wrong_with(["relais", "push"])
    assert "no option --isuer" in wrong_with(["relay", "push", "--isuer", "issuer"])


def test_every_command_is_on_a_page_beside_the_reference() -> None:
    found = set().union(*(below(page) for page in PAGES if page != CLI_PAGE))
    missing = {words for words in tree() if words not in found}
    assert sorted(" ".join(words) for words in missing) == []


def missing_files(text: str) -> list[str]:
    """Paths of the repository, and names of test files, that a page names in code and that are not there."""
    spans = re.findall(r"`([^`\s]+)`", text)
    paths = [
        span
        for span in spans
        if re.match(r"(tests|tools|host|firmware|docs|boards)/[\w./-]+$", span) and "NAME" not in span
    ]
    names = [span for span in spans if re.fullmatch(r"test_\w+\.py", span)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    return missing + [name for name in names if not any((ROOT / "tests").rglob(name))]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    assert missing_files(chapters.text(page)) == []


def test_a_file_that_does_not_exist_is_noticed() -> None:
    text = "`tests/host/test_flash.py`, `test_esp32.py`, `test_esp33.py` and `tools/emulate` for `firmware/tessera`"
    assert missing_files(text) == ["tools/emulate", "test_esp33.py"]


@pytest.mark.parametrize("page", [page for page in PAGES if chapters.scripts(chapters.text(page))])
def test_every_page_with_command_blocks_is_typed_by_a_test(page: str) -> None:
    typed_by = TYPED[page].removeprefix("as ")
    source = (ROOT / typed_by).read_text()
    assert page in source or TYPED[page].startswith("as ") or page == README


def test_the_readme_is_a_screen_and_begins_with_two_commands() -> None:
    lines = chapters.text(README).splitlines()
    assert len(lines) <= LINES and max(map(len, lines)) <= WIDTH
    first, invited, _ = chapters.scripts(chapters.text(README))
    assert [line.split()[:2] for line in first.splitlines()] == [["make", "demo"], ["make", "test"]]
    of_alice = chapters.script("docs/first-conversation.md", "Alice")
    printed = [line.replace(" --via .", "") for line in of_alice.splitlines() if line.startswith("tessera ")]
    assert invited.splitlines() == printed and len(printed) == 3


# What somebody who never saw the project asks first, and the words beside which the README answers it.
ASKED = {
    "how to try it": "make demo",
    "how long a message takes": "| time to arrive | half within",
    "what the relay's operator learns": "**The relay's operator learns** addresses and times",
    "how to replace a stolen relay": "**A relay was stolen:** `tessera relay replace",
    "where a batch is sealed": "**A batch is sealed** in `firmware/tessera/rounds.py`",
    "how to run one test on the emulated Pico": "-m tests.run_on_board -v build/RPI_PICO/firmware.uf2",
    "what was never run on hardware": "**Never run on hardware:** any board",
}


@pytest.mark.parametrize("question", ASKED)
def test_the_readme_answers_what_a_stranger_asks(question: str) -> None:
    assert ASKED[question] in chapters.text(README)


def first_column(page: str, heading: str) -> set[str]:
    """What stands in code in the first column of a chapter's tables, without calls' brackets."""
    rows = re.findall(r"^\| (`.*?) \|", chapters.chapters(page)[heading], re.MULTILINE)
    spans = (span for row in rows for span in re.findall(r"`([^`]+)`", row))
    return {re.sub(r"\(.*", "", span).removeprefix("Client.") for span in spans}


def test_settings_variables_and_calls_of_the_reference_are_those_that_there_are() -> None:
    page = "docs/reference/configuration.md"
    assert first_column(page, "config.toml") == set(config._SETTINGS)
    ours = {name for name in first_column(page, "Variables") if name.startswith("TESSERA_")}
    sources = "".join(path.read_text() for path in (ROOT / "host" / "tessera_host").rglob("*.py"))
    assert ours == set(re.findall(r"TESSERA_\w+", sources)) - {"TESSERA_MICROPYTHON_FROZEN"}  # the set-up's
    assert first_column("docs/reference/library.md", "The library") <= set(dir(Client))


# -- generated pages


BENCH = {
    "curve": {
        "DH": {"library_cycles": 250_000.0, "cycles": 125_000.0},
        "whole image": {"library": "10 bytes", "ours": "12 bytes"},
    },
    "figures": {
        "power to serving": {"cycles": 187_500, "value": "1.50 ms"},
        "FETCH": {"cycles": None, "value": "116 kB/s"},
    },
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `make bench-device` wrote; the page's figures are in a folder of the test's own."""
    shutil.copy(measurements.FOLDER / "device.json", tmp_path)
    monkeypatch.setattr(measurements, "FOLDER", tmp_path)
    monkeypatch.setattr(measurements, "_commit", lambda: "0123abc")
    (tmp_path / "build").mkdir()
    found = tmp_path / "build" / "bench-device.json"
    found.write_text(json.dumps(BENCH))
    return found


def test_figures_are_taken_from_a_benchmark_with_commit_and_machine(bench: Path) -> None:
    measurements.take(bench)
    page = measurements.page()
    assert "| DH | 250,000 | 125,000 | 1.00 ms | 0.62 ms |" in page  # 125,000 cycles at 125 and at 200 MHz
    assert "| whole image | 10 bytes | 12 bytes |  |  |" in page
    assert "| power to serving | 187,500 | 1.50 ms |" in page and "| FETCH |  | 116 kB/s |" in page
    assert re.search(r"`make bench-device` at 0123abc, 20\d\d-\d\d-\d\d; \d+ processors", page)
    assert "BIP-340 verification" not in page


def test_figures_of_a_tree_with_changes_are_refused(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = measurements.page()
    monkeypatch.setattr(measurements, "_commit", lambda: "0123abc-dirty")
    with pytest.raises(SystemExit, match="Commit"):
        measurements.take(bench)
    assert measurements.page() == before


def test_bytes_are_shown_whole_but_for_zeros_at_their_end() -> None:
    shown = exchange.shown("ab" * 33 + "00" * 5)
    assert shown == "ab" * 32 + "\nab\n… 5 zero bytes"


# -- sentences


SAMPLES = [
    "Each of them proves it for who forges the time.",
    "Who has no access gets it at once.",
    "If whoever stood between them reads on, it ends.",
    "It is another than the relay of before.",
    "Where there is none, it waits.",
    "The disk is engine's.",
    "It costs a token a member an epoch.",
    "Its key is in no parameters any more.",
    "An attacker would have other words.",
    "Nothing of it has to be known.",
    "A token bears witness of the time.",
]
GOOD = """\
## 2. Who learns what

Who has a token? A member who was away fetches one at once. `for who` is code. The key differs from another relay's key.
Each relay keeps a record for each member and epoch.
"""


@pytest.mark.parametrize("sentence", SAMPLES)
def test_a_form_that_readers_stumble_over_is_found(sentence: str) -> None:
    assert [line for line, _, _ in words.findings(f"First line.\n\n{sentence}\n")] == [3]


def test_plain_sentences_and_code_pass() -> None:
    assert words.findings(GOOD + "```\nfor who is there\n```\n") == []


PROGRAM = '''
"""A module for who reads it."""

def made(app):
    app.command("one")(one)

def one():
    """Show it to who asks."""
    raise UsageError(f"{name} is none of ours", "ask who maintains it ; or wait")

def other():
    """For who maintains it."""
    sql = "SELECT a"
    return f"a plain {sentence} with {count(2, 'relay')}, and no form"
'''


def test_what_programs_say_is_looked_at_and_what_programmers_read_is_not() -> None:
    found = sorted((line, what) for line, what, _ in words.findings_in_program(PROGRAM))
    assert found == [(8, "to who"), (9, ";"), (9, "is none"), (9, "who maintains")]


def test_programs_of_all_three_trees_are_looked_at() -> None:
    names = {str(path.relative_to(ROOT)) for path in words.programs()}
    assert {"host/tessera_host/cli/join.py", "firmware/device/explain.py", "tools/flash.py"} <= names
    assert not any(name.startswith("tests/") for name in names)


# -- the site


def test_links_lead_where_they_lead_in_the_repository() -> None:
    site = pytest.importorskip("tools.docs.site")
    markdown = "[a](../firmware/PROTOCOL.md#x) [b](it/plan.md) [c](../tests/RESULTS.md) [`host`](../host) `[d](e)`\n"
    assert site.for_the_site("design.md", markdown) == (
        "[a](protocol.md#x) [b](it/plan.md) [c](results.md) `host` `[d](e)`\n"
    )
    assert site.for_the_site("it/plan.md", "[a](../privacy/officer.md)") == "[a](../privacy/officer.md)"
    assert site.for_the_site("protocol.md", "[a](../docs/design.md)") == "[a](design.md)"
    assert site.for_the_site("protocol.md", "![a](../docs/round.svg)") == "![a](round.svg)"


def test_pages_of_the_navigation_and_those_that_lie_elsewhere_exist() -> None:
    site = pytest.importorskip("tools.docs.site")
    named = set(re.findall(r"^\s*- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {page for page in named if not (ROOT / site.origin(page)).is_file()} == set()
    assert Path(ROOT / "docs" / "index.md").is_file() and "index.md" in named
