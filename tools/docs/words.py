"""Forms of sentences that readers stumble over, looked for in the documents and in what programs say.

    python -m tools.docs.words [FILE...]    exit status 1 if there is one

Owns the forms. Each has what to write instead; docs/development/documents.md says how sentences are written. What a
program says is every text of three words or more in its source (of errors, hints, help, prompts, reports), and the
docstrings of commands, which are their help; other docstrings, and comments, are for programmers.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.docs import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/**/*.md",
    "tests/README.md",
    "firmware/PROTOCOL.md",
)

FORMS = {
    r"\b(?:for|of|to|from|by|with|than) who\b": "name the actor: 'for a member who …'",
    r"(?:^|[.:;] )Who (?:[a-z]+s|is|has|was|had|never)\b(?! what)(?![^.?]*\?)": "name the actor: 'A member who …'",
    r"\bwhoever (?:stood|forges)\b": "name the actor: 'an attacker who …'",
    r"\banother than\b": "'a different … from', 'other than'",
    r"\bthere is none\b|\bone is none\b|\bis none\b": "say what is missing",
    r"\b(?:is|are|was|were) (?:the )?[a-z]+'s(?=[.,;:)]|$)": "put the noun behind the possessive",
    r"\bano?ther'?s's\b": "put the noun behind the possessive",
    r"\ban? (?:member|relay|token|board|epoch) an? (?:epoch|round|relay|day|member)\b": "'for each member and epoch'",
    r"\bno \w+ any more\b": "'no longer'",
    r"\bwould have other\b": "say what differs: 'the words differ'",
    r"\bhas to be known\b": "'you need to know'",
    r"\bsee(?:n)? by all the others\b": "say who measures what",
    r"\b(?:bears?|bore) witness\b": "'proves'",
}
# Folders of programs; and what is left out: the forms themselves, and names of test vectors, which other files have.
PROGRAMS = ("host/tessera_host", "tools", "firmware")
NOT_PROGRAMS = {"tools/docs/words.py", "tools/spec/vectors.py"}
# Of programs only; documents show what programs print as it is.
FORMS_OF_PROGRAMS = {
    r" ;(?: |$)": "end the sentence, or put the hint on a line of its own",
    r"\w\(s\)": "count(number, noun) writes the plural",
    r"\bwho maintains\b": "name the actor: 'your maintainer'",
    r"\b(?:another|a different) \w+ than\b": "'a different … from', 'other than'",
}
_WORDS = re.compile(r"\w+\W+\w+\W+\w")
_VALUE = "X"  # in the place of what an f-string inserts

_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """The text with code blanked out, lines and columns as they were."""
    return _CODE.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), text)


def said_by_programs(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of all that a program may say, values as X."""
    tree = ast.parse(source)
    commands = {found for node in ast.walk(tree) if (found := _registered(node))}
    silent: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            if isinstance(node.body[0], ast.Expr) and getattr(node, "name", None) not in commands:
                silent.add(node.body[0].value)
        elif isinstance(node, ast.JoinedStr):
            silent |= set(node.values)
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(_VALUE if isinstance(each, ast.FormattedValue) else each.value for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            text = node.value
        if _WORDS.search(text):
            yield node.lineno, text


def _registered(node: ast.AST) -> str:
    """The function that `app.command("name")(function)` makes a command of, whose docstring is its help."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and node.args):
        return ""
    made, function = node.func.func, node.args[0]
    is_command = isinstance(made, ast.Attribute) and made.attr == "command" and isinstance(function, ast.Name)
    return function.id if is_command else ""


def findings_in_program(source: str) -> list[tuple[int, str, str]]:
    """As `findings`, of what a program says."""
    forms = FORMS | FORMS_OF_PROGRAMS
    return [
        (line, " ".join(match[0].split()), advice)
        for line, text in said_by_programs(source)
        for form, advice in forms.items()
        for match in re.finditer(form, text)
    ]


def findings(text: str) -> list[tuple[int, str, str]]:
    """(line, what stands there, what to write instead)."""
    plain = prose(text)
    found = [
        (plain.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), advice)
        for form, advice in FORMS.items()
        for match in re.finditer(form, plain, re.MULTILINE)
    ]
    return sorted(found)


def pages() -> list[Path]:
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(found)


def programs() -> list[Path]:
    found = {path for folder in PROGRAMS for path in (ROOT / folder).rglob("*.py")}
    return sorted(path for path in found if str(path.relative_to(ROOT)) not in NOT_PROGRAMS)


def found_in(path: Path) -> list[tuple[int, str, str]]:
    """In a document or a program, by its name's end."""
    return (findings_in_program if path.suffix == ".py" else findings)(path.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.docs.words", description="Forms that readers stumble over.")
    parser.add_argument("files", type=Path, nargs="*", help="all documents and programs, if none is named")
    wrong = 0
    for path in parser.parse_args().files or [*pages(), *programs()]:
        for line, what, advice in found_in(path):
            wrong += 1
            print(f"{path}:{line}: '{what}': {advice}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
