"""Whose output it is: where several agents share a process, each line begins with the one that wrote it.

The writer is known by a context variable, which tasks, callbacks and the agents' own threads
inherit. What comes from elsewhere (a library's thread, a child process, C code that writes to the
descriptor) stays as it is, and belongs to the cell.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from contextvars import ContextVar
from typing import Final

current_agent: ContextVar[str] = ContextVar("speaker", default="")
"""The agent that the current task, callback or thread works for; empty where that is not known."""

SEPARATOR: Final = " | "


class PrefixedStream(io.TextIOBase):
    """A text stream that writes whole lines, each under the name of its writer.

    A line that has not ended yet is kept, by writer, so that two agents never share one.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._partial_lines: dict[str, str] = {}
        self._lock = threading.RLock()
        # For programs that write bytes; nobody can tell whose those are.
        self.buffer = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - lives as long as the process

    def fileno(self) -> int:
        """Return the descriptor that is written to."""
        return self._descriptor

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Take text; what of it makes whole lines is written at once."""
        name = current_agent.get()
        with self._lock:
            *lines, rest = (self._partial_lines.pop(name, "") + text).split("\n")
            if rest:
                self._partial_lines[name] = rest
            if lines:
                self._write_lines(name, lines)
        return len(text)

    def flush_partial_lines(self) -> None:
        """Write the lines that have not ended, at the end of the process."""
        with self._lock:
            for name, rest in self._partial_lines.items():
                self._write_lines(name, [rest])
            self._partial_lines.clear()

    def _write_lines(self, name: str, lines: list[str]) -> None:
        prefix = f"{name}{SEPARATOR}" if name else ""
        data = memoryview("".join(f"{prefix}{line}\n" for line in lines).encode(errors="backslashreplace"))
        while data:
            data = data[os.write(self._descriptor, data) :]


def install_log_prefix() -> None:
    """Put attributed streams in place of standard output and error."""
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdout, sys.stderr = PrefixedStream(1), PrefixedStream(2)


def flush_log_prefix() -> None:
    """Write what has been printed without an end of line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrefixedStream):
            stream.flush_partial_lines()
