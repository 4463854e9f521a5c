"""The fleet file as frozen structs: the single schema for loading, the JSON Schema and the docs.

A `Fleet` is the content of a fleet file, with `defaults` merged into every agent and nothing
resolved that depends on the environment (see `environments`). Every key of the file is a field
here, annotated with its description; `decode` fills the structs from a YAML document and `json_schema`
publishes them to editors.
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
    Meta(pattern=NAME_PATTERN, description="a name: a letter first, then letters, digits, `_`, `-` and `.`"),
]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
PositiveCount = Annotated[int, Meta(ge=1, description="a whole number from 1")]
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, description="a duration such as 500ms, 10s or 5m")]
Size = Annotated[str, Meta(pattern=SIZE_PATTERN, description="a size such as 512MiB or 2GiB")]
# For arguments and variables of a process: a number or boolean is kept as the text in the file.
ScalarText = Annotated[
    str,
    Meta(
        description="a text; numbers, true and false are taken as written",
        extra={"any_scalar": True},
        extra_json_schema={"x-any-scalar": True},
    ),
]


# What probes of readiness and of liveness have in common.
ProbePort = Annotated[Port | None, "the port for zmq, http and tcp; default the health port, else the port"]
ProbeRequest = Annotated[
    dict[str, object] | str | None, 'the request of zmq, as JSON; default {"action": "health"}'
]
ProbePath = Annotated[str | None, "the path that http requests; default /health"]
ProbeCommand = Annotated[list[ScalarText] | None, "the command that exec runs"]


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine of the fleet: its GPU model, that GPU's memory, free labels."""

    gpu: Annotated[str | None, "the model of its GPU, for people"] = None
    gpu_memory: Annotated[
        Size | None, "the GPU memory that its agents share; an agent starts if enough is left"
    ] = None
    labels: Annotated[dict[str, ScalarText], "free-form labels of the machine"] = {}


class ThresholdSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bound on a metric that raises an alert; either `above` or `below`."""

    metric: Annotated[str, "the name of the metric, as in /metrics but without the prefix"] = msgspec.field(
        name="figure"
    )
    above: Annotated[float | None, "raise an alert if the value is larger"] = None
    below: Annotated[float | None, "raise an alert if the value is smaller"] = None
    lasting: Annotated[Duration, "how long the value must be out of bounds"] = "30s"
    clear: Annotated[
        Duration | None, "how long the value must be within bounds again; default: `clear` of `alerts`"
    ] = None
    agents: Annotated[list[Name], "the agents it applies to; default all"] = []


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the hub raises an alert, and where alerts go."""

    webhook: Annotated[str | None, "a URL that receives each alert as JSON, by POST"] = None
    command: Annotated[list[str], "a program that receives each alert as JSON on standard input"] = []
    after: Annotated[Duration, "how long a problem must last to raise an alert"] = "3s"
    clear: Annotated[Duration, "how long it must be over to resolve the alert"] = "10s"
    slow_start: Annotated[bool, "whether to report an agent that starts slower than in its past starts"] = (
        True
    )
    thresholds: Annotated[list[ThresholdSpec], "bounds on metrics"] = []


class RecoverySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An automatic reaction of the hub to an alert, within a budget; it never deletes anything."""

    do: Annotated[
        Literal["restart", "restart-dependents", "run"],
        "restart the agent, restart it with all agents that need it, or run a command",
    ]
    run: Annotated[
        list[str], "the command for `do: run`; it receives the alert as JSON on standard input"
    ] = []
    agents: Annotated[list[Name], "the agents whose alerts it handles; default all"] = []
    metric: Annotated[
        str | None, "the metric of a threshold whose alerts it handles; default: alerts of agent states"
    ] = msgspec.field(default=None, name="figure")
    times: Annotated[PositiveCount, "the budget per agent: number of attempts"] = 3
    within: Annotated[Duration, "the budget per agent: the period of `times`"] = "1h"
    pause: Annotated[Duration, "how long to wait for a recovery before the next attempt"] = "30s"


class Scrape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The endpoint where a script serves Prometheus metrics, which are stored for its agent."""

    agent: Annotated[Name, "the agent that the metrics belong to"]
    url: Annotated[str, "the URL of the metrics, as seen from the agent's machine"]
    every: Annotated[Duration, "the time between two requests"] = "10s"
    max_samples: Annotated[int, Meta(description="the maximum number of samples per response", ge=1)] = (
        msgspec.field(default=1000, name="most")
    )


class HubSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The observability hub: where it listens, how long it keeps data, where it sends alerts."""

    port: Annotated[Port, "the port of the page and the metrics; if taken, the next free one"] = 9470
    bind: Annotated[str, "the interface it listens on"] = "127.0.0.1"
    hosts: Annotated[list[str], "further host names accepted from browsers; IP addresses always work"] = []
    actions: Annotated[
        Literal["loopback", "anywhere", "never"],
        "from where restart, stop and quiet are accepted, with the token",
    ] = "loopback"
    token: Annotated[
        Literal["reads", "all"],
        "what requires the hub's token: the page and its data, or /metrics and /healthz too",
    ] = "reads"
    max_metrics: Annotated[
        PositiveCount, "the maximum number of metric names per agent; further ones are dropped and reported"
    ] = msgspec.field(default=1000, name="most_figures")
    detail: Annotated[
        Duration | None, "how long every sample is kept; default 3d; later, one per minute is kept"
    ] = None
    retention: Annotated[Duration | None, "how long records are kept; default 14d"] = None
    scrape: Annotated[list[Scrape], "metrics of scripts that do not use the library"] = []
    otlp: Annotated[str | None, "the address of an OTLP/HTTP receiver, for example http://127.0.0.1:4318"] = (
        None
    )
    alerts: Annotated[Alerts, "when alerts are raised, and where they go"] = Alerts()
    recovery: Annotated[list[RecoverySpec], "automatic reactions of the hub to alerts"] = []


class Logs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of the agents' output is kept; the oldest lines are removed first."""

    size: Annotated[Size, "the maximum size per agent"] = "64MiB"
    age: Annotated[Duration | None, "the maximum age; default no limit"] = None
    total: Annotated[Size, "the maximum size of all agents together"] = "1GiB"


class Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An agent that must be ready before this one starts, and the reaction to its exit."""

    agent: Annotated[Name, "the needed agent"]
    on_death: Annotated[
        Literal["wait", "restart", "stop", "degrade"],
        (
            "the reaction of this agent when that agent dies: none until it is back (wait), "
            "a restart, a stop, or the state degraded"
        ),
    ] = "wait"


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How readiness is detected.

    `notify` waits for READY=1 of sd_notify; `alive` until the process has run for `seconds`; `zmq`
    for a JSON response to `send` on `port`; `http` for status 2xx on `path`; `tcp` for an open
    `port`; `log` for a line that matches `pattern`; `exec` for exit code 0 of `command`.
    """

    probe: Annotated[
        Literal["notify", "zmq", "http", "tcp", "log", "exec", "alive"] | None,
        "the kind of probe; default notify for `module:Class`, else alive",
    ] = None
    port: ProbePort = None
    send: ProbeRequest = None
    path: ProbePath = None
    pattern: Annotated[str | None, "the regular expression for log"] = None
    command: ProbeCommand = None
    seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None, "how long the process must run for alive; default 1"
    ] = None
    notify: Annotated[
        Literal["main", "all"],
        "which processes may send READY=1: the main one (main), or its children too (all)",
    ] = "main"


class Liveness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a running agent is monitored: by a watchdog interval or a repeated probe."""

    watchdog: Annotated[
        Duration | None, "the agent sends WATCHDOG=1 at least this often, from its work loop"
    ] = None
    probe: Annotated[Literal["zmq", "http", "tcp", "exec"] | None, "the kind of probe"] = None
    port: ProbePort = None
    send: ProbeRequest = None
    path: ProbePath = None
    command: ProbeCommand = None
    every: Annotated[Duration, "the time between two probes"] = "10s"
    failures: Annotated[
        PositiveCount, "the number of consecutive failures after which the agent is stopped"
    ] = 3


class RestartLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of restarts within a period, after which the agent is given up."""

    times: Annotated[int, Meta(ge=0, description="the number of restarts")] = 5
    within: Annotated[Duration, "the period"] = "60s"


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wait before a restart: doubles from `first` to `most`."""

    first: Annotated[Duration, "the wait before the first restart"] = "0.1s"
    most: Annotated[Duration, "the longest wait"] = "30s"


class AgentKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of an agent, and of `defaults`."""

    # Absent keys stay UNSET, which distinguishes them from a value equal to the default.

    run: Annotated[
        str | list[ScalarText] | UnsetType, "a script path, `module:Class`, or a command as a list"
    ] = UNSET
    args: Annotated[list[ScalarText] | UnsetType, "command-line arguments"] = UNSET
    env: Annotated[
        dict[str, ScalarText] | UnsetType, "environment variables; merged with those of `defaults`"
    ] = UNSET
    env_file: Annotated[str | UnsetType, "a file of NAME=value lines, read before `env`"] = UNSET
    cwd: Annotated[str | UnsetType, "the working folder; default the fleet file's folder"] = UNSET
    python: Annotated[str | UnsetType, "the interpreter; default the one that runs argosy"] = UNSET
    machine: Annotated[Name | UnsetType, "the machine it runs on"] = UNSET
    group: Annotated[str | UnsetType, "the group it is shown and packed into images with"] = UNSET
    port: Annotated[Port | UnsetType, "the port it serves on"] = UNSET
    health_port: Annotated[Port | UnsetType, "a separate port for health checks"] = UNSET
    needs: Annotated[
        list[Name | Need] | UnsetType, "agents that must be ready before this one starts; a cycle is an error"
    ] = UNSET
    wants: Annotated[
        list[Name] | UnsetType, "agents it talks to without waiting for them; cycles are allowed"
    ] = UNSET
    required: Annotated[bool | UnsetType, "whether its failure makes `up` fail; default true"] = UNSET
    ready: Annotated[
        Probe | UnsetType, "how readiness is detected; default notify for `module:Class`, else alive for 1 s"
    ] = UNSET
    liveness: Annotated[Liveness | UnsetType, "how a running agent is monitored"] = UNSET
    start_timeout: Annotated[Duration | UnsetType, "the time limit to become ready; default 60s"] = UNSET
    stop_timeout: Annotated[
        Duration | UnsetType, "the time limit to exit before it is killed; default 10s"
    ] = UNSET
    restart: Annotated[
        Literal["on-failure", "always", "never"] | UnsetType, "when it is restarted; default on-failure"
    ] = UNSET
    restart_limit: Annotated[
        RestartLimit | UnsetType, "the number of restarts within a period, after which it is given up"
    ] = UNSET
    backoff: Annotated[Backoff | UnsetType, "the wait before a restart"] = UNSET
    start: Annotated[
        Literal["auto", "spawn"] | UnsetType,
        "auto: fork a warm interpreter where that is safe; spawn: start a new interpreter",
    ] = UNSET
    cell: Annotated[
        Name | UnsetType, "the name of the process that it shares with other agents; `module:Class` only"
    ] = UNSET
    gpu_memory: Annotated[
        Size | UnsetType, "the GPU memory it uses; it starts if the machine has enough left"
    ] = UNSET
    memory: Annotated[Size | UnsetType, "the memory limit, also used for admission of starts"] = UNSET
    cpus: Annotated[
        Annotated[float, Meta(gt=0)] | UnsetType,
        "the number of processors; enforced by a control group if available",
    ] = UNSET
    open_files: Annotated[PositiveCount | UnsetType, "the limit of open files"] = UNSET
    idempotent: Annotated[list[str] | UnsetType, "methods that may be retried safely"] = UNSET


class FleetKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The top of a fleet file."""

    fleet: Annotated[Name, "the fleet's name"]
    machines: Annotated[dict[Name, Machine | None], "the machines, if there is more than one"] = {}
    environments: Annotated[
        dict[Name, dict[Name, str]],
        (
            "the address of each machine and service, by environment "
            "(ENV_TYPE, default development); an address may be `$VARIABLE`"
        ),
    ] = {}
    defaults: Annotated[AgentKeys, "keys that apply to every agent that does not set them"] = AgentKeys()
    hub: Annotated[HubSpec, "the observability hub"] = HubSpec()
    logs: Annotated[Logs, "how much of the agents' output is kept"] = Logs()
    max_starting: Annotated[
        PositiveCount | None, "the maximum number of concurrent starts; default: limited by scarce resources"
    ] = None
    preload: Annotated[
        Literal["auto", "none"] | list[str],
        "what the warm interpreter imports: auto, a list of modules, or none to disable it",
    ] = "auto"
    containers: Annotated[
        Literal["group", "agent"],
        "what a container runs: a group of agents, or one agent (a cell stays together)",
    ] = "group"
    agents: Annotated[dict[Name, AgentKeys], "the agents, by name"]


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One agent with the defaults merged in, times in seconds and sizes in bytes.

    run: a script path, `module:Class`, or a command, as given by `kind`.
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
    """A loaded and validated fleet, not yet placed in an environment.

    path: the absolute path of the fleet file; its folder is the root of relative paths.
    locations: the `file:line:column` of each key and list item, by path (`agents.NAME.needs.0`).
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
