"""Checks an agent's command line against the `Options` of its class, without importing anything.

The struct is rebuilt from its source, and the arguments are parsed by the agent's own parser. Only what the
source makes certain is checked: a class on `argosy.agent.Agent`, and an `Options` of its own module with
plain fields. Anything else is not judged.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, Optional

import msgspec

from argosy.agent.options import parse_options
from argosy.fault import Fault, InputError
from argosy.source import control_flow
from argosy.source.binder import NodeIndex, find_scopes
from argosy.source.python_parser import Parsed
from argosy.source.symbol_resolver import BUILTINS, ClassDefinition, SymbolRef, SymbolResolver

_AGENT_CLASSES: Final = (SymbolRef("argosy.agent", "Agent"), SymbolRef("argosy.agent.agent", "Agent"))
_STRUCT_CLASS: Final = SymbolRef("msgspec", "Struct")
_ENUM_BASES: Final = {"Enum": enum.Enum, "StrEnum": enum.StrEnum, "IntEnum": enum.IntEnum}
_SCALAR_TYPES: Final[dict[str, type]] = {"bool": bool, "int": int, "float": float, "str": str}
_COLLECTION_TYPES: Final[dict[str, Any]] = {"list": list, "set": set, "frozenset": frozenset}
# Keywords of a struct definition that do not change how it is parsed.
_IGNORED_STRUCT_KEYWORDS: Final = frozenset(
    {"frozen", "kw_only", "eq", "order", "gc", "weakref", "dict", "omit_defaults"}
)


class OptionMismatch(NamedTuple):
    """The error that the agent will report. argument_index: of the argument at fault, None for none."""

    fault: Fault
    argument_index: int | None


class _UndecidableError(Exception):
    """The source does not decide the question."""


def find_option_mismatch(
    resolver: SymbolResolver, module: str, class_name: str, args: Sequence[str]
) -> OptionMismatch | None:
    """Return why the class would reject these arguments; None if it accepts them or it is uncertain."""
    cls = resolver.find_class(module, class_name)
    try:
        fields = None if cls is None else _options_fields(resolver, cls)
    except _UndecidableError:
        return None
    if cls is None or (fields is not None and _may_use_unknown_field(fields, args)):
        return None
    struct = None if fields is None else _build_struct(fields)
    try:
        parse_options(struct, args)
    except InputError as error:
        return OptionMismatch(error.faults[0], _argument_index(error.faults[0].where, args))
    return None


class _UnknownType:
    """The type of a field that is not plain."""


class _OptionField(NamedTuple):
    name: str
    type: Any
    has_default: bool


def _options_fields(tree: SymbolResolver, cls: ClassDefinition) -> list[_OptionField] | None:
    """Return the fields of the agent's Options, None when it has none. Raises _UndecidableError."""
    for each in _iter_agent_bases(tree, cls):
        found = [node for node in each.node.body if _is_binding(node, "Options")]
        if len(found) > 1:
            raise _UndecidableError
        if found:
            return _fields_of_statement(tree, each, found[0])
    return None


def _iter_agent_bases(tree: SymbolResolver, cls: ClassDefinition) -> Iterator[ClassDefinition]:
    """Yield a class and its bases down to Agent; all must be in the tree and plain."""
    seen: list[ClassDefinition] = []
    while True:
        _require(cls not in seen and len(cls.node.bases) == 1)
        _require(not cls.node.keywords and not cls.node.decorator_list)
        _require(not any(_is_binding(node, "__init_subclass__") for node in cls.node.body))
        _require(not any(isinstance(node, ast.If | ast.Try | ast.With | ast.For) for node in cls.node.body))
        _require_unmodified(tree, cls)
        seen.append(cls)
        yield cls
        base = _resolve(tree, cls.module, cls.node.bases[0])
        if base in _AGENT_CLASSES:
            return
        following = tree.find_class(base.module, base.name)
        if following is None:
            raise _UndecidableError
        cls = following


def _require_unmodified(tree: SymbolResolver, cls: ClassDefinition) -> None:
    """Require that the module binds the class once, and that no code sets its `Options` from outside."""
    parsed = tree.read(cls.module)
    if not isinstance(parsed, Parsed):
        raise _UndecidableError
    _require_single_binding(parsed, cls.node)
    for node in ast.walk(parsed.tree):
        is_set = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        _require(not (is_set and isinstance(node, ast.Attribute) and node.attr == "Options"))
        _require(not (isinstance(node, ast.Name) and node.id in ("setattr", "exec", "globals")))


def _require_single_binding(parsed: Parsed, node: ast.ClassDef) -> None:
    """Require that the name is bound once in the module, to this class."""
    scope = find_scopes(parsed, NodeIndex())
    _require(node in parsed.tree.body and len(scope.bindings.get(node.name, ())) == 1)


def _fields_of_statement(
    tree: SymbolResolver, cls: ClassDefinition, statement: ast.stmt
) -> list[_OptionField]:
    if isinstance(statement, ast.ClassDef):
        return _fields_of_struct(tree, cls.module, statement)
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Name):
        raise _UndecidableError
    symbol = tree.resolve(cls.module, value.id)
    node = tree.find_definition(symbol) if symbol is not None and symbol.module == cls.module else None
    parsed = tree.read(cls.module)
    if not isinstance(node, ast.ClassDef) or not isinstance(parsed, Parsed):
        raise _UndecidableError
    _require_single_binding(parsed, node)
    return _fields_of_struct(tree, cls.module, node)


def _fields_of_struct(tree: SymbolResolver, module: str, node: ast.ClassDef) -> list[_OptionField]:
    _require(len(node.bases) == 1 and _resolve(tree, module, node.bases[0]) == _STRUCT_CLASS)
    _require(not node.decorator_list and all(each.arg in _IGNORED_STRUCT_KEYWORDS for each in node.keywords))
    fields = []
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            type_ = _type_of(tree, module, statement.annotation)
            fields.append(_OptionField(statement.target.id, type_, _has_default(statement.value)))
        elif not isinstance(statement, ast.FunctionDef | ast.Pass | ast.Expr):
            raise _UndecidableError
    _require(len({field.name for field in fields}) == len(fields))
    return fields


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and control_flow.dotted_name(value.func).rpartition(".")[2] == "field":
        names = {each.arg for each in value.keywords}
        _require(not value.args and names <= {"default", "default_factory"})
        return bool(names)
    return value is not None


def _type_of(tree: SymbolResolver, module: str, node: ast.expr) -> Any:
    """Return the plain type of an annotation, `_UnknownType` for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return _UnknownType
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _optional(tree, module, [node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _type_of_subscript(tree, module, node)
    dotted_name = control_flow.dotted_name(node)
    symbol = tree.resolve(module, dotted_name) if dotted_name else None
    if symbol is None:
        return _UnknownType
    return (
        _SCALAR_TYPES.get(symbol.name, _UnknownType) if symbol.module == BUILTINS else _enum_of(tree, symbol)
    )


def _optional(tree: SymbolResolver, module: str, sides: list[ast.expr]) -> Any:
    """Return the type of `T | None`."""
    inner = [each for each in sides if not (isinstance(each, ast.Constant) and each.value is None)]
    found = _type_of(tree, module, inner[0]) if len(inner) == 1 else _UnknownType
    # Optional: the type is a value here, not an annotation.
    return _UnknownType if found is _UnknownType else Optional[found]  # noqa: UP045


def _type_of_subscript(tree: SymbolResolver, module: str, node: ast.Subscript) -> Any:
    dotted_name = control_flow.dotted_name(node.value)
    symbol = tree.resolve(module, dotted_name) if dotted_name else None
    if symbol is None:
        return _UnknownType
    if symbol.module == BUILTINS and symbol.name in _COLLECTION_TYPES:
        item = _type_of(tree, module, node.slice)
        return _UnknownType if item is _UnknownType else _COLLECTION_TYPES[symbol.name][item]
    if symbol == SymbolRef("typing", "Optional"):
        return _optional(tree, module, [node.slice])
    if symbol == SymbolRef("typing", "Literal"):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        values = tuple(each.value if isinstance(each, ast.Constant) else None for each in parts)
        if all(type(value) in (str, int) for value in values):
            return Literal[values]
    return _UnknownType


def _enum_of(tree: SymbolResolver, symbol: SymbolRef) -> Any:
    """Return a copy of a local enum with plain values."""
    node = tree.find_definition(symbol) if tree.is_local(symbol.module) else None
    if not isinstance(node, ast.ClassDef) or len(node.bases) != 1 or node.keywords or node.decorator_list:
        return _UnknownType
    dotted_name = control_flow.dotted_name(node.bases[0])
    base = tree.resolve(symbol.module, dotted_name) if dotted_name else None
    kind = _ENUM_BASES.get(base.name) if base is not None and base.module == "enum" else None
    members: dict[str, object] = {}
    for statement in node.body:
        if isinstance(statement, ast.Expr):
            continue  # its docstring
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        value = statement.value if isinstance(statement, ast.Assign) else None
        if not isinstance(target, ast.Name) or not isinstance(value, ast.Constant):
            return _UnknownType
        members[target.id] = value.value
    try:
        return kind(node.name, members) if kind is not None and members else _UnknownType
    except (TypeError, ValueError):
        return _UnknownType


def _build_struct(fields: Sequence[_OptionField]) -> type[Any]:
    """Return a struct that parses like the one with these fields."""
    parts: list[Any] = [
        (field.name, Any if field.type is _UnknownType else field.type, None)
        if field.has_default
        else (field.name, Any if field.type is _UnknownType else field.type)
        for field in fields
    ]
    return msgspec.defstruct("Options", parts, kw_only=True)


def _may_use_unknown_field(fields: Sequence[_OptionField], args: Sequence[str]) -> bool:
    """Return whether an argument may belong to a field of unknown type."""
    names = {field.name for field in fields if field.type is _UnknownType}
    keys = [word[2:].partition("=")[0].replace("-", "_") for word in args if word.startswith("--")]
    is_missing = any(field.type is _UnknownType and not field.has_default for field in fields)
    return is_missing or any(key in names or key.removeprefix("no_") in names for key in keys)


def _argument_index(where: str, args: Sequence[str]) -> int | None:
    name = where.partition("[")[0].partition("=")[0]
    return next(
        (
            at
            for at, word in enumerate(args)
            if word.partition("=")[0].replace("_", "-") == name.replace("_", "-")
        ),
        None,
    )


def _resolve(tree: SymbolResolver, module: str, node: ast.expr) -> SymbolRef:
    dotted_name = control_flow.dotted_name(node)
    symbol = tree.resolve(module, dotted_name) if dotted_name else None
    if symbol is None:
        raise _UndecidableError
    return symbol


def _is_binding(node: ast.stmt, name: str) -> bool:
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
        raise _UndecidableError
