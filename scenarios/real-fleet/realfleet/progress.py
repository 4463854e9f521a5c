"""What the scenario says on the way, and the one error that it ends with."""

from __future__ import annotations

import sys
import time

_began_s = time.monotonic()


class ScenarioError(Exception):
    """Something that the scenario cannot do without is missing. hint: how to get it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def log_progress(text: str) -> None:
    """Print one line of progress, with the seconds since the beginning."""
    sys.stderr.write(f"[{time.monotonic() - _began_s:6.1f} s] {text}\n")
    sys.stderr.flush()
