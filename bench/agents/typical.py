"""The agent that the goals of the start are about: it imports zmq, yaml, psutil and pydantic and uses them.

A stand-in for an agent as fleets have them: models of its own, settings in YAML, figures of its
process, a port. bench/testbed/fleet_files.py puts it behind each name of a fleet.
"""

from __future__ import annotations

import gc

import psutil
import pydantic
import yaml
import zmq

from argosy.agent import Agent, Health, request

SETTINGS = """
window: 0.5
thresholds: [0.2, 0.5, 0.9]
limits:
  queue: 100
  retries: 3
labels: {kind: typical, tier: one}
"""


class Limits(pydantic.BaseModel):
    """What an agent may take."""

    queue: int = pydantic.Field(gt=0)
    retries: int = 3


class Settings(pydantic.BaseModel):
    """What its settings hold."""

    window: float
    thresholds: list[float]
    limits: Limits
    labels: dict[str, str] = {}


class Reading(pydantic.BaseModel):
    """One value it was given; level: how many thresholds it is above."""

    value: float
    level: int


class TypicalAgent(Agent):
    """Reads its settings, then grades values."""

    async def start(self) -> None:
        """Read the settings and look at its own process."""
        self.settings = Settings.model_validate(yaml.safe_load(SETTINGS))
        self.process = psutil.Process()

    @request
    async def grade(self, value: float) -> dict[str, float]:
        """Return the value with its level."""
        level = sum(value > threshold for threshold in self.settings.thresholds)
        return Reading(value=value, level=level).model_dump()

    @request
    def collect(self) -> int:
        """Run a full garbage collection; return how many objects it found unreachable."""
        return gc.collect()

    def health(self) -> Health:
        """Return what it reads by."""
        return Health(facts={"window": self.settings.window, "libzmq": zmq.zmq_version()})
