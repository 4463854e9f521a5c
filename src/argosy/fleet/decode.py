"""Decodes a YAML document into the structs of `fleet_spec`, with a fault for every invalid value.

Walks the types that `msgspec.inspect` reads from the structs, so the structs stay the only schema.
msgspec's own `convert` stops at the first fault and does not know line numbers.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import inspect

from argosy.fleet import fleet_spec
from argosy.fleet.locations import FaultList, format_path
from argosy.fleet.redaction import redact_text
from argosy.fleet.suggestions import closest_match, suggest
from argosy.fleet.yaml_nodes import MappingNode, ScalarNode, SequenceNode, read_document, resolve_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from argosy.fault import Fault
    from argosy.fleet.locations import TextPosition
    from argosy.fleet.yaml_nodes import Node

_PATTERN_DESCRIPTIONS = {
    fleet_spec.NAME_PATTERN: "a name (a letter first, then letters, digits, `_`, `-` and `.`)",
    fleet_spec.DURATION_PATTERN: "a duration such as 500ms, 10s or 5m",
    fleet_spec.SIZE_PATTERN: "a size such as 512MiB or 2GiB",
}
_DEFAULT_UNITS = {fleet_spec.DURATION_PATTERN: "s", fleet_spec.SIZE_PATTERN: "MiB"}
_MAX_QUOTED_LENGTH = 60
_Keys = TypeVar("_Keys", bound=msgspec.Struct)
_Built = TypeVar("_Built")


class _InvalidValue:
    """The type of `INVALID`, which replaces a value whose fault is recorded."""


INVALID: Final = _InvalidValue()


class FieldType(NamedTuple):
    """The type of a value, without its metadata.

    accepts_any_scalar: numbers and booleans are taken as text.
    attribute: the name of the struct's field; it may differ from the key in the file.
    description: how messages describe the type, from `phrase` in the `extra` of its `Meta`.
    """

    type: inspect.Type
    accepts_any_scalar: bool = False
    attribute: str = ""
    description: str = ""


class StructDecoder:
    """Decodes nodes by type.

    positions: the position of each key or list item, by path (`agents.NAME.port`).
    invalid_paths: the paths whose value was invalid and is left out.
    """

    def __init__(self, faults: FaultList) -> None:
        self.positions: dict[str, TextPosition] = {}
        self.invalid_paths: set[str] = set()
        self._faults = faults

    def decode_fields(self, node: MappingNode, cls: type, path: str = "") -> dict[str, Any]:
        """Return the valid fields of struct `cls` in `node`, by attribute."""
        known, required = _field_types(cls)
        values: dict[str, Any] = {}
        for name, (key, child) in node.entries.items():
            where = f"{path}.{name}" if path else name
            field_type = known.get(name)
            if field_type is None:
                self._report_unknown_key(name, key, known, path)
                continue
            self.positions[where] = key.position
            value = self.decode_value(child, field_type, where)
            if value is INVALID:
                self.invalid_paths.add(where)
            else:
                values[field_type.attribute] = value
        for name in required:
            if name not in node.entries:
                inside = f"`{path}`" if path else "the file"
                self._faults.add(node.position, "missing-key", f"{inside} has no `{name}`", f"add `{name}:`")
        return values

    def decode_value(self, node: Node, field_type: FieldType, path: str) -> Any:
        """Return the value of `node` decoded as `field_type`, or INVALID."""
        matching = _matching_type(node, field_type.type)
        if isinstance(matching, inspect.StructType) and isinstance(node, MappingNode):
            return self._decode_struct(node, matching, path)
        if isinstance(matching, inspect.DictType) and isinstance(node, MappingNode):
            return self._decode_dict(node, matching, path)
        if isinstance(matching, inspect.ListType) and isinstance(node, SequenceNode):
            return self._decode_list(node, matching, path)
        if isinstance(matching, inspect.CustomType | inspect.AnyType):
            return to_plain(node)
        if isinstance(node, ScalarNode) and matching is not None:
            value = _decode_scalar(
                node, matching, field_type.accepts_any_scalar or _field_type(matching).accepts_any_scalar
            )
            if value is not INVALID:
                return value
        return self._report_invalid(node, field_type, path)

    def _decode_struct(self, node: MappingNode, expected_type: inspect.StructType, path: str) -> Any:
        values = self.decode_fields(node, expected_type.cls, path)
        known, required = _field_types(expected_type.cls)
        is_complete = all(known[name].attribute in values for name in required)
        return expected_type.cls(**values) if is_complete else INVALID

    def _decode_dict(self, node: MappingNode, expected_type: inspect.DictType, path: str) -> Any:
        keys, values = _field_type(expected_type.key_type), _field_type(expected_type.value_type)
        result = {}
        for name, (key, child) in node.entries.items():
            where = f"{path}.{name}"
            self.positions[where] = key.position
            pattern = getattr(keys.type, "pattern", None)
            if pattern and not re.fullmatch(pattern, name):
                self._faults.add(
                    key.position,
                    "wrong-value",
                    f"`{name}` in `{path}` is not {_PATTERN_DESCRIPTIONS[pattern]}",
                )
            value = self.decode_value(child, values, where)
            if value is INVALID:
                self.invalid_paths.add(where)
            else:
                result[name] = value
        return result

    def _decode_list(self, node: SequenceNode, expected_type: inspect.ListType, path: str) -> Any:
        field_type = _field_type(expected_type.item_type)
        result = []
        for index, child in enumerate(node.items):
            where = f"{path}.{index}"
            self.positions[where] = child.position
            result.append(self.decode_value(child, field_type, where))
        return INVALID if any(item is INVALID for item in result) else result

    def _report_unknown_key(self, name: str, key: ScalarNode, known: dict[str, FieldType], path: str) -> None:
        inside = f"in `{path}`" if path else "at the top of the file"
        self._faults.add(
            key.position, "unknown-key", f"unknown key `{name}` {inside}", suggest(name, known, "known keys")
        )

    def _report_invalid(self, node: Node, field_type: FieldType, path: str) -> _InvalidValue:
        code = "wrong-value" if isinstance(node, ScalarNode) else "wrong-type"
        expected = field_type.description or describe_type(field_type.type)
        message = f"`{path}` is {describe_node(node)}, expected {expected}"
        self._faults.add(node.position, code, message, _suggest_fix(node, field_type.type, path))
        return INVALID


def to_plain(node: Node) -> Any:
    """Return a node as plain Python values (dicts, lists, text, numbers, booleans, None)."""
    if isinstance(node, ScalarNode):
        return resolve_scalar(node.text) if node.is_plain else node.text
    if isinstance(node, SequenceNode):
        return [to_plain(item) for item in node.items]
    return {name: to_plain(child) for name, (_, child) in node.entries.items()}


@cache
def _field_types(cls: type) -> tuple[dict[str, FieldType], tuple[str, ...]]:
    """Return the field types of a struct by key, and its required keys."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    return (
        {field.encode_name: _field_type(field.type)._replace(attribute=field.name) for field in info.fields},
        tuple(field.encode_name for field in info.fields if field.required),
    )


def _field_type(expected_type: inspect.Type) -> FieldType:
    any_scalar, description = False, ""
    while isinstance(expected_type, inspect.Metadata):
        extra = expected_type.extra or {}
        any_scalar = any_scalar or bool(extra.get("any_scalar"))
        description = description or extra.get("phrase", "")
        expected_type = expected_type.type
    return FieldType(expected_type, any_scalar, description=description)


def _alternatives(expected_type: inspect.Type) -> tuple[inspect.Type, ...]:
    expected_type = _field_type(expected_type).type
    return expected_type.types if isinstance(expected_type, inspect.UnionType) else (expected_type,)


def _matching_type(node: Node, expected_type: inspect.Type) -> inspect.Type | None:
    """Return the alternative of a type that matches the shape of `node`; at most one has each shape."""
    alternatives = [_field_type(one).type for one in _alternatives(expected_type)]
    if isinstance(node, MappingNode):
        shapes: tuple[type, ...] = (inspect.StructType, inspect.DictType)
    elif isinstance(node, SequenceNode):
        shapes = (inspect.ListType,)
    elif _is_null(node):
        shapes = (inspect.NoneType,)
    else:
        shapes = (inspect.StrType, inspect.LiteralType, inspect.IntType, inspect.FloatType, inspect.BoolType)
    shapes += (inspect.CustomType, inspect.AnyType)
    return next((one for one in alternatives if isinstance(one, shapes)), None)


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_plain and resolve_scalar(node.text) is None


def _decode_scalar(node: ScalarNode, expected_type: inspect.Type, any_scalar: bool) -> Any:
    value = resolve_scalar(node.text) if node.is_plain else node.text
    match expected_type:
        case inspect.NoneType():
            return None if value is None else INVALID
        case inspect.BoolType():
            return value if isinstance(value, bool) else INVALID
        case inspect.LiteralType(values=values):
            return value if value in values else INVALID
        case inspect.StrType(pattern=pattern):
            if value is None or not (any_scalar or isinstance(value, str)):
                return INVALID
            return node.text if pattern is None or re.fullmatch(pattern, node.text) else INVALID
        case inspect.IntType() | inspect.FloatType():
            return _decode_number(value, expected_type)
    return INVALID


def _decode_number(value: object, expected_type: inspect.IntType | inspect.FloatType) -> Any:
    kinds: tuple[type, ...] = (int,) if isinstance(expected_type, inspect.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return INVALID
    number: float = value  # type: ignore[assignment]
    fits = (
        (expected_type.ge is None or number >= expected_type.ge)
        and (expected_type.gt is None or number > expected_type.gt)
        and (expected_type.le is None or number <= expected_type.le)
        and number - number == 0  # neither infinite nor not a number
    )
    return value if fits else INVALID


def describe_node(node: Node) -> str:
    """Return how a message quotes a node."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if _is_null(node):
        return "empty"
    text = redact_text(node.text)
    text = text if len(text) <= _MAX_QUOTED_LENGTH else text[:_MAX_QUOTED_LENGTH] + "…"
    return f"`{text}`" if node.is_plain else f'`"{text}"`'


def describe_type(expected_type: inspect.Type) -> str:
    """Return a description of the values that a type accepts."""
    descriptions = [_describe_field_type(_field_type(one)) for one in _alternatives(expected_type)]
    return " or ".join(dict.fromkeys(description for description in descriptions if description))


def _describe_field_type(field_type: FieldType) -> str:
    match field_type.type:
        case inspect.StrType(pattern=pattern):
            return _PATTERN_DESCRIPTIONS[pattern] if pattern else "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f"`{value}`" for value in sorted(map(str, values)))
        case inspect.IntType(ge=1, le=65535):
            return "a port from 1 to 65535"
        case inspect.IntType(ge=least):
            return f"a whole number from {least}" if least is not None else "a whole number"
        case inspect.FloatType(gt=0):
            return "a number above 0"
        case inspect.FloatType(ge=least):
            return f"a number from {least}" if least is not None else "a number"
        case inspect.ListType():
            return "a list"
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
    return ""


def _suggest_fix(node: Node, expected_type: inspect.Type, path: str) -> str:
    """Return what to write instead; empty if unknown."""
    key = path.rsplit(".", 1)[-1]
    alternatives = [_field_type(one).type for one in _alternatives(expected_type)]
    if not isinstance(node, ScalarNode):
        return ""
    if _is_null(node):
        return "give it a value, or delete the line"
    for one in alternatives:
        if isinstance(one, inspect.LiteralType):
            near = closest_match(node.text, [str(value) for value in one.values])
            return f"did you mean `{near}`?" if near else ""
        if isinstance(one, inspect.BoolType) and node.text.lower() in ("yes", "on", "no", "off"):
            return f"`{key}: {'true' if node.text.lower() in ('yes', 'on') else 'false'}`"
        if isinstance(one, inspect.ListType):
            return f"`{key}: [{node.text}]`"
        is_number = isinstance(resolve_scalar(node.text), int | float) and not node.is_plain
        if isinstance(one, inspect.IntType | inspect.FloatType) and is_number:
            return "write the number without quotes"
        if isinstance(one, inspect.StrType):
            return _suggest_text_fix(node, one, key)
    return ""


def _suggest_text_fix(node: ScalarNode, expected_type: inspect.StrType, key: str) -> str:
    unit = _DEFAULT_UNITS.get(expected_type.pattern or "", "")
    if unit and expected_type.pattern and re.search(expected_type.pattern, node.text + unit):
        return f"add the unit, such as `{key}: {node.text}{unit}`"
    return (
        f'in quotes it is a text: `"{node.text}"`' if node.is_plain and expected_type.pattern is None else ""
    )


def read_keys(
    path: str | Path,
    text: str | None,
    keys_type: type[_Keys],
    description: tuple[str, str, str],
    build: Callable[[_Keys, Mapping[str, TextPosition], FaultList], _Built],
) -> tuple[_Built | None, list[Fault]]:
    """Return what `build` makes of a YAML file, None if there are faults, and all faults in file order.

    text: the content of the file, if known; `path` is then used only in faults. description: what the file
    is, the command that prints its schema, and a hint with an example. build: called with the decoded keys
    and their positions, if they have no fault.
    """
    file = Path(path)
    faults = FaultList(format_path(file), *description[:2])
    root = read_document(file, text, faults)
    built: _Built | None = None
    if isinstance(root, MappingNode):
        decoder = StructDecoder(faults)
        values = decoder.decode_fields(root, keys_type)
        if not len(faults):
            built = build(keys_type(**values), decoder.positions, faults)
    elif root is not None:
        message = f"the file is {describe_node(root)}, expected a mapping"
        faults.add(root.position, "wrong-type", message, description[2])
    found = faults.in_file_order()
    return (None if found else built), found
