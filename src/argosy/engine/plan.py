"""The plan: from a placed fleet to the exact process of every agent on this machine.

Pure: reads the fleet and the placement, returns data. The supervisor compares two plans by the
digests in them, and acts on the difference only.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.cellplan import plan_hulls
from argosy.engine.envfile import read_env_file
from argosy.engine.retention import Limits
from argosy.fault import InputError
from argosy.fleet.spec import Liveness, Need, Probe
from argosy.fleet.units import duration_s, size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from argosy.engine.folder import Folder
    from argosy.fleet.placement import Endpoint, Placement
    from argosy.fleet.spec import AgentSpec, Fleet, Logs

# What one service manager tells its child must not reach the children of that child.
_OF_THE_CALLER = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "MAINPID",
    }
)


class Rhythm(NamedTuple):
    """How often a running agent is asked for life, and how many failures in a row are too many."""

    every_s: float
    failures: int


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's process on this machine, everything resolved.

    env: what is set on top of the caller's environment.
    ports: (interface, port) pairs that must be free before a start.
    host, port: where others reach it; None without a declared port.
    probe_port: where a zmq, http or tcp probe of readiness knocks.
    memory_bytes, gpu_memory_bytes: what it is admitted by, the first also a limit; None and 0 when it
    does not say.
    cpus: how many processors it may use, None for all.
    liveness, rhythm: the probe of a running one, and how often.
    start: spawn, or auto: from a warm interpreter where that is safe.
    cell: the one whose process it shares; its argv is then only what it would be by itself.
    refusal: why it cannot be started at all, such as a script that is missing; empty when it can.
    digest: of everything that a running process would have to be restarted for.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    is_sdk: bool
    machine: str | None
    group: str | None
    ports: tuple[tuple[str, int], ...]
    host: str
    port: int | None
    probe: Probe
    probe_port: int | None
    needs: tuple[Need, ...]
    wants: tuple[str, ...]
    required: bool
    watchdog_s: float | None
    start_timeout_s: float
    stop_timeout_s: float
    restart: str
    restart_times: int
    restart_within_s: float
    backoff_first_s: float
    backoff_most_s: float
    open_files: int
    liveness: Probe | None = None
    rhythm: Rhythm = Rhythm(10.0, 3)
    memory_bytes: int | None = None
    cpus: float | None = None
    gpu_memory_bytes: int = 0
    start: str = "auto"
    cell: str | None = None
    refusal: str = ""
    digest: str = ""

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return tuple(need.agent for need in self.needs)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of this machine, and the agents that are not its to run.

    declared: every agent of the fleet file, in its order. left_out: name to reason. hulls: the
    process of each cell. logs: how much of the agents' output is kept. gpu_memory_bytes: what the
    agents of a machine share. preload: what warm interpreters load: auto, none, or module names.
    """

    fleet: str
    path: str
    environment: str
    declared: tuple[str, ...]
    processes: dict[str, ProcessSpec]
    left_out: dict[str, str]
    hulls: dict[str, ProcessSpec] = {}
    max_starting: int | None = None
    logs: Limits = Limits()
    gpu_memory_bytes: dict[str, int] = {}
    preload: str | tuple[str, ...] = "auto"


def plan_fleet(fleet: Fleet, placement: Placement, here: Iterable[str | None], folder: Folder) -> Plan:
    """Return the plan of the agents whose machine is one of `here`.

    What an agent lacks (its script, folder or env_file) is its own `refusal`; the others can start.
    """
    mine, site = set(here), _Site(fleet.path)
    processes: dict[str, ProcessSpec] = {}
    left_out: dict[str, str] = {}
    for agent in fleet.agents.values():
        if agent.machine is not None and agent.machine not in mine:
            left_out[agent.name] = f"on machine `{agent.machine}`, not this one"
        else:
            processes[agent.name] = _plan_process(agent, fleet, placement, folder, site)
    hulls = plan_hulls(processes, folder)
    return Plan(
        fleet=fleet.name,
        path=fleet.path,
        environment=placement.environment,
        declared=tuple(fleet.agents),
        # The process is watched as one: its agents' beats come from the same loop.
        processes={
            name: msgspec.structs.replace(spec, watchdog_s=None) if spec.cell else spec
            for name, spec in processes.items()
        },
        hulls={name: _digested(spec) for name, spec in hulls.items()},
        left_out=left_out,
        max_starting=fleet.max_starting,
        logs=_limits(fleet.logs),
        gpu_memory_bytes={
            name: size_bytes(machine.gpu_memory)
            for name, machine in fleet.machines.items()
            if machine.gpu_memory is not None
        },
        preload=fleet.preload,
    )


def _limits(logs: Logs) -> Limits:
    return Limits(
        size_bytes=size_bytes(logs.size),
        age_s=duration_s(logs.age) if logs.age else None,
        total_bytes=size_bytes(logs.total),
    )


def errand_environment(base: Mapping[str, str], spec: ProcessSpec) -> dict[str, str]:
    """Return the environment of a command beside an agent: the agent's, but it may not speak for it."""
    env = full_environment(base, spec)
    return {key: value for key, value in env.items() if key not in _OF_THE_CALLER}


def full_environment(base: Mapping[str, str], spec: ProcessSpec) -> dict[str, str]:
    """Return an agent's whole environment: the caller's, less what was for the caller alone, and its own."""
    return handed_on(base) | spec.env


def handed_on(base: Mapping[str, str]) -> dict[str, str]:
    """Return what every agent gets of the caller's environment."""
    kept = {key: value for key, value in base.items() if key not in _OF_THE_CALLER}
    kept.setdefault("PYTHONUNBUFFERED", "1")
    return kept


class _Site:
    """The folders that the agents of a fleet file run in; each is looked at once."""

    def __init__(self, fleet_path: str) -> None:
        self.root = Path(fleet_path).parent
        self._folders: dict[str | None, tuple[str, bool]] = {}

    def folder(self, cwd: str | None) -> tuple[str, bool]:
        """Return the folder that an agent's `cwd` names, and whether it is there."""
        if cwd not in self._folders:
            path = self.root / cwd if cwd else self.root
            self._folders[cwd] = str(path), path.is_dir()
        return self._folders[cwd]


def _plan_process(
    agent: AgentSpec, fleet: Fleet, placement: Placement, folder: Folder, site: _Site
) -> ProcessSpec:
    root, (cwd, has_cwd) = site.root, site.folder(agent.cwd)
    interface = placement.bind(agent.name)
    endpoint = placement.connect(agent.name) if agent.port is not None else None
    env, refusal = _environment(agent, fleet.name, placement.environment, endpoint, folder, root)
    declared = [port for port in (endpoint.port if endpoint else None, agent.health_port) if port is not None]
    # An SDK agent binds the interface it is told; what a plain script binds is not known.
    bound_on = interface if agent.kind == "class" else "0.0.0.0"
    liveness = agent.liveness or Liveness()
    spec = ProcessSpec(
        name=agent.name,
        argv=command_line(agent, root),
        env=env,
        cwd=cwd,
        is_sdk=agent.kind == "class",
        machine=agent.machine,
        group=agent.group,
        ports=tuple((bound_on, port) for port in declared),
        host=endpoint.host if endpoint else "127.0.0.1",
        port=endpoint.port if endpoint else None,
        probe=agent.ready,
        probe_port=agent.ready.port,
        liveness=_liveness_probe(liveness),
        rhythm=Rhythm(duration_s(liveness.every), liveness.failures),
        memory_bytes=agent.memory_bytes,
        cpus=agent.cpus,
        gpu_memory_bytes=agent.gpu_memory_bytes or 0,
        needs=agent.needs,
        wants=agent.wants,
        required=agent.required,
        watchdog_s=duration_s(liveness.watchdog) if liveness.watchdog else None,
        start_timeout_s=agent.start_timeout_s,
        stop_timeout_s=agent.stop_timeout_s,
        restart=agent.restart,
        restart_times=agent.restart_times,
        restart_within_s=agent.restart_within_s,
        backoff_first_s=agent.backoff_first_s,
        backoff_most_s=agent.backoff_most_s,
        open_files=agent.open_files or 0,
        start=agent.start,
        cell=agent.cell,
        refusal=refusal or _missing_file(agent, root, cwd, has_cwd=has_cwd),
    )
    return _digested(spec)


def _digested(spec: ProcessSpec) -> ProcessSpec:
    return msgspec.structs.replace(spec, digest=_digest(spec))


def _liveness_probe(liveness: Liveness) -> Probe | None:
    if liveness.probe is None:
        return None
    return Probe(
        probe=liveness.probe,
        port=liveness.port,
        send=liveness.send,
        path=liveness.path,
        command=liveness.command,
    )


@functools.lru_cache
def _below(root: Path, name: str) -> str:
    """Return the path of a file of the fleet; of an interpreter it is asked for each agent."""
    return str(root / name)


def command_line(agent: AgentSpec, root: Path) -> tuple[str, ...]:
    """Return the command that starts an agent of the fleet file in the folder `root`."""
    if agent.kind == "command":
        return (*agent.run, *agent.args)
    assert isinstance(agent.run, str), "only a command is a list"
    python = agent.python or sys.executable
    if "/" in python:
        python = _below(root, python)
    if agent.kind == "class":
        return (python, "-m", "argosy.agent", agent.run, *agent.args)
    return (python, str(root / agent.run), *agent.args)


def _environment(
    agent: AgentSpec, fleet: str, environment: str, endpoint: Endpoint | None, folder: Folder, root: Path
) -> tuple[dict[str, str], str]:
    """Return the agent's variables, and why its env_file cannot be read (empty when it can)."""
    env: dict[str, str] = {}
    refusal = ""
    if agent.env_file:
        try:
            env |= read_env_file(root / agent.env_file, agent.where)
        except InputError as error:
            refusal = str(error.faults[0])
    env |= agent.env
    env |= {
        "ARGOSY_AGENT": agent.name,
        "ARGOSY_FLEET": fleet,
        "ARGOSY_BOOK": str(folder.book),
        "ENV_TYPE": environment,
        "NOTIFY_SOCKET": str(folder.notify(agent.name)),
    }
    if endpoint is not None:
        env["ARGOSY_PORT"] = str(endpoint.port)
    if agent.liveness and agent.liveness.watchdog:
        env["WATCHDOG_USEC"] = str(int(duration_s(agent.liveness.watchdog) * 1_000_000))
    if agent.kind == "class" and agent.cwd:
        # `python -m` puts the working folder first on sys.path; the modules are beside the fleet file.
        env["PYTHONPATH"] = ":".join(filter(None, [str(root), env.get("PYTHONPATH", "")]))
    return env, refusal


def _missing_file(agent: AgentSpec, root: Path, cwd: str, *, has_cwd: bool) -> str:
    if agent.kind == "script" and not (root / str(agent.run)).is_file():
        return f"{agent.where}: its script is missing: `{root / str(agent.run)}`"
    if not has_cwd:
        return f"{agent.where}: its `cwd` is missing: `{cwd}`"
    return ""


def _digest(spec: ProcessSpec) -> str:
    """Return what tells one running process from another; needs, policies and times are not of it."""
    seen: tuple[object, ...] = (spec.argv, spec.env, spec.cwd, spec.ports, spec.open_files)
    if spec.memory_bytes is not None:
        seen = (*seen, spec.memory_bytes)
    if spec.cpus is not None:
        seen = (*seen, f"{spec.cpus} cpus")
    if spec.cell is not None:
        seen = (*seen, spec.cell)
    return hashlib.sha256(msgspec.json.encode(seen, order="deterministic")).hexdigest()[:16]
