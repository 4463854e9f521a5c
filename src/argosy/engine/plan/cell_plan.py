"""Plans the processes of cells: one process for the agents that share a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from argosy.agent.cell_manifest import CellManifest, CellMemberSpec, write_cell_manifest
from argosy.fleet.fleet_spec import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
    from argosy.engine.state.state_dir import StateDir

_CELL_PREFIX = "cell:"
# Variables of a single agent, which the cell's process does not get.
_PER_AGENT_VARIABLES = frozenset({"ARGOSY_AGENT", "ARGOSY_PORT", "WATCHDOG_USEC"})
# Each agent has its own sockets; the hard limit of the machine may be lower.
_OPEN_FILES = 65536


def cell_unit_name(cell: str) -> str:
    """Return the name of a cell's process, which no agent can have."""
    return f"{_CELL_PREFIX}{cell}"


def cell_of_unit(unit_name: str) -> str | None:
    """Return the cell whose process has this name, None for an agent's name."""
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
    """Return all specs that run as a process, by name: agents without a cell, and the cells."""
    own_process_specs = {name: spec for name, spec in processes.items() if spec.cell is None}
    return own_process_specs | {spec.name: spec for spec in cell_units.values()}


def plan_cell_units(processes: Mapping[str, ProcessSpec], state_dir: StateDir) -> dict[str, ProcessSpec]:
    """Return the process of each cell, without its digest; the loader has checked that its agents agree.

    Its watchdog is the shortest of its agents', its time-outs are the longest.
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
        gpu_memory_bytes=0,  # its agents are admitted one by one
        start_error="",
    )


def write_cell_manifests(state_dir: StateDir, plan: ProcessPlan) -> None:
    """Write the manifest of each cell: the agents that it may host.

    Raises OSError: the disk is full.
    """
    for cell, specs in members_of(plan.processes).items():
        manifest = CellManifest(
            cell=cell,
            socket=str(state_dir.members_socket(cell)),
            notify=str(state_dir.notify_socket(cell_unit_name(cell))),
            # argv of an agent on its own: `python -m argosy.agent TARGET ARGS...`.
            members={
                s.name: CellMemberSpec(s.argv[3], s.argv[4:], str(state_dir.notify_socket(s.name)))
                for s in specs
            },
        )
        write_cell_manifest(state_dir.cell_manifest(cell), manifest)
