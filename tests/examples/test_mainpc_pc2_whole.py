"""The example fleet: all 84 agents through the CLI, asked, cut, killed and stopped."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from argosy.fleet import load_fleet
from argosy.wire import RemoteError, connect
from argosy.wire.blocking import SyncPeer
from launch import until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mainpc-pc2"
ARGOSY = str(Path(sys.executable).with_name("argosy"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Whole:
    """A copy of the example that runs on a loopback address of its own."""

    def __init__(self, folder: Path) -> None:
        self.fleet = folder / "fleet"
        self.host = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
        shutil.copytree(EXAMPLE, self.fleet, ignore=shutil.ignore_patterns("__pycache__"))
        path = self.fleet / "fleet.yaml"
        path.write_text(path.read_text().replace("127.0.0.1", self.host))
        (folder / "run").mkdir(0o700)
        self.env = {
            **os.environ,
            "ENV_TYPE": "testing",
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }
        self.up: dict[str, Any] = {}

    def argosy(self, verb: str, *words: str) -> tuple[int, dict[str, Any], str]:
        """Run one verb with --json; return exit code, object, stderr."""
        command = [ARGOSY, verb, str(self.fleet), *words, "--json"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=150, check=False)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return what `status` tells of each agent."""
        agents: dict[str, dict[str, Any]] = self.argosy("status")[1]["agents"]
        return agents

    def ask(self, name: str) -> SyncPeer:
        """Return a peer of the running fleet, by its declared port."""
        return connect(f"tcp://{self.host}:{load_fleet(self.fleet / 'fleet.yaml').agents[name].port}")


@pytest.fixture(scope="module")
def running() -> Iterator[Whole]:
    folder = Path(tempfile.mkdtemp(prefix="ag-"))
    made = Whole(folder)
    try:
        code, made.up, err = made.argosy("up", "-d")
        assert code == 0, (made.up.get("not_ready"), err)
        yield made
        pids = [agent["pid"] for agent in made.agents().values()]
        code, down, err = made.argosy("down")
        assert (code, len(down["stopped"])) == (0, 84), err
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    finally:
        made.argosy("down")
        shutil.rmtree(folder)


def test_all_are_ready_and_answer_from_outside_as_themselves(running: Whole) -> None:
    assert sorted(running.up["ready"]) == sorted(running.agents())
    context = zmq.Context()
    for name, agent in load_fleet(running.fleet / "fleet.yaml").agents.items():
        with context.socket(zmq.REQ) as old:
            old.linger, old.rcvtimeo = 0, 5000
            old.connect(f"tcp://{running.host}:{agent.port}")
            old.send_json({"action": "health"})
            answer: Any = old.recv_json()
            assert (answer["status"], answer["name"]) == ("ok", name)
    context.term()


def test_every_need_is_used_and_nobody_talks_to_whom_the_file_does_not_name(running: Whole) -> None:
    registry = running.ask("ServiceRegistry")
    until(lambda: len(registry.call("listing")) == 84)
    running.ask("AudioCapture").call("say", text="salamat, anong oras na")
    for name, agent in load_fleet(running.fleet / "fleet.yaml").agents.items():
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
