"""A progress line on a terminal, removed when the work is done."""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType
from typing import IO, Self

_REFRESH_S = 0.1


class ProgressLine:
    """A line on stderr that is updated in place; shows nothing when stderr is not a terminal.

    delay_s: nothing is shown before it has passed.
    """

    def __init__(self, stream: IO[str] | None = None, delay_s: float = 0.0) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._last_shown = time.monotonic() + delay_s if delay_s else 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def show(self, activity: str, done: int, total: int) -> None:
        """Show `activity: done of total`; updates at most ten times a second."""
        now = time.monotonic()
        if not self._is_live or now - self._last_shown < _REFRESH_S:
            return
        self._last_shown = now
        columns = shutil.get_terminal_size().columns
        self._stream.write("\r\033[K" + f"{activity}: {done} of {total}"[: columns - 1])
        self._stream.flush()
