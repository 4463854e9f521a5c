"""Fault drills in a running fleet: when each fault was noticed, and when its agent was ready again.

The supervisor sends the signal to the process of one agent; the drill only reads the supervisor's events.
Their time stamps are the supervisor's, so a slow drill process does not distort them. Faults are injected one
at a time. At the end the fleet is restored, and agents that are not are reported.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from argosy.engine.control.control_client import ControlClient, SupervisorLostError, connect_running
from argosy.engine.process.os_process import open_pid
from argosy.engine.protocol.messages import (
    AgentStateChanged,
    AgentStatus,
    ControlReply,
    FaultInjected,
    FleetStatus,
    InjectFault,
    Restart,
    Restarted,
    ResumeProcess,
    Subscribe,
)
from argosy.engine.protocol.state_machine import FINAL_STATES, READY_STATES, State
from argosy.engine.state.state_dir import StateDir
from argosy.fault import Fault, InputError, RefusedError

FaultKind = Literal["kill", "freeze"]

PAUSE_RANGE_S = (0.5, 2.0)


class DrillFault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault and its consequences.

    noticed_ms: from the signal until the supervisor reported it; recovered_ms: until the agent was ready
    again; None: it did not happen. noticed: the reason reported then. note: why something did not happen.
    """

    agent: str
    kind: FaultKind
    pid: int
    noticed_ms: float | None
    recovered_ms: float | None
    noticed: str = ""
    note: str = ""

    def is_recovered(self) -> bool:
        """Return whether it was noticed, and its agent is ready again."""
        return self.noticed_ms is not None and self.recovered_ms is not None


class Drill:
    """Injects faults into agents of one running fleet. Use as a context manager.

    timeout_s: how long it may take to notice a fault, and the agent to be ready again.
    Raises RefusedError: the fleet is not running.
    """

    def __init__(self, state_dir: StateDir, timeout_s: float, where: str) -> None:
        self._state_dir = state_dir
        self._timeout_s = timeout_s
        self._where = where
        self._client = self._connect()
        self._client.send(Subscribe())
        self._frozen_pidfd: int | None = None

    def __enter__(self) -> Drill:
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        with self._client:
            pass

    def fetch_status(self) -> FleetStatus:
        """Return the state of the fleet."""
        with self._connect() as client:
            return client.fetch_status()

    def ready_agents(self) -> list[str]:
        """Return the agents that are ready."""
        return [name for name, status in self.fetch_status().agents.items() if status.state in READY_STATES]

    def check_target(self, agent: str, kind: FaultKind) -> None:
        """Check the target of a fault.

        Raises InputError: there is no such agent on this machine.
        """
        report = self.fetch_status()
        local_agents = report.local_agents()
        if agent in report.agents and agent not in local_agents:
            machine = report.agents[agent].machine
            message = f"`{agent}` runs on machine `{machine}`; a drill injects faults only locally"
            hint = f"`argosy drill --{kind} {agent}` on `{machine}`"
            raise InputError(Fault(agent, "other-machine", message, hint))
        if agent not in local_agents:
            hint = "`argosy status` lists them"
            raise InputError(Fault(agent, "unknown-agent", f"no agent `{agent}` runs here", hint))

    def inject_fault(self, agent: str, kind: FaultKind, *, has_liveness: bool = True) -> DrillFault:
        """Inject the fault, and wait for its consequences.

        has_liveness: a `liveness` probe ends it when it is frozen; otherwise only its silence can be noticed.
        Raises RefusedError: the agent is not ready.
        """
        injected = self._request_fault(agent, kind)
        until_s = injected.at_s + self._timeout_s
        noticed = self._wait_change(agent, injected.at_s, until_s, _is_down if has_liveness else _is_silent)
        self.resume()
        recovered_s, note = None, ""
        if noticed is None:
            note = _describe_unnoticed(kind, self._timeout_s)
        elif noticed.state in FINAL_STATES:
            note = f"{noticed.state.value}: {noticed.reason}"
        else:
            recovered_s, note = self._wait_recovery(agent, noticed.at_s)
        return DrillFault(
            agent=agent,
            kind=kind,
            pid=injected.pid,
            noticed_ms=_elapsed_ms(injected.at_s, noticed.at_s if noticed else None),
            recovered_ms=_elapsed_ms(injected.at_s, recovered_s),
            noticed=noticed.reason if noticed else "",
            note=note,
        )

    def _wait_recovery(self, agent: str, since_s: float) -> tuple[float | None, str]:
        """Return when the agent was reported ready again, or why it will not be."""
        change = self._wait_change(agent, since_s, time.time() + self._timeout_s, _is_up)
        if change is None:
            return None, f"it was not ready again within {self._timeout_s:g} s"
        if change.state in FINAL_STATES:
            return None, f"{change.state.value}: {change.reason}"
        return change.at_s, ""

    def resume(self) -> None:
        """Resume a frozen process if it still exists, with or without a supervisor."""
        with contextlib.suppress(SupervisorLostError):
            self._client.send(ResumeProcess())
        if self._frozen_pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._frozen_pidfd, signal.SIGCONT)
            os.close(self._frozen_pidfd)
            self._frozen_pidfd = None

    def restore(self, names: Collection[str]) -> RestoreReport:
        """Wait until these are ready again, and start those that will not become ready by themselves."""
        until_s = time.monotonic() + self._timeout_s
        tried: set[str] = set()
        is_starting = False
        with self._connect() as client:
            client.send(Subscribe())
            while True:
                agents = self.fetch_status().agents
                missing = {name: agents[name] for name in names if _is_not_ready(agents.get(name))}
                ended = [name for name, status in missing.items() if _has_ended(status) and name not in tried]
                if ended and not is_starting:
                    client.send(Restart(names=ended))
                    tried.update(ended)
                    is_starting = True
                left_s = until_s - time.monotonic()
                cannot_recover = not is_starting and all(
                    each.state in FINAL_STATES for each in missing.values()
                )
                if cannot_recover or left_s <= 0:
                    return _build_restore_report(names, agents, missing)
                is_starting = not _wait_event(client, left_s) and is_starting

    def _request_fault(self, agent: str, kind: FaultKind) -> FaultInjected:
        self._discard_pending()
        self._client.send(InjectFault(agent=agent, kind=kind, max_duration_s=self._timeout_s))
        reply: ControlReply = self._client.receive(self._timeout_s)
        while not isinstance(reply, FaultInjected):
            reply = self._client.receive(self._timeout_s)
        if kind == "freeze":
            self._frozen_pidfd = open_pid(reply.pid)
        return reply

    def _wait_change(
        self, agent: str, since_s: float, until_s: float, matches: Callable[[AgentStateChanged], bool]
    ) -> AgentStateChanged | None:
        """Return the first change of the agent that `matches` or is final; None at the time-out."""
        while (left_s := until_s - time.time()) > 0:
            try:
                reply = self._client.receive(left_s)
            except TimeoutError:
                break
            if not isinstance(reply, AgentStateChanged) or reply.agent != agent or reply.at_s < since_s:
                continue
            if reply.state in FINAL_STATES or matches(reply):
                return reply
        return None

    def _discard_pending(self) -> None:
        """Discard messages received so far."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._client.receive(0.001)

    def _connect(self) -> ControlClient:
        return connect_running(self._state_dir, "drill", self._where)


def _wait_event(client: ControlClient, timeout_s: float) -> bool:
    """Wait for a message; return whether it is the end of a restart, done or refused."""
    try:
        return isinstance(client.receive(timeout_s), Restarted)
    except TimeoutError:
        return False
    except SupervisorLostError:
        raise
    except RefusedError:  # another change is in progress; the next status shows its effect
        return True


class RestoreReport(msgspec.Struct, frozen=True):
    """The agents that were ready before a drill; every one is in one of the lists.

    restored: ready. not_restored: name to reason. stopped: stopped or removed by a user meanwhile.
    """

    restored: list[str]
    not_restored: dict[str, str]
    stopped: list[str]


def _build_restore_report(
    names: Collection[str], agents: Mapping[str, AgentStatus], missing: Mapping[str, AgentStatus]
) -> RestoreReport:
    reasons = {name: f"{status.state.value}: {status.reason}" for name, status in missing.items()}
    stopped = [name for name in names if name not in agents or _is_stopped(agents[name])]
    restored = [name for name in names if name not in missing and name not in stopped]
    return RestoreReport(restored, reasons, stopped)


def _is_not_ready(status: AgentStatus | None) -> bool:
    return status is not None and status.state not in READY_STATES and not _is_stopped(status)


def _has_ended(status: AgentStatus) -> bool:
    return status.state in (State.EXITED, State.GIVEN_UP)


def _is_stopped(status: AgentStatus) -> bool:
    """Return whether a user has stopped it."""
    return status.state is State.EXITED and status.reason == "stopped"


def random_faults(
    drill: Drill,
    kinds_by_agent: Mapping[str, Sequence[FaultKind]],
    seconds: float,
    rng: random.Random,
    pause_range_s: tuple[float, float] = PAUSE_RANGE_S,
) -> Iterator[tuple[str, FaultKind]]:
    """Yield the next agent and fault until the time is over; only ready agents are chosen.

    kinds_by_agent: the agents to choose from, and their kinds of fault. pause_range_s: the minimum and
    maximum time between two faults.
    """
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(min(rng.uniform(*pause_range_s), max(end_s - time.monotonic(), 0)))
        ready = [name for name in drill.ready_agents() if name in kinds_by_agent]
        if ready and time.monotonic() < end_s:
            name = rng.choice(sorted(ready))
            yield name, rng.choice(kinds_by_agent[name])


def _is_down(change: AgentStateChanged) -> bool:
    return change.state not in READY_STATES


def _is_silent(change: AgentStateChanged) -> bool:
    return change.is_silent or _is_down(change)


def _is_up(change: AgentStateChanged) -> bool:
    return change.state in READY_STATES and not change.is_silent


def _describe_unnoticed(kind: FaultKind, timeout_s: float) -> str:
    message = f"not noticed within {timeout_s:g} s"
    return (
        f"{message}; a `liveness` probe, or a longer `--within`, makes a freeze noticeable"
        if kind == "freeze"
        else message
    )


def _elapsed_ms(at_s: float, then_s: float | None) -> float | None:
    return None if then_s is None else round(max(then_s - at_s, 0.0) * 1000, 2)
