"""Prints errors and JSON in the format that every command shares."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import msgspec

from argosy.fault import ArgosyError


def report_error(error: ArgosyError, *, as_json: bool) -> int:
    """Print the faults of `error` and return its exit code.

    As text: `error: ...` and `hint: ...` lines on stderr. With `as_json`: one object `error/1` on stdout.
    """
    if as_json:
        print_json({"argosy": "error/1", "errors": [msgspec.to_builtins(fault) for fault in error.faults]})
        return error.exit_code
    for fault in error.faults:
        location = f"{fault.where}: " if fault.where else ""
        sys.stderr.write(f"{paint('error:', 'red', sys.stderr)} {location}{fault.message}\n")
        if fault.hint:
            sys.stderr.write(f"{paint('hint:', 'cyan', sys.stderr)} {fault.hint}\n")
    return error.exit_code


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout; its first key is `argosy`."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


def supports_colour(stream: IO[str]) -> bool:
    """Return whether `stream` is a terminal that takes colours and NO_COLOR is not set."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """Return `text` in `colour` if `stream` (default stdout) supports colours, else unchanged."""
    use_colour = supports_colour(sys.stdout if stream is None else stream)
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if use_colour else text
