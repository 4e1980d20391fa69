"""What stands behind options and arguments, read without pydantic, which typer would load for it: that takes as long as
all the rest of a command's start.

Owns what is right and plain: texts, paths, whole numbers, values of an enumeration that are one already, and nothing at
all. Whatever is not, as a number that is none, is typer's to read or to refuse, in typer's words.
"""

import os
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import typer.core

_WHOLE = re.compile(r"-?[0-9]{1,18}")


class _NotPlain(Exception):
    """For typer."""


class _Parameter:
    """How typer reads one parameter: `coerce` is what it calls."""

    def __init__(self, descriptor: Any, build: Callable[[Any], Any]) -> None:
        self._descriptor, self._build = descriptor, build
        self._typers: Any = None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        try:
            return self._read(value, many)
        except _NotPlain:
            self._typers = self._typers or self._build(self._descriptor)
            return self._typers.coerce(value, param=param, ctx=ctx)

    def _read(self, value: Any, many: bool) -> Any:
        kind, told = self._descriptor.annotation, self._descriptor.parameter_info
        if told.parser is not None:
            raise _NotPlain
        if many and kind == list[str] and isinstance(value, list | tuple):
            return [_text(each) for each in value]
        if kind is str:
            return _text(value)
        if kind is int and not told.clamp:
            return _whole_number(value, told.min, told.max)
        if kind is Path and not (told.resolve_path or told.allow_dash):
            return _path(value, told)
        if isinstance(kind, type) and issubclass(kind, Enum) and isinstance(value, kind):
            return value
        raise _NotPlain


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _NotPlain
    return value


def _whole_number(value: Any, least: float | None, most: float | None) -> int:
    if type(value) is str and _WHOLE.fullmatch(value):
        value = int(value)
    if type(value) is not int or (least is not None and value < least) or (most is not None and value > most):
        raise _NotPlain
    return value


def _path(value: Any, told: Any) -> Path:
    """Of what is not there, if it need not be, or is as it has to be."""
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise _NotPlain
    path = Path(value)
    if not os.access(path, os.F_OK):
        right = not told.exists
    else:
        wanted = (os.R_OK if told.readable else 0) | (os.W_OK if told.writable else 0)
        kind_is_right = (told.file_okay or not path.is_file()) and (told.dir_okay or not path.is_dir())
        right = kind_is_right and os.access(path, wanted)
    if not right:
        raise _NotPlain
    return path


def read_plainly() -> None:
    """From now on, in this process. A typer that has no such function to build what reads a parameter stays as it
    is."""
    build = getattr(typer.core, "build_runtime_param", None)
    if build is not None and getattr(build, "__module__", "") != __name__:

        def plainly(descriptor: Any) -> _Parameter:
            return _Parameter(descriptor, build)

        vars(typer.core)["build_runtime_param"] = plainly
