"""Reads Python source from disk: bytes, encoding, byte order mark, line endings."""

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
    """The bytes of a file and how to decode them.

    encoding: a codec for the bytes after the byte order mark. newline: its line ending, `mixed` for several,
    empty for a single line without one.
    """

    path: str
    data: bytes
    encoding: str
    has_bom: bool
    newline: Newline

    def text(self) -> str:
        """Return the text with unchanged line endings; undecodable bytes become U+FFFD."""
        return self.data[len(_BOM) * self.has_bom :].decode(self.encoding, "replace")

    def with_text(self, text: str) -> SourceText | None:
        """Return the source with another text in the same encoding; None if that cannot encode it."""
        try:
            data = self.data[: len(_BOM) * self.has_bom] + text.encode(self.encoding)
        except UnicodeEncodeError:
            return None
        return msgspec.structs.replace(self, data=data)


class Unparsed(msgspec.Struct, frozen=True):
    """A file that Python cannot run, and the position of the error, counted from 1."""

    path: str
    line: int
    column: int
    message: str
    stage: FailureStage


def read_source(path: str | os.PathLike[str]) -> SourceText | Unparsed:
    """Return the source at `path`, or why it cannot be read; never raises."""
    data = read_source_bytes(path)
    return data if isinstance(data, Unparsed) else decode_source(data, os.fspath(path))


def read_source_bytes(path: str | os.PathLike[str]) -> bytes | Unparsed:
    """Return the bytes of a file, or why it cannot be read; never raises and never blocks."""
    name = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            # Reading a pipe or a device could block forever.
            raise OSError(errno.EINVAL, "not a regular file")
        with open(name, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Unparsed(name, 1, 1, f"cannot be read: {reason.lower()}", "read")


def decode_source(data: bytes, path: str) -> SourceText | Unparsed:
    """Return `data` as the source of `path`, by the rules of PEP 263 and PEP 3120."""
    try:
        # A lone carriage return ends a line in Python, but not for `BytesIO.readline`.
        head = b"\n".join(re.split(rb"\r\n|\r|\n", data, maxsplit=2)[:2])
        encoding, _ = tokenize.detect_encoding(io.BytesIO(head).readline)
        io.TextIOWrapper(io.BytesIO(), encoding)  # raises for a codec from bytes to bytes, such as zlib
    except (SyntaxError, ValueError, LookupError) as error:
        return Unparsed(path, 1, 1, str(error), "read")
    has_bom = data.startswith(_BOM)
    return SourceText(path, data, "utf-8" if has_bom else encoding, has_bom, _detect_newline(data))


class LineMarks:
    """A set of marked lines in a source, so that readers can skip the others.

    Lines are counted as in Python, from 1.
    """

    def __init__(self, lines: Iterable[int]) -> None:
        self._line_set = frozenset(lines)
        self._lines = sorted(self._line_set)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def with_lines(self, lines: Iterable[int]) -> LineMarks:
        """Return these marks and those for `lines`."""
        return LineMarks([*self._lines, *lines])

    def is_marked(self, first: int, last: int | None) -> bool:
        """Return whether a line from `first` to `last` is marked; None means only `first`."""
        if last is None or last == first:
            return first in self._line_set
        at = bisect_left(self._lines, first)
        return at < len(self._lines) and self._lines[at] <= last


def find_marked_lines(data: bytes, *patterns: re.Pattern[bytes]) -> LineMarks:
    """Return the lines of a source on which a match of one of `patterns` starts.

    Several patterns that each start with a literal are ten times as fast as one with alternatives.
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
    """Return the lines as Python counts them: a form feed or U+2028 does not end a line."""
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
