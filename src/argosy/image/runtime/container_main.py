"""The main process of a container: starts its agents through a supervisor and stops them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from argosy.engine.control.control_client import ControlClient, SupervisorLostError, SupervisorStoppedError
from argosy.engine.protocol.messages import (
    AgentStateChanged,
    Apply,
    ApplySummary,
    ControlReply,
    Stop,
    Stopped,
    Subscribe,
)
from argosy.engine.state.state_dir import locate_state_dir
from argosy.engine.supervisor.connect_or_start import connect_or_start
from argosy.fault import ArgosyError, Fault, InputError
from argosy.fleet import Fleet, load_fleet, place
from argosy.fleet.fleet_spec import AgentSpec
from argosy.image.runtime.dependency_wait import remote_dependencies, wait_until_ready
from argosy.image.runtime.image_paths import FLEET_FILE

_STOP_TIMEOUT_S = 10.0
_NO_TIMEOUT_S = 10.0**9


class _StopRequestedError(Exception):
    """The container received SIGTERM or SIGINT."""


def run_container(path: str | None, *, skips_dependencies: bool = False) -> int:
    """Run the agents of ARGOSY_MACHINE until SIGTERM or SIGINT; return the container's exit code.

    path: of the fleet file; by default that of an image. skips_dependencies: do not wait for agents of other
    containers. The exit code is 0 after an ordered stop, or when no agent is left to run and none failed, and
    1 when an agent failed for good or could not be started.
    """
    try:
        signal.signal(signal.SIGTERM, _raise_stop_requested)
        signal.signal(signal.SIGINT, _raise_stop_requested)
        return _ContainerRun(Path(path or os.environ.get("ARGOSY_FLEET_FILE") or FLEET_FILE)).run(
            skips_dependencies
        )
    except _StopRequestedError:
        return 0  # no agent had been started
    except ArgosyError as error:
        for fault in error.faults:
            _print_line(f"error: {fault}")
        return error.exit_code


def _raise_stop_requested(*_: object) -> NoReturn:
    raise _StopRequestedError


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class _ContainerRun:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.fleet = load_fleet(file)
        self.placement = place(self.fleet, os.environ.get("ENV_TYPE") or "container", os.environ)
        self.machine = _machine_name(self.fleet)
        self.state_dir = locate_state_dir(file)

    def run(self, skips_dependencies: bool) -> int:
        """Wait for dependencies, start the agents and follow them."""
        dependencies = (
            () if skips_dependencies else remote_dependencies(self.fleet, self.placement, self.machine)
        )
        asyncio.run(wait_until_ready(dependencies, _print_line))
        while True:
            client = connect_or_start(self.file, self.fleet.name, self.state_dir, "container")
            try:
                with client:
                    return self.follow(client)
            except SupervisorStoppedError as error:
                return 1 if error.running else 0
            except SupervisorLostError:
                _print_line("the supervisor exited; starting another one, which adopts the running agents")

    def follow(self, client: ControlClient) -> int:
        """Apply the fleet and print transitions, until a stop is requested or no agent is left to run."""
        try:
            client.send(self._apply_request())
            client.send(Subscribe())
            for answer in client.stream():
                code = self._report(answer)
                if code is not None:
                    return code
        except _StopRequestedError:
            return self.stop(client)
        raise AssertionError("the stream ends with an error")

    def _apply_request(self) -> Apply:
        return Apply(
            fleet=local_fleet(self.fleet, self.machine),
            environment=self.placement.environment,
            machine=self.machine,
            environ={name.decode(errors="replace"): value for name, value in os.environb.items()},
            timeout_s=_NO_TIMEOUT_S,
        )

    def _report(self, message: ControlReply) -> int | None:
        """Print a transition; return the exit code when no agent of the container will ever run."""
        if isinstance(message, AgentStateChanged):
            reason = f" ({message.reason})" if message.reason else ""
            last_lines = [f"\n  | {line}" for line in message.last_lines]
            _print_line(f"{message.agent}: {message.state}{reason}{''.join(last_lines)}")
        elif isinstance(message, ApplySummary):
            _print_line(f"{len(message.ready)} of {message.declared - len(message.left_out)} agents ready")
            return None if message.ready or not message.not_ready else 1
        return None

    def stop(self, client: ControlClient) -> int:
        """Stop the agents in order and return the exit code."""
        client.send(Stop())
        try:
            for answer in client.stream():
                if isinstance(answer, Stopped):
                    _print_line(f"{len(answer.stopped)} agents stopped, {len(answer.killed)} killed")
                    break
        except SupervisorLostError:
            return 1
        client.wait_exit(_STOP_TIMEOUT_S)
        return 0


def _machine_name(fleet: Fleet) -> str:
    """Return the name of this container.

    Raises InputError: ARGOSY_MACHINE names no machine of the fleet.
    """
    name = os.environ.get("ARGOSY_MACHINE", "")
    if name in fleet.machines:
        return name
    listed = ", ".join(f"`{each}`" for each in fleet.machines)
    message = f"found `{name}`, expected one of the fleet's containers: {listed}"
    raise InputError(Fault("ARGOSY_MACHINE", "unknown-machine", message, "`-e ARGOSY_MACHINE=NAME`"))


def local_fleet(fleet: Fleet, machine: str) -> Fleet:
    """Return the fleet for the supervisor of one container: needs on other machines become wants."""
    agents = {
        name: _local_agent(agent, fleet) if agent.machine == machine else agent
        for name, agent in fleet.agents.items()
    }
    return msgspec.structs.replace(fleet, agents=agents)


def _local_agent(agent: AgentSpec, fleet: Fleet) -> AgentSpec:
    local_needs = tuple(need for need in agent.needs if fleet.agents[need.agent].machine == agent.machine)
    remote_needs = [need.agent for need in agent.needs if fleet.agents[need.agent].machine != agent.machine]
    return msgspec.structs.replace(
        agent, needs=local_needs, wants=tuple(dict.fromkeys([*agent.wants, *remote_needs]))
    )
