"""Bring the tree, and the lock in it, to the fleet's other machines, by rsync or git over ssh.

What git would take of the fleet file's folder goes, or all but caches where there is no git: to the same
folder on each machine, or to the one that its label `tree` names; to its address, or to what its label
`ssh` names. A hash of the content is the version; `argosy status` shows who runs which. Until all of
it has arrived the tree there is the old one.

`--restart` then restarts agent after agent in the order of their needs, each ready and steady before the
next. When one is not, the machines get their old tree back, and what was restarted is restarted again.

example: argosy sync --restart
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet, environment_name, take_fleet
from argosy.cli.report import paint, print_json
from argosy.cli.rolling import Rolled, roll
from argosy.engine.client import connect_running
from argosy.engine.folder import folder_of
from argosy.engine.remote import SSH, Target
from argosy.engine.shipping import CARRIERS, Shipment, ship, take_back
from argosy.engine.version import version_of, write_note
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.environment import here, place
from argosy.fleet.graph import build_graph
from argosy.fleet.load import load_fleet

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.fleet.spec import Fleet


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy sync`."""
    add_fleet(parser)
    parser.add_argument("--only", metavar="M,N", help="these machines only")
    parser.add_argument("--machine", metavar="M", help="this machine of the fleet")
    parser.add_argument(
        "--by", default="", choices=list(CARRIERS), help="what brings it (default: the first that both have)"
    )
    parser.add_argument("--ssh", default=SSH, metavar="CMD", help="the ssh command with its options")
    parser.add_argument("--restart", action="store_true", help="then restart what runs, one after another")
    parser.add_argument(
        "--hold", type=float, default=0.5, metavar="S", help="how long each has to stay ready (default 0.5)"
    )


def run(args: argparse.Namespace) -> int:
    """Bring it; returns 1 when a machine could not be brought, or a restart was taken back."""
    path, _ = take_fleet(args)
    fleet = load_fleet(path)
    targets = _targets(fleet, path, args)
    version = version_of(path.parent)
    shipments: dict[str, Shipment] = {}
    faults: dict[str, Fault] = {}
    for target in targets:
        try:
            shipments[target.machine] = ship(path.parent, version, target, args.by)
        except RefusedError as error:
            faults[target.machine] = error.faults[0]
    failed = {machine: f"{fault.message}; {fault.hint}" for machine, fault in faults.items()}
    write_note(path.parent, version)
    rolled = Rolled([], {})
    taken_back: list[str] = []
    if args.restart and not failed:
        rolled, taken_back = _restart(path, fleet, targets, shipments, args.hold)
    told = {
        "argosy": "sync/1",
        "version": version.tree,
        "lock": version.lock,
        "files": len(version.files),
        "machines": {
            machine: {
                "before": each.before.tree if each.before else None,
                "version": version.tree if machine not in taken_back else each.before and each.before.tree,
                "changed": each.is_new,
                "by": each.carrier or None,
                "lock_changed": each.before is None or each.before.lock != version.lock,
            }
            for machine, each in shipments.items()
        },
        "failed": failed,
        "codes": {machine: fault.code for machine, fault in faults.items()},
        "restarted": rolled.restarted,
        "not_ready": rolled.failed,
        "rolled_back": taken_back,
    }
    if args.as_json:
        print_json(told)
    else:
        _show(told, shipments, failed, rolled, taken_back)
    return 1 if failed or rolled.failed else 0


def _targets(fleet: Fleet, path: Path, args: argparse.Namespace) -> list[Target]:
    """Return where to bring it.

    Raises InputError: a machine that the fleet does not have, or is this one.
    """
    variables = dict(os.environ)
    placement = place(fleet, environment_name(args), variables)
    mine = here(placement, args.machine, variables)
    others = [machine for machine in placement.machines() if machine not in mine]
    chosen = args.only.split(",") if args.only else others
    for machine in chosen:
        if machine not in others:
            message = f"`{machine}` is no other machine of this fleet; expected one of {', '.join(others)}"
            raise InputError(Fault("--only", "unknown-machine", message))
    found = []
    for machine in chosen:
        labels = fleet.machines[machine].labels
        host = str(labels.get("ssh") or placement.address_of(machine))
        folder = str(labels.get("tree") or path.parent)
        found.append(Target(machine, host, folder, shlex.split(args.ssh)))
    return found


def _restart(
    path: Path, fleet: Fleet, targets: list[Target], shipments: dict[str, Shipment], hold_s: float
) -> tuple[Rolled, list[str]]:
    """Restart what runs; return how that went, and the machines that were given their old tree back."""
    with connect_running(folder_of(path), "sync", path) as client:
        graph = build_graph(fleet)
        rolled = roll(client, graph, client.report().running(), hold_s)
        if not rolled.failed:
            return rolled, []
        back = [target for target in targets if shipments[target.machine].is_new]
        for target in back:
            take_back(target)
        machines = {target.machine for target in back}
        again = [
            name for name in (*rolled.restarted, *rolled.failed) if fleet.agents[name].machine in machines
        ]
        roll(client, graph, again, 0.0)
        return rolled, [target.machine for target in back]


def _show(
    told: dict[str, object],
    shipments: dict[str, Shipment],
    failed: dict[str, str],
    rolled: Rolled,
    taken_back: list[str],
) -> None:
    for machine, each in shipments.items():
        before = each.before.tree if each.before else "unknown"
        what = f"brought by {each.carrier}, was {before}" if each.is_new else "has it already"
        print(f"{machine}: {what}")
        if each.before is not None and each.before.lock != each.after.lock:
            print("  its lock has changed too: install from it there before a restart")
    for machine, why in failed.items():
        print(f"{paint('not brought', 'red')}  {machine}: {why}")
    for name, why in rolled.failed.items():
        print(f"{paint('not ready', 'red')}  {name}: {why}")
    if taken_back:
        print(f"the old tree is back on {', '.join(taken_back)}, and what was restarted there runs it again")
    restarted = f", {len(rolled.restarted)} restarted" if rolled.restarted else ""
    print(f"version {told['version']} of {told['files']} files{restarted}")
