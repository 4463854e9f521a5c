"""The process plan: from a placed fleet to the exact process of every agent on this machine.

Pure: reads the fleet and the placement, returns data. The supervisor compares two plans by their
digests, and acts only on the difference.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.logs.log_retention import LogLimits
from argosy.engine.plan.cell_plan import plan_cell_units
from argosy.engine.process.env_file import read_env_file
from argosy.fault import InputError
from argosy.fleet.fleet_spec import Liveness, Need, Probe
from argosy.fleet.quantities import parse_duration_s, parse_size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from argosy.engine.state.state_dir import StateDir
    from argosy.fleet.fleet_spec import AgentSpec, Fleet, Logs
    from argosy.fleet.placement import Endpoint, Placement

# Variables from a service manager for its child, which must not reach that child's children.
_CALLER_ONLY_VARIABLES = frozenset(
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


class LivenessSchedule(NamedTuple):
    """How often a running agent is probed, and how many failures in a row are too many."""

    interval_s: float
    failures: int


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's process on this machine, with everything resolved.

    env: set on top of the caller's environment.
    ports: (interface, port) pairs that must be free before a start.
    host, port: where others reach it; None without a declared port.
    probe_port: the port of a zmq, http or tcp readiness probe.
    memory_bytes, gpu_memory_bytes: what admission reserves, the first also a limit; None and 0 when
    not declared.
    cpus: how many processors it may use, None for all.
    liveness, liveness_schedule: the probe of a running agent, and how often it runs.
    start: spawn, or auto: fork from a warm interpreter where that is safe.
    cell: the cell whose process it shares; its argv is then that of a process of its own.
    start_error: why it cannot be started at all, such as a missing script; empty when it can.
    digest: of everything whose change requires a restart.
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
    liveness_schedule: LivenessSchedule = LivenessSchedule(10.0, 3)
    memory_bytes: int | None = None
    cpus: float | None = None
    gpu_memory_bytes: int = 0
    start: str = "auto"
    cell: str | None = None
    start_error: str = ""
    digest: str = ""

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return tuple(need.agent for need in self.needs)

    def on_death_of(self, need: str) -> str:
        """Return what happens to it when `need` is no longer ready: wait, degrade, restart or stop."""
        return next((each.on_death for each in self.needs if each.agent == need), "wait")


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of this machine, and the agents that it does not run.

    declared: every agent of the fleet file, in its order. left_out: name to reason. cell_processes: the
    process of each cell. logs: how much of the agents' output is kept. gpu_memory_bytes: what the
    agents of a machine share. preload: what warm interpreters load: auto, none, or module names.
    """

    fleet: str
    path: str
    environment: str
    declared: tuple[str, ...]
    processes: dict[str, ProcessSpec]
    left_out: dict[str, str]
    cell_processes: dict[str, ProcessSpec] = {}
    max_starting: int | None = None
    logs: LogLimits = LogLimits()
    gpu_memory_bytes: dict[str, int] = {}
    preload: str | tuple[str, ...] = "auto"


def plan_fleet(
    fleet: Fleet, placement: Placement, here: Iterable[str | None], state_dir: StateDir
) -> ProcessPlan:
    """Return the plan of the agents whose machine is one of `here`.

    A missing script, working directory or env_file is the agent's own `start_error`; the others can start.
    """
    local_machines, directories = set(here), _WorkingDirectories(fleet.path)
    processes: dict[str, ProcessSpec] = {}
    left_out: dict[str, str] = {}
    for agent in fleet.agents.values():
        if agent.machine is not None and agent.machine not in local_machines:
            left_out[agent.name] = f"on machine `{agent.machine}`, not this one"
        else:
            processes[agent.name] = _plan_process(agent, fleet, placement, state_dir, directories)
    cell_processes = plan_cell_units(processes, state_dir)
    return ProcessPlan(
        fleet=fleet.name,
        path=fleet.path,
        environment=placement.environment,
        declared=tuple(fleet.agents),
        # A cell's process has one watchdog: its agents' heartbeats come from the same loop.
        processes={
            name: msgspec.structs.replace(spec, watchdog_s=None) if spec.cell else spec
            for name, spec in processes.items()
        },
        cell_processes={name: _with_digest(spec) for name, spec in cell_processes.items()},
        left_out=left_out,
        max_starting=fleet.max_starting,
        logs=_log_limits(fleet.logs),
        gpu_memory_bytes={
            name: parse_size_bytes(machine.gpu_memory)
            for name, machine in fleet.machines.items()
            if machine.gpu_memory is not None
        },
        preload=fleet.preload,
    )


def _log_limits(logs: Logs) -> LogLimits:
    return LogLimits(
        size_bytes=parse_size_bytes(logs.size),
        age_s=parse_duration_s(logs.age) if logs.age else None,
        total_bytes=parse_size_bytes(logs.total),
    )


def helper_environment(base: Mapping[str, str], spec: ProcessSpec) -> dict[str, str]:
    """Return the environment of a helper command: the agent's, without the means to report for it."""
    env = full_environment(base, spec)
    return {key: value for key, value in env.items() if key not in _CALLER_ONLY_VARIABLES}


def full_environment(base: Mapping[str, str], spec: ProcessSpec) -> dict[str, str]:
    """Return an agent's whole environment: what it inherits from the caller, and its own variables."""
    return inherited_environment(base) | spec.env


def inherited_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the caller's environment that every agent inherits."""
    inherited = {key: value for key, value in base.items() if key not in _CALLER_ONLY_VARIABLES}
    inherited.setdefault("PYTHONUNBUFFERED", "1")
    return inherited


class _WorkingDirectories:
    """The working directories of a fleet file's agents; each is checked once."""

    def __init__(self, fleet_path: str) -> None:
        self.root = Path(fleet_path).parent
        self._resolved: dict[str | None, tuple[str, bool]] = {}

    def resolve(self, cwd: str | None) -> tuple[str, bool]:
        """Return the directory that an agent's `cwd` names, and whether it exists."""
        if cwd not in self._resolved:
            path = self.root / cwd if cwd else self.root
            self._resolved[cwd] = str(path), path.is_dir()
        return self._resolved[cwd]


def _plan_process(
    agent: AgentSpec,
    fleet: Fleet,
    placement: Placement,
    state_dir: StateDir,
    directories: _WorkingDirectories,
) -> ProcessSpec:
    root, (cwd, has_cwd) = directories.root, directories.resolve(agent.cwd)
    interface = placement.bind_address_of(agent.name)
    endpoint = placement.endpoint_of(agent.name) if agent.port is not None else None
    env, start_error = _environment(agent, fleet.name, placement.environment, endpoint, state_dir, root)
    declared = [port for port in (endpoint.port if endpoint else None, agent.health_port) if port is not None]
    # An SDK agent binds the interface it is given; that of a plain script is not known.
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
        liveness_schedule=LivenessSchedule(parse_duration_s(liveness.every), liveness.failures),
        memory_bytes=agent.memory_bytes,
        cpus=agent.cpus,
        gpu_memory_bytes=agent.gpu_memory_bytes or 0,
        needs=agent.needs,
        wants=agent.wants,
        required=agent.required,
        watchdog_s=parse_duration_s(liveness.watchdog) if liveness.watchdog else None,
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
        start_error=start_error or _missing_file(agent, root, cwd, has_cwd=has_cwd),
    )
    return _with_digest(spec)


def _with_digest(spec: ProcessSpec) -> ProcessSpec:
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
def _fleet_file_path(root: Path, name: str) -> str:
    """Return the path of a file of the fleet; cached, since each agent asks for its interpreter."""
    return str(root / name)


def command_line(agent: AgentSpec, root: Path) -> tuple[str, ...]:
    """Return the command that starts an agent of the fleet file in the directory `root`."""
    if agent.kind == "command":
        return (*agent.run, *agent.args)
    assert isinstance(agent.run, str), "only a command is a list"
    python = agent.python or sys.executable
    if "/" in python:
        python = _fleet_file_path(root, python)
    if agent.kind == "class":
        return (python, "-m", "argosy.agent", agent.run, *agent.args)
    return (python, str(root / agent.run), *agent.args)


def _environment(
    agent: AgentSpec, fleet: str, environment: str, endpoint: Endpoint | None, state_dir: StateDir, root: Path
) -> tuple[dict[str, str], str]:
    """Return the agent's variables, and why its env_file cannot be read (empty when it can)."""
    env: dict[str, str] = {}
    start_error = ""
    if agent.env_file:
        try:
            env |= read_env_file(root / agent.env_file, agent.where)
        except InputError as error:
            start_error = str(error.faults[0])
    env |= agent.env
    env |= {
        "ARGOSY_AGENT": agent.name,
        "ARGOSY_FLEET": fleet,
        "ARGOSY_BOOK": str(state_dir.address_book),
        "ENV_TYPE": environment,
        "NOTIFY_SOCKET": str(state_dir.notify_socket(agent.name)),
    }
    if endpoint is not None:
        env["ARGOSY_PORT"] = str(endpoint.port)
    if agent.liveness and agent.liveness.watchdog:
        env["WATCHDOG_USEC"] = str(int(parse_duration_s(agent.liveness.watchdog) * 1_000_000))
    if agent.kind == "class" and agent.cwd:
        # `python -m` puts the working directory first on sys.path; the modules are beside the fleet file.
        env["PYTHONPATH"] = ":".join(filter(None, [str(root), env.get("PYTHONPATH", "")]))
    return env, start_error


def _missing_file(agent: AgentSpec, root: Path, cwd: str, *, has_cwd: bool) -> str:
    if agent.kind == "script" and not (root / str(agent.run)).is_file():
        return f"{agent.where}: its script is missing: `{root / str(agent.run)}`"
    if not has_cwd:
        return f"{agent.where}: its `cwd` is missing: `{cwd}`"
    return ""


def _digest(spec: ProcessSpec) -> str:
    """Return a digest of what distinguishes one running process from another; not of needs and policies."""
    digested: tuple[object, ...] = (spec.argv, spec.env, spec.cwd, spec.ports, spec.open_files)
    if spec.memory_bytes is not None:
        digested = (*digested, spec.memory_bytes)
    if spec.cpus is not None:
        digested = (*digested, f"{spec.cpus} cpus")
    if spec.cell is not None:
        digested = (*digested, spec.cell)
    return hashlib.sha256(msgspec.json.encode(digested, order="deterministic")).hexdigest()[:16]
