"""Starts a fleet on a Ray cluster: one actor per node, which starts the node's own supervisor.

A machine's node is the one with a resource `argosy-M`, else with a label `argosy-machine: M`, else at the
machine's address. Ray places the actors; the supervisors start the agents and connect as on any machines.
"""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from argosy.extra import install_command
from argosy.fault import Fault, MissingError, RefusedError
from argosy.wire.security.curve_keys import active_keys_dir
from argosy.wire.security.key_management import export_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from argosy.fleet.fleet_spec import Fleet
    from argosy.fleet.placement import Placement

_ACTOR_START_TIMEOUT_S: Final = 60.0


class HostedSupervisor(NamedTuple):
    """A machine's supervisor on its node. is_new: it was started now."""

    machine: str
    node: str
    pid: int
    is_new: bool


def start_supervisors_on_ray(fleet: Fleet, placement: Placement) -> list[HostedSupervisor]:
    """Ensure that every machine's supervisor runs on its node of the cluster that RAY_ADDRESS names.

    Raises MissingError: Ray is not installed; RefusedError: no cluster, no keys, a machine without a node,
    or a supervisor that does not start.
    """
    if find_spec("ray") is None:
        message = "`--engine ray` needs Ray, which is not installed here"
        raise MissingError(Fault("--engine", "no-ray", message, f"`{install_command('cluster')}`"))
    keys = active_keys_dir(fleet.name, placement.lookup.variables)
    if not keys:
        message = f"fleet `{fleet.name}` has no keys, which its machines' supervisors need to connect"
        raise RefusedError(Fault(fleet.path, "no-keys", message, "`argosy keys make`"))
    ray = import_module("ray")
    try:
        ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        message = f"no Ray cluster can be reached: {str(error).splitlines()[0]}"
        hint = "`ray start --head` starts one; RAY_ADDRESS names a remote one"
        raise RefusedError(Fault("RAY_ADDRESS", "no-cluster", message, hint)) from error
    try:
        machines = placement.machines()
        found = {machine: placement.host_of_machine(machine) for machine in machines}
        nodes = match_nodes(found, ray.nodes())
        return _start_node_actors(ray, fleet, placement.environment, keys, nodes)
    finally:
        ray.shutdown()


def match_nodes(
    addresses: Mapping[str, str], nodes: Sequence[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Return the node of each machine. addresses: of the machines; nodes: as Ray lists them.

    Raises RefusedError: a machine has no node.
    """
    alive = [node for node in nodes if node["Alive"]]
    found: dict[str, Mapping[str, Any]] = {}
    faults = []
    for machine, address in addresses.items():
        matches = (
            [node for node in alive if f"argosy-{machine}" in node["Resources"]],
            [node for node in alive if node.get("Labels", {}).get("argosy-machine") == machine],
            [node for node in alive if node["NodeManagerAddress"] == address],
        )
        node = next((each[0] for each in matches if each), None)
        if node is not None:
            found[machine] = node
            continue
        addresses_found = ", ".join(sorted(str(node["NodeManagerAddress"]) for node in alive)) or "none"
        message = f"no node of the Ray cluster is machine `{machine}` ({address}); nodes: {addresses_found}"
        hint = f"""`ray start --resources '{{"argosy-{machine}": 1}}'` on a node makes it that machine"""
        faults.append(Fault(machine, "no-node", message, hint))
    if faults:
        raise RefusedError(*faults)
    return found


def _start_node_actors(
    ray: Any, fleet: Fleet, environment: str, keys: str, nodes: Mapping[str, Mapping[str, Any]]
) -> list[HostedSupervisor]:
    from argosy.engine.deploy.ray_node_actor import RayNodeActor  # noqa: PLC0415 - needed with Ray only

    strategies = import_module("ray.util.scheduling_strategies")
    ids = {machine: str(node["NodeID"]) for machine, node in nodes.items()}
    pending = {}
    for machine, node in nodes.items():
        gpus = int(node["Resources"].get("GPU", 0))
        path = str(fleet.machines[machine].labels.get("tree") or Path(fleet.path).parent)
        actor = (
            ray.remote(RayNodeActor)
            .options(
                name=f"argosy-{fleet.name}-{machine}",
                namespace="argosy",
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(ids[machine], soft=False),
            )
            .remote(f"{path}/{Path(fleet.path).name}", fleet.name, machine)
        )
        pending[machine] = actor.ensure_supervisor.remote(
            environment, _read_machine_keys(keys, machine), gpus, ids
        )
    hosted = []
    for machine, reply in pending.items():
        try:
            result = ray.get(reply, timeout=_ACTOR_START_TIMEOUT_S)
        except Exception as error:
            message = f"node of machine `{machine}`: {str(error).strip().splitlines()[-1]}"
            hint = "install argosy and the fleet's tree there (`argosy sync`); see also `ray list actors`"
            raise RefusedError(Fault(machine, "supervisor-not-started", message, hint)) from error
        hosted.append(HostedSupervisor(machine, ids[machine], result["pid"], result["started"]))
    return hosted


def _read_machine_keys(keys_dir: str, machine: str) -> dict[str, bytes]:
    """Return the key files that a machine needs; none if its secret is not on this machine."""
    with tempfile.TemporaryDirectory() as name:
        try:
            export_keys(keys_dir, machine, f"{name}/keys")
        except RefusedError:
            return {}
        return {path.name: path.read_bytes() for path in Path(f"{name}/keys").iterdir()}
