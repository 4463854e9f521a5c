"""The helpers of a module, and what files ask of helpers."""

from __future__ import annotations

import ast

import msgspec

from argosy.refit.contract import Helpers, read_helpers
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.flow import dotted
from argosy.source.modules import is_standard


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """One call. called: where its name leads (`lib.paths.join_path`). word: the text that it is handed
    first, or the attribute that is read of what it gives."""

    called: str
    word: str
    line: int


class Demands(msgspec.Struct, frozen=True, array_like=True):
    """texts: handed to helpers. attributes: read of what they give, through a name that is bound once."""

    texts: tuple[Asked, ...]
    attributes: tuple[Asked, ...]


def collect_helpers(file: PythonFile) -> Helpers | None:
    found = read_helpers(file.tree)
    return found if found.functions else None


def collect_demands(file: PythonFile) -> Demands | None:
    texts: list[Asked] = []
    for node, scope in file.nodes(ast.Call):
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            origin = file.origin(node.func, scope)
            if origin is not None and origin.is_sole and not is_standard(origin.name.split(".")[0]):
                texts.append(Asked(origin.name, first.value, node.lineno))
    attributes = _attributes(file)
    return Demands(tuple(texts), tuple(attributes)) if texts or attributes else None


def _attributes(file: PythonFile) -> list[Asked]:
    made: dict[tuple[int, str], str] = {}
    for node, scope in file.nodes(ast.Assign):
        target = node.targets[0]
        if not isinstance(node.value, ast.Call) or not isinstance(target, ast.Name):
            continue
        origin = file.origin(node.value.func, scope) if dotted(node.value.func) else None
        is_told = origin is not None and origin.is_sole and len(scope.bindings.get(target.id, ())) == 1
        if origin is not None and is_told and not is_standard(origin.name.split(".")[0]):
            made[id(scope), target.id] = origin.name
    found: list[Asked] = []
    for item, scope in file.nodes(ast.Attribute) if made else ():
        if isinstance(item.value, ast.Name):
            owner = scope.owner_of(item.value.id)
            called = made.get((id(owner), item.value.id)) if owner is not None else None
            if called is not None:
                found.append(Asked(called, item.attr, item.lineno))
    return found


HELPERS = FactKind("helpers", Helpers, collect_helpers)
DEMANDS = FactKind("demands", Demands, collect_demands)
