"""Whether an agent's command line fits the `Options` that its class declares; nothing is imported.

The struct is made anew from its source, and the words are parsed by what the agent itself parses them with.
It is judged only where the source leaves no doubt: a class on `argosy.agent.Agent`, and an `Options` of its
own module with plain fields. Of all else nothing is said.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, Optional

import msgspec

from argosy.agent.options import parse_options
from argosy.fault import Fault, InputError
from argosy.source import flow
from argosy.source.binder import find_scopes
from argosy.source.classes import BUILTINS, Class, Place, Tree
from argosy.source.index import Index
from argosy.source.parse import Parsed

_AGENTS: Final = (Place("argosy.agent", "Agent"), Place("argosy.agent.agent", "Agent"))
_STRUCT: Final = Place("msgspec", "Struct")
_ENUMS: Final = {"Enum": enum.Enum, "StrEnum": enum.StrEnum, "IntEnum": enum.IntEnum}
_SCALARS: Final[dict[str, type]] = {"bool": bool, "int": int, "float": float, "str": str}
_LISTS: Final[dict[str, Any]] = {"list": list, "set": set, "frozenset": frozenset}
# What a struct may say of itself that changes nothing of how it is filled.
_HARMLESS: Final = frozenset({"frozen", "kw_only", "eq", "order", "gc", "weakref", "dict", "omit_defaults"})


class Misfit(NamedTuple):
    """What the agent will say of its command line. at: the word that it is about, None for none."""

    fault: Fault
    at: int | None


class _UnclearError(Exception):
    """The source leaves a doubt."""


def find_misfit(tree: Tree, module: str, class_name: str, words: Sequence[str]) -> Misfit | None:
    """Return why the class would refuse these words; None where it takes them, and where nobody can tell."""
    cls = tree.find_class(module, class_name)
    try:
        fields = None if cls is None else _fields_of(tree, cls)
    except _UnclearError:
        return None
    if cls is None or (fields is not None and _touches_unknown(fields, words)):
        return None
    struct = None if fields is None else _made(fields)
    try:
        parse_options(struct, words)
    except InputError as error:
        return Misfit(error.faults[0], _index_of(error.faults[0].where, words))
    return None


class _Unknown:
    """The type of a field that is not plain."""


class _Field(NamedTuple):
    name: str
    type: Any
    has_default: bool


def _fields_of(tree: Tree, cls: Class) -> list[_Field] | None:
    """Return the fields of the agent's Options, None when it has none. Raises _UnclearError."""
    for each in _line_of(tree, cls):
        found = [node for node in each.node.body if _binds(node, "Options")]
        if len(found) > 1:
            raise _UnclearError
        if found:
            return _fields_in(tree, each, found[0])
    return None


def _line_of(tree: Tree, cls: Class) -> Iterator[Class]:
    """Yield a class and its bases down to Agent, where all are of the tree and do nothing unusual."""
    seen: list[Class] = []
    while True:
        _require(cls not in seen and len(cls.node.bases) == 1)
        _require(not cls.node.keywords and not cls.node.decorator_list)
        _require(not any(_binds(node, "__init_subclass__") for node in cls.node.body))
        _require(not any(isinstance(node, ast.If | ast.Try | ast.With | ast.For) for node in cls.node.body))
        _require_untouched(tree, cls)
        seen.append(cls)
        yield cls
        base = _resolved(tree, cls.module, cls.node.bases[0])
        if base in _AGENTS:
            return
        following = tree.find_class(base.module, base.name)
        if following is None:
            raise _UnclearError
        cls = following


def _require_untouched(tree: Tree, cls: Class) -> None:
    """Require that the module binds the class once, and that nothing in it sets an `Options` from outside."""
    parsed = tree.read(cls.module)
    if not isinstance(parsed, Parsed):
        raise _UnclearError
    _require_sole(parsed, cls.node)
    for node in ast.walk(parsed.tree):
        is_set = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        _require(not (is_set and isinstance(node, ast.Attribute) and node.attr == "Options"))
        _require(not (isinstance(node, ast.Name) and node.id in ("setattr", "exec", "globals")))


def _require_sole(parsed: Parsed, node: ast.ClassDef) -> None:
    """Require that this is what its name means in the module, whenever it is asked."""
    scope = find_scopes(parsed, Index())
    _require(node in parsed.tree.body and len(scope.bindings.get(node.name, ())) == 1)


def _fields_in(tree: Tree, cls: Class, statement: ast.stmt) -> list[_Field]:
    if isinstance(statement, ast.ClassDef):
        return _fields_of_struct(tree, cls.module, statement)
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Name):
        raise _UnclearError
    place = tree.resolve(cls.module, value.id)
    node = tree.definition(place) if place is not None and place.module == cls.module else None
    parsed = tree.read(cls.module)
    if not isinstance(node, ast.ClassDef) or not isinstance(parsed, Parsed):
        raise _UnclearError
    _require_sole(parsed, node)
    return _fields_of_struct(tree, cls.module, node)


def _fields_of_struct(tree: Tree, module: str, node: ast.ClassDef) -> list[_Field]:
    _require(len(node.bases) == 1 and _resolved(tree, module, node.bases[0]) == _STRUCT)
    _require(not node.decorator_list and all(each.arg in _HARMLESS for each in node.keywords))
    fields = []
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            type_ = _type_of(tree, module, statement.annotation)
            fields.append(_Field(statement.target.id, type_, _has_default(statement.value)))
        elif not isinstance(statement, ast.FunctionDef | ast.Pass | ast.Expr):
            raise _UnclearError
    _require(len({field.name for field in fields}) == len(fields))
    return fields


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and flow.dotted(value.func).rpartition(".")[2] == "field":
        names = {each.arg for each in value.keywords}
        _require(not value.args and names <= {"default", "default_factory"})
        return bool(names)
    return value is not None


def _type_of(tree: Tree, module: str, node: ast.expr) -> Any:
    """Return the plain type that an annotation means, `_Unknown` for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return _Unknown
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _optional(tree, module, [node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _type_of_subscript(tree, module, node)
    written = flow.dotted(node)
    place = tree.resolve(module, written) if written else None
    if place is None:
        return _Unknown
    return _SCALARS.get(place.name, _Unknown) if place.module == BUILTINS else _enum_of(tree, place)


def _optional(tree: Tree, module: str, sides: list[ast.expr]) -> Any:
    """Return the type of `T | None`."""
    inner = [each for each in sides if not (isinstance(each, ast.Constant) and each.value is None)]
    found = _type_of(tree, module, inner[0]) if len(inner) == 1 else _Unknown
    return _Unknown if found is _Unknown else Optional[found]  # noqa: UP045 - of a value, not in an annotation


def _type_of_subscript(tree: Tree, module: str, node: ast.Subscript) -> Any:
    written = flow.dotted(node.value)
    place = tree.resolve(module, written) if written else None
    if place is None:
        return _Unknown
    if place.module == BUILTINS and place.name in _LISTS:
        item = _type_of(tree, module, node.slice)
        return _Unknown if item is _Unknown else _LISTS[place.name][item]
    if place == Place("typing", "Optional"):
        return _optional(tree, module, [node.slice])
    if place == Place("typing", "Literal"):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        values = tuple(each.value if isinstance(each, ast.Constant) else None for each in parts)
        if all(type(value) in (str, int) for value in values):
            return Literal[values]
    return _Unknown


def _enum_of(tree: Tree, place: Place) -> Any:
    """Return a local enum with plain values, made anew."""
    node = tree.definition(place) if tree.is_local(place.module) else None
    if not isinstance(node, ast.ClassDef) or len(node.bases) != 1 or node.keywords or node.decorator_list:
        return _Unknown
    written = flow.dotted(node.bases[0])
    base = tree.resolve(place.module, written) if written else None
    kind = _ENUMS.get(base.name) if base is not None and base.module == "enum" else None
    members: dict[str, object] = {}
    for statement in node.body:
        if isinstance(statement, ast.Expr):
            continue  # its docstring
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        value = statement.value if isinstance(statement, ast.Assign) else None
        if not isinstance(target, ast.Name) or not isinstance(value, ast.Constant):
            return _Unknown
        members[target.id] = value.value
    try:
        return kind(node.name, members) if kind is not None and members else _Unknown
    except (TypeError, ValueError):
        return _Unknown


def _made(fields: Sequence[_Field]) -> type[Any]:
    """Return a struct that is filled as the one of these fields is."""
    parts: list[Any] = [
        (field.name, Any if field.type is _Unknown else field.type, None)
        if field.has_default
        else (field.name, Any if field.type is _Unknown else field.type)
        for field in fields
    ]
    return msgspec.defstruct("Options", parts, kw_only=True)


def _touches_unknown(fields: Sequence[_Field], words: Sequence[str]) -> bool:
    """Return whether a word may be about a field of which nobody knows how it takes one."""
    names = {field.name for field in fields if field.type is _Unknown}
    keys = [word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")]
    is_missing = any(field.type is _Unknown and not field.has_default for field in fields)
    return is_missing or any(key in names or key.removeprefix("no_") in names for key in keys)


def _index_of(where: str, words: Sequence[str]) -> int | None:
    name = where.partition("[")[0].partition("=")[0]
    return next(
        (
            at
            for at, word in enumerate(words)
            if word.partition("=")[0].replace("_", "-") == name.replace("_", "-")
        ),
        None,
    )


def _resolved(tree: Tree, module: str, node: ast.expr) -> Place:
    written = flow.dotted(node)
    place = tree.resolve(module, written) if written else None
    if place is None:
        raise _UnclearError
    return place


def _binds(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == name
    if isinstance(node, ast.Import | ast.ImportFrom):
        return any((alias.asname or alias.name) == name for alias in node.names)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(
        isinstance(inner, ast.Name) and inner.id == name
        for target in targets
        if target is not None
        for inner in ast.walk(target)
    )


def _require(is_clear: bool) -> None:
    if not is_clear:
        raise _UnclearError
