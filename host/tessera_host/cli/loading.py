"""Groups of commands whose modules are loaded when they are used: a command waits for its own imports alone, at every
press of a completion key, too.

Owns how a command is found by its name. Leaves to others: which there are (cli/__init__.py), what each does (its
module).
"""

from collections.abc import MutableMapping
from importlib import import_module
from typing import Any, ClassVar

import typer.main
from typer.core import TyperGroup


class Commands(dict[str, Any]):
    """Commands by their names. What has a place, `module:function` of this package, is there from the start, in the
    order of the places, and loaded when it is asked for: the function adds the commands of its module to an app."""

    def __init__(self, places: dict[str, str], loaded: MutableMapping[str, Any]) -> None:
        super().__init__(dict.fromkeys(places), **loaded)
        self._places = places

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if found is None:
            self.update(added_by(self._places[name]))
            found = super().__getitem__(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


def added_by(place: str) -> MutableMapping[str, Any]:
    """The commands of a place, loaded."""
    module, function = place.split(":")
    app = typer.Typer(rich_markup_mode=None)
    getattr(import_module(f".{module}", __package__), function)(app)
    return typer.main.get_group(app).commands


class Group(TyperGroup):
    """Of commands with places."""

    places: ClassVar[dict[str, str]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands(self.places, self.commands)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)
