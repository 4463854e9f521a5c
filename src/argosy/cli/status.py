"""Show what is running, and how it is.

An agent that is not ready has its reason: whom it waits for, how it ended, what it said last. The exit
code is 1 unless a supervisor runs and every required agent is ready.

example: argosy status path/to/fleet.yaml --json
example: argosy status harbour
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet
from argosy.cli.chosen import take_chosen
from argosy.cli.report import paint, print_json
from argosy.engine.cellplan import hull_name
from argosy.engine.client import connect
from argosy.engine.companion import running_hub
from argosy.engine.damaged import damage_told, damaged_stores
from argosy.engine.diary import DISTANT, read_diary
from argosy.engine.filemark import mark_of
from argosy.engine.messages import AgentStatus, MachineStatus, Report
from argosy.engine.remains import living_agents, remnants
from argosy.engine.roster import lost_specs, read_roster
from argosy.engine.state import FINAL_STATES, READY_STATES, State
from argosy.engine.will import Will, read_wills

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.engine.folder import Folder
    from argosy.engine.roster import Roster

_COLOURS = {State.READY: "green", State.DEGRADED: "yellow", State.WAITING: "dim", State.EXITED: "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy status`."""
    add_fleet(parser, takes_name=True)


def run(args: argparse.Namespace) -> int:
    """Show the fleet; returns 1 when an agent that is required is not ready."""
    chosen, _ = take_chosen(args)
    folder = chosen.folder
    client = connect(folder, "status")
    if client is None:
        report = report_unsupervised(folder, chosen.name)
    else:
        with client:
            report = client.report()
    if args.as_json:
        print_json({**status_json(report, folder), "file_changed": _has_changed(chosen.path, folder)})
    else:
        _show(report)
        if report.agents and _has_changed(chosen.path, folder):
            changed = paint(f"{chosen.path.name} has changed", "yellow")
            print(f"{changed} since it was applied; `argosy up -d` applies it")
        _show_hub(report, folder)
    return 0 if is_well(report) else 1


def is_well(report: Report) -> bool:
    """Return whether a supervisor runs and every required agent is ready, as `argosy up` counts it."""
    wanted = [agent for agent in report.agents.values() if agent.required]
    return bool(report.pid) and all(agent.state in READY_STATES for agent in wanted)


def _has_changed(path: Path, folder: Folder) -> bool:
    """Return whether the fleet file is another than the one that was applied last; a missing one is not."""
    roster, now = read_roster(folder), mark_of(path)
    before = roster.mark if roster else None
    return now is not None and before is not None and before.digest != now.digest


def report_unsupervised(folder: Folder, name: str) -> Report:
    """Return what leases, wills and the roster tell when nobody supervises."""
    roster = read_roster(folder)
    living, wills = living_agents(folder), read_wills(folder)
    left = remnants(folder, living)
    hulls = {hull.name for hull in roster.hulls.values()} if roster else set()
    lost = lost_specs(folder, [name for name in (*living, *left) if name not in hulls])
    specs = lost.agents | (roster.plan.processes if roster else {})
    agents = {}
    for agent, spec in specs.items():
        will = wills.get(agent)
        identity = living.get(agent if spec.cell is None else hull_name(spec.cell))
        was_ready = will is not None and will.ready_s is not None
        state = (State.READY if was_ready else State.STARTING) if identity else _state_left(will)
        pids = left.get(agent, [])
        if pids:
            state = State.FAILING
        agents[agent] = AgentStatus(
            state=state,
            health=None,
            pid=identity.pid if identity else next(iter(pids), None),
            machine=spec.machine,
            group=spec.group,
            port=spec.port,
            restarts=will.restarts if will else 0,
            since_s=(will.ready_s if will else None) or 0.0,
            waiting_on=[],
            reason=_reason_left(will, pids, is_alive=identity is not None),
            rss_bytes=None,
            pss_bytes=None,
            sampled_s=None,
            last_lines=will.last_lines if will and not identity else [],
            cell=spec.cell,
            last_exit=will.last_exit if will else None,
        )
    return Report(
        fleet=roster.plan.fleet if roster else name,
        environment=roster.plan.environment if roster else "",
        pid=0,
        started_s=0.0,
        machines=_machines_left(roster),
        agents={**agents, **_heard_last(folder, roster)},
    )


def _heard_last(folder: Folder, roster: Roster | None) -> dict[str, AgentStatus]:
    """Return the agents of other machines as the last supervisor here heard of them: by its diary."""
    if roster is None or roster.links is None:
        return {}
    last = {entry.agent: entry for entry in read_diary(folder.diary) if entry.kind == DISTANT}
    agents = {}
    for name, spec in roster.links.agents.items():
        heard = last.get(name)
        agents[name] = AgentStatus(
            state=State(heard.state) if heard else State.EXITED,
            health=None,
            pid=heard.pid if heard else None,
            machine=spec.machine,
            group=spec.group,
            port=spec.port,
            restarts=0,
            since_s=heard.at_s if heard else 0.0,
            waiting_on=[],
            reason=f"as heard last of machine `{spec.machine}`" if heard else "never heard of",
            rss_bytes=None,
            pss_bytes=None,
            sampled_s=None,
            required=spec.required,
        )
    return agents


def _machines_left(roster: Roster | None) -> dict[str, MachineStatus]:
    """Return the machines of the fleet when nobody here looks at the others."""
    if roster is None:
        return {}
    here = dict.fromkeys(filter(None, roster.machines), MachineStatus(state="here", since_s=0.0))
    unseen = MachineStatus(state="blind", since_s=0.0, reason="no supervisor runs here")
    return {**here, **dict.fromkeys(roster.links.peers if roster.links else (), unseen)}


def _reason_left(will: Will | None, pids: list[int], *, is_alive: bool) -> str:
    if pids:
        return f"failing: left process {', '.join(map(str, pids))}; nobody supervises it"
    if is_alive:
        return "nobody supervises it"
    return (will.reason if will else "") or "not running"


def _state_left(will: Will | None) -> State:
    """Return the state that an agent without a process was left in."""
    return will.state if will is not None and will.state in FINAL_STATES else State.EXITED


def status_json(report: Report, folder: Folder) -> dict[str, object]:
    """Return a report as `status/1`."""
    return {
        "argosy": "status/1",
        "fleet": report.fleet,
        "environment": report.environment,
        "folder": str(folder.state),
        "supervisor": {"pid": report.pid, "started": report.started_s} if report.pid else None,
        "hub": (mark.url or None) if (mark := running_hub(folder.hub_lock)) else None,
        "hub_trouble": report.hub or None,
        "hub_damaged": [str(each) for each in damaged_stores(folder.hub_store)],
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


def _show(report: Report) -> None:
    if not report.agents:
        print(f"{report.fleet}: nothing is running")
        return
    widths = max(len(name) for name in report.agents), max(len(a.group or "") for a in report.agents.values())
    for name, agent in report.agents.items():
        machine = report.machines.get(agent.machine or "")
        _show_agent(name, agent, *widths, machine.version if machine else "")
    print(f"{report.count_ready()}, {report.fleet} ({report.environment})")
    if any(machine.state != "here" for machine in report.machines.values()):
        for name, machine in report.machines.items():
            _show_machine(name, machine)
    if not report.pid:
        print(paint("no supervisor runs", "yellow") + "; `argosy up` starts one, which adopts what lives")


def _show_hub(report: Report, folder: Folder) -> None:
    if (hub := running_hub(folder.hub_lock)) and hub.url:
        print(f"hub: {hub.url} (`argosy hub --open` opens it)")
    elif report.hub:
        print(f"hub: {paint('does not run', 'red')}: {report.hub}")
    if told := damage_told(folder.hub_store):
        print(f"hub: {paint('damaged', 'yellow')}: {told}")


def _show_machine(name: str, machine: MachineStatus) -> None:
    state = paint(f"{machine.state:<7}", "red" if machine.state == "blind" else "green")
    age = duration(time.time() - machine.since_s) if machine.since_s else ""
    version = f"version {machine.version}  " if machine.version else ""
    print(f"machine {name}: {state} {age}  {version}{machine.reason}".rstrip())


def _show_agent(name: str, agent: AgentStatus, name_width: int, group_width: int, version: str) -> None:
    state = paint(f"{agent.state.value:<15}", _COLOURS.get(agent.state, "red"))
    memory = f"{agent.pss_bytes / 2**20:6.1f} MiB" if agent.pss_bytes else " " * 10
    age = duration(time.time() - agent.since_s) if agent.since_s else ""
    note = agent.reason if agent.state not in (State.READY,) else ""
    if agent.state is State.READY and agent.last_exit:
        note = f"last exit {duration(time.time() - agent.last_exit.at_s)} ago: {agent.last_exit.reason}"
    if agent.waiting_on:
        note = f"waits for {', '.join(agent.waiting_on)}"
    cell = f"cell {agent.cell}  " if agent.cell else ""
    if agent.pid and agent.version != version:
        cell += f"runs version {agent.version or 'unknown'}  "
    restarts = (
        f"{agent.restarts} {'restart' if agent.restarts == 1 else 'restarts'}  " if agent.restarts else ""
    )
    line = (
        f"{name:<{name_width}}  {agent.group or '':<{group_width}}  {state} {age:>6}  "
        f"{agent.port or '':>5}  pid {agent.pid or '-':<7} {memory}  {cell}{restarts}{note}"
    )
    print(line.rstrip())
    for said in agent.last_lines:
        print(paint(f"  | {said}", "dim"))


def duration(seconds: float) -> str:
    """Return a time in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
