"""The example fleet: all 84 agents through the CLI, asked, cut, killed and stopped."""

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

from .whole import Whole, whole_fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running() -> Iterator[Whole]:
    with whole_fleet() as made:
        yield made


def test_all_are_ready_and_answer_from_outside_as_themselves(running: Whole) -> None:
    assert sorted(running.up["ready"]) == sorted(running.agents())
    assert running.who_answers() == dict.fromkeys(running.agents(), "ok")


def test_every_need_is_used_and_nobody_talks_to_whom_the_file_does_not_name(running: Whole) -> None:
    registry = running.ask("ServiceRegistry")
    until(lambda: len(registry.call("listing")) == 84)
    running.ask("AudioCapture").call("say", text="salamat, anong oras na")
    for name, agent in load_fleet(running.file).agents.items():
        asked = set(running.ask(name).call("health")["asked"])
        needs = {need.agent for need in agent.needs}
        assert (name, needs - asked, asked - needs - set(agent.wants)) == (name, set(), set())


def test_an_utterance_leaves_a_trace_of_its_agents_under_one_id(running: Whole) -> None:
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


def test_the_client_shows_an_answer_and_its_way(running: Whole) -> None:
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
def test_a_frozen_hop_is_named_to_the_caller_and_on_the_errors_topic(running: Whole, cut: str) -> None:
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


def test_a_hop_that_is_down_is_named_and_once_it_is_up_the_way_is_open_again(running: Whole) -> None:
    assert running.argosy("down", "--only", "TTSService")[0] == 0
    microphone = running.ask("AudioCapture")
    with pytest.raises(RemoteError, match="`TTSService` did not answer `StreamingTTSAgent`"):
        microphone.call("say", text="thanks")
    assert running.argosy("up", "-d")[0] == 0
    assert microphone.call("say", text="thanks")["value"]["speech"]["sentences"] >= 1


def test_the_twin_killed_is_ready_again_and_nobody_else_was_replaced(running: Whole) -> None:
    before = {name: agent["pid"] for name, agent in running.agents().items()}
    os.kill(before["SystemDigitalTwin"], signal.SIGKILL)

    def is_back() -> bool:
        twin = running.agents()["SystemDigitalTwin"]
        return twin["state"] == "ready" and twin["pid"] not in (None, before["SystemDigitalTwin"])

    until(is_back)
    after = {name: agent["pid"] for name, agent in running.agents().items()}
    assert [name for name in before if after[name] != before[name]] == ["SystemDigitalTwin"]
