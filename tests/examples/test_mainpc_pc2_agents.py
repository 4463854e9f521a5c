"""The example fleet: some of its agents, started by hand in a little fleet."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.wire import RemoteError, connect
from argosy.wire.client.sync_peer import SyncPeer
from launch import LittleFleet, Running, little_fleet, until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mainpc-pc2"


@pytest.fixture
def little() -> Iterator[LittleFleet]:
    with little_fleet() as made:
        yield made


def start(little: LittleFleet, name: str, target: str, *args: str) -> Running:
    """Start an agent of the example under its name and wait until it is ready."""
    command = [sys.executable, "-m", "argosy.agent", f"agents.{target}", *args]
    return little.start(name, name=name, command=command, PYTHONPATH=str(EXAMPLE))


def start_core(little: LittleFleet) -> None:
    start(little, "ServiceRegistry", "core:ServiceRegistry")
    start(little, "SystemDigitalTwin", "core:DigitalTwin")


def ask(little: LittleFleet, name: str) -> SyncPeer:
    return connect(name, timeout=5.0, book=little.path)


def test_members_enrol_through_the_twin_and_are_found_in_the_registry(little: LittleFleet) -> None:
    start_core(little)
    engine = start(little, "EmotionEngine", "emotion:Engine")
    card = ask(little, "ServiceRegistry").call("find", name="EmotionEngine")
    assert (card["role"], card["machine"], card["pid"]) == ("Engine", "mainpc", engine.pid)
    with pytest.raises(RemoteError, match="`Nobody` has not enrolled; 3 others have"):
        ask(little, "ServiceRegistry").call("find", name="Nobody")


def test_an_agent_of_pc2_is_ready_without_the_registry_and_enrols_when_it_comes(little: LittleFleet) -> None:
    little.add("ServiceRegistry")
    start(little, "PerformanceLoggerAgent", "monitor:PerformanceLogger", "--keep", "5")
    start(little, "ServiceRegistry", "core:ServiceRegistry")
    registry = ask(little, "ServiceRegistry")
    until(lambda: registry.call("listing", machine="pc2"))
    assert registry.call("listing", machine="pc2")[0]["name"] == "PerformanceLoggerAgent"


def test_memory_is_written_and_read_on_the_other_machine_and_a_failure_names_who_failed(
    little: LittleFleet,
) -> None:
    start_core(little)
    store = start(little, "MemoryOrchestratorService", "memory:Store", "--limit", "3")
    start(little, "CacheManager", "memory:Cache", "--limit", "2", "--ttl-s", "60")
    start(little, "ContextManager", "memory:Context", "--window", "2")
    for name in ("MemoryOrchestratorService", "CacheManager", "ContextManager", "MemoryClient"):
        if name not in little.book.agents:
            little.add(name)
    start(little, "SystemHealthManager", "monitor:ErrorBus", "--keep", "10")
    start(little, "MemoryClient", "memory:MemoryClient")
    client = ask(little, "MemoryClient")
    for text in ("one", "two", "three"):
        passed = client.call("remember", who="ana", text=text)
    recent = [record["text"] for record in passed["value"]["recent"]]
    assert (passed["value"]["written"], recent, passed["value"]["first"]["text"]) == (
        3,
        ["three", "two"],
        "one",
    )
    way = [hop["agent"] for hop in passed["hops"]]
    assert way[:4] == [
        "MemoryClient",
        "MemoryOrchestratorService",
        "ContextManager",
        "MemoryOrchestratorService",
    ]
    assert len({hop["trace"] for hop in passed["hops"]}) == 1
    assert way[4:] == ["CacheManager"], "the first record was read from the store again"

    os.kill(store.pid, signal.SIGSTOP)
    told = "`MemoryOrchestratorService` did not answer `MemoryClient`, which asked it to `write`"
    with pytest.raises(RemoteError, match=told) as caught:
        client.call("remember", who="ana", text="four")
    assert caught.value.code == "hop-failed"
    os.kill(store.pid, signal.SIGCONT)
    bus = ask(little, "SystemHealthManager")
    until(lambda: bus.call("counts").get("MemoryOrchestratorService"))
    report = bus.call("errors")[0]
    assert (report["agent"], report["method"]) == ("MemoryClient", "write")


def test_gpu_memory_is_admitted_while_the_budget_holds(little: LittleFleet) -> None:
    start_core(little)
    start(
        little, "GGUFModelManager", "models:ModelManager", "--budget-gib", "4", "--models", "phi=2.5,tiny=1"
    )
    manager = ask(little, "GGUFModelManager")
    assert manager.call("reserve", model="phi", gib=2.5, holder="A") == 1.5
    assert manager.call("reserve", model="phi", gib=2.5, holder="A") == 1.5, "told again, it is one holding"
    with pytest.raises(RemoteError, match=r"`phi` needs 2.5 GiB of 4.0 GiB, and 2.5 GiB are held"):
        manager.call("reserve", model="phi", gib=2.5, holder="B")
    assert manager.call("release", model="phi", holder="A") is True
    assert manager.call("reserve", model="phi", gib=2.5, holder="B") == 1.5
