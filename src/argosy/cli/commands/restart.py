"""Restart agents in place; dependents restart with them only if their `on_death` asks for it.

`--changed` restarts those agents, of the named ones or of all, whose files or their imports from the
tree have other content than when the agent started. It also starts those of them that failed or were
given up. A changed modification time alone does not count. `--dry-run` restarts nothing, and shows
which agents would be affected, in which order and for how long, estimated from earlier starts and
stops. Agents of one cell share a process and restart together. A running agent whose code could not
start again, according to `argosy check`, is not stopped: the others are restarted, and the exit code is
1. `--anyway` restarts it too. `--rolling` restarts one agent after another, needs first, each ready
before the next. It stops at the first that is not ready, and does not begin if one is refused. Without
names it applies to all that run.

example: argosy restart Translator Memory --dry-run

"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import msgspec

from argosy.cli.arguments import add_fleet, add_options, parse_fleet
from argosy.cli.commands import restart_scope
from argosy.cli.commands.rolling_restart import agents_to_restart, rolling_restart
from argosy.cli.console import paint, print_json, print_reasons
from argosy.engine.control.control_client import ControlClient, connect_running
from argosy.engine.explain.restart_impact import Outage, RestartImpact, estimate_impact
from argosy.engine.explain.timing_history import DurationEstimate, load_timing_history
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.protocol.messages import FleetStatus, Restart, Restarted
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.source_snapshot import update_source_snapshot
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.locations import format_path
from argosy.fleet.quantities import format_names


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy restart`."""
    add_fleet(parser, positionals="AGENT...", positionals_help="the agents to restart")
    options = {
        "--changed": "only agents whose code changed since they started",
        "--anyway": "also restart agents that cannot start again according to `argosy check`",
        "--rolling": "restart one agent after another, needs first",
        "--dry-run": "show which agents would be affected; restart nothing",
        "--here": "with --changed or --rolling: only agents of this machine",
    }
    add_options(parser, options)


def run(args: argparse.Namespace) -> int:
    """Restart; returns 0 if every restarted agent is ready again, or none had to be restarted.

    Raises InputError: no agent is named, or one is not here. Raises RefusedError: the fleet does not run.
    """
    path, names = parse_fleet(args)
    if not names and not args.changed and not args.rolling:
        hint = "`argosy restart NAME...`, or `--changed` for all whose code changed"
        raise InputError(Fault("AGENT", "usage", "no agent is named", hint))
    state_dir = locate_state_dir(path)
    with connect_running(state_dir, "restart", path) as client:
        report = client.fetch_status()
        local_agents = report.local_agents()
        changed = None
        if args.changed:
            changed = restart_scope.find_changed(report, path, state_dir, names, local_only=args.here)
            names = list(changed.stale)
            _show_changed(changed, is_quiet=args.as_json)
        elif args.rolling and not names:
            names = [name for name in agents_to_restart(report) if not args.here or name in local_agents]
        if changed is not None:
            remote_impacts = changed.remote_impacts
        else:
            parts = restart_scope.remote_parts(report, names, all_machines=False)
            remote_impacts = restart_scope.preview_remote_impact(state_dir, parts, [])
        refused = (
            {}
            if args.anyway
            else restart_scope.find_refused(report, path, state_dir, names)
            | restart_scope.refused_remotely(remote_impacts)
        )
        if args.dry_run:
            local_names = [name for name in names if name in local_agents or name not in report.agents]
            impact = _local_impact(report, state_dir, path, local_names)
            return _preview_impact(impact, remote_impacts, changed, refused, as_json=args.as_json)
        names = [] if args.rolling and refused else [name for name in names if name not in refused]
        if args.rolling:
            answer = _rolling_restart(client, path, names)
        elif not names:
            answer = Restarted(restarted=[], not_ready={}, reconnected=[], seconds=0.0)
        else:
            answer = _restart(client, names)
            update_source_snapshot(state_dir.source_snapshot, str(path.parent))
    _show(answer, changed, refused, as_json=args.as_json)
    return 1 if answer.not_ready or refused else 0


def _rolling_restart(client: ControlClient, path: Path, names: list[str]) -> Restarted:
    from argosy.fleet.dependency_graph import build_graph  # noqa: PLC0415 - rarely needed
    from argosy.fleet.loader import load_fleet  # noqa: PLC0415

    started_at = time.monotonic()
    result = rolling_restart(client, build_graph(load_fleet(path)), names, 0.0)
    return Restarted(
        restarted=result.restarted,
        not_ready=result.not_restarted,
        reconnected=[],
        seconds=time.monotonic() - started_at,
    )


def _restart(client: ControlClient, names: list[str]) -> Restarted:
    client.send(Restart(names=names))
    answer = client.receive(None)
    assert isinstance(answer, Restarted), "a restart is answered by its outcome"
    return answer


def _show_changed(changed: restart_scope.ChangedAgents, *, is_quiet: bool) -> None:
    if is_quiet:
        return
    for name, files in changed.stale.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        print(f"{paint('changed', 'yellow')}  {name}: {format_path(Path(files[0]))}{more}")
    if not changed.stale:
        print("no running agent has older code than the tree")
    restart_scope.show_failed(changed.failed)


def _show(
    answer: Restarted,
    changed: restart_scope.ChangedAgents | None,
    refused: dict[str, Fault],
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "argosy": "restart/1",
                "restarted": answer.restarted,
                "not_ready": answer.not_ready,
                "reconnected": answer.reconnected,
                "mates": answer.restarted_with_cell,
                "seconds": round(answer.seconds, 4),
                "refused": msgspec.to_builtins(refused),
                **_changed_json(changed),
            }
        )
        return
    restart_scope.show_refused(refused)
    for cell, members in answer.restarted_with_cell.items():
        print(f"the whole cell `{cell}` was restarted, with {format_names(members)}")
    print_reasons("not ready", "red", answer.not_ready)
    print(
        f"{len(answer.restarted)} restarted in {answer.seconds:.2f} s; "
        f"{len(answer.reconnected)} that need them were left running"
    )


def _changed_json(changed: restart_scope.ChangedAgents | None) -> dict[str, object]:
    if changed is None:
        return {}
    files = {name: [format_path(Path(file)) for file in files] for name, files in changed.stale.items()}
    return {"changed": files, "down": changed.failed}


def _local_impact(report: FleetStatus, state_dir: StateDir, path: Path, names: list[str]) -> RestartImpact:
    """Return the impact of a restart of `names`.

    Raises InputError: there is no such agent here.
    """
    applied_plan = load_applied_plan(state_dir)
    if applied_plan is None:
        message = "the applied plan of this fleet cannot be read"
        hint = f"`argosy up -d {path}` writes it again"
        raise RefusedError(Fault(str(state_dir.applied_plan), "no-plan", message, hint))
    processes = applied_plan.plan.processes
    unknown = [name for name in names if name not in processes]
    if unknown:
        raise restart_scope.unknown_agents(unknown)
    running = {name for name, agent in report.agents.items() if agent.pid is not None}
    return estimate_impact(
        names, processes, running, load_timing_history(read_event_log(state_dir.event_log))
    )


def _preview_impact(
    impact: RestartImpact,
    remote_impacts: dict[str, dict[str, Any]],
    changed: restart_scope.ChangedAgents | None,
    refused: dict[str, Fault],
    *,
    as_json: bool,
) -> int:
    if as_json:
        merged_json = restart_scope.merge_impacts([impact_json(impact), *remote_impacts.values()])
        print_json({**merged_json, "refused": msgspec.to_builtins(refused), **_changed_json(changed)})
        return 0
    restart_scope.show_refused(refused)
    runs_on = [*impact.degraded, *impact.reconnecting]
    print(
        f"{len(impact.outages)} would restart, {impact.seconds:.2f} s in all; "
        f"{len(runs_on)} dependents would keep running; "
        f"{len(impact.indirectly_affected)} more depend on these"
    )
    for outage in impact.outages:
        print(f"  {paint('restart', 'yellow')}  {outage.agent}: {_describe_outage(outage)}")
    for name in runs_on:
        label = "degraded" if name in impact.degraded else "runs on"
        print(f"  {label:<8} {name}: without what it needs for {impact.unavailable_s[name]:.2f} s")
    if impact.indirectly_affected:
        print(f"  indirectly affected: {', '.join(impact.indirectly_affected)}")
    for machine, remote in remote_impacts.items():
        print(f"machine {machine}: {len(remote['outages'])} would restart, {remote['seconds']:.2f} s in all")
        for name, outage in remote["outages"].items():
            outage_text = f"away from {outage['from']:.2f} to {outage['to']:.2f} s"
            print(f"  {paint('restart', 'yellow')}  {name}: {outage['why']}; {outage_text}")
    return 0


def _describe_outage(outage: Outage) -> str:
    why = {
        "named": "named",
        "stop": f"stops with {outage.caused_by}",
        "restart": f"after {outage.caused_by}",
        "cell": f"in one process with {outage.caused_by}",
    }
    return (
        f"{why[outage.cause]}; away from {outage.from_s:.2f} to {outage.to_s:.2f} s "
        f"(stop {_describe_estimate(outage.stop)}, start {_describe_estimate(outage.start)})"
    )


def _describe_estimate(estimate: DurationEstimate) -> str:
    source = f"median of {estimate.sample_count}" if estimate.sample_count else "not measured"
    return f"{estimate.seconds:.2f} s, {source}"


def impact_json(impact: RestartImpact) -> dict[str, object]:
    """Return the object `restart/1` of a dry run."""
    return {
        "argosy": "restart/1",
        "dry_run": True,
        "restarted": sorted(outage.agent for outage in impact.outages),
        "not_ready": {},
        "reconnected": sorted([*impact.degraded, *impact.reconnecting]),
        "mates": impact.cell_members,
        "seconds": round(impact.seconds, 4),
        "degraded": list(impact.degraded),
        "through": list(impact.indirectly_affected),
        "stop_order": impact.stop_order(),
        "start_order": [outage.agent for outage in impact.outages],
        "outages": {
            outage.agent: {
                "why": outage.cause,
                "because": outage.caused_by or None,
                "from": round(outage.from_s, 4),
                "to": round(outage.to_s, 4),
                "measured": outage.start.sample_count,
            }
            for outage in impact.outages
        },
    }
