"""Searches an agent's log for a pattern: complete lines, from the offset at which its process began."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK_BYTES = 1 << 18
_MAX_LINE_BYTES = 1 << 14


class LineSearch:
    """Reads a growing log, each byte once.

    start: the size of the log when the process was requested.
    Raises re.error: `pattern` is not a regular expression (the loader rejects it).
    """

    def __init__(self, log: Path, start: int, pattern: str) -> None:
        self._log = log
        self._offset = start
        self._pattern = re.compile(pattern)
        self._partial_line = b""
        self.has_matched = False

    def search_next(self) -> bool:
        """Search the next part of the log; return whether there may be more to read at once.

        A line without its line feed is not searched yet, unless it is longer than 16 KiB.
        """
        data = self._next_part()
        lines = (self._partial_line + data).split(b"\n")
        self._partial_line = lines.pop()
        if len(self._partial_line) > _MAX_LINE_BYTES:
            lines.append(self._partial_line)
            self._partial_line = b""
        self.has_matched = self.has_matched or any(map(self._is_match, lines))
        return len(data) == _CHUNK_BYTES and not self.has_matched

    def _next_part(self) -> bytes:
        try:
            if os.stat(self._log).st_size <= self._offset:
                return b""
            with open(self._log, "rb") as file:
                file.seek(self._offset)
                data = file.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data

    def _is_match(self, line: bytes) -> bool:
        return self._pattern.search(line.rstrip(b"\r").decode(errors="replace")) is not None
