"""How much memory each agent needed last time: the largest sample of its last process.

One small file in the state directory. Only admission uses it, so a lost write is harmless.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from argosy.atomic_file import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

# A change smaller than this is not written.
_MIN_WRITTEN_CHANGE = 0.05


class MemoryHistory:
    """The peak memory of all agents; read from `path` at once, and written there when one changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pids: dict[str, int] = {}
        self._peak_bytes: dict[str, int] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._peak_bytes = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        self._written = dict(self._peak_bytes)

    def peak_bytes(self, agent: str) -> int | None:
        """Return the bytes that an agent needed last time, None if unknown."""
        return self._peak_bytes.get(agent)

    def record_sample(self, agent: str, pid: int, sampled_bytes: int) -> None:
        """Record a memory sample of an agent's process."""
        before = self._peak_bytes.get(agent, 0) if self._pids.get(agent) == pid else 0
        self._pids[agent] = pid
        peak = self._peak_bytes[agent] = max(before, sampled_bytes)
        if abs(peak - self._written.get(agent, 0)) > _MIN_WRITTEN_CHANGE * peak:
            self._write()

    def _write(self) -> None:
        self._written = dict(self._peak_bytes)
        with contextlib.suppress(OSError):
            write_atomic(self._path, msgspec.json.encode(self._peak_bytes))
