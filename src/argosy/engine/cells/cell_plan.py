"""The processes of cells: from the agents that share one to the one process that carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from argosy.agent.cell_manifest import CellManifest, CellMemberSpec, write_cell_manifest
from argosy.fleet.fleet_spec import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.unit.process_plan import ProcessPlan, ProcessSpec

_CELL_PREFIX = "cell:"
# Of one agent and not of the process that carries it.
_PER_AGENT_VARIABLES = frozenset({"ARGOSY_AGENT", "ARGOSY_PORT", "WATCHDOG_USEC"})
# Each agent has sockets of its own; less where the machine grants less.
_OPEN_FILES = 65536


def cell_unit_name(cell: str) -> str:
    """Return the name of a cell's process; no agent can have it."""
    return f"{_CELL_PREFIX}{cell}"


def cell_of_unit(unit_name: str) -> str | None:
    """Return the cell whose process has this name, None for that of an agent."""
    return unit_name.removeprefix(_CELL_PREFIX) if unit_name.startswith(_CELL_PREFIX) else None


def members_of(processes: Mapping[str, ProcessSpec]) -> dict[str, list[ProcessSpec]]:
    """Return the agents of each cell, in the order of the plan."""
    found: dict[str, list[ProcessSpec]] = {}
    for spec in processes.values():
        if spec.cell is not None:
            found.setdefault(spec.cell, []).append(spec)
    return found


def process_specs(
    processes: Mapping[str, ProcessSpec], cell_units: Mapping[str, ProcessSpec]
) -> dict[str, ProcessSpec]:
    """Return what runs as a process by its name: agents that are in no cell, and the cells."""
    own_process_specs = {name: spec for name, spec in processes.items() if spec.cell is None}
    return own_process_specs | {spec.name: spec for spec in cell_units.values()}


def plan_cell_units(processes: Mapping[str, ProcessSpec], state_dir: StateDir) -> dict[str, ProcessSpec]:
    """Return the process of each cell, without its digest. The loader has seen to it that its agents agree.

    Its watchdog is the shortest of theirs, its time-outs the longest.
    """
    return {cell: _plan_cell_unit(cell, specs, state_dir) for cell, specs in members_of(processes).items()}


def _plan_cell_unit(cell: str, specs: list[ProcessSpec], state_dir: StateDir) -> ProcessSpec:
    first = specs[0]
    name = cell_unit_name(cell)
    watchdogs = [spec.watchdog_s for spec in specs if spec.watchdog_s]
    env = {key: value for key, value in first.env.items() if key not in _PER_AGENT_VARIABLES}
    env["NOTIFY_SOCKET"] = str(state_dir.notify_socket(name))
    if watchdogs:
        env["WATCHDOG_USEC"] = str(int(min(watchdogs) * 1_000_000))
    return msgspec.structs.replace(
        first,
        name=name,
        argv=(first.argv[0], "-m", "argosy.agent.cell_host", str(state_dir.cell_manifest(cell))),
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
        start_error="",
    )


def write_cell_manifests(state_dir: StateDir, plan: ProcessPlan) -> None:
    """Write for each cell whom it may carry.

    Raises OSError: the disk is full.
    """
    for cell, specs in members_of(plan.processes).items():
        manifest = CellManifest(
            cell=cell,
            socket=str(state_dir.members_socket(cell)),
            notify=str(state_dir.notify_socket(cell_unit_name(cell))),
            # `python -m argosy.agent TARGET ARGS...`, as each would be run by itself.
            members={
                s.name: CellMemberSpec(s.argv[3], s.argv[4:], str(state_dir.notify_socket(s.name)))
                for s in specs
            },
        )
        write_cell_manifest(state_dir.cell_manifest(cell), manifest)
