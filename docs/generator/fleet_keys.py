"""The keys of the fleet file and of a tracker's file, from the structs that load them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from markdown import code, table

from argosy.fleet.fleet_spec import FleetKeys
from argosy.fleet.json_schema import json_schema_of
from argosy.track.track_spec import TrackKeys

_DEFAULT = re.compile(r"(.+)[;,] default:? ([^;]+)")
FLEET = json_schema_of(FleetKeys, "fleet.yaml")
TRACK = json_schema_of(TrackKeys, "track.yaml")


def _keys(schema: dict[str, Any], name: str) -> Callable[[], str]:
    struct = schema["$defs"][name]

    def region() -> str:
        required = set(struct.get("required", ()))
        rows = [
            (code(key), _type(schema, value), *_default_and_meaning(value, key in required))
            for key, value in struct["properties"].items()
        ]
        return table(("key", "value", "default", "meaning"), rows)

    return region


def _type(schema: dict[str, Any], value: dict[str, Any]) -> str:
    if "$ref" in value:
        return _type(schema, schema["$defs"][value["$ref"].rpartition("/")[2]])
    if "anyOf" in value:
        return " or ".join(_type(schema, each) for each in value["anyOf"] if each.get("type") != "null")
    if "enum" in value:
        return ", ".join(code(each) for each in value["enum"] if each is not None)
    kind = value.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema, value.get('items', {}))}"
    if kind == "object" and "properties" in value:
        return "mapping"
    if kind == "object":
        content = value.get("additionalProperties")
        return f"mapping to {_type(schema, content)}" if isinstance(content, dict) and content else "mapping"
    if "pattern" in value:
        return _PATTERNS.get(value["pattern"], "text")
    return {"string": "text", "integer": "whole number", "boolean": "`true` or `false`"}.get(
        kind if isinstance(kind, str) else "string", str(kind)
    )


def _patterns() -> dict[str, str]:
    from argosy.fleet import fleet_spec  # noqa: PLC0415 - only its three patterns

    return {
        fleet_spec.NAME_PATTERN: "name",
        fleet_spec.DURATION_PATTERN: "duration",
        fleet_spec.SIZE_PATTERN: "size",
    }


_PATTERNS = _patterns()


def _default_and_meaning(value: dict[str, Any], is_required: bool) -> tuple[str, str]:
    """Return the default, which may be a part of the description, and the rest of the description."""
    found = _DEFAULT.fullmatch(value["description"])
    meaning, told = found.groups() if found else (value["description"], "")
    default = value.get("default")
    if is_required:
        return "required", meaning
    if isinstance(default, bool):
        return code(str(default).lower()), meaning
    if default is not None and not isinstance(default, dict | list) and default != "":
        return code(default), meaning
    return told, meaning


REGIONS = {
    **{f"fleet.{name}": _keys(FLEET, name) for name in FLEET["$defs"]},
    **{f"track.{name}": _keys(TRACK, name) for name in TRACK["$defs"]},
}
