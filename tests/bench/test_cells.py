"""Fleet of the cells bench: number of agents, cells and needs."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parents[2] / "bench")
)  # behind the tests, which have rooms of the same names

import cells
from argosy.fleet import build_graph, load_fleet


def test_cells_bench_fleet_spreads_agents_evenly_with_needs_across_cells(tmp_path: Path) -> None:
    fleet = load_fleet(cells.write_fleet(tmp_path / "many", cells.MANY))
    sizes = Counter(agent.cell for agent in fleet.agents.values())
    assert (len(fleet.agents), set(sizes.values())) == (1000, {1000 // cells.CELLS})
    graph = build_graph(fleet)
    assert len(graph.levels()) == 5
    assert sum(fleet.agents[one].cell != fleet.agents[other].cell for one, other in graph.edges()) > 800
