"""The fleet that crosses machines: names, machines, ports and needs of another, and needs across on top."""

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


class Crossing(NamedTuple):
    """One added need: an agent, and the one of the other machine that it needs."""

    agent: str
    need: str


class LinkedFleet(NamedTuple):
    """A fleet file of two machines. ENV_TYPE `development` puts them apart, `together` on the first."""

    path: Path
    machines: tuple[str, str]
    crossings: list[Crossing]
    witness: Path
    machine_of: dict[str, str]


def write_linked(folder: Path, like: Path, each_way: int) -> LinkedFleet:
    """Write a fleet like another one, with so many needs in each direction that no agent of it had.

    An agent needs one that could start before it, so there is no cycle; which ones is drawn once for all.
    """
    shutil.copy(_AGENT, folder)
    compile_folder(folder)
    witness = folder / "lives"
    witness.mkdir()
    fleet = load_fleet(like)
    first, second = tuple(fleet.machines)[:2]
    order = build_graph(fleet).start_order()
    machine_of = {name: str(agent.machine) for name, agent in fleet.agents.items()}
    crossings = _draw(order, machine_of, (first, second), each_way)
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
            "run": "lifecycle_logger:Witness",
            "env": {"WITNESS": str(witness)},
            "idempotent": ["say"],
        },
        "agents": {name: {k: v for k, v in facts.items() if v} for name, facts in agents.items()},
    }
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=110))
    return LinkedFleet(path, (first, second), crossings, witness, machine_of)


def _draw(
    order: list[str] | tuple[str, ...], machine_of: dict[str, str], machines: tuple[str, str], each_way: int
) -> list[Crossing]:
    chance = random.Random(_SEED)
    found: list[Crossing] = []
    for own, other in (machines, machines[::-1]):
        late = [name for name in order if machine_of[name] == own]
        late = [
            name for name in late if any(machine_of[each] == other for each in order[: order.index(name)])
        ]
        for name in chance.sample(late, min(each_way, len(late))):
            before = [each for each in order[: order.index(name)] if machine_of[each] == other]
            found.append(Crossing(name, chance.choice(before)))
    return found
