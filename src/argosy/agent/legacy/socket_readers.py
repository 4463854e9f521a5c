"""Whether a BaseAgent reads its own request socket, in a thread of its own.

A ZeroMQ socket belongs to one thread at a time; two that wait on one may crash the process. Some
agents start a loop on their socket in a thread and then call the `run` of BaseAgent, which has one too.
BaseAgent leaves such a socket alone. It recognises one by the agent's methods: one that reads the socket, and
that a thread is in. Before there is one, it waits some time: a started thread may not be there yet.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final

THREAD_START_WAIT_S: Final = 2.0
_SOCKET_ATTRIBUTE: Final = "socket"
_READ_METHODS: Final = frozenset(
    ("recv", "recv_string", "recv_json", "recv_multipart", "recv_pyobj", "poll", "register")
)


class SocketReaders:
    """The methods of one agent that read its socket; used by BaseAgent's loop, in the loop's thread."""

    def __init__(self, agent: Any) -> None:
        self._codes = frozenset(_reading_code(type(agent)))
        self._until_s = time.monotonic() + THREAD_START_WAIT_S
        self._is_read = False

    def is_read_by_agent(self) -> bool:
        """Return whether a thread of the agent reads the socket, or may be about to."""
        if not self._codes or self._is_read:
            return self._is_read
        self._is_read = any(frame.f_code in self._codes for frame in _other_frames())
        return self._is_read or time.monotonic() < self._until_s


def _reading_code(cls: type) -> Iterator[CodeType]:
    """Yield the code of the methods that use a `socket` attribute and read, nested functions included."""
    for each in cls.__mro__:
        if each.__module__.startswith("argosy."):
            continue
        for value in vars(each).values():
            code = getattr(getattr(value, "__wrapped__", value), "__code__", None)
            if isinstance(code, CodeType):
                yield from _with_nested(code)


def _with_nested(code: CodeType) -> Iterator[CodeType]:
    if _SOCKET_ATTRIBUTE in code.co_names and _READ_METHODS & set(code.co_names):
        yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _with_nested(inner)


def _other_frames() -> Iterator[FrameType]:
    own = threading.get_ident()
    for thread, top in sys._current_frames().items():
        frame: FrameType | None = top if thread != own else None
        while frame:
            yield frame
            frame = frame.f_back
