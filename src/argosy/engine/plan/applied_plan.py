"""The applied plan, kept for the next supervisor, and the address book, written for the agents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from argosy.agent.cell_manifest import CellManifest, read_cell_manifest
from argosy.atomic_file import has_content
from argosy.engine.plan.cell_plan import cell_of_unit
from argosy.engine.plan.peering_plan import PeeringPlan
from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
from argosy.engine.state.file_identity import FileIdentity
from argosy.fault import ArgosyError
from argosy.fleet.fleet_spec import Probe
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book
from argosy.wire.security.curve_keys import active_keys_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from argosy.engine.state.state_dir import StateDir
    from argosy.fleet.fleet_spec import Fleet
    from argosy.fleet.placement import Placement


# Keys of applied.json by the names that earlier versions wrote.
_RENAMED_KEYS = {"leaving": "stopping", "hulls": "cell_processes", "links": "peering", "mark": "fleet_file"}
_RENAMED_SPEC_KEYS = {"rhythm": "liveness_schedule", "refusal": "start_error"}
_RENAMED_PEERING_KEYS = {"door": "listen_endpoint", "keys": "keys_dir"}


class AppliedPlan(msgspec.Struct, frozen=True):
    """What a supervisor ran.

    machines: the machines that this host is. stopping: processes that are not in the plan any more but
    still ran when it was written. cell_processes: those of cells that ran then. peering: None without
    other machines. fleet_file: None if it could not be read.
    """

    plan: ProcessPlan
    machines: list[str]
    stopping: dict[str, ProcessSpec] = {}
    cell_processes: dict[str, ProcessSpec] = {}
    peering: PeeringPlan | None = None
    fleet_file: FileIdentity | None = None


def stage_applied_plan(state_dir: StateDir, applied_plan: AppliedPlan) -> Path | None:
    """Write the plan beside the current one, readable by its owner alone; return the path to rename.

    Returns None if the current one is the same. Environments may hold secrets. Raises OSError: the disk
    is full.
    """
    data = msgspec.json.encode(applied_plan)
    if has_content(state_dir.applied_plan, data):
        return None
    temp_path = state_dir.applied_plan.with_suffix(".new")
    descriptor = os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
    except OSError:
        temp_path.unlink(missing_ok=True)
        raise
    return temp_path


def load_applied_plan(state_dir: StateDir) -> AppliedPlan | None:
    """Return the applied plan, or None if there is none that can be read."""
    try:
        return _decode_applied_plan(state_dir.applied_plan.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _decode_applied_plan(data: bytes) -> AppliedPlan:
    if b'"leaving":' not in data:
        return msgspec.json.decode(data, type=AppliedPlan)
    raw = _rename_keys(msgspec.json.decode(data), _RENAMED_KEYS)  # written by an earlier version
    if raw.get("peering"):
        raw["peering"] = _rename_keys(raw["peering"], _RENAMED_PEERING_KEYS)
    plan = raw["plan"] = _rename_keys(raw.get("plan", {}), _RENAMED_KEYS)
    for owner in (raw, plan):
        for key in {"stopping", "processes", "cell_processes"} & owner.keys():
            owner[key] = {name: _rename_keys(spec, _RENAMED_SPEC_KEYS) for name, spec in owner[key].items()}
    return msgspec.convert(raw, AppliedPlan)


def _rename_keys(fields: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    return {renamed.get(key, key): value for key, value in fields.items()}


class UnplannedSpecs(NamedTuple):
    """Running processes that are in no applied plan: agents by name, and cell processes by cell."""

    agents: dict[str, ProcessSpec]
    cell_processes: dict[str, ProcessSpec]


def specs_missing_from_plan(state_dir: StateDir, names: Iterable[str]) -> UnplannedSpecs:
    """Return specs of running processes that are in no applied plan; they can be stopped, not started.

    The agents of a cell are those of its manifest, if there is one; those that have ended report so.
    """
    found = UnplannedSpecs({}, {})
    for name in names:
        cell = cell_of_unit(name)
        manifest = _read_manifest(state_dir, cell) if cell is not None else None
        if cell is None or manifest is None:
            found.agents[name] = _stop_only_spec(name)
            continue
        found.cell_processes[cell] = _stop_only_spec(name)
        found.agents.update((agent, _stop_only_spec(agent, cell)) for agent in manifest.members)
    return found


def _read_manifest(state_dir: StateDir, cell: str) -> CellManifest | None:
    try:
        return read_cell_manifest(state_dir.cell_manifest(cell))
    except ArgosyError:
        return None


def _stop_only_spec(agent: str, cell: str | None = None) -> ProcessSpec:
    return ProcessSpec(
        name=agent,
        argv=(),
        env={},
        cwd="/",
        is_sdk=False,
        machine=None,
        group=None,
        ports=(),
        host="127.0.0.1",
        port=None,
        probe=Probe(probe="alive", seconds=0.0),
        probe_port=None,
        needs=(),
        wants=(),
        required=False,
        watchdog_s=None,
        start_timeout_s=60.0,
        stop_timeout_s=10.0,
        restart="never",
        restart_times=0,
        restart_within_s=1.0,
        backoff_first_s=0.0,
        backoff_most_s=0.0,
        open_files=0,
        cell=cell,
        start_error="its plan is lost; `argosy up` applies the fleet file again",
    )


def write_fleet_address_book(
    state_dir: StateDir, fleet: Fleet, placement: Placement, machines: Iterable[str]
) -> None:
    """Write the addresses of all agents for the agents of this machine.

    On its own machine an agent of the library can be reached without a port; a script cannot.
    """
    addresses = {}
    for agent in fleet.agents.values():
        if agent.port is None and agent.kind != "class":
            continue
        endpoint = placement.endpoint_of(agent.name) if agent.port is not None else None
        addresses[agent.name] = AgentAddress(
            machine=agent.machine or "",
            host=endpoint.host if endpoint else "",
            bind=placement.bind_address_of(agent.name),
            port=endpoint.port if endpoint else None,
            health_port=agent.health_port,
            idempotent=agent.idempotent,
            needs=tuple(need.agent for need in agent.needs),
            wants=agent.wants,
        )
    write_address_book(
        state_dir.address_book,
        AddressBook(
            fleet=fleet.name,
            environment=placement.environment,
            machines=tuple(machines),
            runtime=str(state_dir.runtime_path),
            keys=active_keys_dir(fleet.name, placement.lookup.variables) if fleet.machines else "",
            agents=addresses,
            hubs=_hub_addresses(fleet, placement, tuple(machines)),
        ),
    )


def _hub_addresses(
    fleet: Fleet, placement: Placement, local_machines: tuple[str, ...]
) -> dict[str, AgentAddress]:
    """Return the address of each machine's hub; machines on one host share the hub of the first."""
    port = fleet.hub.port + 1  # the port after that of the page
    own = local_machines[0] if local_machines else ""
    remote_machines = [machine for machine in placement.machines() if machine not in local_machines]
    if not remote_machines:  # no remote client: two fleets on one host need no port each
        return {own: AgentAddress(own)}
    hubs = {}
    for machine in (own, *remote_machines):
        host = placement.host_of_machine(machine)
        hubs[machine] = AgentAddress(machine, host=host, bind=host, port=port)
    return hubs
