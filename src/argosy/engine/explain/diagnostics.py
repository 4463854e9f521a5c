"""Diagnoses this machine, or a fleet on it, before anything is started; changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import zmq

from argosy.engine.control.control_client import SupervisorLostError, SupervisorUnresponsiveError, connect
from argosy.engine.explain.preflight import run_preflight
from argosy.engine.inventory.known_fleets import KnownFleet, has_supervisor, is_running, list_known_fleets
from argosy.engine.inventory.leftover_processes import running_agents
from argosy.engine.inventory.port_owners import PortOwners
from argosy.engine.process.cgroup import available_controllers, find_delegated
from argosy.engine.process.descriptors import descriptor_shortage
from argosy.engine.process.resource_limits import hard_open_files_limit, unenforced_limits
from argosy.engine.process.tcp_ports import is_port_free
from argosy.engine.state.damaged_stores import describe_damage
from argosy.engine.state.filesystem import is_network_filesystem
from argosy.engine.state.state_dir import StateDir, locate_state_dir, runtime_base, runtime_bases, state_home
from argosy.engine.supervisor.hub_process import find_running_hub
from argosy.engine.supervisor.state_cleanup import StaleDirectory, clean_unused_directories
from argosy.extra import install_command
from argosy.fault import ArgosyError
from argosy.fleet.environments import local_machines, place
from argosy.fleet.fleet_spec import AgentSpec
from argosy.fleet.loader import read_fleet
from argosy.fleet.quantities import format_size
from argosy.wire.security.curve_keys import active_keys_dir

CheckState = Literal["ok", "note", "warning", "error"]

# _NEWEST_PYTHON: the last version whose changes the code was reviewed for.
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 14)
_PYTHON_TESTED_EVERY_CHANGE, _PYTHON_TESTED_OCCASIONALLY = ((3, 11), (3, 13)), ((3, 12),)
_MIN_KERNEL = (5, 3)
_MIN_FREE_BYTES = 200 * 2**20
_MIN_OPEN_FILES = 1024
_EXTRA_PACKAGES = {
    "fast": ("uvloop",),
    "hub": ("starlette", "uvicorn", "zstandard"),
    "cluster": ("ray",),
}


class DiagnosticCheck(msgspec.Struct, frozen=True):
    """One check. state: note marks something absent that is optional."""

    name: str
    state: CheckState
    message: str
    hint: str = ""


def diagnose_machine(variables: Mapping[str, str]) -> Iterator[DiagnosticCheck]:
    """Yield the checks of this machine that do not depend on a fleet."""
    yield check_python(
        sys.version_info[:2],
        f"{platform.python_implementation()} {platform.python_version()}",
        sys.executable,
        is_free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    )
    yield _check_kernel()
    yield from _check_directories(variables)
    hard_limit = hard_open_files_limit()
    is_low = hard_limit is not None and hard_limit < _MIN_OPEN_FILES
    message = "no limit" if hard_limit is None else f"at most {hard_limit} descriptors per process"
    yield DiagnosticCheck(
        "open files", "warning" if is_low else "ok", message, "`ulimit -Hn` shows it" if is_low else ""
    )
    controllers = available_controllers(find_delegated(variables))
    yield DiagnosticCheck(
        "control groups",
        "ok" if controllers else "note",
        f"{', '.join(sorted(controllers))} limits can be enforced"
        if controllers
        else "none are delegated to this user",
        ""
        if controllers
        else "`memory` and `cpus` of agents are monitored, not enforced: docs/reference/resource-limits.md",
    )
    curve = zmq.has("curve")
    yield DiagnosticCheck(
        "zeromq",
        "ok" if curve else "warning",
        f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}, {'with' if curve else 'without'} CURVE",
        "" if curve else "keys between machines need it; the wheel of pyzmq contains it",
    )
    for extra, packages in _EXTRA_PACKAGES.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        message = f"argosy[{extra}] is installed" if not missing else f"argosy[{extra}] is not installed"
        hint = f"`{install_command(extra)}`" if missing else ""
        yield DiagnosticCheck(f"extra {extra}", "note" if missing else "ok", message, hint)
    yield from _check_leftovers(variables)


def diagnose_fleet(
    path: Path, environment: str, machine: str | None, variables: Mapping[str, str]
) -> Iterator[DiagnosticCheck]:
    """Yield the checks of a fleet on this machine."""
    fleet, faults = read_fleet(path)
    if fleet is None or faults:
        first = faults[0]
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        yield DiagnosticCheck(
            "fleet file", "error", f"{first.where}: {first.message}{more}", "`argosy check` lists all"
        )
    if fleet is None:
        return
    if not faults:
        yield DiagnosticCheck("fleet file", "ok", f"{path}: {len(fleet.agents)} agents, no fault")
    report = run_preflight(fleet, variables=variables)
    not_startable = len(report.start_obstacles)
    those = ", ".join(list(report.start_obstacles)[:5]) + (" and others" if not_startable > 5 else "")
    yield DiagnosticCheck(
        "programs",
        "error" if not_startable else "ok",
        f"{not_startable} cannot start: {those}" if not_startable else "every agent's program can start",
        "`argosy check` shows why" if not_startable else "",
    )
    state_dir = locate_state_dir(path, variables)
    names: frozenset[str | None] = frozenset([None, *fleet.machines])
    try:
        placement = place(fleet, environment, variables)
        names = local_machines(placement, machine, variables)
    except ArgosyError as error:
        yield DiagnosticCheck("environment", "error", error.faults[0].message, error.faults[0].hint)
    else:
        which = ", ".join(sorted(name for name in names if name)) or "the only one"
        yield DiagnosticCheck("environment", "ok", f"{placement.environment}; this machine is {which}")
    own = [agent for agent in fleet.agents.values() if agent.machine in names]
    yield from _check_running(own, state_dir)
    if fault := descriptor_shortage(own):
        yield DiagnosticCheck("descriptors", "error", fault.message, fault.hint)
    for fault in unenforced_limits(
        fleet, hard_open_files_limit(), available_controllers(find_delegated(variables))
    ):
        yield DiagnosticCheck("limits", "warning", f"{fault.where}: {fault.message}".lstrip(": "), fault.hint)
    keys = active_keys_dir(fleet.name, variables)
    if len(fleet.machines) > 1 and not keys:
        message = "connections between machines are neither authenticated nor encrypted"
        yield DiagnosticCheck("keys", "note", message, "`argosy keys make`")
    elif keys:
        yield DiagnosticCheck("keys", "ok", f"in {keys}", "")


def check_python(
    version: tuple[int, ...], name: str, path: str, *, is_free_threaded: bool = False
) -> DiagnosticCheck:
    """Check whether argosy is tested on this interpreter."""
    message = f"{name}, {path}"
    always, occasionally = map(_join_versions, (_PYTHON_TESTED_EVERY_CHANGE, _PYTHON_TESTED_OCCASIONALLY))
    hint = f"every change is tested on {always}; {occasionally} is tested occasionally"
    if version < _OLDEST_PYTHON:
        return DiagnosticCheck("python", "error", message, f"{_join_versions([_OLDEST_PYTHON])} or newer")
    if is_free_threaded or not name.startswith("CPython "):
        hint = f"use CPython with the GIL: {hint}"
        return DiagnosticCheck("python", "warning", f"{message}: a build that is not tested", hint)
    if version in (*_PYTHON_TESTED_EVERY_CHANGE, *_PYTHON_TESTED_OCCASIONALLY):
        how = (
            "every change is tested on it"
            if version in _PYTHON_TESTED_EVERY_CHANGE
            else "it is tested occasionally"
        )
        return DiagnosticCheck("python", "ok", f"{message}: {how}")
    reason = "expected to work, not tested yet" if version <= _NEWEST_PYTHON else "newer than any known one"
    return DiagnosticCheck("python", "warning", f"{message}: {reason}", hint)


def _join_versions(versions: Sequence[tuple[int, int]]) -> str:
    return " and ".join(".".join(map(str, version)) for version in versions)


def _check_kernel() -> DiagnosticCheck:
    system, release = platform.system(), platform.release()
    if system != "Linux":
        return DiagnosticCheck(
            "system", "note", f"{system}: agents are spawned, without a zygote", "argosy is made for Linux"
        )
    found = re.match(r"(\d+)\.(\d+)", release)
    version = (int(found[1]), int(found[2])) if found else _MIN_KERNEL
    if version < _MIN_KERNEL:
        return DiagnosticCheck("system", "error", f"Linux {release} has no pidfd", "5.3 or newer")
    return DiagnosticCheck("system", "ok", f"Linux {release}, {os.cpu_count()} processors")


def _check_directories(variables: Mapping[str, str]) -> Iterator[DiagnosticCheck]:
    for name, path in (
        ("state directory", state_home(variables)),
        ("runtime directory", runtime_base(variables)),
    ):
        existing = next(each for each in (path, *path.parents) if each.exists())
        if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
            variable = "XDG_STATE_HOME" if name == "state directory" else "XDG_RUNTIME_DIR"
            yield DiagnosticCheck(
                name,
                "error",
                f"`{existing}` is not a writable directory",
                f"set {variable} to a directory of your own",
            )
            continue
        if is_network_filesystem(existing):
            hint = "set XDG_STATE_HOME to a local directory"
            yield DiagnosticCheck(name, "error", f"`{existing}` is on a network file system", hint)
            continue
        free = shutil.disk_usage(existing).free
        is_full = free < _MIN_FREE_BYTES
        hint = "`argosy clean --all`" if is_full else ""
        yield DiagnosticCheck(name, "warning" if is_full else "ok", f"{path}, {format_size(free)} free", hint)


def _check_leftovers(variables: Mapping[str, str]) -> Iterator[DiagnosticCheck]:
    """Yield the leftovers of fleets whose file is gone: first those that still run."""
    without_file = [
        fleet
        for fleet in list_known_fleets(variables)
        if not fleet.has_fleet_file and is_running(fleet.state_dir)
    ]
    for fleet in without_file:
        yield DiagnosticCheck(
            "leftovers", "warning", _describe_fleet_without_file(fleet), f"`argosy down {fleet.name}`"
        )
    found = clean_unused_directories(state_home(variables), runtime_bases(variables), is_dry_run=True)
    stale = [each for each in found if isinstance(each, StaleDirectory)]
    if stale:
        size = sum(each.size_bytes for each in stale)
        message = f"{len(stale)} directories of fleets that no longer exist, {format_size(size)}"
        yield DiagnosticCheck("leftovers", "note", message, "`argosy clean --all`")
    elif not without_file:
        yield DiagnosticCheck("leftovers", "ok", "none of fleets that no longer exist")


def _describe_fleet_without_file(fleet: KnownFleet) -> str:
    living = len(running_agents(fleet.state_dir))
    what = f"{living} {'process' if living == 1 else 'processes'} of its agents"
    supervisor_text = (
        f"its supervisor and {what}" if has_supervisor(fleet.state_dir) else f"no supervisor, {what}"
    )
    where = (
        f"its fleet file `{fleet.path}` was moved or deleted" if fleet.path else "its fleet file is unknown"
    )
    return f"fleet `{fleet.name}` runs ({supervisor_text}), and {where}"


def _check_running(agents: Sequence[AgentSpec], state_dir: StateDir) -> Iterator[DiagnosticCheck]:
    running = running_agents(state_dir)
    try:
        yield from _check_supervisor(state_dir, len(running))
    except (SupervisorUnresponsiveError, SupervisorLostError) as error:
        yield DiagnosticCheck("supervisor", "error", error.faults[0].message, error.faults[0].hint)
    if running:
        return
    ports = {port: agent.name for agent in agents for port in (agent.port, agent.health_port) if port}
    listeners = PortOwners()
    taken = [
        f"{listeners.owner_of_port(port)}, of `{name}`" for port, name in ports.items() if not _can_bind(port)
    ]
    more = f" and {len(taken) - 3} more" if len(taken) > 3 else ""
    if taken:
        hint = "stop the processes that hold them, or give the agents other ports"
        yield DiagnosticCheck("ports", "error", "; ".join(taken[:3]) + more, hint)
    else:
        yield DiagnosticCheck("ports", "ok", f"{len(ports)} are free")


def _check_supervisor(state_dir: StateDir, running_count: int) -> Iterator[DiagnosticCheck]:
    client = connect(state_dir, "doctor")
    if client is not None:
        with client:
            report = client.fetch_status()
        yield DiagnosticCheck("supervisor", "ok", f"pid {report.pid}, {len(report.agents)} agents")
        yield from _check_hub(state_dir, report.hub)
    elif running_count:
        message = f"not running, although {running_count} agents run"
        yield DiagnosticCheck("supervisor", "warning", message, "`argosy up` starts one, which adopts them")
    else:
        yield DiagnosticCheck("supervisor", "ok", "not running, and no agent runs")
    if damage := describe_damage(state_dir.hub_store):
        hint = "check the disk: argosy does not damage files"
        yield DiagnosticCheck("hub store", "warning", damage, hint)


def _check_hub(state_dir: StateDir, problem: str) -> Iterator[DiagnosticCheck]:
    """Yield the state of the hub of a running fleet; a fleet may have none."""
    record = find_running_hub(state_dir.hub_lock)
    if record is not None and record.url:
        yield DiagnosticCheck("hub", "ok", f"pid {record.pid}, {record.url}")
    elif problem:
        yield DiagnosticCheck("hub", "error", problem, "run `argosy hub` in the fleet's directory to see why")


def _can_bind(port: int) -> bool:
    try:
        return is_port_free("0.0.0.0", port)
    except OSError:
        return True  # forbidden to this user: `up` reports it
