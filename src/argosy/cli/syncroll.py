"""What runs, restarted by the tree that was brought; and the way back when it does not hold."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from argosy.cli.rolling import Rolled, roll, wanted_up
from argosy.engine.client import connect_running
from argosy.engine.folder import folder_of
from argosy.engine.shipping import settle, take_back
from argosy.fault import RefusedError
from argosy.fleet.graph import build_graph

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from argosy.engine.remote import Target
    from argosy.fleet.spec import Fleet


class Outcome(NamedTuple):
    """How it went.

    taken_back: machine to the version that it has again. not_taken_back: machine to why its tree is still
    the new one. again: how the restarts by the old tree went. runs: after a roll that failed, agent to its
    state and the version that it runs, for those that were up or should be.
    """

    rolled: Rolled
    taken_back: dict[str, str]
    not_taken_back: dict[str, str]
    again: Rolled
    runs: dict[str, dict[str, str]]


NOTHING = Outcome(Rolled.none(), {}, {}, Rolled.none(), {})


def restart_all(path: Path, fleet: Fleet, targets: Iterable[Target], version: str, hold_s: float) -> Outcome:
    """Restart what is wanted up; when one that was up falls, give the machines the tree that they had before.

    version: of the tree that was brought. The tree before is kept until a roll has succeeded, by whichever
    call it was brought. Raises RefusedError: the fleet does not run.
    """
    with connect_running(folder_of(path), "sync", path) as client:
        graph = build_graph(fleet)
        names = wanted_up(client.report())
        rolled = roll(client, graph, names, hold_s, version)
        if rolled.is_whole:
            for target in targets:
                with contextlib.suppress(RefusedError):  # kept until the next that succeeds
                    settle(target)
        if not rolled.failed:
            return NOTHING._replace(rolled=rolled)
        taken_back, not_taken_back = _take_back(targets, version)
        begun = [*rolled.restarted, *rolled.failed, *rolled.still_down]
        again = roll(client, graph, [name for name in begun if fleet.agents[name].machine in taken_back], 0.0)
        agents = client.report().agents
        runs = {name: {"state": agents[name].state.value, "version": agents[name].version} for name in names}
        return Outcome(rolled, taken_back, not_taken_back, again, runs)


def _take_back(targets: Iterable[Target], version: str) -> tuple[dict[str, str], dict[str, str]]:
    taken_back: dict[str, str] = {}
    stuck: dict[str, str] = {}
    for target in targets:
        try:
            there = take_back(target)
        except RefusedError as error:
            fault = error.faults[0]
            stuck[target.machine] = f"{fault.message}; {fault.hint}"
            continue
        if there is None or there.tree != version:
            taken_back[target.machine] = there.tree if there else ""
        else:
            stuck[target.machine] = "no earlier tree is kept there: this one has been restarted by before"
    return taken_back, stuck
