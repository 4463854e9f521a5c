"""Reads of environment variables, in the forms that occur in code."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from argosy.refit.analysis.ast_queries import keyword_argument
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import ImportOrigin, NameScope, find_import_origin

_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# Names of readers that projects define, and packages that provide one.
_READER_NAME = re.compile(
    r"_?(?:get_?env(?:_?(?:var|str|value|or_default|variable|ironment))?|env(?:_?(?:str|var|get))?)", re.I
)
_STANDARD_READERS = frozenset(
    {"os.environ.get", "os.getenv", "os.environ.setdefault", "os.environ.pop", "os.environb.get"}
)


class EnvironmentRead(NamedTuple):
    """An expression that reads a variable. default: its fallback, None if it has none."""

    variable: str
    default: ast.expr | None
    node: ast.expr


def find_environment_read(call: ast.Call, scope: NameScope) -> EnvironmentRead | None:
    """Return the environment variable that a call reads, None if it reads none.

    Recognized are `os.environ.get`, `os.getenv` and helpers with such names (`get_env("REDIS_HOST", "…")`),
    with a literal name in capitals as argument.
    """
    first = call.args[0] if call.args else keyword_argument(call, "key", "name", "var")
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return None
    if not _VARIABLE_NAME.fullmatch(first.value) or not _is_reader(call.func, scope):
        return None
    default = call.args[1] if len(call.args) > 1 else keyword_argument(call, "default", "fallback")
    return EnvironmentRead(first.value, default, call)


def _is_reader(func: ast.expr, scope: NameScope) -> bool:
    if isinstance(func, ast.Attribute):
        if func.attr not in ("get", "getenv", "setdefault", "pop"):
            return bool(_READER_NAME.fullmatch(func.attr))
        origin = find_import_origin(func, scope)
        name = origin.name if origin is not None else dotted_name(func)
        if name.startswith("os.") and not _is_os_module(origin, scope):
            return False
        return name in _STANDARD_READERS or name.endswith("environ.get")
    if isinstance(func, ast.Name):
        origin = find_import_origin(func, scope)
        return (origin is not None and origin.name in _STANDARD_READERS) or bool(
            _READER_NAME.fullmatch(func.id)
        )
    return False


def _is_os_module(origin: ImportOrigin | None, scope: NameScope) -> bool:
    """Return whether `os.…` means the module: imported under that name only, or bound nowhere in the file."""
    return origin.is_only_binding if origin is not None else scope.owner_of("os") is None
