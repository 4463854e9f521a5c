"""Example fleet: its file, and the pure functions of its agents."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from argosy.fault import InputError
from argosy.fleet import Fleet, Graph, build_graph, load_fleet, place
from argosy.fleet.dependency_graph import graph_from_edges

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mainpc-pc2"
FACTS = ROOT.parent / "shared" / "data" / "fleet84.json"
CUT = ("TTSService", "StreamingInterruptHandler")
# The way of an utterance downstream, and to the other machine; agents of pc2 also want the registry.
UTTERANCE_ROUTE = {
    ("AudioCapture", "FusedAudioPreprocessor"),
    ("FusedAudioPreprocessor", "StreamingSpeechRecognition"),
    ("StreamingSpeechRecognition", "StreamingLanguageAnalyzer"),
    ("StreamingLanguageAnalyzer", "RequestCoordinator"),
    ("RequestCoordinator", "Responder"),
    ("Responder", "MemoryClient"),
    ("MemoryClient", "MemoryOrchestratorService"),
    ("MemoryClient", "ContextManager"),
    ("MemoryClient", "CacheManager"),
}


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return load_fleet(EXAMPLE / "fleet.yaml")


@pytest.fixture(scope="module")
def facts() -> list[dict[str, Any]]:
    if not FACTS.is_file():
        pytest.skip(f"the facts of the real fleet are not beside this checkout ({FACTS})")
    rows: list[dict[str, Any]] = json.loads(FACTS.read_text())
    return rows


def test_example_fleet_has_numbers_of_real_fleet(fleet: Fleet) -> None:
    machines = [agent.machine for agent in fleet.agents.values()]
    assert (len(machines), machines.count("mainpc"), machines.count("pc2")) == (84, 58, 26)
    assert sum(len(agent.needs) for agent in fleet.agents.values()) == 147
    optional = {name for name, agent in fleet.agents.items() if not agent.required}
    assert optional == {"TinyLlamaServiceEnhanced", "GoTToTAgent", "CognitiveModelAgent"}


def test_example_agents_have_watchdog_liveness(fleet: Fleet) -> None:
    cells = load_fleet(EXAMPLE / "cells.yaml")
    agents = [*fleet.agents.values(), *cells.agents.values()]
    assert {agent.liveness and agent.liveness.watchdog for agent in agents} == {"30s"}


def test_example_fleet_wants_cut_edge_and_utterance_route(fleet: Fleet) -> None:
    pc2 = {(name, "ServiceRegistry") for name, agent in fleet.agents.items() if agent.machine == "pc2"}
    wants = {(name, want) for name, agent in fleet.agents.items() for want in agent.wants}
    assert wants == {CUT} | UTTERANCE_ROUTE | pc2


def test_example_fleet_cuts_cycle_at_proposed_edge(fleet: Fleet) -> None:
    graph: Graph = build_graph(fleet)
    assert graph.cycles() == ()
    needs = {**graph.needs, CUT[0]: (*graph.needs[CUT[0]], CUT[1])}
    assert graph_from_edges(needs).cycle_cuts() == (CUT,)


def test_example_agents_match_facts_of_real_fleet(fleet: Fleet, facts: list[dict[str, Any]]) -> None:
    same = ("name", "machine", "group", "port", "health_port", "required")
    assert [{key: getattr(agent, key) for key in same} for agent in fleet.agents.values()] == [
        {key: row[key] for key in same} for row in facts
    ]


def test_example_edges_match_facts_of_real_fleet(fleet: Fleet, facts: list[dict[str, Any]]) -> None:
    edges = [(row["name"], need) for row in facts for need in row["needs"]]
    edges.remove(CUT)
    assert sorted(build_graph(fleet).edges()) == sorted(edges)


def test_testing_environment_uses_loopback_and_production_needs_addresses(fleet: Fleet) -> None:
    testing = place(fleet, "testing", {})
    assert {testing.host_of_machine(machine) for machine in fleet.machines} == {"127.0.0.1"}
    assert place(fleet, "development", {}).host_of_machine("pc2") == "192.168.100.17"
    with pytest.raises(InputError, match="MAINPC_IP"):
        place(fleet, "production", {"PC2_IP": "10.0.0.2"})


# -- what the agents compute -------------------------------------------------------------------


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import modules of the example by name; they are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"agents.{name}")

    yield load
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "agents":
            del sys.modules[name]


@pytest.mark.parametrize("text", ["a", "good morning, what is the time", "magandang gabi, ñ", "x" * 400])
def test_tone_codec_decodes_noisy_signal(agents: Any, text: str) -> None:
    tone_codec = agents("tone_codec")
    air = tone_codec.add_room_noise(tone_codec.encode_tones(text))
    voiced = tone_codec.voiced(tone_codec.without_offset(tone_codec.unpack(air.tobytes())), 0.05)
    assert len(voiced) < len(air)
    assert tone_codec.decode_tones(tone_codec.unpack(tone_codec.pack(voiced))) == text


@pytest.mark.parametrize("text", ["", "x" * 401])
def test_tone_codec_refuses_empty_and_long_text(agents: Any, text: str) -> None:
    with pytest.raises(ValueError, match="1 to 400 bytes"):
        agents("tone_codec").encode_tones(text)


def test_tone_codec_finds_no_voice_in_constant_signal(agents: Any) -> None:
    tone_codec = agents("tone_codec")
    assert not tone_codec.voiced(tone_codec.without_offset([300] * 640), 0.05)


def test_translation_prefers_phrases_over_words(agents: Any) -> None:
    text_analysis = agents("text_analysis")
    phrase_tokens = text_analysis.tokens("Magandang umaga, anong oras na?")
    assert text_analysis.language_of(phrase_tokens) == "tl"
    assert " ".join(text_analysis.translate(phrase_tokens)) == "good morning what is the time"
    assert text_analysis.language_of(text_analysis.tokens("good morning")) == "en"


def test_mood_is_inverted_by_not(agents: Any) -> None:
    text_analysis = agents("text_analysis")
    assert text_analysis.mood_of(text_analysis.tokens("this is good")) == 1
    assert text_analysis.mood_of(text_analysis.tokens("this is not good")) == -1
    assert text_analysis.mood_of([]) == 0


def test_reasoning_evaluates_only_arithmetic_expressions(agents: Any) -> None:
    reasoning = agents("reasoning")
    assert reasoning.evaluate(reasoning.code_of("what is 3 plus 4 times 2")) == 11
    for code in ("__import__('os')", "2 ** 99", "1 +", "1" * 201):
        with pytest.raises(reasoning.RejectedError):
            reasoning.evaluate(code)


def test_running_statistics_match_batch_statistics(agents: Any) -> None:
    running = agents("learning").Running()
    for value in (2.0, 4.0, 9.0):
        running.add(value)
    assert running.mean == pytest.approx(5.0)
    assert running.error() == pytest.approx((26 / 2 / 3) ** 0.5)
