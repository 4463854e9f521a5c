"""From the places of `ast` to the characters of a file, and to its bytes."""

from __future__ import annotations

import bisect
import re

from argosy.source.python_source import SourceText

_BOM = b"\xef\xbb\xbf"
# What these decode they encode to the same bytes.
_LOSSLESS = frozenset({"utf-8", "iso-8859-1", "ascii"})
_LINE_END = re.compile(r"\r\n|\r|\n")


class UnsafeEditError(Exception):
    """The file's text does not lead back to its bytes, or an edit does not fit it; its text says why."""


class EncodedText:
    """A file's characters, with the start and end of each line.

    Raises UnfaithfulError: the bytes do not decode, or encoding the text again gives others.
    """

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.bom = _BOM if source.has_bom else b""
        body = source.data[len(self.bom) :]
        try:
            self.text = body.decode(source.encoding)
            is_same = source.encoding in _LOSSLESS or self.text.encode(source.encoding) == body
        except (UnicodeError, LookupError) as error:
            raise UnsafeEditError(f"the file is not {source.encoding}: {error}") from None
        if not is_same:
            raise UnsafeEditError(f"its bytes do not come back from its text in {source.encoding}")
        ends = list(_LINE_END.finditer(self.text))
        self._starts = [0, *(end.end() for end in ends)]
        self._stops = [*(end.start() for end in ends), len(self.text)]

    def offset(self, line: int, column: int) -> int:
        """Return the character at a line (from 1) and a column in UTF-8 bytes, as `ast` has them.

        Raises UnfaithfulError: there is no such place.
        """
        if not 1 <= line <= len(self._starts):
            raise UnsafeEditError(f"there is no line {line}")
        start, stop = self._starts[line - 1], self._stops[line - 1]
        content = self.text[start:stop]
        if content.isascii():
            at = column
        else:
            try:
                at = len(content.encode()[:column].decode())
            except UnicodeDecodeError:
                raise UnsafeEditError(f"column {column} of line {line} is inside a character") from None
        if at > len(content):
            raise UnsafeEditError(f"line {line} ends before column {column}")
        return start + at

    def line_of(self, offset: int) -> int:
        """Return the line that a character is in."""
        return bisect.bisect_right(self._starts, offset)

    def line_start(self, line: int) -> int:
        """Return the first character of a line."""
        return self._starts[line - 1]

    def line_stop(self, line: int) -> int:
        """Return the end of a line, before what ends it."""
        return self._stops[line - 1]

    def line_terminator(self, line: int) -> str:
        """Return what ends a line; empty for the last one of a file without a final newline."""
        following = self._starts[line] if line < len(self._starts) else len(self.text)
        return self.text[self._stops[line - 1] : following]

    def newline_near(self, line: int) -> str:
        """Return what a new line near `line` is ended with: as that line, or as the one before it."""
        return self.line_terminator(line) or (self.line_terminator(line - 1) if line > 1 else "") or "\n"

    def encode(self, start: int, stop: int) -> bytes:
        """Return the bytes of some of the characters."""
        return self.text[start:stop].encode(self.source.encoding)
