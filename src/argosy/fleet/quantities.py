"""Parses and formats durations, sizes, counts and lists of names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from argosy.fault import Fault, InputError

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]+)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


def parse_duration_s(text: str) -> float:
    """Return the seconds of a duration such as `500ms`, `10s`, `5m`, `1.5h` or `2d`.

    Raises InputError: another form.
    """
    number, unit = _split(text)
    if number is None or unit not in _SECONDS:
        raise InputError(Fault("", "duration", f"`{text}` is not a duration such as 500ms, 10s or 5m"))
    return number * _SECONDS[unit]


def format_duration(seconds: float) -> str:
    """Return finite `seconds` as a duration that `parse_duration_s` reads back exactly."""
    number = f"{Decimal(repr(seconds)):f}"
    return f"{number.removesuffix('.0')}s"


def parse_size_bytes(text: str) -> int:
    """Return the bytes of a size such as `512MiB` (2**20) or `2GB` (10**9).

    Raises InputError: another form.
    """
    number, unit = _split(text)
    if number is None or unit not in _BYTES:
        raise InputError(Fault("", "size", f"`{text}` is not a size such as 512MiB or 2GiB"))
    return round(number * _BYTES[unit])


def format_size(size_bytes: int) -> str:
    """Return a size in the largest binary unit in which it is at least 1."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= _BYTES[unit]:
            return f"{size_bytes / _BYTES[unit]:.4g} {unit}"
    return f"{size_bytes} B"


def _split(text: str) -> tuple[float | None, str]:
    match = _QUANTITY.fullmatch(text)
    return (float(match[1]), match[2]) if match else (None, "")


def format_count(count: int, noun: str) -> str:
    """Return `1 agent`, `2 agents`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_names(names: Iterable[str], limit: int | None = None) -> str:
    """Return the names in backticks: `a`, `b`; beyond `limit` only their number: `a`, `b` and 3 more."""
    found = list(names)
    rest = 0 if limit is None else max(len(found) - limit, 0)
    text = ", ".join(f"`{name}`" for name in found[: len(found) - rest])
    return f"{text} and {rest} more" if rest else text
