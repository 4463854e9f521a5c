"""Generates the JSON Schema (2020-12) of a YAML file, such as the fleet file, from its structs."""

from __future__ import annotations

import sys
from typing import Any, get_type_hints

import msgspec
import msgspec.inspect

from argosy.fleet import fleet_spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def fleet_json_schema() -> dict[str, Any]:
    """Return the schema that editors use for completion and checks.

    It accepts the same single values as the loader; only the loader checks the relations between
    values (names, ports, cycles).
    """
    schema = json_schema_of(fleet_spec.FleetKeys, "fleet.yaml")
    schema["$defs"]["FleetKeys"]["properties"]["agents"]["minProperties"] = 1
    return schema


def json_schema_of(cls: type[msgspec.Struct], title: str) -> dict[str, Any]:
    """Return the schema of a file with struct `cls` at its top; all its structs are in one module."""
    (top,), components = msgspec.json.schema_components(
        [cls], schema_hook=_any_value_schema, ref_template="#/$defs/{name}"
    )
    schema: dict[str, Any] = {"$schema": DIALECT, "title": title, **top, "$defs": components}
    for name, component in components.items():
        for key, text in key_descriptions(getattr(sys.modules[cls.__module__], name)).items():
            component["properties"][key]["description"] = text
    _widen_scalars(schema)
    return schema


def key_descriptions(cls: type[msgspec.Struct]) -> dict[str, str]:
    """Return the keys of a struct, each with its description: a text in its annotation, else of its type."""
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    hints = get_type_hints(cls, include_extras=True)
    descriptions = {}
    for field in info.fields:
        notes = getattr(hints[field.name], "__metadata__", ())
        texts = [note if isinstance(note, str) else note.description for note in notes]
        if any(texts):
            descriptions[field.encode_name] = next(filter(None, reversed(texts)))
    return descriptions


def _any_value_schema(cls: type) -> dict[str, Any]:
    """Return the schema of `object`: any value."""
    if cls is not object:
        raise NotImplementedError(cls)
    return {"description": "any value"}


def _widen_scalars(node: Any) -> None:
    """Allow numbers and booleans for strings that take any scalar."""
    if isinstance(node, list):
        for item in node:
            _widen_scalars(item)
    elif isinstance(node, dict):
        if node.pop("x-any-scalar", False):
            node["type"] = ["string", "number", "boolean"]
        for child in node.values():
            _widen_scalars(child)
