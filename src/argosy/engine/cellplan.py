"""The processes of cells: from the agents that share one to the one process that carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from argosy.agent.roll import Roll, Seat, write_roll
from argosy.fleet.spec import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from argosy.engine.folder import Folder
    from argosy.engine.plan import Plan, ProcessSpec

_HULL = "cell:"
# Of one agent and not of the process that carries it.
_OF_ONE_AGENT = frozenset({"ARGOSY_AGENT", "ARGOSY_PORT", "WATCHDOG_USEC"})
# Each agent has sockets of its own; less where the machine grants less.
_OPEN_FILES = 65536


def hull_name(cell: str) -> str:
    """Return the name of a cell's process; no agent can have it."""
    return f"{_HULL}{cell}"


def cell_of(process: str) -> str | None:
    """Return the cell whose process has this name, None for that of an agent."""
    return process.removeprefix(_HULL) if process.startswith(_HULL) else None


def members_of(processes: Mapping[str, ProcessSpec]) -> dict[str, list[ProcessSpec]]:
    """Return the agents of each cell, in the order of the plan."""
    found: dict[str, list[ProcessSpec]] = {}
    for spec in processes.values():
        if spec.cell is not None:
            found.setdefault(spec.cell, []).append(spec)
    return found


def hosts_of(
    processes: Mapping[str, ProcessSpec], hulls: Mapping[str, ProcessSpec]
) -> dict[str, ProcessSpec]:
    """Return what runs as a process by its name: agents that are in no cell, and the cells."""
    alone = {name: spec for name, spec in processes.items() if spec.cell is None}
    return alone | {spec.name: spec for spec in hulls.values()}


def plan_hulls(processes: Mapping[str, ProcessSpec], folder: Folder) -> dict[str, ProcessSpec]:
    """Return the process of each cell, without its digest. The loader has seen to it that its agents agree.

    Its watchdog is the shortest of theirs, its time-outs the longest.
    """
    return {cell: _plan_hull(cell, specs, folder) for cell, specs in members_of(processes).items()}


def _plan_hull(cell: str, specs: list[ProcessSpec], folder: Folder) -> ProcessSpec:
    first = specs[0]
    name = hull_name(cell)
    watchdogs = [spec.watchdog_s for spec in specs if spec.watchdog_s]
    env = {key: value for key, value in first.env.items() if key not in _OF_ONE_AGENT}
    env["NOTIFY_SOCKET"] = str(folder.notify(name))
    if watchdogs:
        env["WATCHDOG_USEC"] = str(int(min(watchdogs) * 1_000_000))
    return msgspec.structs.replace(
        first,
        name=name,
        argv=(first.argv[0], "-m", "argosy.agent.cell", str(folder.roll(cell))),
        env=env,
        is_sdk=False,
        group=None,
        ports=(),
        port=None,
        probe=Probe(probe="notify"),
        probe_port=None,
        needs=(),
        wants=(),
        watchdog_s=min(watchdogs, default=None),
        liveness=None,
        start_timeout_s=max(spec.start_timeout_s for spec in specs),
        stop_timeout_s=max(spec.stop_timeout_s for spec in specs),
        open_files=first.open_files or _OPEN_FILES,
        cell=None,
        gpu_memory_bytes=0,  # its agents are admitted by theirs one by one
        refusal="",
    )


def write_rolls(folder: Folder, plan: Plan) -> None:
    """Write for each cell whom it may carry.

    Raises OSError: the disk is full.
    """
    for cell, specs in members_of(plan.processes).items():
        roll = Roll(
            cell=cell,
            socket=str(folder.calls(cell)),
            notify=str(folder.notify(hull_name(cell))),
            # `python -m argosy.agent TARGET ARGS...`, as each would be run by itself.
            seats={s.name: Seat(s.argv[3], s.argv[4:], str(folder.notify(s.name))) for s in specs},
        )
        write_roll(folder.roll(cell), roll)
