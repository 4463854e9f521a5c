"""Import of the sample code base: both of its startup configs make one fleet file of 84 agents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from argosy.fleet import build_graph
from fleet.importers.import_tree import Imported, Tree

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def imported(corpus: Path) -> Imported:
    paths = ("main_pc_code/config/startup_config.yaml", "pc2_code/config/startup_config.yaml")
    return Tree(corpus).read(*paths)


def test_corpus_import_has_expected_agents_edges_and_machines(imported: Imported) -> None:
    agents = imported.fleet.agents
    assert len(agents) == 84
    assert imported.plan.edge_count == 148
    assert imported.plan.machines == ("main_pc_code", "pc2_code")
    assert Counter(agent.machine for agent in agents.values()) == {"main_pc_code": 58, "pc2_code": 26}
    assert len({agent.group for agent in agents.values()}) == 12
    assert not [name for name, agent in agents.items() if agent.ready.probe != "zmq"]


def test_every_imported_script_exists(imported: Imported, corpus: Path) -> None:
    assert all((corpus / str(agent.run)).is_file() for agent in imported.fleet.agents.values())


def test_import_keeps_optional_agents_optional(imported: Imported) -> None:
    optional = {name for name, agent in imported.fleet.agents.items() if not agent.required}
    assert optional == {"TinyLlamaServiceEnhanced", "GoTToTAgent", "CognitiveModelAgent"}


def test_import_merges_and_reports_duplicate_row(imported: Imported) -> None:
    agent = imported.fleet.agents["MemoryOrchestratorService"]
    assert (agent.port, agent.health_port) == (7140, 8140)
    assert imported.decision("`MemoryOrchestratorService` is in two rows on port 7140")
    assert "`7141`" in imported.decision("the health port of `MemoryOrchestratorService`").what


def test_import_reports_error_bus_port_clash(imported: Imported) -> None:
    decision = imported.decision("`error_bus_port: 7150` is also the `port` of `VisionProcessingAgent`")
    assert decision.where.endswith("pc2_code/config/startup_config.yaml:293:1")


def test_import_cuts_only_cycle_for_fewest_levels(imported: Imported) -> None:
    wants = {name: agent.wants for name, agent in imported.fleet.agents.items() if agent.wants}
    assert wants == {"TTSService": ("StreamingInterruptHandler",)}
    decision = imported.decision("cycle of 3 agents")
    assert "TTSService -> StreamingInterruptHandler -> StreamingTTSAgent -> TTSService" in decision.what
    graph = build_graph(imported.fleet)
    assert graph.cycles() == ()
    assert len(graph.levels()) == 8


def test_import_reads_only_one_version_of_each_config(corpus: Path) -> None:
    imported = Tree(corpus).read("main_pc_code", "pc2_code/config")
    assert len(imported.fleet.agents) == 84
    assert len([one for one in imported.plan.decisions if "not imported: it also defines" in one.what]) >= 6
