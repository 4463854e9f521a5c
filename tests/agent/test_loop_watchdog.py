"""Blocked loops: the handler that blocks is reported once, and a stopped process is ignored."""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from argosy.agent import Agent, event, every, request
from argosy.agent.loop_watchdog import BlockedLoop, LoopWatchdog, find_blocker

LIMIT_S = 0.1


class Busy(Agent):
    name = "Busy"  # type: ignore[assignment]
    look: Callable[[], None]

    @request(short=True)
    def asked(self) -> None:
        self._helper()

    @event("told")
    def told(self, word: str) -> None:
        self.look()

    @every("1s")
    def timely(self) -> None:
        self.look()

    def _helper(self) -> None:
        self.look()

    def stop(self) -> None:  # type: ignore[override]
        self.look()


def find_blocker_in(method: str, *args: object) -> BlockedLoop:
    """Return who holds the thread while a method of an agent runs."""
    found: list[BlockedLoop] = []
    agent = Busy.__new__(Busy)

    def look() -> None:
        frame: FrameType = sys._getframe()
        found.append(find_blocker(frame))

    agent.look = look
    getattr(agent, method)(*args)
    return found[0]


@pytest.mark.parametrize(
    ("method", "args", "handler"),
    [
        ("asked", (), "asked"),
        ("told", ("x",), "told"),
        ("timely", (), "timely"),
        ("stop", (), "stop"),
        ("_helper", (), "_helper"),
    ],
)
def test_blocked_loop_report_names_agent_and_handler(
    method: str, args: tuple[object, ...], handler: str
) -> None:
    found = find_blocker_in(method, *args)
    assert (found.agent, found.handler) == ("Busy", handler)
    assert found.location.startswith(f"{__file__}:")
    assert "in look" in found.stack
    assert f"`Busy` runs `{handler}`" in found.describe(1.5)


def test_blocked_loop_report_without_agent_names_no_method() -> None:
    found = find_blocker(sys._getframe())
    assert (found.agent, found.handler) == ("", "")
    assert found.describe(0.5).startswith(
        "the work loop has been blocked for 0.5 s: no agent's method runs ("
    )


@pytest.fixture
def watched() -> Iterator[tuple[LoopWatchdog, queue.Queue[float], list[float]]]:
    frozen: queue.Queue[float] = queue.Queue()
    unblocked: list[float] = []
    watchdog = LoopWatchdog(LIMIT_S, lambda _, seconds: frozen.put(seconds), unblocked.append)
    yield watchdog, frozen, unblocked
    watchdog.close()


def test_loop_watchdog_reports_block_and_its_end_once(
    watched: tuple[LoopWatchdog, queue.Queue[float], list[float]],
) -> None:
    watchdog, frozen, unblocked = watched
    watchdog.heartbeat()
    began = time.monotonic()
    assert frozen.get(timeout=10) >= LIMIT_S
    with pytest.raises(queue.Empty):
        frozen.get(timeout=3 * LIMIT_S)
    watchdog.heartbeat()
    assert len(unblocked) == 1
    assert unblocked[0] >= time.monotonic() - began - 0.01
    watchdog.heartbeat()
    assert len(unblocked) == 1


def test_loop_watchdog_reports_nothing_with_heartbeats(
    watched: tuple[LoopWatchdog, queue.Queue[float], list[float]],
) -> None:
    watchdog, frozen, unblocked = watched
    end = time.monotonic() + 4 * LIMIT_S
    while time.monotonic() < end:
        watchdog.heartbeat()
    assert (frozen.qsize(), unblocked) == (0, [])


STOPPED = """
import sys, threading
from argosy.agent.loop_watchdog import LoopWatchdog
frozen = threading.Event()
watchdog = LoopWatchdog(0.5, lambda *_: frozen.set(), lambda _: None)
print("up", flush=True)
sys.stdin.readline()
print("frozen" if frozen.wait(0.3) else "calm", flush=True)
"""


def test_loop_watchdog_ignores_sigstop_of_process() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        # Longer than the limit, by the clock that it goes by.
        assert select.select([process.stdout], [], [], 0.8) == ([], [], [])
        process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "calm\n"
        process.kill()
