"""The lookout: a thread that sees when the work loop stands still, and names what holds it.

The loop says with each beat that it turns. When it has been silent for too long, the stack of its
thread tells which handler of which agent runs. The thread needs the interpreter: a C function that
keeps it to itself is seen by the supervisor's watchdog alone, which asks for a dump by SIGQUIT.
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
from argosy.agent.handlers import Interval, Request, Topic, marked

_LOOKS_PER_LIMIT = 4
_OF_THE_AGENT = frozenset({"__init__", "start", "stop", "health"})


class Holdup(msgspec.Struct, frozen=True):
    """What holds the loop. agent, handler: empty where no agent's method is on the stack."""

    agent: str
    handler: str
    place: str
    stack: str

    def words(self, seconds: float) -> str:
        """Return it as a sentence."""
        who = f"`{self.agent}` runs `{self.handler}`" if self.agent else "no agent's method runs"
        return f"the work loop has stood still for {seconds:.1f} s: {who} ({self.place})"


class Lookout:
    """Watches the loop of the thread that makes it, until `close`.

    limit_s: a silence of that long is told. on_freeze(holdup, seconds), on_thaw(seconds): called in
    the lookout's thread, and in the loop's, once per freeze.
    """

    def __init__(
        self,
        limit_s: float,
        on_freeze: Callable[[Holdup, float], None],
        on_thaw: Callable[[float], None],
    ) -> None:
        self.beat_s = limit_s / _LOOKS_PER_LIMIT
        self._limit_s = limit_s
        self._on_freeze, self._on_thaw = on_freeze, on_thaw
        self._watched = threading.get_ident()
        self._seen_s = time.monotonic()
        self._frozen_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="argosy-lookout", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Say that the loop turns."""
        now = time.monotonic()
        if self._frozen_s:
            self._on_thaw(now - self._frozen_s)
            self._frozen_s = 0.0
        self._seen_s = now

    def close(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        looked_s = time.monotonic()
        while not self._over.wait(self.beat_s):
            now = time.monotonic()
            # A process that was stopped as a whole has had no time to beat either.
            was_away = now - looked_s > self._limit_s
            looked_s = now
            if was_away:
                self._seen_s = max(self._seen_s, now)
            elif now - self._seen_s > self._limit_s and not self._frozen_s:
                frame = sys._current_frames().get(self._watched)
                self._frozen_s = self._seen_s
                if frame is not None:
                    self._on_freeze(name_holdup(frame), now - self._seen_s)


def name_holdup(frame: FrameType) -> Holdup:
    """Return which agent's method holds the thread whose innermost frame this is.

    The outermost method of an agent that can be called from outside, else the outermost of any.
    """
    stack = "".join(traceback.format_stack(frame))
    own: FrameType | None = None
    entry: FrameType | None = None
    at: FrameType | None = frame
    while at is not None:
        agent = at.f_locals.get("self")
        if isinstance(agent, Agent):
            own = at
            if at.f_code.co_name in _entries_of(type(agent)):
                entry = at
        at = at.f_back
    found = entry or own
    if found is None:
        return Holdup("", "", _place(frame), stack)
    return Holdup(found.f_locals["self"].name, found.f_code.co_name, _place(found), stack)


def _entries_of(cls: type) -> set[str]:
    names = {name for kind in (Request, Topic, Interval) for name, _ in marked(cls, kind)}
    return names | _OF_THE_AGENT


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
