"""What is wrong with this machine, or with a fleet on it, before anybody starts anything; changes nothing."""

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

from argosy.engine.cgroup import find_delegated, offered
from argosy.engine.cleaning import Leftover, clean_strangers
from argosy.engine.client import SupervisorLostError, connect
from argosy.engine.companion import running_hub
from argosy.engine.damaged import damage_told
from argosy.engine.descriptors import too_few
from argosy.engine.filesystem import is_on_network
from argosy.engine.folder import Folder, folder_of, runtime_base, runtime_bases, state_home
from argosy.engine.known import KnownFleet, is_supervised, known_fleets, runs
from argosy.engine.limits import hard_open_files, unheld
from argosy.engine.listeners import Listeners
from argosy.engine.ports import is_free
from argosy.engine.preflight import preflight
from argosy.engine.remains import living_agents
from argosy.engine.silence import SupervisorSilentError
from argosy.extra import install_command
from argosy.fault import ArgosyError
from argosy.fleet.environment import here, place
from argosy.fleet.load import read_fleet
from argosy.fleet.spec import AgentSpec
from argosy.fleet.units import shown_size
from argosy.wire.keys import folder_in_use

State = Literal["ok", "note", "warning", "error"]

# The newest is the last whose changes the code was read for; _TESTED_ALWAYS is what .ci/run runs on.
_OLDEST, _NEWEST = (3, 11), (3, 14)
_TESTED_ALWAYS, _TESTED = ((3, 11), (3, 13)), ((3, 12),)
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
    yield judge_python(
        sys.version_info[:2],
        f"{platform.python_implementation()} {platform.python_version()}",
        sys.executable,
        is_free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    )
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
    yield from _leftovers(variables)


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
    own = [agent for agent in fleet.agents.values() if agent.machine in names]
    yield from _running(own, folder)
    if fault := too_few(own):
        yield Check("descriptors", "error", fault.message, fault.hint)
    for fault in unheld(fleet, hard_open_files(), offered(find_delegated(variables))):
        yield Check("limits", "warning", f"{fault.where}: {fault.message}".lstrip(": "), fault.hint)
    keys = folder_in_use(fleet.name, variables)
    if len(fleet.machines) > 1 and not keys:
        told = "connections between machines are neither authenticated nor encrypted"
        yield Check("keys", "note", told, "`argosy keys make`")
    elif keys:
        yield Check("keys", "ok", f"in {keys}", "")


def judge_python(version: tuple[int, ...], name: str, path: str, *, is_free_threaded: bool = False) -> Check:
    """Say whether this interpreter is one that argosy is tested on."""
    told = f"{name}, {path}"
    hint = f"every change is tested on {_listed(_TESTED_ALWAYS)}; {_listed(_TESTED)} now and then"
    if version < _OLDEST:
        return Check("python", "error", told, f"{_listed([_OLDEST])} or newer")
    if is_free_threaded or not name.startswith("CPython "):
        hint = f"CPython with its lock: {hint}"
        return Check("python", "warning", f"{told}: a build that is not tested", hint)
    if version in (*_TESTED_ALWAYS, *_TESTED):
        how = "every change is tested on it" if version in _TESTED_ALWAYS else "it is tested now and then"
        return Check("python", "ok", f"{told}: {how}")
    why = "meant to work, not tested yet" if version <= _NEWEST else "newer than what is known"
    return Check("python", "warning", f"{told}: {why}", hint)


def _listed(versions: Sequence[tuple[int, int]]) -> str:
    return " and ".join(".".join(map(str, version)) for version in versions)


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


def _leftovers(variables: Mapping[str, str]) -> Iterator[Check]:
    """Yield what is left of fleets whose file is gone: first what of them runs."""
    homeless = [fleet for fleet in known_fleets(variables) if not fleet.is_file_there and runs(fleet.folder)]
    for fleet in homeless:
        yield Check("leftovers", "warning", _homeless(fleet), f"`argosy down {fleet.name}`")
    found = clean_strangers(state_home(variables), runtime_bases(variables), is_dry=True)
    gone = [one for one in found if isinstance(one, Leftover)]
    if gone:
        size = sum(one.size_bytes for one in gone)
        message = f"{len(gone)} folders of fleets that are gone, {shown_size(size)}"
        yield Check("leftovers", "note", message, "`argosy clean --all`")
    elif not homeless:
        yield Check("leftovers", "ok", "nothing is left of fleets that are gone")


def _homeless(fleet: KnownFleet) -> str:
    living = len(living_agents(fleet.folder))
    what = f"{living} {'process' if living == 1 else 'processes'} of its agents"
    who = f"its supervisor and {what}" if is_supervised(fleet.folder) else f"no supervisor, {what}"
    where = (
        f"its fleet file `{fleet.path}` was moved or deleted" if fleet.path else "its fleet file is unknown"
    )
    return f"fleet `{fleet.name}` runs ({who}), and {where}"


def _running(agents: Sequence[AgentSpec], folder: Folder) -> Iterator[Check]:
    living = living_agents(folder)
    try:
        yield from _supervisor(folder, len(living))
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


def _supervisor(folder: Folder, living: int) -> Iterator[Check]:
    client = connect(folder, "doctor")
    if client is not None:
        with client:
            report = client.report()
        yield Check("supervisor", "ok", f"pid {report.pid}, {len(report.agents)} agents")
        yield from _hub(folder, report.hub)
    elif living:
        message = f"none runs, and {living} agents do"
        yield Check("supervisor", "warning", message, "`argosy up` starts one, which adopts them")
    else:
        yield Check("supervisor", "ok", "none runs, and no agent")
    if told := damage_told(folder.hub_store):
        yield Check("hub's records", "warning", told, "see to the disk: a file is not damaged by itself")


def _hub(folder: Folder, trouble: str) -> Iterator[Check]:
    """Yield how the hub of a running fleet does; a fleet may be without one."""
    mark = running_hub(folder.hub_lock)
    if mark is not None and mark.url:
        yield Check("hub", "ok", f"pid {mark.pid}, {mark.url}")
    elif trouble:
        yield Check(
            "hub", "error", trouble, "`argosy hub` in the fleet's folder runs it by hand, and shows why"
        )


def _is_free(port: int) -> bool:
    try:
        return is_free("0.0.0.0", port)
    except OSError:
        return True  # forbidden to this user: `up` will say so
