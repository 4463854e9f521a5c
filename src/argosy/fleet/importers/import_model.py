"""The data model of imports: agents, edges, services and decisions.

An importer converts one file to one `ImportSource` and decides nothing that depends on other files;
`merge` combines the sources into an `ImportPlan`, and `fleet_file_writer` renders it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from argosy.fleet.importers.input_file import InputFile, KeyPath
from argosy.fleet.normalization import run_kind
from argosy.fleet.quantities import format_names

_MAX_NAMED = 3
# The reason of a decision about an agent that its source does not always start.
STARTS_EVERY_AGENT = "argosy starts every agent in the file: remove it, or use `--only`"


class ImportDecision(msgspec.Struct, frozen=True):
    """A choice made where the source is ambiguous or cannot be expressed in a fleet file.

    where: `file:line:column` in the source.
    what: what was found and what the fleet file has instead.
    why: the reason, or what the user may want to change.
    agent: the agent concerned, as named in the source; empty for the whole file.
    """

    where: str
    what: str
    why: str
    agent: str = ""


class ImportedEdge(msgspec.Struct, frozen=True):
    """A dependency as named in the source; `kind` says whether the start waits for it."""

    target: str
    where: str
    kind: Literal["need", "want"] = "need"


class ImportedAgent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent as described in one place of a source.

    run: a script path, relative to the source's root unless absolute, `module:Class`, or a command.
    cwd: the working folder, relative to the root unless absolute; None for the root itself.
    host: the address that it listens on or is reached at; may be a wildcard.
    start_grace_s: how long the process must run to count as started, in seconds.
    stop_timeout_s: how long a stop may take before the process is killed, in seconds.
    """

    name: str
    where: str
    run: str | tuple[str, ...]
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    env_file: str | None = None
    cwd: str | None = None
    python: str | None = None
    group: str | None = None
    host: str | None = None
    port: int | None = None
    health_port: int | None = None
    edges: tuple[ImportedEdge, ...] = ()
    required: bool = True
    restart: Literal["on-failure", "always", "never"] | None = None
    start_grace_s: float | None = None
    stop_timeout_s: float | None = None
    memory: str | None = None
    cpus: float | None = None

    @property
    def script(self) -> str | None:
        """The path of its script; None if it runs a class or a command."""
        return self.run if isinstance(self.run, str) and run_kind(self.run) == "script" else None

    @property
    def is_library_agent(self) -> bool:
        """Whether it is a library agent, which sends a watchdog: a class, or run by `-m argosy.agent`."""
        if isinstance(self.run, str):
            return self.script is None
        return ("-m", "argosy.agent") in pairwise(self.run)


class ForeignPort(msgspec.Struct, frozen=True):
    """A port under a key such as `error_bus_port`, which is not a port of an agent itself."""

    key: str
    port: int
    where: str


class ExternalService(msgspec.Struct, frozen=True):
    """A service that agents use and that has no command in the source, such as a database image."""

    name: str
    where: str
    port: int | None = None


class ImportSource(msgspec.Struct, frozen=True, kw_only=True):
    """One file, read.

    kind: a description of its format.
    env: variables that the source sets for every agent.
    """

    path: Path
    kind: str
    agents: tuple[ImportedAgent, ...]
    env: dict[str, str] = {}
    env_where: str = ""
    named_ports: tuple[ForeignPort, ...] = ()
    services: tuple[ExternalService, ...] = ()
    decisions: tuple[ImportDecision, ...] = ()


class PlannedAgent(msgspec.Struct, frozen=True):
    """An agent as it is written to the fleet file.

    name: unique in the fleet and valid in a fleet file.
    imported: the agent found, with paths relative to the fleet file's folder.
    """

    name: str
    machine: str
    imported: ImportedAgent
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class ImportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A complete fleet, not yet written.

    edge_count: the number of distinct dependencies found, before any was cut or omitted.
    cwd: the working folder of every agent, relative to the fleet file's folder; None for that folder.
    """

    fleet: str
    sources: tuple[str, ...]
    machines: tuple[str, ...]
    environments: dict[str, dict[str, str]]
    agents: tuple[PlannedAgent, ...]
    edge_count: int
    decisions: tuple[ImportDecision, ...]
    env: dict[str, str] = {}
    cwd: str | None = None


def unsupported_key_decisions(
    input_file: InputFile,
    agent_keys: Sequence[tuple[str, KeyPath, Mapping[str, object]]],
    supported_keys: AbstractSet[str],
    reason: Callable[[str], str],
) -> Iterator[ImportDecision]:
    """Yield one decision for each key that is not in `supported_keys`, for all agents that have it.

    agent_keys: the name, path and keys of each agent. reason: returns why a key is not imported.
    """
    users: dict[str, list[tuple[str, KeyPath]]] = {}
    for name, key_path, keys in agent_keys:
        for key in (key for key in keys if key not in supported_keys):
            users.setdefault(key, []).append((name, key_path))
    for key, users_of_key in users.items():
        what = f"`{key}` of {format_names((name for name, _ in users_of_key), _MAX_NAMED)} is not imported"
        yield ImportDecision(input_file.location_of((*users_of_key[0][1], key)), what, reason(key))
