"""The stage of an agent's main thread, and what that means for its health.

A responder thread proves only that its process exists. So the health state comes from here: from
the constructor, from `run` and `cleanup` as the main thread enters and leaves them, and from
whether that thread is still alive. The agent's own payload counts only inside the work loop.

    constructing -> constructed -> working -> leaving
        |              `- `cleanup` ----------^
        `-> failed (the constructor raised)

A program that has no `run` to enter, since its main block starts its threads and waits, counts
as working once its main thread has stayed outside any clean-up for a second. One whose text calls
a `run` further down counts so only while its main thread is in a loop that has no such call.
"""

from __future__ import annotations

import enum
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from argosy.agent.health import Health, Status

SETTLE_TIME_S: Final = 1.0  # as long as the `alive` probe waits
LEAVE_TIMEOUT_S: Final = 10.0  # the default time to stop; taking longer counts as a hang
ITERATION_S: Final = 0.5  # the interval of an idle work loop

_CLEANUP_FUNCTIONS: Final = frozenset(("cleanup", "term", "destroy"))


class MainThreadStage(enum.Enum):
    """The stages of the main thread."""

    CONSTRUCTING = "constructing"
    CONSTRUCTED = "constructed"
    WORKING = "working"
    LEAVING = "leaving"
    FAILED = "failed"


_FINAL_STAGES: Final = frozenset((MainThreadStage.LEAVING, MainThreadStage.FAILED))


class MainThreadProgress:
    """The main thread's progress through one agent; written there, read by the responder.

    on_change: called after each step, in the thread that made it.
    """

    def __init__(self, agent: Any, on_change: Callable[[], object]) -> None:
        self._agent = agent
        self._on_change = on_change
        self._position: tuple[MainThreadStage, str, float] = (
            MainThreadStage.CONSTRUCTING,
            "",
            time.monotonic(),
        )
        self._was_running = False
        self.is_in_base_loop = False
        self.last_iteration_s = 0.0
        self.waiting_reason = ""

    @property
    def stage(self) -> MainThreadStage:
        """The stage reached."""
        return self._position[0]

    def advance(self, stage: MainThreadStage, reason: str = "") -> None:
        """Advance to a stage; an ending is final, and its first reason is kept.

        A program that constructs an agent again after a failure has another MainThreadProgress.
        """
        current, previous_reason, _ = self._position
        if current in _FINAL_STAGES and (previous_reason or stage not in _FINAL_STAGES):
            return
        since_s = self._position[2] if current is stage else time.monotonic()
        self._position = stage, reason, since_s
        self._on_change()

    def on_iteration(self) -> None:
        """Record a turn of BaseAgent's loop."""
        self.last_iteration_s = time.monotonic()

    def lag_s(self) -> float:
        """Return how late BaseAgent's loop is because a request still occupies it; else 0."""
        return (
            max(0.0, time.monotonic() - self.last_iteration_s - ITERATION_S) if self.is_in_base_loop else 0.0
        )

    def has_iterated_since(self, moment_s: float) -> bool:
        """Return whether the work loop has run since a moment.

        An agent's own `run` reports nothing; of it is only known that the main thread is inside.
        """
        return not self.is_in_base_loop or self.last_iteration_s >= moment_s

    def initialization_problem(self) -> str:
        """Return the error of a failed initialisation, empty when it succeeded."""
        error = getattr(self._agent, "initialization_error", None)
        return f"its initialisation failed: {error}" if error else ""

    def health(self) -> Health:
        """Return what the main thread's stage means now."""
        stage, reason, since_s = self._position
        if reason:
            return Health(Status.FAILING, reason)
        if not threading.main_thread().is_alive():
            return Health(Status.FAILING, "its main thread has ended, and other threads hold the process")
        if stage is MainThreadStage.LEAVING:
            return _leaving_health(time.monotonic() - since_s)
        if stage is MainThreadStage.CONSTRUCTED and self._has_settled(since_s):
            self._position = MainThreadStage.WORKING, "", time.monotonic()
            stage = MainThreadStage.WORKING
        if stage is not MainThreadStage.WORKING:
            waits = (
                "its constructor has not returned"
                if stage is MainThreadStage.CONSTRUCTING
                else self.waiting_reason
            )
            return Health(Status.STARTING, waits or "`run` has not been entered")
        return self._working_health()

    def _working_health(self) -> Health:
        running = getattr(self._agent, "running", True)
        if running is False and self._was_running:
            return Health(Status.STOPPING, "`running` is false")
        self._was_running = self._was_running or running is True
        return Health(Status.OK)

    def _has_settled(self, since_s: float) -> bool:
        if self.waiting_reason or time.monotonic() - since_s < SETTLE_TIME_S:
            return False
        return not any(_is_unsettled(frame) for frame in _main_frames())


def _leaving_health(for_s: float) -> Health:
    if for_s < LEAVE_TIMEOUT_S:
        return Health(Status.STOPPING, "it has left its work loop")
    return Health(Status.FAILING, f"it left its work loop {for_s:.0f} s ago and has not ended")


def _main_frames() -> Iterator[FrameType]:
    """Yield the frames of the main thread, innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame:
        yield frame
        frame = frame.f_back


def _is_unsettled(frame: FrameType) -> bool:
    """Return whether a frame will call a `run`, or is an ending: then the main thread is not settled."""
    names = frame.f_code.co_names
    if str(frame.f_globals.get("__name__")).partition(".")[0] in sys.stdlib_module_names:
        return False  # `asyncio.run` has a `run` of its own inside
    if frame.f_code.co_name in _CLEANUP_FUNCTIONS:
        return True
    return "run" in names and "asyncio" not in names and not _is_in_plain_loop(frame)


def _is_in_plain_loop(frame: FrameType) -> bool:
    """Return whether a frame is inside a loop that calls no `run`: a main block that waits by itself."""
    import dis  # noqa: PLC0415 - only for the rare program whose text has both

    steps, at = list(dis.get_instructions(frame.f_code)), frame.f_lasti
    for jump in steps:
        if "JUMP_BACKWARD" in jump.opname and jump.argval <= at <= jump.offset:
            return not any(
                jump.argval <= step.offset <= jump.offset and step.argval == "run" for step in steps
            )
    return False
