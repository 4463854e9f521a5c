"""Fills the structs of `spec` from a document, and says of every value that does not fit where and why.

One walk over the types that `msgspec.inspect` reads from the structs, so that they stay the one
schema. msgspec's own `convert` would stop at the first fault and does not know lines.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import inspect

from argosy.fleet import spec
from argosy.fleet.document import Mapping, Scalar, Sequence
from argosy.fleet.scalars import resolve
from argosy.fleet.secret import without_secrets
from argosy.fleet.spelling import nearest, suggestion

if TYPE_CHECKING:
    from argosy.fleet.document import Node
    from argosy.fleet.places import FaultList, Place

_PHRASES = {
    spec.NAME_PATTERN: "a name (a letter first, then letters, digits, `_`, `-` and `.`)",
    spec.DURATION_PATTERN: "a duration such as 500ms, 10s or 5m",
    spec.SIZE_PATTERN: "a size such as 512MiB or 2GiB",
}
_UNITS = {spec.DURATION_PATTERN: "s", spec.SIZE_PATTERN: "MiB"}
_LONGEST_SHOWN = 60


class _Misfit:
    """What stands in for a value that did not fit; its fault is recorded."""


MISFIT: Final = _Misfit()


class Slot(NamedTuple):
    """The type of a value, without its metadata; `any_scalar` lets numbers be text.

    attribute: the name of a struct's field, which is not its key where the key is a word of Python's own.
    phrase: what messages call a text of the type's pattern, where its `Meta` says it in `extra`.
    """

    type: inspect.Type
    any_scalar: bool = False
    attribute: str = ""
    phrase: str = ""


class Decoder:
    """Decodes nodes by type.

    places: each path (`agents.NAME.port`) and the place of its key, or of a list's item.
    misfits: the paths whose value was faulty and is left out.
    """

    def __init__(self, faults: FaultList) -> None:
        self.places: dict[str, Place] = {}
        self.misfits: set[str] = set()
        self._faults = faults

    def fields(self, node: Mapping, cls: type, path: str = "") -> dict[str, Any]:
        """Return the fields of struct `cls`, by attribute, that `node` holds and that fit."""
        known, required = _fields_of(cls)
        values: dict[str, Any] = {}
        for name, (key, child) in node.entries.items():
            where = f"{path}.{name}" if path else name
            slot = known.get(name)
            if slot is None:
                self._unknown_key(name, key, known, path)
                continue
            self.places[where] = key.place
            value = self.value(child, slot, where)
            if value is MISFIT:
                self.misfits.add(where)
            else:
                values[slot.attribute] = value
        for name in required:
            if name not in node.entries:
                inside = f"`{path}`" if path else "the file"
                self._faults.add(node.place, "missing-key", f"{inside} has no `{name}`", f"add `{name}:`")
        return values

    def value(self, node: Node, slot: Slot, path: str) -> Any:
        """Return the value of `node` as the type of `slot` says, or MISFIT."""
        candidate = _candidate(node, slot.type)
        if isinstance(candidate, inspect.StructType) and isinstance(node, Mapping):
            return self._struct(node, candidate, path)
        if isinstance(candidate, inspect.DictType) and isinstance(node, Mapping):
            return self._dict(node, candidate, path)
        if isinstance(candidate, inspect.ListType) and isinstance(node, Sequence):
            return self._list(node, candidate, path)
        if isinstance(candidate, inspect.CustomType | inspect.AnyType):
            return plain(node)
        if isinstance(node, Scalar) and candidate is not None:
            value = _scalar(node, candidate, slot.any_scalar or _slot(candidate).any_scalar)
            if value is not MISFIT:
                return value
        return self._misfit(node, slot, path)

    def _struct(self, node: Mapping, wanted: inspect.StructType, path: str) -> Any:
        values = self.fields(node, wanted.cls, path)
        known, required = _fields_of(wanted.cls)
        is_whole = all(known[name].attribute in values for name in required)
        return wanted.cls(**values) if is_whole else MISFIT

    def _dict(self, node: Mapping, wanted: inspect.DictType, path: str) -> Any:
        keys, values = _slot(wanted.key_type), _slot(wanted.value_type)
        result = {}
        for name, (key, child) in node.entries.items():
            where = f"{path}.{name}"
            self.places[where] = key.place
            pattern = getattr(keys.type, "pattern", None)
            if pattern and not re.fullmatch(pattern, name):
                self._faults.add(key.place, "wrong-value", f"`{name}` in `{path}` is not {_PHRASES[pattern]}")
            value = self.value(child, values, where)
            if value is MISFIT:
                self.misfits.add(where)
            else:
                result[name] = value
        return result

    def _list(self, node: Sequence, wanted: inspect.ListType, path: str) -> Any:
        slot = _slot(wanted.item_type)
        result = []
        for index, child in enumerate(node.items):
            where = f"{path}.{index}"
            self.places[where] = child.place
            result.append(self.value(child, slot, where))
        return MISFIT if any(item is MISFIT for item in result) else result

    def _unknown_key(self, name: str, key: Scalar, known: dict[str, Slot], path: str) -> None:
        inside = f"in `{path}`" if path else "at the top of the file"
        self._faults.add(
            key.place, "unknown-key", f"unknown key `{name}` {inside}", suggestion(name, known, "known keys")
        )

    def _misfit(self, node: Node, slot: Slot, path: str) -> _Misfit:
        code = "wrong-value" if isinstance(node, Scalar) else "wrong-type"
        message = f"`{path}` is {shown(node)}, expected {slot.phrase or expected(slot.type)}"
        self._faults.add(node.place, code, message, _hint(node, slot.type, path))
        return MISFIT


def plain(node: Node) -> Any:
    """Return a node as plain Python values (dicts, lists, text, numbers, booleans, None)."""
    if isinstance(node, Scalar):
        return resolve(node.text) if node.is_plain else node.text
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {name: plain(child) for name, (_, child) in node.entries.items()}


@cache
def _fields_of(cls: type) -> tuple[dict[str, Slot], tuple[str, ...]]:
    """Return the slots of a struct by name, and the names that must be there."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    return (
        {field.encode_name: _slot(field.type)._replace(attribute=field.name) for field in info.fields},
        tuple(field.encode_name for field in info.fields if field.required),
    )


def _slot(wanted: inspect.Type) -> Slot:
    any_scalar, phrase = False, ""
    while isinstance(wanted, inspect.Metadata):
        extra = wanted.extra or {}
        any_scalar = any_scalar or bool(extra.get("any_scalar"))
        phrase = phrase or extra.get("phrase", "")
        wanted = wanted.type
    return Slot(wanted, any_scalar, phrase=phrase)


def _alternatives(wanted: inspect.Type) -> tuple[inspect.Type, ...]:
    wanted = _slot(wanted).type
    return wanted.types if isinstance(wanted, inspect.UnionType) else (wanted,)


def _candidate(node: Node, wanted: inspect.Type) -> inspect.Type | None:
    """Return the alternative of a type that the shape of `node` asks for; at most one has each shape."""
    alternatives = [_slot(one).type for one in _alternatives(wanted)]
    if isinstance(node, Mapping):
        shapes: tuple[type, ...] = (inspect.StructType, inspect.DictType)
    elif isinstance(node, Sequence):
        shapes = (inspect.ListType,)
    elif _is_null(node):
        shapes = (inspect.NoneType,)
    else:
        shapes = (inspect.StrType, inspect.LiteralType, inspect.IntType, inspect.FloatType, inspect.BoolType)
    shapes += (inspect.CustomType, inspect.AnyType)
    return next((one for one in alternatives if isinstance(one, shapes)), None)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_plain and resolve(node.text) is None


def _scalar(node: Scalar, wanted: inspect.Type, any_scalar: bool) -> Any:
    value = resolve(node.text) if node.is_plain else node.text
    match wanted:
        case inspect.NoneType():
            return None if value is None else MISFIT
        case inspect.BoolType():
            return value if isinstance(value, bool) else MISFIT
        case inspect.LiteralType(values=values):
            return value if value in values else MISFIT
        case inspect.StrType(pattern=pattern):
            if value is None or not (any_scalar or isinstance(value, str)):
                return MISFIT
            return node.text if pattern is None or re.fullmatch(pattern, node.text) else MISFIT
        case inspect.IntType() | inspect.FloatType():
            return _number(value, wanted)
    return MISFIT


def _number(value: object, wanted: inspect.IntType | inspect.FloatType) -> Any:
    kinds: tuple[type, ...] = (int,) if isinstance(wanted, inspect.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return MISFIT
    number: float = value  # type: ignore[assignment]
    fits = (
        (wanted.ge is None or number >= wanted.ge)
        and (wanted.gt is None or number > wanted.gt)
        and (wanted.le is None or number <= wanted.le)
        and number - number == 0  # neither infinite nor not a number
    )
    return value if fits else MISFIT


def shown(node: Node) -> str:
    """Return how a message quotes what was found."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if _is_null(node):
        return "empty"
    text = without_secrets(node.text)
    text = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return f"`{text}`" if node.is_plain else f'`"{text}"`'


def expected(wanted: inspect.Type) -> str:
    """Return in words what a type takes."""
    phrases = [_phrase(_slot(one)) for one in _alternatives(wanted)]
    return " or ".join(dict.fromkeys(phrase for phrase in phrases if phrase))


def _phrase(slot: Slot) -> str:
    match slot.type:
        case inspect.StrType(pattern=pattern):
            return _PHRASES[pattern] if pattern else "a text"
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


def _hint(node: Node, wanted: inspect.Type, path: str) -> str:
    """Return what to write instead, where that can be told."""
    key = path.rsplit(".", 1)[-1]
    alternatives = [_slot(one).type for one in _alternatives(wanted)]
    if not isinstance(node, Scalar):
        return ""
    if _is_null(node):
        return "give it a value, or delete the line"
    for one in alternatives:
        if isinstance(one, inspect.LiteralType):
            near = nearest(node.text, [str(value) for value in one.values])
            return f"did you mean `{near}`?" if near else ""
        if isinstance(one, inspect.BoolType) and node.text.lower() in ("yes", "on", "no", "off"):
            return f"`{key}: {'true' if node.text.lower() in ('yes', 'on') else 'false'}`"
        if isinstance(one, inspect.ListType):
            return f"`{key}: [{node.text}]`"
        if (
            isinstance(one, inspect.IntType | inspect.FloatType)
            and not node.is_plain
            and _is_number(node.text)
        ):
            return "write the number without quotes"
        if isinstance(one, inspect.StrType):
            return _text_hint(node, one, key)
    return ""


def _is_number(text: str) -> bool:
    return isinstance(resolve(text), int | float)


def _text_hint(node: Scalar, wanted: inspect.StrType, key: str) -> str:
    unit = _UNITS.get(wanted.pattern or "", "")
    if unit and wanted.pattern and re.search(wanted.pattern, node.text + unit):
        return f"add the unit, such as `{key}: {node.text}{unit}`"
    return f'in quotes it is a text: `"{node.text}"`' if node.is_plain and wanted.pattern is None else ""
