"""Finds the agents that a restart concerns, on this machine and on others.

Agents of this machine that run older code than the tree, and those whose code could not start again. The
impact on other machines is queried there with `--dry-run` and merged here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.cli.console import paint, print_note, print_reasons
from argosy.engine.control.control_client import connect
from argosy.engine.explain.restart_impact import estimate_impact
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.plan.cell_plan import cell_unit_name
from argosy.engine.protocol.messages import AgentStatus, CommandOutput, FleetStatus, RelayCommand
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.source_snapshot import read_source_snapshot
from argosy.fault import ArgosyError, Fault, InputError
from argosy.fleet.loader import load_fleet
from argosy.fleet.quantities import format_names

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir


class ChangedAgents(NamedTuple):
    """The agents that `--changed` selects.

    stale: agents that run older code than the tree, with the changed files. failed: agents that exited with
    an error and whose code has not changed since, with the reason. remote_impacts: `restart/1` by machine.
    """

    stale: dict[str, tuple[str, ...]]
    failed: dict[str, str]
    remote_impacts: dict[str, dict[str, Any]]


def find_changed(
    report: FleetStatus, path: Path, state_dir: StateDir, names: list[str], *, local_only: bool
) -> ChangedAgents:
    """Return the agents (of `names`, if given) that were started with other code than the tree has.

    Considers running agents and those that failed: given up, exited with an error, or waiting for a restart.
    local_only: only agents of this machine. Raises InputError: there is no such agent here, or the fleet
    file is invalid.
    """
    from argosy.engine.explain.staleness import find_stale_agents  # noqa: PLC0415 - reads sources

    agents = report.local_agents()
    machine_parts = [] if local_only else remote_parts(report, names, all_machines=not names)
    remote_names = {name for part in machine_parts for name in part.names}
    local_names = [name for name in names if name not in remote_names]
    unknown = [name for name in local_names if name not in agents]
    if unknown:
        raise unknown_agents(unknown)
    candidates = {name: agents[name] for name in (local_names if names else agents)}
    started = {
        name: at_s for name, agent in candidates.items() if (at_s := _started_at(name, agent, state_dir))
    }
    stale = find_stale_agents(
        load_fleet(path), started, read_source_snapshot(state_dir.source_snapshot), os.environ
    )
    failed = {
        name: agent.reason for name, agent in candidates.items() if _has_failed(agent) and name not in stale
    }
    remote_impacts = preview_remote_impact(state_dir, machine_parts, ["--changed"])
    for each in remote_impacts.values():
        stale |= {name: tuple(files) for name, files in each["changed"].items()}
        failed |= each.get("down", {})
    return ChangedAgents(stale, failed, remote_impacts)


def _started_at(name: str, agent: AgentStatus, state_dir: StateDir) -> float | None:
    """Return when the agent, or the last process of a failed one, was started; None for other agents."""
    from argosy.engine.explain.staleness import agent_started_at, last_started_at  # noqa: PLC0415 - reads sources

    lease = state_dir.lease_file(cell_unit_name(agent.cell) if agent.cell is not None else name)
    if agent.pid is not None:
        return agent_started_at(agent.pid, lease)
    if _has_failed(agent) or agent.state is State.RESTART_PENDING:
        return last_started_at(lease, agent.since_s)
    return None


def _has_failed(agent: AgentStatus) -> bool:
    return agent.pid is None and (agent.state is State.GIVEN_UP or agent.has_failed)


def unknown_agents(names: Iterable[str]) -> InputError:
    """Return the error that no such agents run here."""
    hint = "`argosy status` lists them"
    return InputError(*(Fault(name, "unknown-agent", f"no agent `{name}` runs here", hint) for name in names))


def find_refused(
    report: FleetStatus, path: Path, state_dir: StateDir, names: Iterable[str]
) -> dict[str, Fault]:
    """Return the agents of this machine that must not be restarted, with the fault.

    Restarting one would stop a process, its own or one that restarts with it, whose code could not start
    again. Empty if the plan or the fleet file cannot be read.
    """
    from argosy.engine.explain.startup_faults import find_startup_faults  # noqa: PLC0415 - reads sources

    applied_plan = load_applied_plan(state_dir)
    if applied_plan is None:
        return {}
    processes = applied_plan.plan.processes
    local_agents = report.local_agents()
    running = {name for name, agent in local_agents.items() if agent.pid is not None and name in processes}
    restarted_with = {
        name: [
            each.agent
            for each in estimate_impact([name], processes, running, {}).outages
            if each.agent in running
        ]
        for name in names
        if name in processes
    }
    commands = {each: processes[each].argv for group in restarted_with.values() for each in group}
    flaws: Mapping[str, Fault] = {}
    with contextlib.suppress(InputError):  # the fleet file may be incomplete during an edit
        flaws = find_startup_faults(load_fleet(path), commands, os.environ) if commands else {}
    return {
        name: flaws[first]
        for name, group in restarted_with.items()
        if (first := next((each for each in group if each in flaws), None)) is not None
    }


def refused_remotely(remote_impacts: Mapping[str, Mapping[str, Any]]) -> dict[str, Fault]:
    """Return the agents that other machines would refuse to restart."""
    return {
        name: Fault(**fault)
        for each in remote_impacts.values()
        for name, fault in each.get("refused", {}).items()
    }


def show_refused(refused: Mapping[str, Fault]) -> None:
    """Print the agents that are not restarted, and why."""
    for name, fault in refused.items():
        print(f"{paint('refused', 'red')}  {name}: {fault.where}: {fault.code} {fault.message}")
        if fault.hint:
            print_note("hint", fault.hint, stream=sys.stdout)
    if refused:
        are, them = ("keeps running", "it") if len(refused) == 1 else ("keep running", "them")
        text = f"{format_names(refused)} {are}; `--anyway` restarts {them} despite this"
        print_note("hint", text, stream=sys.stdout)


def show_failed(failed: Mapping[str, str]) -> None:
    """Print the failed agents whose code has not changed since they were started."""
    print_reasons("down", "red", failed)
    if failed:
        possessive, them = ("its", "it") if len(failed) == 1 else ("their", "them")
        command = f"`argosy restart {' '.join(failed)}`"
        text = f"{possessive} code has not changed since the last start; {command} starts {them} once more"
        print_note("hint", text, stream=sys.stdout)


class RemotePart(NamedTuple):
    """Agents of another machine; no names means all of them."""

    machine: str
    names: list[str]


def remote_parts(report: FleetStatus, names: Collection[str], *, all_machines: bool) -> list[RemotePart]:
    """Return `names` by the other machine they run on; all_machines: include every other machine."""
    local_agents = report.local_agents()
    parts: dict[str, list[str]] = {}
    if all_machines:
        parts = {machine: [] for machine, each in report.machines.items() if each.state != "here"}
    for name in names:
        if name in report.agents and name not in local_agents:
            parts.setdefault(report.agents[name].machine or "", []).append(name)
    return [RemotePart(machine, there) for machine, there in parts.items()]


def preview_remote_impact(
    state_dir: StateDir, parts: Iterable[RemotePart], options: list[str]
) -> dict[str, dict[str, Any]]:
    """Return the object `restart/1` of each machine; warn about one that cannot be queried."""
    found = {}
    for machine, names in parts:
        arguments = ["restart", *names, "--here", "--dry-run", "--json", *options]
        impact = _request_impact(state_dir, machine, arguments)
        if impact is not None:
            found[machine] = impact
    return found


def _request_impact(state_dir: StateDir, machine: str, arguments: list[str]) -> dict[str, Any] | None:
    data = b""
    try:
        client = connect(state_dir, "restart")
        if client is None:
            return None
        with client:
            client.send(RelayCommand(machine=machine, args=arguments))
            while isinstance(answer := client.receive(None), CommandOutput) and answer.data:
                data += answer.data
    except ArgosyError as error:
        _warn(machine, error.faults[0].message)
        return None
    impact: dict[str, Any] = json.loads(data) if data else {"errors": [{"message": "it returned no output"}]}
    if "errors" in impact:
        _warn(machine, "; ".join(each["message"] for each in impact["errors"]))
        return None
    return impact


def merge_impacts(impacts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Merge objects `restart/1` into one: the machines restart their parts at the same time."""
    all_impacts = list(impacts)
    combined = all_impacts[0]
    for more in all_impacts[1:]:
        for key, value in more.items():
            if isinstance(value, dict):
                combined[key] = {**combined.get(key, {}), **value}
            elif isinstance(value, list):
                combined[key] = [*combined.get(key, []), *value]
            elif key == "seconds":
                combined[key] = max(combined[key], value)
    return combined


def _warn(machine: str, why: str) -> None:
    print_note("warning", f"machine `{machine}` did not answer: {why}")
