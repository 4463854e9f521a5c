"""Log prefixes: where several agents share a process, each line begins with the agent that wrote it.

The writer is known by a context variable, which tasks, callbacks and the agents' own threads
inherit. Other output (a library's thread, a child process, C code that writes to the
descriptor) stays as it is, and belongs to the cell.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from contextvars import ContextVar
from typing import Final

current_agent: ContextVar[str] = ContextVar("argosy_current_agent", default="")
"""The agent that the current task, callback or thread works for; empty where that is not known."""

SEPARATOR: Final = " | "


class PrefixedStream(io.TextIOBase):
    """A text stream that writes whole lines, each with the name of its writer.

    An unfinished line is kept per writer, so that two agents never share one.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._partial_lines: dict[str, str] = {}
        self._lock = threading.RLock()
        # For programs that write bytes, whose writer is unknown.
        self.buffer = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - lives as long as the process

    def fileno(self) -> int:
        """Return the descriptor of the output."""
        return self._descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write the whole lines of `text` and keep the rest."""
        name = current_agent.get()
        with self._lock:
            *lines, rest = (self._partial_lines.pop(name, "") + text).split("\n")
            if rest:
                self._partial_lines[name] = rest
            if lines:
                self._write_lines(name, lines)
        return len(text)

    def flush_partial_lines(self) -> None:
        """Write the unfinished lines, at the end of the process."""
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
    """Replace standard output and error by prefixed streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdout, sys.stderr = PrefixedStream(1), PrefixedStream(2)


def flush_log_prefix() -> None:
    """Write the unfinished lines of both streams."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrefixedStream):
            stream.flush_partial_lines()
