"""Fleet of the machines bench: needs across machines in both directions, and no cycle."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from argosy.fleet import build_graph, load_fleet  # noqa: E402
from two_machines.two_machine_fleet import write_two_machine_fleet  # noqa: E402


def test_two_machine_fleet_has_needs_in_both_directions_and_no_cycle(tmp_path: Path) -> None:
    like = BENCH.parent / "examples/mainpc-pc2/fleet.yaml"
    two_machine_fleet = write_two_machine_fleet(tmp_path, like, 12)
    fleet = load_fleet(two_machine_fleet.path)
    assert len(fleet.agents) == 84
    assert build_graph(fleet).start_order()
    ways = Counter(two_machine_fleet.machine_of[agent] for agent, _ in two_machine_fleet.crossings)
    assert ways == {"mainpc": 12, "pc2": 12}
    for agent, need in two_machine_fleet.crossings:
        assert two_machine_fleet.machine_of[agent] != two_machine_fleet.machine_of[need]
        assert need in [each.agent for each in fleet.agents[agent].needs]
        assert need not in [each.agent for each in load_fleet(like).agents[agent].needs]
