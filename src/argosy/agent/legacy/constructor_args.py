"""The arguments of a BaseAgent constructor, in whatever order and spelling its caller chose."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class ConstructorArguments(msgspec.Struct, frozen=True):
    """The arguments of one BaseAgent constructor; None for those left out."""

    name: str
    port: int | None = None
    health_port: int | None = None
    config: Any = None
    strict_port: bool = True
    capabilities: Any = None


def parse_constructor_arguments(
    default_name: str, args: Sequence[Any], keywords: Mapping[str, Any], config: Any = None
) -> ConstructorArguments:
    """Sort a constructor's arguments by keyword, and positional ones by type.

    Text is the name, the first number the port, the second the health port, anything else the
    configuration. Unknown keywords are left to the subclass.
    config: what the subclass had set before the call; its `health_check_port` counts.
    """
    texts = [a for a in args if isinstance(a, str) and not a.isdecimal()]
    numbers = [n for a in args if not isinstance(a, bool) and (n := parse_port(a)) is not None]
    others = [a for a in args if a is not None and not isinstance(a, str | int)]
    config = keywords.get("config") or next(iter(others), None) or config
    health = parse_port(keywords.get("health_check_port")) or parse_port(keywords.get("health_port"))
    return ConstructorArguments(
        str(keywords.get("name") or next(iter(texts), "") or default_name),
        parse_port(keywords.get("port")) or next(iter(numbers), None),
        health or next(iter(numbers[1:]), None) or parse_port(_config_value(config, "health_check_port")),
        config,
        bool(keywords.get("strict_port", True)),
        keywords.get("capabilities"),
    )


def parse_port(value: Any) -> int | None:
    """Return a port given as a number or as text; None for everything else, 0 included."""
    try:
        return int(value) or None
    except (TypeError, ValueError):
        return None


def _config_value(config: Any, key: str) -> Any:
    return config.get(key) if isinstance(config, Mapping) else getattr(config, key, None)


def parse_command_line(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the `--key value` and `--key=value` of a command line; a key without a value is True.

    Values under keys that end in `port` become numbers. Words that are not options are left out.
    """
    remaining = list(sys.argv[1:] if argv is None else argv)
    options: dict[str, Any] = {}
    while remaining:
        word = remaining.pop(0)
        if not word.startswith("--") or word == "--":
            continue
        key, has_value, text = word[2:].partition("=")
        value: Any = text if has_value else True
        if not has_value and remaining and not remaining[0].startswith("--"):
            value = remaining.pop(0)
        key = key.replace("-", "_")
        options[key] = parse_port(value) if key.endswith("port") and value is not True else value
    return options
