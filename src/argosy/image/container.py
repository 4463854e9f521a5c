"""One container's work: its part of the fleet, brought up by a supervisor and ended in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from argosy.engine.client import Client, SupervisorLeftError, SupervisorLostError, connect_or_start
from argosy.engine.folder import folder_of
from argosy.engine.messages import Account, Answer, Apply, Changed, Stop, Stopped, Subscribe
from argosy.fault import ArgosyError, Fault, InputError
from argosy.fleet import Fleet, load_fleet, place
from argosy.fleet.spec import AgentSpec
from argosy.image.gate import gates_of, wait_for
from argosy.image.inside import FLEET_FILE

_END_WITHIN_S = 10.0
_FOR_EVER_S = 10.0**9


class _EndedError(Exception):
    """The container was told to end."""


def run_container(path: str | None, *, is_alone: bool = False) -> int:
    """Run the agents of ARGOSY_MACHINE until told to end; returns the container's exit code.

    path: of the fleet file; default that of an image. is_alone: there is nobody else to wait for.
    The code is 0 when it ended as told, or nothing is left that would go on and all that ended was fine, and
    1 when an agent was given up or could not be started.
    """
    try:
        signal.signal(signal.SIGTERM, _raise_ended)
        signal.signal(signal.SIGINT, _raise_ended)
        return _Container(Path(path or os.environ.get("ARGOSY_FLEET_FILE") or FLEET_FILE)).run(is_alone)
    except _EndedError:
        return 0  # nothing had been started
    except ArgosyError as error:
        for fault in error.faults:
            _tell(f"error: {fault}")
        return error.exit_code


def _raise_ended(*_: object) -> NoReturn:
    raise _EndedError


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class _Container:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.fleet = load_fleet(file)
        self.placement = place(self.fleet, os.environ.get("ENV_TYPE") or "container", os.environ)
        self.machine = _machine(self.fleet)
        self.folder = folder_of(file)

    def run(self, is_alone: bool) -> int:
        """Wait for what is needed, bring the agents up, and follow them."""
        gates = () if is_alone else gates_of(self.fleet, self.placement, self.machine)
        asyncio.run(wait_for(gates, _tell))
        while True:
            client = connect_or_start(self.file, self.fleet.name, self.folder, "container")
            try:
                with client:
                    return self.follow(client)
            except SupervisorLeftError as left:
                return 1 if left.running else 0
            except SupervisorLostError:
                _tell("the supervisor ended; starting the next one, which adopts what runs")

    def follow(self, client: Client) -> int:
        """Apply and show what changes, until the end is asked for or nothing is left to run."""
        try:
            client.send(self.request())
            client.send(Subscribe())
            for answer in client.stream():
                code = self.show(answer)
                if code is not None:
                    return code
        except _EndedError:
            return self.stop(client)
        raise AssertionError("the stream ends by an error")

    def request(self) -> Apply:
        return Apply(
            fleet=alone(self.fleet, self.machine),
            environment=self.placement.environment,
            machine=self.machine,
            environ={name.decode(errors="replace"): value for name, value in os.environb.items()},
            timeout_s=_FOR_EVER_S,
        )

    def show(self, answer: Answer) -> int | None:
        """Tell a transition; return the exit code when nothing of the container will ever run."""
        if isinstance(answer, Changed):
            reason = f" ({answer.reason})" if answer.reason else ""
            _tell("\n".join([f"{answer.agent}: {answer.state}{reason}", *map(_quoted, answer.last_lines)]))
        elif isinstance(answer, Account):
            _tell(f"{len(answer.ready)} of {answer.declared - len(answer.left_out)} agents ready")
            return None if answer.ready or not answer.not_ready else 1
        return None

    def stop(self, client: Client) -> int:
        """Stop in order; a container is given its grace once."""
        client.send(Stop())
        try:
            for answer in client.stream():
                if isinstance(answer, Stopped):
                    _tell(f"{len(answer.stopped)} agents stopped, {len(answer.killed)} killed")
                    break
        except SupervisorLostError:
            return 1
        client.await_end(_END_WITHIN_S)
        return 0


def _quoted(line: str) -> str:
    return f"  | {line}"


def _machine(fleet: Fleet) -> str:
    """Return which container this is.

    Raises InputError: ARGOSY_MACHINE does not say.
    """
    name = os.environ.get("ARGOSY_MACHINE", "")
    if name in fleet.machines:
        return name
    listed = ", ".join(f"`{each}`" for each in fleet.machines)
    message = f"found `{name}`, expected one of the fleet's containers: {listed}"
    raise InputError(Fault("ARGOSY_MACHINE", "unknown-machine", message, "`-e ARGOSY_MACHINE=NAME`"))


def alone(fleet: Fleet, machine: str) -> Fleet:
    """Return the fleet as the supervisor of one container runs it: a need elsewhere has been waited for."""
    agents = {
        name: _alone(agent, fleet) if agent.machine == machine else agent
        for name, agent in fleet.agents.items()
    }
    return msgspec.structs.replace(fleet, agents=agents)


def _alone(agent: AgentSpec, fleet: Fleet) -> AgentSpec:
    here = tuple(need for need in agent.needs if fleet.agents[need.agent].machine == agent.machine)
    away = [need.agent for need in agent.needs if fleet.agents[need.agent].machine != agent.machine]
    return msgspec.structs.replace(agent, needs=here, wants=tuple(dict.fromkeys([*agent.wants, *away])))
