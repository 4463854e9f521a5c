"""Faults on purpose in a running fleet: when each was noticed, and when its agent was ready again.

The supervisor sends the signal to the process of one agent; the drill then only listens to what it tells.
What it tells carries its own clock, so that a slow listener makes no difference. One strike at a time: the
next begins when the last has come to its end. At the end the fleet is as it was, or what is not is named.
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

from argosy.engine.client import Client, SupervisorLostError, connect_running
from argosy.engine.folder import Folder
from argosy.engine.messages import (
    AgentStatus,
    Answer,
    Changed,
    Disrupt,
    Disrupted,
    Report,
    Restart,
    Restarted,
    Subscribe,
    Thaw,
)
from argosy.engine.process import open_pid
from argosy.engine.state import FINAL_STATES, READY_STATES, State
from argosy.fault import Fault, InputError, RefusedError

Kind = Literal["kill", "freeze"]

LULL_S = (0.5, 2.0)


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

    def ready(self) -> list[str]:
        """Return the agents that are ready."""
        return [name for name, status in self.agents().agents.items() if status.state in READY_STATES]

    def check(self, agent: str, kind: Kind) -> None:
        """Raises InputError: there is no such agent on this machine."""
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

    def strike(self, agent: str, kind: Kind, *, is_watched: bool = True) -> Strike:
        """Have the signal sent, and wait for what comes of it.

        is_watched: its `liveness` ends it when it is frozen; else its silence is all there is to notice.
        Raises RefusedError: the agent is not ready.
        """
        sent = self._disrupt(agent, kind)
        until_s = sent.at_s + self._within_s
        noticed = self._await(agent, sent.at_s, until_s, _is_down if is_watched else _is_silent)
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
            pid=sent.pid,
            noticed_ms=_after_ms(sent.at_s, noticed.at_s if noticed else None),
            recovered_ms=_after_ms(sent.at_s, recovered_s),
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
        """Let a process go on that was frozen and is still there, with or without a supervisor."""
        with contextlib.suppress(SupervisorLostError):
            self._listener.send(Thaw())
        if self._frozen is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._frozen, signal.SIGCONT)
            os.close(self._frozen)
            self._frozen = None

    def restore(self, names: Collection[str]) -> Restoration:
        """Wait until these are ready again, and start those that will not come by themselves."""
        until_s = time.monotonic() + self._within_s
        tried: set[str] = set()
        is_starting = False
        with self._connect() as client:
            client.send(Subscribe())
            while True:
                agents = self.agents().agents
                missing = {name: agents[name] for name in names if _is_missing(agents.get(name))}
                ended = [name for name, status in missing.items() if _has_ended(status) and name not in tried]
                if ended and not is_starting:
                    client.send(Restart(names=ended))
                    tried.update(ended)
                    is_starting = True
                left_s = until_s - time.monotonic()
                is_hopeless = not is_starting and all(each.state in FINAL_STATES for each in missing.values())
                if is_hopeless or left_s <= 0:
                    return _restoration(names, agents, missing)
                is_starting = not _await_news(client, left_s) and is_starting

    def _disrupt(self, agent: str, kind: Kind) -> Disrupted:
        self._drain()
        self._listener.send(Disrupt(agent=agent, kind=kind, within_s=self._within_s))
        answer: Answer = self._listener.receive(self._within_s)
        while not isinstance(answer, Disrupted):
            answer = self._listener.receive(self._within_s)
        if kind == "freeze":
            self._frozen = open_pid(answer.pid)
        return answer

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


def _await_news(client: Client, within_s: float) -> bool:
    """Wait until something is told; return whether that is the end of a restart, done or refused."""
    try:
        return isinstance(client.receive(within_s), Restarted)
    except TimeoutError:
        return False
    except SupervisorLostError:
        raise
    except RefusedError:  # somebody else changes the fleet; what comes of that is looked at
        return True


class Restoration(msgspec.Struct, frozen=True):
    """How the agents are that were ready before a drill: together they are all of those.

    restored: ready. not_restored: name to reason. stopped: somebody has stopped or removed them meanwhile.
    """

    restored: list[str]
    not_restored: dict[str, str]
    stopped: list[str]


def _restoration(
    names: Collection[str], agents: Mapping[str, AgentStatus], missing: Mapping[str, AgentStatus]
) -> Restoration:
    reasons = {name: f"{status.state.value}: {status.reason}" for name, status in missing.items()}
    stopped = [name for name in names if name not in agents or _is_stopped(agents[name])]
    restored = [name for name in names if name not in missing and name not in stopped]
    return Restoration(restored, reasons, stopped)


def _is_missing(status: AgentStatus | None) -> bool:
    return status is not None and status.state not in READY_STATES and not _is_stopped(status)


def _has_ended(status: AgentStatus) -> bool:
    return status.state in (State.EXITED, State.GIVEN_UP)


def _is_stopped(status: AgentStatus) -> bool:
    """Return whether a person has stopped it."""
    return status.state is State.EXITED and status.reason == "stopped"


def at_random(
    drill: Drill,
    ways: Mapping[str, Sequence[Kind]],
    seconds: float,
    chance: random.Random,
    lull_s: tuple[float, float] = LULL_S,
) -> Iterator[tuple[str, Kind]]:
    """Yield whom to strike next and how, until the time is over; only agents that are ready are struck.

    ways: who may be struck, and how. lull_s: the least and the most time between two strikes.
    """
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(min(chance.uniform(*lull_s), max(end_s - time.monotonic(), 0)))
        ready = [name for name in drill.ready() if name in ways]
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
