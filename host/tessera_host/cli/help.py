"""`tessera --help` as a map: the commands in the order in which one meets them, by who needs them, with examples; and
the exit codes.

Owns the order and the headings. What a command does is said where it is defined.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import config, errors
from ..errors import TesseraError
from .loading import Group
from .options import Json
from .output import show

SECTIONS = {
    "Join, meet, talk": (
        "join",
        "renew",
        "contact",
        "send",
        "inbox",
        "sent",
        "resend",
        "chat",
        "agent",
        "budget",
        "status",
        "fetch",
    ),
    "Your keys": ("unlock", "lock", "backup", "restore", "token", "member"),
    "IT": ("plan", "issuer", "relay", "flash", "serve", "fleet", "cluster"),
    "Data protection": ("audit",),
    "More": ("exit-codes", "help"),
}

EXAMPLES = """\
Examples:
  tessera join invitation.txt        join your office; IT gave you the invitation
  tessera contact add bob            meet Bob; he runs the same with the card you give him
  tessera send bob "Lunch?"          write to him
  tessera inbox --wait               read what comes

Every command has --help and --json. Settings: config.toml in {config}
Your keys and messages: {home}, or TESSERA_HOME
Exit status 0 is success; the others: tessera exit-codes"""

_WHOLE = 200  # characters: a sentence is broken where the terminal ends, and never cut

# What is no TesseraError: see `cli`.
OTHER_CODES = {
    0: "Done.",
    1: "Something else is wrong: the error says what it is, and what to do.",
    70: "A bug in tessera: report it with what TESSERA_DEBUG=1 shows.",
    130: "Interrupted: type the same command again, and it goes on where this one stopped.",
}


class Map(Group):
    """The group `tessera` itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the map's order; a command that it does not name comes last."""
        order = [name for names in SECTIONS.values() for name in names]
        return [name for name in order if name in self.commands] + [name for name in self.commands if name not in order]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        known = {name for names in SECTIONS.values() for name in names}
        others = [name for name in self.commands if name not in known]
        for heading, names in (*SECTIONS.items(), ("Other", others)):
            shown = [self.commands[name] for name in names if name in self.commands and not self.commands[name].hidden]
            if shown:
                with formatter.section(heading):
                    formatter.write_dl([(command.name, command.get_short_help_str(_WHOLE)) for command in shown])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        formatter.write_paragraph()
        formatter.write(EXAMPLES.format(config=config.path().parent, home=_home()) + "\n")


def _home() -> Path:
    """Settings that nobody understands must not keep the help from being shown."""
    try:
        return config.home()
    except TesseraError:
        return config.default_home()


def exit_codes(as_json: Json = False) -> None:
    """What the exit status of a command says."""
    found = dict(sorted(codes()))
    text = "\n".join(f"{code:3}  {meaning}" for code, meaning in found.items())
    show({"exit_codes": found}, text, as_json)


def codes() -> Iterator[tuple[int, str]]:
    """Each code with the first sentence on the class that first has it."""
    yield from OTHER_CODES.items()
    seen = set(OTHER_CODES)
    for found in vars(errors).values():
        if inspect.isclass(found) and issubclass(found, TesseraError) and found.exit_code not in seen:
            seen.add(found.exit_code)
            yield found.exit_code, " ".join((found.__doc__ or "").split())
