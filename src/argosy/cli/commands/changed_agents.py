"""What a restart has to know of the tree: who runs older code, and whose code could not start again."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.cli.commands.remote_impact import preview_remote_impact, remote_parts
from argosy.cli.console import paint
from argosy.engine.explain.restart_impact import estimate_impact
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.plan.cell_plan import cell_unit_name
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.source_snapshot import read_source_snapshot
from argosy.fault import Fault, InputError
from argosy.fleet.loader import load_fleet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from argosy.engine.protocol.messages import AgentStatus, FleetStatus
    from argosy.engine.state.state_dir import StateDir


class ChangedAgents(NamedTuple):
    """What `--changed` is about.

    stale: agents with older code than the tree, with the files. down: those that ended by an error and whose
    code has not changed since, with the reason. told: what other machines foretell, by machine.
    """

    stale: dict[str, tuple[str, ...]]
    failed: dict[str, str]
    remote_impacts: dict[str, dict[str, Any]]


def find_changed(
    report: FleetStatus, path: Path, state_dir: StateDir, names: list[str], *, local_only: bool
) -> ChangedAgents:
    """Return which agents (of `names`, when there are any) were started with other code than the tree has.

    Those that run, and those that are down by an error: given up, ended with one, or about to be
    started again. is_here: of this machine alone. Raises InputError: there is no such agent here, or the
    fleet file is faulty.
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
    """Return when the agent, or the last process of one that is down, was started, None for any other."""
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
    """Return the agents of this machine that are not to be restarted, with what is wrong.

    Their restart would end a process, their own or that of one that restarts with them, which by its code
    could not start again. Where the plan or the fleet file cannot be read, nothing is known.
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
    with contextlib.suppress(InputError):  # the fleet file is being edited; what runs is another
        flaws = find_startup_faults(load_fleet(path), commands, os.environ) if commands else {}
    return {
        name: flaws[first]
        for name, group in restarted_with.items()
        if (first := next((each for each in group if each in flaws), None)) is not None
    }


def refused_remotely(remote_impacts: Mapping[str, Mapping[str, Any]]) -> dict[str, Fault]:
    """Return the agents that other machines foretell they would not restart."""
    return {
        name: Fault(**fault)
        for each in remote_impacts.values()
        for name, fault in each.get("refused", {}).items()
    }


def show_refused(refused: Mapping[str, Fault]) -> None:
    """Print who is left as it is, and why."""
    for name, fault in refused.items():
        print(f"{paint('refused', 'red')}  {name}: {fault.where}: {fault.code} {fault.message}")
        if fault.hint:
            print(f"{paint('hint:', 'cyan')} {fault.hint}")
    if refused:
        singular = len(refused) == 1
        are, them = ("runs on as it is", "it") if singular else ("run on as they are", "them")
        print(
            f"{paint('hint:', 'cyan')} {_quoted_list(refused)} {are}; `--anyway` restarts {them} all the same"
        )


def show_failed(failed: Mapping[str, str]) -> None:
    """Print who is down although its code has not changed since it was started."""
    for name, reason in failed.items():
        print(f"{paint('down', 'red')}  {name}: {reason}")
    if failed:
        singular = len(failed) == 1
        possessive, them = ("its", "it") if singular else ("their", "them")
        print(
            f"{paint('hint:', 'cyan')} {possessive} code has not changed since the last start; "
            f"`argosy restart {' '.join(failed)}` starts {them} once more"
        )


def _quoted_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
