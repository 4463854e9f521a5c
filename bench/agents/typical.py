"""A typical agent, for which the goals of the start bench are set: it uses zmq, yaml, psutil and pydantic.

It has models, settings in YAML, metrics of its process and a port. bench/testbed/fleet_files.py writes fleets
in which every agent is this one.
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
    """The limits of an agent."""

    queue: int = pydantic.Field(gt=0)
    retries: int = 3


class Settings(pydantic.BaseModel):
    """The settings of the agent."""

    window: float
    thresholds: list[float]
    limits: Limits
    labels: dict[str, str] = {}


class Reading(pydantic.BaseModel):
    """One value; level: how many thresholds it exceeds."""

    value: float
    level: int


class TypicalAgent(Agent):
    """Reads its settings, then grades values."""

    async def start(self) -> None:
        """Read the settings and open its own process."""
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
        """Return the window of the settings and the version of libzmq."""
        return Health(facts={"window": self.settings.window, "libzmq": zmq.zmq_version()})
