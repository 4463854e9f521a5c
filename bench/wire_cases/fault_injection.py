"""Kills agents with SIGKILL and freezes them with SIGSTOP, at random, and starts them again."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Final

from wire_cases.bench_processes import Crew, Server
from wire_cases.echo_agent import LEDGER

TARGET: Final = "wire_cases.echo_agent:Echo"
_BETWEEN_S: Final = (0.3, 1.2)
_DOWN_S: Final = (0.0, 0.6)
_FROZEN_S: Final = (0.1, 2.5)
_SHARE_KILLED: Final = 0.7


class Victim:
    """One agent and what is happening to it; `due_s` is when the next thing does."""

    def __init__(self, crew: Crew, name: str) -> None:
        self.name = name
        self.ledger = crew.folder / f"ledger.{name}"
        self.server: Server | None = None
        self.is_frozen = False
        self.due_s = 0.0
        self._crew = crew

    def start(self) -> None:
        """Start it, and do not wait: its callers do."""
        self.server = self._crew.launch_agent(self.name, TARGET, **{LEDGER: str(self.ledger)})

    def wait_until_ready(self) -> None:
        """Return when it takes requests; raises RefusedError when it ends before."""
        assert self.server is not None
        self.server.wait_until_ready()

    def kill(self) -> None:
        """Kill it, and reap it."""
        if self.server:
            self.server.end()
        self.server, self.is_frozen = None, False

    def freeze(self) -> None:
        """Stop all its threads where they are."""
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def _signal(self, number: signal.Signals) -> None:
        assert self.server is not None
        os.kill(self.server.pid, number)


class Havoc:
    """What happens to the victims, decided by a seed. spared: is frozen at times, and never killed."""

    def __init__(self, victims: list[Victim], spared: Victim, seed: int) -> None:
        self.kills = 0
        self.freezes = 0
        self._victims = [*victims, spared]
        self._spared = spared
        self._random = random.Random(seed)

    def step(self, now_s: float) -> None:
        """Do to each victim what is due."""
        for victim in self._victims:
            if now_s >= victim.due_s:
                victim.due_s = now_s + self._act(victim)

    def end(self) -> None:
        """Let everybody live again."""
        for victim in self._victims:
            if victim.server is None:
                victim.start()
            elif victim.is_frozen:
                victim.thaw()

    def _act(self, victim: Victim) -> float:
        """Do the next thing and return the seconds until the one after it."""
        if victim.server is None:
            victim.start()
            return self._random.uniform(*_BETWEEN_S) * len(self._victims)
        if victim.is_frozen:
            victim.thaw()
            return self._random.uniform(*_BETWEEN_S) * len(self._victims)
        if victim is not self._spared and self._random.random() < _SHARE_KILLED:
            victim.kill()
            self.kills += 1
            return self._random.uniform(*_DOWN_S)
        victim.freeze()
        self.freezes += 1
        return self._random.uniform(*_FROZEN_S)


def ledgers(victims: list[Victim]) -> list[Path]:
    """Return the logs of what the agents executed, in all their lives."""
    return [victim.ledger for victim in victims]
