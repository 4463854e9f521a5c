"""Copy the tree, with its lock, to the fleet's other machines, by rsync or git over ssh.

Copies the files of the fleet file's folder that git does not ignore, or without git all but caches. The
target is the same folder on each machine, or the one in its label `tree`; the host is its address, or
its label `ssh`. The version is a hash of the content; `argosy status` shows which agent runs which. A
machine keeps its old tree until the new one is complete.

`--restart` then restarts one agent after another, needs first, each ready before the next; an agent
whose need is down is skipped. If an agent that was up is not ready again, the other machines get their
old tree back, and the agents restarted there are restarted again. The local tree is not changed.

example: argosy sync --restart

"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from argosy.cli.arguments import add_fleet, add_options, environment_name, parse_fleet
from argosy.cli.commands.rolling_restart import RollingResult, agents_to_restart, rolling_restart
from argosy.cli.console import paint, print_json, print_reasons
from argosy.engine.control.control_client import connect_running
from argosy.engine.deploy.deployment import TRANSPORTS, Deployment, deploy
from argosy.engine.deploy.ssh_target import SSH_COMMAND, SshTarget
from argosy.engine.deploy.tree_swap import discard_previous, roll_back
from argosy.engine.state.state_dir import locate_state_dir
from argosy.engine.state.tree_version import compute_tree_version, write_tree_version
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.dependency_graph import build_graph
from argosy.fleet.environments import local_machines, place
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet


class SyncRestartResult(NamedTuple):
    """The result of the restart.

    rolled_back: machine to the version that it has again. not_rolled_back: machine to the reason why it still
    has the new tree. second_rolling: the restarts with the old tree. running_versions: after a failed
    restart, agent to its state and version, for those that were up or should be.
    """

    rolling: RollingResult
    rolled_back: dict[str, str]
    not_rolled_back: dict[str, str]
    second_rolling: RollingResult
    running_versions: dict[str, dict[str, str]]


_NOTHING_RESTARTED = SyncRestartResult(RollingResult.empty(), {}, {}, RollingResult.empty(), {})


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy sync`."""
    add_fleet(parser)
    options = {
        "--only M,N": "only these machines",
        "--machine M": "this machine of the fleet",
    }
    add_options(parser, options)
    parser.add_argument(
        "--by",
        default="",
        choices=list(TRANSPORTS),
        help="the transport (default: the first that both machines have)",
    )
    parser.add_argument("--ssh", default=SSH_COMMAND, metavar="CMD", help="the ssh command with its options")
    add_options(parser, {"--restart": "then restart the running agents, one after another"})
    parser.add_argument(
        "--hold", type=float, default=0.5, metavar="S", help="how long each has to stay ready (default 0.5)"
    )


def run(args: argparse.Namespace) -> int:
    """Copy the tree; returns 1 if a copy failed or the restart was rolled back."""
    path, _ = parse_fleet(args)
    fleet = load_fleet(path)
    targets = _targets(fleet, path, args)
    version = compute_tree_version(path.parent)
    deployments: dict[str, Deployment] = {}
    faults: dict[str, Fault] = {}
    for target in targets:
        try:
            deployments[target.machine] = deploy(path.parent, version, target, args.by)
        except RefusedError as error:
            faults[target.machine] = error.faults[0]
    failed = {machine: f"{fault.message}; {fault.hint}" for machine, fault in faults.items()}
    write_tree_version(path.parent, version)
    outcome = _NOTHING_RESTARTED
    if args.restart and not failed:
        outcome = _restart_or_rollback(path, fleet, targets, version.tree, args.hold)
    result = outcome.rolling
    summary = {
        "argosy": "sync/1",
        "version": version.tree,
        "lock": version.lock,
        "files": len(version.files),
        "machines": {
            machine: {
                "before": each.before.tree if each.before else None,
                "version": outcome.rolled_back.get(machine, version.tree) or None,
                "changed": each.is_new,
                "by": each.transport or None,
                "lock_changed": each.before is None or each.before.lock != version.lock,
            }
            for machine, each in deployments.items()
        },
        "failed": failed,
        "codes": {machine: fault.code for machine, fault in faults.items()},
        "restarted": result.restarted,
        "not_ready": {**result.failed, **result.still_failing},
        "held_back": result.skipped,
        "rolled_back": list(outcome.rolled_back),
        "not_rolled_back": outcome.not_rolled_back,
        "not_ready_again": outcome.second_rolling.not_restarted,
        "runs": outcome.running_versions,
    }
    if args.as_json:
        print_json(summary)
    else:
        _show(summary, deployments, failed, outcome)
    return 0 if result.is_complete and not failed else 1


def _targets(fleet: Fleet, path: Path, args: argparse.Namespace) -> list[SshTarget]:
    """Return the target machines.

    Raises InputError: `--only` names this machine, or one that the fleet does not have.
    """
    variables = dict(os.environ)
    placement = place(fleet, environment_name(args), variables)
    own_machines = local_machines(placement, args.machine, variables)
    others = [machine for machine in placement.machines() if machine not in own_machines]
    chosen = args.only.split(",") if args.only else others
    for machine in chosen:
        if machine not in others:
            message = f"`{machine}` is not another machine of this fleet; expected one of {', '.join(others)}"
            raise InputError(Fault("--only", "unknown-machine", message))
    found = []
    for machine in chosen:
        labels = fleet.machines[machine].labels
        host = str(labels.get("ssh") or placement.host_of_machine(machine))
        directory = str(labels.get("tree") or path.parent)
        found.append(SshTarget(machine, host, directory, shlex.split(args.ssh)))
    return found


def _restart_or_rollback(
    path: Path, fleet: Fleet, targets: Iterable[SshTarget], version: str, min_ready_s: float
) -> SyncRestartResult:
    """Restart the agents; if one that was up does not become ready, restore the machines' previous trees.

    version: of the copied tree. The previous tree is kept until a restart has succeeded, in this call or a
    later one. Raises RefusedError: the fleet does not run.
    """
    with connect_running(locate_state_dir(path), "sync", path) as client:
        graph = build_graph(fleet)
        names = agents_to_restart(client.fetch_status())
        rolling = rolling_restart(client, graph, names, min_ready_s, version)
        if rolling.is_complete:
            for target in targets:
                with contextlib.suppress(RefusedError):  # kept until the next successful restart
                    discard_previous(target)
        if not rolling.failed:
            return _NOTHING_RESTARTED._replace(rolling=rolling)
        rolled_back, not_rolled_back = _rollback_all(targets, version)
        attempted = [*rolling.restarted, *rolling.failed, *rolling.still_failing]
        second_rolling = rolling_restart(
            client, graph, [name for name in attempted if fleet.agents[name].machine in rolled_back], 0.0
        )
        agents = client.fetch_status().agents
        running_versions = {
            name: {"state": agents[name].state.value, "version": agents[name].version} for name in names
        }
        return SyncRestartResult(rolling, rolled_back, not_rolled_back, second_rolling, running_versions)


def _rollback_all(targets: Iterable[SshTarget], version: str) -> tuple[dict[str, str], dict[str, str]]:
    rolled_back: dict[str, str] = {}
    not_rolled_back: dict[str, str] = {}
    for target in targets:
        try:
            previous = roll_back(target)
        except RefusedError as error:
            fault = error.faults[0]
            not_rolled_back[target.machine] = f"{fault.message}; {fault.hint}"
            continue
        if previous is None or previous.tree != version:
            rolled_back[target.machine] = previous.tree if previous else ""
        else:
            reason = "no earlier tree is kept there: an earlier restart with this one succeeded"
            not_rolled_back[target.machine] = reason
    return rolled_back, not_rolled_back


def _show(
    summary: dict[str, object],
    deployments: dict[str, Deployment],
    failed: dict[str, str],
    outcome: SyncRestartResult,
) -> None:
    for machine, each in deployments.items():
        before = each.before.tree if each.before else "unknown"
        what = f"copied by {each.transport}, was {before}" if each.is_new else "is up to date"
        print(f"{machine}: {what}")
        if each.before is not None and each.before.lock != each.after.lock:
            print("  its lock has changed too: install from it there before a restart")
    result = outcome.rolling
    print_reasons("not copied", "red", failed)
    print_reasons("not ready", "red", result.failed)
    print_reasons("still down", "red", result.still_failing)
    print_reasons("skipped", "yellow", result.skipped)
    if result.failed:
        _show_rollback(outcome)
    restarted = f", {len(result.restarted)} restarted" if result.restarted else ""
    print(f"version {summary['version']} of {summary['files']} files{restarted}")


def _show_rollback(outcome: SyncRestartResult) -> None:
    for machine, version in outcome.rolled_back.items():
        restored = f"the previous tree is restored ({version or 'no version'})"
        print(f"{machine}: {restored}; restarted agents run it again")
    print_reasons("not rolled back", "red", outcome.not_rolled_back)
    for name, why in outcome.second_rolling.not_restarted.items():
        print(f"{paint('not ready', 'red')}  {name}, with the previous tree: {why}")
    print("the tree on this machine is unchanged; running now:")
    by_version: dict[tuple[str, str], list[str]] = {}
    for name, each in outcome.running_versions.items():
        by_version.setdefault((each["state"], each["version"]), []).append(name)
    for (state, version), names in by_version.items():
        print(f"  {state}, {version or 'no version'}: {', '.join(names)}")
