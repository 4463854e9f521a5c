"""Writes the fleet files of a bench: another fleet's names, ports and needs, with a bench's agent."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from argosy.fleet import Fleet, build_graph, load_fleet
from testbed.bytecode_warmup import compile_folder

CELLS = "cells.yaml"
_AGENTS = Path(__file__).resolve().parents[1] / "agents"
TYPICAL_AGENT = "typical:TypicalAgent"
MINIMAL_AGENT = "minimal:MinimalAgent"
UNTUNED_AGENT = "untuned:UntunedAgent"


class FleetFiles(msgspec.Struct, frozen=True):
    """Fleet files with the same agents.

    processes: one process per agent. cells: the same agents in a few processes, or None without a cells
    file. spawned: like `processes`, without a zygote. is_typical: the agents are `agents/typical.py`.
    """

    processes: Path
    cells: Path | None
    spawned: Path | None = None
    is_typical: bool = False


@contextlib.contextmanager
def temporary_fleets_like(
    like: Path, run: str = TYPICAL_AGENT, max_agents: int | None = None
) -> Iterator[FleetFiles]:
    """Yield temporary fleet files with the names, ports, machines, needs and cells of the fleet `like`.

    run: the agent class, from bench/agents. max_agents: keep only this many agents, the first to start.
    """
    with tempfile.TemporaryDirectory(prefix="af-", dir="/tmp") as name:
        folder = Path(name)
        shutil.copy(_AGENTS / f"{run.partition(':')[0]}.py", folder)
        compile_folder(folder)
        fleet, cells = load_fleet(like), like.with_name(CELLS)
        yield FleetFiles(
            processes=_write(folder / "fleet.yaml", fleet, run, max_agents),
            cells=_write(folder / CELLS, load_fleet(cells), run, max_agents) if cells.exists() else None,
            spawned=_write(folder / "spawned.yaml", fleet, run, max_agents, preload="none"),
            is_typical=run == TYPICAL_AGENT,
        )


def fleet_files_of(path: Path) -> FleetFiles:
    """Return an existing fleet file and its cells file, with their own agents."""
    cells = path.with_name(CELLS)
    return FleetFiles(processes=path, cells=cells if cells.exists() else None)


def _write(path: Path, fleet: Fleet, run: str, max_agents: int | None, **more: str) -> Path:
    kept = {name: fleet.agents[name] for name in build_graph(fleet).start_order()[:max_agents]}
    agents = {}
    for name, agent in kept.items():
        facts: dict[str, Any] = {
            "machine": agent.machine,
            "port": agent.port,
            "health_port": agent.health_port,
        }
        facts |= {"needs": [need.agent for need in agent.needs if need.agent in kept], "cell": agent.cell}
        agents[name] = {"run": run} | {key: value for key, value in facts.items() if value}
    machines: dict[str, dict[str, str]] = {name: {} for name in fleet.machines}
    hosts = {"testing": dict.fromkeys(fleet.machines, "127.0.0.1")}
    whole = {
        "fleet": f"bench-{path.stem}",
        "machines": machines,
        "environments": hosts,
        **more,
        "agents": agents,
    }
    path.write_text(yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=110))
    return path
