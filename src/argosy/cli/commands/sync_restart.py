"""Restarts the agents with a copied tree, and rolls the machines back if that fails."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from argosy.cli.commands.rolling_restart import RollingResult, agents_to_restart, rolling_restart
from argosy.engine.control.control_client import connect_running
from argosy.engine.deploy.tree_swap import discard_previous, roll_back
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import RefusedError
from argosy.fleet.dependency_graph import build_graph

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from argosy.engine.deploy.ssh_target import SshTarget
    from argosy.fleet.fleet_spec import Fleet


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


NOTHING_RESTARTED = SyncRestartResult(RollingResult.empty(), {}, {}, RollingResult.empty(), {})


def restart_or_rollback(
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
            return NOTHING_RESTARTED._replace(rolling=rolling)
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
            not_rolled_back[target.machine] = (
                "no earlier tree is kept there: an earlier restart with this one succeeded"
            )
    return rolled_back, not_rolled_back
