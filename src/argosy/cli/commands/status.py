"""Show the state of every agent.

For an agent that is not ready the output has the reason: what it waits for, how it exited, its last
lines. The exit code is 1 unless a supervisor runs and every required agent is ready.

example: argosy status path/to/fleet.yaml --json
example: argosy status harbour

"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from argosy.cli.arguments import add_fleet
from argosy.cli.console import paint, print_json
from argosy.cli.fleet_selection import select_fleet
from argosy.engine.control.control_client import connect
from argosy.engine.inventory.leftover_processes import find_leftovers, running_agents
from argosy.engine.plan.applied_plan import AppliedPlan, load_applied_plan, specs_missing_from_plan
from argosy.engine.plan.cell_plan import cell_unit_name
from argosy.engine.protocol.messages import AgentStatus, FleetStatus, MachineStatus
from argosy.engine.protocol.state_machine import FINAL_STATES, READY_STATES, State
from argosy.engine.state.damaged_stores import describe_damage, find_damaged_stores
from argosy.engine.state.event_log import REMOTE_STATE, read_event_log
from argosy.engine.state.file_identity import identify_file
from argosy.engine.state.state_dir import StateDir
from argosy.engine.state.unit_state_store import PersistedUnitState, read_unit_states
from argosy.engine.supervisor.hub_process import find_running_hub
from argosy.fleet.quantities import format_count

_COLOURS = {State.READY: "green", State.DEGRADED: "yellow", State.WAITING: "dim", State.EXITED: "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy status`."""
    add_fleet(parser, allow_name=True)


def run(args: argparse.Namespace) -> int:
    """Show the fleet; returns 1 if a required agent is not ready or no supervisor runs."""
    chosen, _ = select_fleet(args)
    state_dir = chosen.state_dir
    client = connect(state_dir, "status")
    if client is None:
        report = report_unsupervised(state_dir, chosen.name)
    else:
        with client:
            report = client.fetch_status()
    if args.as_json:
        print_json(
            {**status_json(report, state_dir), "file_changed": _has_file_changed(chosen.path, state_dir)}
        )
    else:
        _show(report)
        if report.agents and _has_file_changed(chosen.path, state_dir):
            changed = paint(f"{chosen.path.name} has changed", "yellow")
            print(f"{changed} since it was applied; `argosy up -d` applies it")
        _show_hub(report, state_dir)
    return 0 if is_healthy(report) else 1


def is_healthy(report: FleetStatus) -> bool:
    """Return whether a supervisor runs and every required agent is ready, as `argosy up` counts it."""
    required = [agent for agent in report.agents.values() if agent.required]
    return bool(report.pid) and all(agent.state in READY_STATES for agent in required)


def _has_file_changed(path: Path, state_dir: StateDir) -> bool:
    """Return whether the fleet file differs from the one applied last; False if it is missing."""
    applied_plan, now = load_applied_plan(state_dir), identify_file(path)
    before = applied_plan.fleet_file if applied_plan else None
    return now is not None and before is not None and before.digest != now.digest


def report_unsupervised(state_dir: StateDir, name: str) -> FleetStatus:
    """Return the status without a supervisor, from leases, unit states and the applied plan."""
    applied_plan = load_applied_plan(state_dir)
    running, unit_states = running_agents(state_dir), read_unit_states(state_dir)
    leftovers = find_leftovers(state_dir, running)
    cell_unit_names = (
        {cell_unit.name for cell_unit in applied_plan.cell_processes.values()} if applied_plan else set()
    )
    missing_specs = specs_missing_from_plan(
        state_dir, [name for name in (*running, *leftovers) if name not in cell_unit_names]
    )
    specs = missing_specs.agents | (applied_plan.plan.processes if applied_plan else {})
    agents = {}
    for agent, spec in specs.items():
        unit_state = unit_states.get(agent)
        identity = running.get(agent if spec.cell is None else cell_unit_name(spec.cell))
        was_ready = unit_state is not None and unit_state.ready_s is not None
        state = (
            (State.READY if was_ready else State.STARTING) if identity else _unsupervised_state(unit_state)
        )
        pids = leftovers.get(agent, [])
        if pids:
            state = State.FAILING
        agents[agent] = AgentStatus(
            state=state,
            health=None,
            pid=identity.pid if identity else next(iter(pids), None),
            machine=spec.machine,
            group=spec.group,
            port=spec.port,
            restarts=unit_state.restarts if unit_state else 0,
            since_s=(unit_state.ready_s if unit_state else None) or 0.0,
            waiting_on=[],
            reason=_unsupervised_reason(unit_state, pids, is_alive=identity is not None),
            rss_bytes=None,
            pss_bytes=None,
            sampled_s=None,
            last_lines=unit_state.last_lines if unit_state and not identity else [],
            cell=spec.cell,
            last_exit=unit_state.last_exit if unit_state else None,
        )
    return FleetStatus(
        fleet=applied_plan.plan.fleet if applied_plan else name,
        environment=applied_plan.plan.environment if applied_plan else "",
        pid=0,
        started_s=0.0,
        machines=_unsupervised_machines(applied_plan),
        agents={**agents, **_last_reported_agents(state_dir, applied_plan)},
    )


def _last_reported_agents(state_dir: StateDir, applied_plan: AppliedPlan | None) -> dict[str, AgentStatus]:
    """Return the agents of other machines as last recorded in the event log."""
    if applied_plan is None or applied_plan.peering is None:
        return {}
    last_records = {
        record.agent: record for record in read_event_log(state_dir.event_log) if record.kind == REMOTE_STATE
    }
    agents = {}
    for name, spec in applied_plan.peering.agents.items():
        record = last_records.get(name)
        agents[name] = AgentStatus(
            state=State(record.state) if record else State.EXITED,
            health=None,
            pid=record.pid if record else None,
            machine=spec.machine,
            group=spec.group,
            port=spec.port,
            restarts=0,
            since_s=record.at_s if record else 0.0,
            waiting_on=[],
            reason=f"last reported by machine `{spec.machine}`" if record else "never reported",
            rss_bytes=None,
            pss_bytes=None,
            sampled_s=None,
            required=spec.required,
        )
    return agents


def _unsupervised_machines(applied_plan: AppliedPlan | None) -> dict[str, MachineStatus]:
    """Return the machines of the fleet when no supervisor here watches the others."""
    if applied_plan is None:
        return {}
    local = dict.fromkeys(filter(None, applied_plan.machines), MachineStatus(state="here", since_s=0.0))
    unreachable = MachineStatus(state="blind", since_s=0.0, reason="no supervisor runs here")
    return {**local, **dict.fromkeys(applied_plan.peering.peers if applied_plan.peering else (), unreachable)}


def _unsupervised_reason(unit_state: PersistedUnitState | None, pids: list[int], *, is_alive: bool) -> str:
    if pids:
        return f"failing: leftover process {', '.join(map(str, pids))}; no supervisor runs"
    if is_alive:
        return "no supervisor runs"
    return (unit_state.reason if unit_state else "") or "not running"


def _unsupervised_state(unit_state: PersistedUnitState | None) -> State:
    """Return the last state of an agent without a process."""
    return unit_state.state if unit_state is not None and unit_state.state in FINAL_STATES else State.EXITED


def status_json(report: FleetStatus, state_dir: StateDir) -> dict[str, object]:
    """Return a report as `status/1`."""
    return {
        "argosy": "status/1",
        "fleet": report.fleet,
        "environment": report.environment,
        "folder": str(state_dir.path),
        "supervisor": {"pid": report.pid, "started": report.started_s} if report.pid else None,
        "hub": (mark.url or None) if (mark := find_running_hub(state_dir.hub_lock)) else None,
        "hub_trouble": report.hub or None,
        "hub_damaged": [str(each) for each in find_damaged_stores(state_dir.hub_store)],
        "machines": {
            name: {
                "state": machine.state,
                "since": machine.since_s,
                "reason": machine.reason,
                "version": machine.version or None,
            }
            for name, machine in report.machines.items()
        },
        "agents": {
            name: {
                "state": agent.state.value,
                "health": agent.health,
                "pid": agent.pid,
                "machine": agent.machine,
                "group": agent.group,
                "port": agent.port,
                "restarts": agent.restarts,
                "since": agent.since_s,
                "waiting_on": agent.waiting_on,
                "reason": agent.reason,
                "rss": agent.rss_bytes,
                "pss": agent.pss_bytes,
                "sampled_s": agent.sampled_s,
                "last_lines": agent.last_lines,
                "last_exit": _last_exit(agent),
                "cell": agent.cell,
                "version": agent.version or None,
                "silent_s": agent.silent_s,
            }
            for name, agent in report.agents.items()
        },
    }


def _last_exit(agent: AgentStatus) -> dict[str, object] | None:
    return {"reason": agent.last_exit.reason, "at": agent.last_exit.at_s} if agent.last_exit else None


def _show(report: FleetStatus) -> None:
    if not report.agents:
        print(f"{report.fleet}: nothing is running")
        return
    widths = max(len(name) for name in report.agents), max(len(a.group or "") for a in report.agents.values())
    for name, agent in report.agents.items():
        machine = report.machines.get(agent.machine or "")
        _show_agent(name, agent, *widths, machine.version if machine else "")
    print(f"{report.describe_readiness()}, {report.fleet} ({report.environment})")
    if any(machine.state != "here" for machine in report.machines.values()):
        for name, machine in report.machines.items():
            _show_machine(name, machine)
    if not report.pid:
        found = paint("no supervisor runs", "yellow")
        print(f"{found}; `argosy up` starts one, which adopts the running agents")


def _show_hub(report: FleetStatus, state_dir: StateDir) -> None:
    if (hub := find_running_hub(state_dir.hub_lock)) and hub.url:
        print(f"hub: {hub.url} (`argosy hub --open` opens it)")
    elif report.hub:
        print(f"hub: {paint('does not run', 'red')}: {report.hub}")
    if damage := describe_damage(state_dir.hub_store):
        print(f"hub: {paint('damaged', 'yellow')}: {damage}")


def _show_machine(name: str, machine: MachineStatus) -> None:
    state = paint(f"{machine.state:<7}", "red" if machine.state == "blind" else "green")
    age = format_duration(time.time() - machine.since_s) if machine.since_s else ""
    version = f"version {machine.version}  " if machine.version else ""
    print(f"machine {name}: {state} {age}  {version}{machine.reason}".rstrip())


def _show_agent(name: str, agent: AgentStatus, name_width: int, group_width: int, version: str) -> None:
    state = paint(f"{agent.state.value:<15}", _COLOURS.get(agent.state, "red"))
    memory = f"{agent.pss_bytes / 2**20:6.1f} MiB" if agent.pss_bytes else " " * 10
    age = format_duration(time.time() - agent.since_s) if agent.since_s else ""
    note = agent.reason if agent.state not in (State.READY,) else ""
    if agent.state is State.READY and agent.last_exit:
        age_of_exit = format_duration(time.time() - agent.last_exit.at_s)
        note = f"last exit {age_of_exit} ago: {agent.last_exit.reason}"
    if agent.waiting_on:
        note = f"waits for {', '.join(agent.waiting_on)}"
    cell = f"cell {agent.cell}  " if agent.cell else ""
    if agent.pid and agent.version != version:
        cell += f"runs version {agent.version or 'unknown'}  "
    restarts = f"{format_count(agent.restarts, 'restart')}  " if agent.restarts else ""
    line = (
        f"{name:<{name_width}}  {agent.group or '':<{group_width}}  {state} {age:>6}  "
        f"{agent.port or '':>5}  pid {agent.pid or '-':<7} {memory}  {cell}{restarts}{note}"
    )
    print(line.rstrip())
    for log_line in agent.last_lines:
        print(paint(f"  | {log_line}", "dim"))


def format_duration(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
