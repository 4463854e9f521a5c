"""The loop watchdog: a thread that detects a blocked work loop, and names what blocks it.

The loop sends a heartbeat at each turn. When it has been silent for too long, the stack of its
thread shows which handler of which agent runs. The thread needs the interpreter: a C function that
holds it is detected by the supervisor's watchdog only, which requests a dump by SIGQUIT.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType

import msgspec

from argosy.agent.agent import Agent
from argosy.agent.handlers import IntervalMark, RequestMark, TopicMark, marked_methods

_CHECKS_PER_LIMIT = 4
_LIFECYCLE_METHODS = frozenset({"__init__", "start", "stop", "health"})


class BlockedLoop(msgspec.Struct, frozen=True):
    """What blocks the loop. agent, handler: empty where no agent's method is on the stack."""

    agent: str
    handler: str
    location: str
    stack: str

    def describe(self, seconds: float) -> str:
        """Return a sentence about it."""
        subject = f"`{self.agent}` runs `{self.handler}`" if self.agent else "no agent's method runs"
        return f"the work loop has been blocked for {seconds:.1f} s: {subject} ({self.location})"


class LoopWatchdog:
    """Watches the loop of the thread that makes it, until `close`.

    limit_s: a silence of that long is reported. on_block(blocked, seconds), on_unblock(seconds): called in
    the watchdog's thread, and in the loop's, once per block.
    """

    def __init__(
        self,
        limit_s: float,
        on_block: Callable[[BlockedLoop, float], None],
        on_unblock: Callable[[float], None],
    ) -> None:
        self.heartbeat_s = limit_s / _CHECKS_PER_LIMIT
        self._limit_s = limit_s
        self._on_block, self._on_unblock = on_block, on_unblock
        self._watched_thread = threading.get_ident()
        self._last_heartbeat_s = time.monotonic()
        self._blocked_since_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="argosy-loop-watchdog", daemon=True)
        self._thread.start()

    def heartbeat(self) -> None:
        """Record that the loop is running."""
        now = time.monotonic()
        if self._blocked_since_s:
            self._on_unblock(now - self._blocked_since_s)
            self._blocked_since_s = 0.0
        self._last_heartbeat_s = now

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        checked_s = time.monotonic()
        while not self._stop.wait(self.heartbeat_s):
            now = time.monotonic()
            # A process that was stopped as a whole had no time for heartbeats either.
            was_suspended = now - checked_s > self._limit_s
            checked_s = now
            if was_suspended:
                self._last_heartbeat_s = max(self._last_heartbeat_s, now)
            elif now - self._last_heartbeat_s > self._limit_s and not self._blocked_since_s:
                frame = sys._current_frames().get(self._watched_thread)
                self._blocked_since_s = self._last_heartbeat_s
                if frame is not None:
                    self._on_block(find_blocker(frame), now - self._last_heartbeat_s)


def find_blocker(frame: FrameType) -> BlockedLoop:
    """Return which agent's method holds the thread whose innermost frame this is.

    The outermost method of an agent that can be called from outside, else the outermost of any.
    """
    stack = "".join(traceback.format_stack(frame))
    innermost: FrameType | None = None
    entry: FrameType | None = None
    at: FrameType | None = frame
    while at is not None:
        agent = at.f_locals.get("self")
        if isinstance(agent, Agent):
            innermost = at
            if at.f_code.co_name in _entry_points(type(agent)):
                entry = at
        at = at.f_back
    found = entry or innermost
    if found is None:
        return BlockedLoop("", "", _location(frame), stack)
    return BlockedLoop(found.f_locals["self"].name, found.f_code.co_name, _location(found), stack)


def _entry_points(cls: type) -> set[str]:
    names = {name for kind in (RequestMark, TopicMark, IntervalMark) for name, _ in marked_methods(cls, kind)}
    return names | _LIFECYCLE_METHODS


def _location(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
