"""An agent's own options: `--key value` on the command line into its `Options` struct.

`--key value` and `--key=value` set a field; a list field takes the option repeatedly or a comma-separated
list; a bool field takes no value (`--no-key` clears it). Every agent has `--port`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from argosy.fault import Fault, InputError

_LISTS = (list, tuple, set, frozenset)


def parse_options(options_type: type[Any] | None, argv: Sequence[str]) -> tuple[Any, int | None]:
    """Return (options, port) from an agent's command line.

    options_type: the agent's Options struct, None when it has none.
    Raises InputError: an option is unknown, has no value, or its value does not fit.
    """
    types = get_type_hints(options_type, include_extras=True) if options_type else {}
    values: dict[str, Any] = {}
    rest = list(argv)
    while rest:
        key, value = _take_option(rest, types)
        if isinstance(value, list):
            values.setdefault(key, []).extend(value)
        else:
            values[key] = value
    port = values.pop("port", None) if "port" not in types else values.get("port")
    return _convert(options_type, values), _parse_port(port)


def _take_option(rest: list[str], types: dict[str, Any]) -> tuple[str, Any]:
    """Parse one option at the front of the command line."""
    word = rest.pop(0)
    if not word.startswith("--") or word == "--":
        raise _option_error(word, f"`{word}` is not an option", _list_options(types))
    name, has_value, value = word[2:].partition("=")
    key = name.replace("-", "_")
    if key.startswith("no_") and types.get(key[3:]) is bool:
        return key[3:], False
    if key not in types and key != "port":
        raise _option_error(
            word, f"there is no option `--{name}`", _suggest_option(key, types) + _list_options(types)
        )
    if types.get(key) is bool and not has_value:
        return key, True
    if not has_value:
        if not rest:
            raise _option_error(word, f"`--{name}` needs a value", "")
        value = rest.pop(0)
    return key, value.split(",") if get_origin(types.get(key)) in _LISTS else value


def _convert(options_type: type[Any] | None, values: dict[str, Any]) -> Any:
    if options_type is None:
        return None
    try:
        return msgspec.convert(values, options_type, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        name = text.rpartition("`$.")[2].rstrip("`") if "`$." in text else ""
        where = f"--{name.replace('_', '-')}" if name else "options"
        raise _option_error(
            where, text[:1].lower() + text[1:], _type_hint_text(options_type, name)
        ) from error


def _type_hint_text(options_type: type[Any], name: str) -> str:
    wanted = get_type_hints(options_type).get(name.partition("[")[0])
    if wanted is None:
        return ""
    inner = ", ".join(map(str, get_args(wanted)))
    return f"it takes {getattr(wanted, '__name__', wanted)}" + (f" of {inner}" if inner else "")


def _parse_port(value: str | None) -> int | None:
    if value is None:
        return None
    if not str(value).isdecimal() or not 0 < int(value) < 65536:
        raise _option_error("--port", f"`--port` is `{value}`, expected 1 to 65535", "")
    return int(value)


def _list_options(types: dict[str, Any]) -> str:
    names = [f"`--{name.replace('_', '-')}`" for name in sorted({*types, "port"})]
    return f"its options are {', '.join(names)}"


def _suggest_option(key: str, types: dict[str, Any]) -> str:
    """Return a hint with the nearest option, empty where none is near."""
    import difflib  # noqa: PLC0415 - only a wrong word needs it

    found = difflib.get_close_matches(key, [*types, "port"], 1)
    return f"did you mean `--{found[0].replace('_', '-')}`? " if found else ""


def _option_error(where: str, message: str, hint: str) -> InputError:
    return InputError(Fault(where, "bad-option", message, hint))
