"""Kills agents of a running fleet and times the supervisor's reports, or the agent's next answer."""

from __future__ import annotations

import os
import select
import signal
import time

import msgspec

from argosy.engine.control.control_client import ControlClient, connect
from argosy.engine.process.os_process import read_environ
from argosy.engine.protocol.messages import AgentStateChanged, Subscribe
from argosy.engine.protocol.state_machine import State
from argosy.fault import Fault, RefusedError
from testbed.fleet_environment import FleetEnvironment
from testbed.health_polling import wait_until_all_healthy
from testbed.process_usage import descendants

_WITHIN_S = 15.0
_PAUSE_S = 0.001
# Lets earlier requests to the supervisor and the start of the last agent finish before the kill.
_SETTLE_S = 0.05


class KillLatency(msgspec.Struct, frozen=True):
    """Milliseconds from the SIGKILL to the report that the agent exited and to the report that it is ready.

    If several agents share the process: the first exit report, and the last ready report.
    exited_ms: until the kernel had ended the process; nothing can notice the exit earlier.
    """

    exited_ms: float
    noticed_ms: float
    ready_again_ms: float


def measure_kill(fleet_env: FleetEnvironment, agent: str) -> KillLatency:
    """Kill an agent's process and return when the supervisor reported its exit and its readiness.

    Raises RefusedError: there is no supervisor, or it reported nothing for 15 s.
    """
    client = connect(fleet_env.folder, "bench")
    if client is None:
        raise RefusedError(Fault("bench", "no-supervisor", "the supervisor of the fleet is not running"))
    with client:
        pid, members = _process_of(client, agent)
        client.send(Subscribe())
        client.fetch_status()  # its answer shows that the subscription is active
        time.sleep(_SETTLE_S)
        began = time.monotonic()
        exited = _kill(pid)
        gone: set[str] = set()
        noticed = 0.0
        while gone or not noticed:
            told = _next_change(client, agent)
            if told.agent in members and told.state is State.READY:
                gone.discard(told.agent)
            elif told.agent in members:
                gone |= members if not noticed else {told.agent}
                noticed = noticed or time.monotonic()
        return KillLatency(
            (exited - began) * 1000, (noticed - began) * 1000, (time.monotonic() - began) * 1000
        )


def _kill(pid: int) -> float:
    """Kill a process and return the time at which it had exited."""
    ended = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.poll(_WITHIN_S * 1000)
        return time.monotonic()
    finally:
        os.close(ended)


def _process_of(client: ControlClient, agent: str) -> tuple[int, set[str]]:
    """Return the agent's pid and the names of all agents in that process."""
    agents = client.fetch_status().agents
    pid = agents[agent].pid if agent in agents else None
    if pid is None:
        raise RefusedError(Fault(agent, "not-running", f"`{agent}` has no process"))
    return pid, {name for name, each in agents.items() if each.pid == pid}


def _next_change(client: ControlClient, agent: str) -> AgentStateChanged:
    """Return the next state change that the client receives."""
    while True:
        try:
            answer = client.receive(_WITHIN_S)
        except TimeoutError:
            raise RefusedError(
                Fault(agent, "no-report", f"the supervisor reported nothing for {_WITHIN_S:g} s")
            ) from None
        if isinstance(answer, AgentStateChanged):
            return answer


def measure_recovery_ms(fleet_env: FleetEnvironment, agent: str) -> float:
    """Kill an agent of any launcher; return the milliseconds until its next process answers `ok`.

    Raises RefusedError: the agent has no process, or its next process does not answer within 15 s.
    """
    pid = next((pid for pid in descendants() if read_environ(pid).get("ARGOSY_AGENT") == agent), None)
    if pid is None:
        raise RefusedError(Fault(agent, "not-running", f"`{agent}` has no process"))
    time.sleep(_SETTLE_S)
    began = time.monotonic()
    _kill(pid)
    wait_until_all_healthy({agent: fleet_env.ports[agent]}, _WITHIN_S, pause_s=_PAUSE_S)
    return (time.monotonic() - began) * 1000
