"""Progress lines of the scenario, and its error class."""

from __future__ import annotations

import sys
import time

_began_s = time.monotonic()


class ScenarioError(Exception):
    """The scenario cannot go on. hint: how to solve it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def log_progress(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    sys.stderr.write(f"[{time.monotonic() - _began_s:6.1f} s] {text}\n")
    sys.stderr.flush()
