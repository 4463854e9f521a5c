"""The keys of the fleet file and of a tracker's file, from the structs that load them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markdown import code, table

from argosy.fleet.fleet_spec import FleetKeys
from argosy.fleet.json_schema import json_schema_of
from argosy.track.track_spec import TrackKeys

FLEET = json_schema_of(FleetKeys, "fleet.yaml")
TRACK = json_schema_of(TrackKeys, "track.yaml")


def _keys(schema: dict[str, Any], name: str) -> Callable[[], str]:
    struct = schema["$defs"][name]

    def region() -> str:
        required = set(struct.get("required", ()))
        rows = [
            (code(key), _type(schema, value), _default(value, key in required), value["description"])
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
        return f"mapping ({code(value['title'])})" if "title" in value else "mapping"
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


def _default(value: dict[str, Any], is_required: bool) -> str:
    if is_required:
        return "required"
    default = value.get("default")
    if default is True or default is False:
        return code(str(default).lower())
    return "" if default in (None, [], {}, "") else code(default)


REGIONS = {
    **{f"fleet.{name}": _keys(FLEET, name) for name in FLEET["$defs"]},
    **{f"track.{name}": _keys(TRACK, name) for name in TRACK["$defs"]},
}
