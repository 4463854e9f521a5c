"""Prints errors, notes and results in the format that every command shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Literal

import msgspec

from argosy.fault import ArgosyError

EXIT_INTERRUPTED = 130

NoteLabel = Literal["error", "warning", "note", "hint"]
_LABEL_COLOURS: dict[NoteLabel, str] = {"error": "red", "warning": "yellow", "note": "cyan", "hint": "cyan"}
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


def report_error(error: ArgosyError, *, as_json: bool) -> int:
    """Print the faults of `error` and return its exit code.

    As text: `error: ...` and `hint: ...` lines on stderr. With `as_json`: one object `error/1` on stdout.
    """
    if as_json:
        print_json({"argosy": "error/1", "errors": [msgspec.to_builtins(fault) for fault in error.faults]})
        return error.exit_code
    for fault in error.faults:
        location = f"{fault.where}: " if fault.where else ""
        print_note("error", f"{location}{fault.message}", fault.hint)
    return error.exit_code


def print_note(label: NoteLabel, message: str, hint: str = "", stream: IO[str] | None = None) -> None:
    """Print `label: message`, then `hint: ...` if there is one, on `stream` (default stderr)."""
    out = sys.stderr if stream is None else stream
    out.write(f"{paint(f'{label}:', _LABEL_COLOURS[label], out)} {message}\n")
    if hint:
        print_note("hint", hint, stream=out)


def print_reasons(label: str, colour: str, reasons: Mapping[str, str]) -> None:
    """Print a line `label  name: reason` for each name, on stdout."""
    for name, reason in reasons.items():
        print(f"{paint(label, colour)}  {name}: {reason}")


def print_result(result: Callable[[], dict[str, Any]], text: Callable[[], str], *, as_json: bool) -> None:
    """Print the result of a command on stdout, as JSON or as text."""
    if as_json:
        print_json(result())
    else:
        print(text().removesuffix("\n"))


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout; its first key is `argosy`."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def supports_colour(stream: IO[str]) -> bool:
    """Return whether `stream` is a terminal that takes colours and NO_COLOR is not set."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """Return `text` in `colour` if `stream` (default stdout) supports colours, else unchanged."""
    use_colour = supports_colour(sys.stdout if stream is None else stream)
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if use_colour else text


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, with the cells of a column at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
