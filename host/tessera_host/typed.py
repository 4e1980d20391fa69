"""Dataclasses out of maps that come from a disk, checked field by field, and maps out of dataclasses.

Owns the check: whatever does not have exactly the fields, types and sizes that the dataclass says is refused, with the
place where it is. What the fields mean, and what has to hold between them, belongs to whoever declares them; a
dataclass whose `__post_init__` raises ValueError has its say here, too.

Understood are dataclasses and named tuples of: bool, int (0 to 2^63 - 1), str, bytes, `list[T]`, `dict[K, V]`,
`T | None`, and `Annotated[bytes, n]` for exactly n bytes. The functions for a type are made once: a keystore with years
of messages in it is read and written between two frames of a round.
"""

import functools
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Convert = Callable[[Any], Any]

_INT_END = 1 << 63


class Mismatch(ValueError):
    """What is wrong, and where: `contacts.book.Bob.key has 31 bytes instead of 32`."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.places: list[str] = []  # outermost first

    def under(self, place: object) -> "Mismatch":
        """The same, as seen from what it was found in."""
        self.places.insert(0, place.hex() if isinstance(place, bytes) else str(place))
        return self

    def __str__(self) -> str:
        return f"{'.'.join(self.places) or 'it'} {self.what}"


def load(kind: type[T], value: Any) -> T:
    """The dataclass that this map says. Raises Mismatch."""
    of: Any = kind
    loaded: T = _loader(of)(value)
    return loaded


def dump(value: Any) -> Any:
    """The map of a dataclass, as `load` reads it. It shares nothing with the dataclass that can change."""
    kind: Any = type(value)
    return _dumper(kind)(value)


# -- reading


@functools.cache
def _loader(kind: Any) -> Convert:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _load_sized(*arguments)
    if origin in (Union, UnionType):
        return _load_optional(_loader(_but_none(arguments)))
    if origin is list:
        return _load_list(_loader(arguments[0]))
    if origin is dict:
        return _load_dict(_loader(arguments[0]), _loader(arguments[1]))
    if is_dataclass(kind):
        return _load_dataclass(kind)
    if hasattr(kind, "_fields"):
        return _load_tuple(kind)
    return _load_int if kind is int else _load_leaf(kind)


def _load_leaf(kind: type[Any]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise _another_type(value, kind)
        return value

    return convert


def _load_int(value: Any) -> Any:
    if type(value) is not int:  # a bool is none
        raise _another_type(value, int)
    if not 0 <= value < _INT_END:
        raise Mismatch("is out of range")
    return value


def _load_sized(kind: type[Any], size: int) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not kind:
            raise _another_type(value, kind)
        if len(value) != size:
            raise Mismatch(f"has {len(value)} bytes instead of {size}")
        return value

    return convert


def _load_optional(inner: Convert) -> Convert:
    return lambda value: None if value is None else inner(value)


def _load_list(inner: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise _another_type(value, list)
        made: list[Any] = []
        try:
            made.extend(map(inner, value))
        except Mismatch as wrong:
            raise wrong.under(_first_wrong(inner, value)) from None
        return made

    return convert


def _first_wrong(inner: Convert, values: list[Any]) -> int:
    for at, value in enumerate(values):
        try:
            inner(value)
        except Mismatch:
            return at
    raise AssertionError


def _load_dict(of_key: Convert, of_value: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise _another_type(value, dict)
        made, key = {}, None
        try:
            for key, each in value.items():
                made[of_key(key)] = of_value(each)
        except Mismatch as wrong:
            raise wrong.under(key) from None
        return made

    return convert


def _load_dataclass(kind: Any) -> Convert:
    loaders = {name: _loader(hint) for name, hint in _hints(kind).items()}

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise _another_type(value, dict)
        if value.keys() != loaders.keys():
            odd = ", ".join(sorted(map(str, value.keys() ^ loaders.keys())))
            raise Mismatch(f"lacks fields, or has unknown ones: {odd}")
        return _made(kind, loaders, value)

    return convert


def _load_tuple(kind: Any) -> Convert:
    loaders = {name: _loader(hint) for name, hint in _hints(kind).items()}

    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise _another_type(value, list)
        if len(value) != len(loaders):
            raise Mismatch(f"has {len(value)} fields instead of {len(loaders)}")
        return _made(kind, loaders, dict(zip(loaders, value, strict=True)))

    return convert


def _made(kind: Any, loaders: dict[str, Convert], value: dict[str, Any]) -> Any:
    made, name = {}, ""
    try:
        for name, convert in loaders.items():
            made[name] = convert(value[name])
    except Mismatch as wrong:
        raise wrong.under(name) from None
    try:
        return kind(**made)
    except ValueError as error:
        raise Mismatch(f"is not valid: {error}") from None


def _another_type(value: Any, kind: type[Any]) -> Mismatch:
    return Mismatch(f"is of type {type(value).__name__} instead of {kind.__name__}")


# -- writing


@functools.cache
def _dumper(kind: Any) -> Convert:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = _dumper(_but_none(arguments))
        return _same if inner is _same else lambda value: None if value is None else inner(value)
    if origin is list:
        inner = _dumper(arguments[0])
        return list if inner is _same else lambda value: [inner(each) for each in value]
    if origin is dict:
        inner = _dumper(arguments[1])
        return dict if inner is _same else lambda value: {key: inner(each) for key, each in value.items()}
    if is_dataclass(kind):
        return _dump_dataclass(kind)
    return list if hasattr(kind, "_fields") else _same


def _same(value: Any) -> Any:
    return value


def _dump_dataclass(kind: Any) -> Convert:
    dumpers = {name: _dumper(hint) for name, hint in _hints(kind).items()}
    if all(each is _same for each in dumpers.values()):
        return lambda value: dict(vars(value))
    return lambda value: {name: convert(getattr(value, name)) for name, convert in dumpers.items()}


# -- both


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    names = [each.name for each in fields(kind)] if is_dataclass(kind) else kind._fields
    return {name: hints[name] for name in names}


def _but_none(arguments: tuple[Any, ...]) -> Any:
    (rest,) = (each for each in arguments if each is not NoneType)
    return rest
