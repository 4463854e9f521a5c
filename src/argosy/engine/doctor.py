"""What is wrong with this machine, or with a fleet on it, before anybody starts anything; changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import zmq

from argosy.engine.cgroup import find_delegated, offered
from argosy.engine.cleaning import Leftover, clean_strangers
from argosy.engine.client import SupervisorLostError, SupervisorSilentError, connect
from argosy.engine.filesystem import is_on_network
from argosy.engine.folder import Folder, folder_of, runtime_base, runtime_bases, state_home
from argosy.engine.limits import hard_open_files, unheld
from argosy.engine.listeners import Listeners
from argosy.engine.ports import is_free
from argosy.engine.preflight import preflight
from argosy.engine.remains import living_agents
from argosy.extra import install_command
from argosy.fault import ArgosyError
from argosy.fleet.environment import here, place
from argosy.fleet.load import read_fleet
from argosy.fleet.spec import AgentSpec
from argosy.fleet.units import shown_size
from argosy.wire.keys import folder_in_use

State = Literal["ok", "note", "warning", "error"]

_LEAST_KERNEL = (5, 3)
_LEAST_FREE_BYTES = 200 * 2**20
_LEAST_FILES = 1024
_EXTRAS = {
    "fast": ("uvloop",),
    "hub": ("starlette", "uvicorn", "zstandard"),
    "cluster": ("ray",),
}


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at. state: note tells what is not there and need not be."""

    name: str
    state: State
    message: str
    hint: str = ""


def examine_machine(variables: Mapping[str, str]) -> Iterator[Check]:
    """Yield what there is to say about this machine, whatever the fleet."""
    version = platform.python_version()
    is_new = sys.version_info >= (3, 11)
    yield Check("python", "ok" if is_new else "error", f"Python {version}", "" if is_new else "3.11 or newer")
    yield _kernel()
    yield from _folders(variables)
    most = hard_open_files()
    few = most is not None and most < _LEAST_FILES
    told = "no limit" if most is None else f"at most {most} descriptors a process"
    yield Check("open files", "warning" if few else "ok", told, "`ulimit -Hn` shows it" if few else "")
    held = offered(find_delegated(variables))
    yield Check(
        "control groups",
        "ok" if held else "note",
        f"limits are held by {', '.join(sorted(held))}" if held else "none are delegated to this user",
        "" if held else "`memory` and `cpus` of agents are then watched, not held: docs/engine.md",
    )
    curve = zmq.has("curve")
    yield Check(
        "zeromq",
        "ok" if curve else "warning",
        f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}, {'with' if curve else 'without'} CURVE",
        "" if curve else "keys between machines need it: the wheel of pyzmq has it",
    )
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        told = f"argosy[{extra}] is installed" if not missing else f"argosy[{extra}] is not installed"
        hint = f"`{install_command(extra)}`" if missing else ""
        yield Check(f"extra {extra}", "note" if missing else "ok", told, hint)
    yield _leftovers(variables)


def examine_fleet(
    path: Path, environment: str, machine: str | None, variables: Mapping[str, str]
) -> Iterator[Check]:
    """Yield what there is to say about a fleet on this machine."""
    fleet, faults = read_fleet(path)
    if fleet is None or faults:
        first = faults[0]
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        yield Check(
            "fleet file", "error", f"{first.where}: {first.message}{more}", "`argosy check` tells all"
        )
    if fleet is None:
        return
    if not faults:
        yield Check("fleet file", "ok", f"{path}: {len(fleet.agents)} agents, no fault")
    report = preflight(fleet, variables=variables)
    lame = len(report.cannot_start)
    those = ", ".join(list(report.cannot_start)[:5]) + (" and others" if lame > 5 else "")
    yield Check(
        "programs",
        "error" if lame else "ok",
        f"{lame} cannot start: {those}" if lame else "every agent's program can start",
        "`argosy check` tells why" if lame else "",
    )
    folder = folder_of(path, variables)
    names: frozenset[str | None] = frozenset([None, *fleet.machines])
    try:
        placement = place(fleet, environment, variables)
        names = here(placement, machine, variables)
    except ArgosyError as error:
        yield Check("environment", "error", error.faults[0].message, error.faults[0].hint)
    else:
        which = ", ".join(sorted(name for name in names if name)) or "the only one"
        yield Check("environment", "ok", f"{placement.environment}; this machine is {which}")
    yield from _running([agent for agent in fleet.agents.values() if agent.machine in names], folder)
    for fault in unheld(fleet, hard_open_files(), offered(find_delegated(variables))):
        yield Check("limits", "warning", f"{fault.where}: {fault.message}".lstrip(": "), fault.hint)
    keys = folder_in_use(fleet.name, variables)
    if len(fleet.machines) > 1 and not keys:
        told = "connections between machines are neither authenticated nor encrypted"
        yield Check("keys", "note", told, "`argosy keys make`")
    elif keys:
        yield Check("keys", "ok", f"in {keys}", "")


def _kernel() -> Check:
    system, release = platform.system(), platform.release()
    if system != "Linux":
        return Check("system", "note", f"{system}: agents are spawned, without a zygote", "Linux is its home")
    found = re.match(r"(\d+)\.(\d+)", release)
    version = (int(found[1]), int(found[2])) if found else _LEAST_KERNEL
    if version < _LEAST_KERNEL:
        return Check("system", "error", f"Linux {release} has no pidfd", "5.3 or newer")
    return Check("system", "ok", f"Linux {release}, {os.cpu_count()} processors")


def _folders(variables: Mapping[str, str]) -> Iterator[Check]:
    for name, path in (("state folder", state_home(variables)), ("runtime folder", runtime_base(variables))):
        there = next(one for one in (path, *path.parents) if one.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            variable = "XDG_STATE_HOME" if name == "state folder" else "XDG_RUNTIME_DIR"
            yield Check(
                name,
                "error",
                f"`{there}` is no folder that can be written",
                f"set {variable} to a folder of your own",
            )
            continue
        if is_on_network(there):
            hint = "set XDG_STATE_HOME to a local folder"
            yield Check(name, "error", f"`{there}` is on a network file system", hint)
            continue
        free = shutil.disk_usage(there).free
        is_full = free < _LEAST_FREE_BYTES
        hint = "`argosy clean --all`" if is_full else ""
        yield Check(name, "warning" if is_full else "ok", f"{path}, {shown_size(free)} free", hint)


def _leftovers(variables: Mapping[str, str]) -> Check:
    found = clean_strangers(state_home(variables), runtime_bases(variables), is_dry=True)
    gone = [one for one in found if isinstance(one, Leftover)]
    if not gone:
        return Check("leftovers", "ok", "nothing is left of fleets that are gone")
    size = sum(one.size_bytes for one in gone)
    message = f"{len(gone)} folders of fleets that are gone, {shown_size(size)}"
    return Check("leftovers", "note", message, "`argosy clean --all`")


def _running(agents: Sequence[AgentSpec], folder: Folder) -> Iterator[Check]:
    living = living_agents(folder)
    try:
        yield _supervisor(folder, len(living))
    except (SupervisorSilentError, SupervisorLostError) as error:
        yield Check("supervisor", "error", error.faults[0].message, error.faults[0].hint)
    if living:
        return
    ports = {port: agent.name for agent in agents for port in (agent.port, agent.health_port) if port}
    listeners = Listeners()
    taken = [
        f"{listeners.holder_of(port)}, of `{name}`" for port, name in ports.items() if not _is_free(port)
    ]
    more = f" and {len(taken) - 3} more" if len(taken) > 3 else ""
    if taken:
        hint = "end who holds them, or give the agents other ports"
        yield Check("ports", "error", "; ".join(taken[:3]) + more, hint)
    else:
        yield Check("ports", "ok", f"{len(ports)} are free")


def _supervisor(folder: Folder, living: int) -> Check:
    client = connect(folder, "doctor")
    if client is not None:
        with client:
            report = client.report()
        return Check("supervisor", "ok", f"pid {report.pid}, {len(report.agents)} agents")
    if living:
        message = f"none runs, and {living} agents do"
        return Check("supervisor", "warning", message, "`argosy up` starts one, which adopts them")
    return Check("supervisor", "ok", "none runs, and no agent")


def _is_free(port: int) -> bool:
    try:
        return is_free("0.0.0.0", port)
    except OSError:
        return True  # forbidden to this user: `up` will say so
