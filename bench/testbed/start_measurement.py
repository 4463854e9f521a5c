"""Measures one start of a fleet by one launcher, and starts of single agents."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from argosy.fault import Fault, RefusedError
from launchers import Launcher
from testbed.fleet_environment import FleetEnvironment, prepare_fleet, wait_for_ports
from testbed.health_polling import wait_until_all_healthy
from testbed.process_usage import ResourceMeter, ResourceUsage, busy_s, descendants, kill_all, processor_s_now

_ANSWER_WITHIN_S = 90.0


class StartMeasurement(msgspec.Struct, frozen=True):
    """The measurement of one start.

    wall_s: from the command until every agent has answered `ok`. disturbance: the share of the
    machine's processors that other work used during the start, 0 to 1.
    """

    wall_s: float
    disturbance: float
    agents: int
    usage: ResourceUsage

    @property
    def pss_mib(self) -> float:
        """The proportional memory (PSS) of all processes of the launcher."""
        return self.usage.pss_bytes / 2**20

    @property
    def pss_mib_per_agent(self) -> float:
        """That memory divided by the number of agents."""
        return self.pss_mib / self.agents


def measure_start(
    launcher: Launcher,
    fleet_path: Path,
    ports_within_s: float,
    on_ready: Callable[[FleetEnvironment], None] | None = None,
) -> StartMeasurement:
    """Start the fleet, measure it and stop it.

    on_ready: called with the running fleet after the measurement.
    Raises RefusedError: the fleet did not start, or left a process. Raises MissingError: a port is in use.
    """
    with prepare_fleet(fleet_path) as fleet_env:
        wait_for_ports(fleet_env, ports_within_s)
        try:
            launcher.prepare(fleet_env)
            scale, busy_before_s = ResourceMeter(), busy_s()
            began = time.monotonic()
            launcher.start(fleet_env)
            wait_until_all_healthy(fleet_env.ports, _ANSWER_WITHIN_S)
            wall_s = time.monotonic() - began
            usage, all_s = scale.measure(), busy_s() - busy_before_s
            disturbance = max(0.0, all_s - usage.processor_s) / wall_s / (os.cpu_count() or 1)
            start = StartMeasurement(wall_s, disturbance, len(fleet_env.processes), usage)
            if on_ready:
                on_ready(fleet_env)
            launcher.stop(fleet_env)
        except BaseException:
            kill_all()
            raise
        left = list(descendants())
        if left:
            titles = ", ".join(title for _, title in processor_s_now())
            kill_all()
            raise RefusedError(
                Fault("bench", "left-over", f"`{launcher.name}` left {len(left)} processes running: {titles}")
            )
    return start


def measure_single_starts(fleet_path: Path, ports_within_s: float) -> list[float]:
    """Start each agent without needs alone and return the seconds until it answers."""
    with prepare_fleet(fleet_path) as fleet_env:
        wait_for_ports(fleet_env, ports_within_s)
        return [_measure_single_start(fleet_env, name) for name in fleet_env.graph.levels()[0]]


def _measure_single_start(fleet_env: FleetEnvironment, name: str) -> float:
    process = fleet_env.processes[name]
    began = time.monotonic()
    agent = subprocess.Popen(
        process.argv,
        cwd=process.cwd,
        env=fleet_env.environ | fleet_env.environment_of(name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_all_healthy(
            {name: fleet_env.ports[name]}, _ANSWER_WITHIN_S, lambda: agent.poll() is not None
        )
        return time.monotonic() - began
    finally:
        agent.kill()
        agent.wait()
