"""Example fleet: all 84 agents run through the CLI, with frozen, stopped and killed agents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from argosy.fleet import load_fleet
from argosy.wire import RemoteError
from launch import until

from .whole import ExampleFleet, running_example_fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running() -> Iterator[ExampleFleet]:
    with running_example_fleet() as made:
        yield made


def test_example_agents_are_ready_and_answer_under_own_names(running: ExampleFleet) -> None:
    assert sorted(running.up["ready"]) == sorted(running.agents())
    assert running.health_of_agents() == dict.fromkeys(running.agents(), "ok")


def test_example_agents_use_every_need_and_no_undeclared_peer(running: ExampleFleet) -> None:
    registry = running.ask("ServiceRegistry")
    until(lambda: len(registry.call("listing")) == 84)
    running.ask("AudioCapture").call("say", text="salamat, anong oras na")
    for name, agent in load_fleet(running.file).agents.items():
        asked = set(running.ask(name).call("health")["asked"])
        needs = {need.agent for need in agent.needs}
        assert (name, needs - asked, asked - needs - set(agent.wants)) == (name, set(), set())


def test_utterance_is_traced_through_agents_under_one_id(running: ExampleFleet) -> None:
    passed = running.ask("AudioCapture").call("say", text="good morning, what is the time")
    traces = {hop["trace"] for hop in passed["hops"]}
    agents = {hop["agent"] for hop in passed["hops"]}
    assert len(traces) == 1
    assert len(agents) == 17
    assert {
        "StreamingSpeechRecognition",
        "MemoryOrchestratorService",
        "ContextManager",
        "TTSService",
    } <= agents
    assert passed["value"]["heard"] == "good morning, what is the time"
    assert list(passed["value"]["intents"]) == ["greeting", "time"]
    assert passed["value"]["speech"]["sentences"] >= 2
    kept = running.ask("SystemDigitalTwin").call("trace_of", correlation=traces.pop())
    assert kept == passed["hops"]


def test_example_client_prints_answer_and_its_route(running: ExampleFleet) -> None:
    command = [sys.executable, str(running.fleet / "ask.py"), "salamat", "po"]
    done = subprocess.run(command, env=running.env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "heard  salamat po (tl, thanks, glad)" in done.stdout
    assert "TranslationService" in done.stdout


@pytest.mark.parametrize(
    "cut",
    [
        "FusedAudioPreprocessor",
        "STTService",
        "RequestCoordinator",
        "CacheManager",
        "MemoryOrchestratorService",
        "StreamingInterruptHandler",
    ],
)
def test_frozen_agent_is_named_to_client_and_on_errors_topic(running: ExampleFleet, cut: str) -> None:
    pid = running.agents()[cut]["pid"]
    microphone, bus = running.ask("AudioCapture"), running.ask("SystemHealthManager")
    before = bus.call("counts").get(cut, 0)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(RemoteError, match=f"^`say` of .*: hop-failed: `{cut}` did not answer"):
            microphone.call("say", text="thanks")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: bus.call("counts").get(cut, 0) > before)


def test_stopped_agent_is_named_in_error_and_requests_pass_after_restart(running: ExampleFleet) -> None:
    assert running.argosy("down", "--only", "TTSService")[0] == 0
    microphone = running.ask("AudioCapture")
    with pytest.raises(RemoteError, match="`TTSService` did not answer `StreamingTTSAgent`"):
        microphone.call("say", text="thanks")
    assert running.argosy("up", "-d")[0] == 0
    assert microphone.call("say", text="thanks")["value"]["speech"]["sentences"] >= 1


def test_killed_twin_restarts_and_no_other_agent_is_replaced(running: ExampleFleet) -> None:
    before = {name: agent["pid"] for name, agent in running.agents().items()}
    os.kill(before["SystemDigitalTwin"], signal.SIGKILL)

    def is_back() -> bool:
        twin = running.agents()["SystemDigitalTwin"]
        return twin["state"] == "ready" and twin["pid"] not in (None, before["SystemDigitalTwin"])

    until(is_back)
    after = {name: agent["pid"] for name, agent in running.agents().items()}
    assert [name for name in before if after[name] != before[name]] == ["SystemDigitalTwin"]
