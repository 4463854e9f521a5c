"""Restart agents in place; what needs them is restarted too only where its `on_death` asks for it.

`--changed` restarts, of those that are named or of all, the ones whose own files, or what these import
from the tree, have another content than when the agent started, and starts those of them that had ended
by an error or were given up; a file that was only touched counts for nothing. `--dry-run` restarts
nothing, and tells who would be touched, in which order, and for how long, by what earlier starts and
stops took. Agents of one cell share a process, and restart together.
A running agent whose code could not start again, by what `argosy check` knows, is not ended: the rest is
restarted, and the exit code is 1. `--anyway` restarts it too.
`--rolling` restarts one after another, what is needed first, each ready before the next; it stops at the
first that is not, and begins nothing where one is refused. Without names it is about all that run.

example: argosy restart Translator Memory --dry-run
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.report import paint, print_json
from argosy.cli.restart_code import (
    Changed,
    find_changed,
    find_refused,
    refused_afar,
    show_down,
    show_refused,
    unknown_agents,
)
from argosy.cli.restart_elsewhere import afar, foretold, merged
from argosy.cli.rolling import roll, wanted_up
from argosy.engine.client import connect_running
from argosy.engine.diary import read_diary
from argosy.engine.folder import folder_of
from argosy.engine.imprint import leave_imprint
from argosy.engine.messages import Restart, Restarted
from argosy.engine.past import read_past
from argosy.engine.radius import radius_of
from argosy.engine.roster import read_roster
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.places import displayed

if TYPE_CHECKING:
    import argparse

    from argosy.engine.client import Client
    from argosy.engine.folder import Folder
    from argosy.engine.messages import Report
    from argosy.engine.past import Estimate
    from argosy.engine.radius import Outage, Radius


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy restart`."""
    add_fleet(parser, words="AGENT...", words_help="the agents to restart")
    parser.add_argument("--changed", action="store_true", help="those whose code changed since they started")
    parser.add_argument(
        "--anyway", action="store_true", help="also those whose code, as `argosy check` knows, cannot start"
    )
    parser.add_argument(
        "--rolling", action="store_true", help="one after another, in the order of their needs"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="tell who would be touched, and restart nothing"
    )
    parser.add_argument(
        "--here", action="store_true", help="with --changed, --rolling: the agents of this machine alone"
    )


def run(args: argparse.Namespace) -> int:
    """Restart; returns 0 when all that was touched is ready again, and when nothing had to be.

    Raises InputError: no agent is named, or one that is not here. Raises RefusedError: nothing runs.
    """
    path, names = take_fleet(args)
    if not names and not args.changed and not args.rolling:
        hint = "`argosy restart NAME...`, or `--changed` for all whose code changed"
        raise InputError(Fault("AGENT", "usage", "no agent is named", hint))
    folder = folder_of(path)
    with connect_running(folder, "restart", path) as client:
        report = client.report()
        home = report.at_home()
        changed = None
        if args.changed:
            changed = find_changed(report, path, folder, names, is_here=args.here)
            names = list(changed.stale)
            _show_changed(changed, is_quiet=args.as_json)
        elif args.rolling and not names:
            names = [name for name in wanted_up(report) if not args.here or name in home]
        told = _told(report, folder, changed, names)
        refused = {} if args.anyway else find_refused(report, path, folder, names) | refused_afar(told)
        if args.dry_run:
            own = [name for name in names if name in home or name not in report.agents]
            radius = _radius(report, folder, path, own)
            return _foretell(radius, told, changed, refused, as_json=args.as_json)
        names = [] if args.rolling and refused else [name for name in names if name not in refused]
        if args.rolling:
            answer = _roll(client, path, names)
        elif not names:
            answer = Restarted(restarted=[], not_ready={}, reconnected=[], seconds=0.0)
        else:
            answer = _restart(client, names)
            leave_imprint(folder.imprint, str(path.parent))
    _show(answer, changed, refused, as_json=args.as_json)
    return 1 if answer.not_ready or refused else 0


def _told(
    report: Report, folder: Folder, changed: Changed | None, names: list[str]
) -> dict[str, dict[str, Any]]:
    """Return what the other machines foretell of the restart of these."""
    return changed.told if changed is not None else foretold(folder, afar(report, names, is_all=False), [])


def _roll(client: Client, path: Path, names: list[str]) -> Restarted:
    from argosy.fleet.graph import build_graph  # noqa: PLC0415 - for who asks only
    from argosy.fleet.load import load_fleet  # noqa: PLC0415

    began = time.monotonic()
    rolled = roll(client, build_graph(load_fleet(path)), names, 0.0)
    return Restarted(
        restarted=rolled.restarted,
        not_ready=rolled.not_as_asked,
        reconnected=[],
        seconds=time.monotonic() - began,
    )


def _restart(client: Client, names: list[str]) -> Restarted:
    client.send(Restart(names=names))
    answer = client.receive(None)
    assert isinstance(answer, Restarted), "a restart is answered by its outcome"
    return answer


def _show_changed(changed: Changed, *, is_quiet: bool) -> None:
    if is_quiet:
        return
    for name, files in changed.stale.items():
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        print(f"{paint('changed', 'yellow')}  {name}: {displayed(Path(files[0]))}{more}")
    if not changed.stale:
        print("no running agent has older code than the tree")
    show_down(changed.down)


def _show(answer: Restarted, changed: Changed | None, refused: dict[str, Fault], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "argosy": "restart/1",
                "restarted": answer.restarted,
                "not_ready": answer.not_ready,
                "reconnected": answer.reconnected,
                "mates": answer.mates,
                "seconds": round(answer.seconds, 4),
                "refused": msgspec.to_builtins(refused),
                **_changed(changed),
            }
        )
        return
    show_refused(refused)
    for cell, mates in answer.mates.items():
        print(f"the whole cell `{cell}` was restarted, with {', '.join(f'`{name}`' for name in mates)}")
    for name, reason in answer.not_ready.items():
        print(f"{paint('not ready', 'red')}  {name}: {reason}")
    print(
        f"{len(answer.restarted)} restarted in {answer.seconds:.2f} s; "
        f"{len(answer.reconnected)} that need them were left running"
    )


def _changed(changed: Changed | None) -> dict[str, object]:
    if changed is None:
        return {}
    files = {name: [displayed(Path(file)) for file in files] for name, files in changed.stale.items()}
    return {"changed": files, "down": changed.down}


def _radius(report: Report, folder: Folder, path: Path, names: list[str]) -> Radius:
    """Return what a restart of `names` would touch.

    Raises InputError: there is no such agent here.
    """
    roster = read_roster(folder)
    if roster is None:
        words = "the plan that this fleet runs by cannot be read"
        raise RefusedError(
            Fault(str(folder.applied), "no-plan", words, f"`argosy up -d {path}` writes it anew")
        )
    processes = roster.plan.processes
    unknown = [name for name in names if name not in processes]
    if unknown:
        raise unknown_agents(unknown)
    running = {name for name, agent in report.agents.items() if agent.pid is not None}
    return radius_of(names, processes, running, read_past(read_diary(folder.diary)))


def _foretell(
    radius: Radius,
    elsewhere: dict[str, dict[str, Any]],
    changed: Changed | None,
    refused: dict[str, Fault],
    *,
    as_json: bool,
) -> int:
    if as_json:
        whole = merged([radius_object(radius), *elsewhere.values()])
        print_json({**whole, "refused": msgspec.to_builtins(refused), **_changed(changed)})
        return 0
    show_refused(refused)
    runs_on = [*radius.degraded, *radius.reconnected]
    print(
        f"{len(radius.outages)} would restart, {radius.seconds:.2f} s in all; "
        f"{len(runs_on)} that need them would run on; {len(radius.through)} more rest on these"
    )
    for outage in radius.outages:
        print(f"  {paint('restart', 'yellow')}  {outage.agent}: {_words(outage)}")
    for name in runs_on:
        word = "degraded" if name in radius.degraded else "runs on"
        print(f"  {word:<8} {name}: without what it needs for {radius.waiting_s[name]:.2f} s")
    if radius.through:
        print(f"  through these: {', '.join(radius.through)}")
    for machine, told in elsewhere.items():
        print(f"machine {machine}: {len(told['outages'])} would restart, {told['seconds']:.2f} s in all")
        for name, outage in told["outages"].items():
            away = f"away from {outage['from']:.2f} to {outage['to']:.2f} s"
            print(f"  {paint('restart', 'yellow')}  {name}: {outage['why']}; {away}")
    return 0


def _words(outage: Outage) -> str:
    why = {
        "named": "named",
        "stop": f"stops with {outage.because}",
        "restart": f"after {outage.because}",
        "cell": f"in one process with {outage.because}",
    }
    return (
        f"{why[outage.how]}; away from {outage.from_s:.2f} to {outage.to_s:.2f} s "
        f"(stop {_measure(outage.stop)}, start {_measure(outage.start)})"
    )


def _measure(estimate: Estimate) -> str:
    how = f"median of {estimate.measured}" if estimate.measured else "not measured"
    return f"{estimate.seconds:.2f} s, {how}"


def radius_object(radius: Radius) -> dict[str, object]:
    """Return the object `restart/1` of a restart that is not made."""
    return {
        "argosy": "restart/1",
        "dry_run": True,
        "restarted": sorted(outage.agent for outage in radius.outages),
        "not_ready": {},
        "reconnected": sorted([*radius.degraded, *radius.reconnected]),
        "mates": radius.mates,
        "seconds": round(radius.seconds, 4),
        "degraded": list(radius.degraded),
        "through": list(radius.through),
        "stop_order": radius.stop_order(),
        "start_order": [outage.agent for outage in radius.outages],
        "outages": {
            outage.agent: {
                "why": outage.how,
                "because": outage.because or None,
                "from": round(outage.from_s, 4),
                "to": round(outage.to_s, 4),
                "measured": outage.start.measured,
            }
            for outage in radius.outages
        },
    }
