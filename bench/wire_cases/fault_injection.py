"""Kills agents with SIGKILL, freezes them with SIGSTOP, at random, and starts them again."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Final

from wire_cases.bench_processes import BenchProcesses, Server
from wire_cases.echo_agent import EXECUTION_LOG_VARIABLE

TARGET: Final = "wire_cases.echo_agent:Echo"
_BETWEEN_S: Final = (0.3, 1.2)
_DOWN_S: Final = (0.0, 0.6)
_FROZEN_S: Final = (0.1, 2.5)
_SHARE_KILLED: Final = 0.7


class FaultTarget:
    """One agent and its state; `due_s` is the time of its next fault."""

    def __init__(self, processes: BenchProcesses, name: str) -> None:
        self.name = name
        self.execution_log = processes.folder / f"ledger.{name}"
        self.server: Server | None = None
        self.is_stopped = False
        self.due_s = 0.0
        self._processes = processes

    def start(self) -> None:
        """Start it without waiting; its callers wait."""
        self.server = self._processes.launch_agent(
            self.name, TARGET, **{EXECUTION_LOG_VARIABLE: str(self.execution_log)}
        )

    def wait_until_ready(self) -> None:
        """Return when it accepts requests; raises RefusedError if it exits before."""
        assert self.server is not None
        self.server.wait_until_ready()

    def kill(self) -> None:
        """Kill and reap it."""
        if self.server:
            self.server.end()
        self.server, self.is_stopped = None, False

    def stop(self) -> None:
        """Stop it by SIGSTOP."""
        self._signal(signal.SIGSTOP)
        self.is_stopped = True

    def resume(self) -> None:
        """Resume it by SIGCONT."""
        self._signal(signal.SIGCONT)
        self.is_stopped = False

    def _signal(self, number: signal.Signals) -> None:
        assert self.server is not None
        os.kill(self.server.pid, number)


class FaultInjector:
    """Injects faults by a seed. never_killed: the target that is only frozen."""

    def __init__(self, targets: list[FaultTarget], never_killed: FaultTarget, seed: int) -> None:
        self.kills = 0
        self.freezes = 0
        self._targets = [*targets, never_killed]
        self._spared = never_killed
        self._random = random.Random(seed)

    def step(self, now_s: float) -> None:
        """Inject the faults that are due."""
        for target in self._targets:
            if now_s >= target.due_s:
                target.due_s = now_s + self._act(target)

    def end(self) -> None:
        """Start or resume all targets."""
        for target in self._targets:
            if target.server is None:
                target.start()
            elif target.is_stopped:
                target.resume()

    def _act(self, target: FaultTarget) -> float:
        """Inject the next fault and return the seconds until the one after it."""
        if target.server is None:
            target.start()
            return self._random.uniform(*_BETWEEN_S) * len(self._targets)
        if target.is_stopped:
            target.resume()
            return self._random.uniform(*_BETWEEN_S) * len(self._targets)
        if target is not self._spared and self._random.random() < _SHARE_KILLED:
            target.kill()
            self.kills += 1
            return self._random.uniform(*_DOWN_S)
        target.stop()
        self.freezes += 1
        return self._random.uniform(*_FROZEN_S)


def execution_logs(targets: list[FaultTarget]) -> list[Path]:
    """Return the execution logs of the targets."""
    return [target.execution_log for target in targets]
