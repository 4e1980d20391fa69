"""The command `tessera`: says in which module each command is and turns every error into one line.

Owns the exit codes of what is not a TesseraError: 2 for a command line that makes no sense, 70 for a bug, 130 when
interrupted. The others are in `errors`.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import Interrupted, TesseraError, UsageError
from ..protocol import card_finding, proxies
from ..text import one_line
from .help import Map, exit_codes
from .loading import Group
from .options import Json
from .output import ReaderGone, say_wrong, show, show_every_character
from .parameters import read_plainly

BUG = 70
INTERRUPTED = Interrupted.exit_code
DEBUG = "TESSERA_DEBUG"

# Where each command is: `module:function`, which adds it and those beside it.
COMMANDS = {
    "join": "join:register",
    "renew": "join:register",
    "member": "join:register",
    "token": "join:register",
    "contact": "contact:register",
    "send": "send:register",
    "sent": "send:register",
    "resend": "send:register",
    "inbox": "inbox:register",
    "fetch": "inbox:register",
    "budget": "talk:register",
    "status": "talk:register",
    "agent": "agent:register",
    "chat": "agent:register",
    "unlock": "keystore:register",
    "lock": "keystore:register",
    "backup": "keystore:register",
    "restore": "keystore:register",
    "plan": "plan:register",
    "audit": "audit:register",
    "serve": "serve:register",
    "cluster": "cluster:register",
    "flash": "boards:register",
}
ISSUER = {
    "init": "operator:register_issuer",
    "admit": "operator:register_issuer",
    "remove": "operator:register_issuer",
    "approve": "operator:register_issuer",
    "show": "operator:register_issuer",
    "service": "issuer:register",
    "invite": "issuer:register",
    "invite-all": "issuer:register",
    "invitations": "issuer:register",
    "revoke": "issuer:register",
    "serve": "issuer:register",
    "answer": "issuer:register",
    "cluster": "clustering:register_issuer",
    "renew": "renewing:register_issuer",
    "restored": "renewing:register_issuer",
    "backup": "safekeeping:register",
    "restore": "safekeeping:register",
}
RELAY = {
    "new": "operator:register_relay",
    "push": "renewing:register_relay",
    "time": "renewing:register_relay",
    "remove": "renewing:register_relay",
    "replace": "renewing:register_relay",
    "status": "relay_status:register",
    "request": "admission:register",
    "admit": "admission:register",
    "accept": "admission:register",
    "update": "update:register",
}


FLEET = {
    "engine": "fleet:register",
    "init": "fleet:register",
    "invite": "fleet:register",
    "join": "fleet:register",
    "status": "fleet:register",
    "drain": "fleet:register",
    "remove": "fleet:register",
    "repair": "fleet:register",
}


class _Tessera(Map):
    places = COMMANDS


class _Issuer(Group):
    places = ISSUER


class _Relay(Group):
    places = RELAY


class _Fleet(Group):
    places = FLEET


read_plainly()
app = typer.Typer(
    name="tessera",
    cls=_Tessera,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tessera {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Reach relays and the issuer's service through this proxy: http://HOST:PORT, "
            "socks5://HOST:PORT, or none. By default what TESSERA_PROXY, config.toml, or "
            "HTTPS_PROXY and ALL_PROXY say.",
        ),
    ] = None,
) -> None:
    """Messages within an organisation, through a relay that does not learn who talks to whom."""
    context.with_resource(proxies.using(proxy))


@app.command("help", hidden=True)
def help_(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="The command to explain; without it, all commands."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the commands, or what one command does: the same as its --help."""
    parent = context.parent
    assert parent is not None
    found: Any = parent
    for word in words or ():
        command = getattr(found.command, "commands", {}).get(word)
        if command is None:
            raise UsageError(f"there is no command '{' '.join(words or ())}'", "tessera help lists the commands")
        found = type(parent)(command, info_name=word, parent=found)
    text = found.get_help()
    show({"help": text}, text, as_json)


app.command("exit-codes")(exit_codes)
app.add_typer(
    typer.Typer(cls=_Issuer, no_args_is_help=True, help="Keys, roster and tokens of a federation."), name="issuer"
)
app.add_typer(typer.Typer(cls=_Relay, no_args_is_help=True, help="Relays of a federation."), name="relay")
app.add_typer(typer.Typer(cls=_Fleet, no_args_is_help=True, help="Several gateways that are one relay."), name="fleet")


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Prints what is wrong and what to do to standard error if it fails, never a
    traceback."""
    show_every_character()
    try:
        code = app(list(arguments), prog_name="tessera", standalone_mode=False)
    except TesseraError as error:
        return _failed(arguments, error.exit_code, error.message, error.hint)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        code = INTERRUPTED
    except ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return 0
    except OSError as error:
        return _system_refuses(arguments, error)
    except Exception as error:
        return _unexpected(arguments, error)
    if code == INTERRUPTED:
        if sys.stderr.isatty():
            typer.echo(err=True)  # the prompt, or ^C, stands on the line
        return _failed(
            arguments, INTERRUPTED, "interrupted", "type the same command again: it goes on where this one stopped"
        )
    return code if isinstance(code, int) else 0


def _system_refuses(arguments: Sequence[str], error: OSError) -> int:
    """What no command expected of this computer: a name too long for any file, a directory without rights, no room."""
    if error.strerror is None or os.environ.get(DEBUG):
        return _unexpected(arguments, error)
    named = card_finding.without_pieces(str(error.filename)) if error.filename else "this computer"
    return _failed(
        arguments, UsageError.exit_code, f"{named}: {error.strerror}", "check its name, your rights and the free space"
    )


def _unexpected(arguments: Sequence[str], error: Exception) -> int:
    """A command line that typer does not understand, or a bug."""
    explain = getattr(error, "format_message", None)  # typer's own exceptions; the class moves between its versions
    if callable(explain) and "\n" in explain():  # the help of a group of commands
        typer.echo(explain(), err=True)
        return 2
    if callable(explain):
        explained = card_finding.without_pieces(str(explain()))  # a card that was not in quotes, and has blanks in it
        explained = explained.replace(": Value error, ", ": ")  # some versions of typer say what class it was
        hint = "tessera COMMAND --help shows how to type it"
        if explained == "No such option: --proxy":
            hint = "it comes before the command: tessera --proxy URL COMMAND"
        return _failed(arguments, 2, explained, hint)
    if os.environ.get(DEBUG):
        raise error
    # Not the exception's text: it may hold what must not be shown.
    return _failed(arguments, BUG, f"this is a bug: {type(error).__name__}", f"report it with what {DEBUG}=1 shows")


def _failed(arguments: Sequence[str], code: int, message: str, hint: str) -> int:
    message, hint = (one_line(card_finding.without_cards(text)) for text in (message, hint))
    if "--json" in arguments:
        with contextlib.suppress(TesseraError, ReaderGone):  # it is said on standard error
            show({"error": message, "hint": hint, "exit_code": code}, "", True)
    say_wrong(message, hint)
    _forget_what_was_not_written()
    return code


def _forget_what_was_not_written() -> None:
    """Where standard output is full the interpreter would complain at its end, with a status of its own."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
