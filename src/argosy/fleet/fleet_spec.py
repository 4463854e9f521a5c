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

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
DURATION_PATTERN = r"^\d+(\.\d+)?(ms|s|m|h|d)$"
SIZE_PATTERN = r"^\d+(\.\d+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$"

Name = Annotated[
    str,
    Meta(
        pattern=NAME_PATTERN,
        description="a name: a letter first, then letters, digits, `_`, `-` and `.`",
    ),
]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
PositiveCount = Annotated[int, Meta(ge=1, description="a whole number from 1")]
Duration = Annotated[
    str,
    Meta(pattern=DURATION_PATTERN, description="a duration such as 500ms, 10s or 5m"),
]
Size = Annotated[
    str,
    Meta(
        pattern=SIZE_PATTERN,
        description="a size such as 512MiB or 2GiB",
    ),
]
# Where a process takes text (arguments, variables), a number or true is its text as written.
ScalarText = Annotated[
    str,
    Meta(
        description="a text; numbers, true and false are taken as written",
        extra={"any_scalar": True},
        extra_json_schema={"x-any-scalar": True},
    ),
]


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine of the fleet: its GPU model, that GPU's memory, free labels."""

    gpu: Annotated[str | None, Meta(description="the model of its GPU, for people")] = None
    gpu_memory: Annotated[
        Size | None, Meta(description="the GPU memory that its agents share; admits them while it holds")
    ] = None
    labels: Annotated[dict[str, ScalarText], Meta(description="free words about the machine")] = {}


class ThresholdSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bound of a figure that raises an alert; one of `above` and `below`."""

    metric: Annotated[str, Meta(description="the name of the figure, as /metrics has it without its prefix")]
    above: Annotated[float | None, Meta(description="raise when it is larger")] = None
    below: Annotated[float | None, Meta(description="raise when it is smaller")] = None
    lasting: Annotated[Duration, Meta(description="how long it has to be beyond the bound")] = "30s"
    clear: Annotated[
        Duration | None, Meta(description="how long it has to be within it again; default that of `alerts`")
    ] = None
    agents: Annotated[list[Name], Meta(description="whose figure; default everybody's")] = []


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the hub raises an alert, and where alerts go."""

    webhook: Annotated[str | None, Meta(description="a URL that gets each alert as JSON, by POST")] = None
    command: Annotated[
        list[str], Meta(description="a program that gets each alert as JSON on its standard input")
    ] = []
    after: Annotated[Duration, Meta(description="how long trouble has to last")] = "3s"
    clear: Annotated[Duration, Meta(description="how long it has to be over")] = "10s"
    slow_start: Annotated[
        bool, Meta(description="whether an agent that is slower to start than its own past is told")
    ] = True
    thresholds: Annotated[list[ThresholdSpec], Meta(description="bounds of figures")] = []


class RecoverySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the hub does by itself about an alert, within a budget; it never deletes anything."""

    do: Annotated[
        Literal["restart", "restart-dependents", "run"],
        Meta(description="restart the agent, restart it with all that need it, or run a command"),
    ]
    run: Annotated[
        list[str],
        Meta(description="the command of `run`; it gets the alert as JSON on its standard input"),
    ] = []
    agents: Annotated[list[Name], Meta(description="whose alerts; default everybody's")] = []
    metric: Annotated[
        str | None,
        Meta(description="of a threshold whose alerts are meant; without it, alerts of agents in trouble"),
    ] = None
    times: Annotated[PositiveCount, Meta(description="the budget of each agent: so often")] = 3
    within: Annotated[Duration, Meta(description="the budget of each agent: in this time")] = "1h"
    pause: Annotated[
        Duration, Meta(description="how long to wait for a recovery before it is tried once more")
    ] = "30s"


class Scrape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a script serves metrics for Prometheus; they become figures of its agent."""

    agent: Annotated[Name, Meta(description="whose figures they are")]
    url: Annotated[str, Meta(description="the address of the metrics, as its own machine reaches it")]
    every: Annotated[Duration, Meta(description="the time between two questions")] = "10s"
    max_samples: Annotated[int, Meta(description="samples that are kept of one answer", ge=1)] = 1000


class HubSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The observability hub: where it listens, how long it keeps, whom it alerts."""

    port: Annotated[
        Port, Meta(description="where the page and the metrics are; a taken port gives the next free one")
    ] = 9470
    bind: Annotated[str, Meta(description="the interface it listens on")] = "127.0.0.1"
    hosts: Annotated[
        list[str],
        Meta(description="further names that browsers may call the page by; addresses always work"),
    ] = []
    actions: Annotated[
        Literal["loopback", "anywhere", "never"],
        Meta(description="from where restart, stop and quiet may be asked for, with the token"),
    ] = "loopback"
    token: Annotated[
        Literal["reads", "all"],
        Meta(description="what needs the hub's token: the page and its data, or /metrics and /healthz too"),
    ] = "reads"
    max_metrics: Annotated[
        PositiveCount,
        Meta(description="names of figures that are kept of one agent at a time; more are dropped, and told"),
    ] = 1000
    detail: Annotated[
        Duration | None, Meta(description="how long every sample is kept; default 3d, then one a minute")
    ] = None
    retention: Annotated[Duration | None, Meta(description="how long records are kept; default 14d")] = None
    scrape: Annotated[list[Scrape], Meta(description="metrics of scripts outside the library")] = []
    otlp: Annotated[
        str | None,
        Meta(description="the address of an OTLP/HTTP receiver, for example http://127.0.0.1:4318"),
    ] = None
    alerts: Annotated[Alerts, Meta(description="when alerts are raised, and where they go")] = Alerts()
    recovery: Annotated[list[RecoverySpec], Meta(description="what the hub does by itself about alerts")] = []


class Logs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the agents' output is kept; the oldest lines go first."""

    size: Annotated[Size, Meta(description="of each agent")] = "64MiB"
    age: Annotated[Duration | None, Meta(description="so long; default no limit")] = None
    total: Annotated[Size, Meta(description="of all agents together")] = "1GiB"


class Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent that must be ready before this one starts, and what its death means."""

    agent: Annotated[Name, Meta(description="the agent that is needed")]
    on_death: Annotated[
        Literal["wait", "restart", "stop", "degrade"],
        Meta(
            description="what happens here when that agent dies: nothing until it is back (wait), "
            "a restart, a stop, or the state degraded"
        ),
    ] = "wait"


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How readiness is seen from outside.

    `notify` waits for READY=1 of sd_notify; `alive` for `seconds` of life; `zmq` for a JSON
    answer to `send` on `port`; `http` for a 2xx on `path`; `tcp` for an open `port`; `log` for
    a line that matches `pattern`; `exec` for exit code 0 of `command`.
    """

    probe: Annotated[
        Literal["notify", "zmq", "http", "tcp", "log", "exec", "alive"] | None,
        Meta(description="the kind of probe; default notify for `module:Class`, else alive"),
    ] = None
    port: Annotated[
        Port | None, Meta(description="where zmq, http and tcp ask; default the health port, else the port")
    ] = None
    send: Annotated[
        dict[str, object] | str | None,
        Meta(description='what zmq sends, as JSON; default {"action": "health"}'),
    ] = None
    path: Annotated[str | None, Meta(description="what http asks for; default /health")] = None
    pattern: Annotated[str | None, Meta(description="the regular expression that log waits for")] = None
    command: Annotated[list[ScalarText] | None, Meta(description="what exec runs")] = None
    seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="how long alive wants to see the process live; default 1"),
    ] = None
    notify: Annotated[
        Literal["main", "all"],
        Meta(description="who may say READY=1: the process alone (main), or its children too (all)"),
    ] = "main"


class Liveness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a running agent is seen to live on: a watchdog interval, or a probe asked again and again."""

    watchdog: Annotated[
        Duration | None, Meta(description="the agent says WATCHDOG=1 at least this often, from its work loop")
    ] = None
    probe: Annotated[Literal["zmq", "http", "tcp", "exec"] | None, Meta(description="the kind of probe")] = (
        None
    )
    port: Annotated[
        Port | None, Meta(description="where zmq, http and tcp ask; default the health port, else the port")
    ] = None
    send: Annotated[
        dict[str, object] | str | None,
        Meta(description='what zmq sends, as JSON; default {"action": "health"}'),
    ] = None
    path: Annotated[str | None, Meta(description="what http asks for; default /health")] = None
    command: Annotated[list[ScalarText] | None, Meta(description="what exec runs")] = None
    every: Annotated[Duration, Meta(description="the time between two probes")] = "10s"
    failures: Annotated[PositiveCount, Meta(description="so many failures in a row end it")] = 3


class RestartLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many restarts within so long, then the agent is given up."""

    times: Annotated[int, Meta(ge=0, description="so many restarts")] = 5
    within: Annotated[Duration, Meta(description="within so long")] = "60s"


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wait before a restart: doubles from `first` to `most`."""

    first: Annotated[Duration, Meta(description="the wait before the first restart")] = "0.1s"
    most: Annotated[Duration, Meta(description="the longest wait")] = "30s"


class AgentKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of an agent, and of `defaults`."""

    # Absent keys stay UNSET, so that a default can be told from a value.

    run: Annotated[
        str | list[ScalarText] | UnsetType,
        Meta(description="a script path, `module:Class`, or a command as a list"),
    ] = UNSET
    args: Annotated[list[ScalarText] | UnsetType, Meta(description="command-line arguments")] = UNSET
    env: Annotated[
        dict[str, ScalarText] | UnsetType,
        Meta(description="variables of the process; merged with those of `defaults`"),
    ] = UNSET
    env_file: Annotated[
        str | UnsetType, Meta(description="a file of NAME=value lines, read before `env`")
    ] = UNSET
    cwd: Annotated[
        str | UnsetType, Meta(description="the working folder; default the fleet file's folder")
    ] = UNSET
    python: Annotated[
        str | UnsetType, Meta(description="the interpreter; default the one that runs argosy")
    ] = UNSET
    machine: Annotated[Name | UnsetType, Meta(description="the machine it runs on")] = UNSET
    group: Annotated[str | UnsetType, Meta(description="a name for people, images and pages")] = UNSET
    port: Annotated[Port | UnsetType, Meta(description="the port it serves on")] = UNSET
    health_port: Annotated[Port | UnsetType, Meta(description="a port of its own for health")] = UNSET
    needs: Annotated[
        list[Name | Need] | UnsetType,
        Meta(description="agents that must be ready before this one starts; a cycle is an error"),
    ] = UNSET
    wants: Annotated[
        list[Name] | UnsetType,
        Meta(description="agents it talks to without waiting for them; cycles are fine"),
    ] = UNSET
    required: Annotated[
        bool | UnsetType, Meta(description="false: its failure does not make `up` fail; default true")
    ] = UNSET
    ready: Annotated[
        Probe | UnsetType,
        Meta(description="how readiness is seen; default notify for `module:Class`, alive 1 s otherwise"),
    ] = UNSET
    liveness: Annotated[Liveness | UnsetType, Meta(description="how a running agent is seen to live on")] = (
        UNSET
    )
    start_timeout: Annotated[
        Duration | UnsetType, Meta(description="the time it has to get ready; default 60s")
    ] = UNSET
    stop_timeout: Annotated[
        Duration | UnsetType, Meta(description="the time it has to end before it is killed; default 10s")
    ] = UNSET
    restart: Annotated[
        Literal["on-failure", "always", "never"] | UnsetType,
        Meta(description="when it is started again; default on-failure"),
    ] = UNSET
    restart_limit: Annotated[
        RestartLimit | UnsetType, Meta(description="so many restarts within so long, then it is given up")
    ] = UNSET
    backoff: Annotated[Backoff | UnsetType, Meta(description="the wait before a restart")] = UNSET
    start: Annotated[
        Literal["auto", "spawn"] | UnsetType,
        Meta(description="auto: from a warm interpreter where that is safe; spawn: a process of its own"),
    ] = UNSET
    cell: Annotated[
        Name | UnsetType,
        Meta(description="the process it shares with others of this name; `module:Class` only"),
    ] = UNSET
    gpu_memory: Annotated[
        Size | UnsetType, Meta(description="GPU memory; it starts while the machine's budget holds")
    ] = UNSET
    memory: Annotated[Size | UnsetType, Meta(description="memory; a limit, and for admission")] = UNSET
    cpus: Annotated[
        Annotated[float, Meta(gt=0)] | UnsetType,
        Meta(description="processors; held by a control group, where there is one"),
    ] = UNSET
    open_files: Annotated[PositiveCount | UnsetType, Meta(description="the limit of open files")] = UNSET
    idempotent: Annotated[
        list[str] | UnsetType, Meta(description="methods that may be retried without harm")
    ] = UNSET


class FleetKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The top of a fleet file."""

    fleet: Annotated[Name, Meta(description="the fleet's name")]
    machines: Annotated[
        dict[Name, Machine | None], Meta(description="the machines, where there is more than this one")
    ] = {}
    environments: Annotated[
        dict[Name, dict[Name, str]],
        Meta(
            description="the address of each machine and service, by environment "
            "(ENV_TYPE, default development); an address may be `$VARIABLE`"
        ),
    ] = {}
    defaults: Annotated[
        AgentKeys, Meta(description="keys that hold for every agent that does not say otherwise")
    ] = AgentKeys()
    hub: Annotated[HubSpec, Meta(description="the observability hub")] = HubSpec()
    logs: Annotated[Logs, Meta(description="how much of the agents' output is kept")] = Logs()
    max_starting: Annotated[
        PositiveCount | None,
        Meta(description="at most so many starts at once; default: admitted by what is scarce"),
    ] = None
    preload: Annotated[
        Literal["auto", "none"] | list[str],
        Meta(description="what the warm interpreter imports: auto, a list of modules, or none (no such one)"),
    ] = "auto"
    containers: Annotated[
        Literal["group", "agent"],
        Meta(description="what a container runs: a group of agents, or one (a cell stays together)"),
    ] = "group"
    agents: Annotated[dict[Name, AgentKeys], Meta(description="the agents, by name")]


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
    hub: HubSpec = HubSpec()
    logs: Logs = Logs()
    max_starting: int | None = None
    preload: Literal["auto", "none"] | tuple[str, ...] = "auto"
    containers: Literal["group", "agent"] = "group"
    agents: dict[str, AgentSpec]
    locations: dict[str, str] = {}
