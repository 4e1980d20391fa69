"""The pages about commands and exit codes, from the program itself; and what it says of a plan, within its page.

Owns how a command is shown. What a command says of itself is where it is defined (tessera_host/cli).
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import typer.main

from tessera_host.cli import app
from tessera_host.cli.help import SECTIONS, codes
from tools.docs import DOCS, GENERATED, ROOT

WIDTH = 100


def tree() -> Any:
    """The command `tessera` with all that is below it."""
    return typer.main.get_command(app)


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that is not hidden, with the words that lead to it, groups before what is in them."""
    for name in command.list_commands(typer.Context(command)):
        found = command.commands[name]
        if not found.hidden:
            yield (*words, name), found
            if hasattr(found, "commands"):
                yield from walk(found, (*words, name))


def help_of(words: tuple[str, ...], command: Any) -> str:
    """What `--help` prints, in lines of WIDTH characters at most."""
    context = typer.Context(
        command,
        info_name=" ".join(("tessera", *words)),
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def help_of_all(command: Any) -> str:
    """What `tessera --help` prints before the list of commands, which the page has as links."""
    return help_of((), command).partition(f"\n\n{next(iter(SECTIONS))}:")[0]


def anchor(words: tuple[str, ...]) -> str:
    return "-".join(("tessera", *words))


def page() -> str:
    found = dict(walk(tree()))
    lines = [GENERATED, "# Commands\n"]
    lines.append(
        "What each command says with `--help`. Every command has `--json`, too: one JSON object and nothing else.\n"
        "[Exit codes](../it/exit-codes.md) says what the exit status means.\n"
    )
    for section, names in SECTIONS.items():
        lines.append(f"**{section}**\n")
        for name in names:
            below = [words for words in found if words[0] == name]
            if below:
                links = ", ".join(f"[{' '.join(words)}](#{anchor(words)})" for words in below)
                lines.append(f"- {links}")
        lines.append("")
    lines.append(f"## tessera\n\n```text\n{help_of_all(tree())}\n```\n")
    for words, command in found.items():
        lines.append(f"{'##' if len(words) == 1 else '###'} tessera {' '.join(words)}\n")
        lines.append(f"```text\n{help_of(words, command)}\n```\n")
    return "\n".join(lines)


def exit_codes_page() -> str:
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in sorted(codes()))
    return f"""{GENERATED}
# Exit codes

What the exit status of `tessera` says; `tessera exit-codes` prints the same, with `--json` for programs. An error is
one line that says what is wrong and one, after `hint:`, that says what to do. 10 to 20 are those of `tessera flash`
(`tools/flash.py`): by them a script can tell a cable from a board from an image.

| code | meaning |
|---|---|
{rows}
"""


def plan_page() -> str:
    """The page about plans, with what `tessera plan --members 24` prints in its block of text."""
    command = (sys.executable, "-m", "tessera_host", "plan", "--members", "24")
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": f"{ROOT / 'host'}:{ROOT / 'firmware'}"}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    block = "".join(f"{line.rstrip()}\n" for line in said.splitlines())
    page, count = re.subn(
        r"```text\n.*?```", lambda _: f"```text\n{block}```", (DOCS / "it" / "plan.md").read_text(), flags=re.S
    )
    assert count == 1
    return page
