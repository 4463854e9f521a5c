"""Python source as it lies on disk: its bytes, its encoding, its byte order mark, its line ends."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import tokenize
from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

import msgspec

Newline = Literal["", "\n", "\r\n", "\r", "mixed"]
FailureStage = Literal["read", "parse", "compile"]

_BOM = b"\xef\xbb\xbf"


class SourceText(msgspec.Struct, frozen=True):
    """A file's bytes and how they are text.

    encoding: a codec for the bytes after the mark. newline: what ends its lines, `mixed` for
    several, empty for a file of one open line.
    """

    path: str
    data: bytes
    encoding: str
    has_bom: bool
    newline: Newline

    def text(self) -> str:
        """Return the text with its line ends as they are; what does not decode becomes U+FFFD."""
        return self.data[len(_BOM) * self.has_bom :].decode(self.encoding, "replace")


class Unparsed(msgspec.Struct, frozen=True):
    """A file that Python could not run, and where it begins to be wrong (counted from 1)."""

    path: str
    line: int
    column: int
    message: str
    stage: FailureStage


def read_source(path: str | os.PathLike[str]) -> SourceText | Unparsed:
    """Return the source at `path`; a file that cannot be read is data too."""
    data = read_source_bytes(path)
    return data if isinstance(data, Unparsed) else decode_source(data, os.fspath(path))


def read_source_bytes(path: str | os.PathLike[str]) -> bytes | Unparsed:
    """Return the bytes of a file, or why they cannot be read; never raises, never waits."""
    name = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            # A pipe or a device would be waited for without end.
            raise OSError(errno.EINVAL, "not a regular file")
        with open(name, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Unparsed(name, 1, 1, f"cannot be read: {reason.lower()}", "read")


def decode_source(data: bytes, path: str) -> SourceText | Unparsed:
    """Return `data` as the source of `path`, by the rules of PEP 263 and PEP 3120."""
    try:
        # A carriage return alone ends a line for Python, and not for a file of bytes.
        head = b"\n".join(re.split(rb"\r\n|\r|\n", data, maxsplit=2)[:2])
        encoding, _ = tokenize.detect_encoding(io.BytesIO(head).readline)
        io.TextIOWrapper(io.BytesIO(), encoding)  # raises for a codec from bytes to bytes, such as zlib
    except (SyntaxError, ValueError, LookupError) as error:
        return Unparsed(path, 1, 1, str(error), "read")
    has_bom = data.startswith(_BOM)
    return SourceText(path, data, "utf-8" if has_bom else encoding, has_bom, _detect_newline(data))


class LineMarks:
    """The lines of a source that hold something of interest, for readers that skip the others.

    Lines are counted as Python counts them, from 1.
    """

    def __init__(self, lines: Iterable[int]) -> None:
        self._line_set = frozenset(lines)
        self._lines = sorted(self._line_set)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def with_lines(self, lines: Iterable[int]) -> LineMarks:
        """Return these marks and some more."""
        return LineMarks([*self._lines, *lines])

    def is_marked(self, first: int, last: int | None) -> bool:
        """Return whether one of the lines from `first` to `last` is marked; None is for `first` alone."""
        if last is None or last == first:
            return first in self._line_set
        at = bisect_left(self._lines, first)
        return at < len(self._lines) and self._lines[at] <= last


def find_marked_lines(data: bytes, *patterns: re.Pattern[bytes]) -> LineMarks:
    """Return the lines of a source in which one of `patterns` begins a match.

    Several that begin with a literal each are found ten times as fast as one with alternatives.
    """
    found: list[int] = []
    for pattern in patterns:
        line, at = 1, 0
        for match in pattern.finditer(data):
            line += _count_line_ends(data, at, match.start())
            at = match.start()
            found.append(line)
    return LineMarks(found)


def _count_line_ends(data: bytes, start: int, stop: int) -> int:
    ends = data.count(b"\n", start, stop)
    if b"\r" in data:
        ends += data.count(b"\r", start, stop) - data.count(b"\r\n", start, stop)
    return ends


def split_lines(text: str) -> list[str]:
    """Return the lines as Python counts them: a form feed or U+2028 ends none."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _detect_newline(data: bytes) -> Newline:
    crlf = data.count(b"\r\n")
    kinds: dict[Newline, int] = {
        "\r\n": crlf,
        "\n": data.count(b"\n") - crlf,
        "\r": data.count(b"\r") - crlf,
    }
    found = [kind for kind, count in kinds.items() if count]
    return "mixed" if len(found) > 1 else found[0] if found else ""
