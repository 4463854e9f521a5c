"""The fleet file as frozen structs: the one schema for loading, the JSON Schema and the docs.

A `Fleet` is what a fleet file says, with `defaults` already merged into every agent and
nothing resolved that depends on the environment (see `environment`). Every field that a
person may write is here, with its meaning in the class docstring; `decode` fills the
structs from a YAML document and `schema` publishes them to editors.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", description="a name without spaces")]
Port = Annotated[int, Meta(ge=1, le=65535, description="a TCP port")]
Duration = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?(ms|s|m|h|d)$", description="such as 500ms, 10s, 5m")]
Size = Annotated[
    str, Meta(pattern=r"^\d+(\.\d+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$", description="such as 2GiB")
]


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine of the fleet: its GPU model, that GPU's memory, free labels."""

    gpu: str | None = None
    gpu_memory: Size | None = None
    labels: dict[str, str] = {}


class Hub(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The observability hub: where it listens, how long it keeps, whom it alerts."""

    port: Port = 9470
    bind: str = "127.0.0.1"
    retention: Duration | None = None
    alerts: dict[str, object] = {}


class Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent that must be ready before this one starts, and what its death means."""

    agent: Name
    on_death: Literal["wait", "restart", "stop", "degrade"] = "wait"


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How readiness is seen from outside.

    `notify` waits for READY=1 of sd_notify; `alive` for `seconds` of life; `zmq` for a JSON
    answer to `send` on `port`; `http` for a 2xx on `path`; `tcp` for an open `port`; `log` for
    a line that matches `pattern`; `exec` for exit code 0 of `command`.
    """

    probe: Literal["notify", "zmq", "http", "tcp", "log", "exec", "alive"] | None = None
    port: Port | None = None
    send: dict[str, object] | str | None = None
    path: str | None = None
    pattern: str | None = None
    command: list[str] | None = None
    seconds: float | None = None
    notify: Literal["main", "all"] = "main"


class Liveness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a running agent is seen to live on: a watchdog interval, or a probe asked again and again."""

    watchdog: Duration | None = None
    probe: Literal["zmq", "http", "tcp", "exec"] | None = None
    port: Port | None = None
    send: dict[str, object] | str | None = None
    path: str | None = None
    command: list[str] | None = None
    every: Duration = "10s"
    failures: Annotated[int, Meta(ge=1)] = 3


class RestartLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many restarts within so long, then the agent is given up."""

    times: Annotated[int, Meta(ge=0)] = 5
    within: Duration = "60s"


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wait before a restart: doubles from `first` to `most`."""

    first: Duration = "0.1s"
    most: Duration = "30s"


class AgentKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may stand under an agent, and under `defaults`; absent keys stay UNSET."""

    run: str | list[str] | UnsetType = UNSET
    args: list[str] | UnsetType = UNSET
    env: dict[str, str] | UnsetType = UNSET
    env_file: str | UnsetType = UNSET
    cwd: str | UnsetType = UNSET
    python: str | UnsetType = UNSET
    machine: Name | UnsetType = UNSET
    group: str | UnsetType = UNSET
    port: Port | UnsetType = UNSET
    health_port: Port | UnsetType = UNSET
    needs: list[Name | Need] | UnsetType = UNSET
    wants: list[Name] | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    ready: Probe | UnsetType = UNSET
    liveness: Liveness | UnsetType = UNSET
    start_timeout: Duration | UnsetType = UNSET
    stop_timeout: Duration | UnsetType = UNSET
    restart: Literal["on-failure", "always", "never"] | UnsetType = UNSET
    restart_limit: RestartLimit | UnsetType = UNSET
    backoff: Backoff | UnsetType = UNSET
    start: Literal["auto", "spawn"] | UnsetType = UNSET
    cell: Name | UnsetType = UNSET
    gpu_memory: Size | UnsetType = UNSET
    memory: Size | UnsetType = UNSET
    cpus: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    open_files: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    idempotent: list[str] | UnsetType = UNSET


class FleetKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The top of a fleet file, exactly as a person writes it."""

    fleet: Name
    machines: dict[Name, Machine | None] = {}
    environments: dict[Name, dict[Name, str]] = {}
    defaults: AgentKeys = AgentKeys()
    hub: Hub = Hub()
    max_starting: Annotated[int, Meta(ge=1)] | None = None
    preload: Literal["auto", "none"] | list[str] = "auto"
    agents: dict[Name, AgentKeys]


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One agent with the defaults merged in, times in seconds and sizes in bytes.

    run: a script path, `module:Class`, or a command (`kind` tells which).
    where: `file:line:column` of the agent's name, for messages.
    """

    name: str
    where: str
    run: str | tuple[str, ...]
    kind: Literal["script", "class", "command"]
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    env_file: str | None = None
    cwd: str | None = None
    python: str | None = None
    machine: str | None = None
    group: str | None = None
    port: int | None = None
    health_port: int | None = None
    needs: tuple[Need, ...] = ()
    wants: tuple[str, ...] = ()
    required: bool = True
    ready: Probe
    liveness: Liveness | None = None
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0
    restart: Literal["on-failure", "always", "never"] = "on-failure"
    restart_times: int = 5
    restart_within_s: float = 60.0
    backoff_first_s: float = 0.1
    backoff_most_s: float = 30.0
    start: Literal["auto", "spawn"] = "auto"
    cell: str | None = None
    gpu_memory_bytes: int | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    open_files: int | None = None
    idempotent: tuple[str, ...] = ()


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded fleet: checked in itself, not yet placed in an environment.

    path: the absolute path of the fleet file; its folder is the root of relative paths.
    places: where each agent, and each entry of its needs and wants, stands in the file:
    `agents.NAME`, `agents.NAME.needs.0` and so on to `file:line:column`.
    """

    name: str
    path: str
    machines: dict[str, Machine] = {}
    environments: dict[str, dict[str, str]] = {}
    hub: Hub = Hub()
    max_starting: int | None = None
    preload: Literal["auto", "none"] | tuple[str, ...] = "auto"
    agents: dict[str, AgentSpec]
    places: dict[str, str] = {}
