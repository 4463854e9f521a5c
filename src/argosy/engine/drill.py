"""Faults on purpose in a running fleet: when each was noticed, and when its agent was ready again.

A strike sends a signal to the process of one agent, and then only listens to what the supervisor tells. What
it tells carries its own clock, so that a slow listener makes no difference. One strike at a time: the next
begins when the last has come to its end.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from argosy.engine.client import Client, connect_running
from argosy.engine.folder import Folder
from argosy.engine.messages import Changed, Report, Subscribe
from argosy.engine.process import open_pid
from argosy.engine.state import FINAL_STATES, READY_STATES
from argosy.fault import Fault, InputError, RefusedError

Kind = Literal["kill", "freeze"]

_SIGNALS: dict[Kind, int] = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}
_LULL_S = (0.5, 2.0)


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """One fault and what came of it.

    noticed_ms: from the signal until the supervisor told of it; recovered_ms: until the agent was ready
    again; None: it did not happen. noticed: what was told of it then. note: why something did not happen.
    """

    agent: str
    kind: Kind
    pid: int
    noticed_ms: float | None
    recovered_ms: float | None
    noticed: str = ""
    note: str = ""

    def is_well(self) -> bool:
        """Return whether it was noticed, and its agent is ready again."""
        return self.noticed_ms is not None and self.recovered_ms is not None


class Drill:
    """Strikes at agents of one running fleet. Use as a context manager.

    within_s: how long a fault may take to be noticed, and its agent to be ready again.
    Raises RefusedError: the fleet is not running.
    """

    def __init__(self, folder: Folder, within_s: float, where: str) -> None:
        self._folder = folder
        self._within_s = within_s
        self._where = where
        self._listener = self._connect()
        self._listener.send(Subscribe())
        self._frozen: int | None = None

    def __enter__(self) -> Drill:
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        with self._listener:
            pass

    def agents(self) -> Report:
        """Return the fleet as it is."""
        with self._connect() as client:
            return client.report()

    def strike(self, agent: str, kind: Kind, *, is_watched: bool = True) -> Strike:
        """Send the signal, and wait for what comes of it.

        is_watched: its `liveness` ends it when it is frozen; else its silence is all there is to notice.
        Raises InputError: there is no such agent here. Raises RefusedError: it is not ready.
        """
        report = self.agents()
        known = report.at_home()
        if agent in report.agents and agent not in known:
            machine = report.agents[agent].machine
            message = f"`{agent}` runs on machine `{machine}`; a drill strikes where it is typed"
            hint = f"`argosy drill --{kind} {agent}` on `{machine}`"
            raise InputError(Fault(agent, "other-machine", message, hint))
        if agent not in known:
            hint = "`argosy status` lists them"
            raise InputError(Fault(agent, "unknown-agent", f"no agent `{agent}` runs here", hint))
        status = known[agent]
        if status.pid is None or status.state not in READY_STATES:
            message = f"`{agent}` is {status.state.value}, and cannot be struck"
            raise RefusedError(Fault(agent, "not-ready", message, "wait until it is ready"))
        self._drain()
        at_s = self._hit(status.pid, kind)
        noticed = self._await(agent, at_s, at_s + self._within_s, _is_silent if not is_watched else _is_down)
        self.thaw()
        recovered_s, note = None, ""
        if noticed is None:
            note = _unnoticed(kind, self._within_s)
        elif noticed.state in FINAL_STATES:
            note = f"{noticed.state.value}: {noticed.reason}"
        else:
            recovered_s, note = self._await_recovery(agent, noticed.at_s)
        return Strike(
            agent=agent,
            kind=kind,
            pid=status.pid,
            noticed_ms=_after_ms(at_s, noticed.at_s if noticed else None),
            recovered_ms=_after_ms(at_s, recovered_s),
            noticed=noticed.reason if noticed else "",
            note=note,
        )

    def _await_recovery(self, agent: str, since_s: float) -> tuple[float | None, str]:
        """Return when the agent was told to be ready again, or why it never will be."""
        told = self._await(agent, since_s, time.time() + self._within_s, _is_up)
        if told is None:
            return None, f"it was not ready again within {self._within_s:g} s"
        if told.state in FINAL_STATES:
            return None, f"{told.state.value}: {told.reason}"
        return told.at_s, ""

    def thaw(self) -> None:
        """Let a process go on that was frozen and is still there."""
        if self._frozen is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._frozen, signal.SIGCONT)
            os.close(self._frozen)
            self._frozen = None

    def _hit(self, pid: int, kind: Kind) -> float:
        """Send the signal; return when, as epoch seconds."""
        handle = open_pid(pid)
        if handle is None:
            message = f"process {pid} has just ended by itself"
            raise RefusedError(Fault(str(pid), "ended", message, "try again"))
        at_s = time.time()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, _SIGNALS[kind])
        if kind == "freeze":
            self._frozen = handle
        else:
            os.close(handle)
        return at_s

    def _await(
        self, agent: str, since_s: float, until_s: float, is_it: Callable[[Changed], bool]
    ) -> Changed | None:
        """Return the first that was told of the agent and `is_it`, or that it has come to its end."""
        while (left_s := until_s - time.time()) > 0:
            try:
                answer = self._listener.receive(left_s)
            except TimeoutError:
                break
            if not isinstance(answer, Changed) or answer.agent != agent or answer.at_s < since_s:
                continue
            if answer.state in FINAL_STATES or is_it(answer):
                return answer
        return None

    def _drain(self) -> None:
        """Read what was told before."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._listener.receive(0.001)

    def _connect(self) -> Client:
        return connect_running(self._folder, "drill", self._where)


def at_random(
    drill: Drill, ways: Mapping[str, Sequence[Kind]], seconds: float, chance: random.Random
) -> Iterator[tuple[str, Kind]]:
    """Yield whom to strike next and how, until the time is over; only agents that are ready are struck.

    ways: who may be struck, and how.
    """
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(min(chance.uniform(*_LULL_S), max(end_s - time.monotonic(), 0)))
        ready = [
            name
            for name, status in drill.agents().agents.items()
            if status.state in READY_STATES and status.pid is not None and name in ways
        ]
        if ready and time.monotonic() < end_s:
            name = chance.choice(sorted(ready))
            yield name, chance.choice(ways[name])


def _is_down(told: Changed) -> bool:
    return told.state not in READY_STATES


def _is_silent(told: Changed) -> bool:
    return told.is_silent or _is_down(told)


def _is_up(told: Changed) -> bool:
    return told.state in READY_STATES and not told.is_silent


def _unnoticed(kind: Kind, within_s: float) -> str:
    told = f"nobody noticed within {within_s:g} s"
    return (
        f"{told}; a `liveness` of it, or a longer `--within`, lets a freeze be seen"
        if kind == "freeze"
        else told
    )


def _after_ms(at_s: float, then_s: float | None) -> float | None:
    return None if then_s is None else round(max(then_s - at_s, 0.0) * 1000, 2)
