"""Where an agent's main thread is, and what that says about its health.

A responder thread proves only that its process exists. So the health word comes from here: from
the constructor, from `run` and `cleanup` as the main thread enters and leaves them, and from
whether that thread is still alive. What the agent says of itself counts only inside the work loop.

    constructing -> constructed -> working -> leaving
          |              `- `cleanup` ----------^
          `-> failed (the constructor raised)

A program that has no `run` to enter, since its main block starts its threads and waits, counts
as working once its main thread has stayed outside any clean-up for a second. One whose text calls
a `run` further down counts so only while its main thread goes round a loop that has no such call.
"""

from __future__ import annotations

import enum
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

import msgspec

from argosy.agent.health import Status

SETTLE_S: Final = 1.0  # as long as the `alive` probe waits
LEAVE_S: Final = 10.0  # the default time to stop; who takes longer hangs
TURN_S: Final = 0.5  # an idle work loop turns so often

_ENDINGS: Final = frozenset(("cleanup", "term", "destroy"))


class Stage(enum.Enum):
    """How far the main thread has come."""

    CONSTRUCTING = "constructing"
    CONSTRUCTED = "constructed"
    WORKING = "working"
    LEAVING = "leaving"
    FAILED = "failed"


_ENDS: Final = frozenset((Stage.LEAVING, Stage.FAILED))


class Verdict(msgspec.Struct, frozen=True):
    """What the main thread's place means: a health word, and why where it is not ok."""

    status: Status
    reason: str = ""


class Work:
    """The main thread's way through one agent; written there, read by the responder.

    changed: called after each step, in the thread that made it.
    """

    def __init__(self, agent: Any, changed: Callable[[], object]) -> None:
        self._agent = agent
        self._changed = changed
        self._at: tuple[Stage, str, float] = (Stage.CONSTRUCTING, "", time.monotonic())
        self._was_running = False
        self.loops = False
        self.turned_s = 0.0
        self.waits_for = ""

    @property
    def stage(self) -> Stage:
        """The stage reached."""
        return self._at[0]

    def move(self, stage: Stage, reason: str = "") -> None:
        """Take a step; an ending is not taken back, and its first reason is kept.

        A program that is constructed again after a failure starts anew with another `Work`.
        """
        now, why, _ = self._at
        if now in _ENDS and (why or stage not in _ENDS):
            return
        since_s = self._at[2] if now is stage else time.monotonic()
        self._at = stage, reason, since_s
        self._changed()

    def turn(self) -> None:
        """Say that the base's own loop has come round."""
        self.turned_s = time.monotonic()

    def lag_s(self) -> float:
        """Return how long the base's loop is late, because a request still holds it; else 0."""
        return max(0.0, time.monotonic() - self.turned_s - TURN_S) if self.loops else 0.0

    def has_turned_since(self, moment_s: float) -> bool:
        """Tell whether the work loop gave a sign of life since then.

        A `run` of the agent's own gives none; of it is known that the main thread is inside.
        """
        return not self.loops or self.turned_s >= moment_s

    def trouble(self) -> str:
        """Return what the agent notes of a failed initialisation, empty when it went well."""
        error = getattr(self._agent, "initialization_error", None)
        return f"its initialisation failed: {error}" if error else ""

    def verdict(self) -> Verdict:
        """Return what the main thread's place means now."""
        stage, reason, since_s = self._at
        if reason:
            return Verdict(Status.FAILING, reason)
        if not threading.main_thread().is_alive():
            return Verdict(Status.FAILING, "its main thread has ended, and other threads hold the process")
        if stage is Stage.LEAVING:
            return _leaving(time.monotonic() - since_s)
        if stage is Stage.CONSTRUCTED and self._has_settled(since_s):
            self._at = Stage.WORKING, "", time.monotonic()
            stage = Stage.WORKING
        if stage is not Stage.WORKING:
            waits = "its constructor has not returned" if stage is Stage.CONSTRUCTING else self.waits_for
            return Verdict(Status.STARTING, waits or "`run` has not been entered")
        return self._working()

    def _working(self) -> Verdict:
        running = getattr(self._agent, "running", True)
        if running is False and self._was_running:
            return Verdict(Status.STOPPING, "`running` is false")
        self._was_running = self._was_running or running is True
        return Verdict(Status.OK)

    def _has_settled(self, since_s: float) -> bool:
        if self.waits_for or time.monotonic() - since_s < SETTLE_S:
            return False
        return not any(_goes_on(frame) for frame in _main_frames())


def _leaving(for_s: float) -> Verdict:
    if for_s < LEAVE_S:
        return Verdict(Status.STOPPING, "it has left its work loop")
    return Verdict(Status.FAILING, f"it left its work loop {for_s:.0f} s ago and has not ended")


def _main_frames() -> Iterator[FrameType]:
    """Yield what the main thread is in, innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame:
        yield frame
        frame = frame.f_back


def _goes_on(frame: FrameType) -> bool:
    """Tell whether a frame will call a `run`, or is an ending: then the main thread is not settled."""
    names = frame.f_code.co_names
    if str(frame.f_globals.get("__name__")).partition(".")[0] in sys.stdlib_module_names:
        return False  # `asyncio.run` has a `run` of its own inside
    if frame.f_code.co_name in _ENDINGS:
        return True
    return "run" in names and "asyncio" not in names and not _goes_round(frame)


def _goes_round(frame: FrameType) -> bool:
    """Tell whether a frame is inside a loop that calls no `run`: a main block that waits in its own way."""
    import dis  # noqa: PLC0415 - only for the rare program whose text has both

    steps, at = list(dis.get_instructions(frame.f_code)), frame.f_lasti
    for jump in steps:
        if "JUMP_BACKWARD" in jump.opname and jump.argval <= at <= jump.offset:
            return not any(
                jump.argval <= step.offset <= jump.offset and step.argval == "run" for step in steps
            )
    return False
