"""Writes a fleet for two machines: another fleet's agents and needs, with added needs across machines."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from argosy.fleet import build_graph, load_fleet
from testbed.bytecode_warmup import compile_folder

ADDRESSES = ("192.168.100.16", "192.168.100.17")
_AGENT = Path(__file__).resolve().parents[1] / "agents/lifecycle_logger.py"
_SEED = 84


class CrossMachineNeed(NamedTuple):
    """One added need: an agent, and the agent of the other machine that it needs."""

    agent: str
    need: str


class TwoMachineFleet(NamedTuple):
    """A fleet file of two machines. With ENV_TYPE `together` both have the first machine's address."""

    path: Path
    machines: tuple[str, str]
    crossings: list[CrossMachineNeed]
    log_dir: Path
    machine_of: dict[str, str]


def write_two_machine_fleet(folder: Path, template: Path, per_direction: int) -> TwoMachineFleet:
    """Write a fleet like `template`, with `per_direction` added needs in each direction between the machines.

    Each added need is an agent that starts earlier, so there is no cycle. The choice has a fixed seed.
    """
    shutil.copy(_AGENT, folder)
    compile_folder(folder)
    log_dir = folder / "lifecycle-logs"
    log_dir.mkdir()
    fleet = load_fleet(template)
    first, second = tuple(fleet.machines)[:2]
    order = build_graph(fleet).start_order()
    machine_of = {name: str(agent.machine) for name, agent in fleet.agents.items()}
    crossings = _draw_crossings(order, machine_of, (first, second), per_direction)
    agents: dict[str, Any] = {}
    for name, agent in fleet.agents.items():
        needs = [need.agent for need in agent.needs] + [each.need for each in crossings if each.agent == name]
        agents[name] = {"machine": agent.machine, "port": agent.port, "health_port": agent.health_port}
        agents[name] |= {"needs": needs} if needs else {}
    hosts = dict(zip((first, second), ADDRESSES, strict=True))
    whole = {
        "fleet": "linked",
        "machines": {first: {}, second: {}},
        "environments": {"development": hosts, "together": dict.fromkeys(hosts, ADDRESSES[0])},
        "defaults": {
            "run": "lifecycle_logger:LifecycleLogger",
            "env": {"LIFECYCLE_LOG_DIR": str(log_dir)},
            "idempotent": ["echo"],
        },
        "agents": {name: {k: v for k, v in facts.items() if v} for name, facts in agents.items()},
    }
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=110))
    return TwoMachineFleet(path, (first, second), crossings, log_dir, machine_of)


def _draw_crossings(
    order: list[str] | tuple[str, ...],
    machine_of: dict[str, str],
    machines: tuple[str, str],
    per_direction: int,
) -> list[CrossMachineNeed]:
    generator = random.Random(_SEED)
    found: list[CrossMachineNeed] = []
    for own, other in (machines, machines[::-1]):
        late = [name for name in order if machine_of[name] == own]
        late = [
            name for name in late if any(machine_of[each] == other for each in order[: order.index(name)])
        ]
        for name in generator.sample(late, min(per_direction, len(late))):
            before = [each for each in order[: order.index(name)] if machine_of[each] == other]
            found.append(CrossMachineNeed(name, generator.choice(before)))
    return found
