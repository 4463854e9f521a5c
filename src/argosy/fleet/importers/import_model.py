"""What importers find, as frozen data: agents, edges, services, and the decisions that had to be taken.

An importer turns one file into one `Source` and settles nothing that depends on other files;
`merge` joins the sources into a `Plan`, and `emit` writes the plan down.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from argosy.fleet.normalization import run_kind


class ImportDecision(msgspec.Struct, frozen=True):
    """Something the source leaves open, or says in a way a fleet file cannot.

    where: `file:line:column` in the source.
    what: what was found and what stands in the fleet file for it.
    why: the rule behind it, or what a person may want to change.
    agent: the agent it is about, as the source spells it; empty when it is about the whole file.
    """

    where: str
    what: str
    why: str
    agent: str = ""


class ImportedEdge(msgspec.Struct, frozen=True):
    """A dependency as the source spells it; `kind` says whether it gates the start."""

    target: str
    where: str
    kind: Literal["need", "want"] = "need"


class ImportedAgent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent as one place of one source describes it.

    run: a script path, relative to the source's root unless absolute, `module:Class`, or a command.
    cwd: the working folder, relative to the root unless absolute; None for the root itself.
    host: where the source says that it listens or is reached; a wildcard too.
    alive_s: how long the source waits before it takes the process for started, in seconds.
    stop_timeout_s: how long the source waits before it kills, in seconds.
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
        """The path of its script, None where it runs a class or a command."""
        return self.run if isinstance(self.run, str) and run_kind(self.run) == "script" else None

    @property
    def is_library_agent(self) -> bool:
        """Whether it is an agent of the library, which beats: a class, or run by argosy's module."""
        if isinstance(self.run, str):
            return self.script is None
        return ("-m", "argosy.agent") in pairwise(self.run)


class ForeignPort(msgspec.Struct, frozen=True):
    """A port that a source names under a key such as `error_bus_port`, outside an agent's own ports."""

    key: str
    port: int
    where: str


class ExternalService(msgspec.Struct, frozen=True):
    """Something agents talk to that the source gives no command for, such as a database image."""

    name: str
    where: str
    port: int | None = None


class ImportSource(msgspec.Struct, frozen=True, kw_only=True):
    """One file, read.

    kind: the shape it was recognised by, in words.
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
    """An agent as it will stand in the fleet file.

    name: unique in the fleet, and a name that a fleet file takes.
    found: where it came from; its paths are relative to the fleet file's folder.
    """

    name: str
    machine: str
    imported: ImportedAgent
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class ImportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole fleet, decided, not yet written.

    edges: dependencies as found, each counted once, before any was cut or left out.
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
