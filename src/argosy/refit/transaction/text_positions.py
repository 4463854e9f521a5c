"""Positions in a text: lines, character offsets of `ast` positions, and the bytes of characters."""

from __future__ import annotations

import bisect
import re

from argosy.source.python_source import SourceText

_BOM = b"\xef\xbb\xbf"
# Encodings that encode decoded text to the same bytes.
_LOSSLESS = frozenset({"utf-8", "iso-8859-1", "ascii"})
_LINE_END = re.compile(r"\r\n|\r|\n")


class UnsafeEditError(Exception):
    """A file's text does not encode to its bytes, or an edit does not fit it; the message says why."""


class TextLines:
    """A text with the start and end of each of its lines."""

    def __init__(self, text: str) -> None:
        self.text = text
        ends = list(_LINE_END.finditer(text))
        self._starts = [0, *(end.end() for end in ends)]
        self._stops = [*(end.start() for end in ends), len(text)]

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line (from 1) and a column in UTF-8 bytes, as in `ast`.

        Raises UnsafeEditError: there is no such position.
        """
        if not 1 <= line <= len(self._starts):
            raise UnsafeEditError(f"there is no line {line}")
        start, stop = self._starts[line - 1], self._stops[line - 1]
        content = self.text[start:stop]
        if content.isascii():
            index = column
        else:
            try:
                index = len(content.encode()[:column].decode())
            except UnicodeDecodeError:
                raise UnsafeEditError(f"column {column} of line {line} is inside a character") from None
        if index > len(content):
            raise UnsafeEditError(f"line {line} ends before column {column}")
        return start + index

    def line_of(self, offset: int) -> int:
        """Return the line of an offset."""
        return bisect.bisect_right(self._starts, offset)

    def line_start(self, line: int) -> int:
        """Return the offset of the start of a line; the end of the text for the line after the last one."""
        return self._starts[line - 1] if line <= len(self._starts) else len(self.text)

    def line_stop(self, line: int) -> int:
        """Return the offset of the end of a line, before its terminator."""
        return self._stops[line - 1]

    def line_terminator(self, line: int) -> str:
        """Return the terminator of a line; empty for the last line of a file without a final newline."""
        return self.text[self._stops[line - 1] : self.line_start(line + 1)]

    def newline_near(self, line: int) -> str:
        """Return the terminator for a new line near `line`: that of the line, or of the one before it."""
        return self.line_terminator(line) or (self.line_terminator(line - 1) if line > 1 else "") or "\n"


class EncodedText(TextLines):
    """The decoded text of a file.

    Raises UnsafeEditError: the bytes do not decode, or the text does not encode to the same bytes.
    """

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.bom = _BOM if source.has_bom else b""
        body = source.data[len(self.bom) :]
        try:
            text = body.decode(source.encoding)
            is_same = source.encoding in _LOSSLESS or text.encode(source.encoding) == body
        except (UnicodeError, LookupError) as error:
            raise UnsafeEditError(f"the file is not {source.encoding}: {error}") from None
        if not is_same:
            raise UnsafeEditError(f"its text in {source.encoding} does not encode to the same bytes")
        super().__init__(text)

    def encode(self, start: int, stop: int) -> bytes:
        """Return the bytes of a span of characters."""
        return self.text[start:stop].encode(self.source.encoding)


def start_of_line(text: str, offset: int) -> int:
    """Return the offset where the line of `offset` begins."""
    if text[offset - 1 : offset + 1] == "\r\n":
        offset -= 1
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def start_of_next_line(text: str, offset: int) -> int:
    """Return the offset where the next line after `offset` begins, or the end of the text."""
    end = _LINE_END.search(text, offset)
    return end.end() if end else len(text)


def detect_newline(text: str) -> str:
    """Return the line end of the first line of `text`; a line feed if it has only one line."""
    end = _LINE_END.search(text)
    return end[0] if end else "\n"


def count_line_ends(text: str) -> int:
    """Return how many line ends are in a text."""
    return len(_LINE_END.findall(text))
